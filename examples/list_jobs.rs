//! Which jobs are there? Listed page by page, by state and by agent.
//!
//! ```sh
//! cargo run --example list_jobs
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::proto::job::JobStatus;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use futures_util::{StreamExt, TryStreamExt};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let wait =
        agent_fn(async |ctx: JobContext, (): ()| Ok::<_, AgentError>(format!("{:?}", ctx.stopped().await)));
    let echo = agent_fn(async |_: JobContext, text: String| Ok::<_, AgentError>(text));
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("wait@1.0.0", wait)
        .agent("echo@1.0.0", echo)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    for number in 0..3 {
        client.submit("echo").input(&format!("text {number}")).await?.result::<String>().await?;
    }
    let waiting = client.submit("wait").await?;

    // Newest first. Pages of two, to show that nobody has to care for pages.
    let mut jobs = client.jobs().page_size(2).stream();
    while let Some(job) = jobs.next().await {
        let job = job?;
        println!("{} {}", job.agent, job.status);
    }
    let running: Vec<_> = client.jobs().status(JobStatus::Running).stream().try_collect().await?;
    println!("running: {}, and it is the one: {}", running.len(), running[0].job_id == *waiting.id());
    let echoes: Vec<_> = client.jobs().agent("echo").stream().try_collect().await?;
    println!("echoes: {}", echoes.len());

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
