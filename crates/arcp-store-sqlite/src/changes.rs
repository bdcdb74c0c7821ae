//! What a batch comes to: of every row what is left of all that the batch says of it, so that each is written once.

use std::collections::{BTreeMap, HashSet};

use arcp_runtime::store::{Logged, SessionRecord};
use rusqlite::{Connection, params};

use crate::block;
use crate::error::Fault;
use crate::ids::{Ids, SessionRow};
use crate::retain::Retention;
use crate::rows::{self, FeatureText, JobChange, int};
use crate::runs::{self, Run};

/// Rows by their ids, in the order in which they were first spoken of.
pub(crate) struct Touched<T> {
    rows: Vec<(i64, T)>,
    places: BTreeMap<i64, usize>,
}

impl<T> Default for Touched<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), places: BTreeMap::new() }
    }
}

impl<T: Default> Touched<T> {
    fn of(&self, id: i64) -> Option<&T> {
        self.places.get(&id).map(|place| &self.rows[*place].1)
    }

    pub(crate) fn at(&mut self, id: i64) -> &mut T {
        let place = *self.places.entry(id).or_insert_with(|| {
            self.rows.push((id, T::default()));
            self.rows.len() - 1
        });
        &mut self.rows[place].1
    }
}

/// What a batch makes of a session.
#[derive(Default)]
pub(crate) struct SessionChange<'a> {
    pub(crate) is_new: bool,
    pub(crate) record: Option<&'a SessionRecord>,
    /// Its row, if its view has changed.
    pub(crate) view: Option<SessionRow>,
    pub(crate) gone: bool,
}

/// What a batch makes of a job.
#[derive(Default)]
pub(crate) struct JobChanges<'a> {
    pub(crate) row: JobChange<'a>,
    /// Entries: those of one batch make one block.
    pub(crate) appended: Vec<&'a Logged>,
}

/// What a session was shown of a job.
pub(crate) struct Show {
    pub(crate) session: i64,
    pub(crate) job: i64,
    /// At least one.
    pub(crate) runs: Vec<Run>,
}

/// All that is to be written, beside who follows what, which is with the ids.
#[derive(Default)]
pub(crate) struct Changes<'a> {
    pub(crate) sessions: Touched<SessionChange<'a>>,
    pub(crate) jobs: Touched<JobChanges<'a>>,
    /// Principals, and their keys, that jobs before this batch have no more.
    pub(crate) keys_gone: Vec<(&'a str, &'a str)>,
    pub(crate) shows: Vec<Show>,
}

