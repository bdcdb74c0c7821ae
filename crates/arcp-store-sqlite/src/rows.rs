//! Sessions, jobs and what follows what, as rows.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use arcp_proto::job::{Accepted, FinalStatus};
use arcp_proto::{Budget, Digest, Features, Json, Timestamp, TraceContext};
use arcp_runtime::Principal;
use arcp_runtime::StopCause;
use arcp_runtime::proto::JobId;
use arcp_runtime::store::{
    Fingerprint, ForgottenRecord, JobRecord, RecoveredJob, RecoveredSession, Rerun, SessionRecord,
};
use rusqlite::types::ValueRef;
use rusqlite::{Row, Statement, params};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Fault;
use crate::follows::Follow;

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
    // In one piece: a sum over many short ones takes several times as long.
    let mut bytes = Vec::with_capacity(1024);
    for part in parts {
        let length = part.map_or(-1, |part| part.len() as i64);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(part.unwrap_or_default());
    }
    i64::from(crc32fast::hash(&bytes))
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

/// What stands in the place of the time at which a session was disconnected while it is not, and of how a job has ended while it has not: as long
/// as what will stand there, so that the row can stay where it is.
const CONNECTED: i64 = (1 << 47) - 1;
pub(crate) const RUNNING: &str = "running";

/// Writes a new session.
pub(crate) const INSERT_SESSION: &str = "INSERT INTO sessions (principal, features, resume_token,
    old_resume_token, disconnected_at, quirks, sum, id, session_id)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

/// Writes a session in the place of what was written of it. Its name stays, and so no index changes.
pub(crate) const UPDATE_SESSION: &str =
    "UPDATE sessions SET principal = ?1, features = ?2, resume_token = ?3,
    old_resume_token = ?4, disconnected_at = ?5, quirks = ?6, sum = ?7 WHERE id = ?8";

/// Features as they are stored. Most sessions have those of the one before.
#[derive(Default)]
pub(crate) struct FeatureText<'a>(Option<(&'a Features, String)>);

impl<'a> FeatureText<'a> {
    fn of(&mut self, features: &'a Features) -> Result<&str, Fault> {
        if self.0.as_ref().is_none_or(|(last, _)| *last != features) {
            self.0 = Some((features, encode(features)?));
        }
        Ok(self.0.as_ref().map_or("", |(_, text)| text))
    }
}

/// Runs [`INSERT_SESSION`] or [`UPDATE_SESSION`].
pub(crate) fn write_session<'a>(
    statement: &mut Statement<'_>,
    features: &mut FeatureText<'a>,
    id: i64,
    record: &'a SessionRecord,
) -> Result<(), Fault> {
    let features = features.of(&record.features)?;
    let old_token = record.old_resume_token.as_ref().map(|token| token.as_bytes());
    let disconnected_at = record.disconnected_at.map_or(CONNECTED, Timestamp::as_millis);
    let quirks = record.quirks.to_string();
    let sum = sum(&[
        Some(record.session_id.as_str().as_bytes()),
        Some(record.principal.as_str().as_bytes()),
        Some(features.as_bytes()),
        Some(record.resume_token.as_bytes()),
        old_token.map(|token| &token[..]),
        Some(&disconnected_at.to_be_bytes()),
        Some(quirks.as_bytes()),
    ]);
    statement.raw_bind_parameter(1, record.principal.as_str())?;
    statement.raw_bind_parameter(2, features)?;
    statement.raw_bind_parameter(3, record.resume_token.as_bytes())?;
    statement.raw_bind_parameter(4, old_token)?;
    statement.raw_bind_parameter(5, disconnected_at)?;
    statement.raw_bind_parameter(6, quirks)?;
    statement.raw_bind_parameter(7, sum)?;
    statement.raw_bind_parameter(8, id)?;
    if statement.parameter_count() == 9 {
        statement.raw_bind_parameter(9, record.session_id.as_str())?;
    }
    statement.raw_execute()?;
    Ok(())
}

/// What [`read_session`] wants to be selected.
pub(crate) const SESSION: &str = "id, session_id, principal, features, resume_token, old_resume_token,
    disconnected_at, kept_from, acknowledged, quirks, sum";

/// Reads a session, without its view and what it follows.
pub(crate) fn read_session(row: &Row<'_>) -> Result<(i64, RecoveredSession), Fault> {
    check_sum(row, "a session", &[1, 2, 3, 4, 5, 6, 9], 10)?;
    let old: Option<Vec<u8>> = row.get(5)?;
    let disconnected_at = row.get::<_, Option<i64>>(6)?.filter(|at| *at != CONNECTED);
    let record = SessionRecord {
        session_id: parse("name of a session", row.get_ref(1)?.as_str().map_err(rusqlite::Error::from)?)?,
        principal: Principal::new(row.get::<_, String>(2)?),
        features: decode("features of a session", row.get(3)?)?,
        resume_token: Digest::from_bytes(bytes("digest of a token", row.get(4)?)?),
        old_resume_token: old
            .map(|old| bytes("digest of a token", old).map(Digest::from_bytes))
            .transpose()?,
        quirks: parse("quirks of a session", row.get_ref(9)?.as_str().map_err(rusqlite::Error::from)?)?,
        disconnected_at: disconnected_at.map(Timestamp::from_millis),
    };
    let mut session = RecoveredSession::new(record);
    session.first_seq = uint(row.get(7)?)?;
    session.acknowledged = uint(row.get(8)?)?;
    Ok((row.get(0)?, session))
}

