//! Reading everything back that is still needed.

use std::collections::HashMap;
use std::sync::Arc;

use arcp_runtime::store::{FollowRecord, JobHead, Recovered, RecoveredJob, RecoveredSession, Shown};
use rusqlite::Connection;

use crate::block;
use crate::error::Fault;
use crate::follows::{Follow, Follows};
use crate::ids::{Ids, JobRow, SessionRow};
use crate::rows::{self, JOB, SESSION, uint};
use crate::runs::{self, Run};
use crate::shown::ShownJobs;

/// What is read back, by the ids of the rows.
struct Recovery<'a> {
    conn: &'a Connection,
    sessions: Vec<(i64, RecoveredSession)>,
    jobs: Vec<(i64, RecoveredJob)>,
    session_at: HashMap<i64, usize>,
    job_at: HashMap<i64, usize>,
    /// For each job the lowest place that is needed.
    needed: Vec<u64>,
    /// For each job where its log ends.
    heads: Vec<u64>,
    follows: Follows,
}

/// Reads the whole store, in one transaction of the caller's or with nobody else writing.
pub(crate) fn recover(conn: &Connection) -> Result<(Recovered, Ids), Fault> {
    let (sessions, jobs) = (sessions(conn)?, jobs(conn)?);
    let session_at = sessions.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
    let job_at = jobs.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
    let needed = jobs.iter().map(|(_, job)| if job.gone { u64::MAX } else { job.kept_from }).collect();
    let heads = jobs.iter().map(|(_, job)| job.kept_from).collect();
    let follows = Follows::new(next(conn, "follows", "id")?.max(next(conn, "jobs", "followed")?));
    let mut recovery = Recovery { conn, sessions, jobs, session_at, job_at, needed, heads, follows };
    recovery.follows()?;
    let shown = recovery.views()?;
    recovery.blocks()?;
    recovery.finish(&shown)
}

/// All sessions that are not gone, without their views and what they follow.
pub(crate) fn sessions(conn: &Connection) -> Result<Vec<(i64, RecoveredSession)>, Fault> {
    let mut select = conn.prepare(&format!("SELECT {SESSION} FROM sessions WHERE gone = 0 ORDER BY id"))?;
    let mut rows = select.query([])?;
    let mut sessions = Vec::new();
    while let Some(row) = rows.next()? {
        sessions.push(rows::read_session(row)?);
    }
    Ok(sessions)
}

/// All jobs, without their logs.
pub(crate) fn jobs(conn: &Connection) -> Result<Vec<(i64, RecoveredJob)>, Fault> {
    let mut select = conn.prepare(&format!("SELECT {JOB} FROM jobs ORDER BY id"))?;
    let mut rows = select.query([])?;
    let mut jobs = Vec::new();
    while let Some(row) = rows.next()? {
        jobs.push(rows::read_job(row)?);
    }
    Ok(jobs)
}

