//! Reading an envelope: one pass over the frame, borrowing, with the payload left as text.

use std::collections::BTreeMap;
use std::fmt;

use bytestring::ByteString;
use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Envelope, EnvelopeError, Extensions, Undecodable};
use crate::decode::{self, DecodeError, Integer, Text};
use crate::id::{self, JobId, MessageId, SessionId, empty_is_absent};
use crate::json::Json;
use crate::message::MessageType;
use crate::plain::{Plain, once};
use crate::trace::{self, TraceId};

pub(super) fn decode(frame: &ByteString) -> Result<Envelope, Undecodable> {
    match decode_plain(frame) {
        Some(envelope) => Ok(envelope),
        None => decode_any(frame),
    }
}

/// An envelope as almost all are: nothing in it but what the draft has, and all of that as it should be.
fn decode_plain(frame: &ByteString) -> Option<Envelope> {
    let (mut version, mut id, mut message_type) = (None, None, None);
    let (mut session_id, mut trace_id, mut job_id, mut event_seq) = (None, None, None, None);
    let mut payload = None;
    let mut plain = Plain::of(frame);
    plain.object(|plain, name| match name {
        "arcp" => once(&mut version, plain.string()?),
        "id" => once(&mut id, plain.string()?.parse().ok()?),
        "type" => once(&mut message_type, plain.string().filter(|name| id::is_word(name))?),
        "session_id" => once(&mut session_id, plain.string()?.parse().ok()?),
        "trace_id" => once(&mut trace_id, plain.string()?.parse().ok()?),
        "job_id" => once(&mut job_id, plain.string()?.parse().ok()?),
        "event_seq" => once(&mut event_seq, plain.integer().filter(|seq| *seq > 0)?),
        "payload" => once(&mut payload, plain.object(|plain, _| plain.value().map(drop))?),
        _ => None,
    })?;
    (plain.is_at_end() && speaks_version(version?)).then_some(())?;
    Some(Envelope {
        id: id?,
        message_type: MessageType::from(message_type?),
        session_id,
        trace_id,
        job_id,
        event_seq,
        extensions: Extensions::default(),
        payload: Json::trusted(frame.slice_ref(payload?)),
        unknown: BTreeMap::new(),
    })
}

fn decode_any(frame: &ByteString) -> Result<Envelope, Undecodable> {
    let fields: Fields<'_> = decode::from_str(frame)
        .map_err(|error| Undecodable { error: EnvelopeError::Malformed(error), id: salvage_id(frame) })?;
    let malformed = |error| Undecodable { error: EnvelopeError::Malformed(error), id: fields.id.clone() };
    let missing = |name: &str| malformed(DecodeError::new("", format!("missing field `{name}`")));

    let version = fields.arcp.as_ref().ok_or_else(|| missing("arcp"))?;
    if !speaks_version(version.as_str()) {
        return Err(Undecodable { error: EnvelopeError::Version, id: fields.id.clone() });
    }
    let id = fields.id.clone().ok_or_else(|| missing("id"))?;
    let message_type = fields.message_type.clone().ok_or_else(|| missing("type"))?;
    let payload = match fields.payload {
        None => Json::empty_object(),
        Some(raw) if raw.get().starts_with('{') => Json::trusted(frame.slice_ref(raw.get())),
        Some(_) => return Err(malformed(DecodeError::new("payload", "expected an object"))),
    };
    Ok(Envelope {
        id,
        message_type,
        session_id: fields.session_id,
        trace_id: fields.trace_id,
        job_id: fields.job_id,
        event_seq: fields.event_seq,
        extensions: fields.extensions,
        payload,
        unknown: fields.unknown,
    })
}

fn speaks_version(version: &str) -> bool {
    version == "1"
        || version
            .strip_prefix("1.")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

/// The `id` of a frame that is an object with a usable one, whatever else is wrong with it.
fn salvage_id(frame: &str) -> Option<MessageId> {
    #[derive(Deserialize)]
    struct Only {
        id: Option<MessageId>,
    }
    serde_json::from_str::<Only>(frame).ok()?.id
}

#[derive(Default)]
struct Fields<'a> {
    arcp: Option<Text<'a>>,
    id: Option<MessageId>,
    message_type: Option<MessageType>,
    session_id: Option<SessionId>,
    trace_id: Option<TraceId>,
    job_id: Option<JobId>,
    event_seq: Option<u64>,
    extensions: Extensions,
    payload: Option<&'a RawValue>,
    unknown: BTreeMap<Box<str>, Json>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvelopeVisitor)
    }
}

