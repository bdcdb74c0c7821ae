//! Inputs with a schema: what clients are shown of it, and the check before there is a job. How an input becomes a value of the
//! agent's type once there is one is not here, but in `agent.rs`.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arcp_core::runtime::InputContract;
use arcp_proto::{ErrorCode, ErrorPayload, Json};
use jsonschema::error::ValidationErrorKind;
use jsonschema::paths::{Location, LocationSegment};
use jsonschema::{ValidationError, Validator};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use serde_path_to_error::Segment;

/// The longest schema of an agent's input, in bytes of JSON.
const SCHEMA_BYTES: usize = 32 << 10;
/// The longest text that an error says of an input.
const REASON_BYTES: usize = 512;

/// Inputs that decode as `I` and fit its schema.
pub(crate) struct Typed<I> {
    schema: Json,
    validator: Validator,
    input: PhantomData<fn(I)>,
}

impl<I: JsonSchema> Typed<I> {
    /// The schema, as it is of what is read; or why it cannot be checked.
    pub(crate) fn new() -> Result<Self, String> {
        let schema = schemars::generate::SchemaSettings::draft2020_12().for_deserialize();
        let schema: Value = schema.into_generator().into_root_schema_for::<I>().into();
        let validator = jsonschema::options().offline().build(&schema).map_err(|error| error.to_string())?;
        let schema = Json::from(schema);
        if schema.len() > SCHEMA_BYTES {
            return Err(format!("it has {} bytes, more than {SCHEMA_BYTES}", schema.len()));
        }
        Ok(Self { schema, validator, input: PhantomData })
    }
}

impl<I: DeserializeOwned> Typed<I> {
    fn look_at(&self, input: &Json) -> Result<(), ErrorPayload> {
        let unreadable = |error: arcp_proto::DecodeError, path: Option<String>| {
            let error = error.within("input");
            refusal(path.unwrap_or_else(|| error.path().to_owned()), error.reason().to_owned())
        };
        let value: Value = input.decode().map_err(|error| unreadable(error, None))?;
        let decoded = input.decode::<I>().map(drop);
        let decoded = decoded.map_err(|error| unreadable(error, place::<I>(input)));
        match self.validator.validate(&value) {
            Ok(()) => decoded,
            // That none of several schemas fits says less than what the type was missing.
            Err(error) if is_one_of_many(&error) => decoded.and_then(|()| Err(misfit(&error))),
            Err(error) => Err(misfit(&error)),
        }
    }
}

impl<I: DeserializeOwned + 'static> InputContract for Typed<I> {
    fn schema(&self) -> &Json {
        &self.schema
    }

    fn check(&self, input: &Json) -> Result<(), ErrorPayload> {
        // The code of a type runs here where a connection is read, and is not to end that.
        catch_unwind(AssertUnwindSafe(|| self.look_at(input))).unwrap_or_else(|_| {
            tracing::error!("the check of an input panicked");
            Err(ErrorPayload::new(ErrorCode::InternalError, "the input could not be checked"))
        })
    }
}

impl<I> fmt::Debug for Typed<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").field("schema", &self.schema).finish_non_exhaustive()
    }
}

fn is_one_of_many(error: &ValidationError<'_>) -> bool {
    matches!(
        error.kind(),
        ValidationErrorKind::AnyOf { .. }
            | ValidationErrorKind::OneOfNotValid { .. }
            | ValidationErrorKind::OneOfMultipleValid { .. }
    )
}

/// What a schema says of an input, without its text.
fn misfit(error: &ValidationError<'_>) -> ErrorPayload {
    refusal(path(error.instance_path()), error.masked().to_string())
}

fn refusal(path: String, mut reason: String) -> ErrorPayload {
    if reason.len() > REASON_BYTES {
        let end = (0..=REASON_BYTES).rev().find(|end| reason.is_char_boundary(*end));
        reason.truncate(end.unwrap_or(0));
        reason.push('…');
    }
    let mut error = ErrorPayload::new(ErrorCode::InvalidRequest, format!("{path}: {reason}"));
    error.details = Some(Json::from(json!({ "path": path, "reason": reason })));
    error
}

/// A place in an input, such as `input.pages[3]`. Names that are no plain words are left out: they may be anything.
fn path(location: &Location) -> String {
    let mut out = "input".to_owned();
    for segment in location.segments() {
        match segment {
            LocationSegment::Index(index) => out.push_str(&format!("[{index}]")),
            LocationSegment::Property(name) if is_word(&name) => {
                out.push('.');
                out.push_str(&name);
            }
            LocationSegment::Property(Cow::Borrowed(_) | Cow::Owned(_)) => out.push_str("[*]"),
        }
    }
    out
}

