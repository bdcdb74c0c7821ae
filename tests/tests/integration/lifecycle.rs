//! Beginnings and ends: of handles, sessions, connections and runtimes. A job outlives all but the last.

use arcp_client::proto::ErrorCode;
use arcp_client::{Client, ConnectError, JobError, Loss, RequestError};
use arcp_runtime::{Health, Limits};
use arcp_transport::{BoxTransport, CloseCode, Frame, Listener, memory};
use arcp_transport_ws::WsListener;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use crate::support::{Host, Proxy, Raw, fragile_client, next, phase, runtime, token};

#[tokio::test]
async fn dropping_a_job_does_not_cancel_it() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let submit = || client.submit("gated").idempotency_key("k");
    let mut job = submit().await.unwrap();
    assert_eq!(phase(&next(&mut job).await), "waiting");
    let id = job.id().clone();
    drop(job);
    host.stage.open(1);
    let mut again = submit().await.unwrap();
    assert_eq!(*again.id(), id);
    assert_eq!(again.result::<String>().await.unwrap(), "through");
}

/// The runtime's end of a session whose client is real: welcomed, and then left to the test.
async fn welcome(listener: &mut WsListener) -> BoxTransport {
    let (mut link, _) = listener.accept().await.unwrap();
    assert_eq!(received(&mut link).await["type"], "session.hello");
    let welcome = json!({
        "arcp": "1.1", "id": "w", "type": "session.welcome", "session_id": "sess_1",
        "payload": { "resume_token": "rt_1", "capabilities": { "features": [] } },
    });
    link.send(Frame::text(welcome.to_string())).await.unwrap();
    link
}

async fn received(link: &mut BoxTransport) -> Value {
    match link.next().await {
        Some(Ok(Frame::Text(text))) => serde_json::from_str(&text).unwrap(),
        other => panic!("not a text frame: {other:?}"),
    }
}

async fn listen() -> (WsListener, String) {
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap();
    let url = format!("ws://{}", listener.local_addr());
    (listener, url)
}

/// Sees a session closed in order, as its runtime.
async fn sees_the_session_closed(mut link: BoxTransport) {
    assert_eq!(received(&mut link).await["type"], "session.close");
    let closed =
        json!({ "arcp": "1.1", "id": "c", "type": "session.closed", "session_id": "sess_1", "payload": {} });
    link.send(Frame::text(closed.to_string())).await.unwrap();
    assert!(matches!(link.next().await, Some(Ok(Frame::Close(close))) if close.code == CloseCode::NORMAL));
    link.close().await.unwrap();
}

#[tokio::test]
async fn dropping_the_last_handle_closes_the_session_in_order() {
    let (mut listener, url) = listen().await;
    let (client, link) = tokio::join!(arcp_client::connect(&url, "t"), welcome(&mut listener));
    let client = client.unwrap();
    let clone = client.clone();
    drop(client);
    let pending = clone.submit("echo").into_future();
    drop((clone, pending));
    sees_the_session_closed(link).await;
}

#[tokio::test]
async fn closing_waits_until_the_session_is_closed() {
    let (mut listener, url) = listen().await;
    let (client, link) = tokio::join!(arcp_client::connect(&url, "t"), welcome(&mut listener));
    let client = client.unwrap();
    let other = client.clone();
    tokio::join!(client.close(), sees_the_session_closed(link));
    match other.submit("echo").await {
        Err(RequestError::SessionEnded(Loss::Closed)) => {}
        answer => panic!("{answer:?}"),
    }
}

#[tokio::test]
async fn a_runtime_that_does_not_answer_a_close_is_told_goodbye() {
    let (mut listener, url) = listen().await;
    let (client, mut link) = tokio::join!(arcp_client::connect(&url, "t"), welcome(&mut listener));
    client.unwrap().close().await; // comes back, and by then it is said
    assert_eq!(received(&mut link).await["type"], "session.close");
    assert_eq!(received(&mut link).await["type"], "session.bye");
    assert!(matches!(link.next().await, Some(Ok(Frame::Close(_)))));
}

#[tokio::test]
async fn closing_answers_those_who_wait() {
    let (mut listener, url) = listen().await;
    let (client, mut link) = tokio::join!(arcp_client::connect(&url, "t"), welcome(&mut listener));
    let client = client.unwrap();
    let other = client.clone();
    let submit = tokio::spawn(async move { other.submit("echo").await });
    assert_eq!(received(&mut link).await["type"], "job.submit");
    let closed = async {
        assert_eq!(received(&mut link).await["type"], "session.close");
        link.close().await.unwrap();
    };
    tokio::join!(client.close(), closed);
    assert!(matches!(submit.await.unwrap(), Err(RequestError::SessionEnded(Loss::Closed))));
}

