//! `arcp jobs`: what runs, and what has run.

use std::io::{self, Write};

use arcp::proto::job::JobStatus;
use arcp::proto::session::JobEntry;
use futures_util::{StreamExt, TryStreamExt};

use crate::connect::{Runtime, request_failure};
use crate::exit::Failure;
use crate::plain::{one_line, stdout};

#[derive(clap::Args)]
pub(crate) struct Jobs {
    /// Jobs in this state only: pending, running, success, error, cancelled, timed_out. Repeatable.
    #[arg(long, value_parser = status)]
    status: Vec<JobStatus>,

    /// Jobs of this agent only: NAME or NAME@VERSION.
    #[arg(long)]
    agent: Option<String>,

    /// How many jobs at most, newest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,

    /// Print each job as JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) runtime: Runtime,
}

fn status(text: &str) -> Result<JobStatus, String> {
    let status = JobStatus::from(text);
    if status.is_known() {
        return Ok(status);
    }
    let known: Vec<_> = JobStatus::KNOWN.iter().map(JobStatus::as_str).collect();
    Err(format!("not one of {}", known.join(", ")))
}

pub(crate) async fn run(jobs: Jobs) -> Result<(), Failure> {
    let client = jobs.runtime.connect(None).await?;
    let mut list = client.jobs();
    for status in jobs.status {
        list = list.status(status);
    }
    if let Some(agent) = jobs.agent {
        list = list.agent(agent);
    }
    let entries: Vec<JobEntry> =
        list.stream().take(jobs.limit).try_collect().await.map_err(request_failure)?;
    client.close().await;
    if jobs.json {
        lines(&entries)?
    } else {
        table(&entries)?
    }
    Ok(())
}

fn lines(entries: &[JobEntry]) -> io::Result<()> {
    let mut out = stdout();
    for entry in entries {
        writeln!(out, "{}", serde_json::to_string(entry)?)?;
    }
    Ok(())
}

fn table(entries: &[JobEntry]) -> io::Result<()> {
    let mut out = stdout();
    let widest = |width: usize, text: &str| width.max(text.chars().count());
    let agents = entries.iter().fold(5, |width, entry| widest(width, &entry.agent));
    let ids = entries.iter().fold(3, |width, entry| widest(width, entry.job_id.as_str()));
    writeln!(out, "{:ids$}  {:9}  {:agents$}  {:24}  EVENTS", "JOB", "STATUS", "AGENT", "ACCEPTED")?;
    for entry in entries {
        let JobEntry { job_id, agent, status, created_at, last_event_seq, .. } = entry;
        let (id, agent) = (one_line(job_id.as_str()), one_line(agent));
        writeln!(
            out,
            "{id:ids$}  {:9}  {agent:agents$}  {:24}  {last_event_seq}",
            status.as_str(),
            created_at.to_string()
        )?;
    }
    Ok(())
}
