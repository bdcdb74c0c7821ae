//! A submit that is made again with the same key is the same job, so that a payment is made once however often it is asked for.
//!
//! ```sh
//! cargo run --example idempotent_retry
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;

static PAYMENTS: AtomicU64 = AtomicU64::new(0);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let pay = agent_fn(async |_: JobContext, cents: u64| {
        PAYMENTS.fetch_add(1, Ordering::Relaxed);
        Ok::<_, AgentError>(cents)
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("pay@1.0.0", pay)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let pay = |cents: u64| client.submit("pay").input(&cents).idempotency_key("invoice-2026-117");
    let mut first = pay(1_999).await?;
    println!("paid {} cents", first.result::<u64>().await?);
    // The answer may have been lost: ask again. A key is remembered for a day, for its principal.
    let mut again = pay(1_999).await?;
    println!("paid {} cents, the same job: {}", again.result::<u64>().await?, first.id() == again.id());
    println!("payments: {}", PAYMENTS.load(Ordering::Relaxed));
    let error = pay(2_999).await.err().context("another amount is another payment")?;
    println!("{error}");

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
