//! A result that is larger than a message comes in pieces, while it is being made; neither side has it in memory as a whole.
//!
//! ```sh
//! cargo run --example streamed_result
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use arcp::Client;
use arcp::proto::event::ChunkEncoding;
use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use futures_util::StreamExt;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let dump = agent_fn(async |ctx: JobContext, lines: u64| {
        let mut result = ctx.result_stream(ChunkEncoding::Utf8)?;
        for number in 0..lines {
            result.write(format!("line {number}\n")).await?;
        }
        result.finish(Some(format!("{lines} lines"))).await?;
        Ok(())
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("dump@1.0.0", dump)
        .build()?;
    // A link within this program: `arcp::connect("wss://…", token)` is one over a network.
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let client = Client::connect(connector, "s3cret").await?;
    let mut pieces = client.submit("dump").input(&200_000).await?.result_stream();
    let (mut count, mut bytes, mut lines) = (0, 0, 0);
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        count += 1;
        bytes += piece.len();
        lines += piece.iter().filter(|byte| **byte == b'\n').count();
    }
    println!("{lines} lines in {bytes} bytes, in more than one piece: {}", count > 1);

    // What is small is put together.
    let mut job = client.submit("dump").input(&2).await?;
    println!("{:?}", job.result::<String>().await?);
    println!("{}", job.outcome().and_then(|outcome| outcome.summary.clone()).unwrap_or_default());

    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
