//! Following a job to its end.

use std::pin::pin;

use arcp::client::{JobError, RequestError};
use arcp::proto::JobId;
use arcp::{Client, Job};
use futures_util::StreamExt;
use futures_util::future::{Fuse, FutureExt};

use crate::connect::request_failure;
use crate::exit::{self, Failure};
use crate::show::Show;

/// What an interrupt does to the job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// The first cancels it, the second leaves it running.
    Cancels,
    /// It is somebody else's: watching it ends.
    StopsWatching,
}

/// Shows the job until it has ended.
pub(crate) async fn follow(
    client: &Client,
    mut job: Job,
    show: &mut Show,
    interrupt: Interrupt,
) -> Result<(), Failure> {
    let mut state = client.state();
    let mut cancelling = pin!(Fuse::terminated());
    // One that is kept: an interrupt that comes while an event is shown is not lost, nor one that comes with the first.
    let mut interrupts = pin!(tokio::signal::ctrl_c());
    let mut interrupted = false;
    let mut missed = false;
    loop {
        let event = tokio::select! {
            biased;
            _ = &mut interrupts => {
                interrupts.set(tokio::signal::ctrl_c());
                if interrupted || interrupt == Interrupt::StopsWatching {
                    show.note(&format!("job {} is left running", job.id()))?;
                    return Err(Failure::silent(exit::INTERRUPTED));
                }
                interrupted = true;
                show.note("cancelling; interrupt again to leave the job running")?;
                cancelling.set(cancel(client.clone(), job.id().clone()).fuse());
                continue;
            }
            cancelled = &mut cancelling => {
                cancelled?;
                continue;
            }
            Ok(()) = state.changed() => {
                let state = *state.borrow_and_update();
                show.state(state, interrupt == Interrupt::Cancels)?;
                continue;
            }
            event = job.next() => event,
        };
        if job.has_missed() && !missed {
            missed = true;
            show.missed()?;
        }
        match event {
            Some(event) => show.event(&event)?,
            None => break,
        }
    }
    match job.result_json().await {
        Ok(result) => Ok(show.result(&result)?),
        Err(error) => {
            show.error(&error)?;
            let lost = matches!(error, JobError::SessionEnded(_) | JobError::Lost(_));
            Err(Failure::silent(if lost { exit::CONNECTION } else { exit::JOB }))
        }
    }
}

async fn cancel(client: Client, job_id: JobId) -> Result<(), Failure> {
    match client.cancel_because(&job_id, "interrupted by the user").await {
        Ok(()) => Ok(()),
        Err(RequestError::Refused(error)) => {
            Err(Failure::new(exit::JOB, anyhow::anyhow!("not cancelled: {error}")))
        }
        Err(error) => Err(request_failure(error)),
    }
}
