//! A runtime that pages of one web site may reach, and pages of no other: browsers say by `Origin` whose page asks.
//!
//! ```sh
//! cargo run --example browser_origin
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it shows")]

use arcp::Client;
use arcp::axum::{Mount, Server};
use arcp::client::ConnectError;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::ConnectError as LinkError;
use arcp::ws::WsConnector;
use axum::Router;
use axum::http::{HeaderValue, header};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let echo = agent_fn(async |_: JobContext, text: String| Ok::<_, AgentError>(text));
    let tokens = StaticTokens::new().token("s3cret", "you");
    let runtime = Runtime::builder().authenticator(tokens).agent("echo@1.0.0", echo).build()?;
    let mount = Mount::new(runtime).allow_origin("https://console.example.com");
    let app = Router::new().route("/arcp", mount.into_route());
    let server = Server::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", server.local_addr()?);
    tokio::spawn(server.serve(app, std::future::pending()));

    // What browsers would send for pages of these sites. Their pages cannot change it; a program can, and needs a token all the same.
    for origin in [Some("https://console.example.com"), Some("https://evil.example"), Some("null"), None] {
        let mut connector = WsConnector::new(&url)?;
        if let Some(origin) = origin {
            connector = connector.with_header(header::ORIGIN, HeaderValue::from_static(origin));
        }
        let from = origin.unwrap_or("no page at all");
        match Client::connect(connector, "s3cret").await {
            Ok(client) => {
                let said: String = client.submit("echo").input(&"let in").await?.result().await?;
                println!("{from}: {said}");
                client.close().await;
            }
            Err(ConnectError::Transport(LinkError::Refused { status, .. })) => println!("{from}: {status}"),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
