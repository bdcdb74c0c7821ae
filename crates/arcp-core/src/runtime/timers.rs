//! Every timer of a runtime, in one queue.

use std::collections::BTreeSet;

use super::{ConnectionKey, JobKey, SessionKey};
use crate::time::Instant;

/// What is due. A timer that is no longer wanted when it fires does nothing: who sets one need not cancel it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A connection has had its time to say hello (§6.2).
    Handshake(ConnectionKey),
    /// The token of a connection is no longer good (§6.1).
    Token(ConnectionKey),
    /// A connection has to show life, or its peer has not (§6.4).
    Heartbeat(ConnectionKey),
    /// A moment has passed since an answer after which logs were not to be read at once (§7.6).
    Pause(ConnectionKey),
    /// A disconnected session can no longer be resumed (§6.3).
    ResumeWindow(SessionKey),
    /// A session was resumed some time ago: the token before the last one is dead even if nothing has arrived.
    OldToken(SessionKey),
    /// A job has run for `max_runtime_sec` (§7.3).
    MaxRuntime(JobKey),
    /// A job's lease has expired (§9.5).
    LeaseExpiry(JobKey),
    /// A job that was to stop has not (§7.4).
    Grace(JobKey),
    /// A job that is to be has waited for what its credentials are to spend (§9.8.3).
    Loan(JobKey),
    /// The oldest idempotency key may be forgotten (§7.2).
    OldestKey,
    /// The job that ended first may be forgotten.
    OldestJob,
}

#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeSet<(Instant, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at: Instant, timer: Timer) {
        self.0.insert((at, timer));
    }

    /// Takes a timer back. Only for those that would pile up otherwise.
    pub(crate) fn clear(&mut self, at: Instant, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The next timer that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Timer> {
        let (at, timer) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(timer)
    }
}
