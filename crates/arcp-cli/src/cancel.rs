//! `arcp cancel`: ending a job that an earlier `arcp submit --detach` has left running.

use std::io::Write;

use arcp::client::RequestError;
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

pub(crate) async fn run(cancel: Cancel) -> Result<(), Failure> {
    let Cancel { job, runtime } = cancel;
    let left = left::load(&job, &runtime.url)?;
    let own = left.is_some();
    let client = runtime.connect(left).await?;
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
