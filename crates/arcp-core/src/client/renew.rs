//! Going on in another session once the runtime no longer has the one that was lost (§6.3, §7.6): what was followed is
//! subscribed to, from where it was.

use arcp_proto::job::{Subscribe, Subscribed};
use arcp_proto::{ErrorCode, ErrorPayload, Feature, JobId};

use super::place::{Audience, Places};
use super::requests::Kind;
use super::resume::Standing;
use super::{Event, JobEnd, RequestKey, Session};
use crate::time::Now;

/// A job that is followed, and how far it has been told: by that, another session can go on from there.
#[derive(Debug)]
pub(super) struct Followed {
    /// Whether this session submitted it.
    pub(super) own: bool,
    /// Whether its submitter counts as this session does.
    counted_here: bool,
    /// The number after which its history is asked for, in its submitter's count.
    after: u64,
    /// Who has been told how much.
    places: Places,
    /// Whether it is about to be taken up: everything comes again then.
    pub(super) taking_up: bool,
}

impl Followed {
    /// A job that was submitted here; with an index, one that somebody had submitted before with the same key.
    pub(super) fn submitted(next_index: Option<u64>) -> Self {
        Self {
            own: true,
            counted_here: next_index.is_none(),
            after: 0,
            places: Places::from(Some(next_index.unwrap_or(0))),
            taking_up: false,
        }
    }

    /// A job that is watched.
    pub(super) fn subscribed(subscribed: &Subscribed, after: Option<u64>, next_index: Option<u64>) -> Self {
        Self {
            own: false,
            counted_here: false,
            after: after.unwrap_or(subscribed.subscribed_from),
            places: Places::from(next_index),
            taking_up: false,
        }
    }

    /// Whether what came before the answer counts: not if the answer says how far the job is, which it does of the moment at
    /// which it is given.
    pub(super) fn counts_early(&self) -> bool {
        self.counted_here
    }

    /// Takes an event of the job. Gives who it is news for, if for anybody.
    pub(super) fn advance(&mut self, event_seq: Option<u64>, counts: bool) -> Option<Audience> {
        if self.taking_up {
            return None;
        }
        if let (true, Some(seq)) = (self.counted_here, event_seq) {
            self.after = seq;
        }
        if !counts {
            self.places.forget();
        }
        self.places.take()
    }

    /// A subscription to the job has begun while it is followed: what it asks for begins at a place.
    pub(super) fn join(&mut self, request: RequestKey, start: Option<u64>) {
        // From here on numbers and places part: what comes again has new numbers.
        self.counted_here = false;
        self.places.join(request, start);
    }

    /// What is asked for when the job is taken up.
    fn wish(&self, job_id: JobId) -> Subscribe {
        let history = self.counted_here || self.places.are_known();
        // Whoever has been told less than the others may need any of it.
        let after = if self.places.lag() { 0 } else { self.after };
        Subscribe { job_id, history, from_event_seq: history.then_some(after) }
    }

    /// The job is taken up; what follows begins at a place in its log. Gives who misses something.
    fn taken_up(&mut self, next_index: Option<u64>) -> Option<Audience> {
        let trusted = self.counted_here && !self.places.lag();
        (self.taking_up, self.counted_here) = (false, false);
        match next_index.filter(|_| self.places.are_known()) {
            Some(index) => self.places.go_on_at(index),
            None => {
                self.places.forget();
                (!trusted).then_some(Audience::All)
            }
        }
    }
}

impl Session {
    /// The session is gone: the next connection opens another. Said once.
    pub(super) fn lapse(&mut self, error: Option<ErrorPayload>) {
        self.events.push_back(Event::Lapsed(error));
        self.standing = Standing::default();
        self.pulse.begin_again();
        for request in self.requests.carry_over() {
            self.events.push_back(Event::Interrupted { request });
        }
        self.jobs.drop_early();
        self.unsubscribes.clear();
        for followed in self.jobs.live.values_mut() {
            followed.own = false;
            followed.taking_up = true;
        }
        self.jobs.taken_up_by.clear();
    }

