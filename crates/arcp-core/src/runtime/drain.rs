//! When nothing new is taken on: before the end, and while the store has no room.

use arcp_proto::event::{EventKind, Status};
use arcp_proto::{ErrorCode, ErrorPayload};

use super::job::{EmitError, Job};
use super::log::Draft;
use super::{Event, JobKey, Outcome, Runtime};
use crate::time::Now;

/// Why nothing is taken on while the store is full.
pub(super) const NO_ROOM: &str = "the runtime's store has no room now; try again later";

impl Runtime {
    /// The store has no room for a batch, which is to be committed again later. Jobs that have said something since the last
    /// batch that was committed end in `INTERNAL_ERROR`, and so does every job that says something before the next one is. What
    /// would have to be written is refused with the same code, which invites to try again. Nothing that was numbered is lost: it
    /// is sent once there is room.
    pub fn handle_full(&mut self, now: Now) {
        self.store_is_full = true;
        self.connections.wake_waiting(&mut self.events); // signs of life go first now
        let committed = self.writes.committed();
        let running = |(_, job): &(&JobKey, &Job)| !job.has_ended() && job.position > committed;
        let affected: Vec<JobKey> = self.jobs.iter().filter(running).map(|(key, _)| *key).collect();
        for job_key in affected {
            self.end_unwritten(now, job_key);
        }
    }

    /// Takes no new session and no new job any more, and tells those that run by a `status` event of phase `draining`. Sessions
    /// can still be resumed. [`Event::Drained`] says that no job runs any more.
    pub fn drain(&mut self, now: Now) {
        if std::mem::replace(&mut self.draining, true) {
            return;
        }
        let running = self.jobs.iter().filter(|(_, job)| !job.has_ended());
        for job_key in running.map(|(key, _)| *key).collect::<Vec<_>>() {
            self.tell_draining(now, job_key);
        }
        self.tell_drained();
    }

    /// A job whose agent wants something to be written, if that can be done: where the store is full, the job ends.
    pub(super) fn writable(&mut self, now: Now, job_key: JobKey) -> Result<&mut Job, EmitError> {
        if self.store_is_full {
            self.end_unwritten(now, job_key);
        }
        self.jobs.get_mut(&job_key).filter(|job| !job.has_ended()).ok_or(EmitError::Ended)
    }

    /// Ends a job of which nothing more can be written now.
    pub(super) fn end_unwritten(&mut self, now: Now, job_key: JobKey) {
        if self.jobs.get(&job_key).is_some_and(|job| !job.has_ended()) {
            let error = ErrorPayload::new(ErrorCode::InternalError, NO_ROOM);
            self.finish(now, job_key, Outcome::Failure(error));
            self.events.push_back(Event::Abort(job_key));
        }
    }

    pub(super) fn tell_draining(&mut self, now: Now, job_key: JobKey) {
        let message = Some("the runtime is about to stop".to_owned());
        let status = Status { phase: "draining".to_owned(), message, id: None, value: None };
        if let Ok(draft) = Draft::new(EventKind::Status, now.wall, &status) {
            self.append_event(job_key, draft);
        }
    }

    /// Says that no job runs any more, if that is what is being waited for.
    pub(super) fn tell_drained(&mut self) {
        if self.draining && !self.shutting_down && self.sessions.all_running() == 0 {
            self.events.push_back(Event::Drained);
        }
    }
}
