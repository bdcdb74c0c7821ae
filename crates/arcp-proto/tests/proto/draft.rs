//! Every JSON block of the drafts of version 1.1 (01 to 21) and 1.0 (22 to 34) decodes as what it shows, carries the
//! values that are drawn, and is written again as it was read.
//!
//! The blocks are in `tests/vectors/draft`: comments, `...` and digit separators made JSON, `arcp` and `id` added
//! where the draft leaves them out, a shortened trace-id written out.

use std::collections::BTreeSet;
use std::path::PathBuf;

use arcp_proto::event::{Body, ChunkEncoding, Event, EventKind};
use arcp_proto::job::{FinalStatus, JobStatus};
use arcp_proto::{
    Credential, Envelope, ErrorCode, ErrorPayload, Features, Json, Lease, LeaseConstraints, Message,
    MessageType, Payload,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/draft")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(directory().join(format!("{name}.json"))).expect(name)
}

fn value(name: &str) -> Value {
    serde_json::from_str(&text(name)).expect(name)
}

/// Numbers as numbers: `5` and `5.0` are one value, as they are to any reader of JSON.
fn same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        (left, right) => left == right,
    }
}

#[track_caller]
fn assert_same(name: &str, written: &Value, drawn: &Value) {
    assert!(same(written, drawn), "{name}: wrote {written:#}\nthe draft has {drawn:#}");
}

/// Decodes a whole message, and checks that envelope and payload are written as they were read. `additions` are the
/// members, by JSON pointer, that are written on top of what the draft draws.
#[track_caller]
fn message<P: Payload>(
    name: &str,
    additions: &[(&str, Value)],
    pick: impl Fn(Message) -> Option<P>,
) -> (Envelope, P) {
    let envelope = Envelope::decode(text(name)).expect(name);
    assert_eq!(envelope.message_type, P::TYPE, "{name}");
    let payload = pick(envelope.message().expect(name)).expect(name);
    let mut drawn = value(name);
    drawn["arcp"] = json!("1.1");
    assert_same(name, &serde_json::from_str(&envelope.encode()).unwrap(), &drawn);
    for (pointer, value) in additions {
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        drawn.pointer_mut(parent).unwrap()[member] = value.clone();
    }
    assert_same(name, &payload.to_json().decode().unwrap(), &drawn["payload"]);
    (envelope, payload)
}

macro_rules! message {
    ($name:literal, $variant:ident) => {
        message!($name, $variant, &[])
    };
    ($name:literal, $variant:ident, $additions:expr) => {
        message($name, $additions, |message| match message {
            Message::$variant(payload) => Some(payload),
            _ => None,
        })
    };
}

/// Decodes something that is no message, and checks that it is written as it was read.
#[track_caller]
fn fragment<T: DeserializeOwned + Serialize>(name: &str) -> T {
    let decoded: T = Json::parse(text(name)).unwrap().decode().expect(name);
    assert_same(name, &serde_json::to_value(&decoded).unwrap(), &value(name));
    decoded
}

/// Decodes the payload of an event, and its body, and checks that the body is written as it was read.
#[track_caller]
fn event(name: &str) -> (Event, Body) {
    let event = Event::from_json(&Json::parse(text(name)).unwrap()).expect(name);
    let body = event.body().expect(name);
    let written = match &body {
        Body::Metric(body) => serde_json::to_value(body),
        Body::Progress(body) => serde_json::to_value(body),
        Body::ResultChunk(body) => serde_json::to_value(body),
        Body::Delegate(body) => serde_json::to_value(body),
        other => panic!("{name}: {other:?}"),
    };
    assert_same(name, &written.unwrap(), &value(name)["body"]);
    (event, body)
}

/// Which files have been read is checked against the directory: each test names its own.
const READ: [&str; 34] = [
    "01-hello",
    "02-welcome",
    "03-ping",
    "04-pong",
    "05-ack",
    "06-list-jobs",
    "07-jobs",
    "08-submit",
    "09-accepted",
    "10-subscribe",
    "11-subscribed",
    "12-unsubscribe",
    "13-progress",
    "14-result-chunk",
    "15-result",
    "16-lease-constraints",
    "17-cost-budget",
    "18-metric-cost",
    "19-metric-remaining",
    "20-model-use",
    "21-credential",
    "22-v1-envelope",
    "23-v1-hello",
    "24-v1-welcome",
    "25-v1-resume",
    "26-v1-bye",
    "27-v1-submit",
    "28-v1-accepted",
    "29-v1-cancel",
    "30-v1-event",
    "31-v1-lease",
    "32-v1-delegate",
    "33-v1-accepted-child",
    "34-v1-error",
];

