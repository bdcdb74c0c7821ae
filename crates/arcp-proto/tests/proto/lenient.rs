//! What other runtimes and clients send beside the draft, and what is written whatever a caller fills in.

use arcp_proto::event::{Body, Event};
use arcp_proto::job::{Accepted, FinalStatus, JobError, JobResult, Submit, Subscribed};
use arcp_proto::session::{Ack, Error, Hello, Jobs, ListJobs, Welcome};
use arcp_proto::{
    Amount, Budget, BudgetAmount, Envelope, ErrorCode, ErrorPayload, Extensions, Feature, Features, Json,
    Number, Payload, Timestamp,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[track_caller]
fn decoded<T: DeserializeOwned>(value: Value) -> T {
    Json::from(value).decode().unwrap()
}

fn written<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).unwrap()
}

#[track_caller]
fn body(kind: &str, body: Value) -> Value {
    let event: Event = decoded(json!({ "kind": kind, "body": body }));
    match event.body().unwrap() {
        Body::ToolCall(body) => written(&body),
        Body::ToolResult(body) => written(&body),
        Body::Status(body) => written(&body),
        Body::Metric(body) => written(&body),
        Body::ArtifactRef(body) => written(&body),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_field_may_stand_there_under_both_of_its_names() {
    assert_eq!(
        body(
            "tool_call",
            json!({ "tool": "t", "name": "n", "args": 1, "arguments": 2, "call_id": "c", "tool_call_id": "d" })
        ),
        json!({ "tool": "t", "args": 1, "call_id": "c" })
    );
    assert_eq!(
        body("tool_call", json!({ "tool": null, "name": "n", "call_id": null, "tool_call_id": "d" })),
        json!({ "tool": "n", "args": null, "call_id": "d" })
    );
    assert_eq!(
        body("tool_result", json!({ "call_id": "c", "tool_call_id": "d", "result": 1, "output": 2 })),
        json!({ "call_id": "c", "result": 1 })
    );
    assert_eq!(
        body(
            "status",
            json!({ "phase": "credential_rotated", "id": "a", "credential_id": "b", "value": "c",
                "credential_value": "d", "details": { "id": "a" } })
        ),
        json!({ "phase": "credential_rotated", "id": "a", "value": "c" })
    );
    assert_eq!(
        body("metric", json!({ "name": "n", "value": 1, "dims": { "a": 1 }, "attributes": { "a": 2 } })),
        json!({ "name": "n", "value": 1, "dimensions": { "a": 1 } })
    );
    assert_eq!(
        body(
            "artifact_ref",
            json!({ "uri": "u", "content_type": "a/b", "media_type": "c/d", "byte_size": 1, "size_bytes": 2 })
        ),
        json!({ "uri": "u", "content_type": "a/b", "byte_size": 1 })
    );
}

#[test]
fn an_inventory_may_be_flat_or_rich() {
    let welcome: Welcome =
        decoded(json!({ "capabilities": { "agents": ["a", { "name": "b", "default": null, "more": 1 }] } }));
    assert_eq!(
        written(&welcome.capabilities.agents),
        json!([{ "name": "a", "versions": [] }, { "name": "b", "versions": [] }])
    );
    let wrong = Json::from(json!({ "capabilities": { "agents": ["a", { "name": "b", "versions": [1] }] } }));
    let error = wrong.decode::<Welcome>().unwrap_err();
    assert_eq!(error.to_string(), "capabilities.agents[1].versions[0]: expected a string");
}

#[test]
fn an_empty_optional_id_is_an_absent_one() {
    let accepted: Accepted =
        decoded(json!({ "job_id": "j", "parent_job_id": "", "delegate_id": "", "request_id": "" }));
    assert!(accepted.parent_job_id.is_none() && accepted.delegate_id.is_none());
    assert!(accepted.request_id.is_none());
    let jobs: Jobs = decoded(json!({ "request_id": "", "jobs": null }));
    assert!(jobs.request_id.is_none() && jobs.jobs.is_empty() && jobs.next_cursor.is_none());
}

#[test]
fn a_runtime_may_write_any_offset_and_a_client_must_write_z() {
    let constraints = json!({ "expires_at": "2026-05-13T23:42:00+00:00" });
    let accepted: Accepted = decoded(json!({ "job_id": "j", "lease_constraints": constraints }));
    assert_eq!(written(&accepted.lease_constraints), json!({ "expires_at": "2026-05-13T23:42:00.000Z" }));
    let subscribed: Subscribed =
        decoded(json!({ "job_id": "j", "current_status": "running", "lease_constraints": constraints }));
    assert_eq!(subscribed.lease_constraints, accepted.lease_constraints);
    let submit = Json::from(json!({ "agent": "a", "lease_constraints": constraints }));
    let error = submit.decode::<Submit>().unwrap_err();
    assert_eq!(error.path(), "lease_constraints.expires_at");
}

#[test]
fn a_trace_id_that_cannot_be_read_is_an_absent_one() {
    let accepted: Accepted = decoded(json!({ "job_id": "j", "trace_id": "4bf92f..." }));
    assert_eq!(accepted.trace_id, None);
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let accepted: Accepted = decoded(json!({ "job_id": "j", "trace_id": parent }));
    assert_eq!(accepted.trace_id.unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
}

#[test]
fn a_trace_state_that_no_header_may_hold_is_dropped_alone() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for (state, kept) in [("a=b,c=d", true), ("", false), ("a=b\r\nX-Evil: 1", false), ("a=é", false)] {
        let mut extensions = Extensions::default();
        let context = json!({ "traceparent": parent, "tracestate": state });
        extensions.insert(Extensions::TRACE_CONTEXT, context.into());
        let context = extensions.trace_context().unwrap();
        assert_eq!(context.to_string(), parent);
        assert_eq!(context.tracestate.is_some(), kept, "{state:?}");
    }
}

#[test]
fn an_event_reads_the_same_in_both_ways() {
    let json = Json::from(json!({ "kind": "thought", "ts": null, "body": null }));
    for event in [json.decode::<Event>().unwrap(), Event::from_json(&json).unwrap()] {
        assert_eq!(event.ts, Timestamp::UNIX_EPOCH);
        assert_eq!(event.body.as_str(), "{}");
    }
    let array = Json::parse(r#"["log",null,{}]"#).unwrap();
    assert!(Event::from_json(&array).is_err() && array.decode::<Event>().is_err());
}

#[test]
fn terminal_messages_of_other_runtimes() {
    let result: JobResult = decoded(json!({ "final_status": null, "output": 1, "result_size": null }));
    assert_eq!((result.final_status, result.result.unwrap().as_str()), (FinalStatus::Success, "1"));
    for status in ["cancelled", "timed_out"] {
        let result: JobResult = decoded(json!({ "final_status": status }));
        assert_eq!(result.final_status.as_str(), status);
    }
    let error: JobError = decoded(json!({ "code": "RATE_LIMITED", "details": null, "message": null }));
    assert_eq!(error.error, ErrorPayload::new(ErrorCode::from("RATE_LIMITED"), "RATE_LIMITED"));
}

#[test]
fn an_empty_message_and_details_that_are_no_object_are_never_written() {
    let mut error = ErrorPayload::new(ErrorCode::Timeout, "m");
    error.message.clear();
    error.details = Some(Json::from(json!("text")));
    let terse = json!({ "code": "TIMEOUT", "retryable": true });
    assert_eq!(written(&error), terse);
    let refusal = Error { error, request_id: None, job_id: None };
    assert_eq!(refusal.to_json().decode::<Value>().unwrap(), terse);
}

#[test]
fn integers_stay_within_64_signed_bits() {
    let largest = json!({ "last_processed_seq": i64::MAX });
    assert_eq!(written(&decoded::<Ack>(largest.clone())), largest);
    assert_eq!(written(&Ack { last_processed_seq: u64::MAX }), largest);
    let list = ListJobs { limit: Some(u64::MAX), ..ListJobs::default() };
    assert_eq!(written(&list), json!({ "limit": i64::MAX }));
    let mut envelope = Envelope::new("m".parse().unwrap(), &Ack { last_processed_seq: 1 });
    envelope.event_seq = Some(u64::MAX);
    let envelope = Envelope::decode(envelope.encode()).unwrap();
    assert_eq!(envelope.event_seq, Some(i64::MAX as u64));
}

#[test]
fn many_features_cost_what_few_do_each() {
    let names: Vec<Feature> = (0..200_000).map(|n| Feature::from(format!("x-{n}").as_str())).collect();
    let start = std::time::Instant::now();
    let features: Features = names.iter().chain(&names).cloned().collect();
    assert_eq!(features.iter().count(), names.len());
    // A search through all names for each takes minutes.
    assert!(start.elapsed().as_secs() < 10, "took {:?}", start.elapsed());
    let hello: Hello = decoded(json!({ "capabilities": { "features": ["b", "a", "b"] } }));
    assert_eq!(written(&hello.capabilities.features), json!(["b", "a"]));
}

#[test]
fn a_counter_is_of_the_currency_that_it_stands_under() {
    let budget: Budget = decoded(json!({ "USD": "USD:5.00", "EUR": "4.5", "x": null, "credits": -0.5 }));
    let counters: Vec<_> = budget.iter().map(|(currency, amount)| format!("{currency}={amount}")).collect();
    assert_eq!(counters, ["EUR=4.5", "USD=5.00", "credits=-0.5"]);
}

fn amount(text: &str) -> Amount {
    text.parse::<Number>().unwrap().to_amount().unwrap()
}

#[test]
fn money_is_never_rounded_away() {
    let large = amount("10000000000000000000000000000");
    let cent = amount("0.01");
    assert_eq!(large.checked_sub(cent), None);
    assert_eq!(large.checked_add(cent), None);
    assert_eq!(amount("5.00").checked_sub(amount("5")).unwrap(), Amount::ZERO);
    assert_eq!(Amount::ZERO.checked_sub(cent), Some(amount("-0.01")));
    assert_eq!(amount("0.00").checked_add(amount("3")), Some(amount("3")));
    let both =
        ["USD:10000000000000000000000000000", "USD:0.01"].map(|text| text.parse::<BudgetAmount>().unwrap());
    let budget: Budget = both.into_iter().collect();
    assert_eq!(budget.remaining("USD"), Some(large), "the sum of two grants is never more than both");
}

#[test]
fn times_are_milliseconds_that_can_be_written() {
    use std::time::{Duration, SystemTime};
    for (millis, text) in [
        (i64::MIN, "0000-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (i64::MAX, "9999-12-30T22:00:00.999Z"),
    ] {
        let time = Timestamp::from_millis(millis);
        assert_eq!(time.to_string(), text);
        assert_eq!(text.parse(), Ok(time));
    }
    let at = |time: SystemTime| Timestamp::from(time).to_string();
    let epoch = SystemTime::UNIX_EPOCH;
    assert_eq!(at(epoch + Duration::from_nanos(1_999_999)), "1970-01-01T00:00:00.001Z");
    assert_eq!(at(epoch - Duration::from_nanos(1)), "1969-12-31T23:59:59.999Z");
    assert_eq!(at(epoch + Duration::from_secs(1 << 40)), "9999-12-30T22:00:00.999Z");
    assert_eq!(at(epoch - Duration::from_secs(1 << 40)), "0000-01-01T00:00:00.000Z");
}

#[test]
fn a_message_type_is_a_word_that_a_log_can_hold() {
    for name in ["", "a\nb", &"x".repeat(257)] {
        let frame = json!({ "arcp": "1.1", "id": "m", "type": name });
        let error = Envelope::decode(frame.to_string()).unwrap_err().to_string();
        assert_eq!(error, "type: expected a message type of 1 to 256 bytes without control characters");
    }
}
