//! Authenticators that fail, hang and panic.

use std::sync::{Arc, Mutex};

use arcp_runtime::proto::BearerToken;
use arcp_runtime::{AuthenticationError, Authenticator, Caller, Runtime};

use crate::Dropped;
use crate::peer::Peer;

enum Bad {
    Unavailable,
    Panics,
    Hangs(Mutex<Option<Dropped>>),
}

impl Authenticator for Bad {
    async fn authenticate(&self, _: &BearerToken) -> Result<Caller, AuthenticationError> {
        match self {
            Self::Unavailable => Err(AuthenticationError::Unavailable),
            Self::Panics => panic!("the database is on fire"),
            Self::Hangs(dropped) => {
                let _held = dropped.lock().unwrap().take();
                std::future::pending().await
            }
        }
    }
}

/// The code with which a good hello is refused.
async fn refusal(runtime: &Runtime) -> String {
    let mut peer = Peer::connect(runtime, 64);
    peer.hello().await;
    let error = peer.receive_type("session.error").await;
    assert_eq!(peer.receive_close().await.0, 1008);
    error["payload"]["code"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_or_panics_is_not_available() {
    for bad in [Bad::Unavailable, Bad::Panics] {
        let runtime = Runtime::builder().authenticator(bad).build().unwrap();
        for _ in 0..2 {
            assert_eq!(refusal(&runtime).await, "INTERNAL_ERROR");
        }
        assert!(runtime.shutdown().await);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_is_dropped_with_its_connection() {
    let (dropped, gone) = Dropped::new();
    let bad = Bad::Hangs(Mutex::new(Some(dropped)));
    let runtime = Runtime::builder().authenticator(bad).build().unwrap();
    assert_eq!(refusal(&runtime).await, "INTERNAL_ERROR"); // it is not the client's fault
    gone.await.unwrap();
    assert!(runtime.shutdown().await, "nothing is left that would hold it up");
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_does_not_hold_up_a_shutdown() {
    let (dropped, gone) = Dropped::new();
    let bad = Bad::Hangs(Mutex::new(Some(dropped)));
    let runtime = Arc::new(Runtime::builder().authenticator(bad).build().unwrap());
    let mut peer = Peer::connect(&runtime, 64);
    peer.hello().await;
    tokio::task::yield_now().await;
    let closed = async { assert_eq!(peer.receive_close().await.0, 1001) };
    assert!(tokio::join!(runtime.shutdown(), closed).0);
    gone.await.unwrap();
}
