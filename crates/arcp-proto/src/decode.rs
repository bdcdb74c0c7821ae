//! Decoding with errors that name the place and never repeat the text, and the serde pieces that many types share.

mod shape;

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde_path_to_error::{Path, Segment};

pub(crate) use shape::{
    Integer, LARGEST, integer, integer_or_zero, object, object_or_default, objects, optional_integer,
    optional_object, unique_map,
};

/// Why a JSON text could not be decoded: a path into it and what was expected there.
///
/// The message never contains text of the input other than well-formed member names on the path, so that it can be
/// logged and sent to a peer without carrying a secret along.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", PathPrefix(path))]
pub struct DecodeError {
    path: String,
    reason: String,
}

impl DecodeError {
    pub(crate) fn new(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { path: path.into(), reason: reason.into() }
    }

    pub(crate) fn from_json(path: &Path, error: &serde_json::Error) -> Self {
        Self::new(render_path(path), reason(error))
    }

    /// The place, such as `payload.lease_request["fs.read"][0]`; empty for the text as a whole.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What was wrong there, such as ``missing field `token` `` or `expected a string`.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The same error as seen from outside: `prefix` in front of the path.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        let joint = if self.path.is_empty() || self.path.starts_with('[') { "" } else { "." };
        self.path = format!("{prefix}{joint}{}", self.path);
        self
    }
}

struct PathPrefix<'a>(&'a str);

impl fmt::Display for PathPrefix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

/// Decodes `text` as `T`. The second pass, which finds the path, is only made for a text that fails.
pub(crate) fn from_str<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, DecodeError> {
    serde_json::from_str(text).map_err(|first| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Err(error) => DecodeError::from_json(error.path(), error.inner()),
            Ok(_) => DecodeError::new("", reason(&first)), // the value is fine, what follows it is not
        }
    })
}

fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if !error.is_data() {
        // Syntax errors of serde_json are fixed sentences with a line and a column.
        return format!("not valid JSON: {text}");
    }
    // The position is at the end, if there is one: anything that looks like it further in is input.
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = text.strip_suffix(&position).unwrap_or(&text);
    if text.starts_with("missing field `") || text.starts_with("duplicate field `") {
        return text.to_owned();
    }
    // "invalid type: <input>, expected <our words>": only our words may pass.
    match text.rfind(", expected ") {
        Some(start) => in_words(&text[start + 2..]),
        None => "not a valid value".to_owned(),
    }
}

/// What was expected, in the words of JSON instead of Rust's.
fn in_words(expected: &str) -> String {
    let what = expected.strip_prefix("expected ").unwrap_or(expected);
    let words = match what {
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => "a whole number, not negative",
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a sequence" => "an array",
        "a map" => "an object",
        "unit" => "null",
        _ if what.starts_with("struct ") => "an object",
        _ if what.starts_with("tuple ") || what.starts_with("a tuple") => "an array",
        other => other,
    };
    format!("expected {words}")
}

fn render_path(path: &Path) -> String {
    let mut out = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => out.push_str(&format!("[{index}]")),
            Segment::Map { key } if is_plain(key) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(key);
            }
            Segment::Map { key } if is_dotted(key) => out.push_str(&format!("[\"{key}\"]")),
            Segment::Map { .. } => out.push_str("[*]"),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    out
}

fn is_plain(key: &str) -> bool {
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    key.len() <= 64 && key.starts_with(|c: char| c.is_ascii_lowercase()) && key.bytes().all(in_name)
}

fn is_dotted(key: &str) -> bool {
    let in_name = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    key.len() <= 64 && key.starts_with(|c: char| c.is_ascii_lowercase()) && key.bytes().all(in_name)
}

/// A string that borrows from the input where it has no escapes.
pub(crate) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text))
            }
        }

        deserializer.deserialize_str(TextVisitor).map(Text)
    }
}

/// `null` is the default, as an absent field is.
pub(crate) fn null_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An error that says what was expected and nothing of what was there.
pub(crate) fn expected<E: de::Error>(what: &'static str) -> E {
    E::invalid_value(de::Unexpected::Other("another value"), &what)
}

/// Serde through `Display` and `FromStr`, with one fixed sentence for what was expected.
macro_rules! serde_by_text {
    ($name:ty, $expected:literal) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        $crate::decode::deserialize_by_text!($name, $expected);
    };
}

/// The half of it that reads.
macro_rules! deserialize_by_text {
    ($name:ty, $expected:literal) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = $crate::decode::Text::deserialize(deserializer)?;
                text.as_str().parse().map_err(|_| $crate::decode::expected($expected))
            }
        }
    };
}

pub(crate) use {deserialize_by_text, serde_by_text};

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[allow(dead_code)]
        count: u64,
        #[allow(dead_code)]
        grants: std::collections::BTreeMap<String, Vec<String>>,
    }

    fn failure(text: &str) -> DecodeError {
        from_str::<Sample>(text).unwrap_err()
    }

    #[test]
    fn an_error_gives_the_path_and_never_the_text() {
        let error = failure(r#"{"count":"hunter2, expected hunter3","grants":{}}"#);
        assert_eq!((error.path(), error.reason()), ("count", "expected a whole number, not negative"));
        let error = failure(r#"{"count":1,"grants":{"fs.read":["a",7]}}"#);
        assert_eq!(error.path(), "grants[\"fs.read\"][1]");
        assert_eq!(error.within("payload").path(), "payload.grants[\"fs.read\"][1]");
        let error = failure(r#"{"count":1,"grants":{"my Secret!":[7]}}"#);
        assert_eq!(error.path(), "grants[*][0]");
        assert_eq!(failure(r#"{"grants":{}}"#).to_string(), "missing field `count`");
    }

    #[test]
    fn broken_json_says_where() {
        assert_eq!(
            failure("{\"count\":").to_string(),
            "count: not valid JSON: EOF while parsing a value at line 1 column 9"
        );
        let trailing = failure(r#"{"count":1,"grants":{}} x"#);
        assert!(trailing.reason().contains("trailing characters"), "{trailing}");
        assert_eq!(failure(r#"{"count":1,"count":2,"grants":{}}"#).reason(), "duplicate field `count`");
    }
}
