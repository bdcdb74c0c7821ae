//! What a job says: into its log, to whoever follows it, and to the store.

use std::sync::Arc;

use arcp_proto::Amount;

use super::log::Entry;
use super::session::Session;
use super::{FollowRecord, ForgottenRecord, JobKey, Runtime, SessionKey, Write};

impl Runtime {
    /// Stores an entry, shows it to every follower, and keeps it for later ones. Those who submitted the job are shown
    /// `private` in its place, which is neither stored nor kept for anybody else.
    pub(super) fn append(
        &mut self,
        job_key: JobKey,
        entry: Entry,
        private: Option<Arc<Entry>>,
    ) -> Arc<Entry> {
        let entry = Arc::new(entry);
        if let Some(kind) = &entry.kind {
            self.tally.event(kind);
        }
        let mut followers = match self.jobs.get_mut(&job_key) {
            Some(job) => {
                if let (Some(span), Some(kind)) = (&job.span, &entry.kind) {
                    span.event(kind, entry.index);
                }
                job.next_index += 1;
                job.position = self.writes.position();
                std::mem::take(&mut job.followers)
            }
            None => Vec::new(),
        };
        let mut fallen_behind = Vec::new();
        for follower in followers.iter_mut().filter(|follower| follower.behind.is_none()) {
            let limits = &self.config.limits;
            match self.sessions.by_key_mut(follower.session) {
                // It does not keep up: it is shown the rest as it takes it, and costs nobody anything.
                Some(session) if !follower.paces && session.is_backlogged(limits) => {
                    follower.behind = Some(entry.index);
                    fallen_behind.push(follower.session);
                    if !session.behind.contains(&job_key) {
                        session.behind.push(job_key);
                    }
                }
                _ => {
                    let shown = private.as_ref().filter(|_| follower.submitted).unwrap_or(&entry);
                    self.show(follower.session, shown);
                }
            }
        }
        if let Some(job) = self.jobs.get_mut(&job_key) {
            job.followers = followers;
            let owner = self.sessions.by_key(job.owner);
            let owner_seq = owner.map_or(job.log.last_owner_seq() + 1, super::session::Session::head_seq);
            job.log.push(Arc::clone(&entry), owner_seq);
            self.writes.append(Arc::clone(&entry), owner_seq);
            self.history_bytes += entry.payload.len();
            self.forget_history(job_key);
        }
        for session in fallen_behind {
            self.record_follow(session, job_key);
        }
        entry
    }

    /// Writes down whether and how a session follows a job.
    pub(super) fn record_follow(&mut self, session_key: SessionKey, job_key: JobKey) {
        let (Some(session_id), Some(job)) = (self.session_id(session_key), self.jobs.get(&job_key)) else {
            return;
        };
        let job_id = job.head.job_id.clone();
        let follower = job.followers.iter().find(|follower| follower.session == session_key);
        self.writes.push(match follower {
            None => Write::Unfollow(session_id, job_id),
            Some(follower) => Write::Follow(FollowRecord {
                session_id,
                job_id,
                submitted: follower.submitted,
                paces: follower.paces,
                behind: follower.behind,
            }),
        });
    }

    /// Numbers a message in a session's view and has it sent.
    pub(super) fn show(&mut self, session_key: SessionKey, entry: &Arc<Entry>) {
        let (position, limits) = (self.writes.position(), &self.config.limits);
        if self.sessions.keep(session_key, |session| session.push(entry, position, limits)) != Some(true) {
            return;
        }
        self.writes.make_due(); // a number is written before it is sent
        self.note_view(session_key);
        if let Some(connection) = self.sessions.by_key(session_key).and_then(|session| session.connection) {
            self.connections.wake(connection, &mut self.events);
        }
        for shrunk in self.sessions.shrink(self.config.limits.all_buffer_bytes) {
            self.note_view(shrunk);
        }
    }

    /// Has the store told of a session's view when the next batch is taken.
    pub(super) fn note_view(&mut self, session_key: SessionKey) {
        if self.sessions.by_key_mut(session_key).is_some_and(Session::note) {
            self.writes.changed().views.push(session_key);
        }
    }

    /// Whether the driver was told to transmit to somebody who follows a job, and has not yet come for all of it. Then a batch
    /// can wait until it does, and be larger.
    pub fn is_about_to_transmit(&self, job_key: JobKey) -> bool {
        let followers = self.jobs.get(&job_key).into_iter().flat_map(|job| &job.followers);
        let mut sessions = followers.filter_map(|follower| self.sessions.by_key(follower.session));
        sessions.any(|session| {
            let connection = session.connection.and_then(|key| self.connections.by_key(key));
            connection.is_some_and(|connection| connection.woken)
        })
    }

    /// Whether a job has not ended.
    pub fn is_running(&self, job_key: JobKey) -> bool {
        self.jobs.get(&job_key).is_some_and(|job| !job.has_ended())
    }

    /// Keeps what is kept of logs within the limits. Terminal messages are kept as long as their jobs are known.
    fn forget_history(&mut self, growing: JobKey) {
        let limits = &self.config.limits;
        while self.history_bytes > limits.history_bytes {
            let Some(ended) = self.history_of_ended.pop_front() else { break };
            if let Some(job) = self.jobs.get_mut(&ended) {
                self.history_bytes -= job.log.clear();
                self.writes.changed().trimmed.insert(ended);
            }
        }
        let Some(job) = self.jobs.get_mut(&growing) else { return };
        while job.log.len() > limits.history_events || self.history_bytes > limits.history_bytes {
            let Some(bytes) = job.log.forget_first() else { return };
            self.history_bytes -= bytes;
            self.writes.changed().trimmed.insert(growing);
        }
    }

    /// Writes down, as it stands now, what changes too often to be written each time.
    pub(super) fn write_changes(&mut self) {
        let Some(changed) = self.writes.take_changed() else { return };
        for job_key in changed.trimmed {
            let Some(job) = self.jobs.get(&job_key) else { continue };
            // The last entry is stored in any case: it says where the log ends, and how.
            let (kept_from, owner_seq) =
                job.log.beginning().unwrap_or((job.next_index.saturating_sub(1), job.log.last_owner_seq()));
            let job_id = job.head.job_id.clone();
            self.writes.push(Write::Forgotten(ForgottenRecord { job_id, kept_from, owner_seq }));
        }
        for job_key in changed.spent {
            if let Some(job) = self.jobs.get(&job_key) {
                let mut remaining = job.authority.budget();
                // What is set aside for jobs that are not there yet is not lost with them.
                for share in self.shares_of(job_key) {
                    for (currency, amount) in share.iter() {
                        let own = remaining.remaining(currency.as_str()).unwrap_or(Amount::ZERO);
                        remaining.set(currency.clone(), own.plus(amount));
                    }
                }
                self.writes.push(Write::Remaining(job.head.job_id.clone(), remaining));
            }
        }
        for session_key in changed.views {
            let Some(session) = self.sessions.by_key_mut(session_key) else { continue };
            self.writes.push(Write::View(session.view_record()));
            for job_key in session.behind.clone() {
                self.record_follow(session_key, job_key);
            }
        }
    }
}
