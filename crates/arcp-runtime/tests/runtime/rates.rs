//! Rates of principals: what comes too soon is refused or waits, nothing is lost, and it is nothing to others.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use arcp_runtime::{AgentError, JobContext, RateLimits, Runtime, StaticTokens, agent_fn};
use arcp_transport::memory::{self, MemoryTransport};
use arcp_transport::{CloseCode, CloseFrame, Frame, TransportError};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::peer::Peer;

/// A runtime with alice (`t`) and bob (`b`), and how many jobs it has run.
fn runtime(rates: RateLimits) -> (Runtime, Arc<AtomicU64>) {
    let ran = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&ran);
    let agent = agent_fn(move |_: JobContext, _: Value| {
        counted.fetch_add(1, Ordering::Relaxed);
        async { Ok::<_, AgentError>("done") }
    });
    let builder = Runtime::builder().authenticator(StaticTokens::new().token("t", "alice").token("b", "bob"));
    let endless = agent_fn(async |ctx: JobContext, _: Value| {
        ctx.stopped().await;
        Ok::<_, AgentError>("stopped")
    });
    let builder = builder.agent("quick@1.0.0", agent).agent("endless@1.0.0", endless);
    (builder.rate_limits(rates).build().unwrap(), ran)
}

/// Submits, and gives the code of the refusal and when to try again, if it is refused.
async fn submit(peer: &mut Peer, payload: Value) -> Result<(), (String, Value)> {
    peer.say("job.submit", payload, &Value::Null).await;
    loop {
        let message = peer.receive().await;
        match message["type"].as_str().unwrap() {
            "session.error" => {
                let error = &message["payload"];
                assert!(error["request_id"].as_str().unwrap().starts_with("peer-"), "{message}");
                assert_eq!(error["retryable"], true, "{message}");
                return Err((error["code"].as_str().unwrap().to_owned(), error["details"].clone()));
            }
            "job.result" => return Ok(()),
            _ => {}
        }
    }
}

fn quick() -> Value {
    json!({ "agent": "quick" })
}

fn ping(nonce: u32) -> Value {
    json!({ "nonce": nonce.to_string(), "sent_at": "2026-01-01T00:00:00Z" })
}

/// Asks for a listing, and gives what names the request.
async fn ask(peer: &mut Peer) -> Value {
    peer.say("session.list_jobs", json!({}), &Value::Null).await
}

/// The answer to it, which comes next.
async fn answered(peer: &mut Peer, asked: &Value) {
    let page = peer.receive_type("session.jobs").await;
    assert_eq!(page["payload"]["request_id"], *asked, "{page}");
}