    /// Another session is open: what the one before it followed is taken up.
    pub(super) fn take_up_all(&mut self, now: Now) {
        let jobs: Vec<_> = self.jobs.live.keys().cloned().collect();
        for job_id in jobs {
            self.take_up(now, job_id);
        }
    }

    /// Subscribes to a job from where it is.
    pub(super) fn take_up(&mut self, now: Now, job_id: JobId) {
        let Some(followed) = self.jobs.live.get_mut(&job_id) else { return };
        followed.taking_up = true;
        if !self.standing.features.contains(&Feature::Subscribe) {
            let message = "runtime does not offer subscriptions";
            return self.lose_job(job_id, ErrorPayload::new(ErrorCode::InvalidRequest, message));
        }
        let uses = [Feature::Subscribe].into_iter().collect();
        let wish = followed.wish(job_id.clone());
        let mut envelope = self.envelope(now, &wish);
        envelope.job_id = Some(job_id.clone());
        let request = self.request(now, envelope, Kind::TakeUp(job_id.clone()), uses);
        self.jobs.taken_up_by.insert(request, job_id);
    }

    /// A job was taken up.
    pub(super) fn taken_up(&mut self, job_id: JobId, next_index: Option<u64>) {
        self.jobs.taken_up_by.retain(|_, job| *job != job_id);
        let Some(followed) = self.jobs.live.get_mut(&job_id) else { return };
        if let Some(audience) = followed.taken_up(next_index) {
            tracing::warn!(%job_id, "events of the job are no longer kept by the runtime");
            self.events.push_back(Event::Missed { job_id, audience });
        }
    }

    /// The runtime says that events of a job are no longer kept.
    pub(super) fn handle_missed(&mut self, job_id: JobId, next_index: u64) {
        let followed = self.jobs.live.get_mut(&job_id).filter(|followed| !followed.taking_up);
        if let Some(audience) = followed.and_then(|followed| followed.places.miss(next_index)) {
            self.events.push_back(Event::Missed { job_id, audience });
        }
    }

    /// Tells that a request was refused. Of what the application did not ask for it learns by what comes of it.
    pub(super) fn refuse(&mut self, request: RequestKey, error: ErrorPayload) {
        match self.jobs.taken_up_by.remove(&request) {
            Some(job_id) => self.lose_job(job_id, error),
            None => self.events.push_back(Event::Refused { request, error }),
        }
    }

    /// Tells that a request was not answered in time.
    pub(super) fn give_up(&mut self, request: RequestKey) {
        match self.jobs.taken_up_by.remove(&request) {
            Some(job_id) => {
                let message = "runtime did not answer job.subscribe in time";
                self.lose_job(job_id, ErrorPayload::new(ErrorCode::InternalError, message));
            }
            None => self.events.push_back(Event::TimedOut { request }),
        }
    }

    /// Tells that a request was not sent, as the runtime does not offer what it is about.
    pub(super) fn lack(&mut self, request: RequestKey, feature: Feature) {
        match self.jobs.taken_up_by.remove(&request) {
            Some(job_id) => {
                let message = format!("runtime does not offer {feature}");
                self.lose_job(job_id, ErrorPayload::new(ErrorCode::InvalidRequest, message));
            }
            None => self.events.push_back(Event::NotOffered { request, feature }),
        }
    }

    /// A job cannot be followed any further, if it still is.
    pub(super) fn lose_job(&mut self, job_id: JobId, error: ErrorPayload) {
        if !self.jobs.live.get(&job_id).is_some_and(|followed| followed.taking_up) {
            return;
        }
        tracing::warn!(%job_id, %error, "job of a session that is gone cannot be taken up");
        self.jobs.put_past(job_id.clone());
        self.events.push_back(Event::JobEnded { job_id, end: JobEnd::Lost(error) });
    }
}
