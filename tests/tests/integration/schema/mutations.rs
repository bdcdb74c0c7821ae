//! One thing wrong at a time, at every place of every message: it is refused, and at that place.

use serde_json::{Value, json};

use super::samples::messages;
use super::side_of;
use crate::support::Dice;
use crate::support::schema::{HOUSE, PUBLISHED};

/// Places beneath which is what agents, tools and vendors say: any JSON.
const FREE: [&str; 6] = [
    "/payload/input",
    "/payload/result",
    "/payload/body/args",
    "/payload/body/input",
    "/payload/body/result",
    "/payload/body/any",
];

/// Objects whose members are anything.
const OPEN: [&str; 5] = [
    "/details",
    "/dimensions",
    "/payload/body/any",
    "/x-vendor.arcp.input_schema",
    "/x-vendor.arcp.input_schemas/2.0.0-rc.1+b_7",
];

/// Members that may be missing, by message; `*` is any of them. An array's first item is `0`.
const OPTIONAL: &[(&str, &[&str])] = &[
    ("session.hello", &["/payload/resume"]),
    ("session.resume", &["/session_id"]),
    (
        "session.welcome",
        &[
            "/payload/session_id",
            "/payload/accepted_at",
            "/payload/capabilities/agents/0/default",
            "/payload/capabilities/agents/0/x-vendor.arcp.input_schema",
            "/payload/capabilities/agents/0/x-vendor.arcp.input_schemas",
            "/payload/capabilities/agents/0/x-vendor.arcp.input_schemas/2.0.0-rc.1+b_7",
        ],
    ),
    ("session.error", &["/job_id", "/payload/details", "/payload/request_id", "/payload/job_id"]),
    (
        "session.list_jobs",
        &[
            "/payload/filter",
            "/payload/filter/status",
            "/payload/filter/agent",
            "/payload/filter/created_after",
            "/payload/limit",
            "/payload/cursor",
        ],
    ),
    ("session.jobs", &["/payload/jobs/0/submitted_at"]),
    ("session.close", &["/payload/reason"]),
    ("session.closed", &["/payload/reason"]),
    ("session.bye", &["/payload/reason"]),
    (
        "job.submit",
        &[
            "/payload/lease_request",
            "/payload/lease_constraints",
            "/payload/idempotency_key",
            "/payload/max_runtime_sec",
        ],
    ),
    (
        "job.accepted",
        &[
            "/job_id",
            "/payload/agent",
            "/payload/lease_constraints",
            "/payload/budget",
            "/payload/credentials",
            "/payload/credentials/0/profile",
            "/payload/credentials/0/constraints",
            "/payload/trace_id",
            "/payload/request_id",
        ],
    ),
    ("job.event log", &[]),
    ("job.event thought", &[]),
    ("job.event tool_call", &[]),
    ("job.event tool_result", &["/payload/body/error/details"]),
    ("job.event status", &["/payload/body/message", "/payload/body/value"]),
    ("job.event metric", &["/payload/body/unit", "/payload/body/dimensions"]),
    ("job.event artifact_ref", &["/payload/body/byte_size", "/payload/body/sha256"]),
    (
        "job.event delegate",
        &["/payload/body/lease_request", "/payload/body/lease_constraints", "/payload/body/child_job_id"],
    ),
    ("job.event progress", &["/payload/body/total", "/payload/body/units", "/payload/body/message"]),
    ("job.event result_chunk", &[]),
    ("job.event x-vendor.arcp.missed", &[]),
    ("job.event x-vendor.acme.note", &["/payload/body/any"]),
    ("job.result", &["/payload/result", "/payload/result_size", "/payload/summary", "/payload/completed_at"]),
    ("job.error", &["/payload/details", "/payload/completed_at"]),
    ("job.cancel", &["/payload/reason", "/payload/job_id"]),
    ("job.cancelled", &["/payload/reason", "/payload/request_id"]),
    ("job.subscribe", &["/job_id", "/payload/from_event_seq", "/payload/history"]),
    (
        "job.subscribed",
        &[
            "/job_id",
            "/payload/lease_constraints",
            "/payload/budget",
            "/payload/credentials",
            "/payload/credentials/0/profile",
            "/payload/credentials/0/constraints",
            "/payload/request_id",
        ],
    ),
    ("job.unsubscribe", &["/job_id"]),
    ("session.ping", &[]),
    ("session.pong", &[]),
    ("session.ack", &[]),
];

