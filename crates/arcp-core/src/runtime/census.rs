//! How much a runtime holds, for tests that look for what is never let go. No part of the public interface.

use super::Runtime;

/// The sizes of everything that grows.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Census {
    pub connections: usize,
    pub sessions: usize,
    /// Principals with a session or a running job.
    pub principals: usize,
    /// Jobs, the ended ones that are still known included.
    pub jobs: usize,
    pub finished: usize,
    pub keys: usize,
    pub timers: usize,
    /// Jobs that wait for their credentials.
    pub provisions: usize,
    /// Jobs whose credentials spend of others', until they are revoked.
    pub borrowed: usize,
    /// Sessions that jobs know of as their followers, over all jobs.
    pub followers: usize,
    /// Jobs that sessions know of as followed, over all sessions.
    pub following: usize,
    /// Jobs that wait for a session to have room, over all sessions.
    pub waiting: usize,
    /// Messages that are kept for a resume, over all sessions.
    pub kept: usize,
    /// Their payload in bytes.
    pub kept_bytes: usize,
    /// Messages that are kept for later subscribers, over all jobs.
    pub history: usize,
    /// Their payload in bytes.
    pub history_bytes: usize,
    pub events: usize,
}

impl Runtime {
    #[doc(hidden)]
    pub fn census(&self) -> Census {
        debug_assert_eq!(self.jobs.len(), self.job_ids.len());
        debug_assert_eq!(
            self.jobs.len(),
            self.jobs_of.values().map(std::collections::BTreeSet::len).sum::<usize>()
        );
        debug_assert_eq!(self.history_bytes, self.jobs.values().map(|job| job.log.bytes()).sum::<usize>());
        debug_assert_eq!(
            self.sessions.kept_bytes(),
            self.sessions.iter().map(super::session::Session::kept_bytes).sum::<usize>()
        );
        Census {
            connections: self.connections.keys().len(),
            sessions: self.sessions.len(),
            principals: self.sessions.principals(),
            jobs: self.jobs.len(),
            finished: self.finished.len(),
            keys: self.keys.len(),
            timers: self.timers.len(),
            provisions: self.provisions.len(),
            borrowed: self.borrowed.len(),
            followers: self.jobs.values().map(|job| job.followers.len()).sum(),
            following: self.sessions.iter().map(|session| session.following.len()).sum(),
            waiting: self.sessions.iter().map(|session| session.waiting.len()).sum(),
            kept: self.sessions.iter().map(super::session::Session::kept).sum(),
            kept_bytes: self.sessions.kept_bytes(),
            history: self.jobs.values().map(|job| job.log.len()).sum(),
            history_bytes: self.history_bytes,
            events: self.events.len(),
        }
    }
}
