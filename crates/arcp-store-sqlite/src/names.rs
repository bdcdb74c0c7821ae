//! Where a reader finds a job by its name: there is no index of names, which would cost every job that is written more than it gives
//! to the few that are looked for.

use std::cell::RefCell;
use std::collections::HashMap;

use arcp_proto::JobId;
use rusqlite::{Connection, OptionalExtension, params};

/// The rows of jobs, as far as they have been read. Kept from one moment of the store to the next, since a job stays where it is.
#[derive(Default)]
pub(crate) struct JobNames(RefCell<Known>);

#[derive(Default)]
struct Known {
    ids: HashMap<Box<str>, i64>,
    /// The last row that was read.
    last: i64,
}

impl JobNames {
    /// The row of a job, if it is there now.
    pub(crate) fn find(&self, conn: &Connection, job_id: &JobId) -> rusqlite::Result<Option<i64>> {
        let mut known = self.0.borrow_mut();
        if let Some(id) = known.find(conn, job_id)? {
            return Ok(Some(id));
        }
        known.read_on(conn)?;
        if let Some(id) = known.find(conn, job_id)? {
            return Ok(Some(id));
        }
        // The last rows may have gone, and others have come in their place.
        *known = Known::default();
        known.read_on(conn)?;
        known.find(conn, job_id)
    }
}

impl Known {
    fn find(&self, conn: &Connection, job_id: &JobId) -> rusqlite::Result<Option<i64>> {
        let Some(id) = self.ids.get(job_id.as_str()) else { return Ok(None) };
        let mut select = conn.prepare_cached("SELECT id FROM jobs WHERE id = ?1 AND job_id = ?2")?;
        select.query_row(params![id, job_id.as_str()], |row| row.get(0)).optional()
    }

    fn read_on(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let mut select = conn.prepare_cached("SELECT id, job_id FROM jobs WHERE id > ?1 ORDER BY id")?;
        let mut rows = select.query([self.last])?;
        while let Some(row) = rows.next()? {
            self.last = row.get(0)?;
            self.ids.insert(row.get_ref(1)?.as_str()?.into(), self.last);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn a_job_is_found_when_it_has_come_and_not_when_another_stands_where_it_was() {
        let conn = schema::in_memory();
        let put = |id: i64, name: &str| {
            let sql =
                "INSERT INTO jobs (id, job_id, principal, session_id, trace_id, accepted_after, accepted, sum)
                VALUES (?1, ?2, 'p', 's', 't', 0, '{}', 0)";
            conn.execute(sql, params![id, name]).unwrap();
        };
        let names = JobNames::default();
        let find = |name: &str| names.find(&conn, &name.parse().unwrap()).unwrap();
        put(1, "a");
        assert_eq!((find("a"), find("b")), (Some(1), None));
        put(2, "b");
        assert_eq!((find("b"), find("a")), (Some(2), Some(1)));
        conn.execute("DELETE FROM jobs WHERE id = 2", []).unwrap();
        assert_eq!(find("b"), None);
        put(2, "c");
        put(3, "b");
        assert_eq!((find("b"), find("c"), find("a")), (Some(3), Some(2), Some(1)));
    }
}
