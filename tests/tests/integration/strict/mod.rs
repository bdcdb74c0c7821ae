//! A strict client by hand against the runtime: every word of both is held to the schema and to the order of things, over
//! a link in memory and over a socket.

mod agents;
mod chaos;
mod credentials;
mod peer;
mod refusals;
mod sessions;
mod time;
mod watched;

use arcp_runtime::{
    Authenticated, Limits, Observation, ObservationPolicy, Principal, Runtime, RuntimeBuilder, StaticTokens,
};
use arcp_testing::with_fixtures;

use self::peer::{FEATURES, Ground, Peer, Ran, Wire};
use crate::support::token;

/// Bob may observe what alice does, and carol may know of it.
struct Friends;

impl ObservationPolicy for Friends {
    fn observation(&self, observer: &Principal, _: &Principal) -> Observation {
        match observer.as_str() {
            "bob" => Observation::Allowed,
            "carol" => Observation::Listed,
            _ => Observation::Hidden,
        }
    }
}

fn builder(limits: Limits) -> RuntimeBuilder<Authenticated> {
    let tokens = ["alice", "bob", "carol", "dave"]
        .into_iter()
        .fold(StaticTokens::new(), |tokens, principal| tokens.token(token(principal), principal));
    with_fixtures(Runtime::builder().authenticator(tokens).limits(limits).observation(Friends))
}

/// A runtime with the fixture agents.
async fn ground(limits: Limits) -> Ground {
    Ground::of(builder(limits).build().unwrap()).await
}
