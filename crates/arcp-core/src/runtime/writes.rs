//! Writes that wait for the store, and how far it has come.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::log::Entry;
use super::{Batch, JobKey, Logged, SessionKey, Write};

pub(super) struct Writes {
    pending: Vec<Write>,
    /// Bytes of payload in what is pending.
    pending_bytes: usize,
    /// The same for each batch that the store has and has not committed, by position.
    handed_out: VecDeque<(u64, usize)>,
    /// Jobs whose agents wait until the store has caught up.
    waiting: Vec<JobKey>,
    /// What has changed since the last batch and is told as it stands when the next one is taken.
    changed: Changed,
    /// Whether a batch is to be written although nothing is pending: somebody waits for it.
    due: bool,
    /// The batch that is being filled.
    position: u64,
    committed: u64,
}

/// What is written as it stands when a batch is taken, however often it has changed since the last one.
#[derive(Default)]
pub(super) struct Changed {
    /// Sessions whose views have changed.
    pub(super) views: Vec<SessionKey>,
    /// Jobs whose logs have lost their beginnings.
    pub(super) trimmed: BTreeSet<JobKey>,
    /// Jobs whose counters have changed.
    pub(super) spent: BTreeSet<JobKey>,
}

impl Writes {
    pub(super) fn new() -> Self {
        Self {
            pending: Vec::new(),
            pending_bytes: 0,
            handed_out: VecDeque::new(),
            waiting: Vec::new(),
            changed: Changed::default(),
            due: false,
            position: 1,
            committed: 0,
        }
    }

    /// The batch that the next write will be in.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The position that all that has been written so far must reach before it may be spoken of.
    pub(super) fn settled_at(&self) -> u64 {
        if self.is_idle() { self.position - 1 } else { self.position }
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    pub(super) fn push(&mut self, write: Write) {
        self.pending.push(write);
    }

    /// Entries of one job that follow each other become one write.
    pub(super) fn append(&mut self, entry: Arc<Entry>, owner_seq: u64) {
        self.pending_bytes += entry.payload.len();
        if let Some(Write::Appended(entries)) = self.pending.last_mut()
            && entries.last().is_some_and(|last| Arc::ptr_eq(&last.entry.job, &entry.job))
        {
            entries.push(Logged { entry, owner_seq });
            return;
        }
        self.pending.push(Write::Appended(vec![Logged { entry, owner_seq }]));
    }

    /// There is a batch to be, whatever will be in it. What has changed otherwise is written when there is one.
    pub(super) fn make_due(&mut self) {
        self.due = true;
    }

    pub(super) fn changed(&mut self) -> &mut Changed {
        &mut self.changed
    }

    /// What the next batch has still to tell of, if there is to be one.
    pub(super) fn take_changed(&mut self) -> Option<Changed> {
        (!self.is_idle()).then(|| std::mem::take(&mut self.changed))
    }

    fn is_idle(&self) -> bool {
        self.pending.is_empty() && !self.due
    }

    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.is_idle() {
            return None;
        }
        self.due = false;
        let batch = Batch { position: self.position, writes: std::mem::take(&mut self.pending) };
        self.handed_out.push_back((self.position, std::mem::take(&mut self.pending_bytes)));
        self.position += 1;
        Some(batch)
    }

    /// Whether the store is so far behind that agents have to wait; then `job` is among them.
    pub(super) fn is_behind(&mut self, job: JobKey, max_bytes: usize) -> bool {
        let behind = self.uncommitted_bytes() >= max_bytes;
        if behind && !self.waiting.contains(&job) {
            self.waiting.push(job);
        }
        behind
    }

    fn uncommitted_bytes(&self) -> usize {
        self.pending_bytes + self.handed_out.iter().map(|(_, bytes)| bytes).sum::<usize>()
    }

    /// Notes how far the store has come. Returns the jobs whose agents need wait no longer: once it has caught up by half.
    pub(super) fn commit(&mut self, position: u64, max_bytes: usize) -> Vec<JobKey> {
        debug_assert!(position < self.position, "a batch that was never handed out cannot be committed");
        self.committed = self.committed.max(position);
        while self.handed_out.front().is_some_and(|(at, _)| *at <= position) {
            self.handed_out.pop_front();
        }
        if self.uncommitted_bytes() * 2 <= max_bytes { std::mem::take(&mut self.waiting) } else { Vec::new() }
    }
}
