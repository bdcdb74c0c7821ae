//! The connection is cut while a job runs: the client comes back by itself, and no event is lost or told twice.
//!
//! ```sh
//! cargo run --example resume_after_cut
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

#[path = "quickstart/link.rs"]
mod link;

use arcp::client::State;
use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::ws::WsListener;
use futures_util::StreamExt;

use crate::link::Link;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let count = agent_fn(async |ctx: JobContext, n: u64| {
        for number in 1..=n {
            ctx.info(format!("number {number}")).await?;
        }
        Ok(n)
    });
    let tokens = StaticTokens::new().token("s3cret", "alice");
    let runtime = Runtime::builder().authenticator(tokens).agent("count@1.0.0", count).build()?;
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await?;
    // What lies between them, and fails.
    let link = Link::to(listener.local_addr()).await?;
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = arcp::connect(format!("ws://{}/arcp", link.address), "s3cret").await?;
    let mut state = client.state();
    let mut job = client.submit("count").input(&10_000).await?;
    let mut told = 0_u64;
    while let Some(event) = job.next().await {
        told += 1;
        anyhow::ensure!(event.event_seq == Some(told), "event {told} is missing, or came twice");
        if told == 100 {
            link.cut().await;
            // Whoever waits for events need not know of this; it is here to be seen.
            state.changed().await?;
            println!("the connection is cut after {told} events");
        }
    }
    println!("{told} events, each once and in order; the result is {}", job.result::<u64>().await?);
    println!("the connection is there again: {}", *state.borrow() == State::Connected);

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
