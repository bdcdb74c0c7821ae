//! An agent has others work for it, each with a part of its authority and of its money. Its client can follow them too.
//!
//! ```sh
//! cargo run --example delegation
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::Context;
use arcp::Client;
use arcp::proto::Lease;
use arcp::proto::event::Body;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let translate = agent_fn(async |ctx: JobContext, text: String| {
        ctx.charge("model", "USD", "0.30".parse()?).await?;
        Ok::<_, AgentError>(format!("«{text}»"))
    });
    let editor = agent_fn(async |ctx: JobContext, chapters: Vec<String>| {
        let usd = "USD".parse()?;
        let mut translated = Vec::new();
        for chapter in &chapters {
            let mut child =
                ctx.delegate("translate").input(chapter).budget_share(&usd, "0.50".parse()?).await?;
            translated.push(child.result::<String>().await?);
        }
        // What the lease does not grant cannot be delegated either.
        if let Err(error) = ctx.delegate("print").input(&translated).await {
            ctx.warn(error.to_string()).await?;
        }
        Ok(translated)
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("editor@1.0.0", editor)
        .agent("translate@1.0.0", translate)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let lease = Lease::empty().grant("cost.budget", "USD:2.00").grant("agent.delegate", "translate");
    let mut job = client.submit("editor").input(&["one", "two"]).lease(lease).await?;
    while let Some(event) = job.next().await {
        match event.body {
            Body::Delegate(_) | Body::Log(_) => println!("{event}"),
            _ => {}
        }
    }
    println!("{}", job.result::<Vec<String>>().await?.join(" "));
    for child in job.children() {
        let mut followed = client.subscribe(&child.job_id).with_history().await?;
        let agent = child.agent.unwrap_or_default();
        println!(
            "{agent} of {}: {}",
            child.parent_job_id == Some(job.id().clone()),
            followed.result::<String>().await?
        );
    }
    println!("left: {}", job.budget().remaining("USD").context("it has a budget")?);

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
