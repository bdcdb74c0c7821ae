//! Writes that wait for the store, and how far it has come.

use std::sync::Arc;

use super::log::Entry;
use super::{Batch, Write};

pub(super) struct Writes {
    pending: Vec<Write>,
    /// The batch that is being filled.
    position: u64,
    committed: u64,
}

impl Writes {
    pub(super) fn new() -> Self {
        Self { pending: Vec::new(), position: 1, committed: 0 }
    }

    /// The batch that the next write will be in.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The position that all that has been written so far must reach before it may be spoken of.
    pub(super) fn settled_at(&self) -> u64 {
        if self.pending.is_empty() { self.position - 1 } else { self.position }
    }

    pub(super) fn committed(&self) -> u64 {
        self.committed
    }

    pub(super) fn push(&mut self, write: Write) {
        self.pending.push(write);
    }

    /// Entries of one job that follow each other become one write.
    pub(super) fn append(&mut self, entry: Arc<Entry>) {
        if let Some(Write::Appended(entries)) = self.pending.last_mut()
            && entries.last().is_some_and(|last| Arc::ptr_eq(&last.job, &entry.job))
        {
            entries.push(entry);
            return;
        }
        self.pending.push(Write::Appended(vec![entry]));
    }

    pub(super) fn take(&mut self) -> Option<Batch> {
        if self.pending.is_empty() {
            return None;
        }
        let batch = Batch { position: self.position, writes: std::mem::take(&mut self.pending) };
        self.position += 1;
        Some(batch)
    }

    pub(super) fn commit(&mut self, position: u64) {
        debug_assert!(position < self.position, "a batch that was never handed out cannot be committed");
        self.committed = self.committed.max(position);
    }
}
