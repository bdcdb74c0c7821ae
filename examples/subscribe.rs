//! A second session looks on at a job that another one has submitted, from its first event.
//!
//! ```sh
//! cargo run --example subscribe
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use anyhow::Context;
use arcp::Client;
use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use futures_util::StreamExt;
use tokio::sync::Notify;

/// Lets the build go on, so that the watcher sees some of it happen.
static GO: Notify = Notify::const_new();

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let build = agent_fn(async |ctx: JobContext, (): ()| {
        ctx.status("compiling").await?;
        ctx.until_stopped(GO.notified()).await?;
        ctx.status("linking").await?;
        Ok("a.out")
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("build@1.0.0", build)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let owner = Client::connect(connector.clone(), "s3cret").await?;
    let job = owner.submit("build").await?;

    // The same principal, so that it may look; `RuntimeBuilder::observation` says who else may.
    let watcher = Client::connect(connector, "s3cret").await?;
    let mut watched = watcher.subscribe(job.id()).with_history().await?;
    let mut events = 0;
    while let Some(event) = watched.next().await {
        println!("{event}");
        events += 1;
        if events == 1 {
            GO.notify_one();
        }
    }
    println!("{}", watched.result::<String>().await?);
    let error = watcher.cancel(job.id()).await.err().context("only its own session may cancel a job")?;
    println!("{error}");

    watcher.close().await;
    owner.close().await;
    runtime.shutdown().await;
    Ok(())
}
