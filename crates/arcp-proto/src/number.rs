//! [`Number`]: a JSON number with the digits it came with.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::amount::{Amount, InvalidAmount};

/// A JSON number that keeps its own digits: no rounding through binary floating point on the way.
///
/// Whole numbers are written without a fraction (`47`, not `47.0`), since some peers read integers only.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(Box<str>);

/// A text or value that is no finite JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a finite JSON number")]
pub struct InvalidNumber;

impl Number {
    /// The digits, as JSON writes them.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest binary floating-point number; infinite beyond its range. Not for money.
    pub fn as_f64(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// The number as a whole number, if it is written as one and fits.
    pub fn as_u64(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// The exact decimal value.
    ///
    /// # Errors
    /// When it has more than 28 significant decimals or exceeds what an [`Amount`] holds.
    pub fn to_amount(&self) -> Result<Amount, InvalidAmount> {
        Amount::from_json_number(&self.0)
    }
}

impl Number {
    /// The smallest amount that is not below the number, for costs: what is too small to be held exactly is not free, and
    /// what is too large is the largest amount.
    pub fn to_amount_rounded_up(&self) -> Amount {
        self.to_amount().unwrap_or_else(|_| Amount::above(self.as_f64()))
    }
}

impl From<u64> for Number {
    fn from(value: u64) -> Self {
        Self(value.to_string().into())
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        u64::from(value).into()
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(value.to_string().into())
    }
}

impl From<i32> for Number {
    fn from(value: i32) -> Self {
        i64::from(value).into()
    }
}

impl From<usize> for Number {
    fn from(value: usize) -> Self {
        Self(value.to_string().into())
    }
}

impl From<Amount> for Number {
    fn from(value: Amount) -> Self {
        Self(value.to_string().into())
    }
}

impl TryFrom<f64> for Number {
    type Error = InvalidNumber;

    fn try_from(value: f64) -> Result<Self, InvalidNumber> {
        if value.is_finite() { Ok(Self(value.to_string().into())) } else { Err(InvalidNumber) }
    }
}

impl FromStr for Number {
    type Err = InvalidNumber;

    fn from_str(text: &str) -> Result<Self, InvalidNumber> {
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| InvalidNumber)?;
        // A JSON value that starts with a digit or a minus is a number.
        match raw.get().bytes().next() {
            Some(b'-' | b'0'..=b'9') if raw.get().len() == text.len() && text.len() <= 400 => {
                Ok(Self(text.into()))
            }
            _ => Err(InvalidNumber),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        raw.get().parse().map_err(|_| crate::decode::expected("a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_survive() {
        for text in ["0.0234", "1.10", "-0.12", "1e-7", "12345678901234567890123", "47"] {
            let number: Number = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&number).unwrap(), text);
        }
        assert_eq!(Number::try_from(47.0).unwrap().as_str(), "47");
        assert_eq!(Number::try_from(0.1).unwrap().as_str(), "0.1");
        assert_eq!(Number::from(3_u64).as_u64(), Some(3));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["\"1\"", "null", "NaN", "Infinity", "01", "1.", "+1", " 1", "true"] {
            assert_eq!(text.parse::<Number>(), Err(InvalidNumber), "{text}");
        }
        assert_eq!(Number::try_from(f64::NAN), Err(InvalidNumber));
        assert_eq!(Number::try_from(f64::INFINITY), Err(InvalidNumber));
    }
}
