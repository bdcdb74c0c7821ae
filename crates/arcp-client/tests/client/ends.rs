//! How sessions end: by whom, in what order, and who is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arcp_client::{JobError, Loss, RequestError, State};
use arcp_transport::memory::MemoryListener;
use arcp_transport::{BoxTransport, CloseCode, Frame, Listener};
use futures_util::{FutureExt, SinkExt, StreamExt};
use serde_json::{Value, json};

use crate::host::{Host, connect, session, settle};

#[tokio::test(start_paused = true)]
async fn dropping_a_connect_leaves_nothing_behind() {
    // Before the link is there.
    let (connecting, mut listener) = connect();
    drop(connecting.into_future());
    assert!(listener.accept().now_or_never().is_none_or(|accepted| accepted.is_err()));

    // While the runtime thinks about the hello.
    let (connecting, listener) = connect();
    let mut connecting = Box::pin(connecting.into_future());
    assert!(connecting.as_mut().now_or_never().is_none());
    let mut host = Host::accept(listener).await;
    drop(connecting);
    assert!(
        matches!(host.link.next().await, Some(Ok(Frame::Close(close))) if close.code == CloseCode::NORMAL)
    );
    assert!(host.link.next().await.is_none());

    // When the welcome is on its way already.
    let (connecting, listener) = connect();
    let mut connecting = Box::pin(connecting.into_future());
    assert!(connecting.as_mut().now_or_never().is_none());
    let mut host = Host::accept(listener).await;
    host.welcome().await;
    settle().await;
    drop(connecting);
    host.receive_type("session.close").await;
}

#[tokio::test(start_paused = true)]
async fn a_job_alone_keeps_the_session() {
    let (client, mut host) = session().await;
    let mut job = host.job(&client, "job_1").await;
    drop(client);
    settle().await;
    host.succeed(json!(1), &json!("job_1")).await;
    assert_eq!(job.result::<u8>().await.unwrap(), 1);
    assert!(host.link.next().now_or_never().is_none());
    drop(job);
    host.receive_type("session.close").await;
}

#[tokio::test(start_paused = true)]
async fn handles_that_go_while_events_wait_close_the_session() {
    let (client, mut host) = session().await;
    let job = host.job(&client, "job_1").await;
    while host.try_log("more", &json!("job_1")) || {
        settle().await;
        host.try_log("more", &json!("job_1"))
    } {}
    drop((client, job));
    host.receive_type("session.close").await;
    host.say("session.closed", json!({}), &Value::Null).await;
    assert!(matches!(host.link.next().await, Some(Ok(Frame::Close(_)))));
}

