//! Getting hold of the file: the lock beside it, what it is, and what SQLite is told of it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arcp_runtime::store::{FileLock, owner_only};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::error::{Fault, SqliteError, beside, is_want_of_room};
use crate::schema::{self, Kind, MIGRATIONS};
use crate::{Durability, Options};

/// How long another program may write to the file before that is a failure.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// Bytes to which the log is cut when it begins anew.
const WAL_LIMIT: i64 = 64 << 20;

/// A file that is open, and nobody else's.
pub(crate) struct Open {
    /// Where it is, whatever links lead there.
    pub(crate) path: PathBuf,
    pub(crate) conn: Connection,
    /// Pages in the log after the last commit.
    pub(crate) wal_pages: Arc<AtomicU32>,
    pub(crate) epoch: u64,
    /// Dropped last.
    _lock: FileLock,
}

impl Open {
    /// With nothing left in the log SQLite removes it as it closes.
    pub(crate) fn close(self) {
        _ = self.conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false);
        _ = self.conn.close();
    }
}

/// Opens the file, or makes it.
pub(crate) fn open(options: &Options) -> Result<Open, SqliteError> {
    let options = &Options { path: real_path(&options.path)?, ..options.clone() };
    let path = options.path.as_path();
    // Before there is anything of ours beside it.
    match check_magic(path) {
        Err(SqliteError::NoFile(_)) | Ok(()) => {}
        Err(error) => return Err(error),
    }
    let lock = lock(path)?;
    let made = prepare(path)?;
    let connected = connect(options).and_then(|(conn, wal_pages)| {
        let epoch = take_over(&conn, path)?;
        Ok((conn, wal_pages, epoch))
    });
    match connected {
        Ok((conn, wal_pages, epoch)) => {
            let path = path.to_owned();
            Ok(Open { path, conn, wal_pages, epoch, _lock: lock })
        }
        Err(error) => {
            if made {
                for suffix in ["", "-wal", "-shm", "-journal"] {
                    _ = fs::remove_file(beside(path, suffix));
                }
            }
            Err(error)
        }
    }
}

/// The one name that a file has, whatever links lead there: who comes by another one must find the same lock and the same log.
fn real_path(path: &Path) -> Result<PathBuf, SqliteError> {
    match fs::canonicalize(path) {
        Ok(real) => check_file(path, &real).map(|()| real),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(of_io(path, error)),
        Err(_) if fs::symlink_metadata(path).is_ok() => Err(SqliteError::NotAFile(path.to_owned())),
        Err(_) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            let directory = directory.unwrap_or(Path::new("."));
            let name = path.file_name().ok_or_else(|| SqliteError::NotAFile(path.to_owned()))?;
            match fs::canonicalize(directory) {
                Ok(real) => Ok(real.join(name)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(SqliteError::NoDirectory { path: path.to_owned(), directory: directory.to_owned() })
                }
                Err(error) => Err(of_io(path, error)),
            }
        }
    }
}

