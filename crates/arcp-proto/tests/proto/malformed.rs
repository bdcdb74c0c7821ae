//! A generated corpus: every field of every message and event body, with everything that should not be there.
//!
//! [`MESSAGES`] and [`BODIES`] describe the fields; [`accepts`] says which of the [`offers`] a field takes, with
//! the leniency that this crate documents. What is refused names the field, and no error repeats the input.

use arcp_proto::{Envelope, Message};
use serde_json::{Map, Value, json};

/// Planted into every value that is offered. The words around it are those of this crate's own errors.
const CANARY: &str = "CANARY, expected CANARY`\n at line 1 column 2";

/// A member name with a suffix: `!` must be there, `?` may be missing or `null`, `~` may be `null` but not missing.
/// A value: the kind of the field, an object, or an array with one object.
const MESSAGES: &[(&str, &str)] = &[
    (
        "session.hello",
        r#"{"client?":{"name!":"text","version?":"text"},"auth?":{"scheme!":"text","token?":"secret"},
            "capabilities?":{"encodings?":"strings","features?":"strings","agents?":"raw"},
            "resume?":{"session_id!":"id","resume_token!":"secret","last_event_seq?":"integer"},
            "resume_token?":"secret","last_event_seq?":"integer"}"#,
    ),
    (
        "session.resume",
        r#"{"client?":{"name!":"text","version?":"text"},"auth?":{"scheme!":"text","token?":"secret"},
            "capabilities?":{"encodings?":"strings","features?":"strings","agents?":"raw"},
            "resume?":{"session_id!":"id","resume_token!":"secret","last_event_seq?":"integer"},
            "session_id?":"id","resume_token?":"secret","last_event_seq?":"integer"}"#,
    ),
    (
        "session.welcome",
        r#"{"session_id?":"id","accepted_at?":"time","runtime?":{"name!":"text","version?":"text"},
            "resume_token?":"secret","resume_window_sec?":"integer","heartbeat_interval_sec?":"integer",
            "capabilities?":{"encodings?":"strings","features?":"strings",
                "agents?":[{"name!":"text","versions?":"strings","default?":"text"}]}}"#,
    ),
    (
        "session.error",
        r#"{"code!":"text","message?":"text","retryable?":"flag","details?":"raw","request_id?":"id","job_id?":"id"}"#,
    ),
    ("session.ping", r#"{"nonce!":"text","sent_at?":"time"}"#),
    ("session.pong", r#"{"ping_nonce!":"text","received_at?":"time"}"#),
    ("session.ack", r#"{"last_processed_seq!":"integer"}"#),
    (
        "session.list_jobs",
        r#"{"filter?":{"status?":"strings","agent?":"text","created_after?":"time"},"limit?":"integer",
            "cursor?":"text"}"#,
    ),
    (
        "session.jobs",
        r#"{"request_id?":"id","next_cursor?":"text","jobs~":[{"job_id!":"id","agent!":"text","status!":"text",
            "lease?":"grants","parent_job_id?":"id","created_at!":"time","trace_id?":"trace",
            "last_event_seq?":"integer"}]}"#,
    ),
    ("session.close", r#"{"reason?":"text"}"#),
    ("session.closed", r#"{"reason?":"text"}"#),
    ("session.bye", r#"{"reason?":"text"}"#),
    (
        "job.submit",
        r#"{"agent!":"agent","input?":"raw","lease_request?":"grants","lease_constraints?":{"expires_at?":"time"},
            "idempotency_key?":"text","max_runtime_sec?":"integer"}"#,
    ),
    (
        "job.accepted",
        r#"{"job_id!":"id","agent?":"text","lease?":"grants","lease_constraints?":{"expires_at?":"time"},
            "budget?":"counters","accepted_at?":"time","trace_id?":"trace","parent_job_id?":"id",
            "delegate_id?":"id","request_id?":"id","credentials?":[{"id!":"id","scheme!":"text","value!":"secret",
            "endpoint!":"text","profile?":"text","constraints?":{"cost.budget?":"strings","model.use?":"strings",
            "expires_at?":"time"}}]}"#,
    ),
    ("job.event", r#"{"kind!":"text","ts?":"time","body?":"raw"}"#),
    (
        "job.result",
        r#"{"final_status?":"text","result?":"raw","output?":"raw","result_id?":"id","result_size?":"integer",
            "summary?":"text","completed_at?":"time"}"#,
    ),
    (
        "job.error",
        r#"{"final_status?":"text","code!":"text","message?":"text","retryable?":"flag","details?":"raw",
            "completed_at?":"time"}"#,
    ),
    ("job.cancel", r#"{"reason?":"text","job_id?":"id"}"#),
    ("job.cancelled", r#"{"reason?":"text","request_id?":"id"}"#),
    ("job.subscribe", r#"{"job_id!":"id","from_event_seq?":"integer","history?":"flag"}"#),
    (
        "job.subscribed",
        r#"{"job_id!":"id","current_status!":"text","agent?":"text","lease?":"grants",
            "lease_constraints?":{"expires_at?":"time"},"budget?":"counters","parent_job_id?":"id",
            "trace_id?":"trace","subscribed_from?":"integer","replayed?":"count_or_flag","request_id?":"id",
            "credentials?":[{"id!":"id","scheme!":"text","value!":"secret","endpoint!":"text"}]}"#,
    ),
    ("job.unsubscribe", r#"{"job_id!":"id"}"#),
];

const BODIES: &[(&str, &str)] = &[
    ("log", r#"{"level!":"text","message!":"text"}"#),
    ("thought", r#"{"text!":"text"}"#),
    ("tool_call", r#"{"tool!":"text","args?":"raw","call_id!":"id"}"#),
    (
        "tool_result",
        r#"{"call_id!":"id","result?":"raw",
            "error?":{"code!":"text","message?":"text","retryable?":"flag","details?":"raw"}}"#,
    ),
    ("status", r#"{"phase!":"text","message?":"text","id?":"id","value?":"secret"}"#),
    ("metric", r#"{"name!":"text","value!":"number","unit?":"text","dimensions?":"raws"}"#),
    ("artifact_ref", r#"{"uri!":"text","content_type?":"text","byte_size?":"integer","sha256?":"text"}"#),
    (
        "delegate",
        r#"{"delegate_id?":"id","agent!":"text","input?":"raw","lease_request?":"grants",
            "lease_constraints?":{"expires_at?":"time"},"child_job_id?":"id"}"#,
    ),
    ("progress", r#"{"current!":"number","total?":"number","units?":"text","message?":"text"}"#),
    (
        "result_chunk",
        r#"{"result_id!":"id","chunk_seq!":"integer","data!":"text","encoding!":"text","more!":"flag"}"#,
    ),
];

const ENVELOPE: &str = r#"{"arcp!":"version","id!":"id","type!":"id","session_id?":"id","trace_id?":"trace",
    "job_id?":"id","event_seq?":"integer","extensions?":"raws","payload?":"object"}"#;

/// What is put into a field, as JSON text.
fn offers() -> Vec<(&'static str, String)> {
    let canary = Value::from(CANARY).to_string();
    vec![
        ("null", "null".into()),
        ("text", "\"CANARY\"".into()),
        ("two lines", canary.clone()),
        ("empty", "\"\"".into()),
        ("number", "7".into()),
        ("flag", "true".into()),
        ("array", format!("[{canary}]")),
        ("object", format!("{{{canary}:{canary},\"CANARY\":[1]}}")),
        ("huge text", format!("\"CANARY{}\"", "x".repeat(100_000))),
        ("huge number", "1".repeat(5_000)),
        ("deep array", format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        ("deep object", format!("{}1{}", "{\"CANARY\":".repeat(100_000), "}".repeat(100_000))),
        ("nul", "\"CANARY\\u0000\"".into()),
        ("lone surrogate", "\"CANARY\\ud800\"".into()),
        ("1822.0", "1822.0".into()),
        ("-1", "-1".into()),
        ("1e400", "1e400".into()),
        ("2^63", "9223372036854775808".into()),
    ]
}

fn accepts(kind: &str, optional: bool, offer: &str) -> bool {
    let is = |offers: &[&str]| offers.contains(&offer);
    let text = is(&["text", "two lines", "empty", "huge text", "nul"]);
    let number = is(&["number", "1822.0", "-1", "1e400", "2^63"]);
    if offer == "null" {
        return optional || kind == "raw";
    }
    match kind {
        "raw" => true,
        "raws" | "object" => is(&["object", "deep object"]),
        "text" | "secret" | "trace" => text,
        "id" => offer == "text" || (optional && offer == "empty"),
        "version" | "agent" | "time" | "grants" | "counters" => false,
        "integer" => offer == "number",
        "number" => number,
        "flag" => offer == "flag",
        "count_or_flag" => is(&["flag", "number", "2^63"]),
        "strings" => offer == "array",
        "agents" => offer == "array",
        other => panic!("no such kind: {other}"),
    }
}

fn sample(kind: &str) -> Value {
    match kind {
        "text" | "secret" | "id" | "agent" => json!("a1"),
        "version" => json!("1.1"),
        "trace" => json!("4bf92f3577b34da6a3ce929d0e0e4736"),
        "time" => json!("2026-05-13T19:42:13Z"),
        "integer" | "number" => json!(3),
        "flag" | "count_or_flag" => json!(true),
        "strings" => json!(["a", "b"]),
        "grants" => json!({ "fs.read": ["/a"] }),
        "counters" => json!({ "USD": 5 }),
        "raw" | "raws" | "object" => json!({ "a": 1 }),
        other => panic!("no such kind: {other}"),
    }
}

/// One field: where it is, what it is, and whether it may be missing or null.
struct Field {
    pointer: String,
    name: String,
    kind: String,
    may_miss: bool,
    may_be_null: bool,
}

/// Builds a valid value from its description, and lists its fields.
fn build(description: &Value, pointer: &str, fields: &mut Vec<Field>) -> Value {
    let mut object = Map::new();
    for (key, described) in description.as_object().expect("an object") {
        let (name, mark) = key.split_at(key.len() - 1);
        let here = format!("{pointer}/{name}");
        let mut inner = Vec::new();
        let (kind, value) = match described {
            Value::String(kind) => (kind.clone(), sample(kind)),
            Value::Array(items) => {
                let item = build(&items[0], &format!("{here}/0"), &mut inner);
                // An agent may be named by a string, and objects of required fields by nothing else.
                let kind = if name == "agents" { "agents" } else { "grants" };
                (kind.to_owned(), Value::from(vec![item]))
            }
            nested => {
                let value = build(nested, &here, &mut inner);
                let loose = nested.as_object().unwrap().keys().all(|key| !key.ends_with('!'));
                (if loose { "object" } else { "grants" }.to_owned(), value)
            }
        };
        fields.push(Field {
            pointer: here,
            name: name.to_owned(),
            kind,
            may_miss: mark == "?",
            may_be_null: mark != "!",
        });
        fields.append(&mut inner);
        object.insert(name.to_owned(), value);
    }
    Value::Object(object)
}

const HERE: &str = "@@HERE@@";

/// `value` as text, with the member at `pointer` replaced by raw text, name and all.
fn with_member(value: &Value, pointer: &str, member: &str) -> String {
    let mut value = value.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap()[name] = HERE.into();
    let text = value.to_string();
    let marker = format!("\"{name}\":\"{HERE}\"");
    assert!(text.contains(&marker), "{text}");
    text.replace(&marker, member)
}

fn without_member(value: &Value, pointer: &str) -> String {
    let mut value = value.clone();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    value.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    value.to_string()
}

/// What a reader of the frame finds: the error of the envelope, of the payload or of the body, as text.
fn read(frame: String) -> Result<(), String> {
    let envelope = Envelope::decode(frame).map_err(|refused| {
        assert!(!format!("{refused:?}").contains("CANARY"), "{refused:?}");
        refused.to_string()
    })?;
    let unreadable = |error: arcp_proto::DecodeError| {
        assert!(!format!("{error:?}").contains("CANARY"), "{error:?}");
        error.to_string()
    };
    match envelope.message().map_err(unreadable)? {
        Message::JobEvent(event) => event.body().map(drop).map_err(unreadable),
        _ => Ok(()),
    }
}

#[track_caller]
fn check(what: &str, frame: String, accepted: bool, name: &str) {
    match read(frame) {
        Ok(()) => assert!(accepted, "{what}: was taken"),
        Err(error) => {
            assert!(!error.contains("CANARY"), "{what}: {error}");
            assert!(!error.contains('\n'), "{what}: {error}");
            assert!(error.len() < 300, "{what}: {error}");
            assert!(!accepted, "{what}: {error}");
            let named = error.contains(name) || error == "protocol version is not 1.x";
            assert!(named, "{what}: does not name {name}: {error}");
        }
    }
}

/// Every field of `description`, wrapped into a frame by `wrap`, with every offer in its place.
fn corpus(what: &str, description: &str, wrap: &dyn Fn(&str) -> String) -> usize {
    let description: Value = serde_json::from_str(description).expect(what);
    let mut fields = Vec::new();
    let value = build(&description, "", &mut fields);
    check(&format!("{what} as it should be"), wrap(&value.to_string()), true, "");
    let mut cases = 1;
    let mut objects = std::collections::HashSet::new();
    for Field { pointer, name, kind, may_miss, may_be_null } in &fields {
        let missing = without_member(&value, pointer);
        check(&format!("{what} {pointer} missing"), wrap(&missing), *may_miss, name);
        let first_of_its_object = objects.insert(pointer.rsplit_once('/').unwrap().0);
        let original = value.pointer(pointer).unwrap();
        let twice = with_member(&value, pointer, &format!("\"{name}\":{original},\"{name}\":{original}"));
        check(&format!("{what} {pointer} twice"), wrap(&twice), false, name);
        for (offer, text) in offers() {
            let taken = accepts(kind, *may_be_null, offer);
            let frame = wrap(&with_member(&value, pointer, &format!("\"{name}\":{text}")));
            check(&format!("{what} {pointer} {offer}"), frame, taken, name);
            cases += 1;
            if !first_of_its_object {
                continue;
            }
            let beside = format!("\"{name}\":{original},\"later_draft\":{text}");
            let frame = wrap(&with_member(&value, pointer, &beside));
            check(&format!("{what} beside {pointer} {offer}"), frame, true, "");
            cases += 1;
        }
    }
    cases
}

#[test]
fn every_field_of_every_message() {
    assert_eq!(MESSAGES.len(), arcp_proto::MessageType::KNOWN.len());
    for (message_type, description) in MESSAGES {
        assert!(arcp_proto::MessageType::from(*message_type).is_known(), "{message_type}");
        let wrap = |payload: &str| {
            format!(r#"{{"arcp":"1.1","id":"m1","payload":{payload},"type":"{message_type}"}}"#)
        };
        // The sample of an event has an unknown kind: its body may be anything.
        let cases = corpus(message_type, description, &wrap);
        assert!(cases > 18, "{message_type}: {cases} cases");
    }
}

#[test]
fn every_field_of_every_body() {
    assert_eq!(BODIES.len(), arcp_proto::event::EventKind::KNOWN.len());
    for (kind, description) in BODIES {
        let wrap = |body: &str| {
            format!(
                r#"{{"arcp":"1.1","id":"m1","type":"job.event","payload":{{"kind":"{kind}","body":{body}}}}}"#
            )
        };
        assert!(corpus(kind, description, &wrap) > 18);
        for body in ["[]", "[\"a\",\"b\",\"c\",\"d\",\"e\"]", "\"CANARY\"", "7"] {
            check(&format!("{kind} body {body}"), wrap(body), false, "body");
        }
    }
}

#[test]
fn every_field_of_the_envelope() {
    corpus("envelope", ENVELOPE, &|frame| frame.to_owned());
}

#[test]
fn what_is_no_object_is_no_envelope() {
    for (offer, text) in offers() {
        let taken = Envelope::decode(text);
        let error = taken.map(drop).expect_err(offer).to_string();
        assert!(!error.contains("CANARY"), "{offer}: {error}");
    }
    for text in ["", " ", "{", "{}", "[]", "{\"arcp\"", "\u{feff}{}", "{} {}", "\0", "{\"a\":1,}", "{'a':1}"]
    {
        assert!(Envelope::decode(text).is_err(), "{text:?} was taken");
    }
}

#[test]
fn names_and_elements_inside_of_grants_and_counters() {
    let refused = [
        (r#"{"fs.read":["a","CANARY",7]}"#, "payload.lease_request[\"fs.read\"][2]: expected a string"),
        (r#"{"CANARY one":"CANARY"}"#, "payload.lease_request[*]: expected an array"),
        (r#"{"fs.read":["/a"],"fs.read":["/CANARY"]}"#, "payload.lease_request: expected every name once"),
        (r#"["fs.read"]"#, "payload.lease_request: expected an object of patterns by namespace"),
    ];
    for (lease, message) in refused {
        let frame = format!(
            r#"{{"arcp":"1.1","id":"m","type":"job.submit","payload":{{"agent":"a","lease_request":{lease}}}}}"#
        );
        assert_eq!(read(frame).unwrap_err(), message, "{lease}");
    }
    for budget in [
        r#"{"USD":1,"USD":2}"#,
        r#"{"USD":"EUR:1"}"#,
        r#"{"USD":"CANARY"}"#,
        r#"{"USD":"1_000"}"#,
        r#"{"USD":"+1"}"#,
        r#"{"USD":".5"}"#,
        r#"{"USD":1e400}"#,
        r#"{"U SD":1}"#,
    ] {
        let frame = format!(
            r#"{{"arcp":"1.1","id":"m","type":"job.accepted","payload":{{"job_id":"j","budget":{budget}}}}}"#
        );
        let error = read(frame).unwrap_err();
        assert!(error.starts_with("payload.budget") && !error.contains("CANARY"), "{budget}: {error}");
    }
}
