//! Writing an envelope: a small header, then the payload's own text.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::{EVENT_SEQ, Envelope, Extensions, HEAD, PAYLOAD};
use crate::decode::LARGEST;
use crate::id::{JobId, SessionId};
use crate::json::Json;
use crate::message::MessageType;
use crate::plain;
use crate::trace::TraceId;

/// An envelope as its writer needs it: everything borrowed. [`Envelope`] says what the fields are.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "they are those of an envelope")]
pub struct EnvelopeRef<'a> {
    pub id: &'a str,
    pub message_type: &'a MessageType,
    pub session_id: Option<&'a SessionId>,
    pub trace_id: Option<TraceId>,
    pub job_id: Option<&'a JobId>,
    pub event_seq: Option<u64>,
    pub extensions: &'a Extensions,
    pub payload: &'a Json,
}

impl EnvelopeRef<'_> {
    /// Encodes the envelope. No absent field is written.
    pub fn encode(&self) -> ByteString {
        self.encode_with(|_| {})
    }

    /// What stands between the id and the number: the same in all events of a job that one session is sent, which
    /// [`numbered`](Self::numbered) writes around it.
    pub fn common(&self) -> String {
        let mut out = String::with_capacity(192);
        self.write_common(&mut out);
        out
    }

    /// The frame around a payload that differs from others in nothing but its id, which needs no escapes, and its number.
    pub fn numbered(id: &str, common: &str, event_seq: u64, payload: &Json) -> ByteString {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(event_seq.min(LARGEST));
        let parts = [HEAD, id, "\"", common, EVENT_SEQ, digits, PAYLOAD];
        let head: usize = parts.iter().map(|part| part.len()).sum();
        let mut out = String::with_capacity(head + payload.len() + 1);
        parts.iter().for_each(|part| out.push_str(part));
        value(&mut out, payload);
        out.push('}');
        out.into()
    }

    fn write_common(&self, out: &mut String) {
        field(out, "type", self.message_type.as_str());
        if let Some(session_id) = self.session_id {
            field(out, "session_id", session_id.as_str());
        }
        if let Some(trace_id) = self.trace_id {
            field(out, "trace_id", trace_id.text(&mut [0; 32]));
        }
        if let Some(job_id) = self.job_id {
            field(out, "job_id", job_id.as_str());
        }
    }

    /// The same, with more fields before the payload.
    fn encode_with(&self, more: impl FnOnce(&mut String)) -> ByteString {
        let mut out = String::with_capacity(256 + self.payload.len());
        out.push_str(HEAD);
        string_inside(&mut out, self.id);
        out.push('"');
        self.write_common(&mut out);
        if let Some(seq) = self.event_seq {
            out.push_str(EVENT_SEQ);
            out.push_str(itoa::Buffer::new().format(seq.min(LARGEST)));
        }
        let Extensions(extensions) = self.extensions;
        if !extensions.is_empty() {
            out.push_str(",\"extensions\":");
            object(&mut out, extensions);
        }
        more(&mut out);
        out.push_str(PAYLOAD);
        value(&mut out, self.payload);
        out.push('}');
        out.into()
    }
}

pub(super) fn encode(envelope: &Envelope) -> ByteString {
    let Envelope { id, message_type, session_id, trace_id, job_id, event_seq, extensions, payload, unknown } =
        envelope;
    let known = EnvelopeRef {
        id: id.as_str(),
        message_type,
        session_id: session_id.as_ref(),
        trace_id: *trace_id,
        job_id: job_id.as_ref(),
        event_seq: *event_seq,
        extensions,
        payload,
    };
    known.encode_with(|out| {
        for (name, value) in unknown {
            out.push(',');
            string(out, name);
            out.push(':');
            self::value(out, value);
        }
    })
}

/// Text of which what is looked at is still near when it is copied.
const BLOCK: usize = 4096;

