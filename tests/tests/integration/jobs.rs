//! Jobs end to end: every fixture agent, through the client's API.

use std::time::Duration;

use arcp_client::proto::event::{Body, EventKind, LogLevel, ToolOutcome};
use arcp_client::proto::{ErrorCode, Lease};
use arcp_client::{Client, Event, JobError, RequestError};
use arcp_runtime::Limits;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{Host, next, phase};

/// Longer than any test.
const LONG_MS: u64 = 3_600_000;

async fn session() -> (Host, Client) {
    let host = Host::start().await;
    let client = host.client("alice").await;
    (host, client)
}

async fn run(client: &Client, agent: &str, input: Value) -> (Vec<Event>, Result<Value, JobError>) {
    let mut job = client.submit(agent).input(&input).await.unwrap();
    let events = job.by_ref().collect().await;
    (events, job.result().await)
}

async fn failure(client: &Client, agent: &str, input: Value) -> JobError {
    run(client, agent, input).await.1.unwrap_err()
}

fn log(event: &Event) -> &str {
    match &event.body {
        Body::Log(log) => &log.message,
        other => panic!("not a log: {other:?}"),
    }
}

fn refusal<T>(answer: Result<T, RequestError>) -> ErrorCode {
    answer.err().expect("a refusal").code().expect("a code").clone()
}

#[tokio::test]
async fn echo_gives_back_what_it_was_given() {
    let (_host, client) = session().await;
    for input in [json!(null), json!({ "a": [1, 2.5, "é\u{0}\n"], "": {} }), json!("x".repeat(100_000))] {
        let (events, result) = run(&client, "echo", input.clone()).await;
        assert_eq!(events.iter().map(log).collect::<Vec<_>>(), ["echo started"]);
        assert_eq!(result.unwrap(), json!({ "echoed": input }));
    }
}

#[tokio::test]
async fn count_emits_in_order_and_pads_to_size() {
    let (_host, client) = session().await;
    let (events, result) = run(&client, "count", json!({ "n": 2_500 })).await;
    assert_eq!(result.unwrap(), json!({ "count": 2_500 }));
    assert_eq!(events.len(), 2_500);
    for (index, event) in events.iter().enumerate() {
        assert_eq!(log(event), format!("event {index}"));
        assert_eq!(event.event_seq, Some(index as u64 + 1));
    }

    let (events, _) = run(&client, "count", json!({ "n": 2, "size": 10, "delay_ms": 1 })).await;
    assert_eq!(events.iter().map(log).collect::<Vec<_>>(), ["event 0...", "event 1..."]);
    let (events, _) = run(&client, "count", json!({ "n": 1, "size": 900_000 })).await;
    assert_eq!(log(&events[0]).len(), 900_000);
    let (events, result) = run(&client, "count", json!({ "n": 0 })).await;
    assert!(events.is_empty());
    assert_eq!(result.unwrap(), json!({ "count": 0 }));
}

#[tokio::test]
async fn an_event_too_large_for_a_frame_is_refused_to_the_agent() {
    let (_host, client) = session().await;
    let error = failure(&client, "count", json!({ "n": 1, "size": 1_000_000 })).await;
    assert_eq!(error.code(), Some(&ErrorCode::InternalError));
    assert!(error.to_string().contains("above the limit of 1000000"), "{error}");
}

#[tokio::test]
async fn sleep_sleeps_and_stops_at_once_when_cancelled() {
    let (_host, client) = session().await;
    let (events, result) = run(&client, "sleep", json!({ "ms": 1 })).await;
    assert_eq!(phase(&events[0]), "sleeping");
    assert_eq!(result.unwrap(), json!({ "slept_ms": 1 }));

    let mut job = client.submit("sleep").input(&json!({ "ms": LONG_MS })).await.unwrap();
    assert_eq!(phase(&next(&mut job).await), "sleeping");
    job.cancel_because("no longer needed").await.unwrap();
    match job.result::<Value>().await.unwrap_err() {
        JobError::Cancelled(error) => {
            assert_eq!(error.code, ErrorCode::Cancelled);
            assert_eq!(error.message, "no longer needed");
            assert!(!error.retryable);
        }
        other => panic!("{other:?}"),
    }
    job.cancel().await.unwrap(); // a job that has ended: nothing changes, nothing is wrong
}

