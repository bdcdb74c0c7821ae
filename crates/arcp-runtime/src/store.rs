//! What a runtime keeps so that it is there after a restart.

mod file;
mod memory;

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

pub use arcp_core::Fingerprint;
pub use arcp_core::runtime::{
    Batch, Entry, FollowRecord, ForgottenRecord, Image, JobHead, JobRecord, Logged, NumberedEntry, Recovered,
    RecoveredJob, RecoveredSession, Rerun, RestoreError, SessionRecord, Shown, ViewRecord, Write,
};
pub use file::{FileLock, owner_only};
pub use memory::MemoryStore;

/// Names the time for which one runtime owns a store: a later opener has a later epoch and fences the earlier one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// A store that has been taken over.
#[derive(Debug)]
pub struct Opened {
    /// What the new owner commits under.
    pub epoch: Epoch,
    /// What earlier owners have written.
    pub recovered: Recovered,
}

/// Where a runtime keeps sessions, jobs, their event logs and idempotency keys.
///
/// The runtime commits one [`Batch`] at a time and sends nothing that a batch speaks of before it is committed; what
/// happens meanwhile goes into the next batch, so that a slow store makes for larger batches, not more of them.
///
/// A future that is returned here is polled where it must not block: an implementation that needs a thread has one of
/// its own.
pub trait Store: Send + Sync + 'static {
    /// Takes the store over, and reads back what is in it. From then on commits under an earlier epoch are refused.
    ///
    /// # Errors
    /// When the store cannot be opened; the runtime does not start then.
    fn open(&self) -> BoxFuture<'static, Result<Opened, StoreError>>;

    /// Writes a batch, whole or not at all.
    ///
    /// Entries of a log name their place in it: a log that does not end just before the first of them is not the log
    /// that the runtime knows, and the batch is refused.
    ///
    /// # Errors
    /// [`StoreError::Full`] says that the batch was not taken, and may be later: the runtime ends the jobs that have said
    /// something in it, refuses what would need the store, and commits the same batch again until there is room. Any other
    /// error stops the runtime: it ends its connections and takes no new ones, since it can no longer keep its word.
    fn commit(&self, epoch: Epoch, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), StoreError>>;

    /// The owner is through with the store: nothing is committed any more. What is still to be done is done now.
    fn close(&self) -> BoxFuture<'static, ()> {
        future::ready(()).boxed()
    }
}

/// Why a store has refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another runtime has taken the store over.
    #[error("store was taken over by another runtime (epoch {current}, this one has {held})")]
    Fenced {
        /// The epoch of the caller.
        held: u64,
        /// The epoch of the store.
        current: u64,
    },
    /// A log does not end where the runtime believes it does.
    #[error("log of job {job_id} ends at {actual}, expected {expected}")]
    Head {
        /// The job.
        job_id: String,
        /// Where the runtime wanted to append.
        expected: u64,
        /// Where the log ends.
        actual: u64,
    },
    /// There is no room for the batch, which was not taken.
    #[error("store has no room")]
    Full(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What the store gave back cannot have been written by a runtime.
    #[error("store is damaged")]
    Damaged(#[from] RestoreError),
    /// The store itself has failed.
    #[error("store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
