//! How runtimes and connections end: in time, and with nothing left.

use std::sync::Arc;

use arcp_runtime::store::{Batch, Epoch, Opened};
use arcp_runtime::{Health, MemoryStore, Store, StoreError};
use arcp_transport::{CloseCode, Frame, memory};
use futures_util::future::BoxFuture;
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;

use crate::peer::Peer;
use crate::{Dropped, builder};

/// A store that lives as long as its runtime does.
struct Probe(MemoryStore, #[allow(dead_code, reason = "it is there to be dropped")] Dropped);

impl Store for Probe {
    fn open(&self) -> BoxFuture<'static, Result<Opened, StoreError>> {
        self.0.open()
    }

    fn commit(&self, epoch: Epoch, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), StoreError>> {
        self.0.commit(epoch, batch)
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_left_of_a_runtime_that_was_dropped() {
    let (dropped, gone) = Dropped::new();
    let runtime = builder().store(Probe(MemoryStore::new(), dropped)).build().unwrap();
    // One that answers, one that reads nothing, one that never said hello, and one that is not even served yet.
    let mut good = Peer::open(&runtime).await;
    let wedged = Peer::open_with(&runtime, 1).await;
    let silent = Peer::connect(&runtime, 1);
    let (_link, theirs) = memory::pair(1);
    let unserved = runtime.serve(Box::pin(theirs), arcp_transport::Peer::LOCAL);
    drop(runtime);
    assert_eq!(good.receive_close().await, CloseCode::GOING_AWAY);
    drop(unserved);
    gone.await.unwrap();
    drop((wedged, silent));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_cut_by_a_shutdown() {
    let runtime = builder().build().unwrap();
    let mut wedged = Peer::open_with(&runtime, 1).await;
    for _ in 0..5 {
        wedged.say("session.ping", Value::Null, &Value::Null).await;
    }
    assert!(runtime.shutdown().await);
    assert_eq!(runtime.health(), Health::Stopping);
    let mut frames = 0;
    while let Some(frame) = wedged.link.next().await {
        assert!(matches!(frame, Ok(Frame::Text(_))), "cut, not closed");
        frames += 1;
    }
    assert!(frames < 5);
    assert!(runtime.shutdown().await, "again, and there is nothing left to do");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_cut_when_its_session_goes_on_elsewhere() {
    let runtime = builder().build().unwrap();
    let mut wedged = Peer::connect(&runtime, 1);
    wedged.hello().await;
    let welcome = wedged.receive_type("session.welcome").await;
    for _ in 0..5 {
        wedged.say("session.ping", Value::Null, &Value::Null).await;
    }
    let mut peer = Peer::connect(&runtime, 64);
    peer.resume(&welcome).await;
    assert_eq!(peer.receive_type("session.welcome").await["session_id"], welcome["session_id"]);
    tokio::time::advance(std::time::Duration::from_secs(6)).await;
    while let Some(frame) = wedged.link.next().await {
        assert!(matches!(frame, Ok(Frame::Text(_))), "cut, not closed");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_stops_takes_nobody_in() {
    let runtime = builder().build().unwrap();
    assert!(runtime.shutdown().await);
    let mut late = Peer::connect(&runtime, 4);
    assert_eq!(late.receive_close().await, CloseCode::GOING_AWAY);
    let (_connector, listener) = memory::listener();
    runtime.serve_all(listener).await.unwrap();
    assert_eq!(runtime.stopped().await, Health::Stopping);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_its_leave_is_answered() {
    let runtime = builder().build().unwrap();
    let mut peer = Peer::open(&runtime).await;
    peer.link.send(Frame::close(CloseCode::GOING_AWAY, "")).await.unwrap();
    peer.link.close().await.unwrap();
    assert!(runtime.shutdown().await);
}

#[tokio::test(start_paused = true)]
async fn a_connection_can_be_dropped_at_any_time() {
    let runtime = Arc::new(builder().build().unwrap());
    let (mut link, theirs) = memory::pair(4);
    let serving = tokio::spawn(runtime.serve(Box::pin(theirs), arcp_transport::Peer::LOCAL));
    tokio::task::yield_now().await;
    serving.abort();
    assert!(link.next().await.is_none());
    assert!(runtime.shutdown().await);
}
