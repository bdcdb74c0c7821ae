//! Back-pressure: an agent cannot outrun its reader, and waits for nobody who is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arcp_runtime::{AgentError, JobContext, Limits, Runtime, agent_fn};
use serde_json::Value;

use crate::builder;
use crate::peer::Peer;

const EVENTS: usize = 100;
const WINDOW: usize = 8;

/// A runtime with an agent `emits` that counts what it has emitted.
fn emitting() -> (Runtime, Arc<AtomicUsize>) {
    let emitted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&emitted);
    let emits = agent_fn(move |ctx: JobContext, _: Value| {
        let count = Arc::clone(&count);
        async move {
            for _ in 0..EVENTS {
                ctx.info("more").await?;
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok::<_, AgentError>(())
        }
    });
    let limits = Limits { send_window_events: WINDOW, ..Limits::default() };
    let runtime = builder().agent("emits@1", emits).limits(limits).build().unwrap();
    (runtime, emitted)
}

/// Lets everything run that can run.
async fn settle() {
    tokio::time::advance(std::time::Duration::from_millis(1)).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_waits_for_its_reader_and_goes_on_with_it() {
    let (runtime, emitted) = emitting();
    let mut peer = Peer::open_with(&runtime, 1).await;
    peer.submit("emits").await;
    settle().await;
    let before = emitted.load(Ordering::Relaxed);
    // What is on the link and in the writer's hands, and the window.
    assert!(before < 3 * WINDOW, "{before}");
    for event_seq in 1..=EVENTS {
        assert_eq!(peer.receive_type("job.event").await["event_seq"], event_seq);
    }
    peer.receive_type("job.result").await;
    assert_eq!(emitted.load(Ordering::Relaxed), EVENTS);
}

#[tokio::test(start_paused = true)]
async fn an_agent_does_not_wait_for_a_reader_who_is_gone() {
    let (runtime, emitted) = emitting();
    let mut peer = Peer::open_with(&runtime, 1).await;
    peer.submit("emits").await;
    settle().await;
    assert!(emitted.load(Ordering::Relaxed) < EVENTS);
    drop(peer);
    settle().await;
    assert_eq!(emitted.load(Ordering::Relaxed), EVENTS);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_waits_can_be_cancelled() {
    let (runtime, emitted) = emitting();
    let mut peer = Peer::open_with(&runtime, 1).await;
    let job_id = peer.submit("emits").await;
    settle().await;
    peer.say("job.cancel", Value::Null, &job_id).await;
    settle().await;
    assert!(emitted.load(Ordering::Relaxed) < EVENTS, "it is told to stop and not to go on for ever");
    let mut ends = 0;
    let mut acknowledged = false;
    while ends == 0 {
        let message = peer.receive().await;
        acknowledged |= message["type"] == "job.cancelled";
        ends += usize::from(message["type"] == "job.error");
    }
    assert!(acknowledged);
}

#[tokio::test(start_paused = true)]
async fn a_wedged_session_does_not_hold_up_another() {
    let (runtime, _) = emitting();
    let mut wedged = Peer::open_with(&runtime, 1).await;
    wedged.submit("emits").await;
    settle().await;
    let mut other = Peer::open(&runtime).await;
    other.submit("emits").await;
    for _ in 0..EVENTS {
        other.receive_type("job.event").await;
    }
    other.receive_type("job.result").await;
}

#[tokio::test(start_paused = true)]
async fn what_a_job_has_said_is_there_for_others_before_its_reader_comes_for_it() {
    let says = agent_fn(|ctx: JobContext, _: Value| async move {
        for _ in 0..EVENTS {
            ctx.info("more").await?;
        }
        ctx.stopped().await;
        Ok::<_, AgentError>(())
    });
    let runtime = builder().agent("says@1", says).build().unwrap();
    let mut wedged = Peer::open_with(&runtime, 1).await;
    let job_id = wedged.submit("says").await;
    settle().await;
    let mut other = Peer::open_with_features(&runtime, serde_json::json!(["subscribe"])).await;
    other.say("job.subscribe", serde_json::json!({ "job_id": job_id, "history": true }), &job_id).await;
    assert_eq!(other.receive_type("job.subscribed").await["payload"]["subscribed_from"], EVENTS);
    for event_seq in 1..=EVENTS {
        assert_eq!(other.receive_type("job.event").await["event_seq"], event_seq);
    }
    for event_seq in 1..=EVENTS {
        assert_eq!(wedged.receive_type("job.event").await["event_seq"], event_seq);
    }
}

#[tokio::test(start_paused = true)]
async fn requests_are_not_read_while_their_answers_wait() {
    let limits = Limits { answers: 4, ..Limits::default() };
    let runtime = builder().limits(limits).build().unwrap();
    let mut peer = Peer::open_with(&runtime, 2).await;
    let mut said = 0;
    while futures_util::FutureExt::now_or_never(peer.say("session.ping", Value::Null, &Value::Null)).is_some()
    {
        said += 1;
        settle().await;
        assert!(said < 100, "somebody reads without end");
    }
    for _ in 0..said {
        peer.receive().await;
    }
}
