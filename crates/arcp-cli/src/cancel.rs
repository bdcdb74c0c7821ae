//! `arcp cancel`: ending a job that an earlier `arcp submit --detach` has left running.

use std::io::Write;

use arcp::Client;
use arcp::client::{ConnectError, RequestError, ResumeState};
use arcp::proto::{ErrorCode, JobId};

use crate::connect::{Runtime, job_id, request_failure};
use crate::exit::{self, Failure};
use crate::left;

#[derive(clap::Args)]
pub(crate) struct Cancel {
    /// Which job.
    #[arg(value_parser = job_id)]
    job: JobId,

    #[command(flatten)]
    runtime: Runtime,
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

pub(crate) async fn run(cancel: Cancel) -> Result<(), Failure> {
    let Cancel { job, runtime } = cancel;
    let left = left::load(&job, &runtime.url)?;
    let own = left.is_some();
    let client = match left {
        None => runtime.connect(None).await?,
        Some(left) => resume(&runtime, &job, left).await?,
    };
    let outcome = client.cancel(&job).await;
    if own {
        // The token has rotated; the job may still be ending.
        match (&outcome, client.resume_state().await) {
            (Err(_), Some(state)) => left::save(&job, &runtime.url, &state)?,
            _ => left::forget(&job)?,
        }
    }
    client.close().await;
    match outcome {
        Ok(()) => Ok(writeln!(std::io::stderr(), "{job} is cancelled")?),
        Err(RequestError::Refused(error)) if error.code == ErrorCode::PermissionDenied && !own => {
            let message = "only the session that submitted a job may cancel it, and `arcp submit --detach` left none here";
            Err(Failure::new(exit::JOB, anyhow::anyhow!("{job}: {message}")))
        }
        Err(error) => Err(request_failure(error)),
    }
}
