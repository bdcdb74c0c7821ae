//! The thread that owns the file: it takes requests in turn, and between them does what can wait.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use arcp_runtime::StoreError;
use arcp_runtime::store::{Batch, Epoch, Opened, Recovered};
use rusqlite::Connection;
use rusqlite::wal::CheckpointMode;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::apply::apply;
use crate::checkpoint::{self, Copier};
use crate::error::{Fault, SqliteError};
use crate::file::{self, Open};
use crate::ids::Ids;
use crate::recover::recover;
use crate::retain::Retention;
use crate::{Durability, Options, schema};

/// How long nothing is asked for before something is removed: what goes at once touches fewer pages than what goes one by one.
const PAUSE: Duration = Duration::from_millis(1);

/// How long nothing is to be done before the log is emptied.
const IDLE: Duration = Duration::from_millis(250);

/// Pages that are written to the log before they are copied into the database, beside what is written meanwhile: 4 MiB, so that no
/// commit waits long for a disk that is busy with them.
const COPY_PAGES: u32 = 1024;

/// Pages in the log from which on it begins anew: 64 MiB. Everything waits for the disk then, so that it is to be seldom.
const LOG_PAGES: u32 = 1 << 14;

/// Pages that are left for the writer to copy itself: the log begins anew only when all are copied and nobody writes. 512 KiB.
const LAST_PAGES: u32 = 128;

/// Pages that are not copied at which the writer waits: 32 MiB.
const MOST_PAGES: u32 = 1 << 13;

/// Bytes that are written before something is removed though batches wait.
const BACKLOG: usize = 16 << 20;

/// Pages that one step gives back to the file system, and how many free ones are kept at least: 1 and 8 MiB.
const VACUUM_STEP: i64 = 256;
const FREE_PAGES: i64 = 2048;

pub(crate) enum Request {
    Open(oneshot::Sender<Result<Opened, StoreError>>),
    Commit {
        epoch: Epoch,
        batch: Arc<Batch>,
        done: oneshot::Sender<Result<(), StoreError>>,
        /// Its place in the queue.
        place: OwnedSemaphorePermit,
    },
    Close(oneshot::Sender<()>),
    /// For tests: removes and gives back all that can be.
    Settle(oneshot::Sender<Result<(), StoreError>>),
    /// For tests: lets the database grow to this many pages.
    LimitPages(u32, oneshot::Sender<Result<(), StoreError>>),
}

pub(crate) struct Writer {
    options: Options,
    state: State,
}

enum State {
    Closed(&'static str),
    Open(Box<Database>),
    /// It has failed, and nothing is ever written again. Who asks first is told why, if nobody has been.
    Failed(Option<Box<SqliteError>>),
}

struct Database {
    /// Dropped before the file is closed.
    copier: Copier,
    file: Open,
    ids: Ids,
    retention: Retention,
    durability: Durability,
    /// Pages in the log at which they are copied next.
    copy_at: u32,
    /// Pages of the log that are in the database.
    copied: u32,
    /// Whether pages may have become free since that was last looked at.
    vacuum: bool,
    /// Whether the log holds nothing.
    log_is_empty: bool,
}

impl Writer {
    pub(crate) fn new(options: Options) -> Self {
        Self { options, state: State::Closed("not open") }
    }

    /// Until nobody can ask for anything any more.
    pub(crate) fn run(mut self, requests: &Receiver<Request>) {
        while let Some(request) = self.next(requests) {
            self.handle(request);
            self.work(true);
        }
        self.close();
    }

    /// Waits for the next request, and does meanwhile what can wait.
    fn next(&mut self, requests: &Receiver<Request>) -> Option<Request> {
        let mut wait = PAUSE;
        loop {
            match requests.recv_timeout(wait) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if self.work(false) => wait = Duration::ZERO,
                Err(RecvTimeoutError::Timeout) if wait < IDLE => wait = IDLE,
                Err(RecvTimeoutError::Timeout) => {
                    self.rest();
                    return requests.recv().ok();
                }
            }
        }
    }

    fn handle(&mut self, request: Request) {
        match request {
            Request::Open(done) => _ = done.send(self.open()),
            Request::Commit { epoch, batch, done, place } => {
                drop(place);
                _ = done.send(self.commit(epoch, &batch));
            }
            Request::Close(done) => {
                self.close();
                _ = done.send(());
            }
            Request::Settle(done) => {
                while self.work(false) {}
                self.rest();
                _ = done.send(self.database().map(|_| ()));
            }
            Request::LimitPages(pages, done) => {
                let limited = self.database().map(|database| file::limit_pages(&database.file.conn, pages));
                let of = |error| Fault::from(error).of_file(&self.options.path).into();
                _ = done.send(limited.and_then(|limited| limited.map_err(of)));
            }
        }
    }

