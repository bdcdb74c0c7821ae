//! What a client session is told at start.

use std::time::Duration;

use arcp_proto::session::Peer;
use arcp_proto::{BearerToken, Feature, Features};

use super::{Backoff, ResumeState};

/// The configuration of a [`Session`](super::Session).
#[derive(Clone, Debug)]
pub struct Config {
    /// What `session.hello` calls this client.
    pub identity: Peer,
    /// The bearer token (§6.1).
    pub token: BearerToken,
    /// What this client can do; the session has what the runtime offers of these.
    pub features: Features,
    /// How long to wait for `session.welcome`. 10 s.
    pub handshake_timeout: Duration,
    /// How long to wait for the answer to a request. 30 s.
    pub request_timeout: Duration,
    /// How to come back after the connection was lost; `None` ends the session then.
    pub reconnect: Option<Backoff>,
    /// A session to begin with, left by another process.
    pub resume: Option<ResumeState>,
    /// How long to wait for `session.closed` before closing without it. 250 ms.
    pub close_timeout: Duration,
}

impl Config {
    /// A client that can do what this version implements, with the default time limits.
    pub fn new(identity: Peer, token: BearerToken) -> Self {
        Self {
            identity,
            token,
            features: implemented_features(),
            handshake_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            reconnect: None,
            resume: None,
            close_timeout: Duration::from_millis(250),
        }
    }
}

/// The features that this version of the client machine implements.
pub fn implemented_features() -> Features {
    let features = [
        Feature::Heartbeat,
        Feature::Ack,
        Feature::ListJobs,
        Feature::Subscribe,
        Feature::LeaseExpiresAt,
        Feature::CostBudget,
        Feature::ModelUse,
        Feature::ProvisionedCredentials,
        Feature::Progress,
        Feature::ResultChunk,
        Feature::AgentVersions,
    ];
    features.into_iter().collect()
}
