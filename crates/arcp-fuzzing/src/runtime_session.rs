//! A runtime among clients that say anything, agents that do anything, links that break, a store that is slow, full, or all
//! that is left after a crash.
//!
//! After every step: each client can read what it is sent; before its welcome it is sent errors and nothing else; what is
//! numbered is contiguous, and the same whenever it is sent; a job ends once; nobody is told of another principal's job, nor of
//! a credential over a link that others can read; requests have one answer at most. In the end nothing is left of anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::Unstructured;
use arcp_core::Incoming;
use arcp_core::runtime::{BrokenFrame, Delegation, Flow, JobKey, NotConstrained, Outcome};
use arcp_proto::event::ChunkEncoding;
use arcp_proto::{Budget, Credential, Envelope, ErrorCode, ErrorPayload, Feature, Json, Lease, Message};
use serde_json::{Value, json};

use crate::grammar::{self, Pool, below, flag, known, one};
use crate::host::{Authenticator, Host, seconds};
use crate::peer::{Peer, hello, message};

mod checks;
mod steps;

/// More steps than this are not taken, and more links not held.
const STEPS: usize = 400;
const LINES: usize = 6;

/// What is in every value of a credential, and must be found nowhere else.
const CANARY: &str = "sk-canary";

/// Steps, one after the other.
pub fn runtime_session(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let mut life = Life::new(&mut bytes);
    for _ in 0..STEPS {
        if bytes.is_empty() {
            break;
        }
        life.step(&mut bytes);
        life.hear();
    }
    life.end();
}

/// One link and who is at its end.
struct Line {
    peer: Peer,
    /// Whether nobody else can read it.
    secure: bool,
    /// Whose token was shown, unless that cannot be told.
    who: Option<String>,
    /// Whether anything was said that has a token in it.
    has_token: bool,
    said: usize,
    heard: usize,
    /// Once it is welcome.
    session: Option<String>,
    /// The number that comes next, where that is known.
    next: Option<u64>,
}

/// A session, as far as its client has heard.
#[derive(Default)]
struct Heard {
    who: Option<String>,
    token: String,
    messages: BTreeMap<u64, String>,
}

struct Life {
    host: Host,
    lines: Vec<Line>,
    sessions: BTreeMap<String, Heard>,
    /// How jobs have ended, as far as anybody was told.
    ends: BTreeMap<String, Value>,
    /// Jobs whose agents have been told to wait.
    waiting: BTreeSet<JobKey>,
    pool: Pool,
    asked: usize,
    delegated: usize,
    issued: usize,
    has_crashed: bool,
}

impl Life {
    fn new(bytes: &mut Unstructured<'_>) -> Self {
        let sizes: Vec<_> = (0..8).map(|_| 1 + below(bytes, 24)).collect();
        let (issues, small) = (flag(bytes), flag(bytes));
        let host = Host::seeded(7, |config| {
            let limits = &mut config.limits;
            limits.resume_window = seconds(60);
            limits.idempotency_window = seconds(200);
            limits.job_retention = seconds(300);
            limits.cancel_grace = seconds(5);
            limits.handshakes = 4;
            if small {
                limits.send_window_events = sizes[0];
                limits.buffer_events = sizes[1];
                limits.history_events = sizes[2];
                limits.back_pressure_lag = sizes[3] as u64;
                limits.answers = sizes[4];
                limits.jobs_per_session = sizes[5];
                limits.subscriptions_per_session = sizes[6];
                limits.sessions_per_principal = 1 + sizes[7] / 6;
                limits.finished_jobs = sizes[7];
                limits.idempotency_keys = 3;
                limits.payload_bytes = 200;
                limits.answer_bytes = 2_000;
                limits.uncommitted_bytes = 3_000;
                limits.send_window_bytes = 2_000;
                limits.buffer_bytes = 4_000;
                limits.history_bytes = 6_000;
                limits.chunk_bytes = 30;
                limits.result_bytes = 100;
                limits.delegation_depth = 2;
            }
            if issues {
                let features = config.features.iter().cloned();
                config.features = features.chain([Feature::ProvisionedCredentials]).collect();
            }
        });
        Self {
            host,
            lines: Vec::new(),
            sessions: BTreeMap::new(),
            ends: BTreeMap::new(),
            waiting: BTreeSet::new(),
            pool: Pool::default(),
            asked: 0,
            delegated: 0,
            issued: 0,
            has_crashed: false,
        }
    }
}
