//! Where the inputs of `arcp top` come from: tasks that list jobs, follow each, and cancel, and tell it in one channel.

use std::time::Duration;

use arcp::Client;
use arcp::client::{JobError, RequestError};
use arcp::proto::JobId;
use arcp::proto::job::JobStatus;
use arcp::proto::session::JobEntry;
use futures_util::StreamExt;
use tokio::sync::mpsc::Sender;

use super::model::Input;
use crate::cancel;
use crate::connect::Runtime;
use crate::left;

/// Lists jobs again and again. Who is not interested any more has dropped the other end.
pub(crate) async fn list(client: Client, limit: usize, every: Duration, inputs: Sender<Input>) {
    loop {
        let mut listing = client.jobs().page_size(limit as u64).stream();
        let mut jobs: Vec<JobEntry> = Vec::new();
        let mut more = false;
        let mut failed = None;
        while let Some(entry) = listing.next().await {
            match entry {
                Ok(_) if jobs.len() == limit => {
                    more = true;
                    break;
                }
                Ok(entry) => jobs.push(entry),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let last = matches!(failed, Some(RequestError::NotOffered(_)));
        let input = match failed {
            None => Input::Listed { jobs, more },
            Some(error) => Input::NotListed(error.to_string()),
        };
        if inputs.send(input).await.is_err() || last {
            return;
        }
        tokio::time::sleep(every).await;
    }
}

/// Follows a job to its end, from after this number.
pub(crate) async fn follow(client: Client, job_id: JobId, from: u64, inputs: Sender<Input>) {
    let mut job = match client.subscribe(&job_id).from(from).await {
        Ok(job) => job,
        Err(error) => {
            let _ = inputs.send(Input::NotFollowed { job: job_id, why: error.to_string() }).await;
            return;
        }
    };
    let expires_at = job.accepted().lease_constraints.expires_at;
    let budget = job.accepted().budget.clone();
    let mut input = Input::Subscribed { job: job_id.clone(), expires_at, budget };
    loop {
        if inputs.send(input).await.is_err() {
            return;
        }
        let Some(event) = job.next().await else { break };
        input = Input::Event { job: job_id.clone(), event: Box::new(event), missed: job.has_missed() };
    }
    let status = match job.result_json().await {
        Err(JobError::Cancelled(_)) => Some(JobStatus::Cancelled),
        Err(JobError::TimedOut(_)) => Some(JobStatus::TimedOut),
        Err(JobError::Failed(_)) => Some(JobStatus::Error),
        Err(JobError::Lost(_) | JobError::SessionEnded(_)) => None,
        _ => Some(JobStatus::Success),
    };
    let _ = inputs.send(Input::Ended { job: job_id, status }).await;
}

/// Cancels a job: in the session that an earlier command has left, if there is one, and otherwise in this one.
pub(crate) async fn stop(client: Client, runtime: &Runtime, job: JobId, inputs: Sender<Input>) {
    let stopped = match left::load(&job, runtime.url()) {
        Ok(Some(left)) => cancel::stop_left(runtime, &job, left).await,
        Ok(None) => cancel::stop(&client, &job).await.map_err(|error| cancel::refusal(&job, error)),
        Err(failure) => Err(failure),
    };
    let said = match stopped {
        Ok(stopped) => stopped.tell(&job),
        Err(failure) => match failure.error() {
            Some(error) => format!("not cancelled: {error:#}"),
            None => format!("{job} is not cancelled"),
        },
    };
    let _ = inputs.send(Input::Said(said)).await;
}
