//! Fixtures that take their time: `sleep` and `stubborn`.

use std::time::Duration;

use arcp_runtime::{AgentError, JobContext};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Millis {
    ms: u64,
}

pub(crate) async fn sleep(ctx: JobContext, Millis { ms }: Millis) -> Result<Value, AgentError> {
    ctx.status("sleeping").await?;
    ctx.until_stopped(tokio::time::sleep(Duration::from_millis(ms))).await?;
    Ok(json!({ "slept_ms": ms }))
}

pub(crate) async fn stubborn(ctx: JobContext, Millis { ms }: Millis) -> Result<(), AgentError> {
    ctx.status("stubborn").await?;
    tokio::time::sleep(Duration::from_millis(ms)).await;
    Ok(())
}
