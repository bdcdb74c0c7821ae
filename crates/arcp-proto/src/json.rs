//! [`Json`]: one JSON value as the text it came in, decoded when somebody asks.

use std::fmt;
use std::ops::Range;

use bytestring::ByteString;
use serde::de::{DeserializeOwned, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::decode::{self, DecodeError};

/// One JSON value, held as text: cheap to clone, to share and to write into an envelope again.
///
/// A `Json` that was taken out of a received frame is a slice of that frame and keeps it alive.
/// Its `Debug` shows a length only, since any payload may hold a secret.
///
/// Nesting is followed to 128 levels when a value is decoded; deeper values are an error then.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(ByteString);

/// Room for what is encoded, to begin with: few payloads are longer.
pub(crate) const TYPICAL_BYTES: usize = 512;

impl Json {
    /// Takes `text`, which must be one JSON value with nothing after it.
    ///
    /// # Errors
    /// Says at which line and column the text stops being JSON.
    pub fn parse(text: impl Into<ByteString>) -> Result<Self, DecodeError> {
        let text = text.into();
        let trimmed = {
            let raw: &RawValue = decode::from_str(&text)?;
            text.slice_ref(raw.get())
        };
        Ok(Self(trimmed))
    }

    /// Encodes a value.
    ///
    /// # Errors
    /// When `Serialize` fails, or a map has keys that are not strings.
    pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Self, EncodeError> {
        let mut text = Vec::with_capacity(TYPICAL_BYTES);
        Self::encode_into(&mut text, value)?;
        Self::encoded(text)
    }

    /// Encodes a value at the end of what is encoded already.
    pub(crate) fn encode_into<T: Serialize + ?Sized>(
        text: &mut Vec<u8>,
        value: &T,
    ) -> Result<(), EncodeError> {
        serde_json::to_writer(text, value).map_err(EncodeError)
    }

    /// The value that was encoded.
    pub(crate) fn encoded(mut text: Vec<u8>) -> Result<Self, EncodeError> {
        // It may be kept for long, and what is kept is counted by its length.
        let encoded = if text.len() < TYPICAL_BYTES {
            ByteString::try_from(text.as_slice())
        } else {
            text.shrink_to_fit();
            ByteString::try_from(text)
        };
        encoded.map(Self).map_err(|error| EncodeError(serde::ser::Error::custom(error)))
    }

    /// Decodes the value.
    ///
    /// # Errors
    /// Gives the JSON path of what does not fit `T`, relative to this value.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        decode::from_str(&self.0)
    }

    /// The value `null`.
    pub fn null() -> Self {
        Self(ByteString::from_static("null"))
    }

    /// The value `{}`.
    pub fn empty_object() -> Self {
        Self(ByteString::from_static("{}"))
    }

    /// Whether this is `null`.
    pub fn is_null(&self) -> bool {
        &*self.0 == "null"
    }

    /// Whether this is an object.
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, as memory that can be shared.
    pub(crate) fn as_text(&self) -> &ByteString {
        &self.0
    }

    /// The text, shared.
    pub fn into_text(self) -> ByteString {
        self.0
    }

    /// The length of the text in bytes.
    #[allow(clippy::len_without_is_empty, reason = "a JSON value is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A value whose text is known to be JSON: what serde or this crate has just written.
    pub(crate) fn trusted(text: impl Into<ByteString>) -> Self {
        Self(text.into())
    }

    /// The part of this value that `part` is, sharing the memory. It must be a value by itself.
    pub(crate) fn slice(&self, part: &str) -> Self {
        Self(self.0.slice_ref(part))
    }
}

/// Several values in one piece of memory, to be kept for long.
#[derive(Clone)]
pub struct JsonPack {
    texts: Box<str>,
    /// Where each ends.
    ends: Box<[usize]>,
}

impl JsonPack {
    /// Packs copies of values.
    pub fn of<'a>(values: impl Iterator<Item = &'a Json> + Clone) -> Self {
        let mut texts = String::with_capacity(values.clone().map(Json::len).sum());
        let ends = values.map(|value| {
            texts.push_str(value.as_str());
            texts.len()
        });
        let ends = ends.collect();
        Self { texts: texts.into(), ends }
    }

    /// A copy of the value at a place, in memory of its own.
    pub fn get(&self, place: usize) -> Option<Json> {
        self.range(place).and_then(|range| self.texts.get(range)).map(|text| Json::trusted(text.to_owned()))
    }

    /// The length of the text of the value at a place, in bytes.
    pub fn len_of(&self, place: usize) -> Option<usize> {
        self.range(place).map(|range| range.len())
    }

    fn range(&self, place: usize) -> Option<Range<usize>> {
        let begin = if place == 0 { 0 } else { *self.ends.get(place - 1)? };
        Some(begin..*self.ends.get(place)?)
    }
}

impl fmt::Debug for JsonPack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonPack({} values, {} bytes)", self.ends.len(), self.texts.len())
    }
}

impl Default for Json {
    fn default() -> Self {
        Self::null()
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({} bytes)", self.0.len())
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        Self::trusted(value.to_string())
    }
}

impl From<&RawValue> for Json {
    fn from(raw: &RawValue) -> Self {
        Self::trusted(raw.get().to_owned())
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The text was checked when it came in; borrowing it as a RawValue checks it again and copies nothing.
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self::trusted(String::from(Box::<str>::from(raw))))
    }
}

/// A value that could not be written as JSON.
#[derive(Debug, thiserror::Error)]
#[error("value cannot be encoded as JSON")]
pub struct EncodeError(#[source] serde_json::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_kept_as_it_came_and_debug_hides_it() {
        let json = Json::parse(" {\"b\": 1.10, \"a\":\"s3cret\"} ").unwrap();
        assert_eq!(json.as_str(), "{\"b\": 1.10, \"a\":\"s3cret\"}");
        assert_eq!(format!("{json:?}"), "Json(25 bytes)");
        assert_eq!(serde_json::to_string(&json).unwrap(), json.as_str());
        assert!(json.is_object() && !json.is_null());
    }

    #[test]
    fn what_is_packed_comes_out_again_and_debug_hides_it() {
        let values =
            ["{\"a\":\"s3cret\"}", "null", "\"\u{fc}\"", "[1]"].map(|text| Json::parse(text).unwrap());
        let pack = JsonPack::of(values.iter());
        for (place, value) in values.iter().enumerate() {
            assert_eq!((pack.get(place).as_ref(), pack.len_of(place)), (Some(value), Some(value.len())));
        }
        assert_eq!((pack.get(4), pack.len_of(4), pack.len_of(usize::MAX)), (None, None, None));
        assert_eq!(format!("{pack:?}"), "JsonPack(4 values, 25 bytes)");
        assert_eq!(JsonPack::of([].iter()).get(0), None);
    }

    #[test]
    fn deep_nesting_is_carried_and_refused_when_decoded() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let json = Json::parse(deep).unwrap();
        let error = json.decode::<serde_json::Value>().unwrap_err();
        assert!(error.reason().contains("recursion limit"), "{error}");
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        for text in ["", "nul", "{} {}", "{\"a\":}", "\u{feff}{}"] {
            assert!(Json::parse(text).is_err(), "{text:?} was taken");
        }
    }
}
