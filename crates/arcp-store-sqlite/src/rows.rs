//! Sessions, jobs and what follows what, as rows.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arcp_proto::job::{Accepted, FinalStatus};
use arcp_proto::{Digest, Json, Timestamp, TraceContext};
use arcp_runtime::Principal;
use arcp_runtime::StopCause;
use arcp_runtime::proto::JobId;
use arcp_runtime::store::{
    Fingerprint, FollowRecord, JobRecord, RecoveredJob, RecoveredSession, Rerun, SessionRecord,
};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Fault;

/// SQLite's numbers have a sign.
pub(crate) fn int(number: u64) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::Nonsense(format!("{number} is too large to be stored")))
}

pub(crate) fn uint(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(|_| Fault::Damaged(format!("{number} stands where a count should be")))
}

/// What a rerun is given beside its input.
#[derive(Serialize, Deserialize)]
struct RerunText {
    #[serde(skip_serializing_if = "Option::is_none")]
    max_runtime: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_context: Option<TraceContext>,
}

fn encode<T: Serialize>(value: &T) -> Result<String, Fault> {
    serde_json::to_string(value).map_err(|error| Fault::Nonsense(format!("a record is no JSON: {error}")))
}

fn decode<T: DeserializeOwned>(what: &str, text: String) -> Result<T, Fault> {
    serde_json::from_str(&text).map_err(|error| Fault::Damaged(format!("{what}: {error}")))
}

fn json(what: &str, text: String) -> Result<Json, Fault> {
    Json::parse(text).map_err(|_| Fault::Damaged(format!("{what} is not JSON")))
}

fn parse<T: std::str::FromStr>(what: &str, text: &str) -> Result<T, Fault> {
    text.parse().map_err(|_| Fault::Damaged(format!("{what} cannot be")))
}

fn bytes(what: &str, bytes: Vec<u8>) -> Result<[u8; 32], Fault> {
    bytes.try_into().map_err(|_| Fault::Damaged(format!("{what} is not of 32 bytes")))
}

/// A sum over what a row says of somebody's rights: a byte of it that has changed must not give them to somebody else.
fn sum(parts: &[Option<&[u8]>]) -> i64 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        let length = part.map_or(-1, |part| part.len() as i64);
        hasher.update(&length.to_be_bytes());
        hasher.update(part.unwrap_or_default());
    }
    i64::from(hasher.finalize())
}

/// The same, over columns that were read.
fn check_sum(row: &Row<'_>, what: &str, columns: &[usize], sum_column: usize) -> Result<(), Fault> {
    let parts = columns.iter().map(|column| {
        Ok(match row.get_ref(*column)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(Cow::Owned(number.to_be_bytes().to_vec())),
            ValueRef::Real(_) => Some(Cow::Borrowed(&[][..])), // no column is one
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(Cow::Borrowed(bytes)),
        })
    });
    let parts: Vec<Option<Cow<'_, [u8]>>> = parts.collect::<rusqlite::Result<_>>()?;
    let found = sum(&parts.iter().map(Option::as_deref).collect::<Vec<_>>());
    match row.get::<_, i64>(sum_column)? == found {
        true => Ok(()),
        false => Err(Fault::Damaged(format!("{what} has another sum than was written"))),
    }
}

/// Writes a new session.
pub(crate) fn insert_session(conn: &Connection, id: i64, record: &SessionRecord) -> Result<(), Fault> {
    let sql = "INSERT INTO sessions
        (session_id, principal, features, resume_token, old_resume_token, disconnected_at, quirks, sum, id)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    write_session(conn, sql, id, record)
}

/// Writes a session in the place of what was written of it.
pub(crate) fn update_session(conn: &Connection, id: i64, record: &SessionRecord) -> Result<(), Fault> {
    let sql = "UPDATE sessions SET session_id = ?1, principal = ?2, features = ?3,
        resume_token = ?4, old_resume_token = ?5, disconnected_at = ?6, quirks = ?7, sum = ?8 WHERE id = ?9";
    write_session(conn, sql, id, record)
}

