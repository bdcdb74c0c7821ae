//! Job events (§8): `{kind, ts, body}`, with the body left as text until it is asked for.

mod body;
mod chunk;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use body::{
    ArtifactRef, BUDGET_REMAINING, Body, Delegate, Log, LogLevel, MISSED, Metric, Progress, Status, Thought,
    ToolCall, ToolOutcome, ToolResult,
};
pub use chunk::{ChunkEncoding, InvalidChunk, ResultChunk, to_base64};

use crate::decode::{DecodeError, object};
use crate::json::{EncodeError, Json, TYPICAL_BYTES};
use crate::plain::{Plain, once};
use crate::text_enum::text_enum;
use crate::timestamp::{Second, Timestamp};

text_enum! {
    /// The kind of an event (§8.2); vendors add their own under `x-vendor.`.
    pub enum EventKind {
        /// A line of log.
        Log = "log",
        /// The agent's reasoning.
        Thought = "thought",
        /// The agent calls a tool.
        ToolCall = "tool_call",
        /// The tool has answered, or was refused.
        ToolResult = "tool_result",
        /// The job has reached a phase.
        Status = "status",
        /// A measurement, cost included.
        Metric = "metric",
        /// Something addressable was made.
        ArtifactRef = "artifact_ref",
        /// The agent delegates (§10).
        Delegate = "delegate",
        /// How far the job has come (§8.2.1).
        Progress = "progress",
        /// A piece of a streamed result (§8.4).
        ResultChunk = "result_chunk",
    }
}

/// The payload of `job.event` (§8.1).
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// What kind.
    pub kind: EventKind,
    /// When it was emitted; the epoch if the runtime does not say.
    pub ts: Timestamp,
    /// The body, by kind.
    pub body: Json,
}

fn epoch() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Wire {
            kind: EventKind,
            ts: Option<Timestamp>,
            body: Option<Json>,
        }
        let Wire { kind, ts, body } = object(deserializer)?;
        Ok(Self { kind, ts: ts.unwrap_or_else(epoch), body: body.unwrap_or_else(Json::empty_object) })
    }
}

impl Event {
    /// An event with a body that is encoded already.
    pub fn new(kind: EventKind, ts: Timestamp, body: Json) -> Self {
        Self { kind, ts, body }
    }

    /// Encodes the payload of a `job.event` with a body that is not encoded yet.
    ///
    /// # Errors
    /// When the body cannot be encoded.
    pub fn encode<B: Serialize + ?Sized>(
        kind: &EventKind,
        ts: Timestamp,
        body: &B,
    ) -> Result<Json, EncodeError> {
        let mut text = Vec::with_capacity(TYPICAL_BYTES);
        text.extend_from_slice(b"{\"kind\":");
        Json::encode_into(&mut text, kind)?;
        text.extend_from_slice(b",\"ts\":\"");
        text.extend_from_slice(&ts.text());
        text.extend_from_slice(b"\",\"body\":");
        Json::encode_into(&mut text, body)?;
        text.push(b'}');
        Json::encoded(text)
    }

    /// Decodes the payload of a `job.event`. The body shares the payload's memory.
    ///
    /// # Errors
    /// Gives the JSON path within the payload.
    pub fn from_json(payload: &Json) -> Result<Self, DecodeError> {
        #[derive(Deserialize)]
        struct Borrowed<'a> {
            kind: EventKind,
            ts: Option<Timestamp>,
            #[serde(borrow)]
            body: Option<&'a RawValue>,
        }
        if let Some(event) = Self::from_plain(payload) {
            return Ok(event);
        }
        if !payload.is_object() {
            return Err(DecodeError::new("", "expected an object"));
        }
        let Borrowed { kind, ts, body } = crate::decode::from_str(payload.as_str())?;
        let body = body.map_or_else(Json::empty_object, |raw| payload.slice(raw.get()));
        Ok(Self { kind, ts: ts.unwrap_or_else(epoch), body })
    }

    /// The same, of a payload as almost all are.
    fn from_plain(payload: &Json) -> Option<Self> {
        let mut plain = Plain::of_json(payload);
        let text = payload.as_text();
        Self::read_plain(&mut plain, text, &mut Second::default()).map(|(_, event)| event)
    }

    /// The same, where it stands in a frame, whose memory the body shares. Gives also the payload's text.
    pub(crate) fn read_plain<'a>(
        plain: &mut Plain<'a>,
        frame: &ByteString,
        second: &mut Second,
    ) -> Option<(&'a str, Self)> {
        let (mut kind, mut ts, mut body) = (None, None, None);
        let payload = plain.object(|plain, name| match name {
            "kind" => once(&mut kind, EventKind::from(plain.string()?)),
            "ts" => once(&mut ts, second.read(plain.string()?)?),
            "body" => once(&mut body, plain.value()?),
            _ => plain.value().map(drop),
        })?;
        let body = body.filter(|body| *body != "null")?;
        Some((payload, Self { kind: kind?, ts: ts?, body: Json::trusted(frame.slice_ref(body)) }))
    }

    /// Decodes the body as its kind demands. An unknown kind yields [`Body::Other`].
    ///
    /// # Errors
    /// Gives the JSON path, starting with `body`. The event itself can still be read from [`Event::body`](field@Event::body).
    pub fn body(&self) -> Result<Body, DecodeError> {
        Body::decode(&self.kind, &self.body).map_err(|error| error.within("body"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_may_come_first_and_is_a_slice() {
        let payload =
            Json::parse(r#"{"body":{"text":"a"},"ts":"2026-05-13T19:42:13Z","kind":"thought","more":1}"#)
                .unwrap();
        let event = Event::from_json(&payload).unwrap();
        assert!(payload.as_str().as_bytes().as_ptr_range().contains(&event.body.as_str().as_ptr()));
        assert!(matches!(event.body().unwrap(), Body::Thought(thought) if thought.text == "a"));
    }

    #[test]
    fn a_payload_is_written_as_it_is_serialised() {
        let ts = Timestamp::from_millis(1_700_000_000_123);
        for kind in [EventKind::Log, EventKind::from("x-vendor.a\"b.c")] {
            let body = serde_json::json!({ "level": "info", "message": "\u{1}ü" });
            let whole = Json::encode(&Event::new(kind.clone(), ts, Json::from(body.clone()))).unwrap();
            assert_eq!(Event::encode(&kind, ts, &body).unwrap().as_str(), whole.as_str());
        }
    }

    #[test]
    fn an_unknown_kind_is_passed_through_raw() {
        let payload = Json::parse(r#"{"kind":"x-vendor.acme.note","body":[1,2]}"#).unwrap();
        let event = Event::from_json(&payload).unwrap();
        assert!(matches!(event.body().unwrap(), Body::Other(body) if body.as_str() == "[1,2]"));
        assert_eq!(event.kind.as_str(), "x-vendor.acme.note");
    }

    #[test]
    fn a_wrong_body_is_an_error_with_a_path() {
        let payload = Json::parse(r#"{"kind":"progress","body":{"current":"far"}}"#).unwrap();
        let error = Event::from_json(&payload).unwrap().body().unwrap_err();
        assert_eq!(error.to_string(), "body.current: expected a number");
    }
}