async fn join(runtime: &Runtime, features: Value) -> Peer {
    Peer::open_with_features(runtime, features).await
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_comes_too_soon_is_refused_and_told_when_to_try_again() {
    let (runtime, ran) = runtime(RateLimits::none().submits("2/s:3".parse().unwrap()));
    let mut alice = Peer::open(&runtime).await;
    let mut also_alice = Peer::open(&runtime).await;
    let mut bob = Peer::open_as(&runtime, "b").await;
    submit(&mut alice, quick()).await.unwrap();
    submit(&mut also_alice, quick()).await.unwrap();
    submit(&mut alice, quick()).await.unwrap();
    for peer in [&mut alice, &mut also_alice] {
        let (code, details) = submit(peer, quick()).await.unwrap_err();
        assert_eq!((code.as_str(), details), ("INTERNAL_ERROR", json!({ "retry_after_ms": 501 })));
    }
    assert_eq!(ran.load(Ordering::Relaxed), 3, "what is refused is not run");
    for _ in 0..3 {
        submit(&mut bob, quick()).await.unwrap(); // others have rates of their own
    }
    // Nothing but submits is refused, and the session goes on.
    alice.say("session.ping", ping(1), &Value::Null).await;
    alice.receive_type("session.pong").await;
    tokio::time::advance(Duration::from_millis(501)).await;
    submit(&mut alice, quick()).await.unwrap();
    assert_eq!(submit(&mut also_alice, quick()).await.unwrap_err().0, "INTERNAL_ERROR");
}

#[tokio::test(start_paused = true)]
async fn going_and_coming_back_gives_no_fresh_burst() {
    let (runtime, _) = runtime(RateLimits::none().submits("1/h".parse().unwrap()));
    let mut peer = Peer::open(&runtime).await;
    submit(&mut peer, quick()).await.unwrap();
    for _ in 0..3 {
        drop(peer);
        peer = Peer::open(&runtime).await;
        submit(&mut peer, quick()).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_refused_is_not_used_up() {
    let (runtime, ran) = runtime(RateLimits::none().submits("1/s".parse().unwrap()));
    let mut peer = Peer::open(&runtime).await;
    submit(&mut peer, quick()).await.unwrap();
    let keyed = json!({ "agent": "quick", "idempotency_key": "k" });
    submit(&mut peer, keyed.clone()).await.unwrap_err();
    tokio::time::advance(Duration::from_millis(1_001)).await;
    submit(&mut peer, keyed).await.unwrap();
    assert_eq!(ran.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_repeat_under_a_known_key_is_answered_and_uses_nothing_up() {
    let (runtime, ran) = runtime(RateLimits::none().submits("1/h:2".parse().unwrap()));
    let mut alice = Peer::open(&runtime).await;
    let keyed = json!({ "agent": "quick", "idempotency_key": "k" });
    submit(&mut alice, keyed.clone()).await.unwrap();
    for _ in 0..5 {
        submit(&mut alice, keyed.clone()).await.unwrap(); // there is room
    }
    submit(&mut alice, quick()).await.unwrap();
    submit(&mut alice, quick()).await.unwrap_err();
    submit(&mut alice, keyed).await.unwrap(); // there is none
    assert_eq!(ran.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_submit_that_becomes_no_job_uses_nothing_up() {
    let (runtime, ran) = runtime(RateLimits::none().submits("1/h:2".parse().unwrap()));
    let mut alice = Peer::open(&runtime).await;
    let keyed = |input: u8| json!({ "agent": "quick", "idempotency_key": "k", "input": input });
    submit(&mut alice, keyed(1)).await.unwrap();
    let bad = [
        (json!({ "agent": "nobody" }), "AGENT_NOT_AVAILABLE"),
        (json!({ "agent": "quick@7.0.0" }), "AGENT_VERSION_NOT_AVAILABLE"),
        (json!({ "agent": "quick", "max_runtime_sec": 0 }), "INVALID_REQUEST"),
        (json!({ "agent": "quick", "lease_request": { "tool.call": 7 } }), "INVALID_REQUEST"),
        (json!({ "agent": "quick", "lease_request": { "no such": ["x"] } }), "INVALID_REQUEST"),
        (json!({}), "INVALID_REQUEST"),
        (keyed(2), "DUPLICATE_KEY"),
    ];
    for round in ["with room", "without"] {
        for (payload, code) in &bad {
            alice.say("job.submit", payload.clone(), &Value::Null).await;
            let error = alice.receive_type("session.error").await;
            assert_eq!(error["payload"]["code"], *code, "{round}: {error}");
        }
        if round == "with room" {
            submit(&mut alice, quick()).await.unwrap();
            submit(&mut alice, quick()).await.unwrap_err();
        }
    }
    assert_eq!(ran.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn messages_that_come_too_soon_wait_and_none_is_lost() {
    const N: u32 = 300;
    let (runtime, _) = runtime(RateLimits::none().messages("10/s".parse().unwrap()));
    let mut alice = join(&runtime, json!(["list_jobs"])).await;
    let mut bob = Peer::open_as(&runtime, "b").await;
    let began = Instant::now();
    let mut asked = Vec::new();
    let flood = async {
        for _ in 0..N {
            asked.push(ask(&mut alice).await); // the link holds some, the runtime some, and then she waits
        }
    };
    let others = async {
        submit(&mut bob, quick()).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "it is nothing to others");
    };
    tokio::join!(flood, others);
    for asked in &asked {
        answered(&mut alice, asked).await;
    }
    let took = began.elapsed();
    let least = Duration::from_millis(u64::from(N - 9) * 100); // the tenth of the burst was her hello
    assert!(took >= least && took < least + Duration::from_secs(1), "{N} messages took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_comes_and_goes_says_hello_from_the_same_rate() {
    let (runtime, _) = runtime(RateLimits::none().messages("1/min:4".parse().unwrap()));
    for _ in 0..3 {
        drop(join(&runtime, json!(["list_jobs"])).await);
    }
    let mut alice = join(&runtime, json!(["list_jobs"])).await; // the last of the burst
    let mut also_alice = join(&runtime, json!(["list_jobs"])).await; // and one more, which is owed
    let began = Instant::now();
    let asked = ask(&mut alice).await;
    answered(&mut alice, &asked).await;
    assert_eq!(began.elapsed().as_secs(), 60);
    let asked = ask(&mut also_alice).await;
    answered(&mut also_alice, &asked).await;
    assert_eq!(began.elapsed().as_secs(), 180);
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_and_cancels_go_past_what_has_to_wait() {
    let (runtime, _) = runtime(RateLimits::none().messages("1/h:2".parse().unwrap()));
    let mut alice = join(&runtime, json!(["list_jobs", "ack"])).await;
    let job = alice.submit("endless").await;
    let began = Instant::now();
    let first = ask(&mut alice).await;
    let second = ask(&mut alice).await;
    alice.say("session.ack", json!({ "last_processed_seq": 0 }), &Value::Null).await;
    alice.say("session.pong", json!({ "ping_nonce": "p" }), &Value::Null).await;
    alice.say("session.ping", ping(1), &Value::Null).await;
    alice.receive_type("session.pong").await;
    alice.say("job.cancel", json!({ "reason": "enough" }), &job).await;
    alice.receive_type("job.cancelled").await;
    assert_eq!(alice.receive_job_error().await, "CANCELLED");
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    for asked in [first, second] {
        answered(&mut alice, &asked).await;
    }
    assert_eq!(began.elapsed().as_secs(), 7_200, "and they were nothing to what waits");
}

#[tokio::test(start_paused = true)]
async fn who_has_to_wait_is_not_taken_for_dead() {
    const N: u32 = 1_000;
    let (runtime, _) = runtime(RateLimits::none().messages("1/min".parse().unwrap()));
    let mut alice = join(&runtime, json!(["list_jobs", "heartbeat"])).await;
    let began = Instant::now();
    let mut asked = VecDeque::new();
    let mut left = N;
    let mut pinged = 0;
    while left > 0 || !asked.is_empty() {
        if left > 0 && alice.has_room().await {
            asked.push_back(ask(&mut alice).await);
            left -= 1;
            continue;
        }
        // What she has asked fills the link: her pongs wait behind it.
        match alice.receive().await {
            ping if ping["type"] == "session.ping" => pinged += 1,
            page if page["type"] == "session.jobs" => {
                assert_eq!(Some(&page["payload"]["request_id"]), asked.pop_front().as_ref());
            }
            other => panic!("after {:?}: {other}", began.elapsed()),
        }
        if left == 0 && alice.has_room().await {
            alice.say("session.pong", json!({ "ping_nonce": "p" }), &Value::Null).await;
        }
    }
    assert!(began.elapsed() >= Duration::from_secs(60 * u64::from(N)) && pinged > N);
    // Now it is she who says nothing.
    loop {
        let last = alice.receive().await;
        if last["type"] != "session.ping" {
            assert_eq!(last["payload"]["code"], "HEARTBEAT_LOST", "{last}");
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_pings_has_a_pace_too_and_leaves_requests_theirs() {
    const N: u32 = 3_000;
    let (runtime, _) = runtime(RateLimits::none().messages("2/h".parse().unwrap()));
    let (mut alice, mut bob) =
        (join(&runtime, json!(["list_jobs"])).await, Peer::open_as(&runtime, "b").await);
    let began = Instant::now();
    let flood = async {
        for nonce in 0..N {
            alice.say("session.ping", ping(nonce), &Value::Null).await;
            if nonce >= 32 {
                alice.receive_type("session.pong").await;
            }
        }
    };
    let others = async {
        bob.say("session.ping", ping(0), &Value::Null).await;
        bob.receive_type("session.pong").await;
        assert!(began.elapsed() < Duration::from_secs(1), "it is nothing to others");
    };
    tokio::join!(flood, others);
    for _ in 0..32 {
        alice.receive_type("session.pong").await;
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(20) && took < Duration::from_secs(21), "{N} pings took {took:?}");
    let asked = ask(&mut alice).await;
    answered(&mut alice, &asked).await;
    assert!(began.elapsed() < Duration::from_secs(22), "she has not used up what she may ask");
}

/// A link that is open at one end when it is closed at the other, as pipes are.
struct Pipes {
    incoming: MemoryTransport,
    outgoing: MemoryTransport,
}

impl Stream for Pipes {
    type Item = Result<Frame, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_next_unpin(cx)
    }
}

impl Sink<Frame> for Pipes {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.outgoing.poll_ready_unpin(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        self.outgoing.start_send_unpin(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.outgoing.poll_flush_unpin(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.outgoing.poll_close_unpin(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_asked_before_a_pipe_was_closed_is_done_all_the_same() {
    let (runtime, ran) = runtime(RateLimits::none().messages("1/min:2".parse().unwrap()));
    let ((mut say, incoming), (mut hear, outgoing)) = (memory::pair(64), memory::pair(64));
    tokio::spawn(runtime.serve(Box::pin(Pipes { incoming, outgoing }), arcp_transport::Peer::LOCAL));
    let auth = json!({ "scheme": "bearer", "token": "t" });
    let hello = json!({ "auth": auth, "capabilities": { "features": ["heartbeat"] } });
    let mut envelopes = vec![("session.hello", hello)];
    envelopes.extend((0..5).map(|_| ("job.submit", quick())));
    for (index, (kind, payload)) in envelopes.into_iter().enumerate() {
        let envelope = json!({ "arcp": "1.1", "id": format!("m{index}"), "type": kind, "payload": payload });
        say.send(Frame::text(envelope.to_string())).await.unwrap();
    }
    say.send(Frame::Close(CloseFrame::new(CloseCode::NORMAL, ""))).await.unwrap();
    let began = Instant::now();
    let mut accepted = 0;
    while let Some(Ok(Frame::Text(text))) = hear.next().await {
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_ne!(message["type"], "session.error", "{message}");
        accepted += u64::from(message["type"] == "job.accepted");
    }
    assert_eq!((accepted, ran.load(Ordering::Relaxed), began.elapsed().as_secs()), (5, 5, 240));
}

#[tokio::test(start_paused = true)]
async fn somebody_who_has_to_wait_is_not_in_the_way_of_a_shutdown() {
    let (runtime, _) = runtime(RateLimits::none().messages("1/h:2".parse().unwrap()));
    let mut alice = join(&runtime, json!(["list_jobs"])).await;
    let asked = ask(&mut alice).await;
    ask(&mut alice).await;
    answered(&mut alice, &asked).await;
    let began = Instant::now();
    let closed = async { assert_eq!(alice.receive_close().await.0, 1001) };
    assert!(tokio::join!(runtime.shutdown(), closed).0);
    assert!(began.elapsed() < Duration::from_secs(60));
}
