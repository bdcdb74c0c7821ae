//! Stores that take their time, and stores that fail: nothing is said before it is written.

use std::sync::{Arc, Mutex};

use arcp_runtime::store::{Batch, Epoch, Opened, Recovered, Write};
use arcp_runtime::{AgentError, Health, JobContext, Runtime, Store, StoreError, agent_fn};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use serde_json::Value;
use tokio::sync::Semaphore;

use crate::peer::Peer;
use crate::{Dropped, builder};

/// A store that the test holds by the hand: each permit is one commit.
#[derive(Clone)]
struct Slow {
    opening: Arc<Semaphore>,
    commits: Arc<Semaphore>,
    /// How many events each committed batch had.
    events: Arc<Mutex<Vec<usize>>>,
    failure: Failure,
}

/// What happens at a commit of a job.
#[derive(Clone, Copy, PartialEq)]
enum Failure {
    Never,
    AtOnce,
    Later,
    Panic,
    PanicLater,
}

impl Slow {
    fn new() -> Self {
        Self::failing(Failure::Never)
    }

    fn failing(failure: Failure) -> Self {
        Self {
            opening: Arc::new(Semaphore::new(1)),
            commits: Arc::new(Semaphore::new(0)),
            events: Arc::default(),
            failure,
        }
    }
}

impl Store for Slow {
    fn open(&self) -> BoxFuture<'static, Result<Opened, StoreError>> {
        let opening = Arc::clone(&self.opening);
        async move {
            opening.acquire().await.map_err(|error| StoreError::Failed(error.into()))?.forget();
            Ok(Opened { epoch: Epoch(1), recovered: Recovered::default() })
        }
        .boxed()
    }

    fn commit(&self, _: Epoch, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), StoreError>> {
        let appended = batch.writes.iter().map(|write| match write {
            Write::Appended(entries) => entries.len(),
            _ => 0,
        });
        let appended = appended.sum();
        let jobs = batch.writes.iter().any(|write| matches!(write, Write::Job(_)));
        let failed = || Err(StoreError::Failed("disk full".into()));
        match self.failure {
            Failure::Never => {}
            _ if !jobs => return future::ready(Ok(())).boxed(),
            Failure::AtOnce => return future::ready(failed()).boxed(),
            Failure::Later => return async move { failed() }.boxed(),
            Failure::Panic => panic!("disk on fire"),
            Failure::PanicLater => {
                return async {
                    tokio::task::yield_now().await;
                    panic!("disk on fire")
                }
                .boxed();
            }
        }
        let (commits, events) = (Arc::clone(&self.commits), Arc::clone(&self.events));
        async move {
            commits.acquire().await.map_err(|error| StoreError::Failed(error.into()))?.forget();
            events.lock().unwrap().push(appended);
            Ok(())
        }
        .boxed()
    }
}

