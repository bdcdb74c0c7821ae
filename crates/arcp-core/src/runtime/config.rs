//! What a runtime is told at start: its name, what it offers, its limits.

use std::sync::Arc;
use std::time::Duration;

use arcp_proto::session::Peer;
use arcp_proto::{Feature, Features};

use super::{Admission, Agents, Tracer};
use crate::lease::ModelPolicy;
use crate::observation::{ObservationPolicy, SamePrincipal};
use crate::quirks::QuirkPolicy;

/// The configuration of a [`Runtime`](super::Runtime).
#[derive(Clone)]
pub struct Config {
    /// What `session.welcome` calls this runtime.
    pub identity: Peer,
    /// The agents that can be submitted to.
    pub agents: Agents,
    /// What this runtime offers; a session has what its client asked for of these. With
    /// [`Feature::ProvisionedCredentials`] every job waits for what [`Event::Provision`](super::Event::Provision) asks for.
    pub features: Features,
    /// Who may see whose jobs; only their own, if nothing is said.
    pub observation: Arc<dyn ObservationPolicy>,
    /// What a lease that does not name `model.use` means.
    pub models: ModelPolicy,
    /// Whether every connection is secure, as something in front of the runtime ends TLS, whatever its driver can see.
    pub behind_tls: bool,
    /// Which sessions are served with deviations from the draft: those of known peers, if nothing is said.
    pub quirks: QuirkPolicy,
    /// Who says how often there may be another job; as often as anybody likes, if nothing is said.
    pub admission: Option<Arc<dyn Admission>>,
    /// Who makes spans of what happens; nobody, if nothing is said.
    pub tracer: Option<Arc<dyn Tracer>>,
    /// The limits.
    pub limits: Limits,
}

impl Config {
    /// A runtime with these agents, every feature that needs nothing of its driver, and the default limits.
    pub fn new(identity: Peer, agents: Agents) -> Self {
        Self {
            identity,
            agents,
            features: implemented_features(),
            observation: Arc::new(SamePrincipal),
            models: ModelPolicy::default(),
            behind_tls: false,
            quirks: QuirkPolicy::default(),
            admission: None,
            tracer: None,
            limits: Limits::default(),
        }
    }
}

/// The features that this version of the runtime machine implements by itself: all but
/// [`Feature::ProvisionedCredentials`], for which its driver must have an upstream.
pub fn implemented_features() -> Features {
    let features = [
        Feature::Heartbeat,
        Feature::Ack,
        Feature::ListJobs,
        Feature::Subscribe,
        Feature::LeaseExpiresAt,
        Feature::CostBudget,
        Feature::ModelUse,
        Feature::Progress,
        Feature::ResultChunk,
        Feature::AgentVersions,
    ];
    features.into_iter().collect()
}

