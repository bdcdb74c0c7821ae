//! [`Timestamp`]: a point in time, RFC 3339 in UTC with milliseconds on the wire.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::ser::{Error as _, Serialize, Serializer};

use crate::decode::deserialize_by_text;

/// A point in time, to the millisecond. Written as `2026-05-13T19:42:13.842Z`; read from any RFC 3339 text that has an
/// offset, with what is finer than a millisecond cut off. A leap second is the second before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp {
    /// Milliseconds since the Unix epoch.
    millis: i64,
}

/// A text that is no RFC 3339 time with an offset, or one before the year 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time with an offset, such as 2026-05-13T19:42:13.842Z")]
pub struct InvalidTimestamp;

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const UNIX_EPOCH: Self = Self { millis: 0 };

    /// The first time that RFC 3339 can write: 0000-01-01T00:00:00Z.
    const MIN_MILLIS: i64 = -62_167_219_200_000;

    /// The last one that the library has: 9999-12-30T22:00:00.999Z.
    const MAX_MILLIS: i64 = 253_402_207_200_999;

    /// The time `millis` milliseconds after (or, negative, before) the Unix epoch; clamped to the representable
    /// range, from 0000-01-01T00:00:00.000Z to 9999-12-30T22:00:00.999Z.
    pub fn from_millis(millis: i64) -> Self {
        Self { millis: millis.clamp(Self::MIN_MILLIS, Self::MAX_MILLIS) }
    }

    /// Milliseconds since the Unix epoch.
    pub fn as_millis(self) -> i64 {
        self.millis
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
        Duration::from_millis(u64::try_from(self.millis - earlier.millis).unwrap_or(0))
    }

    /// The text, which every event has.
    pub(crate) fn text(self) -> [u8; 24] {
        let time = jiff::Timestamp::from_second(self.millis.div_euclid(1_000)).unwrap_or_default();
        let time = jiff::tz::Offset::UTC.to_datetime(time);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        write_digits(&mut text[0..4], time.year().unsigned_abs());
        write_digits(&mut text[5..7], time.month().unsigned_abs().into());
        write_digits(&mut text[8..10], time.day().unsigned_abs().into());
        write_digits(&mut text[11..13], time.hour().unsigned_abs().into());
        write_digits(&mut text[14..16], time.minute().unsigned_abs().into());
        write_digits(&mut text[17..19], time.second().unsigned_abs().into());
        write_digits(&mut text[20..23], self.millis.rem_euclid(1_000) as u16);
        text
    }
}

/// The second that was read last. Times that are read one after another mostly are in the same one.
#[derive(Debug, Default)]
pub(crate) struct Second {
    text: [u8; SECOND],
    /// Since the Unix epoch; `None` before the first.
    seconds: Option<i64>,
}

/// Bytes of `2026-05-13T19:42:13`.
const SECOND: usize = 19;

impl Second {
    /// Reads a time as [`Timestamp::from_str`] does.
    pub(crate) fn read(&mut self, text: &str) -> Option<Timestamp> {
        let millis = match text.as_bytes().split_first_chunk() {
            Some((second, [b'.', digits @ .., b'Z'])) => Some((second, digits)),
            _ => None,
        };
        let millis = millis.filter(|(_, digits)| digits.len() == 3 && digits.iter().all(u8::is_ascii_digit));
        let Some((second, digits)) = millis else { return parse(text) };
        let millis = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
        if let Some(seconds) = self.seconds.filter(|_| self.text == *second) {
            return Some(Timestamp::from_millis(seconds * 1_000 + millis));
        }
        let time = parse(text)?;
        if time.millis < Timestamp::MAX_MILLIS {
            *self = Self { text: *second, seconds: Some((time.millis - millis).div_euclid(1_000)) };
        }
        Some(time)
    }
}

fn write_digits(place: &mut [u8], mut number: u16) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The number that some digits are.
fn number(digits: &str) -> i16 {
    digits.bytes().fold(0, |number, digit| number * 10 + i16::from(digit - b'0'))
}

