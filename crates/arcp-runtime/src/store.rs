//! What a runtime keeps so that it is there after a restart.

mod memory;

use futures_util::future::BoxFuture;

pub use arcp_core::runtime::{Batch, Write};
pub use memory::MemoryStore;

/// Names the time for which one runtime owns a store: a later opener has a later epoch and fences the earlier one off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Where a runtime keeps sessions, jobs, their event logs and idempotency keys.
///
/// The runtime commits one [`Batch`] at a time and sends nothing that a batch speaks of before it is committed; what
/// happens meanwhile goes into the next batch, so that a slow store makes for larger batches, not more of them.
///
/// A future that is returned here is polled where it must not block: an implementation that needs a thread has one of
/// its own.
pub trait Store: Send + Sync + 'static {
    /// Takes the store over. From then on commits under an earlier epoch are refused.
    ///
    /// # Errors
    /// When the store cannot be opened; the runtime does not start then.
    fn open(&self) -> BoxFuture<'static, Result<Epoch, StoreError>>;

    /// Writes a batch, whole or not at all.
    ///
    /// Entries of a log name their place in it: a log that does not end just before the first of them is not the log
    /// that the runtime knows, and the batch is refused.
    ///
    /// # Errors
    /// Any error stops the runtime: it ends its connections and takes no new ones, since it can no longer keep its word.
    fn commit(&self, epoch: Epoch, batch: Batch) -> BoxFuture<'static, Result<(), StoreError>>;
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
    /// The store itself has failed.
    #[error("store failed")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}
