//! Stores that outlive their runtimes: what a second runtime makes of what the first has left, stores without room, and drains.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp_runtime::store::{Batch, Epoch, Image, Opened};
use arcp_runtime::{AgentError, Health, JobContext, RestartPolicy, Runtime, Store, StoreError, agent_fn};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::builder;
use crate::peer::Peer;

/// A store that keeps everything for the next runtime, and fences the last one off.
#[derive(Clone, Default)]
struct Kept {
    image: Arc<Mutex<Image>>,
    epoch: Arc<AtomicUsize>,
    full: Arc<AtomicBool>,
    tries: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
    /// The epoch whose runtime has closed it.
    ended: Arc<AtomicUsize>,
}

impl Store for Kept {
    fn open(&self) -> BoxFuture<'static, Result<Opened, StoreError>> {
        let epoch = Epoch(self.epoch.fetch_add(1, Ordering::SeqCst) as u64 + 1);
        let recovered = self.image.lock().unwrap().recover();
        future::ready(Ok(Opened { epoch, recovered })).boxed()
    }

    fn commit(&self, epoch: Epoch, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), StoreError>> {
        let current = self.epoch.load(Ordering::SeqCst) as u64;
        if epoch.0 != current {
            return future::ready(Err(StoreError::Fenced { held: epoch.0, current })).boxed();
        }
        if self.ended.load(Ordering::SeqCst) as u64 == current {
            return future::ready(Err(StoreError::Failed("it is closed".into()))).boxed();
        }
        if self.full.load(Ordering::SeqCst) {
            self.tries.fetch_add(1, Ordering::SeqCst);
            return future::ready(Err(StoreError::Full("no space left on device".into()))).boxed();
        }
        self.image.lock().unwrap().apply(&batch);
        future::ready(Ok(())).boxed()
    }

    fn close(&self) -> BoxFuture<'static, ()> {
        self.closed.fetch_add(1, Ordering::SeqCst);
        self.ended.store(self.epoch.load(Ordering::SeqCst), Ordering::SeqCst);
        future::ready(()).boxed()
    }
}

