//! Jobs as their client sees them: what belongs to which, and what comes too early.

use std::collections::{HashMap, VecDeque};

use arcp_proto::job::{Accepted, Event as JobEvent, JobError};
use arcp_proto::{DecodeError, Envelope, JobId, MessageType};

use super::{Event, JobEnd, Session};

/// Messages that may wait for the `job.accepted` of their job.
const MAX_EARLY: usize = 65_536;

/// Jobs that are remembered after there is nothing more to be told of them.
const MAX_PAST: usize = 1_024;

#[derive(Default)]
pub(super) struct Jobs {
    /// Jobs that are followed; whether they are this session's own.
    live: HashMap<JobId, bool>,
    /// Messages of jobs that no `job.accepted` has named yet, oldest first.
    early: VecDeque<(JobId, Event)>,
    /// Jobs that have ended, or that nobody here asked for; the latest last. What is still said of them is no news,
    /// and no answer to anybody.
    past: VecDeque<JobId>,
}

impl Jobs {
    /// Whether this job has been accepted, be it that it has ended or is nobody's.
    pub(super) fn knows(&self, job_id: &JobId) -> bool {
        self.live.contains_key(job_id) || self.past.contains(job_id)
    }

    /// Forgets what came too early: no `job.accepted` is expected.
    pub(super) fn drop_early(&mut self) {
        self.early.clear();
    }

    /// Whether a job is followed as somebody else's.
    pub(super) fn is_foreign(&self, job_id: &JobId) -> bool {
        self.live.get(job_id) == Some(&false)
    }

    fn is_early(&self, job_id: &JobId) -> bool {
        self.early.iter().any(|(job, _)| job == job_id)
    }

    pub(super) fn put_past(&mut self, job_id: JobId) {
        self.live.remove(&job_id);
        self.early.retain(|(job, _)| *job != job_id);
        if !self.past.contains(&job_id) {
            self.past.push_back(job_id);
        }
        if self.past.len() > MAX_PAST {
            self.past.pop_front();
        }
    }
}

impl Session {
    pub(super) fn handle_accepted(&mut self, accepted: Accepted) {
        let job_id = accepted.job_id.clone();
        if accepted.parent_job_id.is_some() {
            // A delegated job: it never answers a submit (§10).
            self.begin(job_id, true);
            return;
        }
        match self.requests.accepted(accepted.request_id.as_ref()) {
            Some(Some(request)) => {
                self.events.push_back(Event::Accepted { request, accepted: Box::new(accepted) });
                self.begin(job_id, true);
            }
            Some(None) => {
                tracing::warn!(%job_id, "job was accepted after its submit had timed out");
                self.disown(job_id);
            }
            None => {
                tracing::warn!(%job_id, "job.accepted answers no open submit, ignored");
                self.disown(job_id);
            }
        }
    }

    /// A job that nobody here waits for; if it is one of ours already it stays that.
    pub(super) fn disown(&mut self, job_id: JobId) {
        if !self.jobs.live.contains_key(&job_id) {
            self.jobs.put_past(job_id);
        }
    }

    /// A job is known from now on; what came too early is told now.
    pub(super) fn begin(&mut self, job_id: JobId, own: bool) {
        let early = std::mem::take(&mut self.jobs.early);
        let (mine, others): (VecDeque<_>, VecDeque<_>) =
            early.into_iter().partition(|(job, _)| *job == job_id);
        self.jobs.early = others;
        let mut ended = false;
        for (_, event) in mine {
            if ended {
                break; // a submit that was made again may have had the end sent again
            }
            ended = matches!(event, Event::JobEnded { .. });
            self.events.push_back(event);
        }
        if ended {
            self.jobs.put_past(job_id);
        } else {
            self.jobs.past.retain(|past| *past != job_id);
            *self.jobs.live.entry(job_id).or_default() |= own;
        }
    }

    pub(super) fn handle_event(&mut self, envelope: Envelope, event: JobEvent) {
        let Some(job_id) = envelope.job_id else {
            tracing::debug!("job.event without a job_id ignored");
            return;
        };
        self.tell(job_id.clone(), Event::Job { job_id, event_seq: envelope.event_seq, event });
    }

    pub(super) fn handle_end(&mut self, envelope: Envelope, end: JobEnd) {
        let Some(job_id) = envelope.job_id else {
            tracing::debug!(message_type = %envelope.message_type, "terminal message without a job_id ignored");
            return;
        };
        for request in self.requests.job_ended(&job_id) {
            self.events.push_back(Event::CancelAcknowledged { request });
        }
        let live = self.jobs.live.contains_key(&job_id);
        self.tell(job_id.clone(), Event::JobEnded { job_id: job_id.clone(), end });
        if live {
            self.jobs.put_past(job_id);
        }
    }

    /// A `job.error` ends its job, but for those by which some runtimes refuse a request.
    pub(super) fn handle_job_error(&mut self, envelope: Envelope, error: JobError) {
        let refused = match &envelope.job_id {
            Some(job_id) if self.jobs.live.contains_key(job_id) => {
                self.requests.refused_on(job_id, &error.error.code)
            }
            Some(job_id) if self.jobs.knows(job_id) => self.requests.take_cancel(job_id),
            Some(job_id) if self.jobs.is_early(job_id) => None,
            Some(_) if self.standing.replaying => None, // a job whose acceptance was lost, and is asked for again
            Some(job_id) => {
                let cancel = self.requests.take_cancel(job_id);
                cancel.or_else(|| self.requests.submit_refused(&envelope.id, true))
            }
            None => self.requests.submit_refused(&envelope.id, false),
        };
        match refused {
            Some(Some(request)) => self.events.push_back(Event::Refused { request, error: error.error }),
            Some(None) => tracing::debug!(error = %error.error, "refusal of a request that had timed out"),
            None => self.handle_end(envelope, JobEnd::Failure(error)),
        }
    }

    /// A message of the runtime whose payload cannot be read. If it ends a job, the job's client must learn of it.
    pub(super) fn handle_unreadable(&mut self, envelope: &Envelope, error: DecodeError) {
        tracing::warn!(message_type = %envelope.message_type, %error, "message of the runtime cannot be read");
        let terminal = matches!(envelope.message_type, MessageType::JobResult | MessageType::JobError);
        if terminal {
            self.handle_end(envelope.clone(), JobEnd::Unreadable(error));
        }
    }

    fn tell(&mut self, job_id: JobId, event: Event) {
        if self.jobs.live.contains_key(&job_id) {
            self.events.push_back(event);
        } else if !self.jobs.knows(&job_id) && self.requests.may_begin_jobs() {
            self.jobs.early.push_back((job_id, event));
            if self.jobs.early.len() > MAX_EARLY {
                self.jobs.early.pop_front();
            }
        }
    }
}