/// What a batch makes of a job beside its log.
#[derive(Default)]
pub(crate) struct JobChange<'a> {
    /// It is new.
    pub(crate) accepted: Option<&'a JobRecord>,
    /// Its key, if it is new, is forgotten.
    pub(crate) keyless: bool,
    pub(crate) stopping: Option<(StopCause, Option<&'a str>)>,
    pub(crate) ended: Option<&'a FinalStatus>,
    pub(crate) forgotten: Option<&'a ForgottenRecord>,
    pub(crate) checkpoint: Option<&'a Json>,
    pub(crate) remaining: Option<&'a Budget>,
    pub(crate) gone: bool,
}

/// What of a job may change, in the form that it is stored in.
struct Changing<'a> {
    stopping: Option<&'static str>,
    stop_reason: Option<&'a str>,
    ended: Option<&'a str>,
    kept_from: Option<i64>,
    forgotten_seq: Option<i64>,
    checkpoint: Option<&'a str>,
    remaining: Option<String>,
}

impl<'a> JobChange<'a> {
    fn changing(&self) -> Result<Changing<'a>, Fault> {
        let (kept_from, forgotten_seq) = match self.forgotten {
            Some(forgotten) => (Some(int(forgotten.kept_from)?), Some(int(forgotten.owner_seq)?)),
            None => (None, None),
        };
        Ok(Changing {
            stopping: self.stopping.map(|(of, _)| cause(of)).transpose()?,
            stop_reason: self.stopping.and_then(|(_, reason)| reason),
            ended: self.ended.map(FinalStatus::as_str),
            kept_from,
            forgotten_seq,
            checkpoint: self.checkpoint.map(Json::as_str),
            remaining: self.remaining.map(encode).transpose()?,
        })
    }

    /// Whether there is something to be changed, of a job that is not new.
    pub(crate) fn is_some(&self) -> bool {
        self.ended.is_some() || self.is_more_than_an_end()
    }

    /// Whether it is [`END_JOB`].
    pub(crate) fn is_end_alone(&self) -> bool {
        self.ended.is_some() && !self.is_more_than_an_end()
    }

    /// Whether there is something that [`UPDATE_JOB`] alone can write.
    pub(crate) fn is_more_than_an_end(&self) -> bool {
        let Self { accepted: _, keyless: _, stopping, ended: _, forgotten, checkpoint, remaining, gone } =
            self;
        let text = stopping.is_some() || checkpoint.is_some() || remaining.is_some();
        text || forgotten.is_some() || *gone
    }
}

/// Writes a new job, and that it has ended. What else has become of it is written by [`UPDATE_JOB`].
pub(crate) const INSERT_JOB: &str =
    "INSERT INTO jobs (id, job_id, principal, session_id, trace_id, accepted_after,
    accepted, key, fingerprint, input, rerun, sum, trace_context, ended, followed, paces)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";

/// Runs [`INSERT_JOB`].
pub(crate) fn insert_job(
    statement: &mut Statement<'_>,
    id: i64,
    record: &JobRecord,
    change: &JobChange<'_>,
    follow: Option<Follow>,
) -> Result<(), Fault> {
    let key = record.key.as_ref().filter(|_| !change.keyless);
    let (key, fingerprint) = key.map(|(key, of)| (&**key, of.as_bytes())).unzip();
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
    statement.execute(params![
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
        change.ended.map_or(RUNNING, FinalStatus::as_str),
        follow.map(|follow| follow.id),
        follow.is_some_and(|follow| follow.paces),
    ])?;
    Ok(())
}

/// Writes that a job has ended, which is all that has become of most.
pub(crate) const END_JOB: &str = "UPDATE jobs SET ended = ?2 WHERE id = ?1";

/// Runs [`END_JOB`].
pub(crate) fn end_job(statement: &mut Statement<'_>, id: i64, change: &JobChange<'_>) -> Result<(), Fault> {
    statement.execute(params![id, change.ended.map(FinalStatus::as_str)])?;
    Ok(())
}

/// Changes of a job what has changed.
pub(crate) const UPDATE_JOB: &str = "UPDATE jobs SET stopping = ifnull(?2, stopping),
    stop_reason = iif(?2 IS NULL, stop_reason, ?3), ended = ifnull(?4, ended),
    kept_from = ifnull(?5, kept_from), forgotten_seq = ifnull(?6, forgotten_seq),
    checkpoint = ifnull(?7, checkpoint), remaining = ifnull(?8, remaining), gone = max(?9, gone)
    WHERE id = ?1";

/// Runs [`UPDATE_JOB`].
pub(crate) fn update_job(
    statement: &mut Statement<'_>,
    id: i64,
    change: &JobChange<'_>,
) -> Result<(), Fault> {
    let now = change.changing()?;
    statement.execute(params![
        id,
        now.stopping,
        now.stop_reason,
        now.ended,
        now.kept_from,
        now.forgotten_seq,
        now.checkpoint,
        now.remaining,
        change.gone,
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
    job.ended = optional(13)?.filter(|word| word != RUNNING).map(|word| FinalStatus::from(word.as_str()));
    job.kept_from = uint(row.get(14)?)?;
    job.forgotten_seq = uint(row.get(15)?)?;
    job.checkpoint = optional(16)?.map(|text| json(&what("checkpoint"), text)).transpose()?;
    job.remaining = optional(17)?.map(|text| decode(&what("budget"), text)).transpose()?;
    job.gone = row.get(18)?;
    Ok((row.get(0)?, job))
}

/// Why a job is to stop, as a word.
fn cause(cause: StopCause) -> Result<&'static str, Fault> {
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
