//! Writing an envelope: a small header, then the payload's own text.

use bytestring::ByteString;

use super::{Envelope, PROTOCOL_VERSION};

pub(super) fn encode(envelope: &Envelope) -> ByteString {
    let mut out = String::with_capacity(256 + envelope.payload.len());
    out.push_str("{\"arcp\":\"");
    out.push_str(PROTOCOL_VERSION);
    out.push('"');
    field(&mut out, "id", envelope.id.as_str());
    field(&mut out, "type", envelope.message_type.as_str());
    if let Some(session_id) = &envelope.session_id {
        field(&mut out, "session_id", session_id.as_str());
    }
    if let Some(trace_id) = envelope.trace_id {
        field(&mut out, "trace_id", &trace_id.to_string());
    }
    if let Some(job_id) = &envelope.job_id {
        field(&mut out, "job_id", job_id.as_str());
    }
    if let Some(seq) = envelope.event_seq {
        out.push_str(",\"event_seq\":");
        out.push_str(&seq.min(i64::MAX as u64).to_string());
    }
    if !envelope.extensions.is_empty() {
        out.push_str(",\"extensions\":");
        object(&mut out, &envelope.extensions.0);
    }
    for (name, value) in &envelope.unknown {
        out.push(',');
        string(&mut out, name);
        out.push(':');
        out.push_str(value.as_str());
    }
    out.push_str(",\"payload\":");
    out.push_str(envelope.payload.as_str());
    out.push('}');
    one_line(out).into()
}

/// Payloads are written as they came, line breaks between their tokens included, and an envelope is one line (§4.2).
/// Inside a JSON string a line break is an escape, so that every raw one is white space.
fn one_line(text: String) -> String {
    if text.bytes().any(|b| b == b'\n' || b == b'\r') { text.replace(['\n', '\r'], " ") } else { text }
}

fn field(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    string(out, value);
}

fn object(out: &mut String, members: &std::collections::BTreeMap<Box<str>, crate::json::Json>) {
    out.push('{');
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        string(out, name);
        out.push(':');
        out.push_str(value.as_str());
    }
    out.push('}');
}

/// Writes a JSON string. Almost none needs an escape.
fn string(out: &mut String, text: &str) {
    let plain = text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    out.push('"');
    if plain {
        out.push_str(text);
    } else {
        let escaped = serde_json::Value::from(text).to_string();
        out.push_str(&escaped[1..escaped.len() - 1]);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Cancel;

    #[test]
    fn absent_fields_are_left_out_and_the_payload_comes_last() {
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
