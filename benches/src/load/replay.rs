//! A session is resumed, and what was missed comes again; each event is parsed, borrowed.

use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::json;

use super::session::{Session, message_type};
use crate::frame::{Frame, MESSAGE_BYTES};
use crate::sample::Sample;
use crate::socket::{READ_BUFFER, Socket};

pub(super) async fn session(url: &str, count: u64) -> Result<Sample> {
    let mut session = Session::open(url, READ_BUFFER, json!(null)).await?;
    session.submit("count", json!({ "n": count, "size": MESSAGE_BYTES })).await?;
    while message_type(&session.socket.text().await?) == Some("job.event") {}
    let resume = session.resume.clone();
    drop(session);
    let start = Instant::now();
    let mut session = Session::open(url, READ_BUFFER, resume).await?;
    read(&mut session.socket, count).await?;
    Ok(Sample::of("events_per_s", count as f64 / start.elapsed().as_secs_f64()))
}

pub(super) async fn raw(url: &str, count: u64) -> Result<Sample> {
    let mut socket = Socket::connect(url, READ_BUFFER).await?;
    socket.send(count.to_string()).await?;
    socket.text().await?;
    let start = Instant::now();
    socket.send("now").await?;
    read(&mut socket, count).await?;
    Ok(Sample::of("events_per_s", count as f64 / start.elapsed().as_secs_f64()))
}

async fn read(socket: &mut Socket, count: u64) -> Result<()> {
    for number in 1..=count {
        let text = socket.text().await?;
        let frame: Frame<'_> = serde_json::from_str(&text)?;
        ensure!(frame.event_seq == number, "event {number} is missing");
    }
    Ok(())
}
