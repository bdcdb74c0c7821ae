//! [`Timestamp`]: a point in time, RFC 3339 in UTC with milliseconds on the wire.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use crate::decode::serde_by_text;

/// A point in time. Written as `2026-05-13T19:42:13.842Z`; read from any RFC 3339 text that has an offset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(jiff::Timestamp);

/// A text that is no RFC 3339 time with an offset, or one outside the years −9999 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time with an offset, such as 2026-05-13T19:42:13.842Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self(jiff::Timestamp::UNIX_EPOCH);

    /// The time `millis` milliseconds after (or, negative, before) the Unix epoch; clamped to the representable range.
    pub fn from_millis(millis: i64) -> Self {
        let end = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::from_millisecond(millis).unwrap_or(end))
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Reads a time that must be written in UTC with the suffix `Z`, as `expires_at` must (§9.5).
    ///
    /// # Errors
    /// [`InvalidTimestamp`] for any other offset too, `+00:00` included.
    pub fn parse_utc(text: &str) -> Result<Self, InvalidTimestamp> {
        if text.ends_with('Z') { text.parse() } else { Err(InvalidTimestamp) }
    }

    /// How long after `earlier` this is; zero if it is not after it.
    pub fn saturating_since(self, earlier: Self) -> Duration {
        Duration::try_from(self.0.duration_since(earlier.0)).unwrap_or_default()
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        jiff::Timestamp::try_from(time).map_or(Self::UNIX_EPOCH, Self)
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        // RFC 3339 alone: the full date, a separator, the time. The library reads more of ISO 8601 than that.
        let bytes = text.as_bytes();
        let shaped = bytes.len() >= 20
            && bytes.len() <= 64
            && bytes[4] == b'-'
            && bytes[7] == b'-'
            && matches!(bytes[10], b'T' | b't' | b' ')
            && bytes[13] == b':'
            && bytes[16] == b':'
            && !text.contains('[');
        if !shaped {
            return Err(InvalidTimestamp);
        }
        text.parse().map(Self).map_err(|_| InvalidTimestamp)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}", self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_by_text!(Timestamp, "an RFC 3339 time with an offset");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_in_utc_with_milliseconds() {
        let time: Timestamp = "2026-05-13T21:42:13.8429+02:00".parse().unwrap();
        assert_eq!(time.to_string(), "2026-05-13T19:42:13.842Z");
        assert_eq!(
            "2026-05-13T19:42:13Z".parse::<Timestamp>().unwrap().to_string(),
            "2026-05-13T19:42:13.000Z"
        );
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn only_rfc_3339_is_a_time() {
        for bad in [
            "",
            "now",
            "2026-05-13",
            "2026-05-13T19:42:13",
            "2026-W20-3T19:42:13Z",
            "20260513T194213Z",
            "2026-13-01T00:00:00Z",
            "2026-05-13T19:42Z",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(InvalidTimestamp), "{bad}");
        }
        assert!(Timestamp::parse_utc("2026-05-13T19:42:13+00:00").is_err());
        assert!(Timestamp::parse_utc("2026-05-13T19:42:13Z").is_ok());
    }
}
