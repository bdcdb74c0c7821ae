//! Many sessions with several jobs each, of mixed kinds: what the events cost in processor time, and how late they are when there are
//! half as many as there could be.

use std::time::{Instant, SystemTime};

use anyhow::{Result, ensure};
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::TOKEN;
use crate::frame::{Frame, MESSAGE_BYTES};
use crate::process::Cpu;
use crate::sample::{Sample, percentile};
use crate::socket::{READ_BUFFER, Socket};

const SESSIONS: u64 = 64;

/// The jobs of a session, each with so many events.
fn jobs(events: u64) -> Vec<(&'static str, Value)> {
    vec![
        ("count", json!({ "n": events, "size": MESSAGE_BYTES })),
        ("progress", json!({ "total": events })),
        ("count", json!({ "n": events, "size": 2 * MESSAGE_BYTES })),
        ("stream", json!({ "chunks": events, "chunk_bytes": MESSAGE_BYTES })),
    ]
}

/// `count` is the number of events of a job.
pub(super) async fn sessions(url: &str, count: u64, server: Option<u32>) -> Result<Sample> {
    let cpu = Cpu::of(server)?;
    let (events, seconds, _) = run(url, jobs(count)).await?;
    let rate = events as f64 / seconds;
    let sample = cpu.since(events)?.and("events_per_s", rate);
    let (events, seconds, mut late) = run(url, paced(rate / 2.0)).await?;
    late.sort_by(f64::total_cmp);
    let share = events as f64 / seconds / rate;
    Ok(sample.and("late_p99_ms", percentile(&late, 0.99)).and("share", share))
}

/// The most jobs that a session has at a time: a principal may have 1,000 in all.
const PACED_JOBS: f64 = 14.0;

/// The jobs of a session that together say so many events a second as all sessions are to have, for two seconds.
fn paced(rate: f64) -> Vec<(&'static str, Value)> {
    // A pause is a whole number of milliseconds, and lasts one longer than it is told to: how many jobs there are makes up for it.
    let rate = rate / SESSIONS as f64 / 1_000.0;
    let lasts = (PACED_JOBS / rate).floor().clamp(2.0, 1_000.0);
    let jobs = (rate * lasts).round().clamp(1.0, PACED_JOBS) as usize;
    let (pause, events) = (lasts as u64 - 1, 2_000 / lasts as u64);
    vec![("count", json!({ "n": events, "size": MESSAGE_BYTES, "delay_ms": pause })); jobs]
}

/// Has every session run these jobs and read them typed. Gives the number of events, the seconds, and how late each event came, in
/// milliseconds.
async fn run(url: &str, jobs: Vec<(&'static str, Value)>) -> Result<(u64, f64, Vec<f64>)> {
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        clients.push(arcp_client::connect(url, TOKEN).await?);
    }
    let start = Instant::now();
    let mut running = JoinSet::new();
    for client in clients {
        for (agent, input) in jobs.clone() {
            let client = client.clone();
            running.spawn(async move {
                let mut job = client.submit(agent).input(&input).await?;
                let mut late = Vec::new();
                while let Some(event) = job.next().await {
                    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
                    late.push(now * 1_000.0 - event.ts.as_millis() as f64);
                }
                ensure!(
                    job.outcome().is_some() && !job.has_missed(),
                    "a job of {agent} was not read to its end"
                );
                Ok(late)
            });
        }
    }
    let mut late = Vec::new();
    while let Some(read) = running.join_next().await {
        late.extend(read??);
    }
    Ok((late.len() as u64, start.elapsed().as_secs_f64(), late))
}

/// As many events of one kind over as many connections.
pub(super) async fn raw(url: &str, count: u64, server: Option<u32>) -> Result<Sample> {
    let cpu = Cpu::of(server)?;
    let each = count * 4;
    let start = Instant::now();
    let mut running = JoinSet::new();
    for _ in 0..SESSIONS {
        let url = url.to_owned();
        running.spawn(async move {
            let mut socket = Socket::connect(&url, READ_BUFFER).await?;
            socket.send(each.to_string()).await?;
            for number in 1..=each {
                let text = socket.text().await?;
                let frame: Frame<'_> = serde_json::from_str(&text)?;
                ensure!(frame.event_seq == number, "event {number} is missing");
            }
            Ok(())
        });
    }
    while let Some(read) = running.join_next().await {
        read??;
    }
    let events = each * SESSIONS;
    Ok(cpu.since(events)?.and("events_per_s", events as f64 / start.elapsed().as_secs_f64()))
}
