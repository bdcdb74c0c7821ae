//! Every example of the drafts of version 1.1 (01 to 21) and 1.0 (22 to 34), with what they elide filled in.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::side_of;
use crate::support::schema::{DOCUMENT, PUBLISHED};

/// What an example is.
enum Is {
    Message,
    /// The payload of a `job.event`.
    Event,
    /// A part of a message, by its name in the schema.
    Part(&'static str),
    /// The same, under a member of the example.
    PartAt(&'static str, &'static str),
}
use Is::{Event, Message, Part, PartAt};

/// What the example leaves out, or has a placeholder for: its place, and what stands there.
type Fill = (&'static str, fn() -> Value);

const NONE: &[Fill] = &[];
const TS: Fill = ("/ts", || json!("2026-05-13T19:42:13Z"));

/// Version 1.0 knows of no features, and of agents by their names.
const EXAMPLES: &[(&str, Is, &[Fill])] = &[
    ("01-hello", Message, NONE),
    ("02-welcome", Message, NONE),
    ("03-ping", Message, NONE),
    ("04-pong", Message, NONE),
    ("05-ack", Message, NONE),
    ("06-list-jobs", Message, NONE),
    ("07-jobs", Message, NONE),
    ("08-submit", Message, NONE),
    ("09-accepted", Message, NONE),
    ("10-subscribe", Message, NONE),
    ("11-subscribed", Message, NONE),
    ("12-unsubscribe", Message, NONE),
    ("13-progress", Event, NONE),
    ("14-result-chunk", Event, NONE),
    ("15-result", Message, NONE),
    ("16-lease-constraints", PartAt("lease_constraints", "/lease_constraints"), NONE),
    ("17-cost-budget", Part("lease"), NONE),
    ("18-metric-cost", Event, &[TS]),
    ("19-metric-remaining", Event, &[TS]),
    ("20-model-use", Part("lease"), NONE),
    ("21-credential", Part("credential"), NONE),
    (
        "22-v1-envelope",
        Message,
        &[
            ("/type", || json!("job.event")),
            ("/job_id", || json!("job_1")),
            ("/payload/kind", || json!("thought")),
            ("/payload/ts", || json!("2026-05-13T19:42:13Z")),
            ("/payload/body", || json!({ "text": "" })),
        ],
    ),
    ("23-v1-hello", Message, &[("/payload/capabilities/features", || json!([]))]),
    (
        "24-v1-welcome",
        Message,
        &[
            ("/payload/capabilities/features", || json!([])),
            ("/payload/capabilities/agents", || json!([{ "name": "code-refactor", "versions": ["1.0.0"] }])),
        ],
    ),
    (
        "25-v1-resume",
        Message,
        &[("/payload/capabilities", || json!({ "encodings": ["json"], "features": [] }))],
    ),
    ("26-v1-bye", Message, &[("/session_id", || json!("sess_1"))]),
    ("27-v1-submit", Message, NONE),
    ("28-v1-accepted", Message, NONE),
    ("29-v1-cancel", Message, NONE),
    (
        "30-v1-event",
        Message,
        &[("/payload/kind", || json!("thought")), ("/payload/body", || json!({ "text": "" }))],
    ),
    ("31-v1-lease", Part("lease"), NONE),
    ("32-v1-delegate", Message, NONE),
    ("33-v1-accepted-child", Message, &[("/payload/accepted_at", || json!("2026-05-13T19:42:00Z"))]),
    ("34-v1-error", Part("error"), NONE),
];

/// What is shortened is written out.
fn write_out(value: &mut Value) {
    match value {
        Value::String(text) if text.ends_with("...") => {
            *text = text.replace("...", "0123456789ABCDEFGHJKMNPQRS")
        }
        Value::Array(items) => items.iter_mut().for_each(write_out),
        Value::Object(members) => members.values_mut().for_each(write_out),
        _ => {}
    }
}

fn set(value: &mut Value, place: &str, with: Value) {
    let (parent, member) = place.rsplit_once('/').unwrap();
    value.pointer_mut(parent).expect(place)[member] = with;
}

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../crates/arcp-proto/tests/vectors/draft")
}

fn example(name: &str) -> Value {
    let text = std::fs::read_to_string(directory().join(format!("{name}.json"))).expect(name);
    serde_json::from_str(&text).expect(name)
}

/// What the schema says of a message in which a part stands.
fn part_is_taken(part: &str, value: &Value) -> bool {
    let mut document = DOCUMENT.clone();
    document["$ref"] = json!(format!("#/$defs/{part}"));
    jsonschema::validator_for(&document).unwrap().is_valid(value)
}

#[test]
fn every_example_is_taken() {
    let files: BTreeSet<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named: BTreeSet<String> = EXAMPLES.iter().map(|(name, ..)| format!("{name}.json")).collect();
    assert_eq!(files, named);
    for (name, is, fills) in EXAMPLES {
        let mut value = example(name);
        write_out(&mut value);
        for (place, with) in *fills {
            let elided = value.pointer(place).is_none_or(|drawn| {
                let text = drawn.as_str().unwrap_or_default();
                text.starts_with('<') || *drawn == json!({}) || drawn[0].is_string()
            });
            assert!(elided, "{name}: {place} is drawn");
            set(&mut value, place, with());
        }
        let message = match is {
            Part(part) => {
                assert!(part_is_taken(part, &value), "{name}: {value:#}");
                continue;
            }
            PartAt(part, place) => {
                assert!(part_is_taken(part, value.pointer(place).unwrap()), "{name}: {value:#}");
                continue;
            }
            Event => json!({
                "arcp": "1.1", "id": "01J", "type": "job.event", "session_id": "sess_1", "job_id": "job_1",
                "event_seq": 1, "payload": value,
            }),
            Message => {
                // The version is the one difference that says nothing about the message.
                value["arcp"] = json!("1.1");
                value
            }
        };
        assert_eq!(PUBLISHED.violations(side_of(&message), &message), [], "{name}: {message:#}");
    }
}