/// At most this many unknown fields are kept; further ones are read and dropped.
const MAX_UNKNOWN: usize = 32;

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an envelope object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
        let mut fields = Fields::default();
        let mut seen = 0_u16;
        let mut once = |bit: u16, name: &'static str| {
            if seen & (1 << bit) != 0 {
                return Err(de::Error::duplicate_field(name));
            }
            seen |= 1 << bit;
            Ok(())
        };
        while let Some(key) = map.next_key::<Text<'de>>()? {
            match key.as_str() {
                "arcp" => {
                    once(0, "arcp")?;
                    fields.arcp = map.next_value()?;
                }
                "id" => {
                    once(1, "id")?;
                    fields.id = Some(map.next_value()?);
                }
                "type" => {
                    once(2, "type")?;
                    fields.message_type = map.next_value::<Option<TypeName>>()?.map(|TypeName(name)| name);
                }
                "session_id" => {
                    once(3, "session_id")?;
                    fields.session_id = map.next_value::<Optional<SessionId>>()?.0;
                }
                "trace_id" => {
                    once(4, "trace_id")?;
                    fields.trace_id = map.next_value::<Lenient>()?.0;
                }
                "job_id" => {
                    once(5, "job_id")?;
                    fields.job_id = map.next_value::<Optional<JobId>>()?.0;
                }
                "event_seq" => {
                    once(6, "event_seq")?;
                    let seq = map.next_value::<Option<Integer>>()?;
                    fields.event_seq = seq.map(|Integer(seq)| seq).filter(|seq| *seq > 0);
                }
                "extensions" => {
                    once(7, "extensions")?;
                    fields.extensions = map.next_value::<Option<Extensions>>()?.unwrap_or_default();
                }
                "payload" => {
                    once(8, "payload")?;
                    fields.payload = map.next_value()?;
                }
                _ if fields.unknown.len() >= MAX_UNKNOWN => {
                    map.next_value::<IgnoredAny>()?;
                }
                other => {
                    let name = other.into();
                    fields.unknown.insert(name, map.next_value()?);
                }
            }
        }
        Ok(fields)
    }
}

/// A message type: any word, but one that a log can hold.
struct TypeName(MessageType);

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Text::deserialize(deserializer)?;
        if id::is_word(name.as_str()) {
            Ok(Self(MessageType::from(name.as_str())))
        } else {
            Err(decode::expected("a message type of 1 to 256 bytes without control characters"))
        }
    }
}

struct Optional<T>(Option<T>);

impl<'de, T: std::str::FromStr> Deserialize<'de> for Optional<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        empty_is_absent(deserializer).map(Self)
    }
}

struct Lenient(Option<TraceId>);

