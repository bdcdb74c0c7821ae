//! Rates of principals: what comes too soon is refused or waits, nothing is lost, and it is nothing to others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arcp_runtime::{AgentError, JobContext, RateLimits, Runtime, StaticTokens, agent_fn};
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
    (builder.agent("quick@1.0.0", agent).rate_limits(rates).build().unwrap(), ran)
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
async fn messages_that_come_too_soon_wait_and_none_is_lost() {
    const N: u32 = 200;
    let (runtime, _) = runtime(RateLimits::none().messages("10/s".parse().unwrap()));
    let mut alice = Peer::open(&runtime).await;
    let mut bob = Peer::open_as(&runtime, "b").await;
    let began = Instant::now();
    let flood = async {
        for nonce in 0..N {
            alice.say("session.ping", ping(nonce), &Value::Null).await; // the link holds 64, and then she waits
        }
    };
    let others = async {
        submit(&mut bob, quick()).await.unwrap();
        assert!(began.elapsed() < Duration::from_secs(1), "it is nothing to others");
    };
    tokio::join!(flood, others);
    for nonce in 0..N {
        let pong = alice.receive_type("session.pong").await;
        assert_eq!(pong["payload"]["ping_nonce"], nonce.to_string());
    }
    let took = began.elapsed();
    let least = Duration::from_millis(u64::from(N - 10) * 100);
    assert!(took >= least && took < least + Duration::from_secs(1), "{N} messages took {took:?}");
    alice.say("session.close", json!({}), &Value::Null).await;
    alice.receive_type("session.closed").await;
}

#[tokio::test(start_paused = true)]
async fn somebody_who_has_to_wait_is_not_in_the_way_of_a_shutdown() {
    let (runtime, _) = runtime(RateLimits::none().messages("1/h".parse().unwrap()));
    let mut alice = Peer::open(&runtime).await;
    for _ in 0..3 {
        alice.say("session.ping", ping(1), &Value::Null).await;
    }
    alice.receive_type("session.pong").await;
    let began = Instant::now();
    let closed = async { assert_eq!(alice.receive_close().await.0, 1001) };
    assert!(tokio::join!(runtime.shutdown(), closed).0);
    assert!(began.elapsed() < Duration::from_secs(60));
}
