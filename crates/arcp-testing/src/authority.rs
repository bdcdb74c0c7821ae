//! Fixtures about what a job may do: `operate`, `delegate`.

use std::collections::BTreeMap;
use std::time::Duration;

use arcp_runtime::proto::event::EventKind;
use arcp_runtime::proto::event::{Metric, ToolCall, ToolOutcome, ToolResult};
use arcp_runtime::proto::{Json, Lease, LeaseConstraints, Number};
use arcp_runtime::{AgentError, ChildEnd, DelegateError, JobContext};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
pub(crate) struct Operations {
    operations: Vec<Operation>,
    #[serde(default)]
    stop_on_error: bool,
}

#[derive(Deserialize)]
struct Operation {
    capability: String,
    target: String,
    #[serde(default)]
    cost: BTreeMap<String, Number>,
    #[serde(default)]
    delay_ms: u64,
}

pub(crate) async fn operate(ctx: JobContext, input: Operations) -> Result<Value, AgentError> {
    let mut outcomes = Vec::new();
    for Operation { capability, target, cost, delay_ms } in input.operations {
        tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        let call_id = ctx.new_call_id();
        let args = Json::from(json!({ "target": target }));
        let call = ToolCall { tool: capability.clone(), args, call_id: call_id.clone() };
        ctx.emit(EventKind::ToolCall, &call).await?;
        let (outcome, code) = match ctx.authorize(&capability, &target) {
            Ok(_) => (ToolOutcome::Result(Json::from(json!({ "ok": true }))), "ok".to_owned()),
            Err(denied) => (ToolOutcome::Error(denied.payload()), denied.code().to_string()),
        };
        ctx.emit(EventKind::ToolResult, &ToolResult { call_id, outcome }).await?;
        for (unit, value) in cost {
            let mut metric = Metric::new("cost.fixture", value);
            metric.unit = Some(unit);
            ctx.metric(metric).await?;
        }
        let failed = code != "ok";
        outcomes.push(code);
        if failed && input.stop_on_error {
            break;
        }
    }
    Ok(json!({ "outcomes": outcomes }))
}

#[derive(Deserialize)]
pub(crate) struct Delegation {
    agent: String,
    #[serde(default)]
    input: Json,
    #[serde(default)]
    lease_request: Lease,
    #[serde(default)]
    lease_constraints: LeaseConstraints,
    #[serde(default = "yes")]
    wait: bool,
}

fn yes() -> bool {
    true
}

pub(crate) async fn delegate(ctx: JobContext, input: Delegation) -> Result<Value, AgentError> {
    let Delegation { agent, input, lease_request, lease_constraints, wait } = input;
    let delegation =
        ctx.delegate(agent).input(&input).lease(lease_request).lease_constraints(lease_constraints);
    let mut child = match delegation.await {
        Ok(child) => child,
        Err(refused @ DelegateError::Refused(_)) => return Ok(json!({ "error": refused.payload().code })),
        Err(error) => return Err(error.into()),
    };
    let child_job_id = child.job_id().clone();
    if !wait {
        return Ok(json!({ "child_job_id": child_job_id }));
    }
    let ChildEnd { final_status, outcome } = ctx.until_stopped(child.ended()).await?.clone();
    Ok(json!({ "child_job_id": child_job_id, "final_status": final_status, "result": outcome.ok() }))
}
