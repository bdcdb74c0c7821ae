//! What a store gives back: everything that was written and is still needed.

use std::collections::HashMap;
use std::sync::Arc;

use arcp_proto::job::FinalStatus;
use arcp_proto::{Budget, JobId, Json, SessionId};

use super::write::{Batch, FollowRecord, JobRecord, Logged, SessionRecord, Shown, Write};
use super::{JobHead, StopCause};

/// Everything that a runtime has written down, and has not said that it is gone.
#[derive(Clone, Debug, Default)]
pub struct Recovered {
    /// Its sessions, in the order in which they were opened.
    pub sessions: Vec<RecoveredSession>,
    /// Its jobs, in the order in which they were accepted.
    pub jobs: Vec<RecoveredJob>,
}

/// A session as it was last written down.
#[derive(Clone, Debug)]
pub struct RecoveredSession {
    /// What is kept of it.
    pub record: SessionRecord,
    /// The highest number that its client says it has processed.
    pub acknowledged: u64,
    /// The number of the first message in `view`.
    pub first_seq: u64,
    /// Its view, one message after the other.
    pub view: Vec<Shown>,
    /// The jobs that it follows.
    pub following: Vec<FollowRecord>,
}

/// A job as it was last written down.
#[derive(Clone, Debug)]
pub struct RecoveredJob {
    /// What is kept of it; without its key once that is forgotten.
    pub record: JobRecord,
    /// What every message of it has in common.
    pub head: Arc<JobHead>,
    /// What is stored of its log, by place. What is before `kept_from` is there for views only, and not all of it.
    pub entries: Vec<Logged>,
    /// The place of the first entry that is part of its log.
    pub kept_from: u64,
    /// The number that its submitter's session had come to with the last one before that; 0 for none.
    pub forgotten_seq: u64,
    /// What it was told to stop for.
    pub stopping: Option<(StopCause, Option<String>)>,
    /// How it has ended.
    pub ended: Option<FinalStatus>,
    /// What its agent wants to be given when it is run again.
    pub checkpoint: Option<Json>,
    /// What remains in its own counters, if they have changed.
    pub remaining: Option<Budget>,
    /// Whether it is forgotten, and there for the sake of views only.
    pub gone: bool,
}

impl RecoveredJob {
    /// A job of which nothing but its acceptance is known.
    pub fn new(record: JobRecord) -> Self {
        let head = JobHead {
            job_id: record.accepted.job_id.clone(),
            trace_id: record.trace_id,
            trace_context: record.trace_context.clone(),
        };
        Self {
            record,
            head: Arc::new(head),
            entries: Vec::new(),
            kept_from: 0,
            forgotten_seq: 0,
            stopping: None,
            ended: None,
            checkpoint: None,
            remaining: None,
            gone: false,
        }
    }
}

impl RecoveredSession {
    /// A session that has been sent nothing.
    pub fn new(record: SessionRecord) -> Self {
        Self { record, acknowledged: 0, first_seq: 1, view: Vec::new(), following: Vec::new() }
    }

    /// Forgets what is before a number.
    pub fn free(&mut self, kept_from: u64) {
        let mut gone = kept_from.saturating_sub(self.first_seq);
        self.first_seq = self.first_seq.max(kept_from);
        let mut whole = 0;
        for run in &mut self.view {
            if gone < run.count {
                run.index += gone;
                run.count -= gone;
                break;
            }
            gone -= run.count;
            whole += 1;
        }
        self.view.drain(..whole);
    }
}

/// What a store that keeps every write has: the meaning of [`Write`], in memory. Real stores are compared with it, and it is
/// the store of simulations.
#[derive(Clone, Debug, Default)]
pub struct Image {
    sessions: Vec<RecoveredSession>,
    jobs: Vec<RecoveredJob>,
    session_ids: HashMap<SessionId, usize>,
    job_ids: HashMap<JobId, usize>,
}

