//! A job is cancelled with a reason. Its agent is told, tidies up, and has 30 s to be gone before its task is dropped.
//!
//! ```sh
//! cargo run --example cancel
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::Context;
use arcp::Client;
use arcp::client::JobError;
use arcp::proto::event::Progress;
use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dig = agent_fn(async |ctx: JobContext, (): ()| {
        let mut metres = 0_u64;
        while ctx.stop_cause().is_none() {
            metres += 1;
            ctx.progress(Progress::new(metres).units("m")).await?;
        }
        // It may still say things; whatever it returns, its job ends as cancelled.
        ctx.info("filling the hole up again").await?;
        Ok(metres)
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("dig@1.0.0", dig)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let mut job = client.submit("dig").await?;
    let first = job.next().await.context("the job has ended")?;
    println!("{first}");
    // The answer comes after the events before it, which somebody must take meanwhile.
    let job_id = job.id().clone();
    let cancelled = client.cancel_because(&job_id, "there is a pipe");
    let (acknowledged, last) = tokio::join!(cancelled, job.by_ref().fold(None, async |_, event| Some(event)));
    acknowledged?;
    println!("{}", last.context("the agent said something at last")?);
    match job.result::<u64>().await {
        Err(JobError::Cancelled(error)) => println!("{error}"),
        other => anyhow::bail!("the job was not cancelled: {other:?}"),
    }

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
