//! The runtime that the tests play cases against: all fixtures, two principals, a pretend gateway for credentials, in memory.

use std::time::Duration;

use arcp_conformance::Target;
use arcp_runtime::credentials::MemoryLedger;
use arcp_runtime::{Limits, Runtime, StaticTokens};
use arcp_testing::FixtureGateway;
use arcp_transport::memory::{MemoryConnector, listener};
use tempfile::{NamedTempFile, TempPath};

pub(crate) const TOKEN: &str = "token-of-alice";
pub(crate) const OTHER: &str = "token-of-bob";
pub(crate) const OBSERVER: &str = "token-of-carol";

/// Starts a runtime whose intervals are short, and gives the way to it, and the file in which its gateway writes down what it is asked.
pub(crate) fn start() -> (MemoryConnector, TempPath) {
    let calls = NamedTempFile::new().unwrap().into_temp_path();
    let limits = Limits {
        heartbeat_interval: Duration::from_secs(2),
        resume_window: Duration::from_secs(6),
        cancel_grace: Duration::from_secs(2),
        sessions_per_principal: 4_096,
        ..Limits::default()
    };
    let tokens = StaticTokens::new().token(TOKEN, "alice").token(OTHER, "bob").token(OBSERVER, "carol");
    let builder = Runtime::builder()
        .authenticator(tokens)
        .limits(limits)
        .observation(CarolLooks)
        .credentials(FixtureGateway::open(&calls).unwrap(), MemoryLedger::dangerous());
    let runtime = arcp_testing::with_fixtures(builder).build().unwrap();
    let (connector, listener) = listener();
    tokio::spawn(async move { runtime.serve_all(listener).await });
    (connector, calls)
}

/// What the tests test: it has two principals, and all the time that there is, since the clock of the tests jumps.
pub(crate) fn target(connector: impl arcp_transport::Connector) -> Target {
    Target::new(connector, TOKEN)
        .other_principal(OTHER)
        .observer(OBSERVER)
        .patience(Duration::from_secs(3_600))
}

/// Carol may observe everybody's jobs.
struct CarolLooks;

impl arcp_runtime::ObservationPolicy for CarolLooks {
    fn observation(
        &self,
        observer: &arcp_runtime::Principal,
        _: &arcp_runtime::Principal,
    ) -> arcp_runtime::Observation {
        if observer.as_str() == "carol" {
            arcp_runtime::Observation::Allowed
        } else {
            arcp_runtime::Observation::Hidden
        }
    }
}
