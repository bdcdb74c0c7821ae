//! What the agent of a job has said while somebody is about to come for it: it waits here, outside of the driver's lock, and whoever
//! takes that next hands it to the machine before anything else happens. So nobody can tell the difference, and a lock is taken
//! for many events instead of for each.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arcp_core::runtime::{Draft, Limits};

/// Events that wait at most, unless half a window is less; who has more to say takes the lock.
const MOST_EVENTS: usize = 64;

/// Payload that waits at most, in bytes.
const MOST_BYTES: usize = 64 << 10;

/// Events of one job that the machine is yet to be told of.
pub(crate) struct Said {
    /// The longest payload that the machine takes.
    payload_bytes: usize,
    most_events: usize,
    most_bytes: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Whether somebody is about to come.
    open: bool,
    drafts: Vec<Draft>,
    bytes: usize,
}

impl Said {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            payload_bytes: limits.payload_bytes,
            most_events: MOST_EVENTS.min(limits.send_window_events / 2),
            most_bytes: MOST_BYTES.min(limits.send_window_bytes / 2),
            waiting: Mutex::default(),
        }
    }

    /// Keeps an event. Gives it back if nobody is about to come, if there is no room, or if what the machine says to it matters.
    pub(crate) fn push(&self, draft: Draft) -> Result<(), Draft> {
        let bytes = draft.bytes();
        if draft.is_charged() || bytes > self.payload_bytes {
            return Err(draft);
        }
        let mut waiting = self.lock();
        if !waiting.open
            || waiting.drafts.len() >= self.most_events
            || waiting.bytes + bytes > self.most_bytes
        {
            return Err(draft);
        }
        waiting.bytes += bytes;
        waiting.drafts.push(draft);
        Ok(())
    }

    /// Somebody is about to come, and takes what is there then. To be called under the lock of the driver.
    pub(crate) fn open(&self) {
        self.lock().open = true;
    }

    /// Takes what is there in place of what `drafts` has, which is nothing. What is said from now on is not kept.
    pub(crate) fn take(&self, drafts: &mut Vec<Draft>) {
        let mut waiting = self.lock();
        waiting.open = false;
        waiting.bytes = 0;
        std::mem::swap(&mut waiting.drafts, drafts);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use arcp_proto::Timestamp;
    use arcp_proto::event::{EventKind, Log, LogLevel, Metric};

    use super::*;

    fn log(length: usize) -> Draft {
        let log = Log { level: LogLevel::Info, message: ".".repeat(length) };
        Draft::new(EventKind::Log, Timestamp::from_millis(0), &log).unwrap()
    }

    #[test]
    fn nothing_is_kept_unless_somebody_comes_for_it() {
        let (said, mut drafts) =
            (Said::new(&Limits { payload_bytes: 1_000, ..Limits::default() }), Vec::new());
        said.push(log(1)).unwrap_err();
        said.open();
        said.push(log(1)).unwrap();
        said.take(&mut drafts);
        assert_eq!(drafts.len(), 1);
        said.push(log(1)).unwrap_err();
    }

    #[test]
    fn little_is_kept_and_nothing_that_the_machine_might_refuse() {
        let (said, mut drafts) =
            (Said::new(&Limits { payload_bytes: 10_000, ..Limits::default() }), Vec::new());
        said.open();
        for _ in 0..MOST_EVENTS {
            said.push(log(1)).unwrap();
        }
        said.push(log(1)).unwrap_err();
        said.take(&mut drafts);
        assert_eq!(drafts.len(), MOST_EVENTS);
        said.open();
        drafts.clear();
        said.push(log(10_000)).unwrap_err();
        let cost = Metric {
            name: "cost.inference".to_owned(),
            value: "0.5".parse().unwrap(),
            unit: Some("USD".to_owned()),
            dimensions: None,
        };
        said.push(Draft::new(EventKind::Metric, Timestamp::from_millis(0), &cost).unwrap()).unwrap_err();
        while said.push(log(9_000)).is_ok() {}
        said.take(&mut drafts);
        assert!(drafts.iter().map(Draft::bytes).sum::<usize>() <= MOST_BYTES && drafts.len() > 5);
    }
}
