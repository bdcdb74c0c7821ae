//! Agents that do not do as they are told, and what they leave behind.

use std::sync::Arc;
use std::time::Duration;

use arcp_runtime::proto::Timestamp;
use arcp_runtime::{AgentError, EmitError, JobContext, Limits, StopCause, agent_fn};
use futures_util::FutureExt;
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::peer::Peer;
use crate::{Dropped, builder};

/// An agent that gives away a value on its first run and then never ends.
fn endless<T: Send + 'static>(value: T) -> impl arcp_runtime::Agent {
    let value = Arc::new(Mutex::new(Some(value)));
    agent_fn(move |_: JobContext, _: Value| {
        let value = Arc::clone(&value);
        async move {
            let _held = value.lock().await.take();
            std::future::pending::<Result<(), AgentError>>().await
        }
    })
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_the_agent_is_really_gone() {
    let (dropped, gone) = Dropped::new();
    let runtime = builder().agent("endless@1", endless(dropped)).build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    let job_id = peer.submit("endless").await;
    peer.say("job.cancel", Value::Null, &job_id).await;
    peer.receive_type("job.cancelled").await;
    assert_eq!(peer.receive_job_error().await, "CANCELLED");
    gone.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_grace_of_nothing_is_no_grace() {
    let (dropped, gone) = Dropped::new();
    let limits = Limits { cancel_grace: Duration::ZERO, ..Limits::default() };
    let runtime = builder().agent("endless@1", endless(dropped)).limits(limits).build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    let job_id = peer.submit("endless").await;
    peer.say("job.cancel", Value::Null, &job_id).await;
    peer.receive_type("job.cancelled").await;
    assert_eq!(peer.receive_job_error().await, "CANCELLED");
    gone.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_and_the_last_handle_drop_the_agents() {
    for shut_down in [true, false] {
        let (dropped, gone) = Dropped::new();
        let runtime = builder().agent("endless@1", endless(dropped)).build().unwrap();
        let mut peer = Peer::open(&runtime).await;
        peer.submit("endless").await;
        if shut_down {
            let ends = async {
                assert_eq!(peer.receive_job_error().await, "INTERNAL_ERROR");
                assert_eq!(peer.receive_close().await.0, 1001);
            };
            assert!(tokio::join!(runtime.shutdown(), ends).0);
        } else {
            drop(runtime);
            assert_eq!(peer.receive_job_error().await, "INTERNAL_ERROR");
            assert_eq!(peer.receive_close().await.0, 1001);
        }
        gone.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_was_told_to_stop_ends_in_that_whatever_its_agent_says() {
    let late = agent_fn(async |ctx: JobContext, _: Value| {
        assert_eq!(ctx.stop_cause(), None);
        assert_eq!(ctx.stopped().await, StopCause::Cancelled);
        assert_eq!(ctx.stop_cause(), Some(StopCause::Cancelled));
        ctx.info("last words").await?;
        Ok::<_, AgentError>("too late")
    });
    let runtime = builder().agent("late@1", late).build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    let job_id = peer.submit("late").await;
    peer.say("job.cancel", Value::Null, &job_id).await;
    peer.receive_type("job.cancelled").await;
    peer.receive_type("job.event").await;
    assert_eq!(peer.receive_job_error().await, "CANCELLED");
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_of_the_agents_own_is_its_own_error() {
    let own = agent_fn(async |_: JobContext, _: Value| {
        let late = tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await;
        Ok::<_, AgentError>(late?)
    });
    let runtime = builder().agent("own@1", own).build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    peer.submit("own").await;
    assert_eq!(peer.receive_job_error().await, "INTERNAL_ERROR");
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_leaves_behind_is_told_that_its_job_has_ended() {
    let (sender, mut contexts) = mpsc::channel::<JobContext>(1);
    let leaving = agent_fn(move |ctx: JobContext, _: Value| {
        let sender = sender.clone();
        async move {
            sender.send(ctx).await?;
            Ok(())
        }
    });
    let runtime = builder().agent("leaving@1", leaving).build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    peer.submit("leaving").await;
    peer.receive_type("job.result").await;
    let left = contexts.recv().await.unwrap();
    assert!(matches!(left.info("too late").await, Err(EmitError::Ended)));
    left.stopped().await;
    assert_eq!(left.stop_cause(), None, "nobody told the agent to stop");
    assert!(left.until_stopped(std::future::pending::<()>()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_emission_that_waits_ends_with_its_job() {
    let (sender, emitted) = oneshot::channel();
    let sender = Arc::new(Mutex::new(Some(sender)));
    let runs = agent_fn(move |ctx: JobContext, _: Value| {
        let sender = Arc::clone(&sender);
        async move {
            let sender = sender.lock().await.take().unwrap();
            tokio::spawn(async move {
                loop {
                    let outcome = ctx.info("more").await;
                    if outcome.is_err() {
                        return sender.send(outcome).unwrap();
                    }
                }
            });
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            Ok(()) // while what it has left behind waits for room
        }
    });
    let limits = Limits { send_window_events: 4, ..Limits::default() };
    let runtime = builder().agent("runs@1", runs).limits(limits).build().unwrap();
    let mut peer = Peer::open_with(&runtime, 1).await;
    peer.submit("runs").await;
    assert!(matches!(emitted.await.unwrap(), Err(EmitError::Ended)));
}

#[tokio::test]
async fn an_agent_that_only_emits_leaves_its_thread_to_others_also_when_nobody_listens() {
    let (emitting, mut emits) = mpsc::unbounded_channel();
    let restless = agent_fn(move |ctx: JobContext, _: Value| {
        let emitting = emitting.clone();
        async move {
            loop {
                ctx.info("x").await?;
                let _ = emitting.send(());
                if ctx.job_id().as_str().is_empty() {
                    return Ok::<(), AgentError>(());
                }
            }
        }
    });
    let runtime = builder().agent("restless@1", restless).build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    peer.submit("restless").await;
    drop(peer);
    for _ in 0..2_000 {
        emits.recv().await.unwrap();
    }
    assert!(runtime.shutdown().await, "the agent is gone");
}

/// The wall clock may be ahead of the one that wakes the runtime: who is denied something for it is told to stop at once.
#[tokio::test(start_paused = true)]
async fn an_operation_that_outlives_its_lease_is_the_last_one_also_if_no_timer_has_told() {
    let agent = agent_fn(async |ctx: JobContext, _: Value| {
        let expires_at = ctx.lease_constraints().expires_at.unwrap();
        let sits = async {
            // Somebody is always ready to run, so that the clock that is held does not move.
            while ctx.now() < expires_at {
                tokio::task::yield_now().await;
            }
            Ok::<_, AgentError>(())
        };
        ctx.call_tool("sits", &(), sits).await?;
        let denied = ctx.authorize("tool.call", "sits").unwrap_err();
        assert_eq!(denied.code().as_str(), "LEASE_EXPIRED");
        assert_eq!(ctx.stopped().now_or_never(), Some(StopCause::LeaseExpired));
        Ok::<_, AgentError>(())
    });
    let runtime = builder().agent("sits@1", agent).build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    let soon = Timestamp::from(std::time::SystemTime::now()).as_millis() + 500;
    let submit = json!({
        "agent": "sits",
        "lease_request": { "tool.call": ["*"] },
        "lease_constraints": { "expires_at": Timestamp::from_millis(soon) },
    });
    peer.say("job.submit", submit, &Value::Null).await;
    peer.receive_type("job.accepted").await;
    peer.receive_type("job.event").await;
    peer.receive_type("job.event").await;
    assert_eq!(peer.receive_job_error().await, "LEASE_EXPIRED");
}
