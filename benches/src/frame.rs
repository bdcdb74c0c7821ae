//! An event as the floor writes and reads it: the same fields as on the wire of the protocol, typed, and borrowed by its reader.

use serde::{Deserialize, Serialize};

/// Padding of a message, so that a frame has about 390 bytes.
pub(crate) const MESSAGE_BYTES: usize = 76;

/// One `job.event` of kind `log`.
#[derive(Serialize, Deserialize)]
pub(crate) struct Frame<'a> {
    arcp: &'a str,
    id: &'a str,
    #[serde(rename = "type")]
    message_type: &'a str,
    session_id: &'a str,
    trace_id: &'a str,
    job_id: &'a str,
    pub(crate) event_seq: u64,
    #[serde(borrow)]
    pub(crate) payload: Payload<'a>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Payload<'a> {
    kind: &'a str,
    ts: &'a str,
    #[serde(borrow)]
    pub(crate) body: Log<'a>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Log<'a> {
    level: &'a str,
    pub(crate) message: &'a str,
}

impl<'a> Frame<'a> {
    /// The event of a number.
    pub(crate) fn event(event_seq: u64, message: &'a str) -> Self {
        Self {
            arcp: "1.1",
            id: "01J9ZQ4T3M0000000000000000",
            message_type: "job.event",
            session_id: "sess_01J9ZQ4T3M0000000000000000",
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736",
            job_id: "job_01J9ZQ4T3M0000000000000000",
            event_seq,
            payload: Payload {
                kind: "log",
                ts: "2026-05-13T19:42:13.842Z",
                body: Log { level: "info", message },
            },
        }
    }

    /// The text.
    pub(crate) fn encode(&self) -> String {
        encode(self)
    }

    /// The text before and after the number, up to the payload.
    pub(crate) fn header(&self) -> (String, String) {
        let text = self.encode();
        let (head, rest) = text.split_once("\"event_seq\":").unwrap_or_default();
        let tail = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let tail = tail.split_inclusive("\"payload\":").next().unwrap_or_default();
        (format!("{head}\"event_seq\":"), tail.to_owned())
    }
}

impl Payload<'_> {
    /// The text.
    pub(crate) fn encode(&self) -> String {
        encode(self)
    }
}

fn encode(value: &impl Serialize) -> String {
    let mut out = Vec::with_capacity(512);
    // Structs of texts and numbers: writing them to memory cannot fail.
    let _ = serde_json::to_writer(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_long_as_the_one_that_is_compared_with_it() {
        let message = format!("event 999999{}", ".".repeat(MESSAGE_BYTES - 12));
        let text = Frame::event(1_000_000, &message).encode();
        assert!((380..400).contains(&text.len()), "{}", text.len());
        let read: Frame<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!((read.event_seq, read.payload.body.message), (1_000_000, message.as_str()));
        let (head, tail) = Frame::event(0, "").header();
        assert_eq!(format!("{head}1000000{tail}{}}}", read.payload.encode()), text);
    }
}