impl Changes<'_> {
    /// Writes it within a transaction: each table in turn, each row once.
    pub(crate) fn write(
        &self,
        conn: &Connection,
        ids: &mut Ids,
        retention: &mut Retention,
    ) -> Result<(), Fault> {
        self.write_sessions(conn)?;
        self.write_jobs(conn, ids)?;
        let has_ended = |job: &JobChange<'_>| job.gone || job.ended.is_some();
        ids.follows.write(conn, |job| self.jobs.of(job).is_some_and(|job| has_ended(&job.row)))?;
        self.write_blocks(conn, retention)?;
        self.write_shows(conn, ids, retention)
    }

    fn write_sessions(&self, conn: &Connection) -> Result<(), Fault> {
        if self.sessions.rows.is_empty() {
            return Ok(());
        }
        let mut features = FeatureText::default();
        let mut insert = conn.prepare_cached(rows::INSERT_SESSION)?;
        let mut update = conn.prepare_cached(rows::UPDATE_SESSION)?;
        let mut update_view =
            conn.prepare_cached("UPDATE sessions SET kept_from = ?2, acknowledged = ?3 WHERE id = ?1")?;
        for (id, change) in &self.sessions.rows {
            if change.gone {
                if !change.is_new {
                    conn.prepare_cached("UPDATE sessions SET gone = 1 WHERE id = ?1")?.execute([id])?;
                }
                continue;
            }
            if let Some(record) = change.record {
                let statement = if change.is_new { &mut insert } else { &mut update };
                rows::write_session(statement, &mut features, *id, record)?;
            }
            if let Some(row) = change.view {
                update_view.execute(params![id, int(row.kept_from)?, int(row.acknowledged)?])?;
            }
        }
        Ok(())
    }

    fn write_jobs(&self, conn: &Connection, ids: &mut Ids) -> Result<(), Fault> {
        // Before the jobs of this batch, which have lost theirs already if they are to.
        for (principal, key) in &self.keys_gone {
            let sql = "UPDATE jobs SET key = NULL, fingerprint = NULL WHERE key = ?1 AND principal = ?2";
            conn.prepare_cached(sql)?.execute([key, principal])?;
        }
        if self.jobs.rows.is_empty() {
            return Ok(());
        }
        let mut insert = conn.prepare_cached(rows::INSERT_JOB)?;
        let mut update = conn.prepare_cached(rows::UPDATE_JOB)?;
        let mut end = conn.prepare_cached(rows::END_JOB)?;
        for (id, JobChanges { row, .. }) in &self.jobs.rows {
            match row.accepted {
                Some(record) => {
                    let owner = ids.session(&record.session_id);
                    let follow = owner.and_then(|owner| ids.follows.put_in_job(owner.id, *id));
                    rows::insert_job(&mut insert, *id, record, row, follow)?;
                    if row.is_more_than_an_end() {
                        rows::update_job(&mut update, *id, row)?;
                    }
                }
                None if row.is_end_alone() => rows::end_job(&mut end, *id, row)?,
                None if row.is_some() => rows::update_job(&mut update, *id, row)?,
                None => {}
            }
        }
        Ok(())
    }

    fn write_blocks(&self, conn: &Connection, retention: &mut Retention) -> Result<(), Fault> {
        if self.jobs.rows.is_empty() {
            return Ok(());
        }
        let mut insert =
            conn.prepare_cached("INSERT INTO blocks (job, first, last, body) VALUES (?1, ?2, ?3, ?4)")?;
        for (job, JobChanges { appended, .. }) in &self.jobs.rows {
            let (job, mut entries) = (*job, appended.as_slice());
            while let [first, ..] = entries {
                let (these, rest) = entries.split_at(block::split(entries));
                let first = int(first.entry.index)?;
                let place = block::Place { job, first, last: first + these.len() as i64 - 1 };
                let body = block::encode(place, these);
                retention.wrote(body.len());
                insert.execute(params![job, place.first, place.last, body])?;
                entries = rest;
            }
        }
        Ok(())
    }

    fn write_shows(&self, conn: &Connection, ids: &mut Ids, retention: &mut Retention) -> Result<(), Fault> {
        if self.shows.is_empty() {
            return Ok(());
        }
        let gone = self.sessions.rows.iter().filter(|(_, change)| change.gone).map(|(id, _)| *id);
        let gone: HashSet<i64> = gone.collect();
        let sql =
            "INSERT INTO views (session, job, first, last, min_index, runs) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut insert = conn.prepare_cached(sql)?;
        for Show { session, job, runs } in self.shows.iter().filter(|show| !gone.contains(&show.session)) {
            let (Some(first), Some(last)) = (runs.first(), runs.last()) else { continue };
            let (first, last) = (int(first.seq)?, int(last.seq + last.count - 1)?);
            // What stands for a gap shows no entry.
            let min_index = runs.iter().filter(|run| run.gap.is_none()).map(|run| run.index).min();
            let min_index = min_index.map(int).transpose()?;
            let place = runs::Place { session: *session, job: *job, first, last };
            let bytes = runs::encode(place, runs);
            retention.wrote(bytes.len());
            insert.execute(params![session, job, first, last, min_index, bytes])?;
            ids.shown.insert(*job, min_index);
        }
        Ok(())
    }
}
