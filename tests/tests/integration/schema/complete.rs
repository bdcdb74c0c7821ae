//! Words and members: those of the schema and those of `arcp-proto` are the same.

use std::collections::{BTreeMap, BTreeSet};

use arcp_runtime::proto::event::{ChunkEncoding, EventKind};
use arcp_runtime::proto::job::{FinalStatus, JobStatus};
use arcp_runtime::proto::{ErrorCode, Feature, MessageType, PROTOCOL_VERSION, namespace};
use serde_json::Value;

use super::mutations::is_free;
use super::samples::messages;
use crate::support::Dice;
use crate::support::schema::DOCUMENT;

fn words(place: &str) -> Vec<String> {
    let words = DOCUMENT.pointer(place).expect(place).as_array().unwrap();
    words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn sorted(words: impl IntoIterator<Item = impl ToString>) -> BTreeSet<String> {
    words.into_iter().map(|word| word.to_string()).collect()
}

#[test]
fn every_word_is_known_to_both() {
    let types = words("/$defs/message/properties/type/enum");
    assert_eq!(types, Vec::from_iter(MessageType::KNOWN.iter().map(ToString::to_string)));
    let sides =
        ["client", "runtime"].map(|side| words(&format!("/$defs/{side}_message/properties/type/enum")));
    assert_eq!(sorted(sides.concat()), sorted(&types));
    assert_eq!(
        words("/$defs/event_kind/anyOf/0/enum"),
        Vec::from_iter(EventKind::KNOWN.iter().map(ToString::to_string))
    );
    assert_eq!(
        words("/$defs/error_code/enum"),
        Vec::from_iter(ErrorCode::KNOWN.iter().map(ToString::to_string))
    );
    assert_eq!(
        words("/$defs/feature/anyOf/0/enum"),
        Vec::from_iter(Feature::KNOWN.iter().map(ToString::to_string))
    );
    assert_eq!(
        words("/$defs/job_status/enum"),
        Vec::from_iter(JobStatus::KNOWN.iter().map(ToString::to_string))
    );
    let encodings = words("/$defs/event.result_chunk/properties/encoding/enum");
    assert_eq!(encodings, Vec::from_iter(ChunkEncoding::KNOWN.iter().map(ToString::to_string)));
    let mut ends = words("/$defs/job.error/properties/payload/properties/final_status/enum");
    ends.push("success".to_owned());
    assert_eq!(sorted(ends), sorted(FinalStatus::KNOWN));
    let success = DOCUMENT.pointer("/$defs/job.result/properties/payload/properties/final_status/const");
    assert_eq!(success.unwrap(), "success");
    let capabilities = DOCUMENT["$defs"]["lease"]["properties"].as_object().unwrap().keys();
    assert_eq!(sorted(capabilities), sorted(namespace::RESERVED));
    assert_eq!(DOCUMENT["$defs"]["arcp"]["const"], PROTOCOL_VERSION);
}

/// Members that the draft allows, and that this project reads or shows nowhere.
const NOT_WRITTEN: [(&str, &str); 8] = [
    ("session.jobs", "/payload/jobs/*/credentials"),
    ("session.jobs", "/payload/jobs/*/credentials/*/id"),
    ("session.jobs", "/payload/jobs/*/credentials/*/scheme"),
    ("session.jobs", "/payload/jobs/*/credentials/*/value"),
    ("session.jobs", "/payload/jobs/*/credentials/*/endpoint"),
    ("session.jobs", "/payload/jobs/*/credentials/*/profile"),
    ("session.jobs", "/payload/jobs/*/credentials/*/constraints"),
    ("session.jobs", "/payload/jobs/*/credentials/*/constraints/*"),
];

/// The members that a schema lists, by place. What is beneath a map (a lease, a budget, constraints) is one place.
fn listed(schema: &Value, place: &str, kind: Option<&str>, out: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        listed(DOCUMENT.pointer(name.trim_start_matches('#')).expect(name), place, kind, out);
    }
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        if *member == Value::Bool(false) {
            continue;
        }
        let place = format!("{place}/{name}");
        out.insert(folded(&place));
        match (name.as_str(), kind) {
            ("body", Some(kind)) => listed(&DOCUMENT["$defs"][format!("event.{kind}")], &place, None, out),
            _ => listed(member, &place, kind, out),
        }
    }
    if schema["items"].is_object() {
        listed(&schema["items"], &format!("{place}/*"), kind, out);
    }
    if schema["additionalProperties"].is_object() {
        out.insert(folded(&format!("{place}/*")));
    }
    for schema in schema["anyOf"].as_array().into_iter().flatten() {
        listed(schema, place, kind, out);
    }
}

fn written(value: &Value, place: &str, out: &mut BTreeSet<String>) {
    if is_free(place) {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let place = format!("{place}/{name}");
                out.insert(folded(&place));
                written(member, &place, out);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| written(item, &format!("{place}/*"), out)),
        _ => {}
    }
}

/// What maps names to something.
const MAPS: [&str; 6] =
    ["/lease", "/lease_request", "/budget", "/constraints", "/extensions", "/x-vendor.arcp.input_schemas"];

/// The members of maps are one.
fn folded(place: &str) -> String {
    for map in MAPS {
        if let Some((before, after)) = place.split_once(&format!("{map}/")) {
            let deeper = after.split_once('/').map_or(String::new(), |(_, deeper)| format!("/{deeper}"));
            return format!("{before}{map}/*{deeper}");
        }
    }
    place.to_owned()
}

#[test]
fn every_member_is_known_to_both() {
    let mut samples: BTreeMap<(String, Option<String>), BTreeSet<String>> = BTreeMap::new();
    for message in messages(&mut Dice::full()) {
        let kind = message["payload"]["kind"].as_str().map(str::to_owned);
        if kind.as_deref() == Some("x-vendor.acme.note") {
            continue; // of which the schema knows nothing
        }
        let key = (message["type"].as_str().unwrap().to_owned(), kind);
        written(&message, "", samples.entry(key).or_default());
    }
    let types = sorted(samples.keys().map(|(message_type, _)| message_type));
    assert_eq!(types, sorted(MessageType::KNOWN));
    let kinds = sorted(samples.keys().filter_map(|(_, kind)| kind.as_ref()));
    let bodies = DOCUMENT["$defs"].as_object().unwrap().keys().filter_map(|name| name.strip_prefix("event."));
    assert_eq!(kinds, sorted(bodies));

    for ((message_type, kind), written) in samples {
        let mut known = BTreeSet::new();
        listed(&DOCUMENT["$defs"][&message_type], "", kind.as_deref(), &mut known);
        for (_, place) in NOT_WRITTEN.iter().filter(|(of, _)| *of == message_type) {
            assert!(known.remove(*place), "{place} is not in the schema");
        }
        // On most envelopes these are allowed, and of use on few.
        for name in [
            "/job_id",
            "/extensions/*",
            "/extensions/*/traceparent",
            "/extensions/*/tracestate",
            "/extensions",
        ] {
            if !written.contains(name) {
                known.remove(name);
            }
        }
        assert_eq!(written, known, "{message_type} {kind:?}");
    }
}
