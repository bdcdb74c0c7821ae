//! Copying the log into the database beside the writing of batches: a thread and a connection of their own, so that no batch waits
//! for what the disk does meanwhile. When it is due is decided in `writer.rs`.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::wal::CheckpointMode;
use rusqlite::{Connection, ErrorCode, MAIN_DB};

use crate::error::{Fault, SqliteError};
use crate::file;

/// How far the log was copied, in pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    /// Pages in the log.
    pub(crate) log: u32,
    /// Pages of these that are in the database.
    pub(crate) done: u32,
}

impl Copied {
    /// Whether the log may begin anew.
    pub(crate) fn is_all(self) -> bool {
        self.log == self.done
    }
}

/// Copies as much as there is to copy. Waits for nobody who reads or writes.
pub(crate) fn copy(conn: &Connection, mode: CheckpointMode) -> Result<Copied, Fault> {
    conn.busy_timeout(Duration::ZERO)?;
    let copied = conn.wal_checkpoint_v2(Some(MAIN_DB), mode);
    conn.busy_timeout(file::BUSY)?;
    match copied {
        Ok((log @ 0.., done @ 0..)) => Ok(Copied { log: log.unsigned_abs(), done: done.unsigned_abs() }),
        // There is no log that this connection knows of.
        Ok(_) => Ok(Copied { log: 1, done: 0 }),
        // Another program copies, or reads what would have to go.
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
            Ok(Copied { log: 1, done: 0 })
        }
        Err(error) => Err(error.into()),
    }
}

/// The thread. It ends when this is dropped, and is waited for.
pub(crate) struct Copier {
    begin: Option<Sender<()>>,
    ended: Receiver<Result<Copied, Fault>>,
    thread: Option<JoinHandle<()>>,
    busy: bool,
}

impl Copier {
    /// A thread that does nothing yet, and a connection of its own to the same file.
    pub(crate) fn start(path: &Path) -> Result<Self, SqliteError> {
        let conn = file::connect_again(path)?;
        let (begin, asked) = mpsc::channel();
        let (tell, ended) = mpsc::channel();
        let work = move || {
            while asked.recv().is_ok() && tell.send(copy(&conn, CheckpointMode::PASSIVE)).is_ok() {}
        };
        let spawned = thread::Builder::new().name("arcp-store-copy".to_owned()).spawn(work);
        let thread = spawned.map_err(|error| file::of_io(path, error))?;
        Ok(Self { begin: Some(begin), ended, thread: Some(thread), busy: false })
    }

    /// Whether it copies.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    /// Has it copy what there is.
    pub(crate) fn begin(&mut self) {
        self.busy = self.begin.as_ref().is_some_and(|begin| begin.send(()).is_ok());
    }

    /// What has come of it, once, if it is through.
    pub(crate) fn ended(&mut self) -> Result<Option<Copied>, Fault> {
        let Ok(ended) = self.ended.try_recv() else { return Ok(None) };
        self.busy = false;
        ended.map(Some)
    }

    /// Waits until it is through. What has come of it, if it did anything.
    pub(crate) fn finish(&mut self) -> Result<Option<Copied>, Fault> {
        if !std::mem::take(&mut self.busy) {
            return Ok(None);
        }
        match self.ended.recv() {
            Ok(ended) => ended.map(Some),
            Err(_) => Ok(None), // the thread is gone
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.begin = None;
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_of_its_own_copies_what_another_has_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store.db");
        let conn = Connection::open(&path).unwrap();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        conn.execute_batch("CREATE TABLE t (a); INSERT INTO t VALUES (zeroblob(1000000));").unwrap();
        let size = || std::fs::metadata(&path).unwrap().len();
        let before = size();

        let mut copier = Copier::start(&path).unwrap();
        copier.begin();
        let copied = copier.finish().unwrap().unwrap();
        assert!(copied.is_all() && copied.log > 200, "{copied:?}");
        assert!(size() > before + 1_000_000);
    }
}