fn check_file(path: &Path, real: &Path) -> Result<(), SqliteError> {
    let metadata = fs::metadata(real).map_err(|error| of_io(path, error))?;
    if !metadata.is_file() {
        return Err(SqliteError::NotAFile(path.to_owned()));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::nlink(&metadata) > 1 {
        return Err(SqliteError::ManyNames(path.to_owned()));
    }
    Ok(())
}

/// Keeps the file at `path` for this store.
fn lock(path: &Path) -> Result<FileLock, SqliteError> {
    let lock = FileLock::acquire(&beside(path, ".lock")).map_err(|error| of_io(path, error))?;
    lock.ok_or_else(|| SqliteError::InUse(path.to_owned()))
}

/// Makes the file, if there is none: readable by its owner only. Returns whether it did.
fn prepare(path: &Path) -> Result<bool, SqliteError> {
    match check_magic(path) {
        Err(SqliteError::NoFile(_)) => {}
        checked => return checked.map(|()| false),
    }
    owner_only().write(true).create_new(true).open(path).map_err(|error| of_io(path, error))?;
    Ok(true)
}

/// Whether a file is a database, or empty, before SQLite touches it.
pub(crate) fn check_magic(path: &Path) -> Result<(), SqliteError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let mut begin = Vec::new();
    let read = File::open(path).and_then(|file| file.take(16).read_to_end(&mut begin));
    match read {
        Ok(_) if begin.is_empty() || begin == MAGIC => Ok(()),
        Ok(_) => Err(SqliteError::NotADatabase(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SqliteError::NoFile(path.to_owned())),
        Err(error) => Err(of_io(path, error)),
    }
}

fn connect(options: &Options) -> Result<(Connection, Arc<AtomicU32>), SqliteError> {
    let path = options.path.as_path();
    let of = |error: rusqlite::Error| Fault::from(error).of_file(path);
    let mut conn = connect_again(path)?;
    if conn.is_readonly(rusqlite::MAIN_DB).map_err(of)? {
        return Err(SqliteError::ReadOnly(path.to_owned()));
    }
    match check_kind(&conn, path)? {
        Kind::Empty => {
            conn.pragma_update(None, "page_size", 4096).map_err(of)?;
            conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(of)?;
        }
        _ => check_pages(&conn, path)?,
    }
    let wal_pages = configure(&mut conn, options).map_err(of)?;
    Ok((conn, wal_pages))
}

/// Another connection to the file.
pub(crate) fn connect_again(path: &Path) -> Result<Connection, SqliteError> {
    let of = |error: rusqlite::Error| Fault::from(error).of_file(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(of)?;
    conn.busy_timeout(BUSY).map_err(of)?;
    // A store that has failed must not touch the file when it is dropped. Whoever closes in good order allows it again.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(of)?;
    // Until it has read something it does not know that there is a log.
    schema::pragma(&conn, "schema_version").map_err(of)?;
    Ok(conn)
}

/// What a file is, unless it is nothing that this program can use.
pub(crate) fn check_kind(conn: &Connection, path: &Path) -> Result<Kind, SqliteError> {
    let known = MIGRATIONS.len() as i64;
    match Kind::of(conn).map_err(|error| Fault::from(error).of_file(path))? {
        Kind::Other => Err(SqliteError::OtherApplication(path.to_owned())),
        Kind::Store(found) if found > known => {
            Err(SqliteError::Newer { path: path.to_owned(), found, known })
        }
        kind => Ok(kind),
    }
}

/// Looks through all pages of the file.
fn check_pages(conn: &Connection, path: &Path) -> Result<(), SqliteError> {
    let problem: rusqlite::Result<String> = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0));
    match problem {
        Ok(problem) if problem == "ok" => Ok(()),
        Ok(problem) => Err(SqliteError::Damaged { path: path.to_owned(), problem }),
        Err(error) => Err(Fault::from(error).of_file(path)),
    }
}

fn configure(conn: &mut Connection, options: &Options) -> rusqlite::Result<Arc<AtomicU32>> {
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_PROTOCOL);
        let why = format!("the journal mode is {mode}: is this a network file system?");
        return Err(rusqlite::Error::SqliteFailure(code, Some(why)));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    // What rows refer to is known by heart, and looking it up for every row costs as much as writing them.
    conn.pragma_update(None, "foreign_keys", false)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cache_size", -64 * 1024)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update_and_check(None, "journal_size_limit", WAL_LIMIT, |_| Ok(()))?;
    if let Some(pages) = options.max_pages {
        limit_pages(conn, pages)?;
    }
    conn.set_prepared_statement_cache_capacity(64);
    // Or SQLite prepares statements again for each value that they are given.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    let wal_pages = Arc::new(AtomicU32::new(0));
    let seen = Arc::clone(&wal_pages);
    // In the place of SQLite's own checkpoints, which would be part of a commit.
    conn.wal_hook(Some(move |_: &mut _, pages: i32| {
        seen.store(pages.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(wal_pages)
}

pub(crate) fn limit_pages(conn: &Connection, pages: u32) -> rusqlite::Result<()> {
    conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
}

/// Brings the tables up to date and begins an epoch, in one transaction that is on the disk when this returns.
fn take_over(conn: &Connection, path: &Path) -> Result<u64, SqliteError> {
    let from = match check_kind(conn, path)? {
        Kind::Store(version) => version,
        _ => 0,
    };
    let begin = || {
        conn.execute_batch("BEGIN IMMEDIATE")?;
        schema::migrate(conn, from, MIGRATIONS)?;
        let epoch = next_epoch(conn)?;
        conn.execute_batch("COMMIT")?;
        Ok(epoch)
    };
    begin().map_err(|error: rusqlite::Error| Fault::from(error).of_file(path))
}

/// Begins the next epoch.
pub(crate) fn next_epoch(conn: &Connection) -> rusqlite::Result<u64> {
    let sql = "UPDATE store SET epoch = epoch + 1 RETURNING epoch";
    conn.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// The epoch of the store.
pub(crate) fn epoch(conn: &Connection) -> rusqlite::Result<u64> {
    let mut select = conn.prepare_cached("SELECT epoch FROM store")?;
    select.query_row([], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// How a commit is synced from now on. Not within a transaction.
pub(crate) fn synchronous(conn: &Connection, durability: Durability) -> rusqlite::Result<()> {
    let level = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", level)
}

pub(crate) fn of_io(path: &Path, source: io::Error) -> SqliteError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => SqliteError::ReadOnly(path),
        _ if is_want_of_room(&source) => SqliteError::NoRoom { path, source: Box::new(source) },
        _ => SqliteError::File { path, source },
    }
}
