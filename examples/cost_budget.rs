//! A job has a dollar. Its agent tells what things cost, as it goes, and is stopped when nothing is left.
//!
//! ```sh
//! cargo run --example cost_budget
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
    let research = agent_fn(async |ctx: JobContext, questions: Vec<String>| {
        let mut answers = Vec::new();
        for question in questions {
            // Asked before each step: with nothing left of the budget, nothing is allowed any more.
            match ctx.call_tool("search", &question, async { Ok::<_, AgentError>(question.len()) }).await {
                Ok(found) => answers.push(found),
                Err(error) => {
                    ctx.warn(format!("no further than {} of them: {error}", answers.len())).await?;
                    break;
                }
            }
            ctx.charge("search", "USD", "0.40".parse()?).await?;
        }
        Ok(answers)
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("research@1.0.0", research)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let lease = Lease::empty().grant("cost.budget", "USD:1.00").grant("tool.call", "search");
    let questions = ["who", "when", "where", "why", "how"];
    let mut job = client.submit("research").input(&questions).lease(lease).await?;
    while let Some(event) = job.next().await {
        match event.body {
            Body::Metric(_) | Body::Log(_) => println!("{event}"),
            _ => {}
        }
    }
    let answers: Vec<usize> = job.result().await?;
    println!(
        "{} answers; left: {}",
        answers.len(),
        job.budget().remaining("USD").context("it has a budget")?
    );

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