/// Places where the draft draws `null`.
const NULLABLE: [(&str, &str); 4] = [
    ("session.list_jobs", "/payload/cursor"),
    ("session.jobs", "/payload/next_cursor"),
    ("session.jobs", "/payload/jobs/0/parent_job_id"),
    ("job.subscribed", "/payload/parent_job_id"),
];

/// Members whose words are counted.
const WORDS: [&str; 12] = [
    "/arcp",
    "/type",
    "/payload/auth/scheme",
    "/payload/capabilities/features/0",
    "/payload/filter/status/0",
    "/payload/jobs/0/status",
    "/payload/current_status",
    "/payload/final_status",
    "/payload/kind",
    "/payload/body/encoding",
    "/payload/lease/cost.budget/0",
    "/payload/lease_request/cost.budget/0",
];

/// Whether any JSON may stand here, or the members of this are anybody's.
pub(super) fn is_free(place: &str) -> bool {
    FREE.contains(&place) || OPEN.iter().any(|open| place.ends_with(open))
}

/// What the tables call a message.
fn name_of(message: &Value) -> String {
    let message_type = message["type"].as_str().unwrap();
    match message["payload"]["kind"].as_str() {
        Some(kind) => format!("{message_type} {kind}"),
        None => message_type.to_owned(),
    }
}

fn may_be_missing(name: &str, place: &str) -> bool {
    // Maps, and what is on every envelope.
    let of_map = ["/lease", "/lease_request", "/budget", "/constraints", "/lease_constraints", "/extensions"];
    let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
    if of_map.iter().any(|map| parent.ends_with(map)) || ["/trace_id", "/extensions"].contains(&place) {
        return true;
    }
    if place.starts_with("/extensions/") {
        return place.ends_with("/tracestate");
    }
    let (_, optional) = OPTIONAL.iter().find(|(of, _)| *of == name).expect(name);
    optional.contains(&place)
}

/// Every place of a message, and whether it is a member, rather than an item.
fn places(value: &Value, place: &str, out: &mut Vec<(String, bool)>) {
    if is_free(place) {
        return;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let place = format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"));
                out.push((place.clone(), true));
                places(member, &place, out);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let place = format!("{place}/{index}");
                out.push((place.clone(), false));
                places(item, &place, out);
            }
        }
        _ => {}
    }
}

fn each(mut test: impl FnMut(&str, &Value, &str, bool)) {
    let mut tested = 0;
    for message in messages(&mut Dice::full()) {
        let mut all = Vec::new();
        places(&message, "", &mut all);
        for (place, is_member) in all {
            test(&name_of(&message), &message, &place, is_member);
            tested += 1;
        }
    }
    assert!(tested > 500, "{tested} places");
}

fn with(message: &Value, place: &str, value: Value) -> Value {
    let mut message = message.clone();
    *message.pointer_mut(place).expect(place) = value;
    message
}

/// It is refused, and all that is said is about this place or what is beneath.
#[track_caller]
fn refused(original: &Value, message: &Value, place: &str, why: &str) {
    let violations = PUBLISHED.violations(side_of(original), message);
    assert!(!violations.is_empty(), "{why} at {place} is taken: {message:#}");
    let there = |of: &str| of == place || of.starts_with(&format!("{place}/"));
    assert!(violations.iter().any(|one| one.place == place), "{why} at {place}: {violations:#?}");
    assert!(violations.iter().all(|one| there(&one.place)), "{why} at {place}: {violations:#?}");
}

