//! A client dies while its job runs, and the next process goes on where it was: it saves what resumes its session, and the next one
//! opens that session, follows the job from its first event, and may still cancel it.
//!
//! ```sh
//! cargo run --example resume_after_restart
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::path::Path;
use std::process::Command;

use anyhow::Context;
use arcp::Client;
use arcp::client::ResumeState;
use arcp::proto::{JobId, ResumeToken, SessionId};
use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
use arcp::ws::{WsConnector, WsListener};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

/// What is saved. The token is a secret: it belongs into a file that its owner alone can read.
#[derive(Serialize, Deserialize)]
struct Saved {
    job_id: JobId,
    session_id: SessionId,
    resume_token: String,
    last_event_seq: u64,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [url, file] => begin(url, Path::new(file)).await,
        _ => go_on().await,
    }
}

/// The process that dies: it submits a job, saves its session, and is gone without a word.
async fn begin(url: &str, file: &Path) -> anyhow::Result<()> {
    let client = arcp::connect(url, "s3cret").await?;
    let mut job = client.submit("patient").await?;
    let event = job.next().await.context("the job has ended")?;
    println!("first process: {event}");
    let ResumeState { session_id, resume_token, last_event_seq } =
        client.resume_state().await.context("the runtime does not resume sessions")?;
    let resume_token = resume_token.expose().to_owned();
    let saved = Saved { job_id: job.id().clone(), session_id, resume_token, last_event_seq };
    std::fs::write(file, serde_json::to_vec(&saved)?)?;
    std::process::exit(0)
}

async fn go_on() -> anyhow::Result<()> {
    let patient = agent_fn(async |ctx: JobContext, (): ()| {
        ctx.info("waiting for somebody who cancels").await?;
        ctx.stopped().await;
        ctx.info("somebody has come").await?;
        Ok(())
    });
    let tokens = StaticTokens::new().token("s3cret", "alice");
    let runtime = Runtime::builder().authenticator(tokens).agent("patient@1.0.0", patient).build()?;
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await?;
    let url = format!("ws://{}/arcp", listener.local_addr());
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    let directory = tempfile::tempdir()?;
    let file = directory.path().join("session.json");
    let mut first = Command::new(std::env::current_exe()?);
    first.arg(&url).arg(&file);
    let status = tokio::task::spawn_blocking(move || first.status()).await??;
    anyhow::ensure!(status.success(), "the first process failed");

    let saved: Saved = serde_json::from_slice(&std::fs::read(&file)?)?;
    let resume = ResumeState {
        session_id: saved.session_id,
        resume_token: ResumeToken::from(saved.resume_token),
        last_event_seq: saved.last_event_seq,
    };
    let client = Client::connect(WsConnector::new(&url)?, "s3cret").resume(resume).await?;
    let mut job = client.subscribe(&saved.job_id).with_history().await?;
    client.cancel(&saved.job_id).await?;
    while let Some(event) = job.next().await {
        println!("second process: {event}");
    }
    let end = job.result::<()>().await.err().context("the job was cancelled")?;
    println!("second process: {end}");
    client.close().await;
    runtime.shutdown().await;
    Ok(())
}
