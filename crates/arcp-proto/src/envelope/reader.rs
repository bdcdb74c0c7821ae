//! Reading one frame after another of one peer: its events begin alike, and what is said again is not read again.

use std::collections::BTreeMap;

use bytestring::ByteString;

use super::{EVENT_SEQ, Envelope, Extensions, HEAD, PAYLOAD, Undecodable};
use crate::decode::DecodeError;
use crate::event::Event;
use crate::id::{JobId, SessionId};
use crate::json::Json;
use crate::message::{Message, MessageType};
use crate::plain::{self, Plain};
use crate::timestamp::Second;
use crate::trace::TraceId;

/// Jobs whose beginnings are remembered.
const JOBS: usize = 4;

/// Reads the frames of one connection.
///
/// What comes of a frame is what [`Envelope::decode`] and [`Envelope::message`] make of it, whatever was read before. It is only
/// faster: from one event of a job to the next little differs but the payload.
#[derive(Debug, Default)]
pub struct Reader {
    alike: Vec<Alike>,
    /// The place of the one that is forgotten next.
    oldest: usize,
    second: Second,
}

/// What stands between the id and the number of an event, and what it means.
#[derive(Debug)]
struct Alike {
    text: Box<str>,
    session_id: Option<SessionId>,
    trace_id: Option<TraceId>,
    job_id: Option<JobId>,
}

impl Reader {
    /// Reads a frame, and its payload as its type demands. The payload shares the frame's memory; an error in it names the place,
    /// starting with `payload`.
    ///
    /// # Errors
    /// As [`Envelope::decode`] has them.
    pub fn read(
        &mut self,
        frame: &ByteString,
    ) -> Result<(Envelope, Result<Message, DecodeError>), Undecodable> {
        if let Some((envelope, event)) = self.read_alike(frame) {
            return Ok((envelope, Ok(Message::JobEvent(event))));
        }
        let envelope = Envelope::decode(frame.clone())?;
        if let Some(text) = between(frame, &envelope) {
            self.remember(text, &envelope);
        }
        let message = envelope.message();
        Ok((envelope, message))
    }

    /// An event that begins as one did before.
    fn read_alike(&mut self, frame: &ByteString) -> Option<(Envelope, Event)> {
        let rest = frame.strip_prefix(HEAD)?;
        // An escape in the id is for others; what is remembered begins with the quote.
        let (id, rest) = rest.split_at_checked(plain::special(rest.as_bytes())?)?;
        let (alike, rest) =
            self.alike.iter().find_map(|alike| Some((alike, rest.strip_prefix(&*alike.text)?)))?;
        let mut plain = Plain::of(rest);
        let event_seq = plain.integer().filter(|seq| *seq > 0)?;
        plain.literal(PAYLOAD)?;
        let (payload, event) = Event::read_plain(&mut plain, frame, &mut self.second)?;
        plain.literal("}")?;
        plain.is_at_end().then_some(())?;
        let envelope = Envelope {
            id: id.parse().ok()?,
            message_type: MessageType::JobEvent,
            session_id: alike.session_id.clone(),
            trace_id: alike.trace_id,
            job_id: alike.job_id.clone(),
            event_seq: Some(event_seq),
            extensions: Extensions::default(),
            payload: Json::trusted(frame.slice_ref(payload)),
            unknown: BTreeMap::new(),
        };
        Some((envelope, event))
    }

    fn remember(&mut self, text: &str, envelope: &Envelope) {
        if self.alike.iter().any(|alike| &*alike.text == text) {
            return; // it is something else that differs
        }
        let alike = Alike {
            text: text.into(),
            session_id: envelope.session_id.clone(),
            trace_id: envelope.trace_id,
            job_id: envelope.job_id.clone(),
        };
        match self.alike.get_mut(self.oldest) {
            Some(place) => *place = alike,
            None => self.alike.push(alike),
        }
        self.oldest = (self.oldest + 1) % JOBS;
    }
}