#[test]
fn every_file_is_decoded_by_a_test_here() {
    let here = include_str!("draft.rs");
    let files: BTreeSet<String> = std::fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named: BTreeSet<String> = READ.iter().map(|name| format!("{name}.json")).collect();
    assert_eq!(files, named);
    for name in READ {
        let uses = here.matches(&format!("\"{name}\"")).count();
        assert!(uses > 1, "{name} is listed, and no test reads it");
    }
}

#[test]
fn hello_and_welcome() {
    let (_, hello) = message!("01-hello", SessionHello);
    let client = hello.client.unwrap();
    assert_eq!((client.name.as_str(), client.version.as_str()), ("examplectl", "0.4.1"));
    let auth = hello.auth.unwrap();
    assert_eq!((auth.scheme.as_str(), auth.token.unwrap().expose()), ("bearer", "..."));
    assert_eq!(hello.capabilities.encodings, ["json"]);
    assert_eq!(hello.capabilities.features, Features::all());

    let (envelope, welcome) = message!("02-welcome", SessionWelcome);
    assert_eq!(envelope.session_id.unwrap().as_str(), "sess_01J...");
    assert_eq!(welcome.runtime.unwrap().name, "example-runtime");
    assert_eq!(welcome.resume_token.unwrap().expose(), "rt_4f8c...");
    assert_eq!((welcome.resume_window_sec, welcome.heartbeat_interval_sec), (Some(600), Some(30)));
    assert_eq!(welcome.capabilities.features, Features::all());
    let agents = welcome.capabilities.agents;
    assert_eq!(agents.len(), 3);
    assert_eq!(agents[0].versions, ["1.0.0", "2.0.0"]);
    assert_eq!(agents[0].default.as_deref(), Some("2.0.0"));
}

#[test]
fn heartbeats_and_acknowledgement() {
    let (_, ping) = message!("03-ping", SessionPing, &[]);
    assert_eq!(ping.nonce, "p_01J...");
    assert_eq!(ping.sent_at.unwrap().to_string(), "2026-05-13T19:42:13.000Z");
    let (_, pong) = message!("04-pong", SessionPong);
    assert_eq!(pong.ping_nonce, ping.nonce);
    assert_eq!(pong.received_at.unwrap().as_millis() - ping.sent_at.unwrap().as_millis(), 20);
    let (_, ack) = message!("05-ack", SessionAck);
    assert_eq!(ack.last_processed_seq, 1827);
}

