//! Removing what nobody needs any more, in steps that are small enough to be taken between two batches.
//!
//! What the runtime frees is marked by the batch that says so; here it goes:
//!
//! - rows of views whose last message is freed, or whose session is gone, and then the session;
//! - blocks of which the job's log has nothing any more and no view shows anything;
//! - a job that is gone and that no view shows.

use std::collections::{HashSet, VecDeque};

use arcp_proto::JobId;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Fault;
use crate::ids::Ids;

/// What one step removes at most: rows, and bytes of blocks. While batches wait it is twice what the last one has written if that is
/// more, so that removing keeps up with whatever is written.
const ROWS: usize = 64;
const BYTES: usize = 512 << 10;

/// Bytes that a row takes beside its block or runs, with its places in indices.
const ROW: usize = 150;

/// Sessions and jobs that may have something to be removed.
#[derive(Debug, Default)]
pub(crate) struct Retention {
    sessions: Queue,
    jobs: Queue,
    /// Bytes that were written since nothing was left to be looked at.
    written: usize,
    /// Rows and bytes that the last batch has written.
    last: Allowance,
}

/// Each id once.
#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<i64>,
    members: HashSet<i64>,
}

impl Queue {
    fn push(&mut self, id: i64) {
        if self.members.insert(id) {
            self.order.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<i64> {
        let id = self.order.pop_front()?;
        self.members.remove(&id);
        Some(id)
    }
}

/// So many rows of views and blocks, and so many bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Allowance {
    rows: usize,
    bytes: usize,
}

impl Retention {
    /// Everything that an earlier run may have left.
    pub(crate) fn of(conn: &Connection) -> Result<Self, Fault> {
        let mut this = Self::default();
        let mut sessions = conn.prepare("SELECT id FROM sessions WHERE gone OR kept_from > 1 ORDER BY id")?;
        for id in sessions.query_map([], |row| row.get(0))? {
            this.sessions.push(id?);
        }
        let mut jobs = conn.prepare("SELECT id FROM jobs WHERE gone OR kept_from > 0 ORDER BY id")?;
        for id in jobs.query_map([], |row| row.get(0))? {
            this.jobs.push(id?);
        }
        Ok(this)
    }

    /// Something of a session's view was freed, or it is gone.
    pub(crate) fn session(&mut self, id: i64) {
        self.sessions.push(id);
    }

    /// Something of a job's log was freed, or it is gone, or a view shows less of it.
    pub(crate) fn job(&mut self, id: i64) {
        self.jobs.push(id);
    }

    /// A batch begins.
    pub(crate) fn begin(&mut self) {
        self.last = Allowance::default();
    }

    /// A row was written: as much may have become free by it.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.written += bytes + ROW;
        self.last.rows += 1;
        self.last.bytes += bytes;
    }

    /// Bytes that were written since nothing was left to be looked at.
    pub(crate) fn written(&self) -> usize {
        self.written
    }

    /// Whether there is nothing to look at.
    pub(crate) fn is_empty(&self) -> bool {
        self.sessions.order.is_empty() && self.jobs.order.is_empty()
    }

    /// Removes some of it, within a transaction. After an error that is to be rolled back.
    pub(crate) fn step(&mut self, conn: &Connection, ids: &mut Ids, busy: bool) -> Result<(), Fault> {
        let last = if busy { self.last } else { Allowance::default() };
        let (rows, bytes) = (ROWS.max(2 * last.rows), BYTES.max(2 * last.bytes));
        let mut allowance = Allowance { rows, bytes };
        let mut taken = (Vec::new(), Vec::new());
        let outcome = self.try_step(conn, ids, &mut allowance, &mut taken);
        if outcome.is_err() {
            taken.0.into_iter().for_each(|id| self.sessions.push(id));
            taken.1.into_iter().for_each(|id| self.jobs.push(id));
        } else if self.is_empty() {
            self.written = 0;
        }
        outcome
    }

