//! What a runtime does without a socket: agents that misbehave, stores and authenticators that take their time or fail,
//! peers that read nothing. On a clock that the tests move.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but not in what they share")]

mod agents;
mod authentication;
mod credentials;
mod ends;
mod family;
mod flow;
mod peer;
mod rates;
mod restart;
mod store;
#[cfg(feature = "schema")]
mod typed;

use arcp_runtime::{Authenticated, Runtime, RuntimeBuilder, StaticTokens};
use tokio::sync::oneshot;

/// A builder that knows one principal.
fn builder() -> RuntimeBuilder<Authenticated> {
    Runtime::builder().authenticator(StaticTokens::new().token("t", "alice"))
}

/// Says when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Dropped {
    fn new() -> (Self, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Some(sender)), receiver)
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}