/// What stands between the id of an event and its number, if nothing else is between the two and the payload comes last: then
/// every frame that has this there has the same type, session, trace and job.
fn between<'a>(frame: &'a str, envelope: &Envelope) -> Option<&'a str> {
    let simple = envelope.message_type == MessageType::JobEvent
        && envelope.unknown.is_empty()
        && envelope.extensions.is_empty();
    simple.then_some(())?;
    let rest = frame.strip_prefix(HEAD)?.strip_prefix(envelope.id.as_str())?;
    let rest = rest.strip_suffix('}')?.strip_suffix(envelope.payload.as_str())?.strip_suffix(PAYLOAD)?;
    let text = rest.trim_end_matches(|digit: char| digit.is_ascii_digit());
    (text.starts_with('"') && text.ends_with(EVENT_SEQ)).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(id: &str, job: &str, seq: &str, payload: &str) -> String {
        format!(
            r#"{{"arcp":"1.1","id":"{id}","type":"job.event","session_id":"s","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","job_id":"{job}","event_seq":{seq},"payload":{payload}}}"#
        )
    }

    const LOG: &str =
        r#"{"kind":"log","ts":"2026-05-13T19:42:13.842Z","body":{"level":"info","message":"a"}}"#;

    fn told(
        read: Result<(Envelope, Result<Message, DecodeError>), Undecodable>,
    ) -> Result<String, Undecodable> {
        read.map(|(envelope, message)| {
            let body = match &message {
                Ok(Message::JobEvent(event)) => event.body.as_str().to_owned(),
                _ => String::new(),
            };
            format!("{envelope:?} {} {message:?} {body}", envelope.payload.as_str())
        })
    }

    fn alone(frame: &str) -> Result<String, Undecodable> {
        told(Envelope::decode(frame.to_owned()).map(|envelope| {
            let message = envelope.message();
            (envelope, message)
        }))
    }

    #[test]
    fn a_second_event_of_a_job_is_known_by_its_beginning() {
        let mut reader = Reader::default();
        reader.read(&event("m1", "j", "1", LOG).into()).unwrap().1.unwrap();
        let second = ByteString::from(event("m2", "j", "2", LOG));
        let (envelope, event) = reader.read_alike(&second).unwrap();
        assert_eq!((envelope.id.as_str(), envelope.event_seq), ("m2", Some(2)));
        assert_eq!((envelope.job_id.unwrap().as_str(), event.body.as_str().len()), ("j", 30));
    }

    #[test]
    fn the_latest_jobs_are_remembered() {
        let mut reader = Reader::default();
        for round in 0..3 {
            for job in 0..=JOBS {
                reader.read(&event("m", &format!("j{job}"), "1", LOG).into()).unwrap().1.unwrap();
            }
            assert_eq!(reader.alike.len(), JOBS, "after {round}");
        }
        let last = ByteString::from(event("m", &format!("j{JOBS}"), "2", LOG));
        assert!(reader.read_alike(&last).is_some());
    }

    /// What almost all frames have, so that one seldom differs from the last in more than one place.
    fn mostly(usual: &'static str, others: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
        prop_oneof![4 => Just(usual), 1 => prop::sample::select(others)]
    }

    proptest! {
        /// What was read before makes no difference to what a frame says.
        #[test]
        fn a_frame_is_read_as_it_is_read_alone(
            frames in prop::collection::vec((
                mostly("m1", &["m2", "", "a\\\"b", "ü", "m\u{1}", "\",\"x\":\"", "m\\q", "m\\\\2", "m\\u0041", "m\\"]),
                mostly("j1", &["j2", ""]),
                mostly("1", &["2", "0", "01", "-1", "1.0", "9223372036854775808", "\"1\""]),
                mostly(LOG, &[
                    r#"{"ts":"2026-05-13T19:42:13.001Z","kind":"log","body":{}}"#,
                    r#"{"ts":"2026-05-13T19:42:13.0019Z","kind":"log","body":{}}"#,
                    r#"{"ts":"2026-05-13T19:42:14Z","kind":"log","body":{}}"#,
                    r#"{"ts":"2026-05-13T19:42:13.00xZ","kind":"log","body":{}}"#,
                    r#"{"kind":"log"}"#,
                    r#"{"kind":"log","kind":"log","body":{}}"#,
                    r#"{"kind":"log","body":null}"#,
                    r#"{"kind":7}"#,
                    "{}}", "{", "[]", "null", r#"{},"type":"job.event""#, r#"{},"more":1"#,
                ]),
                mostly("", &[" ", "}", "x"]),
            ), 1..8),
            swapped in any::<bool>(),
        ) {
            let mut reader = Reader::default();
            for (id, job, seq, payload, end) in frames {
                let mut frame = event(id, job, seq, payload) + end;
                if swapped {
                    frame = frame.replacen(r#""type":"job.event","#, "", 1).replacen(r#"{"arcp""#, r#"{"type":"job.event","arcp""#, 1);
                }
                prop_assert_eq!(told(reader.read(&frame.clone().into())), alone(&frame), "{}", frame);
            }
        }
    }
}
