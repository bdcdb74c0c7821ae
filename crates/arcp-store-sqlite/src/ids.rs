//! What the writer knows by heart: the small names of sessions and jobs, where their logs and views are, and who follows what.

use arcp_proto::{JobId, SessionId};
use foldhash::HashMap;

use crate::follows::Follows;
use crate::shown::ShownJobs;

/// A session that is not gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: i64,
    pub(crate) kept_from: u64,
    pub(crate) acknowledged: u64,
}

/// A job of which there is anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JobRow {
    pub(crate) id: i64,
    /// Where its log ends.
    pub(crate) head: u64,
}

/// Names and places, as they are after the last commit and what the open transaction has changed.
#[derive(Debug)]
pub(crate) struct Ids {
    sessions: HashMap<SessionId, SessionRow>,
    jobs: HashMap<JobId, JobRow>,
    pub(crate) follows: Follows,
    pub(crate) shown: ShownJobs,
    next_session: i64,
    next_job: i64,
    /// What the open transaction has changed, as it was before, in order.
    before: Vec<Before>,
}

#[derive(Debug)]
enum Before {
    Session(SessionId, Option<SessionRow>),
    Job(JobId, Option<JobRow>),
}

impl Ids {
    /// Of a store in which nothing is. Ids below the given ones were used.
    pub(crate) fn new(next_session: i64, next_job: i64) -> Self {
        Self {
            sessions: HashMap::default(),
            jobs: HashMap::default(),
            follows: Follows::new(1),
            shown: ShownJobs::default(),
            next_session,
            next_job,
            before: Vec::new(),
        }
    }

    pub(crate) fn session(&self, id: &SessionId) -> Option<SessionRow> {
        self.sessions.get(id).copied()
    }

    pub(crate) fn job(&self, id: &JobId) -> Option<JobRow> {
        self.jobs.get(id).copied()
    }

    pub(crate) fn new_session(&mut self, id: &SessionId) -> SessionRow {
        let row = SessionRow { id: self.next_session, kept_from: 1, acknowledged: 0 };
        self.next_session += 1;
        self.set_session(id, row);
        row
    }

    pub(crate) fn new_job(&mut self, id: &JobId) -> i64 {
        let row = JobRow { id: self.next_job, head: 0 };
        self.next_job += 1;
        self.set_job(id, row);
        row.id
    }

    pub(crate) fn set_session(&mut self, id: &SessionId, row: SessionRow) {
        let before = self.sessions.insert(id.clone(), row);
        self.before.push(Before::Session(id.clone(), before));
    }

    pub(crate) fn set_job(&mut self, id: &JobId, row: JobRow) {
        let before = self.jobs.insert(id.clone(), row);
        self.before.push(Before::Job(id.clone(), before));
    }

    pub(crate) fn forget_session(&mut self, id: &SessionId) -> Option<SessionRow> {
        let row = self.sessions.remove(id)?;
        self.before.push(Before::Session(id.clone(), Some(row)));
        Some(row)
    }

    /// Of a job nothing is left.
    pub(crate) fn forget_job(&mut self, id: &JobId) {
        if let Some(row) = self.jobs.remove(id) {
            self.before.push(Before::Job(id.clone(), Some(row)));
        }
    }

    /// The transaction is committed.
    pub(crate) fn committed(&mut self) {
        self.before.clear();
        self.follows.committed();
        self.shown.committed();
    }

    /// The transaction is rolled back.
    pub(crate) fn rolled_back(&mut self) {
        self.follows.rolled_back();
        self.shown.rolled_back();
        while let Some(before) = self.before.pop() {
            match before {
                Before::Session(id, row) => put(&mut self.sessions, id, row),
                Before::Job(id, row) => put(&mut self.jobs, id, row),
            }
        }
    }
}

fn put<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_takes_everything_back() {
        let mut ids = Ids::new(1, 1);
        let (a, b): (SessionId, SessionId) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (j, k): (JobId, JobId) = ("j".parse().unwrap(), "k".parse().unwrap());
        ids.new_session(&a);
        ids.new_job(&j);
        ids.committed();
        let before = format!("{:?}{:?}", ids.sessions, ids.jobs);
        ids.new_session(&b);
        ids.forget_session(&a);
        ids.new_session(&a);
        ids.set_job(&j, JobRow { id: 1, head: 9 });
        ids.new_job(&k);
        ids.forget_job(&j);
        ids.rolled_back();
        assert_eq!(format!("{:?}{:?}", ids.sessions, ids.jobs), before);
        assert_eq!(ids.new_session(&b).id, 4, "no id is given twice");
    }
}
