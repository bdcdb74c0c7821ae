//! What everybody shares: where the runtime is, what is going on, what was counted, and what is wrong.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arcp::proto::JobId;
use tokio::sync::watch;

use crate::options::Options;

/// Problems that are told one by one.
const TOLD: usize = 20;
/// Jobs of a principal that others may watch.
const RECENT: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Sessions are being opened.
    Opening,
    /// The honest are alone.
    Quiet,
    /// They are not.
    Hostile,
    /// Every honest connection is cut.
    Storm,
    /// Nothing new is begun.
    Closing,
}

pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) address: SocketAddr,
    pub(crate) phase: watch::Sender<Phase>,
    counts: Mutex<BTreeMap<&'static str, u64>>,
    /// What others did to it.
    pub(crate) hostility: watch::Sender<BTreeMap<&'static str, u64>>,
    latencies: Mutex<BTreeMap<Phase, Vec<Duration>>>,
    problems: Mutex<(u64, Vec<String>)>,
    recent: Mutex<HashMap<String, VecDeque<JobId>>>,
}

/// Locks what no panic has left half done: who panics has failed the test.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    pub(crate) fn new(options: Options, address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            options,
            address,
            phase: watch::Sender::new(Phase::Opening),
            counts: Mutex::default(),
            hostility: watch::Sender::default(),
            latencies: Mutex::default(),
            problems: Mutex::default(),
            recent: Mutex::default(),
        })
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/arcp", self.address)
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.send_replace(phase);
    }

    pub(crate) fn now(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until a phase has begun.
    pub(crate) async fn reached(&self, phase: Phase) {
        drop(self.phase.subscribe().wait_for(|now| *now >= phase).await);
    }

    /// Something came to pass for the honest.
    pub(crate) fn note(&self, what: &'static str, count: u64) {
        *lock(&self.counts).entry(what).or_default() += count;
    }

    /// A piece of hostility was really met, and answered as it should be.
    pub(crate) fn met(&self, what: &'static str, count: u64) {
        self.hostility.send_modify(|met| *met.entry(what).or_default() += count);
    }

    /// How long a job took, from its submit to its result; counted for the phase in which it was begun, if it has ended in it.
    pub(crate) fn took(&self, begun_in: Phase, time: Duration) {
        if self.now() == begun_in {
            lock(&self.latencies).entry(begun_in).or_default().push(time);
        }
    }

    pub(crate) fn problem(&self, what: impl Into<String>) {
        let mut problems = lock(&self.problems);
        problems.0 += 1;
        if problems.1.len() < TOLD {
            problems.1.push(what.into());
        }
    }

    /// A job that others of its principal may watch.
    pub(crate) fn announce(&self, principal: &str, job: &JobId) {
        let mut recent = lock(&self.recent);
        let jobs = recent.entry(principal.to_owned()).or_default();
        jobs.push_back(job.clone());
        if jobs.len() > RECENT {
            jobs.pop_front();
        }
    }

    pub(crate) fn recent(&self, principal: &str) -> Option<JobId> {
        lock(&self.recent).get(principal)?.back().cloned()
    }

    pub(crate) fn counts(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.counts).clone()
    }

    pub(crate) fn latencies(&self, phase: Phase) -> Vec<Duration> {
        let mut latencies = lock(&self.latencies).get(&phase).cloned().unwrap_or_default();
        latencies.sort_unstable();
        latencies
    }

    /// How many problems there are, and the first of them.
    pub(crate) fn problems(&self) -> (u64, Vec<String>) {
        lock(&self.problems).clone()
    }
}
