//! A durable store for ARCP runtimes, in one SQLite file.
//!
//! With it a runtime goes on after a restart where it was: its sessions can be resumed (§6.3), idempotency keys hold (§7.2),
//! listings and histories are as they were (§6.6, §7.6). Give a [`SqliteStore`] to the builder of the runtime:
//!
//! ```
//! use arcp_runtime::{Runtime, StaticTokens};
//! use arcp_store_sqlite::{Durability, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("arcp.db");
//! let runtime = Runtime::builder()
//!     .authenticator(StaticTokens::new().token("s3cret", "alice"))
//!     .store(SqliteStore::new(&path).durability(Durability::Full))
//!     .build()?;
//! # drop(runtime);
//! # Ok(())
//! # }
//! ```
//!
//! A [`SqliteReader`] shows what is in the file, beside the runtime or after it:
//!
//! ```
//! use std::ops::ControlFlow;
//!
//! use arcp_runtime::Store;
//! use arcp_store_sqlite::{SqliteReader, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("arcp.db");
//! let store = SqliteStore::new(&path);
//! let opened = store.open().await?; // a runtime does this by itself
//! assert!(opened.recovered.jobs.is_empty());
//!
//! let reader = SqliteReader::open(&path)?;
//! reader.jobs(|job| {
//!     eprintln!("{} of {}", job.head.job_id, job.record.principal);
//!     ControlFlow::Continue(())
//! })?;
//! # drop(reader);
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What a commit promises
//!
//! A batch is there whole or not at all, and never without those before it. [`Durability`] says what a power cut may take. A disk
//! that is full, a quota that is spent and a limit on the size of files are [`StoreError::Full`](arcp_runtime::StoreError::Full):
//! the batch was not taken, and may be later. After any other failure the store takes nothing more and does not touch the file
//! again: what a failed `fsync` has left on the disk nobody knows, and another one that succeeds does not tell.
//!
//! # The file
//!
//! It holds what a runtime needs to go on, payloads included, as plain text, and is as secret as they are. Of tokens it holds digests
//! only, of credentials nothing. What is no longer kept is removed in the background and its room used again; when more than 8 MiB
//! and a quarter of the file are free, the file shrinks. The log beside it (`-wal`) is copied into it after every 4 MiB, beside
//! what is written meanwhile. It begins anew at 64 MiB, and is emptied when nothing was written for a quarter of a second. Opening looks through the whole file for damage, and takes longer the larger it is.
//!
//! The tables can be looked at with `sqlite3 -readonly`. Do not write to them: a lock that another program holds for more than five
//! seconds is a failure of the store. Version numbers of the schema only go up, and a file is brought up to date as it is opened; a newer one is refused.

mod apply;
mod block;
mod changes;
mod checkpoint;
mod codec;
mod error;
mod file;
mod follows;
mod ids;
mod names;
mod reader;
mod recover;
mod retain;
mod rows;
mod runs;
mod schema;
mod shown;
mod store;
mod writer;

use std::path::PathBuf;

pub use error::SqliteError;
pub use reader::{SqliteReader, Viewed, ViewedMessage};
pub use store::SqliteStore;

/// What is on the disk when a commit is said to be done.
///
/// Whichever it is, the end of the process, by `kill -9` too, takes nothing that was committed; only a power cut, or the end of the
/// operating system, may. What is left then is the state after some batch: a later one is never there without all before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// The batch itself. A power cut takes nothing, if the disk keeps its word. Each commit waits for the disk once.
    #[default]
    Full,
    /// Everything up to some earlier batch: a power cut may take the last ones, at most those since the log was last copied into
    /// the database, which is done every 4 MiB and when nothing was written for a quarter of a second. Clients may then have been
    /// told of messages that no longer exist, and their numbers are given again (§8.3).
    Normal,
}

/// How a store is to be opened.
#[derive(Clone, Debug)]
struct Options {
    path: PathBuf,
    durability: Durability,
    max_pages: Option<u32>,
}