#[tokio::test]
async fn a_shutdown_ends_jobs_so_that_they_can_be_tried_again() {
    let host = Host::start().await;
    let client = host.fragile_client("alice").await;
    let mut job = client.submit("gated").await.unwrap();
    assert_eq!(phase(&next(&mut job).await), "waiting");
    let (mut raw, _) = Raw::open(host.address, "bob").await;
    raw.say("job.submit", json!({ "agent": "gated" })).await;
    raw.receive_type("job.accepted").await;
    raw.receive_type("job.event").await;

    let (done, ()) = tokio::join!(host.runtime.shutdown(), async move {
        let error = raw.receive_type("job.error").await;
        assert_eq!(error["payload"]["code"], "INTERNAL_ERROR");
        assert_eq!(error["payload"]["retryable"], true);
        assert_eq!(raw.receive_close().await, 1001);
        match job.result::<String>().await.unwrap_err() {
            JobError::Failed(error) => {
                assert_eq!((error.code, error.retryable), (ErrorCode::InternalError, true));
            }
            other => panic!("{other:?}"),
        }
        // Only now does the raw peer end its half, and job and client theirs.
    });
    assert!(done, "nothing is left");
    assert_eq!(host.runtime.stopped().await, Health::Stopping);
    assert!(matches!(client.submit("echo").await, Err(RequestError::SessionEnded(Loss::ConnectionLost))));
}

#[tokio::test]
async fn a_peer_that_reads_nothing_does_not_hold_up_a_shutdown_for_ever() {
    let host = Host::start().await;
    let (mut raw, _) = Raw::open(host.address, "alice").await;
    raw.say("job.submit", json!({ "agent": "flood", "input": [200_000, "x".repeat(1_000)] })).await;
    raw.receive_type("job.accepted").await;
    raw.receive_type("job.event").await;
    tokio::time::pause(); // whatever time the runtime gives such a peer passes now
    host.runtime.shutdown().await;
    // Its connection was cut: what is on the way arrives, and then the end.
    raw.receive_end().await;
}

#[tokio::test]
async fn dropping_the_last_runtime_closes_what_axum_carries() {
    let (runtime, _stage) = runtime(Limits::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = axum::Router::new().route("/arcp", arcp_axum::serve(runtime));
    let server = tokio::spawn(async move { axum::serve(listener, app).await });
    let (mut raw, _) = Raw::open(address, "alice").await;
    raw.is_alive().await;
    server.abort(); // and with it the router, which had the only handle
    assert_eq!(raw.receive_end().await, Some(1001));
}

#[tokio::test]
async fn a_cut_ends_the_session_here_and_no_job_there() {
    let host = Host::start().await;
    let proxy = Proxy::to(host.address).await;
    let client = fragile_client(&format!("ws://{}", proxy.address), "alice").await;
    let mut job = client.submit("gated").idempotency_key("k").await.unwrap();
    assert_eq!(phase(&next(&mut job).await), "waiting");
    let id = job.id().clone();

    proxy.cut().await;
    assert!(matches!(job.result::<String>().await, Err(JobError::SessionEnded(Loss::ConnectionLost))));
    assert!(matches!(job.cancel().await, Err(RequestError::SessionEnded(Loss::ConnectionLost))));
    client.close().await; // nothing is left to close, and it says so at once

    host.stage.open(1);
    let client = host.client("alice").await;
    let mut job = client.submit("gated").idempotency_key("k").await.unwrap();
    assert_eq!(*job.id(), id);
    assert_eq!(job.result::<String>().await.unwrap(), "through");
}

#[tokio::test]
async fn nothing_that_listens_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    match arcp_client::connect(format!("ws://{address}"), "t").await.unwrap_err() {
        ConnectError::Transport(error @ arcp_transport::ConnectError::Unreachable { .. }) => {
            assert!(error.is_transient());
            assert!(error.to_string().contains(&address.to_string()), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_refused_token_is_named_by_its_code() {
    let host = Host::start().await;
    let error = arcp_client::connect(host.url(), "wrong").await.unwrap_err();
    assert_eq!(error.code(), Some(&ErrorCode::Unauthenticated));
}

#[tokio::test]
async fn a_link_in_memory_is_a_link_like_any_other() {
    let (runtime, stage) = runtime(Limits::default());
    let (connector, listener) = memory::listener();
    let serving = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });
    let client = Client::connect(connector.clone(), token("alice")).await.unwrap();
    let mut count = client.submit("count").input(&json!({ "n": 5_000 })).await.unwrap();
    assert_eq!(count.by_ref().count().await, 5_000);
    assert_eq!(count.result::<Value>().await.unwrap(), json!({ "count": 5_000 }));
    let mut gated = client.submit("gated").await.unwrap();
    assert_eq!(phase(&next(&mut gated).await), "waiting");
    stage.open(1);
    assert_eq!(gated.result::<String>().await.unwrap(), "through");
    client.close().await;

    let refused = Client::connect(connector.clone(), "wrong").await.unwrap_err();
    assert_eq!(refused.code(), Some(&ErrorCode::Unauthenticated));

    let client = Client::connect(connector.clone(), token("bob")).await.unwrap();
    let mut gated = client.submit("gated").await.unwrap();
    assert_eq!(phase(&next(&mut gated).await), "waiting");
    assert!(runtime.shutdown().await);
    assert_eq!(gated.result::<String>().await.unwrap_err().code(), Some(&ErrorCode::InternalError));
    serving.await.unwrap().unwrap();
}