#[test]
fn listing() {
    // `cursor: null` is an absent cursor: what is absent is not written, so the drawn null goes.
    let envelope = Envelope::decode(text("06-list-jobs")).unwrap();
    let Message::SessionListJobs(list) = envelope.message().unwrap() else { panic!("not a listing") };
    assert_eq!(list.filter.status, [JobStatus::Running, JobStatus::Pending]);
    assert_eq!(list.filter.agent.as_deref(), Some("code-refactor"));
    assert_eq!(list.filter.created_after.unwrap().to_string(), "2026-05-13T00:00:00.000Z");
    assert_eq!((list.limit, list.cursor.as_deref()), (Some(100), None));
    let mut drawn = value("06-list-jobs")["payload"].clone();
    drawn.as_object_mut().unwrap().remove("cursor");
    drawn["filter"]["created_after"] = json!("2026-05-13T00:00:00.000Z");
    assert_same("06-list-jobs", &list.to_json().decode().unwrap(), &drawn);

    let at = json!("2026-05-13T19:30:00.000Z");
    let additions = [("/payload/jobs/0/created_at", at.clone()), ("/payload/jobs/0/submitted_at", at)];
    let (_, jobs) = message!("07-jobs", SessionJobs, &additions);
    assert_eq!(jobs.request_id.unwrap().as_str(), "01J...");
    assert_eq!(jobs.next_cursor, None);
    let job = &jobs.jobs[0];
    assert_eq!((job.job_id.as_str(), job.agent.as_str()), ("job_01JABC...", "code-refactor@2.0.0"));
    assert_eq!((&job.status, job.last_event_seq), (&JobStatus::Running, 1822));
    assert_eq!(job.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(job.parent_job_id, None);
}

#[test]
fn submission_and_acceptance() {
    let expires = json!("2026-05-13T23:42:00.000Z");
    let (envelope, submit) =
        message!("08-submit", JobSubmit, &[("/payload/lease_constraints/expires_at", expires.clone())]);
    assert_eq!(envelope.trace_id.unwrap().to_string(), TRACE);
    assert_eq!(submit.agent.name.as_str(), "code-refactor");
    assert_eq!(submit.agent.version.unwrap().as_str(), "2.0.0");
    assert_eq!(submit.input.as_str(), "{}");
    assert_eq!(submit.lease_request.patterns("fs.write"), ["/workspace/myapp/src/**"]);
    assert_eq!(submit.lease_request.patterns("model.use"), ["tier-fast/*"]);
    assert_eq!(submit.idempotency_key.as_deref(), Some("refactor-auth-2026-W19"));
    assert_eq!(submit.max_runtime_sec, Some(1800));

    let additions = [
        ("/payload/lease_constraints/expires_at", expires.clone()),
        ("/payload/credentials/0/constraints/expires_at", expires.clone()),
        ("/payload/accepted_at", json!("2026-05-13T19:30:00.000Z")),
    ];
    let (_, accepted) = message!("09-accepted", JobAccepted, &additions);
    assert_eq!(accepted.job_id.as_str(), "job_01JABC...");
    assert_eq!(accepted.budget.unwrap().remaining("USD").unwrap().to_string(), "5.0");
    assert_eq!(accepted.credentials[0].value.expose(), "sk-virt-...");
    assert_eq!(accepted.lease_constraints.expires_at.unwrap().to_string(), expires.as_str().unwrap());
    assert_eq!(accepted.trace_id.unwrap().to_string(), TRACE);
}

#[test]
fn subscription() {
    let (_, subscribe) = message!("10-subscribe", JobSubscribe);
    assert_eq!((subscribe.from_event_seq, subscribe.history), (Some(0), true));
    let expires = json!("2026-05-13T23:42:00.000Z");
    let (_, subscribed) =
        message!("11-subscribed", JobSubscribed, &[("/payload/lease_constraints/expires_at", expires)]);
    assert_eq!(subscribed.current_status, JobStatus::Running);
    assert_eq!(subscribed.agent.as_deref(), Some("code-refactor@2.0.0"));
    assert_eq!(subscribed.budget.unwrap().remaining("USD").unwrap().to_string(), "3.58");
    assert_eq!((subscribed.parent_job_id, subscribed.subscribed_from), (None, 1830));
    assert!(!subscribed.replayed && subscribed.credentials.is_empty());
    let (_, unsubscribe) = message!("12-unsubscribe", JobUnsubscribe);
    assert_eq!(unsubscribe.job_id.as_str(), "job_01JABC...");
}

#[test]
fn progress_and_a_streamed_result() {
    let (progress_event, body) = event("13-progress");
    assert_eq!(progress_event.ts.to_string(), "2026-05-13T19:42:13.000Z");
    let Body::Progress(progress) = body else { panic!("not progress") };
    assert_eq!((progress.current.as_u64(), progress.total.unwrap().as_u64()), (Some(47), Some(120)));
    assert_eq!(progress.units.as_deref(), Some("files"));

    let (_, Body::ResultChunk(chunk)) = event("14-result-chunk") else { panic!("not a chunk") };
    assert_eq!((chunk.chunk_seq, chunk.more), (0, true));
    assert_eq!(chunk.encoding, ChunkEncoding::Utf8);

    let (envelope, result) = message!("15-result", JobResult);
    assert_eq!(envelope.event_seq, Some(4827));
    assert_eq!(result.final_status, FinalStatus::Success);
    assert_eq!(result.result_id.unwrap(), chunk.result_id);
    assert_eq!(result.result_size, Some(31_457_280));
    assert!(result.result.is_none());
}

#[test]
fn leases_budgets_and_models() {
    let drawn: Value = value("16-lease-constraints")["lease_constraints"].clone();
    let constraints: LeaseConstraints = Json::from(drawn).decode().unwrap();
    assert_eq!(
        serde_json::to_value(&constraints).unwrap(),
        json!({ "expires_at": "2026-05-13T23:42:00.000Z" })
    );
    let lease: Lease = fragment("17-cost-budget");
    let budget = lease.budget().unwrap().unwrap();
    assert_eq!(budget.remaining("USD").unwrap().to_string(), "5.00");
    assert_eq!(budget.remaining("credits").unwrap().to_string(), "1000");
    let (_, Body::Metric(cost)) = event("18-metric-cost") else { panic!("not a metric") };
    assert_eq!((cost.name.as_str(), cost.value.as_str()), ("cost.inference", "0.0234"));
    let (_, Body::Metric(left)) = event("19-metric-remaining") else { panic!("not a metric") };
    assert_eq!((left.value.as_str(), left.unit.as_deref()), ("1.42", Some("USD")));
    let lease: Lease = fragment("20-model-use");
    assert_eq!(lease.patterns("model.use"), ["tier-fast/*", "anthropic/claude-3-haiku-*"]);
}

#[test]
fn a_credential() {
    let credential: Credential = Json::parse(text("21-credential")).unwrap().decode().unwrap();
    assert_eq!((credential.id.as_str(), credential.scheme.as_str()), ("cred_01J...", "bearer"));
    assert_eq!(credential.value.expose(), "sk-virt-...");
    assert_eq!(credential.endpoint, "https://gateway.example.com/v1");
    let mut drawn = value("21-credential");
    drawn["constraints"]["expires_at"] = json!("2026-05-13T23:42:00.000Z");
    assert_same("21-credential", &serde_json::to_value(&credential).unwrap(), &drawn);
}

#[test]
fn sessions_of_version_1_0() {
    let envelope = Envelope::decode(text("22-v1-envelope")).unwrap();
    assert_eq!(envelope.message_type, MessageType::from("<message type>"));
    assert!(matches!(envelope.message(), Ok(Message::Unknown)));
    assert_eq!((envelope.event_seq, envelope.payload.as_str()), (Some(1), "{}"));
    assert_eq!(envelope.job_id.unwrap().as_str(), "<job_id, when applicable>");

    let (_, hello) = message!("23-v1-hello", SessionHello, &[("/payload/capabilities/features", json!([]))]);
    assert!(hello.capabilities.features.is_empty());

    let drawn = value("24-v1-welcome");
    let envelope = Envelope::decode(text("24-v1-welcome")).unwrap();
    let Message::SessionWelcome(welcome) = envelope.message().unwrap() else { panic!("not a welcome") };
    let names: Vec<_> = welcome.capabilities.agents.iter().map(|agent| json!(agent.name)).collect();
    assert_eq!(Value::from(names), drawn["payload"]["capabilities"]["agents"]);
    assert_eq!((welcome.resume_window_sec, welcome.heartbeat_interval_sec), (Some(600), None));

    let capabilities = [("/payload/capabilities", json!({ "encodings": [], "features": [] }))];
    let (_, hello) = message!("25-v1-resume", SessionHello, &capabilities);
    let resume = hello.resume.unwrap();
    assert_eq!(resume.session_id.as_str(), "sess_01JABCDEFGHJKMNPQ");
    assert_eq!((resume.resume_token.expose(), resume.last_event_seq), ("rt_4f8c...", 1827));

    let (_, bye) = message!("26-v1-bye", SessionBye);
    assert_eq!(bye.reason.as_deref(), Some("client_shutdown"));
}

#[test]
fn jobs_of_version_1_0() {
    let (_, submit) = message!("27-v1-submit", JobSubmit);
    assert_eq!(submit.agent.version, None);
    assert_eq!(submit.input.decode::<Value>().unwrap()["repo_path"], "/workspace/myapp");
    assert_eq!(submit.lease_request.patterns("agent.delegate"), ["test-runner"]);
    let at = [("/payload/accepted_at", json!("2026-05-13T19:42:00.000Z"))];
    let (_, accepted) = message!("28-v1-accepted", JobAccepted, &at);
    assert!(accepted.lease.is_empty() && accepted.agent.is_none());
    let (envelope, cancel) = message!("29-v1-cancel", JobCancel);
    assert_eq!(envelope.job_id.unwrap().as_str(), "job_01JABC...");
    assert_eq!((cancel.reason.as_deref(), cancel.job_id), (Some("User requested cancel"), None));
}

#[test]
fn events_and_delegation_of_version_1_0() {
    let (envelope, event) = message!("30-v1-event", JobEvent);
    assert_eq!(envelope.event_seq, Some(1827));
    assert_eq!(event.kind, EventKind::from("<event kind>"));
    assert_eq!(event.ts.as_millis() % 1000, 842);

    let lease: Lease = fragment("31-v1-lease");
    assert_eq!(lease.patterns("tool.call"), ["mcp:github/*", "humanq.*"]);
    assert_eq!(lease.iter().count(), 5);

    let at = [("/payload/ts", json!("2026-05-13T19:43:00.000Z"))];
    let (_, event) = message!("32-v1-delegate", JobEvent, &at);
    let Body::Delegate(delegate) = event.body().unwrap() else { panic!("not a delegation") };
    assert_eq!(delegate.agent, "test-runner");
    assert_eq!(delegate.input.as_ref().unwrap().decode::<Value>().unwrap()["suite"], "auth");
    assert_eq!(delegate.lease_request.as_ref().unwrap().patterns("fs.read"), ["/workspace/myapp/**"]);
    assert_same(
        "32-v1-delegate",
        &serde_json::to_value(&delegate).unwrap(),
        &value("32-v1-delegate")["payload"]["body"],
    );

    let (_, child) = message!("33-v1-accepted-child", JobAccepted);
    assert_eq!(child.parent_job_id.unwrap().as_str(), "job_01JABC...");
    assert_eq!(child.delegate_id, delegate.delegate_id);
}

#[test]
fn an_error_payload() {
    let error: ErrorPayload = fragment("34-v1-error");
    assert_eq!(error.code, ErrorCode::PermissionDenied);
    assert_eq!(error.message, "Write to /etc/passwd denied by lease.");
    assert!(!error.retryable && error.details.unwrap().as_str() == "{}");
}
