//! Fixtures that emit: `echo`, `count`, `progress`, `kinds`.

use std::time::Duration;

use arcp_runtime::proto::Json;
use arcp_runtime::proto::event::{
    ArtifactRef, EventKind, Metric, Progress, ToolCall, ToolOutcome, ToolResult,
};
use arcp_runtime::{AgentError, JobContext};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Serialize)]
pub(crate) struct Echoed {
    echoed: Json,
}

pub(crate) async fn echo(ctx: JobContext, input: Json) -> Result<Echoed, AgentError> {
    ctx.info("echo started").await?;
    Ok(Echoed { echoed: input })
}

/// The largest message that `count` makes; no runtime takes a larger event.
const MAX_SIZE: usize = 1_000_000;

#[derive(Deserialize)]
pub(crate) struct Count {
    n: u64,
    #[serde(default)]
    delay_ms: u64,
    #[serde(default)]
    size: usize,
}

pub(crate) async fn count(ctx: JobContext, Count { n, delay_ms, size }: Count) -> Result<Value, AgentError> {
    if size > MAX_SIZE {
        return Err(AgentError::invalid_request(format!("input.size: at most {MAX_SIZE}")));
    }
    for number in 0..n {
        if delay_ms > 0 && number > 0 {
            ctx.until_stopped(tokio::time::sleep(Duration::from_millis(delay_ms))).await?;
        }
        if let Some(cause) = ctx.stop_cause() {
            ctx.warn(format!("stopped after {number} events: {cause:?}")).await?;
            break;
        }
        let mut message = format!("event {number}");
        let missing = size.saturating_sub(message.len());
        message.push_str(&".".repeat(missing)); // a width of the formatter ends at 65,535
        ctx.info(message).await?;
    }
    Ok(json!({ "count": n }))
}

#[derive(Deserialize)]
pub(crate) struct Total {
    total: u64,
    #[serde(default = "items")]
    units: String,
    #[serde(default)]
    delay_ms: u64,
}

fn items() -> String {
    "items".to_owned()
}

pub(crate) async fn progress(ctx: JobContext, input: Total) -> Result<Value, AgentError> {
    let Total { total, units, delay_ms } = input;
    for current in 1..=total {
        if delay_ms > 0 && current > 1 {
            ctx.until_stopped(tokio::time::sleep(Duration::from_millis(delay_ms))).await?;
        }
        ctx.progress(Progress::new(current).of(total).units(units.as_str())).await?;
    }
    Ok(json!({ "total": total }))
}

#[derive(Deserialize)]
pub(crate) struct Nothing {}

pub(crate) async fn kinds(ctx: JobContext, _: Option<Nothing>) -> Result<(), AgentError> {
    let call_id = ctx.new_call_id();
    let call = ToolCall {
        tool: "search".to_owned(),
        args: json!({ "query": "arcp" }).into(),
        call_id: call_id.clone(),
    };
    let result = ToolResult { call_id, outcome: ToolOutcome::Result(json!({ "hits": 3 }).into()) };
    ctx.info("a log").await?;
    ctx.thought("a thought").await?;
    ctx.emit(EventKind::ToolCall, &call).await?;
    ctx.emit(EventKind::ToolResult, &result).await?;
    ctx.status("working").await?;
    ctx.metric(Metric::new("fixture.rows", 12_408_u64).unit("rows")).await?;
    ctx.artifact(ArtifactRef::new("arcp://artifacts/fixture/report.html", "text/html")).await?;
    ctx.progress(Progress::new(1_u64).of(2_u64).units("steps")).await?;
    ctx.emit(EventKind::from("x-vendor.fixture.note"), &json!({ "text": "note" })).await?;
    Ok(())
}
