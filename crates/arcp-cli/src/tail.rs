//! `arcp tail`: watching a job that runs, or has run.

use arcp::proto::JobId;

use crate::connect::{Runtime, job_id, request_failure};
use crate::exit::Failure;
use crate::follow::{Interrupt, follow};
use crate::show::Show;

#[derive(clap::Args)]
pub(crate) struct Tail {
    /// Which job.
    #[arg(value_parser = job_id)]
    job: JobId,

    /// Begin after this number of the submitter's count, which `arcp jobs` shows, instead of with what is kept.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,

    /// Print everything as JSON, one object a line, on stdout.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) runtime: Runtime,
}

pub(crate) async fn run(tail: Tail) -> Result<(), Failure> {
    let client = tail.runtime.connect(None).await?;
    let job = client.subscribe(&tail.job).from(tail.from).await.map_err(request_failure)?;
    let outcome = follow(&client, job, &mut Show::new(tail.json), Interrupt::StopsWatching).await;
    client.close().await;
    outcome
}
