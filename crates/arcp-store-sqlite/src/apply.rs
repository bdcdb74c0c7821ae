//! A batch, write by write, as the changes that it comes to. What it means is what `arcp_runtime::store::Image` makes of it.

use std::collections::HashMap;

use arcp_proto::{JobId, SessionId};
use arcp_runtime::Principal;
use arcp_runtime::store::{Batch, FollowRecord, JobRecord, Logged, SessionRecord, ViewRecord, Write};
use rusqlite::Connection;

use crate::changes::{Changes, Show};
use crate::error::Fault;
use crate::ids::{Ids, JobRow, SessionRow};
use crate::retain::Retention;
use crate::rows::JobChange;
use crate::runs::Run;

/// Writes a batch within a transaction. After an error that is to be rolled back, and so is `ids`.
pub(crate) fn apply(
    conn: &Connection,
    ids: &mut Ids,
    retention: &mut Retention,
    batch: &Batch,
) -> Result<(), Fault> {
    retention.begin();
    let (changes, keyed) = (Changes::default(), HashMap::new());
    let mut apply = Apply { ids, retention, changes, keyed };
    for write in &batch.writes {
        apply.write(write)?;
    }
    let Apply { ids, retention, changes, .. } = apply;
    changes.write(conn, ids, retention)
}

struct Apply<'a, 'b> {
    ids: &'b mut Ids,
    retention: &'b mut Retention,
    changes: Changes<'a>,
    /// The jobs of this batch that have a key, by principal and key.
    keyed: HashMap<(&'a str, &'a str), Vec<i64>>,
}

impl<'a> Apply<'a, '_> {
    fn write(&mut self, write: &'a Write) -> Result<(), Fault> {
        match write {
            Write::Session(record) => self.session(record),
            Write::SessionGone(id) => self.session_gone(id),
            Write::View(view) => self.view(view)?,
            Write::Follow(follow) => self.follow(follow)?,
            Write::Unfollow(session_id, job_id) => {
                if let (Some(session), Some(job)) = (self.ids.session(session_id), self.ids.job(job_id)) {
                    self.ids.follows.remove(session.id, job.id);
                }
            }
            Write::Job(record) => self.job(record)?,
            Write::Appended(entries) => self.appended(entries)?,
            Write::JobStopping(job_id, cause, reason) => {
                self.change(job_id, |change| change.stopping = Some((*cause, reason.as_deref())));
            }
            Write::JobEnded(job_id, status) => {
                if let Some(id) = self.change(job_id, |change| change.ended = Some(status)) {
                    self.ids.follows.remove_job(id, false);
                }
            }
            Write::Forgotten(forgotten) => {
                if let Some(id) = self.change(&forgotten.job_id, |change| change.forgotten = Some(forgotten))
                {
                    self.retention.job(id);
                }
            }
            Write::Checkpoint(job_id, checkpoint) => {
                self.change(job_id, |change| change.checkpoint = Some(checkpoint));
            }
            Write::Remaining(job_id, remaining) => {
                self.change(job_id, |change| change.remaining = Some(remaining));
            }
            Write::JobGone(job_id) => {
                if let Some(id) = self.change(job_id, |change| change.gone = true) {
                    self.ids.follows.remove_job(id, true);
                    self.retention.job(id);
                }
            }
            Write::KeyGone(principal, key) => self.key_gone(principal, key),
            _ => {
                let why = "a batch holds a write that this store does not know";
                return Err(Fault::Nonsense(why.to_owned()));
            }
        }
        Ok(())
    }

    /// Changes the row of a job, if that is known. Returns its id.
    fn change(&mut self, job_id: &JobId, change: impl FnOnce(&mut JobChange<'a>)) -> Option<i64> {
        let id = self.ids.job(job_id)?.id;
        change(&mut self.changes.jobs.at(id).row);
        Some(id)
    }

    fn session(&mut self, record: &'a SessionRecord) {
        let known = self.ids.session(&record.session_id);
        let row = known.unwrap_or_else(|| self.ids.new_session(&record.session_id));
        let change = self.changes.sessions.at(row.id);
        change.is_new |= known.is_none();
        change.record = Some(record);
    }

    fn session_gone(&mut self, session_id: &SessionId) {
        let Some(session) = self.ids.forget_session(session_id) else { return };
        self.changes.sessions.at(session.id).gone = true;
        self.ids.follows.remove_session(session.id);
        self.retention.session(session.id);
    }

    fn follow(&mut self, follow: &FollowRecord) -> Result<(), Fault> {
        match (self.ids.session(&follow.session_id), self.ids.job(&follow.job_id)) {
            (Some(session), Some(job)) => self.ids.follows.put(session.id, job.id, follow),
            _ => Ok(()),
        }
    }

    fn job(&mut self, record: &'a JobRecord) -> Result<(), Fault> {
        let job_id = &record.accepted.job_id;
        if self.ids.job(job_id).is_some() {
            return Err(Fault::Nonsense(format!("job {job_id} was accepted before")));
        }
        let id = self.ids.new_job(job_id);
        self.changes.jobs.at(id).row.accepted = Some(record);
        if let Some((key, _)) = &record.key {
            self.keyed.entry((record.principal.as_str(), key)).or_default().push(id);
        }
        Ok(())
    }

    fn key_gone(&mut self, principal: &'a Principal, key: &'a str) {
        let key = (principal.as_str(), key);
        for id in self.keyed.remove(&key).unwrap_or_default() {
            self.changes.jobs.at(id).row.keyless = true;
        }
        self.changes.keys_gone.push(key);
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
        self.changes.jobs.at(job.id).appended.extend(entries);
        Ok(())
    }

    fn view(&mut self, view: &ViewRecord) -> Result<(), Fault> {
        let Some(session) = self.ids.session(&view.session_id) else { return Ok(()) };
        let kept_from = session.kept_from.max(view.kept_from);
        let changed = SessionRow { kept_from, acknowledged: view.acknowledged, ..session };
        if changed != session {
            self.changes.sessions.at(session.id).view = Some(changed);
            self.ids.set_session(&view.session_id, changed);
        }
        if kept_from != session.kept_from {
            self.retention.session(session.id);
        }
        let session = session.id;
        for (job, runs) in self.runs(view)? {
            self.changes.shows.push(Show { session, job, runs });
        }
        Ok(())
    }

    /// What a view has grown by, by jobs, in the order of the numbers.
    fn runs(&self, view: &ViewRecord) -> Result<Vec<(i64, Vec<Run>)>, Fault> {
        let mut runs = Vec::with_capacity(view.shown.len());
        let mut seq = view.first_seq;
        for shown in &view.shown {
            let job_id = &shown.job.job_id;
            let job = self.ids.job(job_id).ok_or_else(|| unknown(job_id))?;
            runs.push((job.id, Run { seq, index: shown.index, count: shown.count, gap: shown.gap }));
            seq += shown.count;
        }
        runs.sort_by_key(|(job, _)| *job);
        let of_one = runs.chunk_by(|(one, _), (next, _)| one == next);
        Ok(of_one.map(|of_one| (of_one[0].0, of_one.iter().map(|(_, run)| *run).collect())).collect())
    }
}

fn unknown(job_id: &JobId) -> Fault {
    Fault::Nonsense(format!("a batch speaks of job {job_id}, which was never accepted"))
}
