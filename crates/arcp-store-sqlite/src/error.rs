//! Why a store or a reader has refused, and what to do about it.

use std::error::Error;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use arcp_runtime::StoreError;
use rusqlite::ffi;

/// Why a store cannot be opened, written or read. Each names the file, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SqliteError {
    /// The directory that is to hold the file does not exist.
    #[error("{}: there is no directory {}; create it, or choose another path", path.display(), directory.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// Where it was to be.
        directory: PathBuf,
    },
    /// There is no such file to be read.
    #[error("{}: there is no such file; no runtime has had its store here", .0.display())]
    NoFile(PathBuf),
    /// Another runtime, in this process or another one, has the store open.
    #[error("{}: another runtime has this store open; stop it first, or choose another file", .0.display())]
    InUse(PathBuf),
    /// What is there is no file: a directory, a pipe, a device, or a link that leads nowhere. It is left as it is.
    #[error("{}: this is no regular file; choose another path", .0.display())]
    NotAFile(PathBuf),
    /// The file has more than one name (hard links). Who opens it by another name would have a log of its own, and neither would
    /// know of the other.
    #[error("{}: the file has more than one name; remove the others, or copy it", .0.display())]
    ManyNames(PathBuf),
    /// The file is no SQLite database. It is left as it is.
    #[error("{}: this is no SQLite database; choose another path, or move the file away", .0.display())]
    NotADatabase(PathBuf),
    /// The file is the database of another application. It is left as it is.
    #[error("{}: this is the database of another application; choose another path", .0.display())]
    OtherApplication(PathBuf),
    /// A newer version of this program has written the file. It is left as it is.
    #[error(
        "{}: its schema is version {found}, and this program knows versions up to {known}; run a newer version of it",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its schema.
        found: i64,
        /// The latest version that this program knows.
        known: i64,
    },
    /// The file, or its directory, can be read only.
    #[error("{}: the file or its directory is read-only; make both writable, or choose another path", .0.display())]
    ReadOnly(PathBuf),
    /// A reader cannot read the file: its runtime has not been closed in good order, and has left a log that cannot be read where
    /// nothing can be written.
    #[error(
        "{}: its log cannot be read, since the directory is read-only; copy the file and its -wal to another one",
        .0.display()
    )]
    LogUnreadable(PathBuf),
    /// What is in the file cannot have been written by a store.
    #[error("{}: the file is damaged: {problem}; restore it from a copy, or move it away to begin anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The disk, a quota or a limit on the size of files leaves no room.
    #[error("{}: there is no room to write; free some space on its disk", path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file cannot be used.
    #[error("{}: the file cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// SQLite has failed. Whether the disk holds what was last written nobody knows: check it before the runtime is started again.
    #[error("{}: the store has failed; check its disk before the runtime is started again", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The store is closed, or was never opened, or has failed before: it takes nothing.
    #[error("{}: the store is {state}; it takes nothing", path.display())]
    Stopped {
        /// The file.
        path: PathBuf,
        /// `closed`, `not open` or `stopped after a failure`.
        state: &'static str,
    },
}

/// What is wrong with something that was read. It ends a sentence that begins with what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damage(pub(crate) &'static str);

/// What can happen while a batch is written or something is read.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(rusqlite::Error),
    /// What was read cannot have been written by a store.
    Damaged(String),
    /// What is to be written cannot come from a runtime.
    Nonsense(String),
    /// A log does not end where the runtime believes.
    Head {
        job_id: String,
        expected: u64,
        actual: u64,
    },
    /// Another runtime has taken the store over.
    Fenced {
        held: u64,
        current: u64,
    },
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Fault {
    pub(crate) fn damaged(what: impl fmt::Display, damage: Damage) -> Self {
        Self::Damaged(format!("{what} {}", damage.0))
    }

    /// What it means for the file at `path`.
    pub(crate) fn of_file(self, path: &Path) -> SqliteError {
        let owned = path.to_owned();
        match self {
            Self::Damaged(problem) => SqliteError::Damaged { path: owned, problem },
            Self::Nonsense(what) => SqliteError::Failed { path: owned, source: what.into() },
            Self::Head { job_id, .. } => {
                SqliteError::Damaged { path: owned, problem: format!("log of job {job_id} has a gap") }
            }
            Self::Fenced { .. } => SqliteError::InUse(owned),
            Self::Sql(error) => of_sql(owned, error),
        }
    }

    /// What it means for the commit of a batch.
    pub(crate) fn of_commit(self, path: &Path) -> StoreError {
        match self {
            Self::Head { job_id, expected, actual } => StoreError::Head { job_id, expected, actual },
            Self::Fenced { held, current } => StoreError::Fenced { held, current },
            other => other.of_file(path).into(),
        }
    }
}

impl From<SqliteError> for StoreError {
    fn from(error: SqliteError) -> Self {
        match error {
            SqliteError::NoRoom { .. } => Self::Full(Box::new(error)),
            _ => Self::Failed(Box::new(error)),
        }
    }
}

fn of_sql(path: PathBuf, error: rusqlite::Error) -> SqliteError {
    use rusqlite::ErrorCode;
    match &error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::NotADatabase => SqliteError::NotADatabase(path),
            ErrorCode::ReadOnly => SqliteError::ReadOnly(path),
            ErrorCode::DatabaseCorrupt => SqliteError::Damaged { path, problem: error.to_string() },
            ErrorCode::DiskFull => SqliteError::NoRoom { path, source: Box::new(error) },
            _ if may_be_want_of_room(failure.extended_code) => match room(&path) {
                Ok(()) => SqliteError::Failed { path, source: Box::new(error) },
                Err(source) => SqliteError::NoRoom { path, source: Box::new(source) },
            },
            _ => SqliteError::Failed { path, source: Box::new(error) },
        },
        rusqlite::Error::QueryReturnedNoRows
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => SqliteError::Damaged { path, problem: error.to_string() },
        _ => SqliteError::Failed { path, source: Box::new(error) },
    }
}

/// SQLite tells a full disk from other errors, but no quota and no limit on the size of files.
fn may_be_want_of_room(extended_code: i32) -> bool {
    [ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_CANTOPEN].contains(&extended_code)
}

/// Writes a little beside the file, where the file or its log ends, to learn whether that is for want of room.
fn room(path: &Path) -> Result<(), io::Error> {
    let len = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
    let end = len(path).max(len(&beside(path, "-wal")));
    let probe = beside(path, ".probe");
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).open(&probe)?;
        file.seek(SeekFrom::Start(end))?;
        file.write_all(&[0; 1 << 16])?;
        file.sync_data()
    };
    let written = write();
    _ = fs::remove_file(&probe);
    match written {
        Err(error) if is_want_of_room(&error) => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn is_want_of_room(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The file at `path` with something after its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
