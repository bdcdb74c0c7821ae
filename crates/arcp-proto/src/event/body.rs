//! The bodies of the event kinds (§8.2). Other names that published runtimes use for a field are read too. Pieces of a streamed result
//! are in `chunk.rs`.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize};

use super::{EventKind, ResultChunk};
use crate::decode::{DecodeError, optional_integer, optional_object};
use crate::error_code::ErrorPayload;
use crate::id::{CallId, CredentialId, DelegateId, JobId, empty_is_absent};
use crate::json::Json;
use crate::lease::{Lease, LeaseConstraints};
use crate::number::Number;
use crate::plain::{Plain, once};
use crate::secret::CredentialValue;

/// The body of an event, decoded by its kind.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Body {
    /// `log`
    Log(Log),
    /// `thought`
    Thought(Thought),
    /// `tool_call`
    ToolCall(ToolCall),
    /// `tool_result`
    ToolResult(ToolResult),
    /// `status`
    Status(Status),
    /// `metric`
    Metric(Metric),
    /// `artifact_ref`
    ArtifactRef(ArtifactRef),
    /// `delegate`
    Delegate(Delegate),
    /// `progress`
    Progress(Progress),
    /// `result_chunk`
    ResultChunk(ResultChunk),
    /// A vendor's kind, or one this version does not know: the body as it came.
    Other(Json),
}

impl Body {
    /// Decodes a body as its kind demands.
    ///
    /// # Errors
    /// Gives the JSON path within the body.
    pub fn decode(kind: &EventKind, body: &Json) -> Result<Self, DecodeError> {
        if !body.is_object() && kind.is_known() {
            return Err(DecodeError::new("", "expected an object"));
        }
        match kind {
            EventKind::Log => match Log::from_plain(body) {
                Some(log) => Ok(Self::Log(log)),
                None => body.decode().map(Self::Log),
            },
            EventKind::Thought => body.decode().map(Self::Thought),
            EventKind::ToolCall => body.decode().map(Self::ToolCall),
            EventKind::ToolResult => body.decode().map(Self::ToolResult),
            EventKind::Status => body.decode().map(Self::Status),
            EventKind::Metric => body.decode().map(Self::Metric),
            EventKind::ArtifactRef => body.decode().map(Self::ArtifactRef),
            EventKind::Delegate => body.decode().map(Self::Delegate),
            EventKind::Progress => body.decode().map(Self::Progress),
            EventKind::ResultChunk => match ResultChunk::from_plain(body) {
                Some(chunk) => Ok(Self::ResultChunk(chunk)),
                None => body.decode().map(Self::ResultChunk),
            },
            EventKind::Other(_) => Ok(Self::Other(body.clone())),
        }
    }
}

/// How loud a line of log is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogLevel {
    /// `trace`
    Trace,
    /// `debug`
    Debug,
    /// `info`
    Info,
    /// `warn`
    Warn,
    /// `error`
    Error,
    /// Any other word.
    Other(Box<str>),
}

impl LogLevel {
    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for LogLevel {
    /// Letter case does not matter; `warning` is `warn`.
    fn from(word: &str) -> Self {
        let is = |known: &str| word.eq_ignore_ascii_case(known);
        match word {
            _ if is("trace") => Self::Trace,
            _ if is("debug") => Self::Debug,
            _ if is("info") => Self::Info,
            _ if is("warn") || is("warning") => Self::Warn,
            _ if is("error") => Self::Error,
            other => Self::Other(other.into()),
        }
    }
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for LogLevel {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for LogLevel {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::decode::Text::deserialize(deserializer).map(|text| Self::from(text.as_str()))
    }
}

/// `log`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// How loud.
    pub level: LogLevel,
    /// The line.
    pub message: String,
}

impl Log {
    /// A line that has no escapes in it, as most have none: there are many of them.
    fn from_plain(body: &Json) -> Option<Self> {
        let (mut level, mut message) = (None, None);
        Plain::of_json(body).object(|plain, name| match name {
            "level" => once(&mut level, LogLevel::from(plain.string()?)),
            "message" => once(&mut message, plain.string()?.to_owned()),
            _ => plain.value().map(drop),
        })?;
        Some(Self { level: level?, message: message? })
    }
}

/// `thought`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thought {
    /// What the agent thinks.
    pub text: String,
}

/// `tool_call`
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// Which tool.
    pub tool: String,
    /// Its arguments.
    pub args: Json,
    /// Ties the result to the call.
    pub call_id: CallId,
}

/// What is read. Here and below a runtime may write a field under both of its names, which an alias would refuse as
/// a duplicate: the draft's name comes first.
#[derive(Deserialize)]
struct ToolCallWire {
    tool: Option<String>,
    name: Option<String>,
    args: Option<Json>,
    arguments: Option<Json>,
    call_id: Option<CallId>,
    tool_call_id: Option<CallId>,
}

