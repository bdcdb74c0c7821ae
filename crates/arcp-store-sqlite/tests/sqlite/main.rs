//! The store against its model, against damaged, full and foreign files, against processes that are killed, and beside readers.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but not in what they share")]

mod child;
mod commits;
#[cfg(target_os = "linux")]
mod faults;
mod killed;
mod model;
mod normal;
mod opening;
mod reading;
mod retention;
mod versions;
mod world;

use std::path::PathBuf;

use arcp_runtime::StoreError;
use arcp_store_sqlite::SqliteError;
use tempfile::TempDir;

/// A directory of its own, and a path in it.
fn temporary() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("arcp.db");
    (directory, path)
}

/// What the store says of its file.
fn problem(error: &StoreError) -> &SqliteError {
    match error {
        StoreError::Full(source) | StoreError::Failed(source) => source.downcast_ref().unwrap(),
        other => panic!("{other}"),
    }
}
