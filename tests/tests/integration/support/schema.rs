//! The published schema of the protocol, and the same as this project keeps to it: no field besides, ids and times in its
//! own form, and everything there that it always sends. What messages mean together is `watch.rs`.

use std::fmt;
use std::sync::LazyLock;

use jsonschema::{Draft, Validator};
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

const TEXT: &str = include_str!("../../../../docs/schema/arcp-1.1.schema.json");

/// The document as it is published.
pub(crate) static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(TEXT).unwrap());

/// What the document says.
pub(crate) static PUBLISHED: LazyLock<Schema> = LazyLock::new(|| Schema::of(&DOCUMENT));

/// What this project's own messages keep to.
pub(crate) static HOUSE: LazyLock<Schema> = LazyLock::new(|| {
    let mut document = DOCUMENT.clone();
    close(&mut document);
    keep_house(&mut document);
    Schema::of(&document)
});

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Runtime,
}

/// Validators of what each side may say.
pub(crate) struct Schema {
    client: Validator,
    runtime: Validator,
}

/// Where a message is not what it must be, and what the schema says of that place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// A JSON pointer into the message.
    pub(crate) place: String,
    /// The keyword of the schema.
    pub(crate) keyword: String,
    pub(crate) text: String,
}

impl Schema {
    fn of(document: &Value) -> Self {
        let validator = |anchor: &str| {
            let mut document = document.clone();
            document["$ref"] = json!(anchor);
            let options = jsonschema::options().with_draft(Draft::Draft202012);
            options.should_validate_formats(true).offline().build(&document).unwrap()
        };
        Self { client: validator("#client"), runtime: validator("#runtime") }
    }

    /// Everything that is wrong with a message.
    pub(crate) fn violations(&self, side: Side, message: &Value) -> Vec<Violation> {
        let validator = match side {
            Side::Client => &self.client,
            Side::Runtime => &self.runtime,
        };
        let violation = |error: jsonschema::ValidationError<'_>| Violation {
            place: error.instance_path().as_str().to_owned(),
            keyword: error.kind().keyword().to_owned(),
            text: error.to_string(),
        };
        validator.iter_errors(message).map(violation).collect()
    }

    /// Reads a frame: one line of JSON in which no object has a member twice, and which the schema allows.
    pub(crate) fn read(&self, side: Side, frame: &str) -> Result<Value, String> {
        if frame.contains(['\n', '\r']) {
            return Err(format!("more than one line: {frame}"));
        }
        let Unique(message) = serde_json::from_str(frame).map_err(|error| format!("{error}: {frame}"))?;
        match self.violations(side, &message).as_slice() {
            [] => Ok(message),
            violations => Err(format!("{violations:#?}\nin {message:#}")),
        }
    }
}

/// Every object that lists its members has these and no others, unless it says that it is open.
fn close(schema: &mut Value) {
    if let Value::Object(members) = schema {
        let lists = members.get("type") == Some(&json!("object")) && members.contains_key("properties");
        if lists && !members.contains_key("additionalProperties") {
            members.insert("additionalProperties".to_owned(), json!(false));
        }
    }
    match schema {
        Value::Object(members) => members.values_mut().for_each(close),
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}

/// What this project promises beyond the draft.
fn keep_house(document: &mut Value) {
    const ULID: &str = "[0-7][0-9A-HJKMNP-TV-Z]{25}";
    for (name, prefix) in [
        ("message_id", ""),
        ("session_id", "sess_"),
        ("job_id", "job_"),
        ("result_id", "res_"),
        ("credential_id", "cred_"),
        ("delegate_id", "del_"),
        ("call_id", "(?:call|del)_"), // a refused delegation is answered under its own name
    ] {
        document["$defs"][name]["pattern"] = json!(format!("^{prefix}{ULID}$"));
    }
    document["$defs"]["resume_token"]["pattern"] = json!("^rt_[0-9a-f]{64}$");
    document["$defs"]["time"]["pattern"] =
        json!("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z$");
    for (place, always) in [
        ("/$defs/session.welcome/properties/payload", &["session_id", "accepted_at"][..]),
        ("/$defs/job_entry", &["submitted_at"]),
        ("/$defs/job.accepted", &["job_id", "trace_id"]),
        ("/$defs/job.accepted/properties/payload", &["agent", "trace_id"]),
        ("/$defs/job.subscribed", &["job_id", "trace_id"]),
        ("/$defs/job.subscribed/properties/payload", &["request_id"]),
        ("/$defs/job.cancelled/properties/payload", &["request_id"]),
        ("/$defs/job.event", &["trace_id"]),
        ("/$defs/job.result", &["trace_id"]),
        ("/$defs/job.result/properties/payload", &["completed_at"]),
        ("/$defs/job.error", &["trace_id"]),
        ("/$defs/job.error/properties/payload", &["completed_at"]),
    ] {
        let required = document.pointer_mut(place).and_then(|schema| schema["required"].as_array_mut());
        required.expect(place).extend(always.iter().map(|name| json!(name)));
    }
    let payload = &mut document["$defs"]["job.result"]["properties"]["payload"];
    payload["anyOf"] = json!([{ "required": ["result"] }, { "required": ["result_id", "result_size"] }]);
    document["$defs"]["job_entry"]["properties"]["credentials"] = json!(false);
}

/// JSON in which no object has a member twice: `Value` alone would keep the last of them.
struct Unique(Value);

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Unique;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON without a member twice")
            }

            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique(Value::Null))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Unique, E> {
                Ok(Unique(value.into()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unique, A::Error> {
                let mut array = Vec::new();
                while let Some(Unique(item)) = items.next_element()? {
                    array.push(item);
                }
                Ok(Unique(array.into()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
                let mut object = Map::new();
                while let Some((name, Unique(value))) = members.next_entry::<String, Unique>()? {
                    if object.contains_key(&name) {
                        return Err(A::Error::custom(format_args!("member `{name}` is there twice")));
                    }
                    object.insert(name, value);
                }
                Ok(Unique(object.into()))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
