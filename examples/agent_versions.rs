//! One agent in two versions: whoever names none has the default, and whoever needs one pins it.
//!
//! ```sh
//! cargo run --example agent_versions
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let hello = |greeting: &'static str| {
        agent_fn(move |_: JobContext, name: String| async move {
            Ok::<_, AgentError>(format!("{greeting}, {name}"))
        })
    };
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("hello@1.0.0", hello("Hello"))
        .agent("hello@2.0.0-rc.1", hello("Ahoy"))
        .default_version("hello@1.0.0")
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    for agent in &client.opened().agents {
        println!(
            "{}: {}, and {} if nothing is said",
            agent.name,
            agent.versions.join(", "),
            agent.default.as_deref().unwrap_or("?")
        );
    }
    for agent in ["hello", "hello@2.0.0-rc.1", "hello@3.0.0"] {
        match client.submit(agent).input("Ada").await {
            Ok(mut job) => println!(
                "{}: {}",
                job.accepted().agent.clone().unwrap_or_default(),
                job.result::<String>().await?
            ),
            Err(error) => println!("{error}"),
        }
    }

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
