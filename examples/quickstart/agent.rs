//! The agent `text-report`: reads a file in chunks and counts what is in it.

use std::path::PathBuf;

use arcp::proto::event::Progress;
use arcp::runtime::{AgentError, JobContext};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;

use crate::report::{Counter, Report};

/// How much is read at a time.
const CHUNK: usize = 64 << 10;
/// Progress is told in this many steps, however large the file is.
const STEPS: u64 = 100;

/// What the agent is given.
#[derive(Serialize, Deserialize)]
pub(crate) struct Input {
    /// The file.
    pub(crate) path: PathBuf,
}

/// Reports on a text file: a missing, unreadable or binary one ends the job in `INVALID_REQUEST`.
pub(crate) async fn text_report(ctx: JobContext, Input { path }: Input) -> Result<Report, AgentError> {
    let name = path.display();
    let unreadable = |error| AgentError::invalid_request(format!("cannot read {name}: {error}"));
    let metadata = tokio::fs::metadata(&path).await.map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(AgentError::invalid_request(format!("{name} is not a file")));
    }
    let mut file = tokio::fs::File::open(&path).await.map_err(unreadable)?;
    let total = metadata.len();
    ctx.info(format!("reading {name}, {total} bytes")).await?;

    let mut counter = Counter::default();
    let mut chunk = vec![0; CHUNK];
    let mut told = 0;
    loop {
        let read = ctx.until_stopped(file.read(&mut chunk)).await?.map_err(unreadable)?;
        if read == 0 {
            break;
        }
        counter
            .take(&chunk[..read])
            .map_err(|binary| AgentError::invalid_request(format!("{name} {binary}")))?;
        let step = counter.bytes() * STEPS / total.max(1);
        if step > told {
            told = step;
            ctx.progress(Progress::new(counter.bytes()).of(total.max(counter.bytes())).units("bytes"))
                .await?;
        }
    }
    let report =
        counter.finish().map_err(|binary| AgentError::invalid_request(format!("{name} {binary}")))?;
    ctx.info(format!("{} different words", report.different_words)).await?;
    Ok(report)
}
