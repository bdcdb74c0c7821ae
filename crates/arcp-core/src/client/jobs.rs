//! Jobs as their client sees them: what belongs to which, and what comes too early.

use std::collections::{BTreeMap, HashSet, VecDeque};

use arcp_proto::event::MISSED;
use arcp_proto::job::{Accepted, Event as JobEvent, JobError};
use arcp_proto::{Envelope, JobId};

use super::place::Audience;
use super::renew::Followed;
use super::{Event, JobEnd, RequestKey, Session};
use crate::time::Now;

/// The body of the event that stands for others.
#[derive(serde::Deserialize)]
struct Missed {
    next_index: u64,
}

/// Messages that may wait for the `job.accepted` of their job.
const MAX_EARLY: usize = 65_536;

/// The same in bytes of payload, so that a runtime that accepts nothing and says much costs no more than that.
const MAX_EARLY_BYTES: usize = 16 << 20;

/// Jobs that are remembered after there is nothing more to be told of them.
const MAX_PAST: usize = 1_024;

#[derive(Default)]
pub(super) struct Jobs {
    /// Jobs that are followed.
    pub(super) live: BTreeMap<JobId, Followed>,
    /// Requests by which jobs are taken up.
    pub(super) taken_up_by: BTreeMap<RequestKey, JobId>,
    /// Messages of jobs that no `job.accepted` has named yet, oldest first.
    early: VecDeque<(JobId, Event)>,
    /// Their payload in bytes.
    early_bytes: usize,
    /// Jobs that have ended, or that nobody here asked for; the latest last. What is still said of them is no news,
    /// and no answer to anybody.
    past: Past,
}

/// The latest so many jobs of some.
#[derive(Default)]
struct Past {
    in_order: VecDeque<JobId>,
    all: HashSet<JobId>,
}

impl Past {
    fn contains(&self, job_id: &JobId) -> bool {
        self.all.contains(job_id)
    }

    fn insert(&mut self, job_id: JobId) {
        if self.all.insert(job_id.clone()) {
            self.in_order.push_back(job_id);
        }
        if self.in_order.len() > MAX_PAST
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    fn remove(&mut self, job_id: &JobId) {
        if self.all.remove(job_id) {
            self.in_order.retain(|past| past != job_id);
        }
    }
}

impl Jobs {
    /// Whether this job has been accepted, be it that it has ended or is nobody's.
    pub(super) fn knows(&self, job_id: &JobId) -> bool {
        self.live.contains_key(job_id) || self.past.contains(job_id)
    }

    /// Forgets what came too early: no `job.accepted` is expected.
    pub(super) fn drop_early(&mut self) {
        self.early.clear();
        self.early_bytes = 0;
    }

    /// Whether a job is somebody else's, if it is followed.
    pub(super) fn is_foreign(&self, job_id: &JobId) -> Option<bool> {
        self.live.get(job_id).map(|followed| !followed.own)
    }

    /// Keeps what came too early, and forgets the oldest of it beyond the limits.
    fn put_early(&mut self, job_id: JobId, event: Event) {
        self.early_bytes += size(&event);
        self.early.push_back((job_id, event));
        while self.early.len() > MAX_EARLY || self.early_bytes > MAX_EARLY_BYTES {
            let Some((_, event)) = self.early.pop_front() else { return };
            self.early_bytes -= size(&event);
        }
    }

    /// Takes out what came too early of one job.
    fn take_early(&mut self, job_id: &JobId) -> Vec<Event> {
        let (those, others): (VecDeque<_>, _) =
            std::mem::take(&mut self.early).into_iter().partition(|(job, _)| job == job_id);
        self.early = others;
        let those: Vec<_> = those.into_iter().map(|(_, event)| event).collect();
        self.early_bytes -= those.iter().map(size).sum::<usize>();
        those
    }

    fn is_early(&self, job_id: &JobId) -> bool {
        self.early.iter().any(|(job, _)| job == job_id)
    }