    fn open(&mut self) -> Result<Opened, StoreError> {
        let path = &self.options.path;
        let opened = match &mut self.state {
            State::Failed(why) => return Err(failed(path, why)),
            State::Closed(_) => Database::open(&self.options).map(|(database, recovered)| {
                let epoch = Epoch(database.file.epoch);
                self.state = State::Open(Box::new(database));
                Opened { epoch, recovered }
            }),
            State::Open(database) => database.reopen().map_err(|fault| fault.of_file(path)),
        };
        let opened = opened?;
        tracing::debug!(path = %self.options.path.display(), epoch = opened.epoch.0, "store is open");
        Ok(opened)
    }

    fn database(&mut self) -> Result<&mut Database, StoreError> {
        let path = &self.options.path;
        match &mut self.state {
            State::Open(database) => Ok(database),
            State::Closed(state) => Err(SqliteError::Stopped { path: path.clone(), state }.into()),
            State::Failed(why) => Err(failed(path, why)),
        }
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        let database = self.database()?;
        let current = database.file.epoch;
        if epoch.0 != current {
            return Err(StoreError::Fenced { held: epoch.0, current });
        }
        let committed = database.commit(batch);
        let outcome = committed.map_err(|fault| fault.of_commit(&self.options.path));
        self.note(outcome)
    }

    /// An error that is not want of room, or of the caller's making, is the end: nobody knows what the disk holds.
    fn note(&mut self, outcome: Result<(), StoreError>) -> Result<(), StoreError> {
        match &outcome {
            Ok(()) | Err(StoreError::Head { .. } | StoreError::Fenced { .. }) => {}
            Err(StoreError::Full(_)) => {
                // What the log holds may find room in the database; then the log begins anew.
                let emptied = self.database()?.checkpoint_now(CheckpointMode::PASSIVE);
                if let Err(error @ StoreError::Failed(_)) =
                    emptied.map_err(|fault| fault.of_commit(&self.options.path))
                {
                    self.state = State::Failed(None);
                    return Err(error);
                }
            }
            Err(_) => self.state = State::Failed(None),
        }
        outcome
    }

    /// Does a little of what can wait, if it is due. Returns whether there is more.
    fn work(&mut self, busy: bool) -> bool {
        let State::Open(database) = &mut self.state else { return false };
        let worked = database.work(busy);
        self.worked(worked).unwrap_or(false)
    }

    /// Empties the log: nothing has been asked for in a while.
    fn rest(&mut self) {
        let State::Open(database) = &mut self.state else { return };
        let rested = database.checkpoint_now(CheckpointMode::TRUNCATE);
        self.worked(rested);
    }

    fn worked<T>(&mut self, outcome: Result<T, Fault>) -> Option<T> {
        match outcome.map_err(|fault| fault.of_file(&self.options.path)) {
            Ok(value) => Some(value),
            Err(error @ SqliteError::NoRoom { .. }) => {
                tracing::warn!(error = &error as &dyn Error, "store cannot be tidied up");
                None
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn Error, "store failed");
                self.state = State::Failed(Some(Box::new(error)));
                None
            }
        }
    }

    /// Leaves one file behind that is complete, unless it has failed.
    fn close(&mut self) {
        self.rest();
        match std::mem::replace(&mut self.state, State::Closed("closed")) {
            State::Open(database) => {
                let Database { copier, file, .. } = *database;
                drop(copier);
                file.close();
            }
            state => self.state = state,
        }
    }
}

fn failed(path: &Path, why: &mut Option<Box<SqliteError>>) -> StoreError {
    let stopped = || SqliteError::Stopped { path: path.to_owned(), state: "stopped after a failure" };
    why.take().map_or_else(stopped, |why| *why).into()
}

impl Database {
    fn open(options: &Options) -> Result<(Self, Recovered), SqliteError> {
        let file = file::open(options)?;
        let begin = || -> Result<_, Fault> {
            let (recovered, ids) = recover(&file.conn)?;
            let retention = Retention::of(&file.conn)?;
            file::synchronous(&file.conn, options.durability)?;
            Ok((recovered, ids, retention))
        };
        let (recovered, ids, retention) = begin().map_err(|fault| fault.of_file(&options.path))?;
        let copier = Copier::start(&file.path)?;
        let durability = options.durability;
        let (vacuum, log_is_empty) = (true, false);
        let (copy_at, copied) = (COPY_PAGES, 0);
        let this = Self { copier, file, ids, retention, durability, copy_at, copied, vacuum, log_is_empty };
        Ok((this, recovered))
    }

    /// Begins another epoch.
    fn reopen(&mut self) -> Result<Opened, Fault> {
        let epoch = self.transaction(|this| Ok(file::next_epoch(&this.file.conn)?))?;
        self.file.epoch = epoch;
        let (recovered, ids) = recover(&self.file.conn)?;
        self.ids = ids;
        Ok(Opened { epoch: Epoch(epoch), recovered })
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), Fault> {
        self.transaction(|this| {
            let conn = &this.file.conn;
            // Another runtime has none of this one's locks if somebody has removed the file that holds them.
            let (held, current) = (this.file.epoch, file::epoch(conn)?);
            if held != current {
                return Err(Fault::Fenced { held, current });
            }
            apply(conn, &mut this.ids, &mut this.retention, batch)
        })
    }

