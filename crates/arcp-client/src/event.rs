//! One event of a job, decoded.

use std::fmt;

use arcp_proto::event::{Body, EventKind, ToolOutcome};
use arcp_proto::{Json, Timestamp};

/// Something that happened in a job (§8).
#[derive(Clone, Debug)]
pub struct Event {
    /// Its number in the session (§8.3), if the runtime gave one.
    pub event_seq: Option<u64>,
    /// When it was emitted.
    pub ts: Timestamp,
    /// What kind (§8.2).
    pub kind: EventKind,
    /// The body by kind. One that is not what its kind demands is [`Body::Other`], as it came.
    pub body: Body,
    /// The body as it came.
    pub raw: Json,
}

impl Event {
    pub(crate) fn new(event_seq: Option<u64>, event: arcp_proto::event::Event) -> Self {
        let body = event.body().unwrap_or_else(|error| {
            tracing::debug!(kind = %event.kind, %error, "event body is not what its kind demands");
            Body::Other(event.body.clone())
        });
        Self { event_seq, ts: event.ts, kind: event.kind, body, raw: event.body }
    }
}

impl fmt::Display for Event {
    /// One line for people. Values of credentials are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.body {
            Body::Log(log) => write!(f, "{} {}", log.level, log.message),
            Body::Thought(thought) => write!(f, "thought {}", thought.text),
            Body::ToolCall(call) => write!(f, "tool_call {} {}", call.tool, call.args.as_str()),
            Body::ToolResult(result) => match &result.outcome {
                ToolOutcome::Result(json) => write!(f, "tool_result {}", json.as_str()),
                ToolOutcome::Error(error) => write!(f, "tool_result {error}"),
            },
            Body::Status(status) => {
                write!(f, "status {}", status.phase)?;
                status.message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
            }
            Body::Metric(metric) => {
                write!(f, "metric {} {}", metric.name, metric.value)?;
                metric.unit.as_ref().map_or(Ok(()), |unit| write!(f, " {unit}"))
            }
            Body::ArtifactRef(artifact) => write!(f, "artifact {}", artifact.uri),
            Body::Delegate(delegate) => write!(f, "delegate {}", delegate.agent),
            Body::Progress(progress) => {
                write!(f, "progress {}", progress.current)?;
                progress.total.as_ref().map_or(Ok(()), |total| write!(f, "/{total}"))?;
                progress.units.as_ref().map_or(Ok(()), |units| write!(f, " {units}"))?;
                progress.message.as_ref().map_or(Ok(()), |message| write!(f, ": {message}"))
            }
            Body::ResultChunk(chunk) => write!(f, "result_chunk {} of {}", chunk.chunk_seq, chunk.result_id),
            _ => write!(f, "{} {}", self.kind, self.raw.as_str()),
        }
    }
}
