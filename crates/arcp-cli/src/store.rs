//! Where the program keeps what a runtime has told anybody.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use arcp::runtime::{Authenticated, RuntimeBuilder};
use arcp::sqlite::{Durability, SqliteStore};

use crate::exit::{self, Failure};

#[derive(clap::Args)]
pub(crate) struct StoreArguments {
    /// The file in which sessions, jobs and events are kept over restarts, or `memory` for none. By default it is arcp.db in the
    /// user's data directory.
    #[arg(long, value_name = "FILE|memory")]
    store: Option<PathBuf>,

    /// What a power cut may take. The end of the process takes nothing in either case.
    #[arg(long, value_enum, default_value = "full")]
    durability: Promise,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Promise {
    /// Nothing that a client has seen.
    Full,
    /// The last moments, of which clients may have seen something. Faster where disks are slow.
    Normal,
}

impl StoreArguments {
    /// Has the runtime keep what it must in this store; in memory, if nothing else was said and `in_memory` is set.
    pub(crate) fn add(
        &self,
        builder: RuntimeBuilder<Authenticated>,
        in_memory: bool,
    ) -> Result<RuntimeBuilder<Authenticated>, Failure> {
        let path = match &self.store {
            Some(path) if path == Path::new("memory") => return Ok(builder),
            Some(path) => path.clone(),
            None if in_memory => return Ok(builder),
            None => default_path()?,
        };
        let durability = match self.durability {
            Promise::Full => Durability::Full,
            Promise::Normal => Durability::Normal,
        };
        tracing::info!(store = %path.display(), "what is told to clients is kept");
        Ok(builder.store(SqliteStore::new(path).durability(durability)))
    }
}

/// `arcp.db` in the user's data directory, which is made.
pub(crate) fn default_path() -> Result<PathBuf, Failure> {
    let dirs = directories::ProjectDirs::from("", "", "arcp");
    let dirs = dirs.ok_or_else(|| Failure::usage("no home directory: set HOME, or give --store"))?;
    let directory = dirs.data_dir();
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}; give --store", directory.display()))
        .map_err(|error| Failure::new(exit::USAGE, error))?;
    Ok(directory.join("arcp.db"))
}