#[tokio::test]
async fn stubborn_is_aborted_when_the_grace_is_over() {
    let limits = Limits { cancel_grace: Duration::from_millis(1), ..Limits::default() };
    let host = Host::with_limits(limits).await;
    let client = host.client("alice").await;
    let mut job = client.submit("stubborn").input(&json!({ "ms": LONG_MS })).await.unwrap();
    assert_eq!(phase(&next(&mut job).await), "stubborn");
    job.cancel().await.unwrap();
    assert!(matches!(job.result::<Value>().await, Err(JobError::Cancelled(_))));
    assert_eq!(run(&client, "stubborn", json!({ "ms": 1 })).await.1.unwrap(), Value::Null);
}

#[tokio::test]
async fn progress_counts_up() {
    let (_host, client) = session().await;
    let (events, result) = run(&client, "progress", json!({ "total": 3, "units": "rows" })).await;
    assert_eq!(result.unwrap(), json!({ "total": 3 }));
    for (index, event) in events.iter().enumerate() {
        let Body::Progress(progress) = &event.body else { panic!("{event:?}") };
        assert_eq!(event.kind, EventKind::Progress);
        assert_eq!(event.to_string(), format!("progress {}/3 rows", index + 1));
        assert_eq!(progress.units.as_deref(), Some("rows"));
    }
    assert_eq!(events.len(), 3);
}

#[tokio::test]
async fn a_session_without_the_feature_gets_no_progress() {
    let host = Host::start().await;
    let features = arcp_client::proto::Features::none();
    let client = host.connect(&host.url(), "alice").features(features).await.unwrap();
    let (events, result) = run(&client, "progress", json!({ "total": 3 })).await;
    assert!(events.is_empty());
    assert_eq!(result.unwrap(), json!({ "total": 3 }));
}

#[tokio::test]
async fn a_streamed_result_is_a_result_where_chunks_were_not_negotiated() {
    let host = Host::start().await;
    let features = arcp_client::proto::Features::none();
    let client = host.connect(&host.url(), "alice").features(features).await.unwrap();
    let (events, result) = run(&client, "stream", json!({ "chunks": 3, "chunk_bytes": 4 })).await;
    assert_eq!((events.len(), result.unwrap()), (0, json!("aaaabbbbcccc")));
    let error = failure(&client, "stream", json!({ "chunks": 3, "chunk_bytes": 4, "fail_at": 1 })).await;
    assert_eq!(error.code(), Some(&ErrorCode::InternalError));
    let error = failure(&client, "stream", json!({ "chunks": "3", "chunk_bytes": 4 })).await;
    assert!(error.to_string().contains("input.chunks"), "{error}");
}

