//! A large result, streamed in pieces: decoded and counted as it comes.

use std::time::Instant;

use anyhow::{Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::TryStreamExt;
use serde_json::json;

use super::TOKEN;
use crate::floor::PIECE;
use crate::sample::Sample;
use crate::socket::{READ_BUFFER, Socket};

pub(super) async fn result(url: &str, count: u64) -> Result<Sample> {
    let client = arcp_client::connect(url, TOKEN).await?;
    let start = Instant::now();
    let input = json!({ "chunks": count, "chunk_bytes": PIECE, "encoding": "base64" });
    let mut chunks = client.submit("stream").input(&input).await?.result_stream();
    let mut bytes = 0;
    while let Some(chunk) = chunks.try_next().await? {
        bytes += chunk.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(bytes == count as usize * PIECE, "{bytes} bytes");
    client.close().await;
    Ok(Sample::of("seconds", seconds))
}

pub(super) async fn raw(url: &str, count: u64) -> Result<Sample> {
    let mut socket = Socket::connect(url, READ_BUFFER).await?;
    let start = Instant::now();
    socket.send(count.to_string()).await?;
    let mut bytes = 0;
    for _ in 0..count {
        bytes += BASE64.decode(socket.text().await?.as_bytes())?.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(bytes == count as usize * PIECE, "{bytes} bytes");
    Ok(Sample::of("seconds", seconds))
}
