//! The tables, and how a file of an earlier version becomes one of this.

use rusqlite::Connection;

/// Says that a file is ours: `ARCP`.
pub(crate) const APPLICATION_ID: i32 = 0x4152_4350;

/// Takes the file from the version before it to its own: the first one makes version 1 of nothing.
pub(crate) const MIGRATIONS: &[&str] = &[VERSION_1, VERSION_2, VERSION_3];

/// `sessions` and `jobs` have small names for `views` and `blocks`; the order of those is that in which they came.
///
/// What is gone is marked, and removed step by step.
const VERSION_1: &str = "
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO store (id, epoch) VALUES (1, 0);

CREATE TABLE sessions (
    id INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    features TEXT NOT NULL,
    resume_token BLOB NOT NULL,
    old_resume_token BLOB,
    disconnected_at INTEGER,
    quirks TEXT NOT NULL DEFAULT '',
    sum INTEGER NOT NULL,
    kept_from INTEGER NOT NULL DEFAULT 1,
    acknowledged INTEGER NOT NULL DEFAULT 0,
    gone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX sessions_by_name ON sessions (session_id) WHERE gone = 0;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL UNIQUE,
    principal TEXT NOT NULL,
    session_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    accepted_after INTEGER NOT NULL,
    accepted TEXT NOT NULL,
    key TEXT,
    fingerprint BLOB,
    input TEXT,
    rerun TEXT,
    sum INTEGER NOT NULL,
    stopping TEXT,
    stop_reason TEXT,
    ended TEXT,
    kept_from INTEGER NOT NULL DEFAULT 0,
    forgotten_seq INTEGER NOT NULL DEFAULT 0,
    checkpoint TEXT,
    remaining TEXT,
    gone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX jobs_by_key ON jobs (key, principal) WHERE key IS NOT NULL;

CREATE TABLE follows (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    job INTEGER NOT NULL REFERENCES jobs (id),
    submitted INTEGER NOT NULL,
    paces INTEGER NOT NULL,
    behind INTEGER,
    UNIQUE (session, job)
) STRICT;
CREATE INDEX follows_by_job ON follows (job);

CREATE TABLE blocks (
    id INTEGER PRIMARY KEY,
    job INTEGER NOT NULL REFERENCES jobs (id),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (job, first)
) STRICT;

CREATE TABLE views (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    job INTEGER NOT NULL REFERENCES jobs (id),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    min_index INTEGER,
    runs BLOB NOT NULL
) STRICT;
CREATE INDEX views_by_session ON views (session, first);
CREATE INDEX views_by_job ON views (job, min_index);
";

/// Where a job stands in its trace, if that is known.
const VERSION_2: &str = "ALTER TABLE jobs ADD COLUMN trace_context TEXT;";

/// Without the indices that only ever told what is known by heart: that a job is accepted once, who follows what, and what views show
/// of a job. A job's row says of its submitter that it follows the job (`followed` is its place among all that are followed), which
/// ends with the job.
const VERSION_3: &str = "
CREATE TABLE new_jobs (
    id INTEGER PRIMARY KEY,
    job_id TEXT NOT NULL,
    principal TEXT NOT NULL,
    session_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    accepted_after INTEGER NOT NULL,
    accepted TEXT NOT NULL,
    key TEXT,
    fingerprint BLOB,
    input TEXT,
    rerun TEXT,
    sum INTEGER NOT NULL,
    stopping TEXT,
    stop_reason TEXT,
    ended TEXT,
    kept_from INTEGER NOT NULL DEFAULT 0,
    forgotten_seq INTEGER NOT NULL DEFAULT 0,
    checkpoint TEXT,
    remaining TEXT,
    gone INTEGER NOT NULL DEFAULT 0,
    trace_context TEXT,
    followed INTEGER,
    paces INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO new_jobs (id, job_id, principal, session_id, trace_id, accepted_after, accepted, key, fingerprint, input,
    rerun, sum, stopping, stop_reason, ended, kept_from, forgotten_seq, checkpoint, remaining, gone, trace_context)
    SELECT id, job_id, principal, session_id, trace_id, accepted_after, accepted, key, fingerprint, input,
    rerun, sum, stopping, stop_reason, ended, kept_from, forgotten_seq, checkpoint, remaining, gone, trace_context
    FROM jobs ORDER BY id;
DROP TABLE jobs;
ALTER TABLE new_jobs RENAME TO jobs;
CREATE INDEX jobs_by_key ON jobs (key, principal) WHERE key IS NOT NULL;

CREATE TABLE new_follows (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL REFERENCES sessions (id),
    job INTEGER NOT NULL REFERENCES jobs (id),
    submitted INTEGER NOT NULL,
    paces INTEGER NOT NULL,
    behind INTEGER
) STRICT;
INSERT INTO new_follows (id, session, job, submitted, paces, behind)
    SELECT id, session, job, submitted, paces, behind FROM follows ORDER BY id;
DROP TABLE follows;
ALTER TABLE new_follows RENAME TO follows;

DROP INDEX views_by_job;
";

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It holds nothing.
    Empty,
    /// A store with this version of the schema.
    Store(i64),
    /// The database of another application.
    Other,
}

impl Kind {
    pub(crate) fn of(conn: &Connection) -> rusqlite::Result<Self> {
        let application: i64 = pragma(conn, "application_id")?;
        let version: i64 = pragma(conn, "user_version")?;
        if application == i64::from(APPLICATION_ID) && version > 0 {
            return Ok(Self::Store(version));
        }
        let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let empty = tables == 0 && version == 0 && application == 0;
        Ok(if empty { Self::Empty } else { Self::Other })
    }
}

/// Brings the tables from version `from` to the last one of `migrations`. To be called within a transaction, and with nothing looked up
/// that rows refer to: tables are made anew.
pub(crate) fn migrate(conn: &Connection, from: i64, migrations: &[&str]) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(usize::MAX);
    for migration in migrations.get(done..).unwrap_or_default() {
        conn.execute_batch(migration)?;
    }
    conn.pragma_update(None, "application_id", APPLICATION_ID)?;
    conn.pragma_update(None, "user_version", migrations.len() as i64)
}

