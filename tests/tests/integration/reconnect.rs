//! A client that comes back by itself, and what it sees of jobs that are not its own.

use std::time::Duration;

use arcp_client::proto::Timestamp;
use arcp_client::proto::event::Body;
use arcp_client::proto::job::JobStatus;
use arcp_client::{Job, JobError, RequestError, State};
use arcp_runtime::Limits;
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;

use crate::support::{Host, Proxy, token};

/// Reads the 3,000 events of a `count`, in order and each once, and cuts the connection four times meanwhile.
async fn count_over_cuts(job: &mut Job, proxy: &Proxy) {
    let mut seen = 0;
    while let Some(event) = job.next().await {
        let Body::Log(log) = &event.body else { continue };
        assert_eq!(log.message, format!("event {seen}"));
        seen += 1;
        if seen % 700 == 0 {
            proxy.cut().await;
        }
    }
    assert_eq!(seen, 3_000);
}

#[tokio::test]
async fn a_job_yields_each_event_once_over_any_number_of_cuts() {
    let host = Host::start().await;
    let proxy = Proxy::to(host.address).await;
    let client = host.connect(&proxy.url(), "alice").await.unwrap();
    let state = client.state();
    let mut job = client.submit("count").input(&json!({ "n": 3_000 })).await.unwrap();
    count_over_cuts(&mut job, &proxy).await;
    assert!(state.has_changed().unwrap(), "it was cut");
    assert_eq!(job.result::<Value>().await.unwrap(), json!({ "count": 3_000 }));
}

/// The runtime forgets every session at once: each cut costs the session, and no event.
#[tokio::test]
async fn a_job_yields_each_event_once_over_any_number_of_sessions() {
    let limits = Limits { resume_window: Duration::from_millis(1), ..Limits::default() };
    let host = Host::with_limits(limits).await;
    let proxy = Proxy::to(host.address).await;
    let client = host.connect(&proxy.url(), "alice").await.unwrap();
    let first = client.opened().session_id.clone();
    let mut job = client.submit("count").input(&json!({ "n": 3_000 })).await.unwrap();
    count_over_cuts(&mut job, &proxy).await;
    assert!(!job.has_missed());
    assert_eq!(job.result::<Value>().await.unwrap(), json!({ "count": 3_000 }));
    let mut job = client.submit("echo").input("hello").await.unwrap();
    assert_eq!(job.result::<Value>().await.unwrap(), json!({ "echoed": "hello" }));
    assert_ne!(client.opened().session_id, first);
    assert_eq!(*client.state().borrow(), State::Renewed);
}

#[tokio::test]
async fn what_is_asked_while_the_link_is_down_waits_for_it() {
    let host = Host::start().await;
    let proxy = Proxy::to(host.address).await;
    let client = host.connect(&proxy.url(), "alice").await.unwrap();
    proxy.cut().await;
    client.state().wait_for(|state| *state == State::Reconnecting).await.unwrap();
    let mut job = client.submit("echo").input("hello").await.unwrap();
    assert_eq!(job.result::<Value>().await.unwrap(), json!({ "echoed": "hello" }));
}

#[tokio::test]
async fn streamed_results_are_put_together() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let input = json!({ "chunks": 5, "chunk_bytes": 3_000 });
    let mut job = client.submit("stream").input(&input).await.unwrap();
    let whole = job.result::<String>().await.unwrap();
    assert_eq!((whole.len(), &whole[..1], &whole[14_999..]), (15_000, "a", "e"));
    assert_eq!(job.outcome().unwrap().summary.as_deref(), Some("streamed 5 chunks"));

    let input = json!({ "chunks": 2, "chunk_bytes": 700_001, "encoding": "base64" });
    let mut job = client.submit("stream").input(&input).await.unwrap();
    let whole = job.result_bytes().await.unwrap();
    assert_eq!((whole.len(), whole[0], whole[1_400_001]), (1_400_002, b'a', b'b'));

    let input = json!({ "chunks": 5, "chunk_bytes": 10, "fail_at": 2 });
    let mut job = client.submit("stream").input(&input).await.unwrap();
    assert!(matches!(job.result::<String>().await, Err(JobError::Failed(_))));
}