impl Recovery<'_> {
    fn follows(&mut self) -> Result<(), Fault> {
        // What the row of a job says of its submitter ends with the job.
        let sql = "SELECT id, session, job, 0, submitted, paces, behind FROM follows
            UNION ALL SELECT followed, sessions.id, jobs.id, 1, 1, paces, NULL FROM jobs
            JOIN sessions ON sessions.session_id = jobs.session_id AND sessions.gone = 0
            WHERE followed IS NOT NULL AND ended = ?1 AND jobs.gone = 0
            ORDER BY 1";
        let mut select = self.conn.prepare(sql)?;
        let mut rows = select.query([rows::RUNNING])?;
        while let Some(row) = rows.next()? {
            let (session_id, job_id) = (row.get(1)?, row.get(2)?);
            let (Some(session), Some(job)) = (self.session_at.get(&session_id), self.job_at.get(&job_id))
            else {
                continue;
            };
            let (in_job, submitted) = (row.get(3)?, row.get(4)?);
            let follow =
                Follow { id: row.get(0)?, in_job, submitted, paces: row.get(5)?, behind: row.get(6)? };
            let session = &mut self.sessions[*session].1;
            if !self.follows.read(session_id, job_id, follow) {
                let session_id = &session.record.session_id;
                return Err(Fault::Damaged(format!("session {session_id} follows a job twice")));
            }
            session.following.push(FollowRecord {
                session_id: session.record.session_id.clone(),
                job_id: self.jobs[*job].1.head.job_id.clone(),
                submitted: follow.submitted,
                paces: follow.paces,
                behind: follow.behind.map(uint).transpose()?,
            });
        }
        Ok(())
    }

    /// Returns for each job whether a view shows anything of it.
    fn views(&mut self) -> Result<Vec<bool>, Fault> {
        let mut shown = vec![false; self.jobs.len()];
        let mut views: Vec<Vec<(usize, Run)>> = vec![Vec::new(); self.sessions.len()];
        let mut select =
            self.conn.prepare("SELECT session, job, first, last, runs FROM views ORDER BY id")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let place =
                runs::Place { session: row.get(0)?, job: row.get(1)?, first: row.get(2)?, last: row.get(3)? };
            let (Some(session), Some(job)) =
                (self.session_at.get(&place.session).copied(), self.job_at.get(&place.job).copied())
            else {
                continue; // the session is gone
            };
            let (view, kept_from) = (&mut views[session], self.sessions[session].1.first_seq);
            if uint(place.last)? < kept_from {
                continue;
            }
            shown[job] = true;
            let needed = &mut self.needed[job];
            let bytes = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
            let decoded = runs::decode(place, bytes, |run| {
                if let Some(run) = runs::trim(run, kept_from) {
                    if run.gap.is_none() {
                        *needed = run.index.min(*needed);
                    }
                    view.push((job, run));
                }
            });
            decoded.map_err(|damage| Fault::damaged("part of a view", damage))?;
        }
        for ((_, session), mut view) in self.sessions.iter_mut().zip(views) {
            view.sort_unstable_by_key(|(_, run)| run.seq);
            let mut seq = session.first_seq;
            for (job, run) in view {
                if run.seq != seq {
                    let session_id = &session.record.session_id;
                    return Err(Fault::Damaged(format!("view of session {session_id} lacks message {seq}")));
                }
                seq += run.count;
                let job = Arc::clone(&self.jobs[job].1.head);
                session.view.push(Shown { job, index: run.index, count: run.count, gap: run.gap });
            }
        }
        Ok(shown)
    }

    fn blocks(&mut self) -> Result<(), Fault> {
        let mut select = self.conn.prepare("SELECT job, first, last, body FROM blocks ORDER BY id")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let place = block::Place { job: row.get(0)?, first: row.get(1)?, last: row.get(2)? };
            let Some(at) = self.job_at.get(&place.job).copied() else {
                return Err(Fault::Damaged("part of a log belongs to no job".to_owned()));
            };
            let (job, head) = (&mut self.jobs[at].1, &mut self.heads[at]);
            let (first, last) = (uint(place.first)?, uint(place.last)?);
            if job.entries.last().is_some_and(|entry| entry.entry.index + 1 != first) || first > last {
                return Err(Fault::Damaged(format!(
                    "log of job {} has a gap before {first}",
                    job.head.job_id
                )));
            }
            *head = (*head).max(last + 1);
            let needed = self.needed[at];
            if last < needed {
                continue;
            }
            let body = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            let job_head: &Arc<JobHead> = &job.head;
            let entries = &mut job.entries;
            entries.reserve(usize::try_from(last - first + 1).unwrap_or(0).min(body.len()));
            let decoded =
                block::decode(place, body, job_head, &(needed..=u64::MAX), |logged| entries.push(logged));
            decoded.map_err(|damage| {
                Fault::damaged(format!("part of the log of job {}", job_head.job_id), damage)
            })?;
        }
        Ok(())
    }

    fn finish(self, shown: &[bool]) -> Result<(Recovered, Ids), Fault> {
        let mut ids = Ids::new(next(self.conn, "sessions", "id")?, next(self.conn, "jobs", "id")?);
        for (id, session) in &self.sessions {
            let (kept_from, acknowledged) = (session.first_seq, session.acknowledged);
            ids.set_session(&session.record.session_id, SessionRow { id: *id, kept_from, acknowledged });
        }
        for ((id, job), head) in self.jobs.iter().zip(&self.heads) {
            ids.set_job(&job.head.job_id, JobRow { id: *id, head: *head });
        }
        ids.follows = self.follows;
        ids.shown = ShownJobs::read(self.conn)?;
        ids.committed();
        for (_, job) in self.jobs.iter().filter(|(_, job)| !job.gone) {
            if job.entries.first().is_some_and(|first| first.entry.index > job.kept_from) {
                let job_id = &job.head.job_id;
                return Err(Fault::Damaged(format!("log of job {job_id} begins after {}", job.kept_from)));
            }
        }
        let jobs = self.jobs.into_iter().zip(shown).filter(|((_, job), shown)| !job.gone || **shown);
        let jobs = jobs.map(|((_, job), _)| job).collect();
        let sessions = self.sessions.into_iter().map(|(_, session)| session).collect();
        Ok((Recovered { sessions, jobs }, ids))
    }
}

/// The number after all that are in a column.
fn next(conn: &Connection, table: &str, column: &str) -> rusqlite::Result<i64> {
    conn.query_row(&format!("SELECT ifnull(max({column}), 0) + 1 FROM {table}"), [], |row| row.get(0))
}
