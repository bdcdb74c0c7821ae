//! Who follows what, as the table has it after the last commit and as the open transaction leaves it: of a follow that begins and ends
//! within one batch nothing is written, and none has to be looked for.

use std::collections::{BTreeMap, BTreeSet};

use arcp_runtime::store::FollowRecord;
use rusqlite::{Connection, params};

use crate::error::Fault;
use crate::rows::int;

/// A row of the table, or what the row of the job says. Those of a session are in the order of their ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Follow {
    pub(crate) id: i64,
    /// Whether the job's row says it: of its submitter, as long as that reads along.
    pub(crate) in_job: bool,
    pub(crate) submitted: bool,
    pub(crate) paces: bool,
    pub(crate) behind: Option<i64>,
}

/// A job and a session.
type Pair = (i64, i64);

#[derive(Debug)]
pub(crate) struct Follows {
    rows: BTreeMap<Pair, Follow>,
    /// The same pairs, the session first.
    by_session: BTreeSet<(i64, i64)>,
    next_id: i64,
    /// What the open transaction has changed, as the table has it.
    before: BTreeMap<Pair, Option<Follow>>,
}

impl Follows {
    /// Nobody follows anything. Ids below the given one were used.
    pub(crate) fn new(next_id: i64) -> Self {
        Self { rows: BTreeMap::new(), by_session: BTreeSet::new(), next_id, before: BTreeMap::new() }
    }

    /// Takes a row that is in the table. Returns whether it is the only one of its session and its job.
    pub(crate) fn read(&mut self, session: i64, job: i64, follow: Follow) -> bool {
        self.by_session.insert((session, job));
        self.rows.insert((job, session), follow).is_none()
    }

    /// A session follows a job, after all that it followed before.
    pub(crate) fn put(&mut self, session: i64, job: i64, record: &FollowRecord) -> Result<(), Fault> {
        let (submitted, paces) = (record.submitted, record.paces);
        let behind = record.behind.map(int).transpose()?;
        let follow = Follow { id: self.next_id, in_job: false, submitted, paces, behind };
        self.next_id += 1;
        self.by_session.insert((session, job));
        let before = self.rows.insert((job, session), follow);
        self.before.entry((job, session)).or_insert(before);
        Ok(())
    }

    /// A session follows a job no more.
    pub(crate) fn remove(&mut self, session: i64, job: i64) {
        if let Some(before) = self.rows.remove(&(job, session)) {
            self.by_session.remove(&(session, job));
            self.before.entry((job, session)).or_insert(Some(before));
        }
    }

    /// Nobody follows a job any more but who still reads its log, unless not even those are to.
    pub(crate) fn remove_job(&mut self, job: i64, readers_too: bool) {
        let of_job = self.rows.range((job, i64::MIN)..=(job, i64::MAX));
        let gone = of_job.filter(|(_, follow)| readers_too || follow.behind.is_none());
        let gone: Vec<i64> = gone.map(|((_, session), _)| *session).collect();
        gone.into_iter().for_each(|session| self.remove(session, job));
    }

    /// A session follows nothing any more.
    pub(crate) fn remove_session(&mut self, session: i64) {
        let of_session = self.by_session.range((session, i64::MIN)..=(session, i64::MAX));
        let gone: Vec<i64> = of_session.map(|(_, job)| *job).collect();
        gone.into_iter().for_each(|job| self.remove(session, job));
    }

    /// What the row of a new job is to say of its submitter, if it can.
    pub(crate) fn put_in_job(&mut self, session: i64, job: i64) -> Option<Follow> {
        let follow = self.rows.get_mut(&(job, session))?;
        follow.in_job = follow.submitted && follow.behind.is_none();
        follow.in_job.then_some(*follow)
    }

    /// Brings the tables to where this is. Of jobs that have `ended` the rows say no more who follows them.
    pub(crate) fn write(&self, conn: &Connection, ended: impl Fn(i64) -> bool) -> Result<(), Fault> {
        if self.before.is_empty() {
            return Ok(());
        }
        let mut insert = conn.prepare_cached(
            "INSERT INTO follows (id, session, job, submitted, paces, behind) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        let mut delete = conn.prepare_cached("DELETE FROM follows WHERE id = ?1")?;
        for (pair @ (job, session), before) in &self.before {
            match before {
                Some(before) if !before.in_job => _ = delete.execute([before.id])?,
                Some(_) if !ended(*job) => {
                    conn.prepare_cached("UPDATE jobs SET followed = NULL WHERE id = ?1")?.execute([job])?;
                }
                _ => {}
            }
            if let Some(Follow { id, in_job: false, submitted, paces, behind }) = self.rows.get(pair) {
                insert.execute(params![id, session, job, submitted, paces, behind])?;
            }
        }
        Ok(())
    }

    /// The transaction is committed.
    pub(crate) fn committed(&mut self) {
        self.before.clear();
    }

    /// The transaction is rolled back.
    pub(crate) fn rolled_back(&mut self) {
        for (pair @ (job, session), before) in std::mem::take(&mut self.before) {
            match before {
                Some(before) => {
                    self.rows.insert(pair, before);
                    self.by_session.insert((session, job));
                }
                None => {
                    self.rows.remove(&pair);
                    self.by_session.remove(&(session, job));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    fn record(behind: Option<u64>) -> FollowRecord {
        let (session_id, job_id) = ("s".parse().unwrap(), "j".parse().unwrap());
        FollowRecord { session_id, job_id, submitted: true, paces: false, behind }
    }

    fn in_table(conn: &Connection) -> Vec<(i64, i64, i64)> {
        let mut select = conn.prepare("SELECT id, session, job FROM follows ORDER BY id").unwrap();
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn what_begins_and_ends_within_a_transaction_is_never_written() {
        let conn = schema::in_memory();
        let mut follows = Follows::new(1);
        follows.put(1, 1, &record(None)).unwrap();
        follows.put(2, 1, &record(Some(3))).unwrap();
        follows.put(1, 2, &record(None)).unwrap();
        follows.remove_job(1, false);
        let changes = conn.changes();
        follows.write(&conn, |_| false).unwrap();
        follows.committed();
        assert_eq!(in_table(&conn), [(2, 2, 1), (3, 1, 2)]);
        assert_eq!(conn.changes() - changes, 1, "one row by the last statement, and none was deleted");

        follows.put(1, 2, &record(None)).unwrap();
        follows.put(2, 2, &record(None)).unwrap();
        follows.remove_job(1, true);
        follows.write(&conn, |_| false).unwrap();
        follows.committed();
        assert_eq!(in_table(&conn), [(4, 1, 2), (5, 2, 2)], "what is followed anew comes last");
        follows.remove_session(1);
        follows.write(&conn, |_| false).unwrap();
        assert_eq!(in_table(&conn), [(5, 2, 2)]);
    }

    #[test]
    fn a_rollback_takes_everything_back() {
        let mut follows = Follows::new(1);
        follows.put(1, 1, &record(None)).unwrap();
        follows.put(2, 1, &record(Some(3))).unwrap();
        follows.committed();
        let before = format!("{:?}{:?}", follows.rows, follows.by_session);
        follows.put(1, 2, &record(None)).unwrap();
        follows.put(1, 1, &record(None)).unwrap();
        follows.remove_session(1);
        follows.remove_job(1, true);
        follows.put(2, 1, &record(None)).unwrap();
        follows.rolled_back();
        assert_eq!(format!("{:?}{:?}", follows.rows, follows.by_session), before);
    }
}