#[tokio::test]
async fn a_result_can_be_read_piece_by_piece() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let input = json!({ "chunks": 3, "chunk_bytes": 1_000_000, "encoding": "base64" });
    let job = client.submit("stream").input(&input).await.unwrap();
    let mut whole = Vec::new();
    job.result_stream().into_async_read().read_to_end(&mut whole).await.unwrap();
    assert_eq!(
        (whole.len(), whole[999_999], whole[1_000_000], whole[2_999_999]),
        (3_000_000, b'a', b'b', b'c')
    );

    let job = client.submit("echo").input(&1).await.unwrap();
    let pieces: Vec<_> = job.result_stream().try_collect().await.unwrap();
    assert_eq!(pieces, [&br#"{"echoed":1}"#[..]]);

    let input = json!({ "chunks": 5, "chunk_bytes": 10, "fail_at": 2 });
    let job = client.submit("stream").input(&input).await.unwrap();
    let pieces: Vec<_> = job.result_stream().collect().await;
    assert!(matches!(&pieces[..], [Ok(first), Err(JobError::Failed(_))] if first.len() == 10), "{pieces:?}");
}

#[tokio::test]
async fn jobs_are_listed_page_by_page() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let mut ids = Vec::new();
    for _ in 0..7 {
        let mut job = client.submit("echo").await.unwrap();
        job.result_json().await.unwrap();
        ids.insert(0, job.id().clone());
    }
    let waiting = client.submit("gated").await.unwrap();
    let all: Vec<_> = client.jobs().page_size(3).stream().try_collect().await.unwrap();
    assert_eq!(all[0].job_id, *waiting.id());
    assert_eq!(all[1..].iter().map(|entry| entry.job_id.clone()).collect::<Vec<_>>(), ids);
    let count = |list: arcp_client::List| async move { list.stream().count().await };
    assert_eq!(count(client.jobs().status(JobStatus::Running)).await, 1);
    assert_eq!(count(client.jobs().agent("echo@1.0.0").status(JobStatus::Success)).await, 7);
    assert_eq!(count(client.jobs().created_after(Timestamp::from_millis(i64::MAX))).await, 0);
    let rash = arcp_client::connect(host.url(), token("alice")).await.unwrap();
    let refused: Vec<_> = rash.jobs().page_size(0).stream().collect().await;
    assert!(matches!(&refused[..], [Err(RequestError::Refused(_))]));
    host.stage.open(1);
}

#[tokio::test]
async fn a_job_can_be_watched_twice_and_each_watcher_sees_each_event_once() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let mut job = client.submit("gated").await.unwrap();
    assert!(matches!(job.next().await.unwrap().body, Body::Status(_)));
    let mut again = client.subscribe(job.id()).with_history().await.unwrap();
    let brief = client.subscribe(job.id()).await.unwrap();
    assert!(matches!(again.next().await.unwrap().body, Body::Status(_)));
    drop(brief);
    host.stage.open(1);
    for job in [&mut job, &mut again] {
        let event = job.next().await.unwrap();
        assert_eq!(event.to_string(), "status leaving");
        assert!(job.next().await.is_none());
        assert_eq!(job.result::<String>().await.unwrap(), "through");
    }
}

#[tokio::test]
async fn another_session_watches_and_may_not_cancel() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let mut job = client.submit("gated").await.unwrap();
    job.next().await.unwrap();
    let watcher = host.client("alice").await;
    let mut watched = watcher.subscribe(job.id()).with_history().await.unwrap();
    assert_eq!(watched.status_when_subscribed(), Some(&JobStatus::Running));
    assert!(matches!(watched.next().await.unwrap().body, Body::Status(_)));
    assert_eq!(watched.cancel().await.unwrap_err().code().unwrap().as_str(), "PERMISSION_DENIED");
    drop(client);
    host.stage.open(1);
    assert_eq!(watched.result::<String>().await.unwrap(), "through");

    let stranger = host.client("bob").await;
    let error = stranger.subscribe(job.id()).await.unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "JOB_NOT_FOUND");
}

#[tokio::test]
async fn a_later_process_can_cancel_what_an_earlier_one_submitted() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let mut job = client.submit("sleep").input(&json!({ "ms": 600_000 })).await.unwrap();
    job.next().await.unwrap();
    let id = job.id().clone();
    let state = client.resume_state().await.unwrap();
    drop((job, client));

    let connector = arcp_client::ws::WsConnector::new(&host.url()).unwrap();
    let later = arcp_client::Client::connect(connector, token("alice")).resume(state).await.unwrap();
    let mut job = later.subscribe(&id).await.unwrap();
    later.cancel(&id).await.unwrap();
    assert!(matches!(job.result_json().await, Err(JobError::Cancelled(_))));
}
