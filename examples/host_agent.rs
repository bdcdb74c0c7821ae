//! An agent as a type of its own, hosted over WebSocket without a web framework, and a client that asks it something.
//!
//! ```sh
//! cargo run --example host_agent
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::runtime::{Agent, AgentError, JobContext, Runtime, StaticTokens};
use arcp::ws::WsListener;

/// Greets in the way that it was set up for.
struct Greeter {
    greeting: String,
}

impl Agent for Greeter {
    type Input = String;
    type Output = String;

    async fn run(&self, ctx: JobContext, name: String) -> Result<String, AgentError> {
        if name.is_empty() {
            return Err(AgentError::invalid_request("input: a name must have letters"));
        }
        ctx.info(format!("greeting for {}", ctx.principal())).await?;
        Ok(format!("{}, {name}!", self.greeting))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("greeter@1.0.0", Greeter { greeting: "Good morning".to_owned() })
        .build()?;
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await?;
    let url = format!("ws://{}/arcp", listener.local_addr());
    let serving = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = arcp::connect(&url, "s3cret").await?;
    let greeting: String = client.submit("greeter").input("Grace").await?.result().await?;
    println!("{greeting}");
    let nobody = client.submit("greeter").input("").await?.result::<String>().await;
    println!("{}", nobody.err().map(|error| error.to_string()).unwrap_or_default());

    client.close().await;
    runtime.shutdown().await;
    serving.await??;
    Ok(())
}
