//! An agent that says what it works with: clients are shown the JSON Schema of its input, and what does not fit becomes no job.
//!
//! ```sh
//! cargo run --example typed_agent
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::Context;
use arcp::Client;
use arcp::client::RequestError;
use arcp::runtime::schemars::{self, JsonSchema};
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use serde::Deserialize;
use serde_json::{Value, json};

/// How large an image is to be.
#[derive(Deserialize, JsonSchema)]
struct Image {
    /// In pixels.
    #[schemars(range(min = 1, max = 10_000))]
    width: u32,
    /// In pixels.
    #[schemars(range(min = 1, max = 10_000))]
    height: u32,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let resize =
        agent_fn(async |_: JobContext, image: Image| Ok::<_, AgentError>(image.width * image.height));
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .typed_agent("resize@1.0.0", resize)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let opened = client.opened();
    let schema = opened.agents[0].schema_of(None).context("it shows its schema")?;
    println!("{}", serde_json::to_string_pretty(&schema.decode::<Value>()?["properties"]["width"])?);

    let mut job = client.submit("resize").input(&json!({ "width": 40, "height": 30 })).await?;
    println!("{} pixels", job.result::<u32>().await?);
    for wrong in [
        json!({ "width": "wide", "height": 30 }),
        json!({ "width": 0, "height": 30 }),
        json!({ "width": 40 }),
    ] {
        let Err(RequestError::Refused(error)) = client.submit("resize").input(&wrong).await else {
            anyhow::bail!("{wrong} was taken");
        };
        let details: Value = error.details.context("a refusal names the place")?.decode()?;
        println!("{}: {}", details["path"], details["reason"]);
    }

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
