//! Reading a job's log at the reader's pace: who subscribes with history, or does not keep up with what it has subscribed to, is
//! shown entries as its connection takes them, and costs its send window and nothing more.

use std::sync::Arc;

use arcp_proto::event::EventKind;
use arcp_proto::{Json, MessageType, Timestamp};
use serde_json::json;

use super::job::Job;
use super::log::{Draft, Entry};
use super::{JobHead, JobKey, Runtime, SessionKey};
use crate::time::Now;

impl Runtime {
    /// Has a session that follows a job read the job's log from a place on.
    pub(super) fn read_from(&mut self, session_key: SessionKey, job_key: JobKey, index: u64) {
        let job = self.jobs.get_mut(&job_key);
        let follower = job.and_then(|job| job.followers.iter_mut().find(|one| one.session == session_key));
        let (Some(follower), Some(session)) = (follower, self.sessions.by_key_mut(session_key)) else {
            return;
        };
        // Others may read it already who are not there yet: nobody is jumped over.
        follower.behind = Some(follower.behind.map_or(index, |behind| behind.min(index)));
        if !session.behind.contains(&job_key) {
            session.behind.push(job_key);
        }
    }

    /// Shows a session what it has not been shown of the logs that it reads, up to half of its send window: the other half is for
    /// what its own agents say.
    pub(super) fn catch_up(&mut self, now: Now, session_key: SessionKey) {
        while let Some(session) = self.sessions.by_key(session_key)
            && session.connection.is_some()
            && session.has_room(&self.config.limits)
            && let Some(job_key) = session.behind.first().copied()
        {
            let more = self.read_on(now, session_key, job_key);
            let Some(session) = self.sessions.by_key_mut(session_key) else { return };
            if more {
                session.behind.rotate_left(1); // each log in turn
            } else {
                session.behind.retain(|key| *key != job_key);
            }
        }
    }

    /// Shows a session the next entry of a log. Returns whether there is more.
    fn read_on(&mut self, now: Now, session_key: SessionKey, job_key: JobKey) -> bool {
        let Some(job) = self.jobs.get_mut(&job_key) else { return false };
        let place = job.followers.iter().position(|follower| follower.session == session_key);
        let Some((place, index)) = place.and_then(|place| Some((place, job.followers[place].behind?))) else {
            return false;
        };
        let entry = match job.next_of(index) {
            Some(entry) if entry.index == index => entry,
            // What is no longer kept is not passed over in silence.
            Some(next) => {
                job.followers[place].behind = Some(next.index);
                let missed = missed(now.wall, &job.head, next.index);
                return missed.is_none_or(|missed| self.show_one(session_key, &missed));
            }
            None => {
                job.followers[place].behind = None;
                if job.has_ended() {
                    job.followers.remove(place);
                    if let Some(session) = self.sessions.by_key_mut(session_key) {
                        session.following.retain(|key| *key != job_key);
                    }
                }
                self.record_follow(session_key, job_key);
                return false;
            }
        };
        job.followers[place].behind = Some(index + 1);
        self.show_one(session_key, &entry)
    }

    fn show_one(&mut self, session_key: SessionKey, entry: &Arc<Entry>) -> bool {
        self.show(session_key, entry);
        true
    }

    /// A job is about to be forgotten: who has not read its log to the end is shown how it ended.
    pub(super) fn end_reading(&mut self, job_key: JobKey) {
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        let followers = std::mem::take(&mut job.followers);
        let terminal = job.terminal.clone();
        let gap = terminal.as_ref().and_then(|terminal| missed(terminal.ts, &job.head, terminal.index));
        for follower in followers {
            if let Some(terminal) = &terminal {
                if follower.behind.is_some_and(|index| index < terminal.index)
                    && let Some(gap) = &gap
                {
                    self.show(follower.session, gap);
                }
                self.show(follower.session, terminal);
            }
            if let Some(session) = self.sessions.by_key_mut(follower.session) {
                session.following.retain(|key| *key != job_key);
                session.behind.retain(|key| *key != job_key);
            }
        }
    }
}

impl Job {
    /// The entry at a place of the log, or the first that is kept after it. The terminal message is always kept.
    fn next_of(&self, index: u64) -> Option<Arc<Entry>> {
        let kept = self.log.at_or_after(index);
        kept.or_else(|| self.terminal.clone().filter(|terminal| terminal.index >= index))
    }

    /// Where a reader begins who asks for what comes after a number of the submitter's count, and whether some of that is
    /// no longer kept.
    pub(super) fn place_after(&self, owner_seq: u64) -> (u64, bool) {
        let first = self.log.place_after(owner_seq);
        let index =
            first.or(self.terminal.as_ref().map(|terminal| terminal.index)).unwrap_or(self.next_index);
        (index, index > 0 && self.log.has_forgotten_after(owner_seq))
    }
}

/// The event that stands for entries of a log that are no longer kept. It is in no log itself.
pub(super) fn missed(ts: Timestamp, job: &Arc<JobHead>, next_index: u64) -> Option<Arc<Entry>> {
    let body = Json::from(json!({ "next_index": next_index }));
    let kind = EventKind::from(arcp_proto::event::MISSED);
    let draft = Draft::new(kind, ts, &body).ok()?;
    Some(Arc::new(Entry {
        job: Arc::clone(job),
        index: next_index,
        message_type: MessageType::JobEvent,
        kind: Some(draft.kind),
        feature: None,
        ts: draft.ts,
        payload: draft.payload,
        plain: None,
        gap: true,
    }))
}
