//! A client that starts its own runtime as a child process, and speaks with it over its pipes. Both are this program.
//!
//! ```sh
//! cargo run --example stdio_child
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::stdio::{ChildConnector, StdioConfig, StdioListener};
use arcp::{Client, Event};
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("serve") => serve().await,
        _ => submit().await,
    }
}

/// The child: its stdout belongs to the protocol, so that it must print nothing there.
async fn serve() -> anyhow::Result<()> {
    let reverse = agent_fn(async |ctx: JobContext, text: String| {
        ctx.info(format!("reversing {} characters", text.chars().count())).await?;
        Ok(text.chars().rev().collect::<String>())
    });
    let token = std::env::var("ARCP_TOKEN")?;
    let tokens = StaticTokens::new().token(token.as_str(), "parent");
    let runtime = Runtime::builder().authenticator(tokens).agent("reverse@1.0.0", reverse).build()?;
    // There is one connection, and when that has ended there is nobody left to serve.
    let mut listener = StdioListener::new(StdioConfig::server());
    let (transport, peer) = arcp::transport::Listener::accept(&mut listener).await?;
    runtime.serve(transport, peer).await;
    runtime.shutdown().await;
    Ok(())
}

async fn submit() -> anyhow::Result<()> {
    let child = ChildConnector::new(std::env::current_exe()?).arg("serve").env("ARCP_TOKEN", "between us");
    let client = Client::connect(child, "between us").await?;
    let mut job = client.submit("reverse").input("stressed").await?;
    let events: Vec<Event> = job.by_ref().collect().await;
    for event in events {
        println!("{event}");
    }
    println!("{}", job.result::<String>().await?);
    client.close().await;
    Ok(())
}