/// Values are written as they came, but an envelope is one line (§4.2): inside a JSON string a line break is an escape, so that every
/// raw one is white space.
fn value(out: &mut String, value: &Json) {
    let mut rest = value.as_str();
    while !rest.is_empty() {
        let mut end = rest.len().min(BLOCK);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (block, after) = rest.split_at(end);
        match memchr::memchr2(b'\n', b'\r', block.as_bytes()) {
            None => out.push_str(block),
            Some(_) => out.push_str(&block.replace(['\n', '\r'], " ")),
        }
        rest = after;
    }
}

fn field(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    string(out, value);
}

fn object(out: &mut String, members: &BTreeMap<Box<str>, Json>) {
    out.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        self::value(out, value);
    }
    out.push('}');
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    string_inside(out, text);
    out.push('"');
}

/// Writes a JSON string but for its quotes. Almost none needs an escape.
fn string_inside(out: &mut String, text: &str) {
    if plain::special(text.as_bytes()).is_none() {
        out.push_str(text);
    } else {
        let escaped = serde_json::Value::from(text).to_string();
        out.push_str(&escaped[1..escaped.len() - 1]);
    }
}

#[cfg(test)]
mod tests {
    use super::super::PROTOCOL_VERSION;
    use super::*;
    use crate::job::Cancel;

    #[test]
    fn what_events_have_in_common_is_spliced_in() {
        let mut envelope = Envelope::with_payload(
            "m1".parse().unwrap(),
            MessageType::JobEvent,
            Json::parse("{\n\"kind\": \"log\"}").unwrap(),
        );
        envelope.session_id = Some("s\"1".parse().unwrap());
        envelope.job_id = Some("j".parse().unwrap());
        envelope.trace_id = TraceId::new(7);
        for seq in [1, u64::MAX] {
            envelope.event_seq = Some(seq);
            let whole = EnvelopeRef {
                id: envelope.id.as_str(),
                message_type: &envelope.message_type,
                session_id: envelope.session_id.as_ref(),
                trace_id: envelope.trace_id,
                job_id: envelope.job_id.as_ref(),
                event_seq: envelope.event_seq,
                extensions: &envelope.extensions,
                payload: &envelope.payload,
            };
            let spliced = EnvelopeRef::numbered("m1", &whole.common(), seq, &envelope.payload);
            assert_eq!(spliced, whole.encode());
        }
    }

    #[test]
    fn absent_fields_are_left_out_and_the_payload_comes_last() {
        assert_eq!(HEAD, format!("{{\"arcp\":\"{PROTOCOL_VERSION}\",\"id\":\""));
        let envelope = Envelope::new("m\"1".parse().unwrap(), &Cancel::default());
        assert_eq!(envelope.encode(), r#"{"arcp":"1.1","id":"m\"1","type":"job.cancel","payload":{}}"#);
    }

    #[test]
    fn an_envelope_is_one_line() {
        let payload = crate::Json::parse("{\r\n \"reason\": \"a\\nb\"\n}").unwrap();
        let mut envelope =
            Envelope::with_payload("m".parse().unwrap(), crate::MessageType::JobCancel, payload);
        envelope.unknown.insert("x".into(), crate::Json::parse("[1,\n2]").unwrap());
        let text = envelope.encode();
        assert!(!text.contains(['\n', '\r']), "{text}");
        assert_eq!(Envelope::decode(text).unwrap().payload.as_str(), r#"{   "reason": "a\nb" }"#);
    }

    #[test]
    fn every_field_survives() {
        let text = concat!(
            r#"{"arcp":"1.1","id":"m1","type":"job.event","session_id":"s","#,
            r#""trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","job_id":"j","event_seq":9223372036854775807,"#,
            r#""extensions":{"x-vendor.a.b":{"k":[1]},"x-vendor.a.c":null},"other":1.50,"payload":{"kind":"x"}}"#
        );
        assert_eq!(Envelope::decode(text).unwrap().encode(), text);
    }
}
