//! [`SqliteReader`]: what is in the file, beside the runtime that has it or after it.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arcp_proto::{JobId, SessionId, Timestamp};
use arcp_runtime::store::{Entry, JobHead, Logged, RecoveredJob, RecoveredSession};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use crate::block;
use crate::error::{Fault, SqliteError, beside};
use crate::file::{self, BUSY};
use crate::names::JobNames;
use crate::rows::{self, JOB, SESSION, int, uint};
use crate::runs::{self, Run};
use crate::schema::Kind;

/// Blocks that are held decoded while a view is read: of up to 1 MiB and one payload each.
const BLOCKS: usize = 16;

/// Reads a store, beside the runtime that has it open, or after that has ended in whatever way.
///
/// It shows the store as it was at one moment, that of [`open`](Self::open) or of the last [`refresh`](Self::refresh): a batch is there whole or
/// not at all. While it is there the runtime's log cannot begin anew, and grows: do not keep a reader for longer than the reading
/// takes, or [`release`](Self::release) it. It writes nothing but the `-shm` and `-wal` that SQLite needs to read beside a writer. All methods block.
///
/// Where the directory cannot be written, SQLite cannot make these. A file whose runtime was closed in good order is then read
/// as it stands, and no runtime may open it meanwhile; one with a log is refused ([`SqliteError::LogUnreadable`]).
pub struct SqliteReader {
    path: PathBuf,
    conn: Connection,
    names: JobNames,
}

/// A message in the view of a session.
#[derive(Clone, Debug)]
pub struct Viewed {
    /// Its number.
    pub event_seq: u64,
    /// What every message of its job has in common.
    pub job: Arc<JobHead>,
    /// What the session was shown.
    pub shown: ViewedMessage,
}

/// What a session was shown at one place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ViewedMessage {
    /// This entry of the job's log; its [`plain`](Entry::plain) twin, if it has one and the session cannot take chunks (§8.4).
    Entry(Arc<Entry>),
    /// That the entries before this place are no longer kept.
    Missed {
        /// The place of the first entry that was still kept.
        next_index: u64,
        /// When it was shown.
        ts: Timestamp,
    },
}

