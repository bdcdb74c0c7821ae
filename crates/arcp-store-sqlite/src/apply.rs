//! A batch as statements. What it means is what `arcp_runtime::store::Image` makes of it.

use std::collections::HashMap;

use arcp_proto::{JobId, SessionId};
use arcp_runtime::store::{Batch, JobRecord, Logged, SessionRecord, ViewRecord, Write};
use rusqlite::{Connection, params};

use crate::block;
use crate::error::Fault;
use crate::ids::{Ids, JobRow, SessionRow};
use crate::retain::Retention;
use crate::rows::{self, int};
use crate::runs::{self, Run};

/// Writes a batch within a transaction. After an error that is to be rolled back, and so is `ids`.
pub(crate) fn apply(
    conn: &Connection,
    ids: &mut Ids,
    retention: &mut Retention,
    batch: &Batch,
) -> Result<(), Fault> {
    retention.begin();
    let mut apply = Apply { conn, ids, retention, appended: Vec::new(), places: HashMap::new() };
    for write in &batch.writes {
        apply.write(write)?;
    }
    apply.append()
}

struct Apply<'a> {
    conn: &'a Connection,
    ids: &'a mut Ids,
    retention: &'a mut Retention,
    /// Entries by job: those of one batch make one block.
    appended: Vec<(i64, Vec<&'a Logged>)>,
    /// Where each job is in `appended`.
    places: HashMap<i64, usize>,
}

impl<'a> Apply<'a> {
    fn write(&mut self, write: &'a Write) -> Result<(), Fault> {
        match write {
            Write::Session(record) => self.session(record),
            Write::SessionGone(id) => self.session_gone(id),
            Write::View(view) => self.view(view),
            Write::Follow(follow) => {
                let (Some(session), Some(job)) =
                    (self.ids.session(&follow.session_id), self.ids.job(&follow.job_id))
                else {
                    return Ok(());
                };
                rows::put_follow(self.conn, session.id, job.id, follow)
            }
            Write::Unfollow(session_id, job_id) => {
                let (Some(session), Some(job)) = (self.ids.session(session_id), self.ids.job(job_id)) else {
                    return Ok(());
                };
                let sql = "DELETE FROM follows WHERE session = ?1 AND job = ?2";
                self.execute(sql, params![session.id, job.id])
            }
            Write::Job(record) => self.job(record),
            Write::Appended(entries) => self.appended(entries),
            Write::JobStopping(job_id, cause, reason) => {
                let sql = "UPDATE jobs SET stopping = ?2, stop_reason = ?3 WHERE id = ?1";
                self.of_job(job_id, |this, job| {
                    this.execute(sql, params![job.id, rows::cause(*cause)?, reason])
                })
            }
            Write::JobEnded(job_id, status) => self.of_job(job_id, |this, job| {
                let sql = "UPDATE jobs SET ended = ?2 WHERE id = ?1";
                this.execute(sql, params![job.id, status.as_str()])?;
                this.execute("DELETE FROM follows WHERE job = ?1 AND behind IS NULL", params![job.id])
            }),
            Write::Forgotten(forgotten) => self.of_job(&forgotten.job_id, |this, job| {
                let sql = "UPDATE jobs SET kept_from = ?2, forgotten_seq = ?3 WHERE id = ?1";
                this.retention.job(job.id);
                this.execute(sql, params![job.id, int(forgotten.kept_from)?, int(forgotten.owner_seq)?])
            }),
            Write::Checkpoint(job_id, checkpoint) => self.of_job(job_id, |this, job| {
                let sql = "UPDATE jobs SET checkpoint = ?2 WHERE id = ?1";
                this.execute(sql, params![job.id, checkpoint.as_str()])
            }),
            Write::Remaining(job_id, remaining) => self.of_job(job_id, |this, job| {
                rows::set_json(this.conn, "UPDATE jobs SET remaining = ?2 WHERE id = ?1", job.id, remaining)
            }),
            Write::JobGone(job_id) => self.of_job(job_id, |this, job| {
                this.retention.job(job.id);
                this.execute("UPDATE jobs SET gone = 1 WHERE id = ?1", params![job.id])?;
                this.execute("DELETE FROM follows WHERE job = ?1", params![job.id])
            }),
            Write::KeyGone(principal, key) => {
                let sql = "UPDATE jobs SET key = NULL, fingerprint = NULL WHERE key = ?1 AND principal = ?2";
                self.execute(sql, params![key, principal.as_str()])
            }
            _ => Err(Fault::Nonsense("a batch holds a write that this store does not know".to_owned())),
        }
    }

