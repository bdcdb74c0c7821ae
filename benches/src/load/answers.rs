//! Short jobs: how long each takes when they come one after the other, and how many there are a second with 64 in flight.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use arcp_client::Client;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::TOKEN;
use crate::floor::ANSWERS_READ_BUFFER;
use crate::process::Cpu;
use crate::sample::{Sample, percentile};
use crate::socket::Socket;

const IN_FLIGHT: u64 = 64;

pub(super) async fn jobs(url: &str, count: u64, server: Option<u32>) -> Result<Sample> {
    let client = arcp_client::connect(url, TOKEN).await?;
    let mut latencies = Vec::new();
    for number in 0..count {
        let start = Instant::now();
        job(&client, number).await?;
        latencies.push(start.elapsed());
    }
    let (cpu, start) = (Cpu::of(server)?, Instant::now());
    let jobs = stream::iter(0..count * 4).map(|number| job(&client, number));
    let mut jobs = jobs.buffer_unordered(IN_FLIGHT as usize);
    while jobs.try_next().await?.is_some() {}
    drop(jobs);
    let sample = sample(latencies, count * 4, start.elapsed().as_secs_f64(), cpu.since(count * 4)?);
    client.close().await;
    Ok(sample)
}

async fn job(client: &Client, number: u64) -> Result<()> {
    let mut job = client.submit("echo").input(&number).await?;
    let result: Value = job.result().await?;
    ensure!(result["echoed"] == number, "job {number} has another result: {result}");
    Ok(())
}

pub(super) async fn raw(url: &str, count: u64, server: Option<u32>) -> Result<Sample> {
    let mut socket = Socket::connect(url, ANSWERS_READ_BUFFER).await?;
    let submit = "{}".repeat(150);
    let mut latencies = Vec::new();
    for _ in 0..count {
        let start = Instant::now();
        socket.send(submit.as_str()).await?;
        socket.text().await?;
        socket.text().await?;
        latencies.push(start.elapsed());
    }
    let (cpu, start) = (Cpu::of(server)?, Instant::now());
    let (mut submitted, mut answers) = (0, 0);
    while answers < count * 8 {
        while submitted < count * 4 && submitted * 2 < answers + IN_FLIGHT * 2 - 1 {
            socket.feed(submit.as_str()).await?;
            submitted += 1;
        }
        socket.flush().await?;
        socket.text().await?;
        answers += 1;
        while socket.next_now().is_some() {
            answers += 1;
        }
    }
    Ok(sample(latencies, count * 4, start.elapsed().as_secs_f64(), cpu.since(count * 4)?))
}

fn sample(latencies: Vec<Duration>, jobs: u64, seconds: f64, cpu: Sample) -> Sample {
    // The first ones pay for what is made once.
    let measured = latencies.iter().skip(latencies.len() / 10);
    let mut micros: Vec<f64> = measured.map(|latency| latency.as_secs_f64() * 1e6).collect();
    micros.sort_by(f64::total_cmp);
    let sample = cpu.and("jobs_per_s", jobs as f64 / seconds);
    sample.and("p50_us", percentile(&micros, 0.5)).and("p99_us", percentile(&micros, 0.99))
}
