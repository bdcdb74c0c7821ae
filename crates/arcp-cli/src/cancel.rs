//! `arcp cancel`: ending a job that an earlier `arcp submit --detach` has left running.

use std::io::Write;

use arcp::Client;
use arcp::client::{ConnectError, JobError, RequestError, ResumeState};
use arcp::proto::job::JobStatus;
use arcp::proto::{ErrorCode, JobId};

use crate::connect::{Runtime, job_id, request_failure};
use crate::exit::{self, Failure};
use crate::left;
use crate::plain::one_line;

#[derive(clap::Args)]
pub(crate) struct Cancel {
    /// Which job.
    #[arg(value_parser = job_id)]
    job: JobId,

    #[command(flatten)]
    pub(crate) runtime: Runtime,
}

/// Resumes the session that submitted the job. What the job has said in it meanwhile is of no interest here: where some of that
/// is no longer kept, the session is resumed behind it.
async fn resume(runtime: &Runtime, job: &JobId, mut left: ResumeState) -> Result<Client, Failure> {
    for _ in 0..RESUMES {
        let failure = match runtime.connect(Some(left.clone())).await {
            Ok(client) => return Ok(client),
            Err(failure) => failure,
        };
        let Some(ConnectError::Refused(error)) = failure.error().and_then(|error| error.downcast_ref())
        else {
            return Err(failure);
        };
        if error.code != ErrorCode::ResumeWindowExpired {
            return Err(failure);
        }
        match error.details.as_ref().and_then(|details| details.decode::<Kept>().ok()) {
            Some(kept) => left.last_event_seq = kept.last_event_seq,
            None => {
                left::forget(job)?;
                let message =
                    "the runtime no longer keeps the session that submitted it, and only that may cancel it";
                return Err(Failure::new(exit::JOB, anyhow::anyhow!("{job}: {message}")));
            }
        }
    }
    Err(Failure::new(
        exit::CONNECTION,
        anyhow::anyhow!("{job} says more than can be resumed behind: try again"),
    ))
}

/// How often it is tried to resume behind what a job says meanwhile.
const RESUMES: usize = 5;

/// What a runtime says of a session from which not everything is kept.
#[derive(serde::Deserialize)]
struct Kept {
    last_event_seq: u64,
}

/// What has become of a job that was to be cancelled: how it ended, if that is known.
pub(crate) struct Stopped(Option<JobStatus>);

impl Stopped {
    /// One line for people.
    pub(crate) fn tell(&self, job: &JobId) -> String {
        let job = one_line(job.as_str());
        match &self.0 {
            Some(JobStatus::Cancelled) => format!("{job} is cancelled"),
            Some(status) => format!("{job} had ended by then: {}", one_line(status.as_str())),
            None => format!("{job} was told to end"),
        }
    }
}

/// Cancels a job and waits for its end: the runtime acknowledges before that, and also where there is nothing left to cancel.
pub(crate) async fn stop(client: &Client, job: &JobId) -> Result<Stopped, RequestError> {
    client.cancel(job).await?;
    Ok(Stopped(end(client, job).await))
}

async fn end(client: &Client, job: &JobId) -> Option<JobStatus> {
    let mut job = client.subscribe(job).await.ok()?; // not every runtime lets jobs be looked at
    match job.status_when_subscribed() {
        Some(status) if status.is_terminal() => return Some(status.clone()),
        _ => {}
    }
    match job.result_json().await {
        Err(JobError::Cancelled(_)) => Some(JobStatus::Cancelled),
        Err(JobError::TimedOut(_)) => Some(JobStatus::TimedOut),
        Err(JobError::Failed(_)) => Some(JobStatus::Error),
        Err(JobError::Lost(_) | JobError::SessionEnded(_)) => None,
        _ => Some(JobStatus::Success), // whether or not its result can be put together here
    }
}

/// Cancels a job in the session that submitted it, which an earlier command has left.
pub(crate) async fn stop_left(runtime: &Runtime, job: &JobId, left: ResumeState) -> Result<Stopped, Failure> {
    let client = resume(runtime, job, left).await?;
    let outcome = client.cancel(job).await;
    // The token has rotated; the job may still be ending.
    match (&outcome, client.resume_state().await) {
        (Err(_), Some(state)) => left::save(job, runtime.url(), &state)?,
        _ => left::forget(job)?,
    }
    let stopped = match outcome {
        Ok(()) => Ok(Stopped(end(&client, job).await)),
        Err(error) => Err(request_failure(error)),
    };
    client.close().await;
    stopped
}

pub(crate) async fn run(cancel: Cancel) -> Result<(), Failure> {
    let Cancel { job, runtime } = cancel;
    let stopped = match left::load(&job, runtime.url())? {
        Some(left) => stop_left(&runtime, &job, left).await?,
        None => {
            let client = runtime.connect(None).await?;
            let stopped = stop(&client, &job).await;
            client.close().await;
            stopped.map_err(|error| refusal(&job, error))?
        }
    };
    Ok(writeln!(std::io::stderr(), "{}", stopped.tell(&job))?)
}

/// Why a job was not cancelled in a session that has not submitted it.
pub(crate) fn refusal(job: &JobId, error: RequestError) -> Failure {
    match error {
        RequestError::Refused(error) if error.code == ErrorCode::PermissionDenied => {
            let message = "only the session that submitted a job may cancel it, and `arcp submit --detach` left none here";
            Failure::new(exit::JOB, anyhow::anyhow!("{job}: {message}"))
        }
        error => request_failure(error),
    }
}