    fn execute(&self, sql: &str, params: impl rusqlite::Params) -> Result<(), Fault> {
        self.conn.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    /// Does something to a job, if it is known.
    fn of_job(
        &mut self,
        job_id: &JobId,
        then: impl FnOnce(&mut Self, JobRow) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        match self.ids.job(job_id) {
            Some(job) => then(self, job),
            None => Ok(()),
        }
    }

    fn session(&mut self, record: &SessionRecord) -> Result<(), Fault> {
        match self.ids.session(&record.session_id) {
            Some(session) => rows::update_session(self.conn, session.id, record),
            None => {
                let id = self.ids.new_session(&record.session_id);
                rows::insert_session(self.conn, id, record)
            }
        }
    }

    fn session_gone(&mut self, session_id: &SessionId) -> Result<(), Fault> {
        let Some(session) = self.ids.forget_session(session_id) else { return Ok(()) };
        self.retention.session(session.id);
        self.execute("DELETE FROM follows WHERE session = ?1", params![session.id])?;
        self.execute("UPDATE sessions SET gone = 1 WHERE id = ?1", params![session.id])
    }

    fn job(&mut self, record: &JobRecord) -> Result<(), Fault> {
        let id = self.ids.new_job(&record.accepted.job_id);
        rows::insert_job(self.conn, id, record)
    }

    fn appended(&mut self, entries: &'a [Logged]) -> Result<(), Fault> {
        let Some(first) = entries.first() else { return Ok(()) };
        let job_id = &first.entry.job.job_id;
        let job = self.ids.job(job_id).ok_or_else(|| unknown(job_id))?;
        for (logged, expected) in entries.iter().zip(job.head..) {
            let found = logged.entry.index;
            if found != expected {
                let (expected, actual) = (found, expected);
                return Err(Fault::Head { job_id: job_id.to_string(), expected, actual });
            }
        }
        let head = job.head + entries.len() as u64;
        self.ids.set_job(job_id, JobRow { head, ..job });
        let place = *self.places.entry(job.id).or_insert_with(|| {
            self.appended.push((job.id, Vec::with_capacity(entries.len())));
            self.appended.len() - 1
        });
        self.appended[place].1.extend(entries);
        Ok(())
    }

    /// Writes the entries of the batch, at its end.
    fn append(self) -> Result<(), Fault> {
        let sql = "INSERT INTO blocks (job, first, last, body) VALUES (?1, ?2, ?3, ?4)";
        for (job, entries) in self.appended {
            let mut entries = entries.as_slice();
            while let [first, ..] = entries {
                let (these, rest) = entries.split_at(block::split(entries));
                let first = int(first.entry.index)?;
                let place = block::Place { job, first, last: first + these.len() as i64 - 1 };
                let body = block::encode(place, these);
                self.retention.wrote(body.len());
                let mut insert = self.conn.prepare_cached(sql)?;
                insert.execute(params![job, place.first, place.last, body])?;
                entries = rest;
            }
        }
        Ok(())
    }

    fn view(&mut self, view: &ViewRecord) -> Result<(), Fault> {
        let Some(session) = self.ids.session(&view.session_id) else { return Ok(()) };
        let kept_from = session.kept_from.max(view.kept_from);
        let changed = SessionRow { kept_from, acknowledged: view.acknowledged, ..session };
        if changed != session {
            let sql = "UPDATE sessions SET kept_from = ?2, acknowledged = ?3 WHERE id = ?1";
            self.execute(sql, params![session.id, int(kept_from)?, int(view.acknowledged)?])?;
            self.ids.set_session(&view.session_id, changed);
        }
        if kept_from != session.kept_from {
            self.retention.session(session.id);
        }
        let mut jobs: Vec<(i64, Vec<Run>)> = Vec::new();
        let mut places = HashMap::new();
        let mut seq = view.first_seq;
        for shown in &view.shown {
            let job_id = &shown.job.job_id;
            let place = match places.get(job_id) {
                Some(place) => *place,
                None => {
                    let job = self.ids.job(job_id).ok_or_else(|| unknown(job_id))?;
                    places.insert(job_id, jobs.len());
                    jobs.push((job.id, Vec::new()));
                    jobs.len() - 1
                }
            };
            jobs[place].1.push(Run { seq, index: shown.index, count: shown.count, gap: shown.gap });
            seq += shown.count;
        }
        for (job, runs) in jobs {
            self.shown(session.id, job, &runs)?;
        }
        Ok(())
    }

    fn shown(&mut self, session: i64, job: i64, runs: &[Run]) -> Result<(), Fault> {
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(()) };
        let (first, last) = (int(first.seq)?, int(last.seq + last.count - 1)?);
        // What stands for a gap shows no entry.
        let min_index = runs.iter().filter(|run| run.gap.is_none()).map(|run| run.index).min();
        let bytes = runs::encode(runs::Place { session, job, first, last }, runs);
        self.retention.wrote(bytes.len());
        let sql =
            "INSERT INTO views (session, job, first, last, min_index, runs) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        self.execute(sql, params![session, job, first, last, min_index.map(int).transpose()?, bytes])
    }
}

fn unknown(job_id: &JobId) -> Fault {
    Fault::Nonsense(format!("a batch speaks of job {job_id}, which was never accepted"))
}
