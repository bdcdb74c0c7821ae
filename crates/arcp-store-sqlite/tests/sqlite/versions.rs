//! Files of earlier versions of the schema, as the programs of their time have left them.

use std::path::Path;

use arcp_proto::job::FinalStatus;
use arcp_proto::{Digest, Timestamp};
use arcp_runtime::StopCause;
use arcp_runtime::store::{Batch, Recovered, Store, Write};
use arcp_store_sqlite::{SqliteReader, SqliteStore};
use rusqlite::{Connection, params};

use crate::temporary;

const VERSION_2: &str = "
CREATE TABLE store (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL
) STRICT;
INSERT INTO store (id, epoch) VALUES (1, 4);

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
ALTER TABLE jobs ADD COLUMN trace_context TEXT;
PRAGMA application_id = 0x41524350;
PRAGMA user_version = 2;
";

/// The sum over columns that say whose something is.
fn sum(parts: &[Option<&[u8]>]) -> u32 {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(part.map_or(-1, |part| part.len() as i64).to_be_bytes());
        bytes.extend_from_slice(part.unwrap_or_default());
    }
    crc32fast::hash(&bytes)
}

/// A session that is connected and one that is not; a job that has ended, one that is to stop, and one that runs; who follows them.
fn version_2(path: &Path) {
    let conn = Connection::open(path).unwrap();
    conn.pragma_update(None, "auto_vacuum", "INCREMENTAL").unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    conn.execute_batch(VERSION_2).unwrap();
    let (features, token) = (r#"["ack"]"#, *Digest::of("token").as_bytes());
    for (id, name, gone_at) in [(1, "sess_1", None), (2, "sess_2", Some(1_700_000_000_000_i64))] {
        let at = gone_at.map(i64::to_be_bytes);
        let parts = [name.as_bytes(), b"alice", features.as_bytes(), &token].map(Some);
        let sum = sum(&[&parts[..], &[None, at.as_ref().map(|at| &at[..]), Some(b"")]].concat());
        let sql =
            "INSERT INTO sessions (id, session_id, principal, features, resume_token, disconnected_at, sum)
            VALUES (?1, ?2, 'alice', ?3, ?4, ?5, ?6)";
        conn.execute(sql, params![id, name, features, token, gone_at, sum]).unwrap();
    }
    for (id, ended, stopping) in [(1, Some("error"), None), (2, None, Some("cancelled")), (3, None, None)] {
        let name = format!("job_{id}");
        let accepted = format!(r#"{{"job_id":"{name}","lease":{{}}}}"#);
        let trace = format!("{id:032x}");
        let parts = [name.as_bytes(), b"alice", b"sess_1", trace.as_bytes(), &[0; 8], accepted.as_bytes()];
        let sum = sum(&[&parts.map(Some)[..], &[None, None]].concat());
        let sql = "INSERT INTO jobs (id, job_id, principal, session_id, trace_id, accepted_after, accepted, sum, ended, stopping)
            VALUES (?1, ?2, 'alice', 'sess_1', ?3, 0, ?4, ?5, ?6, ?7)";
        conn.execute(sql, params![id, name, trace, accepted, sum, ended, stopping]).unwrap();
    }
    conn.execute_batch(
        "INSERT INTO follows VALUES (4, 2, 3, 0, 0, 7), (6, 1, 3, 1, 1, NULL), (5, 1, 2, 1, 0, NULL);",
    )
    .unwrap();
}

fn following(recovered: &Recovered) -> Vec<(&str, &str, bool, Option<u64>)> {
    let all = recovered.sessions.iter().flat_map(|session| &session.following);
    all.map(|one| (one.session_id.as_str(), one.job_id.as_str(), one.paces, one.behind)).collect()
}

#[tokio::test]
async fn a_file_of_the_second_version_is_taken_on_and_goes_on() {
    let (_directory, path) = temporary();
    version_2(&path);
    let store = SqliteStore::new(&path);
    let opened = store.open().await.unwrap();
    assert_eq!(opened.epoch.0, 5);
    let recovered = &opened.recovered;
    let gone_at: Vec<_> = recovered.sessions.iter().map(|session| session.record.disconnected_at).collect();
    assert_eq!(gone_at, [None, Some(Timestamp::from_millis(1_700_000_000_000))]);
    let states: Vec<_> = recovered.jobs.iter().map(|job| (job.ended.clone(), job.stopping.clone())).collect();
    let cancelled = Some((StopCause::Cancelled, None));
    assert_eq!(states, [(Some(FinalStatus::Error), None), (None, cancelled), (None, None)]);
    let before = [
        ("sess_1", "job_2", false, None),
        ("sess_1", "job_3", true, None),
        ("sess_2", "job_3", false, Some(7)),
    ];
    assert_eq!(following(recovered), before);

    let mut record = recovered.sessions[1].record.clone();
    record.disconnected_at = None;
    let writes = vec![
        Write::Session(record),
        Write::JobEnded("job_3".parse().unwrap(), FinalStatus::Success),
        Write::JobEnded("job_2".parse().unwrap(), FinalStatus::Cancelled),
    ];
    store.commit(opened.epoch, Batch { position: 1, writes }.into()).await.unwrap();
    store.close().await;
    let recovered = store.open().await.unwrap().recovered;
    assert!(recovered.sessions.iter().all(|session| session.record.disconnected_at.is_none()));
    assert!(recovered.jobs.iter().all(|job| job.ended.is_some()));
    assert_eq!(following(&recovered), [("sess_2", "job_3", false, Some(7))]);
    let reader = SqliteReader::open(&path).unwrap();
    let found = |name: &str| {
        reader.entries(&name.parse().unwrap(), 0, |_| std::ops::ControlFlow::Continue(())).unwrap()
    };
    assert!(found("job_2") && found("job_3") && !found("job_4"));
}
