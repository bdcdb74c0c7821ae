//! Our client with its runtime.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use arcp::Client;
use arcp::client::{Connect, JobError, RequestError, State};
use arcp::proto::event::{Body, ToolOutcome};
use arcp::proto::{ErrorCode, Feature, Lease, Timestamp};
use arcp::stdio::ChildConnector;
use arcp::ws::WsConnector;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};

use crate::cut::Relay;
use crate::python::{Running, listening, python, script};

const TOKEN: &str = "s3cret";

/// Its runtime over a WebSocket, or its `arcp serve`.
fn serve(how: &str) -> Option<(Running, String)> {
    let mut command = Command::new(python()?);
    command.arg(script("runtime.py")).arg(how);
    Some(listening(command, "ws://", false))
}

fn to(url: &str) -> Connect {
    Client::connect(WsConnector::new(url).unwrap(), TOKEN)
}

/// What every runtime of its must do, be it over a WebSocket or over pipes.
async fn everywhere(test: impl AsyncFn(Client)) {
    let Some(python) = python() else { return };
    let (_runtime, url) = serve("ws").unwrap();
    test(to(&url).await.unwrap()).await;
    let child = ChildConnector::new(python).arg(script("runtime.py")).arg("stdio");
    test(Client::connect(child, TOKEN).without_reconnect().await.unwrap()).await;
}

fn tools() -> Lease {
    Lease::empty().grant("tool.call", "search.*")
}

#[tokio::test]
async fn its_program_runs_what_we_submit() {
    let Some((_runtime, url)) = serve("serve") else { return };
    let client = arcp::connect(&url, TOKEN).await.unwrap();
    assert_eq!(client.opened().runtime.as_ref().unwrap().name, "arcp-cli");
    let mut job = client.submit("echo").input(&"hello").await.unwrap();
    let events: Vec<String> = job.by_ref().map(|event| event.to_string()).collect().await;
    assert_eq!(events, ["info echo started"]);
    assert_eq!(job.result::<Value>().await.unwrap(), json!({ "echoed": "hello" }));
    client.close().await;
    let refused = Client::connect(WsConnector::new(&url).unwrap(), "wrong").await.unwrap_err();
    assert_eq!(refused.code(), Some(&ErrorCode::Unauthenticated));
}

/// It ends a connection that says nothing for two intervals.
#[tokio::test]
async fn our_client_is_heard_while_it_has_nothing_to_say() {
    let Some((_runtime, url)) = serve("restless") else { return };
    let client = to(&url).without_reconnect().await.unwrap();
    assert!(client.opened().features.contains(&Feature::Heartbeat));
    client.submit("sleep").input(&json!({ "ms": 3_200 })).await.unwrap().result::<()>().await.unwrap();
    assert_eq!(
        client.submit("echo").input(&1).await.unwrap().result::<Value>().await.unwrap(),
        json!({ "echoed": 1 })
    );
    client.close().await;
}

