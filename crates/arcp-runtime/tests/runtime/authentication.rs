//! Authenticators that fail, hang and panic.

use std::sync::{Arc, Mutex};

use arcp_runtime::proto::BearerToken;
use arcp_runtime::{AuthenticationError, Authenticator, Caller, Principal, Runtime, StaticTokens, Visitor};

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

/// What a server knows of who connects: it is held until the session is open.
struct Badge(&'static str, #[allow(dead_code, reason = "it is there to be dropped")] Dropped);

/// Lets in whoever has a badge and the token, as the badge says.
struct ByBadge;

impl Authenticator for ByBadge {
    async fn authenticate(&self, _: &BearerToken) -> Result<Caller, AuthenticationError> {
        Err(AuthenticationError::Invalid)
    }

    async fn authenticate_visitor(
        &self,
        token: &BearerToken,
        visitor: &Visitor,
    ) -> Result<Caller, AuthenticationError> {
        assert!(visitor.peer().secure && visitor.request::<String>().is_none());
        match visitor.request::<Badge>() {
            Some(Badge(name, _)) if token.expose() == "t" => Ok(Principal::new(*name).into()),
            _ => Err(AuthenticationError::Invalid),
        }
    }
}

fn visitor(name: &'static str) -> (Visitor, tokio::sync::oneshot::Receiver<()>) {
    let (dropped, gone) = Dropped::new();
    (Visitor::new(arcp_transport::Peer::LOCAL).with_request(Badge(name, dropped)), gone)
}

#[tokio::test(start_paused = true)]
async fn an_authenticator_sees_who_comes_and_with_what() {
    let runtime = Runtime::builder().authenticator(ByBadge).build().unwrap();
    let (visitor, mut gone) = visitor("alice");
    assert!(!format!("{visitor:?}").contains("alice"));
    let mut peer = Peer::visit(&runtime, 64, visitor);
    tokio::task::yield_now().await;
    assert!(gone.try_recv().is_err(), "nobody knows yet who it is");
    peer.hello().await;
    peer.receive_type("session.welcome").await;
    gone.await.expect("once it is known, nobody needs the badge any more");
    assert_eq!(refusal(&runtime).await, "UNAUTHENTICATED"); // somebody without
}

#[tokio::test(start_paused = true)]
async fn what_a_visitor_holds_is_held_until_it_is_shown_the_door() {
    let runtime =
        Runtime::builder().authenticator(StaticTokens::new().token("other", "bob")).build().unwrap();
    let (visitor, mut gone) = visitor("alice");
    let mut peer = Peer::visit(&runtime, 64, visitor);
    peer.hello().await;
    peer.receive_type("session.error").await;
    assert!(gone.try_recv().is_err(), "its connection is still there");
    assert_eq!(peer.receive_close().await.0, 1008);
    drop(peer);
    gone.await.unwrap();
}