    /// All of it or nothing.
    fn transaction<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let execute = |conn: &Connection, sql| -> Result<(), Fault> {
            conn.prepare_cached(sql)?.execute([])?;
            Ok(())
        };
        execute(&self.file.conn, "BEGIN IMMEDIATE")?;
        let written = write(self).and_then(|value| execute(&self.file.conn, "COMMIT").map(|()| value));
        match &written {
            Ok(_) => {
                self.ids.committed();
                self.log_is_empty = false;
            }
            Err(_) => {
                // SQLite has rolled some errors back already.
                if !self.file.conn.is_autocommit() {
                    execute(&self.file.conn, "ROLLBACK")?;
                }
                self.ids.rolled_back();
            }
        }
        written
    }

    /// Does one step of what is due, or while nobody waits of what can be done. Returns whether there may be more.
    fn work(&mut self, busy: bool) -> Result<bool, Fault> {
        if self.copy_log()? {
            return Ok(true);
        }
        if !self.retention.is_empty() && (!busy || self.retention.written() >= BACKLOG) {
            self.vacuum = true;
            return self
                .unsynced(|this| this.retention.step(&this.file.conn, &mut this.ids, busy))
                .map(|()| true);
        }
        if busy || !self.vacuum {
            return Ok(false);
        }
        let free = |this: &Self| schema::pragma(&this.file.conn, "freelist_count");
        let (before, pages) = (free(self)?, schema::pragma(&self.file.conn, "page_count")?);
        self.vacuum = before > FREE_PAGES.max(pages / 4);
        if self.vacuum {
            self.unsynced(|this| give_back(&this.file.conn))?;
            self.vacuum = free(self)? < before;
        }
        Ok(self.vacuum)
    }

    /// A transaction that nobody waits for: it is on the disk when a later one is.
    fn unsynced(&mut self, write: impl FnOnce(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        if self.durability == Durability::Normal {
            return self.transaction(write);
        }
        file::synchronous(&self.file.conn, Durability::Normal)?;
        let written = self.transaction(write);
        file::synchronous(&self.file.conn, self.durability)?;
        written
    }

    /// Has the log copied when that is due, beside what is written meanwhile, and begins it anew when it is long. Returns whether
    /// something was done.
    fn copy_log(&mut self) -> Result<bool, Fault> {
        let pages = self.file.wal_pages.load(Ordering::Relaxed);
        if self.copier.is_busy() && pages.saturating_sub(self.copied) >= MOST_PAGES {
            // Batches come faster than they are copied: they wait.
            self.copier.finish()?;
            return self.checkpoint(CheckpointMode::PASSIVE).map(|()| true);
        }
        if let Some(copied) = self.copier.ended()? {
            self.copied = copied.done;
            self.copy_at = pages + COPY_PAGES;
            if pages >= LOG_PAGES && copied.is_all() {
                match pages.saturating_sub(copied.done) {
                    ..=LAST_PAGES => self.checkpoint(CheckpointMode::PASSIVE)?,
                    _ => self.copier.begin(), // as much was written meanwhile
                }
            }
            return Ok(true);
        }
        let due = pages >= self.copy_at && !self.copier.is_busy();
        if due {
            self.copier.begin();
        }
        Ok(due)
    }

    /// Copies the log into the database, after who copies it already.
    fn checkpoint_now(&mut self, mode: CheckpointMode) -> Result<(), Fault> {
        self.copier.finish()?;
        self.checkpoint(mode)
    }

    /// Copies the log into the database, as far as nobody reads what is there.
    fn checkpoint(&mut self, mode: CheckpointMode) -> Result<(), Fault> {
        if self.log_is_empty {
            return Ok(());
        }
        let copied = checkpoint::copy(&self.file.conn, mode)?;
        // A reader may hold on to a part of the log: the next try comes after as much again.
        let pages = &self.file.wal_pages;
        (self.copied, self.copy_at) = (copied.done, pages.load(Ordering::Relaxed) + COPY_PAGES);
        if copied.is_all() {
            pages.store(0, Ordering::Relaxed);
            (self.copied, self.copy_at) = (0, COPY_PAGES);
            self.log_is_empty = matches!(mode, CheckpointMode::TRUNCATE);
        }
        Ok(())
    }
}

/// Gives free pages back to the file system.
fn give_back(conn: &Connection) -> Result<(), Fault> {
    let mut vacuum = conn.prepare_cached(&format!("PRAGMA incremental_vacuum({VACUUM_STEP})"))?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
