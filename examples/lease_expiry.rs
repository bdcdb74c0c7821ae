//! A lease ends at a time: then the job is told to stop, and whatever it still tries is denied.
//!
//! ```sh
//! cargo run --example lease_expiry
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use std::time::{Duration, SystemTime};

use arcp::client::JobError;
use arcp::proto::{Lease, Timestamp};
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let guard = agent_fn(async |ctx: JobContext, (): ()| {
        ctx.authorize("tool.call", "door.open")?;
        ctx.info("the door may be opened").await?;
        let cause = ctx.stopped().await;
        let denied = ctx.authorize("tool.call", "door.open").err().map(|denied| denied.code().to_string());
        ctx.info(format!("{cause:?}, and then {}", denied.unwrap_or_default())).await?;
        Ok(())
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("guard@1.0.0", guard)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let soon = Timestamp::from(SystemTime::now() + Duration::from_secs(2));
    let lease = Lease::empty().grant("tool.call", "door.*");
    let mut job = client.submit("guard").lease(lease).expires_at(soon).await?;
    while let Some(event) = job.next().await {
        println!("{event}");
    }
    match job.result::<()>().await {
        Err(JobError::Failed(error)) => println!("{}", error.code),
        other => anyhow::bail!("the lease has not ended the job: {other:?}"),
    }

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
