//! Frames: what is read of an envelope is written and read as the same again.

use std::collections::BTreeMap;

use arcp_core::Incoming;
use arcp_proto::{Envelope, Extensions, Json};
use serde_json::Value;

use crate::{assert_discreet, with_canaries};

/// The longest id and the longest name of a type, in bytes.
const WORD: usize = 256;
/// How many unknown fields are kept.
const UNKNOWN: usize = 32;

/// A frame; each `$` in it is a secret.
pub fn envelope(data: &[u8]) {
    let Some(frame) = with_canaries(data) else { return };
    let _ = Incoming::text(frame.clone());
    let envelope = match Envelope::decode(frame.clone()) {
        Ok(envelope) => envelope,
        Err(undecodable) => {
            assert_discreet(&undecodable.error);
            if let Some(id) = &undecodable.id {
                assert_is_word(id.as_str());
            }
            return;
        }
    };
    assert_limits(&envelope);
    if let Ok(value) = serde_json::from_str::<Value>(&frame) {
        assert_reads_alike(&envelope, &value);
    }
    if let Err(error) = envelope.message() {
        assert_discreet(&error);
    }
    let again = envelope.encode();
    assert!(!again.contains(['\n', '\r']), "an envelope is one line: {again:?}");
    let second = Envelope::decode(again.clone()).expect("what was encoded decodes");
    assert_same(&envelope, &second);
    assert_eq!(second.encode(), again, "what was encoded once is encoded so again");
}

fn assert_is_word(text: &str) {
    let sound = (1..=WORD).contains(&text.len()) && !text.contains(char::is_control);
    assert!(sound, "no id and no type: {text:?}");
}

fn assert_limits(envelope: &Envelope) {
    assert_is_word(envelope.id.as_str());
    assert_is_word(envelope.message_type.as_str());
    envelope.session_id.iter().for_each(|id| assert_is_word(id.as_str()));
    envelope.job_id.iter().for_each(|id| assert_is_word(id.as_str()));
    assert!(envelope.event_seq.is_none_or(|seq| (1..=i64::MAX as u64).contains(&seq)));
    assert!(envelope.unknown.len() <= UNKNOWN);
    assert!(envelope.payload.is_object());
}

/// Another reader of JSON finds the same in the frame.
fn assert_reads_alike(envelope: &Envelope, frame: &Value) {
    assert_eq!(frame["id"], envelope.id.as_str());
    assert_eq!(frame["type"], envelope.message_type.as_str());
    assert_eq!(frame["session_id"].as_str().unwrap_or_default(), text(&envelope.session_id));
    assert_eq!(frame["job_id"].as_str().unwrap_or_default(), text(&envelope.job_id));
    assert_eq!(frame["event_seq"].as_u64().unwrap_or_default(), envelope.event_seq.unwrap_or_default());
    let payload = match &frame["payload"] {
        Value::Null => &Value::Object(serde_json::Map::new()),
        payload => payload,
    };
    assert_eq!(payload, &envelope.payload.decode::<Value>().expect("it was decoded before"));
    for (name, value) in &envelope.unknown {
        assert_eq!(frame[&**name], value.decode::<Value>().expect("it was decoded before"), "{name}");
    }
}

fn text<T: ToString>(id: &Option<T>) -> String {
    id.as_ref().map(T::to_string).unwrap_or_default()
}

fn assert_same(one: &Envelope, other: &Envelope) {
    assert_eq!(one.id, other.id);
    assert_eq!(one.message_type, other.message_type);
    assert_eq!(one.session_id, other.session_id);
    assert_eq!(one.trace_id, other.trace_id);
    assert_eq!(one.job_id, other.job_id);
    assert_eq!(one.event_seq, other.event_seq);
    assert_eq!(in_one_line(&one.payload), in_one_line(&other.payload));
    assert_eq!(members(&one.extensions), members(&other.extensions));
    assert_eq!(lines(&one.unknown), lines(&other.unknown));
}

/// White space between tokens is kept, but for line breaks, which become spaces.
fn in_one_line(json: &Json) -> String {
    json.as_str().replace(['\n', '\r'], " ")
}

fn lines(members: &BTreeMap<Box<str>, Json>) -> BTreeMap<&str, String> {
    members.iter().map(|(name, value)| (&**name, in_one_line(value))).collect()
}

fn members(extensions: &Extensions) -> String {
    in_one_line(&Json::encode(extensions).expect("names are strings"))
}
