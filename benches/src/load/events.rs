//! Events of one job to one client, read typed: with a client of the runtime, and borrowed from raw frames of the floor.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use arcp_client::proto::event::Body;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::TOKEN;
use crate::frame::{Frame, MESSAGE_BYTES};
use crate::process::Cpu;
use crate::sample::Sample;
use crate::socket::{READ_BUFFER, Socket};

pub(super) async fn typed(url: &str, count: u64, server: Option<u32>) -> Result<Sample> {
    let client = arcp_client::connect(url, TOKEN).await?;
    let (cpu, start) = (Cpu::of(server)?, Instant::now());
    let mut job = client.submit("count").input(&json!({ "n": count, "size": MESSAGE_BYTES })).await?;
    let mut bytes = 0;
    while let Some(event) = job.next().await {
        match &event.body {
            Body::Log(log) => bytes += log.message.len(),
            Body::Status(_) => {} // that this client lags: sockets hold a lot
            _ => bail!("an event of kind {}", event.kind),
        }
    }
    let result: Value = job.result().await?;
    let seconds = start.elapsed().as_secs_f64();
    ensure!(result["count"] == count && !job.has_missed(), "events are missing: {result}");
    ensure!(bytes == count as usize * MESSAGE_BYTES, "messages of {bytes} bytes");
    client.close().await;
    Ok(cpu.since(count)?.and("events_per_s", count as f64 / seconds))
}

pub(super) async fn raw(url: &str, count: u64, server: Option<u32>) -> Result<Sample> {
    let mut socket = Socket::connect(url, READ_BUFFER).await?;
    let (cpu, start) = (Cpu::of(server)?, Instant::now());
    socket.send(count.to_string()).await?;
    let mut bytes = 0;
    for number in 1..=count {
        let text = socket.text().await?;
        let frame: Frame<'_> = serde_json::from_str(&text)?;
        ensure!(frame.event_seq == number, "event {number} is missing");
        bytes += frame.payload.body.message.len();
    }
    let seconds = start.elapsed().as_secs_f64();
    ensure!(bytes == count as usize * MESSAGE_BYTES, "messages of {bytes} bytes");
    Ok(cpu.since(count)?.and("events_per_s", count as f64 / seconds))
}