impl Image {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a batch.
    pub fn apply(&mut self, batch: &Batch) {
        for write in &batch.writes {
            self.write(write);
        }
    }

    /// Everything that is still needed.
    pub fn recover(&self) -> Recovered {
        Recovered { sessions: self.sessions.clone(), jobs: self.jobs.clone() }
    }

    fn session(&mut self, id: &SessionId) -> Option<&mut RecoveredSession> {
        self.session_ids.get(id).map(|at| &mut self.sessions[*at])
    }

    fn job(&mut self, id: &JobId) -> Option<&mut RecoveredJob> {
        self.job_ids.get(id).map(|at| &mut self.jobs[*at])
    }

    fn unfollow(&mut self, session_id: &SessionId, job_id: &JobId) {
        if let Some(session) = self.session(session_id) {
            session.following.retain(|follow| follow.job_id != *job_id);
        }
    }

    fn write(&mut self, write: &Write) {
        match write {
            Write::Session(record) => match self.session(&record.session_id) {
                Some(session) => session.record = record.clone(),
                None => {
                    self.session_ids.insert(record.session_id.clone(), self.sessions.len());
                    self.sessions.push(RecoveredSession::new(record.clone()));
                }
            },
            Write::SessionGone(id) => {
                self.sessions.retain(|session| session.record.session_id != *id);
                let ids = self.sessions.iter().map(|session| session.record.session_id.clone());
                self.session_ids = ids.enumerate().map(|(at, id)| (id, at)).collect();
            }
            Write::View(view) => {
                if let Some(session) = self.session(&view.session_id) {
                    session.free(view.kept_from);
                    session.view.extend(view.shown.iter().cloned());
                    session.acknowledged = view.acknowledged;
                }
            }
            Write::Follow(follow) => {
                self.unfollow(&follow.session_id, &follow.job_id);
                if let Some(session) = self.session(&follow.session_id) {
                    session.following.push(follow.clone());
                }
            }
            Write::Unfollow(session_id, job_id) => self.unfollow(session_id, job_id),
            Write::Job(record) => {
                self.job_ids.insert(record.accepted.job_id.clone(), self.jobs.len());
                self.jobs.push(RecoveredJob::new((**record).clone()));
            }
            Write::Appended(logged) => {
                let job_id = logged.first().map(|first| first.entry.job.job_id.clone());
                if let Some(job) = job_id.and_then(|id| self.job(&id)) {
                    job.entries.extend(logged.iter().cloned());
                }
            }
            Write::KeyGone(principal, key) => {
                for job in &mut self.jobs {
                    let named = job.record.key.as_ref().is_some_and(|(own, _)| own == key);
                    if named && job.record.principal == *principal {
                        job.record.key = None;
                    }
                }
            }
            Write::JobEnded(id, status) => {
                if let Some(job) = self.job(id) {
                    job.ended = Some(status.clone());
                }
                for session in &mut self.sessions {
                    session.following.retain(|follow| follow.job_id != *id || follow.behind.is_some());
                }
            }
            Write::JobGone(id) => {
                if let Some(job) = self.job(id) {
                    job.gone = true;
                }
                for session in &mut self.sessions {
                    session.following.retain(|follow| follow.job_id != *id);
                }
            }
            Write::JobStopping(id, cause, reason) => {
                if let Some(job) = self.job(id) {
                    job.stopping = Some((*cause, reason.clone()));
                }
            }
            Write::Forgotten(forgotten) => {
                if let Some(job) = self.job(&forgotten.job_id) {
                    job.kept_from = forgotten.kept_from;
                    job.forgotten_seq = forgotten.owner_seq;
                }
            }
            Write::Checkpoint(id, checkpoint) => {
                if let Some(job) = self.job(id) {
                    job.checkpoint = Some(checkpoint.clone());
                }
            }
            Write::Remaining(id, remaining) => {
                if let Some(job) = self.job(id) {
                    job.remaining = Some(remaining.clone());
                }
            }
        }
    }
}
