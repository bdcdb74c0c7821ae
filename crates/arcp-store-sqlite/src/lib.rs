//! A durable store for ARCP runtimes, in one SQLite file.
//!
//! With it a runtime goes on after a restart where it was: its sessions can be resumed (§6.3), idempotency keys hold (§7.2),
//! listings and histories are as they were (§6.6, §7.6).
//!
//! ```
//! use arcp_runtime::store::{Epoch, Store};
//! use arcp_store_sqlite::{Durability, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("arcp.db");
//! let store = SqliteStore::new(&path).durability(Durability::Normal);
//! let opened = store.open().await?; // a runtime does this by itself
//! assert_eq!((opened.epoch, opened.recovered.jobs.len()), (Epoch(1), 0));
//! store.close().await;
//! # Ok(())
//! # }
//! ```

mod apply;
mod block;
mod codec;
mod error;
mod file;
mod ids;
mod reader;
mod recover;
mod retain;
mod rows;
mod runs;
mod schema;
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
    /// the database, which is done every 16 MiB and when nothing was written for a quarter of a second. Clients may then have been
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