/// Lets time pass, with what falls into it.
async fn pass(seconds: usize) {
    for _ in 0..seconds {
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
}

/// An agent that counts on from its checkpoint, one step for each permit.
fn counts(store: &Kept, steps: &Arc<Semaphore>) -> Runtime {
    let steps = Arc::clone(steps);
    let agent = agent_fn(move |ctx: JobContext, upto: u64| {
        let steps = Arc::clone(&steps);
        async move {
            let mut at: u64 = ctx.restored()?.unwrap_or(0);
            while at < upto {
                ctx.until_stopped(steps.acquire()).await?.unwrap().forget();
                at += 1;
                ctx.info(at.to_string()).await?;
                ctx.checkpoint(&at).await?;
            }
            Ok::<_, AgentError>(at)
        }
    });
    let agent = agent.on_restart(RestartPolicy::Redrive);
    builder().agent("counts@1", agent).store(store.clone()).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_run_again_goes_on_from_its_checkpoint() {
    let (store, steps) = (Kept::default(), Arc::new(Semaphore::new(2)));
    let first = counts(&store, &steps);
    let mut peer = Peer::connect(&first, 64);
    peer.hello().await;
    let welcome = peer.receive_type("session.welcome").await;
    peer.say("job.submit", json!({ "agent": "counts", "input": 4 }), &Value::Null).await;
    let job = peer.receive_type("job.accepted").await["job_id"].clone();
    for text in ["1", "2"] {
        assert_eq!(peer.receive().await["payload"]["body"]["message"], text);
    }
    // Steps of its own: the agent of the first runtime still waits for its next one.
    let second = counts(&store, &Arc::new(Semaphore::new(2)));
    let mut peer = Peer::connect(&second, 64);
    peer.resume(&welcome).await;
    peer.receive_type("session.welcome").await;
    for (index, text) in ["1", "2", "3", "4"].into_iter().enumerate() {
        let event = peer.receive_type("job.event").await;
        assert_eq!(
            (&event["payload"]["body"]["message"], &event["event_seq"]),
            (&json!(text), &json!(index + 1))
        );
    }
    let end = peer.receive_type("job.result").await;
    assert_eq!((&end["job_id"], &end["payload"]["result"]), (&job, &json!(4)));
    assert!(second.shutdown().await);
    assert_eq!(store.closed.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_that_cannot_be_read_fails_its_job() {
    let store = Kept::default();
    let agent = |store: &Kept| {
        let agent = agent_fn(async |ctx: JobContext, _: Value| {
            if let Some(at) = ctx.restored::<u64>()? {
                return Ok(at);
            }
            ctx.checkpoint("no number").await?;
            ctx.stopped().await;
            Ok::<_, AgentError>(0)
        });
        let agent = agent.on_restart(RestartPolicy::Redrive);
        builder().agent("odd@1", agent).store(store.clone()).build().unwrap()
    };
    let first = agent(&store);
    let mut peer = Peer::connect(&first, 64);
    peer.hello().await;
    let welcome = peer.receive_type("session.welcome").await;
    peer.submit("odd").await;
    pass(1).await; // the agent has come to its wait
    let second = agent(&store);
    let mut peer = Peer::connect(&second, 64);
    peer.resume(&welcome).await;
    peer.receive_type("session.welcome").await;
    let end = peer.receive_type("job.error").await;
    assert_eq!(end["payload"]["code"], "INTERNAL_ERROR");
    assert!(end["payload"]["message"].as_str().unwrap().contains("checkpoint"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_store_without_room_ends_jobs_and_is_tried_again_until_it_has_some() {
    let (store, steps) = (Kept::default(), Arc::new(Semaphore::new(0)));
    let runtime = counts(&store, &steps);
    let mut peer = Peer::open(&runtime).await;
    peer.say("job.submit", json!({ "agent": "counts", "input": 1 }), &Value::Null).await;
    peer.receive_type("job.accepted").await;
    store.full.store(true, Ordering::SeqCst);
    steps.add_permits(1);
    pass(20).await;
    assert!(peer.hears_nothing(), "nothing of it is written");
    assert!((4..20).contains(&store.tries.load(Ordering::SeqCst)), "tried again, at growing intervals");
    peer.say("job.submit", json!({ "agent": "counts", "input": 0 }), &Value::Null).await;
    let refused = peer.receive_type("session.error").await;
    assert_eq!(
        (&refused["payload"]["code"], &refused["payload"]["retryable"]),
        (&json!("INTERNAL_ERROR"), &json!(true))
    );
    assert_eq!(runtime.health(), Health::Full, "it answers, and takes nothing on");

    store.full.store(false, Ordering::SeqCst);
    peer.receive_type("job.event").await;
    assert_eq!(peer.receive_job_error().await, "INTERNAL_ERROR");
    peer.say("job.submit", json!({ "agent": "counts", "input": 0 }), &Value::Null).await;
    peer.receive_type("job.accepted").await;
    peer.receive_type("job.result").await;
}

#[tokio::test(start_paused = true)]
async fn a_store_that_was_closed_is_asked_for_nothing_more() {
    let (store, steps) = (Kept::default(), Arc::new(Semaphore::new(0)));
    let runtime = counts(&store, &steps);
    let peer = Peer::open(&runtime).await;
    drop(peer);
    pass(1).await;
    assert!(runtime.shutdown().await);
    assert_eq!(store.closed.load(Ordering::SeqCst), 1);
    pass(601).await; // the session's window is over, and nobody writes that down
    assert!(runtime.failure().is_none(), "{:?}", runtime.failure());
    assert_eq!(runtime.health(), Health::Stopping);
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_those_who_run_and_for_no_longer_than_it_is_told() {
    let (store, steps) = (Kept::default(), Arc::new(Semaphore::new(0)));
    for (patience, ends) in [(60, "job.result"), (5, "job.error")] {
        let runtime = counts(&store, &steps);
        let mut peer = Peer::open(&runtime).await;
        peer.say("job.submit", json!({ "agent": "counts", "input": 1 }), &Value::Null).await;
        peer.receive_type("job.accepted").await;
        let draining = tokio::spawn({
            let runtime = runtime.clone();
            async move { runtime.drain(Duration::from_secs(patience)).await }
        });
        assert_eq!(peer.receive_type("job.event").await["payload"]["body"]["phase"], "draining");
        assert_eq!(runtime.health(), Health::Draining);
        pass(4).await;
        assert!(peer.hears_nothing() && !draining.is_finished());
        if patience == 60 {
            steps.add_permits(1);
            peer.receive_type("job.event").await;
        }
        let end = peer.receive_type(ends).await;
        if ends == "job.error" {
            assert_eq!(end["payload"]["retryable"], true);
        }
        assert_eq!(peer.receive_close().await.0, 1001);
        assert!(draining.await.unwrap());
        assert_eq!(runtime.health(), Health::Stopping);
    }
    // Who has nothing to wait for does not wait.
    let runtime = counts(&store, &steps);
    let idle = Peer::open(&runtime).await;
    assert!(runtime.drain(Duration::from_secs(1_000)).await);
    drop(idle);
    assert_eq!(store.closed.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_gives_back_nonsense_is_a_runtime_that_has_failed() {
    let (store, steps) = (Kept::default(), Arc::new(Semaphore::new(1)));
    let first = counts(&store, &steps);
    let mut peer = Peer::open(&first).await;
    peer.say("job.submit", json!({ "agent": "counts", "input": 2 }), &Value::Null).await;
    peer.receive_type("job.accepted").await;
    peer.receive_type("job.event").await;
    struct Damaged(Kept);
    impl Store for Damaged {
        fn open(&self) -> BoxFuture<'static, Result<Opened, StoreError>> {
            let opened = self.0.open().now_or_never().unwrap();
            let opened = opened.map(|mut opened| {
                opened.recovered.jobs[0].entries.clear();
                opened
            });
            future::ready(opened).boxed()
        }
        fn commit(&self, epoch: Epoch, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), StoreError>> {
            self.0.commit(epoch, batch)
        }
    }
    let second = builder().store(Damaged(store)).build().unwrap();
    assert_eq!(second.stopped().await, Health::Failed);
    let mut late = Peer::connect(&second, 4);
    assert_eq!(late.receive_close().await.0, 1011);
}