#[test]
fn a_missing_member_is_missed_unless_it_may_be() {
    each(|name, message, place, is_member| {
        if !is_member {
            return;
        }
        let (parent, member) = place.rsplit_once('/').unwrap();
        let mut without = message.clone();
        without.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(member).expect(place);
        let violations = PUBLISHED.violations(side_of(message), &without);
        if may_be_missing(name, place) {
            assert_eq!(violations, [], "{name}: {place} may be missing");
            return;
        }
        let named = violations.iter().find(|one| one.place == parent);
        let named = named.unwrap_or_else(|| panic!("{name}: {place} is not missed: {violations:#?}"));
        assert!(["required", "dependentRequired"].contains(&named.keyword.as_str()), "{name}: {named:#?}");
        // Without an error there would have to be a result.
        let missed = if place == "/payload/body/error" { "result" } else { member };
        assert!(named.text.contains(&format!("\"{missed}\"")), "{name}: {place}: {named:#?}");
    });
}

#[test]
fn null_is_refused_where_the_draft_draws_none() {
    each(|name, message, place, _| {
        let null = with(message, place, Value::Null);
        if NULLABLE.contains(&(name, place)) || FREE.contains(&place) {
            assert_eq!(PUBLISHED.violations(side_of(message), &null), [], "{name}: {place}");
        } else {
            refused(message, &null, place, "null");
        }
    });
}

#[test]
fn a_value_of_another_type_is_refused() {
    each(|_, message, place, _| {
        if FREE.contains(&place) {
            return;
        }
        let others = match message.pointer(place).unwrap() {
            Value::String(_) => vec![json!(7), json!({}), json!([])],
            Value::Number(number) if number.is_u64() && !place.starts_with("/payload/body/") => {
                vec![json!("7"), json!(1.5), json!(-1), json!([])]
            }
            Value::Number(_) => vec![json!("7"), json!([7])],
            Value::Bool(_) => vec![json!(1), json!("true")],
            Value::Object(_) => vec![json!([]), json!("x")],
            Value::Array(_) => vec![json!({}), json!("x")],
            Value::Null => panic!("{place} is null"),
        };
        for other in others {
            let why = other.to_string();
            refused(message, &with(message, place, other), place, &why);
        }
    });
}

#[test]
fn a_word_that_is_none_is_refused() {
    let mut seen = Vec::new();
    each(|name, message, place, _| {
        let is_code = place == "/payload/code" && name == "session.error";
        if WORDS.contains(&place) || is_code {
            seen.push(place.to_owned());
            for word in ["bogus", "", "SUCCESS"] {
                refused(message, &with(message, place, json!(word)), place, word);
            }
        }
    });
    for word in WORDS {
        assert!(seen.iter().any(|place| place == word), "no message has {word}");
    }
}

#[test]
fn ids_and_times_have_their_forms() {
    let mut tested = 0;
    each(|_, message, place, _| {
        let name = place.rsplit_once('/').map_or("", |(_, name)| name);
        let bad: &[&str] = match name {
            "session_id" | "job_id" | "result_id" | "delegate_id" | "parent_job_id" | "child_job_id" => {
                &["", "x", "01JABCDEFGHJKMNPQRSTVWX001", "job_", "job_a b", "JOB_1"]
            }
            "request_id" | "id" if !place.contains("credentials") => &["", "a b", "a\n"],
            "trace_id" => {
                &["", "4bf92f", "00000000000000000000000000000000", "4BF92F3577B34DA6A3CE929D0E0E4736"]
            }
            "resume_token" => &["", "rt_", "token"],
            "ts" | "sent_at" | "received_at" | "accepted_at" | "completed_at" | "created_at"
            | "submitted_at" | "created_after" | "expires_at" => &[
                "",
                "now",
                "2026-05-13",
                "2026-05-13 19:42:13Z",
                "2026-05-13T19:42:13",
                "2026-05-13T19:42:13+00:00",
                "2026-02-30T19:42:13Z",
            ],
            "agent" => &["", "A", "a@", "@1", "a@1@2", "a b"],
            _ => return,
        };
        tested += 1;
        for bad in bad {
            refused(message, &with(message, place, json!(bad)), place, bad);
        }
    });
    assert!(tested > 100, "{tested} ids and times");
}