#[tokio::test(start_paused = true)]
async fn what_has_come_before_the_end_is_delivered_after_it() {
    let (client, mut host) = session().await;
    let mut done = host.job(&client, "job_1").await;
    let mut running = host.job(&client, "job_2").await;
    host.try_log("a word", &json!("job_1"));
    host.succeed(json!(1), &json!("job_1")).await;
    host.try_log("a word", &json!("job_2"));
    host.link.send(Frame::close(CloseCode::GOING_AWAY, "")).await.unwrap();
    host.link.close().await.unwrap();
    settle().await;
    assert_eq!(done.next().await.unwrap().to_string(), "info a word");
    assert_eq!(done.result::<u8>().await.unwrap(), 1);
    assert!(running.next().await.is_some());
    assert!(matches!(running.result::<u8>().await, Err(JobError::SessionEnded(Loss::Unreachable))));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_nobody_reads_holds_up_nobody_at_the_end() {
    let (client, mut host) = session().await;
    let unread = host.job(&client, "job_1").await;
    let mut twin = host.job(&client, "job_1").await;
    let mut emitted = 0_u32;
    while host.try_log("more", &json!("job_1")) {
        settle().await;
        if twin.next().now_or_never().is_none() {
            break;
        }
        emitted += 1;
    }
    assert!(emitted > 0);
    let submit = tokio::spawn(client.submit("agent").into_future());
    host.receive_type("job.submit").await;

    // Closing ends the session with events still undelivered.
    let closing = tokio::spawn(client.clone().close());
    host.receive_type("session.close").await;
    drop(host);
    closing.await.unwrap();
    assert!(matches!(submit.await.unwrap(), Err(RequestError::SessionEnded(_))));
    assert!(matches!(client.submit("agent").await, Err(RequestError::SessionEnded(_))));
    assert!(twin.by_ref().count().await <= 1);
    assert!(matches!(twin.result::<Value>().await, Err(JobError::SessionEnded(_))));
    assert!(unread.count().await >= 1_024, "what has come is still there");
}

#[tokio::test(start_paused = true)]
async fn a_close_comes_back_when_the_link_is_closed_and_not_before() {
    let (client, mut host) = session().await;
    let mut closing = Box::pin(client.close());
    assert!(closing.as_mut().now_or_never().is_none());
    host.receive_type("session.close").await;
    host.say("session.closed", json!({}), &Value::Null).await;
    settle().await;
    assert!(closing.as_mut().now_or_never().is_none(), "the link is not closed yet");
    assert!(matches!(host.link.next().await, Some(Ok(Frame::Close(_)))));
    assert!(host.link.next().await.is_none());
    closing.await;
}

#[tokio::test(start_paused = true)]
async fn a_close_comes_back_even_if_nothing_is_read_or_answered() {
    let (client, host) = session().await;
    let other = client.clone();
    client.close().await;
    assert!(matches!(other.submit("agent").await, Err(RequestError::SessionEnded(Loss::Closed))));
    other.close().await;
    drop(host);
}

/// The next link of a client, and the token that it says hello with.
async fn hello(listener: &mut MemoryListener) -> (BoxTransport, Value) {
    let (mut link, _) = listener.accept().await.unwrap();
    let Some(Ok(Frame::Text(text))) = link.next().await else { panic!("a client says hello") };
    let hello: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(hello["type"], "session.hello");
    (link, hello["payload"]["auth"]["token"].clone())
}

async fn say(link: &mut BoxTransport, kind: &str, payload: Value) {
    let envelope =
        json!({ "arcp": "1.1", "id": "h", "type": kind, "session_id": "sess_1", "payload": payload });
    link.send(Frame::text(envelope.to_string())).await.unwrap();
}

async fn welcome(link: &mut BoxTransport) {
    say(link, "session.welcome", json!({ "resume_token": "rt_1", "resume_window_sec": 600 })).await;
}

/// What a runtime does when a token expires, and when one is not good.
async fn turn_away(mut link: BoxTransport) {
    let error = json!({ "code": "UNAUTHENTICATED", "message": "token has expired", "retryable": false });
    say(&mut link, "session.error", error).await;
    link.send(Frame::close(CloseCode::POLICY_VIOLATION, "")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_is_shown_once_more_and_then_the_session_is_over() {
    let (connect, mut listener) = connect();
    let (client, link) = tokio::join!(connect, async {
        let (mut link, _) = hello(&mut listener).await;
        welcome(&mut link).await;
        link
    });
    let client = client.unwrap();
    // What waits for an answer is not what was refused.
    let mut submitting = Box::pin(client.submit("agent").into_future());
    assert!(submitting.as_mut().now_or_never().is_none());
    turn_away(link).await;
    let mut state = client.state();
    let (again, _) =
        tokio::join!(hello(&mut listener), state.wait_for(|state| *state == State::Reconnecting));
    assert_eq!(again.1, "t");
    turn_away(again.0).await;
    state.wait_for(|state| *state == State::Ended(Loss::Refused)).await.unwrap();
    assert!(matches!(submitting.await, Err(RequestError::SessionEnded(Loss::Refused))));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_asked_for_whenever_the_connection_is_made_again() {
    let (connect, mut listener) = connect();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let connect = connect.renew_token(move || {
        let count = count.fetch_add(1, Ordering::Relaxed);
        async move {
            match count {
                0 => Err("the issuer is away"),
                1 => std::future::pending().await, // it is not waited for without end
                _ => Ok(format!("t{count}")),
            }
        }
    });
    let (client, link) = tokio::join!(connect, async {
        let (mut link, token) = hello(&mut listener).await;
        assert_eq!(token, "t", "the first is the one that was given");
        welcome(&mut link).await;
        link
    });
    let client = client.unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 0);
    let mut submitting = Box::pin(client.submit("agent").into_future());
    assert!(submitting.as_mut().now_or_never().is_none());
    settle().await;
    turn_away(link).await;
    let (mut link, token) = hello(&mut listener).await;
    assert_eq!((token, asked.load(Ordering::Relaxed)), (json!("t2"), 3));
    welcome(&mut link).await;
    client.state().wait_for(|state| *state == State::Connected).await.unwrap();
}