#[tokio::test]
async fn events_of_every_kind_are_read() {
    everywhere(async |client| {
        let mut job = client.submit("kinds").await.unwrap();
        let events: Vec<_> = job.by_ref().collect().await;
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        let all =
            "log thought tool_call tool_result status metric artifact_ref progress x-vendor.fixture.note";
        assert_eq!(kinds, all.split(' ').collect::<Vec<_>>());
        // Its names of things are not those of the draft.
        let Body::ToolCall(call) = &events[2].body else { panic!("{events:#?}") };
        assert_eq!((call.tool.as_str(), call.args.as_str()), ("search", r#"{"query":"arcp"}"#));
        let Body::ToolResult(result) = &events[3].body else { panic!("{events:#?}") };
        assert!(matches!(&result.outcome, ToolOutcome::Result(hits) if hits.as_str() == r#"{"hits":3}"#));
        let Body::ArtifactRef(artifact) = &events[6].body else { panic!("{events:#?}") };
        assert_eq!(artifact.content_type.as_deref(), Some("text/html"));
        assert!(matches!(&events[7].body, Body::Progress(progress) if progress.current.to_string() == "1"));
        job.result::<()>().await.unwrap();
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn budgets_are_counted() {
    everywhere(async |client| {
        let lease = tools().grant("cost.budget", "USD:1.00");
        let mut job = client
            .submit("spend")
            .input(&json!({ "amounts": [0.3, 0.2] }))
            .lease(lease.clone())
            .await
            .unwrap();
        assert_eq!(job.budget().remaining("USD").unwrap().to_string(), "1.00");
        assert_eq!(job.result::<Value>().await.unwrap(), json!({ "left": "0.50" }));
        assert_eq!(job.budget().remaining("USD").unwrap().to_string(), "0.5");
        let mut job =
            client.submit("spend").input(&json!({ "amounts": [0.9, 0.2, 0.1] })).lease(lease).await.unwrap();
        assert_eq!(job.result::<Value>().await.unwrap_err().code(), Some(&ErrorCode::BudgetExhausted));
        let soon = Timestamp::from(std::time::SystemTime::now() + Duration::from_secs(2));
        let mut job = client.submit("sleep").input(&json!({ "ms": 60_000 })).expires_at(soon).await.unwrap();
        assert_eq!(job.result::<Value>().await.unwrap_err().code(), Some(&ErrorCode::LeaseExpired));
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn jobs_are_cancelled_and_time_out() {
    everywhere(async |client| {
        let mut job = client.submit("sleep").input(&json!({ "ms": 60_000 })).await.unwrap();
        assert_eq!(job.next().await.unwrap().to_string(), "status sleeping");
        let job_id = job.id().clone();
        let (cancelled, ended) = tokio::join!(client.cancel(&job_id), job.result::<Value>());
        cancelled.unwrap();
        assert!(matches!(ended, Err(JobError::Cancelled(_))));
        let late = client.submit("sleep").input(&json!({ "ms": 60_000 })).max_runtime(Duration::from_secs(1));
        assert!(matches!(late.await.unwrap().result::<Value>().await, Err(JobError::TimedOut(_))));
        client.close().await;
    })
    .await;
}

/// A second submit under the key of a job that still runs has nothing of it here: its runtime answers, and sends what happens to the first
/// alone. Within one session both are the same job.
#[tokio::test]
async fn one_key_is_one_job() {
    everywhere(async |client| {
        let submit = |n: u64| client.submit("count").input(&json!({ "n": n })).idempotency_key("k");
        let mut first = submit(3).await.unwrap();
        assert_eq!(first.result::<Value>().await.unwrap(), json!({ "count": 3 }));
        let mut second = submit(3).await.unwrap();
        assert_eq!(second.id(), first.id());
        assert_eq!(second.result::<Value>().await.unwrap(), json!({ "count": 3 }));
        assert_eq!(submit(4).await.unwrap_err().code(), Some(&ErrorCode::DuplicateKey));
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn jobs_are_listed_and_watched() {
    let Some((_runtime, url)) = serve("ws") else { return };
    let (client, observer) = (to(&url).await.unwrap(), to(&url).await.unwrap());
    let mut ended = client.submit("count").input(&json!({ "n": 5 })).await.unwrap();
    ended.result::<Value>().await.unwrap();
    let mut running = client.submit("sleep").input(&json!({ "ms": 60_000 })).await.unwrap();
    running.next().await.unwrap();
    let listed: Vec<_> = observer.jobs().page_size(1).stream().try_collect().await.unwrap();
    let states: BTreeMap<_, _> =
        listed.iter().map(|entry| (entry.agent.as_str(), entry.status.as_str())).collect();
    assert_eq!(states, BTreeMap::from([("count", "success"), ("sleep", "running")]));
    let mut past = observer.subscribe(ended.id()).with_history().await.unwrap();
    let events: Vec<String> = past.by_ref().map(|event| event.to_string()).collect().await;
    assert_eq!(events, (0..5).map(|n| format!("info event {n}")).collect::<Vec<_>>());
    assert_eq!(past.result::<Value>().await.unwrap(), json!({ "count": 5 }));
    let mut live = observer.subscribe(running.id()).with_history().await.unwrap();
    assert_eq!(live.next().await.unwrap().to_string(), "status sleeping");
    let (cancelled, ended) = tokio::join!(client.cancel(running.id()), live.result::<Value>());
    cancelled.unwrap();
    assert!(matches!(ended, Err(JobError::Cancelled(_))));
}

#[tokio::test]
async fn streamed_results_are_put_together() {
    everywhere(async |client| {
        for text in [true, false] {
            let input = json!({ "letters": "abc", "bytes": 30_000, "text": text });
            let mut job = client.submit("stream").input(&input).await.unwrap();
            let expected: Vec<u8> = b"abc".iter().flat_map(|letter| vec![*letter; 30_000]).collect();
            assert_eq!(job.result_bytes().await.unwrap(), expected);
        }
        client.close().await;
    })
    .await;
}

/// Its runtime keeps a job's events on the connection that submitted it, so that what a job says after a cut is lost (§6.3). What can be had
/// is the session: it is resumed, with its number, and takes more work.
#[tokio::test]
async fn an_idle_session_is_resumed_over_a_cut() {
    let Some((_runtime, url)) = serve("ws") else { return };
    let relay = Relay::to(&url).await;
    let client = to(&relay.url).await.unwrap();
    let session = client.opened().session_id.clone();
    let mut before = client.submit("count").input(&json!({ "n": 3 })).await.unwrap();
    before.result::<Value>().await.unwrap();
    let mut state = client.state();
    relay.cut();
    state.wait_for(|state| matches!(state, State::Reconnecting)).await.unwrap();
    state.wait_for(|state| matches!(state, State::Connected)).await.unwrap();
    assert_eq!(client.opened().session_id, session);
    let mut after = client.submit("count").input(&json!({ "n": 2 })).await.unwrap();
    let numbers: Vec<_> = after.by_ref().filter_map(async |event| event.event_seq).collect().await;
    assert_eq!(numbers, [5, 6], "three events and a result came before");
    assert_eq!(after.result::<Value>().await.unwrap(), json!({ "count": 2 }));
}

#[tokio::test]
async fn every_code_survives() {
    everywhere(async |client| {
        for code in ErrorCode::KNOWN {
            let mut job = client.submit("fail").input(&json!({ "code": code })).await.unwrap();
            let Err(JobError::Failed(error)) = job.result::<Value>().await else { panic!("{code}") };
            assert_eq!((&error.code, error.message.as_str()), (code, "said so"));
        }
        let refused = |error: RequestError| error.code().cloned().unwrap();
        assert_eq!(refused(client.submit("nobody").await.unwrap_err()), ErrorCode::AgentNotAvailable);
        let version = client.submit("versioned@9").await.unwrap_err();
        assert_eq!(refused(version), ErrorCode::AgentVersionNotAvailable);
        let mut job = client.submit("versioned@1.0.0").await.unwrap();
        assert_eq!(job.result::<Value>().await.unwrap(), json!({ "version": "1.0.0" }));
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn twenty_jobs_at_once() {
    everywhere(async |client| {
        let jobs = (0..20).map(async |_| {
            let mut job = client.submit("count").input(&json!({ "n": 50 })).await.unwrap();
            let events: Vec<String> = job.by_ref().map(|event| event.to_string()).collect().await;
            assert_eq!(events, (0..50).map(|n| format!("info event {n}")).collect::<Vec<_>>());
            assert_eq!(job.result::<Value>().await.unwrap(), json!({ "count": 50 }));
            job.id().clone()
        });
        let ids = futures_util::future::join_all(jobs).await;
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 20);
        client.close().await;
    })
    .await;
}

#[tokio::test]
async fn credentials_are_given_and_rotated() {
    everywhere(async |client| {
        let lease = Lease::empty().grant("cost.budget", "USD:2.00").grant("model.use", "openai/*");
        let mut job = client.submit("rotate").lease(lease).await.unwrap();
        let credential = &job.credentials()[0];
        assert_eq!(credential.value.expose(), format!("test-token-{}", job.id()));
        assert_eq!(credential.endpoint, "https://gateway.example.test/v1");
        job.result::<Value>().await.unwrap();
        assert_eq!(job.credentials()[0].value.expose(), "sk-second");
        client.close().await;
    })
    .await;
}
