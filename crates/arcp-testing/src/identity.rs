//! Fixtures about the job itself: `fail`, `versioned`, `whoami`.

use arcp_runtime::proto::Json;
use arcp_runtime::{AgentError, JobContext};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Failure {
    #[serde(default = "internal_error")]
    code: String,
    #[serde(default = "boom")]
    message: String,
    #[serde(default)]
    panic: bool,
}

impl Default for Failure {
    fn default() -> Self {
        Self { code: internal_error(), message: boom(), panic: false }
    }
}

fn internal_error() -> String {
    "INTERNAL_ERROR".to_owned()
}

fn boom() -> String {
    "boom".to_owned()
}

pub(crate) async fn fail(_: JobContext, input: Option<Failure>) -> Result<(), AgentError> {
    let Failure { code, message, panic } = input.unwrap_or_default();
    assert!(!panic, "the fixture was asked to panic: {message}");
    Err(AgentError::new(code.as_str(), message))
}

pub(crate) async fn versioned(ctx: JobContext, _: Json) -> Result<Value, AgentError> {
    Ok(json!({ "version": ctx.agent().version.as_str() }))
}

pub(crate) async fn whoami(ctx: JobContext, _: Json) -> Result<Value, AgentError> {
    Ok(json!({
        "principal": ctx.principal().as_str(),
        "job_id": ctx.job_id(),
        "parent_job_id": ctx.parent_job_id(),
        "agent": ctx.agent().to_string(),
        "trace_id": ctx.trace_id(),
        "lease": ctx.lease(),
        "lease_constraints": ctx.lease_constraints(),
    }))
}