fn write_session(conn: &Connection, sql: &str, id: i64, record: &SessionRecord) -> Result<(), Fault> {
    let features = encode(&record.features)?;
    let old_token = record.old_resume_token.as_ref().map(|token| token.as_bytes());
    let disconnected_at = record.disconnected_at.map(Timestamp::as_millis);
    let quirks = record.quirks.to_string();
    let sum = sum(&[
        Some(record.session_id.as_str().as_bytes()),
        Some(record.principal.as_str().as_bytes()),
        Some(features.as_bytes()),
        Some(record.resume_token.as_bytes()),
        old_token.map(|token| &token[..]),
        disconnected_at.map(i64::to_be_bytes).as_ref().map(|at| &at[..]),
        Some(quirks.as_bytes()),
    ]);
    conn.prepare_cached(sql)?.execute(params![
        record.session_id.as_str(),
        record.principal.as_str(),
        features,
        record.resume_token.as_bytes(),
        old_token,
        disconnected_at,
        quirks,
        sum,
        id,
    ])?;
    Ok(())
}

/// What [`read_session`] wants to be selected.
pub(crate) const SESSION: &str = "id, session_id, principal, features, resume_token, old_resume_token,
    disconnected_at, kept_from, acknowledged, quirks, sum";

/// Reads a session, without its view and what it follows.
pub(crate) fn read_session(row: &Row<'_>) -> Result<(i64, RecoveredSession), Fault> {
    check_sum(row, "a session", &[1, 2, 3, 4, 5, 6, 9], 10)?;
    let old: Option<Vec<u8>> = row.get(5)?;
    let record = SessionRecord {
        session_id: parse("name of a session", row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        principal: Principal::new(row.get::<_, String>(2)?),
        features: decode("features of a session", row.get(3)?)?,
        resume_token: Digest::from_bytes(bytes("digest of a token", row.get(4)?)?),
        old_resume_token: old
            .map(|old| bytes("digest of a token", old).map(Digest::from_bytes))
            .transpose()?,
        quirks: parse("quirks of a session", row.get_ref(9)?.as_str().map_err(rusqlite::Error::from)?)?,
        disconnected_at: row.get::<_, Option<i64>>(6)?.map(Timestamp::from_millis),
    };
    let mut session = RecoveredSession::new(record);
    session.first_seq = uint(row.get(7)?)?;
    session.acknowledged = uint(row.get(8)?)?;
    Ok((row.get(0)?, session))
}

/// Writes a new job.
pub(crate) fn insert_job(conn: &Connection, id: i64, record: &JobRecord) -> Result<(), Fault> {
    let sql = "INSERT INTO jobs (id, job_id, principal, session_id, trace_id, accepted_after, accepted,
        key, fingerprint, input, rerun, sum, trace_context)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";
    let (key, fingerprint) = record.key.as_ref().map(|(key, of)| (&**key, of.as_bytes())).unzip();
    let rerun = record.rerun.as_ref().map(|rerun| {
        let (max_runtime, trace_context) = (rerun.max_runtime, rerun.trace_context.clone());
        encode(&RerunText { max_runtime, trace_context })
    });
    let (trace_id, after) = (record.trace_id.to_string(), int(record.accepted_after)?);
    let accepted = encode(&without_credentials(&record.accepted))?;
    let (input, rerun) = (record.rerun.as_ref().map(|rerun| rerun.input.as_str()), rerun.transpose()?);
    // Without the key, which is forgotten before the job is.
    let sum = sum(&[
        Some(record.accepted.job_id.as_str().as_bytes()),
        Some(record.principal.as_str().as_bytes()),
        Some(record.session_id.as_str().as_bytes()),
        Some(trace_id.as_bytes()),
        Some(&after.to_be_bytes()),
        Some(accepted.as_bytes()),
        input.map(str::as_bytes),
        rerun.as_deref().map(str::as_bytes),
    ]);
    conn.prepare_cached(sql)?.execute(params![
        id,
        record.accepted.job_id.as_str(),
        record.principal.as_str(),
        record.session_id.as_str(),
        trace_id,
        after,
        accepted,
        key,
        fingerprint,
        input,
        rerun,
        sum,
        record.trace_context.as_ref().map(encode).transpose()?,
    ])?;
    Ok(())
}

/// A runtime keeps them apart, and none is ever to be in the file.
fn without_credentials(accepted: &Accepted) -> Cow<'_, Accepted> {
    match accepted.credentials.is_empty() {
        true => Cow::Borrowed(accepted),
        false => Cow::Owned(Accepted { credentials: Vec::new(), ..accepted.clone() }),
    }
}

