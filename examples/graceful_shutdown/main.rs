//! A runtime that is stopped while a job runs: nothing new is taken on, the job has its time, its client has the result, and
//! then everything ends in order.
//!
//! ```sh
//! cargo run --example graceful_shutdown
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it shows")]

use std::sync::Arc;
use std::time::Duration;

use arcp::axum::Server;
use arcp::proto::event::Body;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use axum::Router;
use futures_util::StreamExt;
use tokio::sync::Notify;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // A job that takes until the runtime is told to stop, and a little longer.
    let finish = Arc::new(Notify::new());
    let finished = Arc::clone(&finish);
    let work = agent_fn(move |ctx: JobContext, (): ()| {
        let finished = Arc::clone(&finished);
        async move {
            ctx.status("working").await?;
            finished.notified().await;
            Ok::<_, AgentError>("the work is done")
        }
    });
    let tokens = StaticTokens::new().token("s3cret", "you");
    let runtime = Runtime::builder().authenticator(tokens).agent("work@1.0.0", work).build()?;
    let app = Router::new().route("/arcp", arcp::axum::serve(runtime.clone()));
    let server = Server::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}", server.local_addr()?);

    // In a service this is tokio::signal::ctrl_c(). The server goes on to accept until the runtime is drained: clients whose
    // connection was lost come back for their results.
    let (stop, stopping) = tokio::sync::oneshot::channel::<()>();
    let (drained, everything) = tokio::sync::oneshot::channel();
    let draining = runtime.clone();
    let serving = tokio::spawn(server.serve(app, async move {
        let _ = stopping.await;
        let _ = drained.send(draining.drain(Duration::from_secs(30)).await);
    }));

    let client = arcp::connect(&url, "s3cret").await?;
    let mut job = client.submit("work").input(&()).await?;
    let mut stop = Some(stop);
    while let Some(event) = job.next().await {
        let Body::Status(status) = &event.body else { continue };
        println!("the job is {}", status.phase);
        match status.phase.as_str() {
            "working" => drop(stop.take().map(|stop| stop.send(()))),
            "draining" => {
                let refused = client.submit("work").input(&()).await.err();
                println!("another job is {}", if refused.is_some() { "refused" } else { "taken" });
                finish.notify_one();
            }
            _ => {}
        }
    }
    println!("{}", job.result::<String>().await?);
    serving.await?;
    let everything = everything.await?;
    println!("the server has ended, {}", if everything { "and nothing is left undone" } else { "too late" });
    Ok(())
}