/// Every limit of a runtime, with what happens at it.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A connection that has not said a good `session.hello` by then is closed with 1008. 10 s.
    pub handshake_timeout: Duration,
    /// Connections that have not said a good `session.hello` yet; one more is answered with `INTERNAL_ERROR`, which invites to
    /// try again, and closed. 4,096.
    pub handshakes: usize,
    /// How often each side shows life, where heartbeats were negotiated; a peer that is silent for two of these is
    /// disconnected with 4408. 30 s. Written in whole seconds, at least 1.
    pub heartbeat_interval: Duration,
    /// How long after its disconnect a session can be resumed; then it is forgotten. 600 s. Written in whole
    /// seconds, at least 1.
    pub resume_window: Duration,
    /// Sessions of one principal. At the limit its longest disconnected one makes room, then the one that has been idle for
    /// longest; if there is none the handshake is refused with `PERMISSION_DENIED`. 64.
    pub sessions_per_principal: usize,
    /// How long a connection may carry nothing but heartbeats before its session counts as idle. One that follows a job that runs
    /// is not idle, unless it does not take what it is sent. 15 min.
    pub idle_after: Duration,
    /// Jobs of one session that have not ended; one more is refused with `INTERNAL_ERROR`, which is retryable. 256.
    pub jobs_per_session: usize,
    /// The same for all sessions of one principal together, those that are gone included. 1,000.
    pub jobs_per_principal: usize,
    /// Events that wait to be sent to one session; beyond it the agents that its jobs run wait too. 1,024.
    pub send_window_events: usize,
    /// The same in bytes of payload. 4 MiB.
    pub send_window_bytes: usize,
    /// Events that are kept for a resume of one session, those that wait to be sent included; the oldest go first,
    /// and a resume below what is kept is refused with `RESUME_WINDOW_EXPIRED`. 65,536.
    pub buffer_events: usize,
    /// The same in bytes of payload. 16 MiB.
    pub buffer_bytes: usize,
    /// Payload that is kept for resumes of all sessions together, in bytes, each session counted by itself; beyond it those that
    /// keep most forget their oldest messages, but none that a live connection still has to carry. 512 MiB.
    pub all_buffer_bytes: usize,
    /// How many events a client may lag behind its acknowledgements before its job says so with a `status` event of phase
    /// `back_pressure`; said again whenever the lag has grown by as much. 16,384.
    pub back_pressure_lag: u64,
    /// Payload that waits for the store, in bytes; beyond it every agent that emits waits. 64 MiB.
    pub uncommitted_bytes: usize,
    /// Jobs that one session follows, submitted or subscribed to; one more subscription is refused with
    /// `INTERNAL_ERROR`. 1,024.
    pub subscriptions_per_session: usize,
    /// Messages of one job that are kept for later subscribers; the oldest go first. 65,536.
    pub history_events: usize,
    /// Payload of all jobs' logs together that is kept for later subscribers, in bytes: logs of jobs that have ended go
    /// first, the first-ended before the others. 64 MiB.
    pub history_bytes: usize,
    /// Answers that wait to be sent over one connection; at the limit nothing more is read from it. 256.
    pub answers: usize,
    /// The same in bytes; one answer may go beyond it. 1 MiB.
    pub answer_bytes: usize,
    /// Answers of one connection that wait until the store has what they speak of; at the limit nothing more is read from it until
    /// some are through, so that a commit holds at most so many requests of one client, and others do not wait for more. 32.
    pub uncommitted_requests: usize,
    /// The payload of one event or inline result, in bytes; a larger event is refused to the agent, a larger result
    /// ends its job in `INTERNAL_ERROR`. 1,000,000: a frame stays below the 1 MiB that published clients read.
    pub payload_bytes: usize,
    /// One chunk of a streamed result, decoded, in bytes. 512 KiB.
    pub chunk_bytes: usize,
    /// A whole streamed result, decoded, in bytes. A chunk or result above its cap is refused to the agent, and its job ends
    /// in `INTERNAL_ERROR`. 256 MiB.
    pub result_bytes: usize,
    /// How long a job may go on after it was cancelled or has run out of time; then its task is aborted. 30 s.
    pub cancel_grace: Duration,
    /// How long a job may go on after its lease has expired; then its task is aborted. 5 s.
    pub expiry_grace: Duration,
    /// How deep jobs may delegate: a job that a client submitted is at depth 0, and one at this depth may not delegate. 8.
    pub delegation_depth: usize,
    /// How long an `idempotency_key` is remembered. 24 h.
    pub idempotency_window: Duration,
    /// Keys that are remembered; the oldest are forgotten early. 100,000.
    pub idempotency_keys: usize,
    /// Jobs that are remembered after their end; those without a key go first-ended first. 10,000.
    pub finished_jobs: usize,
    /// How long a job is remembered after its end, with what is kept of its log; one whose key is remembered for longer is too. 7 days.
    pub job_retention: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            handshakes: 4_096,
            heartbeat_interval: Duration::from_secs(30),
            resume_window: Duration::from_secs(600),
            sessions_per_principal: 64,
            idle_after: Duration::from_secs(15 * 60),
            jobs_per_session: 256,
            jobs_per_principal: 1_000,
            send_window_events: 1_024,
            send_window_bytes: 4 << 20,
            buffer_events: 65_536,
            buffer_bytes: 16 << 20,
            all_buffer_bytes: 512 << 20,
            back_pressure_lag: 16_384,
            uncommitted_bytes: 64 << 20,
            subscriptions_per_session: 1_024,
            history_events: 65_536,
            history_bytes: 64 << 20,
            answers: 256,
            answer_bytes: 1 << 20,
            uncommitted_requests: 32,
            payload_bytes: 1_000_000,
            chunk_bytes: 512 << 10,
            result_bytes: 256 << 20,
            cancel_grace: Duration::from_secs(30),
            expiry_grace: Duration::from_secs(5),
            delegation_depth: 8,
            idempotency_window: Duration::from_secs(24 * 60 * 60),
            idempotency_keys: 100_000,
            finished_jobs: 10_000,
            job_retention: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}