impl SqliteReader {
    /// Opens the store at `path`, as it is now.
    ///
    /// # Errors
    /// When there is none, or it cannot be read; each error names the file.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, SqliteError> {
        let path = path.into();
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            return Err(SqliteError::NotAFile(path));
        }
        file::check_magic(&path)?;
        let conn = match connect(&path, false) {
            Err(error) if is_unwritable(&error) => {
                let log = fs::metadata(beside(&path, "-wal")).map_or(0, |metadata| metadata.len());
                if log > 0 {
                    return Err(SqliteError::LogUnreadable(path));
                }
                connect(&path, true)
            }
            connected => connected,
        };
        let conn = conn.map_err(|error| Fault::from(error).of_file(&path))?;
        match file::check_kind(&conn, &path)? {
            Kind::Empty => Err(SqliteError::NoFile(path)),
            _ => Ok(Self { path, conn, names: JobNames::default() }),
        }
    }

    /// Goes on to the store as it is now.
    ///
    /// # Errors
    /// When it cannot be read any more.
    pub fn refresh(&mut self) -> Result<(), SqliteError> {
        self.release()?;
        begin(&self.conn).map_err(|error| Fault::from(error).of_file(&self.path))?;
        file::check_kind(&self.conn, &self.path).map(|_| ())
    }

    /// Lets go of the moment that it shows, so that the runtime's log can begin anew meanwhile; [`refresh`](Self::refresh) goes on.
    /// What is read before that is of the moment in which it is read.
    ///
    /// # Errors
    /// When the file cannot be used any more.
    pub fn release(&mut self) -> Result<(), SqliteError> {
        if self.conn.is_autocommit() {
            return Ok(());
        }
        self.conn.execute_batch("COMMIT").map_err(|error| Fault::from(error).of_file(&self.path))
    }

    /// How often the store was opened by a runtime.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn epoch(&self) -> Result<u64, SqliteError> {
        self.named(file::epoch(&self.conn).map_err(Fault::from))
    }

    /// Every session, in the order in which they were opened, without its view and what it follows.
    ///
    /// # Errors
    /// When the store cannot be read, or is damaged.
    pub fn sessions(
        &self,
        mut each: impl FnMut(RecoveredSession) -> ControlFlow<()>,
    ) -> Result<(), SqliteError> {
        let mut read = || -> Result<(), Fault> {
            let sql = format!("SELECT {SESSION} FROM sessions WHERE gone = 0 ORDER BY id");
            let mut select = self.conn.prepare(&sql)?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                if each(rows::read_session(row)?.1).is_break() {
                    break;
                }
            }
            Ok(())
        };
        self.named(read())
    }

    /// Every job, in the order in which they were accepted, without its log. Those that are gone are there while the entries of
    /// their logs are.
    ///
    /// # Errors
    /// When the store cannot be read, or is damaged.
    pub fn jobs(&self, mut each: impl FnMut(RecoveredJob) -> ControlFlow<()>) -> Result<(), SqliteError> {
        let mut read = || -> Result<(), Fault> {
            let mut select = self.conn.prepare(&format!("SELECT {JOB} FROM jobs ORDER BY id"))?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                if each(rows::read_job(row)?.1).is_break() {
                    break;
                }
            }
            Ok(())
        };
        self.named(read())
    }

    /// What is stored of a job's log from the place `from` on, in order; of a job that is not gone without what its log has
    /// forgotten and views alone still show. Returns whether there is such a job. The first call reads the names of all jobs, and the reader
    /// keeps them; a later one reads on where that ended.
    ///
    /// # Errors
    /// When the store cannot be read, or is damaged.
    pub fn entries(
        &self,
        job_id: &JobId,
        from: u64,
        mut each: impl FnMut(Logged) -> ControlFlow<()>,
    ) -> Result<bool, SqliteError> {
        let mut read = || -> Result<bool, Fault> {
            let Some(id) = self.names.find(&self.conn, job_id)? else { return Ok(false) };
            let mut select = self.conn.prepare(&format!("SELECT {JOB} FROM jobs WHERE id = ?1"))?;
            let mut rows = select.query([id])?;
            let Some(row) = rows.next()? else { return Ok(false) };
            let (id, job) = rows::read_job(row)?;
            let from = if job.gone { from } else { from.max(job.kept_from) };
            let sql = "SELECT first, last, body FROM blocks WHERE job = ?1 AND last >= ?2 ORDER BY first";
            let mut select = self.conn.prepare(sql)?;
            let mut rows = select.query(params![id, int(from).unwrap_or(i64::MAX)])?;
            while let Some(row) = rows.next()? {
                let place = block::Place { job: id, first: row.get(0)?, last: row.get(1)? };
                for logged in decode(place, row.get_ref(2)?.as_blob(), &job.head, from)? {
                    if each(logged).is_break() {
                        return Ok(true);
                    }
                }
            }
            Ok(true)
        };
        self.named(read())
    }

    /// What is stored of a session's view from the number `from` on, in order. Returns whether there is such a session.
    ///
    /// # Errors
    /// When the store cannot be read, or is damaged.
    pub fn view(
        &self,
        session_id: &SessionId,
        from: u64,
        mut each: impl FnMut(Viewed) -> ControlFlow<()>,
    ) -> Result<bool, SqliteError> {
        self.named(self.read_view(session_id, from, &mut each))
    }

    fn read_view(
        &self,
        session_id: &SessionId,
        from: u64,
        each: &mut dyn FnMut(Viewed) -> ControlFlow<()>,
    ) -> Result<bool, Fault> {
        let sql = "SELECT id, kept_from FROM sessions WHERE session_id = ?1 AND gone = 0";
        let session = self.conn.query_row(sql, [session_id.as_str()], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some((session, kept_from)) = session.optional()? else { return Ok(false) };
        let from = from.max(uint(kept_from)?);
        let sql = "SELECT job, first, last, runs FROM views WHERE session = ?1 AND last >= ?2 ORDER BY first";
        let mut select = self.conn.prepare(sql)?;
        let mut rows = select.query(params![session, int(from).unwrap_or(i64::MAX)])?;
        let mut logs = Logs { conn: &self.conn, heads: HashMap::new(), blocks: HashMap::new() };
        // Rows of one batch overlap, rows of two do not.
        let mut batch: Vec<(i64, Run)> = Vec::new();
        let mut end = i64::MIN;
        while let Some(row) = rows.next()? {
            let place = runs::Place { session, job: row.get(0)?, first: row.get(1)?, last: row.get(2)? };
            if place.first > end && logs.show(&mut batch, each)?.is_break() {
                return Ok(true);
            }
            end = end.max(place.last);
            let bytes = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            let decoded = runs::decode(place, bytes, |run| {
                batch.extend(runs::trim(run, from).map(|run| (place.job, run)))
            });
            decoded.map_err(|damage| Fault::damaged("part of a view", damage))?;
        }
        _ = logs.show(&mut batch, each)?;
        Ok(true)
    }

    fn named<T>(&self, outcome: Result<T, Fault>) -> Result<T, SqliteError> {
        outcome.map_err(|fault| fault.of_file(&self.path))
    }
}