#[test]
fn a_member_besides_is_taken_and_is_not_this_projects() {
    each(|_, message, place, _| {
        if !message.pointer(place).unwrap().is_object() || FREE.contains(&place) {
            return;
        }
        let mut more = message.clone();
        more.pointer_mut(place).unwrap()["besides"] = json!(1);
        let maps = ["/lease", "/lease_request", "/extensions", "/x-vendor.arcp.input_schemas"];
        let strict = maps.iter().any(|map| place.ends_with(map));
        let violations = PUBLISHED.violations(side_of(message), &more);
        assert_eq!(violations.is_empty(), !strict, "{place}: {violations:#?}");
        let of_vendor = message["payload"]["kind"] == "x-vendor.acme.note" && place == "/payload/body";
        let counted = place.ends_with("/budget");
        if is_free(place) || of_vendor || counted {
            return;
        }
        let violations = HOUSE.violations(side_of(message), &more);
        assert!(
            !violations.is_empty() && violations.iter().all(|one| one.place.starts_with(place)),
            "{place}"
        );
    });
    for mut message in messages(&mut Dice::full()) {
        message["besides"] = json!(1);
        let side = side_of(&message);
        assert_eq!(PUBLISHED.violations(side, &message), []);
        assert_eq!(HOUSE.violations(side, &message).len(), 1, "{message:#}");
    }
}

/// A message, what is changed of it, and the place that is refused for it.
type Together<'a> = (&'a str, &'a [(&'a str, Value)], &'a str);

/// What no single place is wrong about.
#[test]
fn what_does_not_go_together_is_refused() {
    let of = |name: &str| {
        let mut all = messages(&mut Dice::full()).into_iter();
        all.find(|message| name_of(message) == name).expect(name)
    };
    let cases: &[Together<'_>] = &[
        ("job.result", &[("result_id", json!("res_1"))], "/payload/result"),
        (
            "job.error",
            &[("code", json!("BUDGET_EXHAUSTED")), ("retryable", json!(true))],
            "/payload/retryable",
        ),
        ("job.error", &[("code", json!("LEASE_EXPIRED")), ("retryable", json!(true))], "/payload/retryable"),
        (
            "session.error",
            &[("code", json!("INTERNAL_ERROR")), ("retryable", json!(false))],
            "/payload/retryable",
        ),
        ("job.error", &[("final_status", json!("cancelled")), ("code", json!("TIMEOUT"))], "/payload/code"),
        ("job.error", &[("final_status", json!("timed_out")), ("code", json!("X"))], "/payload/code"),
        ("job.error", &[("message", json!(""))], "/payload/message"),
        ("session.list_jobs", &[("limit", json!(1_001))], "/payload/limit"),
        ("session.welcome", &[("resume_window_sec", json!(0))], "/payload/resume_window_sec"),
        ("job.submit", &[("max_runtime_sec", json!(0))], "/payload/max_runtime_sec"),
        ("job.submit", &[("idempotency_key", json!(""))], "/payload/idempotency_key"),
        ("job.submit", &[("lease_request", json!({ "fs.delete": ["/**"] }))], "/payload/lease_request"),
        (
            "job.submit",
            &[("lease_request", json!({ "cost.budget": ["5.00 USD"] }))],
            "/payload/lease_request/cost.budget/0",
        ),
        ("job.accepted", &[("budget", json!({ "USD": "USD:5.00" }))], "/payload/budget/USD"),
    ];
    for (name, changes, place) in cases {
        let original = of(name);
        let mut message = original.clone();
        for (member, value) in *changes {
            message["payload"][*member] = value.clone();
        }
        refused(&original, &message, place, name);
    }
    let bodies: &[Together<'_>] = &[
        ("job.event progress", &[("current", json!(-1))], "/payload/body/current"),
        (
            "job.event tool_result",
            &[("error", json!({ "code": "X", "message": "m", "retryable": false }))],
            "/payload/body/result",
        ),
        ("job.event status", &[("value", json!("sk-1"))], "/payload/body/value"),
        (
            "job.event result_chunk",
            &[("encoding", json!("base64")), ("data", json!("a"))],
            "/payload/body/data",
        ),
    ];
    for (name, changes, place) in bodies {
        let original = of(name);
        let mut message = original.clone();
        for (member, value) in *changes {
            message["payload"]["body"][*member] = value.clone();
        }
        refused(&original, &message, place, name);
    }
    // A number on what is not numbered (§8.3).
    let original = of("job.accepted");
    let mut message = original.clone();
    message["event_seq"] = json!(1);
    refused(&original, &message, "/event_seq", "a number");
}