    fn try_step(
        &mut self,
        conn: &Connection,
        ids: &mut Ids,
        allowance: &mut Allowance,
        taken: &mut (Vec<i64>, Vec<i64>),
    ) -> Result<(), Fault> {
        while allowance.rows > 0
            && let Some(id) = self.sessions.pop()
        {
            taken.0.push(id);
            allowance.rows -= 1;
            if !self.free_views(conn, ids, id, allowance)? {
                self.sessions.push(id);
            }
        }
        while allowance.rows > 0
            && allowance.bytes > 0
            && let Some(id) = self.jobs.pop()
        {
            taken.1.push(id);
            allowance.rows -= 1;
            if !free_blocks(conn, ids, id, allowance)? {
                self.jobs.push(id);
            }
        }
        Ok(())
    }

    /// Returns whether that is all for now.
    fn free_views(
        &mut self,
        conn: &Connection,
        ids: &mut Ids,
        session: i64,
        allowance: &mut Allowance,
    ) -> Result<bool, Fault> {
        let sql = "SELECT kept_from, gone FROM sessions WHERE id = ?1";
        let state = conn.prepare_cached(sql)?.query_row([session], |row| Ok((row.get(0)?, row.get(1)?)));
        let Some((kept_from, gone)) = state.optional()? else { return Ok(true) };
        let end: i64 = if gone { i64::MAX } else { kept_from };
        let sql = "SELECT id, job, min_index FROM views
            WHERE session = ?1 AND first < ?2 AND last < ?2 ORDER BY first LIMIT ?3";
        let mut select = conn.prepare_cached(sql)?;
        let limit = allowance.rows.max(1);
        let freed = select.query_map(params![session, end, limit as i64], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        let freed: Vec<(i64, i64, Option<i64>)> = freed.collect::<Result<_, _>>()?;
        let mut delete = conn.prepare_cached("DELETE FROM views WHERE id = ?1")?;
        for (id, job, min_index) in &freed {
            delete.execute([id])?;
            ids.shown.remove(*job, *min_index);
            self.jobs.push(*job);
        }
        allowance.rows -= freed.len().min(allowance.rows);
        let all = freed.len() < limit;
        if all && gone {
            conn.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([session])?;
        }
        Ok(all)
    }
}

/// Returns whether that is all for now.
fn free_blocks(conn: &Connection, ids: &mut Ids, job: i64, allowance: &mut Allowance) -> Result<bool, Fault> {
    let sql = "SELECT job_id, kept_from, gone FROM jobs WHERE id = ?1";
    let state = conn.prepare_cached(sql)?.query_row([job], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
    });
    let Some((job_id, kept_from, gone)) = state.optional()? else { return Ok(true) };
    let shown = ids.shown.lowest(job);
    let shown_from = shown.unwrap_or(i64::MAX);
    let end = if gone { shown_from } else { kept_from.min(shown_from) };
    let sql = "SELECT id, length(body) FROM blocks WHERE job = ?1 AND first < ?2 AND last < ?2 ORDER BY first LIMIT ?3";
    let mut select = conn.prepare_cached(sql)?;
    let limit = allowance.rows.max(1);
    let mut rows = select.query(params![job, end, limit as i64])?;
    let mut freed = Vec::new();
    while allowance.bytes > 0
        && let Some(row) = rows.next()?
    {
        freed.push(row.get::<_, i64>(0)?);
        allowance.bytes = allowance.bytes.saturating_sub(row.get::<_, i64>(1)?.unsigned_abs() as usize);
    }
    drop(rows);
    let mut delete = conn.prepare_cached("DELETE FROM blocks WHERE id = ?1")?;
    for id in &freed {
        delete.execute([id])?;
    }
    allowance.rows -= freed.len().min(allowance.rows);
    let all = freed.len() < limit && allowance.bytes > 0;
    if all && gone && shown.is_none() {
        conn.prepare_cached("DELETE FROM jobs WHERE id = ?1")?.execute([job])?;
        if let Ok(job_id) = job_id.parse::<JobId>() {
            ids.forget_job(&job_id);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;
    use crate::shown::ShownJobs;

    fn ids(conn: &Connection) -> Ids {
        let mut ids = Ids::new(2, 2);
        ids.shown = ShownJobs::read(conn).unwrap();
        ids
    }

    fn store() -> Connection {
        let conn = schema::in_memory();
        conn.execute_batch(
            "INSERT INTO sessions (id, session_id, principal, features, resume_token, sum)
             VALUES (1, 's', 'p', '[]', x'00', 0);
             INSERT INTO jobs (id, job_id, principal, session_id, trace_id, accepted_after, accepted, sum)
             VALUES (1, 'j', 'p', 's', 't', 0, '{}', 0);",
        )
        .unwrap();
        conn
    }

    fn count(conn: &Connection, table: &str) -> usize {
        conn.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).unwrap()
            as usize
    }

    #[test]
    fn a_step_takes_no_more_rows_than_its_share_and_all_go_in_the_end() {
        let conn = store();
        conn.execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
             INSERT INTO views (session, job, first, last, min_index, runs) SELECT 1, 1, i + 1, i + 1, i, x'00' FROM n;
             WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
             INSERT INTO blocks (job, first, last, body) SELECT 1, i, i, x'00' FROM n;
             UPDATE sessions SET gone = 1; UPDATE jobs SET gone = 1;",
        )
        .unwrap();
        let mut retention = Retention::of(&conn).unwrap();
        let mut ids = ids(&conn);
        let mut steps = 0;
        while !retention.is_empty() {
            let before = count(&conn, "views") + count(&conn, "blocks");
            retention.step(&conn, &mut ids, false).unwrap();
            let after = count(&conn, "views") + count(&conn, "blocks");
            assert!(before - after <= ROWS, "{} at once", before - after);
            steps += 1;
        }
        assert!(steps < 60);
        assert!(["views", "blocks", "sessions", "jobs"].iter().all(|table| count(&conn, table) == 0));
    }

