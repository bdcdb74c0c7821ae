//! Fan-out of one job: one session submits it, the others subscribe, and all read it to its end. Nothing of what comes is decoded: it
//! is the same for either server, and would hide them.

use std::time::Instant;

use anyhow::{Result, bail, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::session::{Session, message_type};
use crate::frame::MESSAGE_BYTES;
use crate::sample::Sample;
use crate::socket::{READ_BUFFER, Socket};

pub(super) async fn sessions(url: &str, count: u64, subscribers: u64) -> Result<Sample> {
    let mut sessions = Vec::new();
    for _ in 0..subscribers {
        sessions.push(Session::open(url, READ_BUFFER, Value::Null).await?);
    }
    let mut reading = JoinSet::new();
    let start = Instant::now();
    let Some(mut first) = sessions.pop() else { bail!("no subscriber") };
    let job_id = first.submit("count", json!({ "n": count, "size": MESSAGE_BYTES })).await?;
    reading.spawn(read(first, count));
    for mut session in sessions {
        session.subscribe(&job_id).await?;
        reading.spawn(read(session, count));
    }
    finish(reading, start, count * subscribers).await
}

/// Reads until the job has ended.
async fn read(mut session: Session, count: u64) -> Result<()> {
    let mut events = 0;
    loop {
        let text = session.socket.text().await?;
        match message_type(&text) {
            Some("job.event") => events += 1,
            Some("job.subscribed") => {}
            Some("job.result") => break,
            _ => bail!("not to be expected: {text}"),
        }
    }
    ensure!(events == count, "{events} events of {count}");
    Ok(())
}

pub(super) async fn raw(url: &str, count: u64, subscribers: u64) -> Result<Sample> {
    let mut sockets = Vec::new();
    for _ in 0..subscribers {
        sockets.push(Socket::connect(url, READ_BUFFER).await?);
    }
    let mut reading = JoinSet::new();
    let start = Instant::now();
    for (index, mut socket) in sockets.into_iter().enumerate() {
        let emit = if index == 0 { "!" } else { "" };
        socket.send(format!("{count}{emit}")).await?;
        reading.spawn(async move {
            for _ in 0..count {
                let text = socket.text().await?;
                ensure!(message_type(&text) == Some("job.event"), "not to be expected: {text}");
            }
            Ok(())
        });
    }
    finish(reading, start, count * subscribers).await
}

async fn finish(mut reading: JoinSet<Result<()>>, start: Instant, deliveries: u64) -> Result<Sample> {
    while let Some(read) = reading.join_next().await {
        read??;
    }
    Ok(Sample::of("deliveries_per_s", deliveries as f64 / start.elapsed().as_secs_f64()))
}
