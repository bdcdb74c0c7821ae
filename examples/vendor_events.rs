//! Events of an agent's own kind: whoever knows the kind reads them, everybody else passes them on.
//!
//! ```sh
//! cargo run --example vendor_events
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::proto::event::EventKind;
use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

/// `x-vendor.`, then whose it is, then what it is.
const STROKE: &str = "x-vendor.acme.stroke";

#[derive(Serialize, Deserialize)]
struct Stroke {
    from: (u32, u32),
    to: (u32, u32),
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let draw = agent_fn(async |ctx: JobContext, strokes: u32| {
        for number in 0..strokes {
            let stroke = Stroke { from: (number, 0), to: (number, 9) };
            ctx.emit(EventKind::from(STROKE), &stroke).await?;
        }
        ctx.emit(EventKind::from("x-vendor.acme.signed"), "a painter").await?;
        Ok(strokes)
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("draw@1.0.0", draw)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let mut job = client.submit("draw").input(&2).await?;
    while let Some(event) = job.next().await {
        match event.kind.as_str() {
            STROKE => {
                let Stroke { from, to } = event.raw.decode()?;
                println!("a stroke from {from:?} to {to:?}");
            }
            // What nobody here knows is shown as it came.
            _ => println!("{event}"),
        }
    }
    println!("{} strokes", job.result::<u32>().await?);

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