impl fmt::Debug for SqliteReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteReader").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The logs that a view shows, a few blocks of them at a time.
struct Logs<'a> {
    conn: &'a Connection,
    heads: HashMap<i64, Arc<JobHead>>,
    blocks: HashMap<i64, Vec<Logged>>,
}

impl Logs<'_> {
    /// Shows what one batch has added to a view, and takes it out.
    fn show(
        &mut self,
        batch: &mut Vec<(i64, Run)>,
        each: &mut dyn FnMut(Viewed) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Fault> {
        batch.sort_unstable_by_key(|(_, run)| run.seq);
        for (job, run) in batch.drain(..) {
            let head = self.head(job)?;
            for offset in 0..run.count {
                let index = run.index + offset;
                let shown = match run.gap {
                    Some(ts) => ViewedMessage::Missed { next_index: index, ts },
                    None => ViewedMessage::Entry(self.entry(job, &head, index)?),
                };
                let viewed = Viewed { event_seq: run.seq + offset, job: Arc::clone(&head), shown };
                if each(viewed).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn head(&mut self, job: i64) -> Result<Arc<JobHead>, Fault> {
        if let Some(head) = self.heads.get(&job) {
            return Ok(Arc::clone(head));
        }
        let mut select = self.conn.prepare_cached(&format!("SELECT {JOB} FROM jobs WHERE id = ?1"))?;
        let mut rows = select.query([job])?;
        let row =
            rows.next()?.ok_or_else(|| Fault::Damaged("a view shows a job that is not stored".to_owned()))?;
        let head = rows::read_job(row)?.1.head;
        self.heads.insert(job, Arc::clone(&head));
        Ok(head)
    }

    fn entry(&mut self, job: i64, head: &Arc<JobHead>, index: u64) -> Result<Arc<Entry>, Fault> {
        let find = |entries: &Vec<Logged>| {
            let first = entries.first()?.entry.index;
            let logged = entries.get(usize::try_from(index.checked_sub(first)?).ok()?)?;
            Some(Arc::clone(&logged.entry))
        };
        if let Some(entry) = self.blocks.get(&job).and_then(find) {
            return Ok(entry);
        }
        let sql =
            "SELECT first, last, body FROM blocks WHERE job = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1";
        let mut select = self.conn.prepare_cached(sql)?;
        let mut rows = select.query(params![job, int(index)?])?;
        let not_stored = || {
            Fault::Damaged(format!("a view shows entry {index} of job {}, which is not stored", head.job_id))
        };
        let row = rows.next()?.ok_or_else(not_stored)?;
        let place = block::Place { job, first: row.get(0)?, last: row.get(1)? };
        let entries = decode(place, row.get_ref(2)?.as_blob(), head, 0)?;
        let entry = find(&entries).ok_or_else(not_stored)?;
        if self.blocks.len() >= BLOCKS {
            self.blocks.clear();
        }
        self.blocks.insert(job, entries);
        Ok(entry)
    }
}

fn decode(
    place: block::Place,
    body: Result<&[u8], rusqlite::types::FromSqlError>,
    head: &Arc<JobHead>,
    from: u64,
) -> Result<Vec<Logged>, Fault> {
    let mut entries = Vec::new();
    let body = body.map_err(rusqlite::Error::from)?;
    let decoded = block::decode(place, body, head, &(from..=u64::MAX), |logged| entries.push(logged));
    decoded.map_err(|damage| Fault::damaged(format!("part of the log of job {}", head.job_id), damage))?;
    Ok(entries)
}

/// Whether SQLite cannot make the files beside a database that it needs for its log.
fn is_unwritable(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// Opens a file, and begins to read it: from then on it is as it is. One that is `frozen` is written by nobody.
fn connect(path: &Path, frozen: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = match (frozen, path.to_str()) {
        (true, Some(path)) => {
            let escaped = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
            let uri = format!("file:{escaped}?immutable=1");
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        _ => Connection::open_with_flags(path, flags)?,
    };
    conn.busy_timeout(BUSY)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    begin(&conn)?;
    Ok(conn)
}

fn begin(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("BEGIN")?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(())
}