fn talks(runtime_store: &Slow) -> Runtime {
    let talks = agent_fn(async |ctx: JobContext, _: Value| {
        for _ in 0..10 {
            ctx.info("a word").await?;
        }
        Ok::<_, AgentError>(())
    });
    builder().agent("talks@1", talks).store(runtime_store.clone()).build().unwrap()
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_it_is_written_and_batches_grow_meanwhile() {
    let store = Slow::new();
    let runtime = talks(&store);
    let mut peer = Peer::connect(&runtime, 64);
    peer.hello().await;
    settle().await;
    assert!(peer.hears_nothing(), "the session is not written yet");
    store.commits.add_permits(1);
    peer.receive_type("session.welcome").await;

    peer.say("job.submit", serde_json::json!({ "agent": "talks" }), &Value::Null).await;
    settle().await;
    assert!(peer.hears_nothing(), "the job is not written yet");
    store.commits.add_permits(1);
    peer.receive_type("job.accepted").await;
    settle().await;
    assert!(peer.hears_nothing(), "its events are not written yet");
    store.commits.add_permits(1);
    for _ in 0..10 {
        peer.receive_type("job.event").await;
    }
    peer.receive_type("job.result").await;
    // The session, the job, and all that happened while the job was being written: ten events and an end.
    assert_eq!(*store.events.lock().unwrap(), [0, 0, 11]);
}

#[tokio::test(start_paused = true)]
async fn what_needs_no_writing_does_not_wait_for_it() {
    let store = Slow::new();
    let runtime = talks(&store);
    let mut stranger = Peer::connect(&runtime, 64);
    stranger.say("session.ping", Value::Null, &Value::Null).await;
    stranger.receive_type("session.error").await;
    assert_eq!(stranger.receive_close().await.0, 1008);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_stops_the_runtime() {
    for failure in [Failure::AtOnce, Failure::Later, Failure::Panic, Failure::PanicLater] {
        let (dropped, gone) = Dropped::new();
        let held = Arc::new(Mutex::new(Some(dropped)));
        let waits = agent_fn(move |_: JobContext, _: Value| {
            let held = held.lock().unwrap().take();
            async move {
                let _held = held;
                std::future::pending::<Result<(), AgentError>>().await
            }
        });
        let store = Slow::failing(failure);
        let runtime = builder().agent("waits@1", waits).store(store).build().unwrap();
        let mut idle = Peer::open(&runtime).await;
        let mut peer = Peer::open(&runtime).await;
        assert_eq!(runtime.health(), Health::Ready);
        peer.say("job.submit", serde_json::json!({ "agent": "waits" }), &Value::Null).await;
        // Nobody hears of the job; everybody hears that the runtime cannot go on.
        assert_eq!(peer.receive_close().await.0, 1011);
        assert_eq!(idle.receive_close().await.0, 1011);
        assert_eq!(runtime.stopped().await, Health::Failed);
        let mut late = Peer::connect(&runtime, 4);
        assert_eq!(late.receive_close().await.0, 1011);
        assert!(runtime.shutdown().await);
        assert_eq!(runtime.health(), Health::Failed);
        drop(runtime);
        gone.await.unwrap(); // the agent never ran, or was aborted
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_does_not_start_for_a_job_that_was_never_written() {
    let started = Arc::new(Semaphore::new(0));
    let starts = Arc::clone(&started);
    let agent = agent_fn(move |_: JobContext, _: Value| {
        starts.add_permits(1);
        async { Ok::<_, AgentError>(()) }
    });
    let store = Slow::failing(Failure::AtOnce);
    let runtime = builder().agent("starts@1", agent).store(store).build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    peer.say("job.submit", serde_json::json!({ "agent": "starts" }), &Value::Null).await;
    assert_eq!(peer.receive_close().await.0, 1011);
    settle().await;
    assert_eq!(started.available_permits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_cannot_be_opened_is_a_runtime_that_has_failed() {
    let store = Slow::new();
    store.opening.close();
    let runtime = talks(&store);
    assert_eq!(runtime.stopped().await, Health::Failed);
    let mut peer = Peer::connect(&runtime, 4);
    assert_eq!(peer.receive_close().await.0, 1011);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_still_opening_keeps_everybody_waiting_but_not_a_shutdown() {
    let store = Slow { opening: Arc::new(Semaphore::new(0)), ..Slow::new() };
    let runtime = talks(&store);
    let mut peer = Peer::connect(&runtime, 4);
    peer.hello().await;
    settle().await;
    assert!(peer.hears_nothing());
    assert_eq!(runtime.health(), Health::Starting);

    store.opening.add_permits(1);
    store.commits.add_permits(1);
    peer.receive_type("session.welcome").await;
    assert_eq!(runtime.health(), Health::Ready);

    let store = Slow { opening: Arc::new(Semaphore::new(0)), ..Slow::new() };
    let runtime = talks(&store);
    let mut peer = Peer::connect(&runtime, 4);
    peer.hello().await;
    settle().await;
    assert!(runtime.shutdown().await);
    assert_eq!(peer.receive_close().await.0, 1001);
}