    #[test]
    fn while_batches_wait_a_step_removes_as_much_as_is_written() {
        let conn = store();
        conn.execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
             INSERT INTO blocks (job, first, last, body) SELECT 1, i, i, x'00' FROM n;
             UPDATE jobs SET kept_from = 1000;",
        )
        .unwrap();
        let mut retention = Retention::of(&conn).unwrap();
        retention.begin();
        (0..200).for_each(|_| retention.wrote(1));
        retention.step(&conn, &mut ids(&conn), false).unwrap();
        let after_one = count(&conn, "blocks");
        assert!((1_000 - ROWS..1_000).contains(&after_one), "{after_one} are left");
        retention.step(&conn, &mut ids(&conn), true).unwrap();
        assert!(after_one - count(&conn, "blocks") > 300);
    }

    #[test]
    fn a_step_takes_few_large_blocks() {
        let conn = store();
        conn.execute_batch(
            "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 9)
             INSERT INTO blocks (job, first, last, body) SELECT 1, i, i, zeroblob(1000000) FROM n;
             UPDATE jobs SET kept_from = 9;",
        )
        .unwrap();
        let mut retention = Retention::of(&conn).unwrap();
        retention.step(&conn, &mut ids(&conn), false).unwrap();
        assert_eq!(count(&conn, "blocks"), 9);
        while !retention.is_empty() {
            retention.step(&conn, &mut ids(&conn), false).unwrap();
        }
        assert_eq!(count(&conn, "blocks"), 1);
    }

    #[test]
    fn a_step_that_fails_is_taken_again() {
        let conn = store();
        let mut ids = ids(&conn);
        conn.execute_batch(
            "UPDATE sessions SET gone = 1; UPDATE jobs SET gone = 1; ALTER TABLE views RENAME TO gone",
        )
        .unwrap();
        let mut retention = Retention::of(&conn).unwrap();
        assert!(retention.step(&conn, &mut ids, false).is_err());
        assert!(!retention.is_empty());
        conn.execute_batch("ALTER TABLE gone RENAME TO views").unwrap();
        retention.step(&conn, &mut ids, false).unwrap();
        assert!(retention.is_empty());
        assert_eq!((count(&conn, "sessions"), count(&conn, "jobs")), (0, 0));
    }
}