#[tokio::test]
async fn every_kind_comes_in_order_with_a_typed_body() {
    let (_host, client) = session().await;
    let (events, result) = run(&client, "kinds", json!({})).await;
    assert_eq!(result.unwrap(), Value::Null);
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str().to_owned()).collect();
    assert_eq!(
        kinds,
        [
            "log",
            "thought",
            "tool_call",
            "tool_result",
            "status",
            "metric",
            "artifact_ref",
            "progress",
            "x-vendor.fixture.note"
        ]
    );
    let bodies: Vec<_> = events.iter().map(|event| &event.body).collect();
    let [
        Body::Log(log),
        Body::Thought(thought),
        Body::ToolCall(call),
        Body::ToolResult(answer),
        Body::Status(status),
        Body::Metric(metric),
        Body::ArtifactRef(artifact),
        Body::Progress(progress),
        Body::Other(note),
    ] = bodies[..]
    else {
        panic!("{bodies:?}")
    };
    assert_eq!((&log.level, log.message.as_str()), (&LogLevel::Info, "a log"));
    assert_eq!(thought.text, "a thought");
    assert_eq!((call.tool.as_str(), call.args.as_str()), ("search", r#"{"query":"arcp"}"#));
    assert_eq!(answer.call_id, call.call_id);
    assert!(matches!(&answer.outcome, ToolOutcome::Result(json) if json.as_str() == r#"{"hits":3}"#));
    assert_eq!(status.phase, "working");
    assert_eq!((metric.name.as_str(), metric.value.to_string()), ("fixture.rows", "12408".to_owned()));
    assert_eq!(artifact.content_type.as_deref(), Some("text/html"));
    assert_eq!(progress.current.to_string(), "1");
    assert_eq!(note.as_str(), r#"{"text":"note"}"#);
    assert_eq!(events[8].raw.as_str(), note.as_str());
}

#[tokio::test]
async fn the_code_of_a_failure_survives_to_the_caller() {
    let (_host, client) = session().await;
    let cases = [
        (json!({}), "INTERNAL_ERROR", "boom", true),
        (json!({ "code": "PERMISSION_DENIED", "message": "no" }), "PERMISSION_DENIED", "no", false),
        (json!({ "code": "ACME_QUOTA", "message": "later" }), "ACME_QUOTA", "later", false),
    ];
    for (input, code, message, retryable) in cases {
        match failure(&client, "fail", input).await {
            JobError::Failed(error) => {
                assert_eq!(error.code.as_str(), code);
                assert_eq!((error.message.as_str(), error.retryable), (message, retryable));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_panic_ends_its_job_and_nothing_else() {
    let (_host, client) = session().await;
    let error = failure(&client, "fail", json!({ "panic": true, "message": "inside" })).await;
    assert_eq!(error.code(), Some(&ErrorCode::InternalError));
    assert!(!error.to_string().contains("inside"), "the text of a panic stays in the runtime: {error}");
    assert!(run(&client, "echo", json!(1)).await.1.is_ok());
}

#[tokio::test]
async fn versions_are_pinned_or_the_default() {
    let (_host, client) = session().await;
    for (agent, version) in
        [("versioned", "2.0.0"), ("versioned@1.0.0", "1.0.0"), ("versioned@2.0.0", "2.0.0")]
    {
        let mut job = client.submit(agent).await.unwrap();
        assert_eq!(job.accepted().agent.as_deref(), Some(format!("versioned@{version}").as_str()));
        assert_eq!(job.result::<Value>().await.unwrap(), json!({ "version": version }));
    }
    assert_eq!(refusal(client.submit("versioned@3.0.0").await), ErrorCode::AgentVersionNotAvailable);
    assert_eq!(refusal(client.submit("nobody").await), ErrorCode::AgentNotAvailable);
    assert!(matches!(client.submit("no agent").await, Err(RequestError::Agent(..))));
    let opened = client.opened();
    let named = opened.agents.iter().find(|agent| agent.name.as_str() == "versioned").unwrap();
    assert_eq!(named.versions.len(), 2);
}

#[tokio::test]
async fn an_agent_knows_whose_job_it_runs() {
    let (_host, client) = session().await;
    let lease = Lease::empty().grant("tool.call", "search.*");
    let mut job = client.submit("whoami").lease(lease).await.unwrap();
    let seen: Value = job.result().await.unwrap();
    assert_eq!(seen["principal"], "alice");
    assert_eq!(seen["job_id"], job.id().as_str());
    assert_eq!(seen["parent_job_id"], Value::Null);
    assert_eq!(seen["agent"], "whoami@1.0.0");
    assert_eq!(seen["trace_id"], job.accepted().trace_id.unwrap().to_string());
    assert_eq!(seen["lease"], json!({ "tool.call": ["search.*"] }));
}

#[tokio::test]
async fn a_wrong_input_names_the_field() {
    let (_host, client) = session().await;
    let cases = [
        ("count", json!({}), "`n`"),
        ("count", json!({ "n": "x" }), "input.n"),
        ("count", json!({ "n": 1, "delay_ms": -1 }), "input.delay_ms"),
        ("count", json!({ "n": 1, "size": 0.5 }), "input.size"),
        ("sleep", json!({}), "`ms`"),
        ("stubborn", json!({ "ms": [] }), "input.ms"),
        ("progress", json!({ "total": null }), "input.total"),
        ("progress", json!({ "total": 1, "units": 1 }), "input.units"),
        ("kinds", json!("none"), "input"),
        ("fail", json!({ "code": 1 }), "input.code"),
        ("fail", json!({ "panic": "yes" }), "input.panic"),
    ];
    for (agent, input, field) in cases {
        let error = failure(&client, agent, input.clone()).await;
        assert_eq!(error.code(), Some(&ErrorCode::InvalidRequest), "{agent} {input}");
        assert!(error.to_string().contains(field), "{agent} {input}: {error}");
    }
}

#[tokio::test]
async fn two_jobs_run_at_once() {
    let (host, client) = session().await;
    let mut held = client.submit("gated").await.unwrap();
    assert_eq!(phase(&next(&mut held).await), "waiting");
    assert!(run(&client, "count", json!({ "n": 50 })).await.1.is_ok());

    let mut left = client.submit("count").input(&json!({ "n": 500 })).await.unwrap();
    let mut right = client.submit("count").input(&json!({ "n": 500 })).await.unwrap();
    let (left, right): (Vec<_>, Vec<_>) =
        tokio::join!(left.by_ref().collect::<Vec<_>>(), right.by_ref().collect::<Vec<_>>());
    let mut seqs: Vec<_> = left.iter().chain(&right).map(|event| event.event_seq.unwrap()).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!((left.len(), right.len(), seqs.len()), (500, 500, 1_000));

    host.stage.open(1);
    assert_eq!(held.result::<String>().await.unwrap(), "through");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_sessions_on_many_threads_each_get_what_is_theirs() {
    let host = Host::start().await;
    let mut sessions = tokio::task::JoinSet::new();
    for number in 0..12_u64 {
        let client = host.client(["alice", "bob", "carol"][number as usize % 3]).await;
        sessions.spawn(async move {
            for round in 0..15 {
                let n = 40 * (number + 1);
                let mut count = client.submit("count").input(&json!({ "n": n })).await.unwrap();
                let mut sleep = client.submit("sleep").input(&json!({ "ms": LONG_MS })).await.unwrap();
                let mut echo = client.submit("echo").input(&[number, round]).await.unwrap();
                sleep.cancel().await.unwrap();
                let logs: Vec<_> = count.by_ref().map(|event| log(&event).to_owned()).collect().await;
                assert_eq!(logs, (0..n).map(|index| format!("event {index}")).collect::<Vec<_>>());
                assert_eq!(count.result::<Value>().await.unwrap(), json!({ "count": n }));
                assert_eq!(echo.result::<Value>().await.unwrap(), json!({ "echoed": [number, round] }));
                assert!(matches!(sleep.result::<Value>().await, Err(JobError::Cancelled(_))));
            }
            client.close().await;
        });
    }
    sessions.join_all().await;
    assert!(host.runtime.shutdown().await);
}

#[tokio::test]
async fn a_job_that_runs_too_long_is_timed_out() {
    let (_host, client) = session().await;
    let input = json!({ "ms": LONG_MS });
    let submit = client.submit("sleep").input(&input).max_runtime(Duration::from_secs(1));
    let mut job = submit.await.unwrap();
    assert_eq!(phase(&next(&mut job).await), "sleeping");
    tokio::time::pause(); // and so the second passes as soon as there is nothing else to do
    match job.result::<Value>().await.unwrap_err() {
        JobError::TimedOut(error) => assert_eq!((error.code, error.retryable), (ErrorCode::Timeout, true)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn one_key_is_one_job_with_two_handles() {
    let (host, client) = session().await;
    let other_session = host.client("alice").await;
    let submit = |client: &Client| client.submit("gated").input(&1).idempotency_key("k");
    let mut first = submit(&client).await.unwrap();
    let mut second = submit(&client).await.unwrap();
    let mut third = submit(&other_session).await.unwrap();
    assert_eq!((first.id(), first.id()), (second.id(), third.id()));

    let twisted = client.submit("gated").input(&2).idempotency_key("k").await;
    assert_eq!(refusal(twisted), ErrorCode::DuplicateKey);
    let mut strangers = submit(&host.client("bob").await).await.unwrap();
    assert_ne!(strangers.id(), first.id(), "keys are of one principal");

    host.stage.open(2); // one for each principal
    for job in [&mut first, &mut second, &mut third, &mut strangers] {
        assert_eq!(job.result::<String>().await.unwrap(), "through");
    }
    assert_eq!(submit(&client).await.unwrap().result::<String>().await.unwrap(), "through");
}

#[tokio::test]
async fn a_result_is_typed_or_an_error_that_says_where() {
    let (_host, client) = session().await;
    let submit = || client.submit("whoami").idempotency_key("typed");
    let fields: std::collections::BTreeMap<String, Value> = submit().await.unwrap().result().await.unwrap();
    assert!(fields.contains_key("principal"));
    let mut job = submit().await.unwrap();
    assert!(matches!(job.result::<Vec<u8>>().await, Err(JobError::Result(_))));
    assert!(job.result::<Value>().await.is_ok(), "the result is still there");
}

#[tokio::test]
async fn a_size_that_no_memory_holds_ends_its_job_and_nothing_else() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let input = json!({ "n": 1, "size": 1_u64 << 62 });
    let error = client.submit("count").input(&input).await.unwrap().result_json().await.unwrap_err();
    let payload = error.payload().unwrap();
    assert_eq!(payload.code.as_str(), "INVALID_REQUEST");
    assert!(payload.message.contains("input.size"), "{payload}");
    client.submit("echo").await.unwrap().result_json().await.unwrap();
}