impl<'de> Deserialize<'de> for ToolCall {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = ToolCallWire::deserialize(deserializer)?;
        Ok(Self {
            tool: wire.tool.or(wire.name).ok_or_else(|| D::Error::missing_field("tool"))?,
            args: wire.args.or(wire.arguments).unwrap_or_default(),
            call_id: wire.call_id.or(wire.tool_call_id).ok_or_else(|| D::Error::missing_field("call_id"))?,
        })
    }
}

/// `tool_result`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolResult {
    /// The call that this answers.
    pub call_id: CallId,
    /// What came of it.
    pub outcome: ToolOutcome,
}

/// What came of a tool call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToolOutcome {
    /// What the tool returned.
    Result(Json),
    /// Why it did not.
    Error(ErrorPayload),
}

#[derive(Deserialize)]
struct ToolResultWire {
    call_id: Option<CallId>,
    tool_call_id: Option<CallId>,
    result: Option<Json>,
    output: Option<Json>,
    #[serde(default, deserialize_with = "optional_object")]
    error: Option<ErrorPayload>,
}

impl Serialize for ToolResult {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("ToolResult", 2)?;
        fields.serialize_field("call_id", &self.call_id)?;
        match &self.outcome {
            ToolOutcome::Result(result) => fields.serialize_field("result", result)?,
            ToolOutcome::Error(error) => fields.serialize_field("error", error)?,
        }
        fields.end()
    }
}

impl<'de> Deserialize<'de> for ToolResult {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = ToolResultWire::deserialize(deserializer)?;
        let outcome = match wire.error {
            Some(error) => ToolOutcome::Error(error),
            None => ToolOutcome::Result(wire.result.or(wire.output).unwrap_or_default()),
        };
        let call_id = wire.call_id.or(wire.tool_call_id).ok_or_else(|| D::Error::missing_field("call_id"))?;
        Ok(Self { call_id, outcome })
    }
}

/// `status`. The phase `credential_rotated` also has `id` and `value` (§9.8.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StatusWire")]
pub struct Status {
    /// The phase that the job has reached.
    pub phase: String,
    /// One sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The credential that was rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<CredentialId>,
    /// Its new value; for the submitter only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<CredentialValue>,
}

#[derive(Deserialize)]
struct StatusWire {
    phase: String,
    message: Option<String>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    id: Option<CredentialId>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    credential_id: Option<CredentialId>,
    value: Option<CredentialValue>,
    credential_value: Option<CredentialValue>,
}

impl From<StatusWire> for Status {
    fn from(wire: StatusWire) -> Self {
        Self {
            phase: wire.phase,
            message: wire.message,
            id: wire.id.or(wire.credential_id),
            value: wire.value.or(wire.credential_value),
        }
    }
}

/// `metric`. A name that begins with `cost.` is charged to the budget of its unit (§9.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "MetricWire")]
pub struct Metric {
    /// What was measured.
    pub name: String,
    /// How much, with the digits it came with.
    pub value: Number,
    /// In what unit; for costs, the currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Further dimensions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dimensions: Option<BTreeMap<String, Json>>,
}

/// The kind of the event that stands for events of a job which are no longer kept: its body has a `next_index`, the place in
/// the job's log of the first message that follows.
pub const MISSED: &str = "x-vendor.arcp.missed";

/// The metric that tells what remains of a budget (§9.6). Its like, everything under `cost.budget.`, are no costs.
pub const BUDGET_REMAINING: &str = "cost.budget.remaining";

impl Metric {
    /// A measurement without a unit.
    pub fn new(name: impl Into<String>, value: impl Into<Number>) -> Self {
        Self { name: name.into(), value: value.into(), unit: None, dimensions: None }
    }

    /// In this unit.
    #[must_use]
    pub fn unit(self, unit: impl Into<String>) -> Self {
        Self { unit: Some(unit.into()), ..self }
    }
}

#[derive(Deserialize)]
struct MetricWire {
    name: String,
    value: Number,
    unit: Option<String>,
    dimensions: Option<BTreeMap<String, Json>>,
    dims: Option<BTreeMap<String, Json>>,
    attributes: Option<BTreeMap<String, Json>>,
}

impl From<MetricWire> for Metric {
    fn from(MetricWire { name, value, unit, dimensions, dims, attributes }: MetricWire) -> Self {
        Self { name, value, unit, dimensions: dimensions.or(dims).or(attributes) }
    }
}