impl From<SystemTime> for Timestamp {
    /// Clamped to the representable range.
    fn from(time: SystemTime) -> Self {
        let millis = |duration: Duration| {
            let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
            seconds.saturating_mul(1_000).saturating_add(duration.subsec_millis().into())
        };
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self::from_millis(millis(after)),
            Err(error) => {
                let before = error.duration();
                let part = i64::from(before.subsec_nanos() % 1_000_000 != 0);
                Self::from_millis(-millis(before).saturating_add(part))
            }
        }
    }
}

impl FromStr for Timestamp {
    type Err = InvalidTimestamp;

    fn from_str(text: &str) -> Result<Self, InvalidTimestamp> {
        parse(text).ok_or(InvalidTimestamp)
    }
}

/// RFC 3339 (§5.6 there) and nothing else of ISO 8601. The calendar is the library's; the shape is checked here.
fn parse(text: &str) -> Option<Timestamp> {
    if text.len() > 64 || !text.is_ascii() {
        return None;
    }
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = (rest.get(..8)?, rest.get(8..)?);
    if !has_shape(date, "dddd-dd-dd") || !has_shape(time, "dd:dd:dd") {
        return None;
    }
    let (fraction, offset) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
    };
    if fraction.is_empty() && rest.starts_with('.') {
        return None;
    }
    let offset_minutes = parse_offset(offset)?;
    let leap = time.ends_with("60");
    let [month, day] = [&date[5..7], &date[8..]].map(|digits| number(digits) as i8);
    let [hour, minute] = [&time[..2], &time[3..5]].map(|digits| number(digits) as i8);
    let second = if leap { 59 } else { number(&time[6..]) as i8 };
    let civil = jiff::civil::DateTime::new(number(&date[..4]), month, day, hour, minute, second, 0).ok()?;
    let epoch = jiff::civil::DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let seconds = civil.duration_since(epoch).as_secs() - offset_minutes * 60;
    // A leap second is the last one of a day in UTC.
    if leap && seconds.rem_euclid(86_400) != 86_399 {
        return None;
    }
    let digits = fraction.bytes().chain(*b"00").take(3);
    let millis = seconds * 1000 + digits.fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    (millis >= Timestamp::MIN_MILLIS).then(|| Timestamp::from_millis(millis))
}

fn parse_offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    if !has_shape(text.get(1..)?, "dd:dd") {
        return None;
    }
    let (hours, minutes): (i64, i64) = (text.get(1..3)?.parse().ok()?, text.get(4..6)?.parse().ok()?);
    let minutes = (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)?;
    match text.as_bytes()[0] {
        b'+' => Some(minutes),
        b'-' => Some(-minutes),
        _ => None,
    }
}

/// Whether `text` is `shape`, in which `d` stands for a digit.
fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, shape): (u8, u8)| if shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).map_err(S::Error::custom)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

deserialize_by_text!(Timestamp, "an RFC 3339 time with an offset");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn what_is_written_is_read_again() {
        let one_a_month = (0..120_000).map(|month| Timestamp::MIN_MILLIS + month * 2_629_746_123);
        for millis in one_a_month.chain([Timestamp::MIN_MILLIS, -1, 0, 1, Timestamp::MAX_MILLIS]) {
            let time = Timestamp::from_millis(millis);
            assert_eq!(time.to_string().parse(), Ok(time), "{time}");
            let library = jiff::Timestamp::from_nanosecond(i128::from(time.as_millis()) * 1_000_000).unwrap();
            assert_eq!(time.to_string(), format!("{library:.3}"));
        }
    }

    proptest! {
        #[test]
        fn a_time_is_the_same_whatever_was_read_before(
            times in prop::collection::vec((
                prop::sample::select(vec![
                    "2026-05-13T19:42:13", "2026-05-13T19:42:14", "2026-06-30T23:59:60", "0000-01-01T00:00:00", "1969-12-31T23:59:59",
                    "9999-12-31T23:59:59", "9999-12-30T22:00:00", "2026-05-13t19:42:13", "2026-05-13T19:42:61",
                ]),
                prop::sample::select(vec![".842Z", ".001Z", ".999Z", "Z", ".8Z", ".8421Z", ".842z", ".84xZ", ".842", "+01:00", ""]),
            ), 1..12),
        ) {
            let mut second = Second::default();
            for (seconds, rest) in times {
                let text = format!("{seconds}{rest}");
                prop_assert_eq!(second.read(&text), parse(&text), "{}", text);
            }
        }
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
