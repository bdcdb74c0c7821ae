//! W3C Trace Context (§11): the trace-id on the envelope, the whole context in an extension.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::decode::{Text, serde_by_text};

/// A text that is no trace-id, span-id or `traceparent` of W3C Trace Context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a W3C trace context")]
pub struct InvalidTraceContext;

fn hex(text: &str, digits: usize) -> Result<u128, InvalidTraceContext> {
    if text.len() != digits {
        return Err(InvalidTraceContext);
    }
    let (high, low) = text.as_bytes().split_at(digits.saturating_sub(16));
    let half = |digits: &[u8]| {
        digits.iter().try_fold(0_u64, |value, byte| match byte {
            b'0'..=b'9' => Ok(value << 4 | u64::from(byte - b'0')),
            b'a'..=b'f' => Ok(value << 4 | u64::from(byte - b'a' + 10)),
            _ => Err(InvalidTraceContext),
        })
    };
    Ok(u128::from(half(high)?) << 64 | u128::from(half(low)?))
}

/// A trace-id: 16 bytes, not all zero, written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TraceId(u128);

impl TraceId {
    /// The trace-id with this value; `None` for zero, which W3C calls invalid.
    pub fn new(value: u128) -> Option<Self> {
        (value != 0).then_some(Self(value))
    }

    /// The value.
    pub fn value(self) -> u128 {
        self.0
    }

    /// The text, which every message of a job has.
    pub(crate) fn text(self, place: &mut [u8; 32]) -> &str {
        for (digits, byte) in place.chunks_exact_mut(2).zip(self.0.to_be_bytes()) {
            digits[0] = HEX[usize::from(byte >> 4)];
            digits[1] = HEX[usize::from(byte & 15)];
        }
        std::str::from_utf8(place).unwrap_or_default()
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

impl FromStr for TraceId {
    type Err = InvalidTraceContext;

    /// Reads 32 hex digits, or takes the trace-id out of a whole `traceparent`.
    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        if text.contains('-') {
            return text.parse::<TraceContext>().map(|context| context.trace_id);
        }
        Self::new(hex(text, 32)?).ok_or(InvalidTraceContext)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; 32]))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_by_text!(TraceId, "a trace-id of 32 lower-case hex digits");

/// An optional trace-id of an envelope. As W3C asks, one that cannot be read is treated as absent.
pub(crate) fn lenient<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<TraceId>, D::Error> {
    let text = Option::<Text<'de>>::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.as_str().parse().ok()))
}

/// A span-id ("parent-id" in a `traceparent`): 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl SpanId {
    /// The span-id with this value; `None` for zero.
    pub fn new(value: u64) -> Option<Self> {
        (value != 0).then_some(Self(value))
    }

    /// The value.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The content of a `traceparent`, and the `tracestate` beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Which trace.
    pub trace_id: TraceId,
    /// The caller's span.
    pub span_id: SpanId,
    /// Whether the caller records this trace.
    pub sampled: bool,
    /// Vendors' own state, carried along as it came.
    pub tracestate: Option<String>,
}

/// The longest `tracestate` that is carried along, in bytes: what W3C asks for at least.
const MAX_STATE: usize = 512;

impl TraceContext {
    /// The context that a `traceparent` and a `tracestate` make, as headers have them.
    ///
    /// It may end up in a header again, and in every message about a job: a `tracestate` that W3C does not allow in one, or of
    /// more than 512 bytes, is dropped, and the `traceparent` stands.
    ///
    /// # Errors
    /// When there is no `traceparent`.
    pub fn new(traceparent: &str, tracestate: Option<String>) -> Result<Self, InvalidTraceContext> {
        let context: Self = traceparent.parse()?;
        let fit = |state: &String| {
            (1..=MAX_STATE).contains(&state.len())
                && state.bytes().all(|b| b == b'\t' || (0x20..=0x7e).contains(&b))
        };
        Ok(Self { tracestate: tracestate.filter(fit), ..context })
    }
}

impl FromStr for TraceContext {
    type Err = InvalidTraceContext;

    fn from_str(text: &str) -> Result<Self, InvalidTraceContext> {
        let mut fields = text.split('-');
        let mut next = || fields.next().ok_or(InvalidTraceContext);
        let (version, trace_id, span_id, flags) = (next()?, next()?, next()?, next()?);
        let version = hex(version, 2)?;
        // Version 00 has four fields; later ones may append more. ff is forbidden.
        if version == 0xff || (version == 0 && fields.next().is_some()) {
            return Err(InvalidTraceContext);
        }
        let span_id = u64::try_from(hex(span_id, 16)?).map_err(|_| InvalidTraceContext)?;
        Ok(Self {
            trace_id: TraceId::new(hex(trace_id, 32)?).ok_or(InvalidTraceContext)?,
            span_id: SpanId::new(span_id).ok_or(InvalidTraceContext)?,
            sampled: hex(flags, 2)? & 1 == 1,
            tracestate: None,
        })
    }
}

impl fmt::Display for TraceContext {
    /// Writes the `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// The wire form of a trace context: an object of two strings.
#[derive(Serialize, Deserialize)]
struct Wire {
    traceparent: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tracestate: Option<String>,
}

impl Serialize for TraceContext {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire { traceparent: self.to_string(), tracestate: self.tracestate.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TraceContext {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Self::new(&wire.traceparent, wire.tracestate).map_err(|_| crate::decode::expected("a traceparent"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_survives_both_ways() {
        let context: TraceContext = PARENT.parse().unwrap();
        assert_eq!(context.to_string(), PARENT);
        assert_eq!(PARENT.parse::<TraceId>().unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        let json = format!(r#"{{"traceparent":"{PARENT}","tracestate":"a=b"}}"#);
        let context: TraceContext = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&context).unwrap(), json);
    }

    #[test]
    fn a_later_version_may_append_fields_and_the_first_may_not() {
        assert!(format!("01{}-more", &PARENT[2..]).parse::<TraceContext>().is_ok());
        assert!(format!("{PARENT}-more").parse::<TraceContext>().is_err());
    }

    #[test]
    fn what_w3c_forbids_is_refused() {
        let zero = "0".repeat(32);
        for bad in [
            "",
            "4bf92f",
            &zero,
            "4BF92F3577B34DA6A3CE929D0E0E4736",
            &PARENT.replace("00f067aa0ba902b7", "0000000000000000"),
            &PARENT.replacen("00", "ff", 1),
        ] {
            assert!(bad.parse::<TraceId>().is_err(), "{bad}");
        }
    }
}