pub(crate) fn pragma(conn: &Connection, name: &str) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, name, |row| row.get(0))
}

/// The tables in memory, as a store has them, where nothing that rows refer to is looked up.
#[cfg(test)]
pub(crate) fn in_memory() -> Connection {
    let conn = tests::empty();
    migrate(&conn, 0, MIGRATIONS).unwrap();
    conn
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn empty() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "foreign_keys", false).unwrap();
        conn
    }

    #[test]
    fn migrations_run_from_where_the_file_is_and_once() {
        let conn = empty();
        assert_eq!(Kind::of(&conn).unwrap(), Kind::Empty);
        let first = MIGRATIONS.len() as i64;
        migrate(&conn, 0, MIGRATIONS).unwrap();
        assert_eq!(Kind::of(&conn).unwrap(), Kind::Store(first));
        conn.execute("UPDATE store SET epoch = 7", []).unwrap();

        let later =
            [MIGRATIONS, &["ALTER TABLE store ADD COLUMN note TEXT;", "UPDATE store SET note = 'x';"]]
                .concat();
        migrate(&conn, first, &later).unwrap();
        assert_eq!(Kind::of(&conn).unwrap(), Kind::Store(first + 2));
        migrate(&conn, first + 2, &later).unwrap();
        let row = conn.query_row("SELECT epoch, note FROM store", [], |row| Ok((row.get(0)?, row.get(1)?)));
        assert_eq!(row.unwrap(), (7, "x".to_owned()));
    }

    #[test]
    fn a_job_of_the_first_version_stands_nowhere_in_its_trace() {
        let conn = empty();
        migrate(&conn, 0, &MIGRATIONS[..1]).unwrap();
        let job =
            "INSERT INTO jobs (id, job_id, principal, session_id, trace_id, accepted_after, accepted, sum)
            VALUES (1, 'job_1', 'alice', 'sess_1', '1', 0, '{}', 0)";
        conn.execute(job, []).unwrap();
        migrate(&conn, 1, MIGRATIONS).unwrap();
        assert_eq!(Kind::of(&conn).unwrap(), Kind::Store(MIGRATIONS.len() as i64));
        let context =
            conn.query_row("SELECT trace_context FROM jobs", [], |row| row.get::<_, Option<String>>(0));
        assert_eq!(context, Ok(None));
    }

    #[test]
    fn rows_of_the_second_version_are_those_of_the_third() {
        let conn = empty();
        migrate(&conn, 0, &MIGRATIONS[..2]).unwrap();
        conn.execute_batch(
            "INSERT INTO sessions (id, session_id, principal, features, resume_token, sum)
             VALUES (1, 's', 'p', '[]', x'00', 7), (2, 't', 'p', '[]', x'00', 7);
             INSERT INTO jobs VALUES (3, 'job_3', 'p', 's', 't', 4, '{}', 'k', x'01', '1', '{}', 9, 'cancelled', 'why', 'error',
                5, 6, '2', '[]', 1, '00-');
             INSERT INTO jobs (id, job_id, principal, session_id, trace_id, accepted_after, accepted, sum)
             VALUES (8, 'job_8', 'p', 's', 't', 0, '{}', 0);
             INSERT INTO follows VALUES (5, 2, 8, 0, 1, 4), (9, 1, 8, 1, 0, NULL);
             INSERT INTO blocks VALUES (1, 3, 0, 1, x'0102');
             INSERT INTO views VALUES (1, 1, 3, 1, 2, 0, x'03'), (2, 2, 8, 1, 1, NULL, x'04');",
        )
        .unwrap();
        // Every value of every row, column by column; what is new is not set.
        let rows = |new: &str| {
            let mut all = Vec::new();
            for table in ["sessions", "jobs", "follows", "blocks", "views"] {
                let new = if table == "jobs" { new } else { "" };
                let mut select = conn.prepare(&format!("SELECT *{new} FROM {table} ORDER BY id")).unwrap();
                let names: Vec<String> = select.column_names().map(str::to_owned).collect();
                let mut rows = select.query([]).unwrap();
                while let Some(row) = rows.next().unwrap() {
                    for (at, name) in names.iter().enumerate() {
                        let value: rusqlite::types::Value = row.get(at).unwrap();
                        all.push(format!("{table} {name} {value:?}"));
                    }
                }
            }
            all
        };
        let before = rows(", NULL AS followed, 0 AS paces");
        migrate(&conn, 2, MIGRATIONS).unwrap();
        assert_eq!(rows(""), before);
        assert_eq!(before.len(), 2 * 12 + 2 * 23 + 2 * 6 + 5 + 2 * 7);
        let wrong: i64 = pragma_count(&conn, "foreign_key_check");
        assert_eq!(wrong, 0);
        let mut select = conn
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name != 'store' ORDER BY 1")
            .unwrap();
        let names = select.query_map([], |row| row.get::<_, String>(0)).unwrap();
        let names: Vec<String> = names.collect::<Result<_, _>>().unwrap();
        assert_eq!(
            names,
            ["jobs_by_key", "sessions_by_name", "sqlite_autoindex_blocks_1", "views_by_session"]
        );
    }

    fn pragma_count(conn: &Connection, pragma: &str) -> i64 {
        conn.query_row(&format!("SELECT count(*) FROM pragma_{pragma}"), [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_migration_that_fails_changes_nothing() {
        let conn = empty();
        let first = MIGRATIONS.len() as i64;
        migrate(&conn, 0, MIGRATIONS).unwrap();
        let later =
            [MIGRATIONS, &["ALTER TABLE store ADD COLUMN note TEXT;", "UPDATE nothing SET note = 'x';"]]
                .concat();
        conn.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(migrate(&conn, first, &later).is_err());
        conn.execute_batch("ROLLBACK").unwrap();
        assert_eq!(Kind::of(&conn).unwrap(), Kind::Store(first));
        assert!(conn.prepare("SELECT note FROM store").is_err());
    }

    #[test]
    fn another_application_is_known_by_its_tables_or_its_number() {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (x)").unwrap();
        assert_eq!(Kind::of(&conn).unwrap(), Kind::Other);
        let conn = Connection::open_in_memory().unwrap();
        conn.pragma_update(None, "application_id", 1).unwrap();
        assert_eq!(Kind::of(&conn).unwrap(), Kind::Other);
    }
}
