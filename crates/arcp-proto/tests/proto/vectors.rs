//! The vectors in `tests/vectors` at the root of the repository: text that any implementation can read.
//!
//! Each file has `valid`, an array of `{text, canonical, ..}`, and `invalid`, an array of `{text, reason}`.

use std::collections::BTreeSet;

use arcp_proto::{
    AgentRef, BudgetAmount, Envelope, LeaseConstraints, Number, Timestamp, TraceContext, TraceId,
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[allow(dead_code, reason = "for people")]
    about: String,
    valid: Vec<Valid>,
    invalid: Vec<Invalid>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valid {
    text: String,
    canonical: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    millis: Option<i64>,
    #[serde(default)]
    expires_at: Option<bool>,
    #[serde(default)]
    form: Option<String>,
    #[serde(default)]
    trace_id: Option<String>,
    #[serde(default)]
    sampled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invalid {
    text: String,
    reason: String,
    #[serde(default)]
    form: Option<String>,
}

fn load(name: &str) -> Vectors {
    let path = format!("{}/../../tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect(&path);
    let vectors: Vectors = serde_json::from_str(&text).expect(name);
    assert!(vectors.valid.len() >= 8 && vectors.invalid.len() >= 8, "{name} has lost its vectors");
    for list in [
        vectors.valid.iter().map(|one| (&one.text, &one.form)).collect::<Vec<_>>(),
        vectors.invalid.iter().map(|one| (&one.text, &one.form)).collect(),
    ] {
        let set: BTreeSet<_> = list.iter().collect();
        assert_eq!(set.len(), list.len(), "{name} has a vector twice");
    }
    assert!(vectors.invalid.iter().all(|one| !one.reason.is_empty()));
    vectors
}

#[test]
fn agent_refs() {
    let Vectors { valid, invalid, .. } = load("agent-refs");
    for one in valid {
        let agent: AgentRef = one.text.parse().expect(&one.text);
        assert_eq!(agent.to_string(), one.canonical);
        assert_eq!(Some(agent.name.as_str()), one.name.as_deref(), "{}", one.text);
        assert_eq!(agent.version.as_ref().map(|version| version.as_str()), one.version.as_deref());
    }
    for Invalid { text, reason, .. } in invalid {
        assert!(text.parse::<AgentRef>().is_err(), "{text:?} was taken: {reason}");
    }
}

#[test]
fn timestamps() {
    let Vectors { valid, invalid, .. } = load("timestamps");
    for one in valid {
        let time: Timestamp = one.text.parse().expect(&one.text);
        assert_eq!(time.to_string(), one.canonical, "{}", one.text);
        assert_eq!(Some(time.as_millis()), one.millis, "{}", one.text);
        assert_eq!(one.canonical.parse(), Ok(time), "{}", one.text);
        let constraints = format!(r#"{{"expires_at":"{}"}}"#, one.text);
        let taken = serde_json::from_str::<LeaseConstraints>(&constraints).is_ok();
        assert_eq!(Some(taken), one.expires_at, "{}", one.text);
    }
    for Invalid { text, reason, .. } in invalid {
        assert!(text.parse::<Timestamp>().is_err(), "{text:?} was taken: {reason}");
        assert!(Timestamp::parse_utc(&text).is_err(), "{text:?} was taken: {reason}");
    }
}

#[test]
fn amounts() {
    let Vectors { valid, invalid, .. } = load("amounts");
    for Valid { text, canonical, form, .. } in valid {
        let read = match form.as_deref() {
            Some("pattern") => text.parse::<BudgetAmount>().expect(&text).to_string(),
            Some("number") => text.parse::<Number>().expect(&text).to_amount().expect(&text).to_string(),
            other => panic!("{text}: no such form: {other:?}"),
        };
        assert_eq!(read, canonical, "{text}");
    }
    for Invalid { text, reason, form } in invalid {
        let taken = match form.as_deref() {
            Some("pattern") => text.parse::<BudgetAmount>().is_ok(),
            Some("number") => text.parse::<Number>().is_ok_and(|number| number.to_amount().is_ok()),
            other => panic!("{text}: no such form: {other:?}"),
        };
        assert!(!taken, "{text:?} was taken: {reason}");
    }
}

#[test]
fn trace_contexts() {
    let Vectors { valid, invalid, .. } = load("trace-context");
    let on_an_envelope = |text: &str| {
        let frame = serde_json::json!({ "arcp": "1.1", "id": "m", "type": "job.submit", "trace_id": text });
        Envelope::decode(frame.to_string()).expect("an unreadable trace_id is no error").trace_id
    };
    for one in valid {
        let trace_id: TraceId = one.text.parse().expect(&one.text);
        assert_eq!(Some(trace_id.to_string()), one.trace_id, "{}", one.text);
        assert_eq!(on_an_envelope(&one.text), Some(trace_id));
        match one.form.as_deref() {
            Some("trace-id") => assert_eq!(trace_id.to_string(), one.canonical),
            Some("traceparent") => {
                let context: TraceContext = one.text.parse().expect(&one.text);
                assert_eq!(context.to_string(), one.canonical);
                assert_eq!(Some(context.sampled), one.sampled, "{}", one.text);
            }
            other => panic!("{}: no such form: {other:?}", one.text),
        }
    }
    for Invalid { text, reason, .. } in invalid {
        assert!(text.parse::<TraceId>().is_err(), "{text:?} was taken: {reason}");
        assert!(text.parse::<TraceContext>().is_err(), "{text:?} was taken: {reason}");
        assert_eq!(on_an_envelope(&text), None, "{text:?}");
    }
}