/// `artifact_ref`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ArtifactRefWire")]
pub struct ArtifactRef {
    /// Where it is.
    pub uri: String,
    /// Its media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Its size in bytes.
    #[serde(with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub byte_size: Option<u64>,
    /// Its SHA-256 digest in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
struct ArtifactRefWire {
    uri: String,
    content_type: Option<String>,
    media_type: Option<String>,
    #[serde(default, with = "optional_integer")]
    byte_size: Option<u64>,
    #[serde(default, with = "optional_integer")]
    size_bytes: Option<u64>,
    sha256: Option<String>,
}

impl From<ArtifactRefWire> for ArtifactRef {
    fn from(wire: ArtifactRefWire) -> Self {
        Self {
            uri: wire.uri,
            content_type: wire.content_type.or(wire.media_type),
            byte_size: wire.byte_size.or(wire.size_bytes),
            sha256: wire.sha256,
        }
    }
}

/// `delegate` (§10). Some published runtimes name the child here and leave the rest out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegate {
    /// Ties the child's `job.accepted` to this event.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub delegate_id: Option<DelegateId>,
    /// The agent that is to run.
    pub agent: String,
    /// What it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Json>,
    /// What it is to be allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_request: Option<Lease>,
    /// Bounds on its lease.
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub lease_constraints: Option<LeaseConstraints>,
    /// The child, where the runtime names it.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub child_job_id: Option<JobId>,
}

/// `progress` (§8.2.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How far; not negative.
    pub current: Number,
    /// How far it goes; absent if nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Number>,
    /// What is counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<String>,
    /// One sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl ArtifactRef {
    /// An artifact of this media type.
    pub fn new(uri: impl Into<String>, content_type: impl Into<String>) -> Self {
        Self { uri: uri.into(), content_type: Some(content_type.into()), byte_size: None, sha256: None }
    }
}

impl Progress {
    /// Progress of so many, with no end in sight.
    pub fn new(current: impl Into<Number>) -> Self {
        Self { current: current.into(), total: None, units: None, message: None }
    }

    /// Out of so many.
    #[must_use]
    pub fn of(self, total: impl Into<Number>) -> Self {
        Self { total: Some(total.into()), ..self }
    }

    /// What is counted.
    #[must_use]
    pub fn units(self, units: impl Into<String>) -> Self {
        Self { units: Some(units.into()), ..self }
    }

    /// One sentence for people.
    #[must_use]
    pub fn message(self, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(kind: &str, body: &str) -> Result<Body, DecodeError> {
        Body::decode(&EventKind::from(kind), &Json::parse(body.to_owned()).unwrap())
    }

    #[test]
    fn names_that_other_runtimes_use_are_read() {
        let Body::ToolCall(call) =
            decode("tool_call", r#"{"tool_call_id":"c","name":"search","arguments":{"q":1}}"#).unwrap()
        else {
            panic!("not a call");
        };
        assert_eq!(
            serde_json::to_string(&call).unwrap(),
            r#"{"tool":"search","args":{"q":1},"call_id":"c"}"#
        );
        let Body::ToolResult(result) =
            decode("tool_result", r#"{"tool_call_id":"c","output":[1],"error":null}"#).unwrap()
        else {
            panic!("not a result");
        };
        assert_eq!(serde_json::to_string(&result).unwrap(), r#"{"call_id":"c","result":[1]}"#);
        let artifact =
            decode("artifact_ref", r#"{"uri":"u","media_type":"text/html","size_bytes":3}"#).unwrap();
        assert!(matches!(artifact, Body::ArtifactRef(artifact) if artifact.byte_size == Some(3)));
        assert!(
            matches!(decode("log", r#"{"level":"WARNING","message":""}"#).unwrap(), Body::Log(log) if log.level == LogLevel::Warn)
        );
        assert!(matches!(decode("delegate", r#"{"child_job_id":"j","agent":"a"}"#), Ok(Body::Delegate(_))));
    }

    #[test]
    fn a_line_of_log_is_read_as_serde_reads_it() {
        for body in [
            r#"{"level":"info","message":"plain"}"#,
            r#"{ "message" : "ü" , "more":[1,{"level":"x"}], "level" : "Loud" }"#,
            r#"{"level":"info","message":"a \"quoted\" line\n"}"#,
            r#"{"level":"info","message":"a","message":"b"}"#,
            r#"{"level":null,"message":"a"}"#,
            r#"{"level":"info"}"#,
            r#"{"level":"info","message":7}"#,
            "{}",
        ] {
            let serde = Json::parse(body).unwrap().decode::<Log>();
            let read = decode("log", body).map(|body| match body {
                Body::Log(log) => log,
                _ => panic!("another kind"),
            });
            assert_eq!(read, serde, "{body}");
        }
    }

    #[test]
    fn a_rotated_credential_does_not_print() {
        let status =
            decode("status", r#"{"phase":"credential_rotated","id":"cred_1","value":"sk-9"}"#).unwrap();
        assert!(!format!("{status:?}").contains("sk-9"));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let Body::Metric(metric) =
            decode("metric", r#"{"name":"cost.x","value":0.10,"unit":"USD","dims":{"a":1}}"#).unwrap()
        else {
            panic!("not a metric");
        };
        assert_eq!(
            serde_json::to_string(&metric).unwrap(),
            r#"{"name":"cost.x","value":0.10,"unit":"USD","dimensions":{"a":1}}"#
        );
    }
}