impl<'de> Deserialize<'de> for Lenient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        trace::lenient(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(fields: &str) -> String {
        format!(r#"{{"arcp":"1.1","id":"m1","type":"session.ping","payload":{{}}{fields}}}"#)
    }

    #[test]
    fn the_payload_is_a_slice_of_the_frame() {
        let text = ByteString::from(r#"{"arcp":"1","type":"job.event","payload":{"kind": 7 },"id":"m"}"#);
        let envelope = Envelope::decode(text.clone()).unwrap();
        assert_eq!(envelope.payload.as_str(), r#"{"kind": 7 }"#);
        let offset = envelope.payload.as_str().as_ptr() as usize - text.as_ptr() as usize;
        assert_eq!(&text[offset..offset + 12], r#"{"kind": 7 }"#);
    }

    #[test]
    fn what_is_unknown_survives_and_null_is_absent() {
        let text = frame(
            r#","future":{"a":[1.10]},"session_id":null,"job_id":"","trace_id":"nonsense","extensions":{"x-vendor.a.b":1}"#,
        );
        let envelope = Envelope::decode(text).unwrap();
        assert!(envelope.session_id.is_none() && envelope.job_id.is_none() && envelope.trace_id.is_none());
        let again = Envelope::decode(envelope.encode()).unwrap();
        assert_eq!(again.unknown["future"].as_str(), r#"{"a":[1.10]}"#);
        assert_eq!(again.extensions.by_name("x-vendor.a.b").unwrap().as_str(), "1");
    }

    proptest! {
        /// Which of the two reads a frame makes no difference.
        #[test]
        fn a_frame_is_read_as_serde_reads_it(
            names in prop::collection::vec(prop::sample::select(vec![
                "arcp", "id", "type", "session_id", "trace_id", "job_id", "event_seq", "payload", "extensions", "more",
            ]), 0..12),
            values in prop::collection::vec(prop::sample::select(vec![
                r#""1.1""#, r#""2""#, r#""""#, r#""m 1""#, r#""job.event""#, r#""a\"b""#, r#""4bf92f3577b34da6a3ce929d0e0e4736""#,
                "7", "0", "-1", "9223372036854775808", "1.0", "null", "{}", r#"{"kind":"log","body":{"a":[1,"\n"]}}"#, "[]", "{\n}",
            ]), 12),
            all in any::<bool>(),
        ) {
            let mut members = vec![r#""arcp":"1.1","id":"m1","type":"job.event""#.to_owned()];
            members.truncate(usize::from(all));
            members.extend(names.iter().zip(&values).map(|(name, value)| format!("{name:?}:{value}")));
            let frame = ByteString::from(format!("{{{}}}", members.join(",")));
            if let Some(plain) = decode_plain(&frame) {
                let any = decode_any(&frame);
                let whole = |envelope: &Envelope| format!("{envelope:?} {}", envelope.payload.as_str());
                prop_assert_eq!(Some(whole(&plain)), any.ok().as_ref().map(whole), "{}", frame);
            }
        }
    }

    #[test]
    fn every_minor_of_one_is_read_and_no_other_major() {
        for good in ["1", "1.0", "1.1", "1.27", "1.1.0", "1.2-draft"] {
            assert!(Envelope::decode(frame("").replace("\"1.1\"", &format!("{good:?}"))).is_ok(), "{good}");
        }
        for bad in ["", "2", "2.0", "1.", "1.x", "11", "0.1"] {
            let refused = Envelope::decode(frame("").replace("\"1.1\"", &format!("{bad:?}"))).unwrap_err();
            assert_eq!(refused.error, EnvelopeError::Version, "{bad}");
            assert_eq!(refused.id.unwrap().as_str(), "m1");
        }
    }

    #[test]
    fn a_refusal_names_the_place_and_the_request() {
        let cases = [
            ("not json", "not valid JSON: expected ident at line 1 column 2", false),
            ("[]", "expected an envelope object", false),
            (r#"{"arcp":"1.1","type":"a","payload":{}}"#, "missing field `id`", false),
            (r#"{"id":"m1","type":"a","payload":{}}"#, "missing field `arcp`", true),
            (r#"{"id":"m1","arcp":"1.1","payload":{}}"#, "missing field `type`", true),
            (r#"{"id":"m1","arcp":"1.1","type":7}"#, "type: expected a string", true),
            (r#"{"id":"m1","arcp":"1.1","type":"a","payload":[]}"#, "payload: expected an object", true),
            (
                r#"{"id":"m1","arcp":"1.1","type":"a","event_seq":1822.0}"#,
                "event_seq: expected an integer from 0 to 9223372036854775807",
                true,
            ),
            (
                r#"{"id":"m1","arcp":"1.1","type":"a","event_seq":-1}"#,
                "event_seq: expected an integer from 0 to 9223372036854775807",
                true,
            ),
            (r#"{"id":"m1","arcp":"1.1","type":"a","type":"b"}"#, "duplicate field `type`", true),
        ];
        for (text, message, has_id) in cases {
            let refused = Envelope::decode(text).unwrap_err();
            assert_eq!(refused.to_string(), message, "{text}");
            assert_eq!(refused.id.is_some(), has_id, "{text}");
        }
    }

    #[test]
    fn a_missing_payload_is_an_empty_one() {
        let envelope =
            Envelope::decode(r#"{"id":"m1","arcp":"1.1","type":"session.close","payload":null}"#).unwrap();
        assert_eq!(envelope.payload.as_str(), "{}");
    }
}