    pub(super) fn put_past(&mut self, job_id: JobId) {
        self.live.remove(&job_id);
        self.take_early(&job_id);
        self.past.insert(job_id);
    }
}

/// What keeping an event costs, as far as its runtime has a say in it.
fn size(event: &Event) -> usize {
    match event {
        Event::Job { event, .. } => event.body.as_str().len(),
        Event::JobEnded { end: JobEnd::Success(result), .. } => {
            result.result.as_ref().map_or(0, |result| result.as_str().len())
        }
        Event::JobEnded { end: JobEnd::Failure(error), .. } => {
            error.error.details.as_ref().map_or(0, |details| details.as_str().len())
                + error.error.message.len()
        }
        _ => 0,
    }
}

impl Session {
    pub(super) fn handle_accepted(&mut self, now: Now, accepted: Accepted, next_index: Option<u64>) {
        let job_id = accepted.job_id.clone();
        if accepted.parent_job_id.is_some() {
            // A delegated job: it never answers a submit (§10). It may be told again after a resume.
            if self.jobs.knows(&job_id) {
                return;
            }
            self.events.push_back(Event::Delegated(Box::new(accepted)));
            self.begin(None, job_id, Followed::submitted(None), None);
            return;
        }
        let answered = self.requests.accepted(accepted.request_id.as_ref());
        match answered.map(|open| (open.key, open.renewed)) {
            Some((Some(request), renewed)) => {
                self.events.push_back(Event::Accepted { request, accepted: Box::new(accepted) });
                if renewed && next_index.is_some() && !self.jobs.live.contains_key(&job_id) {
                    // It was accepted in the session before this one, and has begun: its beginning is asked for.
                    self.jobs.put_past(job_id.clone());
                    self.begin(Some(request), job_id.clone(), Followed::submitted(Some(0)), None);
                    self.take_up(now, job_id);
                } else {
                    self.begin(Some(request), job_id, Followed::submitted(next_index), None);
                }
            }
            Some((None, _)) => {
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
    pub(super) fn begin(
        &mut self,
        request: Option<RequestKey>,
        job_id: JobId,
        mut followed: Followed,
        start: Option<u64>,
    ) {
        let counts = self.standing.counts_everything;
        let mut ended = false;
        for event in self.jobs.take_early(&job_id) {
            if ended {
                break; // a submit that was made again may have had the end sent again
            }
            ended = matches!(event, Event::JobEnded { .. });
            if let Event::Job { event_seq, .. } = &event
                && followed.counts_early()
            {
                followed.advance(*event_seq, counts);
            }
            self.events.push_back(event);
        }
        if ended {
            self.jobs.put_past(job_id);
        } else {
            self.jobs.past.remove(&job_id);
            match self.jobs.live.get_mut(&job_id) {
                Some(before) if followed.own => before.own = true,
                Some(before) => request.into_iter().for_each(|request| before.join(request, start)),
                None => drop(self.jobs.live.insert(job_id, followed)),
            }
        }
    }

    pub(super) fn handle_event(&mut self, envelope: Envelope, event: JobEvent) {
        let Some(job_id) = envelope.job_id else {
            tracing::debug!("job.event without a job_id ignored");
            return;
        };
        if event.kind.as_str() == MISSED
            && let Ok(missed) = event.body.decode::<Missed>()
        {
            return self.handle_missed(job_id, missed.next_index);
        }
        let event_seq = envelope.event_seq;
        self.tell(job_id.clone(), Event::Job { job_id, event_seq, event, audience: Audience::All });
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
        let told = self.tell(job_id.clone(), Event::JobEnded { job_id: job_id.clone(), end });
        if live && told {
            self.jobs.put_past(job_id);
        }
    }

    /// A `job.error` ends its job, but for those by which some runtimes refuse a request.
    pub(super) fn handle_job_error(&mut self, envelope: Envelope, error: JobError) {
        let refused = match &envelope.job_id {
            Some(_) if self.standing.replaying => None, // what was missed answers nothing that is asked now
            Some(job_id) if self.jobs.live.contains_key(job_id) => {
                self.requests.refused_on(job_id, &error.error.code)
            }
            Some(job_id) if self.jobs.knows(job_id) => self.requests.refused_on_past(job_id),
            Some(job_id) if self.jobs.is_early(job_id) => None,
            Some(job_id) => {
                let cancel = self.requests.take_cancel(job_id);
                cancel.or_else(|| self.requests.submit_refused(&envelope.id, true))
            }
            None => self.requests.submit_refused(&envelope.id, false),
        };
        match refused {
            Some(Some(request)) => self.refuse(request, error.error),
            Some(None) => tracing::debug!(error = %error.error, "refusal of a request that had timed out"),
            None => self.handle_end(envelope, JobEnd::Failure(error)),
        }
    }

    /// Tells what is said of a job, if it is news. Returns whether it is.
    fn tell(&mut self, job_id: JobId, mut event: Event) -> bool {
        let counts = self.standing.counts_everything;
        if let Some(followed) = self.jobs.live.get_mut(&job_id) {
            let news = match &mut event {
                Event::Job { event_seq, audience, .. } => match followed.advance(*event_seq, counts) {
                    Some(those) => {
                        *audience = those;
                        true
                    }
                    None => false,
                },
                _ => !followed.taking_up,
            };
            if news {
                self.events.push_back(event);
            }
            return news;
        }
        if !self.jobs.knows(&job_id) && self.requests.may_begin_jobs() {
            self.jobs.put_early(job_id, event);
        }
        false
    }
}