/// What [`read_job`] wants to be selected.
pub(crate) const JOB: &str = "id, job_id, principal, session_id, trace_id, accepted_after, accepted,
    key, fingerprint, input, rerun, stopping, stop_reason, ended, kept_from, forgotten_seq, checkpoint, remaining, gone, sum,
    trace_context";

/// Reads a job, without its log.
pub(crate) fn read_job(row: &Row<'_>) -> Result<(i64, RecoveredJob), Fault> {
    let text = |column: usize| row.get::<_, String>(column);
    let optional = |column: usize| row.get::<_, Option<String>>(column);
    check_sum(row, "a job", &[1, 2, 3, 4, 5, 6, 9, 10], 19)?;
    let job_id: JobId = parse("name of a job", &text(1)?)?;
    let what = |part: &str| format!("{part} of job {job_id}");
    let key = match (optional(7)?, row.get::<_, Option<Vec<u8>>>(8)?) {
        (Some(key), Some(of)) => {
            Some((key.into(), Fingerprint::from_bytes(bytes(&what("fingerprint"), of)?)))
        }
        _ => None,
    };
    let rerun = match (optional(9)?, optional(10)?) {
        (Some(input), Some(rerun)) => {
            let RerunText { max_runtime, trace_context } = decode(&what("rerun"), rerun)?;
            Some(Rerun { input: json(&what("input"), input)?, max_runtime, trace_context })
        }
        _ => None,
    };
    let mut job = RecoveredJob::new(JobRecord {
        principal: Principal::new(text(2)?),
        session_id: parse(&what("session"), &text(3)?)?,
        trace_id: parse(&what("trace"), &text(4)?)?,
        trace_context: optional(20)?.map(|text| decode(&what("trace"), text)).transpose()?,
        accepted_after: uint(row.get(5)?)?,
        accepted: Arc::new(decode(&what("acceptance"), text(6)?)?),
        key,
        rerun,
    });
    if job.head.job_id != job_id {
        return Err(Fault::Damaged(what("acceptance") + " is that of another one"));
    }
    if let Some(cause) = optional(11)? {
        let cause = cause_of(&cause).ok_or_else(|| Fault::Damaged(what("end") + " cannot be"))?;
        job.stopping = Some((cause, optional(12)?));
    }
    job.ended = optional(13)?.map(|status| FinalStatus::from(status.as_str()));
    job.kept_from = uint(row.get(14)?)?;
    job.forgotten_seq = uint(row.get(15)?)?;
    job.checkpoint = optional(16)?.map(|text| json(&what("checkpoint"), text)).transpose()?;
    job.remaining = optional(17)?.map(|text| decode(&what("budget"), text)).transpose()?;
    job.gone = row.get(18)?;
    Ok((row.get(0)?, job))
}

/// Why a job is to stop, as a word.
pub(crate) fn cause(cause: StopCause) -> Result<&'static str, Fault> {
    match cause {
        StopCause::Cancelled => Ok("cancelled"),
        StopCause::TimedOut => Ok("timed_out"),
        StopCause::LeaseExpired => Ok("lease_expired"),
        _ => Err(Fault::Nonsense("a job stops for what this store does not know".to_owned())),
    }
}

fn cause_of(word: &str) -> Option<StopCause> {
    match word {
        "cancelled" => Some(StopCause::Cancelled),
        "timed_out" => Some(StopCause::TimedOut),
        "lease_expired" => Some(StopCause::LeaseExpired),
        _ => None,
    }
}

/// Changes a column of a job.
pub(crate) fn set_json(conn: &Connection, sql: &str, id: i64, json: &impl Serialize) -> Result<(), Fault> {
    conn.prepare_cached(sql)?.execute(params![id, encode(json)?])?;
    Ok(())
}

/// Writes who follows a job, after all that was written before.
pub(crate) fn put_follow(
    conn: &Connection,
    session: i64,
    job: i64,
    follow: &FollowRecord,
) -> Result<(), Fault> {
    let sql =
        "INSERT OR REPLACE INTO follows (session, job, submitted, paces, behind) VALUES (?1, ?2, ?3, ?4, ?5)";
    let behind = follow.behind.map(int).transpose()?;
    conn.prepare_cached(sql)?.execute(params![session, job, follow.submitted, follow.paces, behind])?;
    Ok(())
}