/// Where an input does not decode, in the same words.
fn place<I: DeserializeOwned>(input: &Json) -> Option<String> {
    let mut deserializer = serde_json::Deserializer::from_str(input.as_str());
    let error = serde_path_to_error::deserialize::<_, I>(&mut deserializer).err()?;
    let mut out = "input".to_owned();
    for segment in error.path() {
        match segment {
            Segment::Seq { index } => out.push_str(&format!("[{index}]")),
            Segment::Map { key } if is_word(key) => {
                out.push('.');
                out.push_str(key);
            }
            Segment::Map { .. } => out.push_str("[*]"),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    Some(out)
}

fn is_word(name: &str) -> bool {
    let in_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.chars().all(in_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "what is read is not looked at")]
    #[serde(rename_all = "camelCase")]
    struct Order {
        #[schemars(range(min = 1, max = 9))]
        max_pages: u32,
        #[serde(default)]
        items: Vec<Item>,
        shape: Option<Shape>,
    }

    #[derive(serde::Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "what is read is not looked at")]
    struct Item {
        name: String,
    }

    #[derive(serde::Deserialize, JsonSchema)]
    #[allow(dead_code, reason = "what is read is not looked at")]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Shape {
        Round { radius: f64 },
        Square,
    }

    fn refused(input: Value) -> (String, String) {
        let error = Typed::<Order>::new().unwrap().check(&Json::from(input)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        let details: Value = error.details.unwrap().decode().unwrap();
        let text = |name: &str| details[name].as_str().unwrap().to_owned();
        (text("path"), text("reason"))
    }

    #[test]
    fn a_refusal_names_the_place_and_what_was_due() {
        let typed = Typed::<Order>::new().unwrap();
        let good = json!({ "maxPages": 3, "items": [{ "name": "a" }], "shape": { "kind": "square" } });
        assert_eq!(typed.check(&Json::from(good)), Ok(()));
        let cases = [
            (json!({}), "input", "\"maxPages\" is a required property"),
            (json!({ "maxPages": "s3cret" }), "input.maxPages", "value is not of type \"integer\""),
            (json!({ "maxPages": 10 }), "input.maxPages", "value is greater than the maximum of 9"),
            (
                json!({ "maxPages": 1, "items": [{ "name": "a" }, { "name": 7 }] }),
                "input.items[1].name",
                "value is not of type \"string\"",
            ),
            (json!([1]), "input", "value is not of type \"object\""),
        ];
        for (input, path, reason) in cases {
            assert_eq!(refused(input), (path.to_owned(), reason.to_owned()));
        }
        let (path, reason) = refused(json!({ "maxPages": 1, "shape": { "kind": "round" } }));
        assert_eq!((path.as_str(), reason.as_str()), ("input.shape", "missing field `radius`"));
    }

    #[test]
    fn what_the_schema_lets_pass_and_the_type_does_not_is_refused_too() {
        let typed = Typed::<std::net::IpAddr>::new().unwrap();
        assert_eq!(typed.check(&Json::from(json!("127.0.0.1"))), Ok(()));
        assert_eq!(typed.check(&Json::from(json!("s3cret"))).unwrap_err().code, ErrorCode::InvalidRequest);
    }

    /// To JSON Schema 1.0 is an integer, to the type it is none: whoever submits it hears of it here, and not when there is a job.
    #[test]
    fn a_whole_number_with_a_point_fits_the_schema_and_is_refused_with_its_place() {
        let typed = Typed::<Order>::new().unwrap();
        for text in [r#"{"maxPages": 1.0}"#, r#"{"maxPages": 1e0}"#] {
            let input = Json::parse(text).unwrap();
            assert!(typed.validator.is_valid(&input.decode().unwrap()), "{text}");
            let error = typed.check(&input).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidRequest);
            assert_eq!(error.message, "input.maxPages: expected a whole number, not negative", "{text}");
        }
    }

    #[test]
    fn an_input_that_is_nested_too_deep_is_refused() {
        let deep = Json::parse(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).unwrap();
        let error = Typed::<Value>::new().unwrap().check(&deep).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
        assert!(
            error.message.contains("recursion limit") && error.message.len() < 1_000,
            "{}",
            error.message
        );
    }

    #[test]
    fn names_that_a_client_chose_are_not_repeated_and_what_panics_ends_nothing() {
        type Map = std::collections::BTreeMap<String, u32>;
        let error =
            Typed::<Map>::new().unwrap().check(&Json::from(json!({ "my s3cret!": "x" }))).unwrap_err();
        assert!(error.message.starts_with("input[*]: "), "{}", error.message);

        #[derive(JsonSchema)]
        struct Angry;
        impl<'de> serde::Deserialize<'de> for Angry {
            fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
                panic!("no input is good enough")
            }
        }
        let error = Typed::<Angry>::new().unwrap().check(&Json::null()).unwrap_err();
        assert_eq!(error.code, ErrorCode::InternalError);
    }

    struct Elsewhere<const LONG: bool>;

    impl<const LONG: bool> JsonSchema for Elsewhere<LONG> {
        fn schema_name() -> Cow<'static, str> {
            "Elsewhere".into()
        }

        fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
            match LONG {
                true => schemars::json_schema!({ "description": "a".repeat(SCHEMA_BYTES) }),
                false => schemars::json_schema!({ "$ref": "https://example.com/schema.json" }),
            }
        }
    }

    #[test]
    fn nothing_is_fetched_for_a_schema_and_its_size_is_bounded() {
        let error = Typed::<Elsewhere<false>>::new().map(drop).unwrap_err();
        assert!(error.contains("https://example.com/schema.json"), "{error}");
        let error = Typed::<Elsewhere<true>>::new().map(drop).unwrap_err();
        assert!(error.contains("more than 32768"), "{error}");
    }
}
