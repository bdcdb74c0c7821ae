//! The store against its model, against damaged, full and foreign files, against processes that are killed, and beside readers.

#![allow(clippy::unwrap_used, reason = "clippy.toml allows it in tests, but not in what they share")]

mod model;
mod normal;
mod world;

use std::path::PathBuf;

use tempfile::TempDir;

/// A directory of its own, and a path in it.
fn temporary() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("arcp.db");
    (directory, path)
}
