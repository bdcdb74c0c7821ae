//! Looking at jobs that this session did not submit: listing (§6.6) and subscribing (§7.6).

use arcp_proto::job::{Subscribe, Subscribed, Unsubscribe};
use arcp_proto::session::{Jobs as Page, ListJobs};
use arcp_proto::{Feature, JobId};

use super::renew::Followed;
use super::requests::Kind;
use super::{Event, Phase, RequestKey, Session};
use crate::time::Now;

impl Session {
    /// Asks for a page of jobs. Answered by [`Event::Jobs`], [`Event::Refused`], [`Event::NotOffered`], [`Event::Unreadable`] or
    /// [`Event::TimedOut`].
    pub fn list_jobs(&mut self, now: Now, list: &ListJobs) -> RequestKey {
        let envelope = self.envelope(now, list);
        self.request(now, envelope, Kind::List, [Feature::ListJobs].into_iter().collect())
    }

    /// Subscribes to a job. Answered by [`Event::Subscribed`], [`Event::Refused`], [`Event::NotOffered`], [`Event::Unreadable`], [`Event::TimedOut`],
    /// or [`Event::Interrupted`] if the connection is lost meanwhile.
    pub fn subscribe(&mut self, now: Now, subscribe: &Subscribe) -> RequestKey {
        let job_id = subscribe.job_id.clone();
        let mut envelope = self.envelope(now, subscribe);
        envelope.job_id = Some(job_id.clone());
        let after = subscribe.history.then(|| subscribe.from_event_seq.unwrap_or(0));
        self.request(
            now,
            envelope,
            Kind::Subscribe(job_id, after),
            [Feature::Subscribe].into_iter().collect(),
        )
    }

    /// Ends a subscription; there is no answer, and nothing more is told of the job.
    pub fn unsubscribe(&mut self, now: Now, job_id: JobId) {
        self.jobs.put_past(job_id.clone());
        if matches!(self.phase, Phase::Open) {
            self.say_unsubscribe(now, job_id);
        } else {
            self.unsubscribes.push(job_id);
        }
    }

    pub(super) fn say_unsubscribe(&mut self, now: Now, job_id: JobId) {
        self.say(now, &Unsubscribe { job_id: job_id.clone() }, |envelope| envelope.job_id = Some(job_id));
    }

    pub(super) fn handle_jobs(&mut self, page: Page) {
        match self.requests.listed(page.request_id.as_ref()) {
            Some(Some(request)) => self.events.push_back(Event::Jobs { request, page: Box::new(page) }),
            Some(None) | None => tracing::debug!("session.jobs answers no open request, ignored"),
        }
    }

    pub(super) fn handle_subscribed(&mut self, now: Now, subscribed: Subscribed, next_index: Option<u64>) {
        let job_id = subscribed.job_id.clone();
        let answered = self.requests.subscribed(subscribed.request_id.as_ref(), &job_id);
        match answered.and_then(|open| Some((open.key?, open.kind))) {
            Some((_, Kind::TakeUp(_))) => self.taken_up(job_id, next_index),
            Some((request, Kind::Subscribe(_, after))) => {
                let followed = Followed::subscribed(&subscribed, after, next_index);
                self.events.push_back(Event::Subscribed { request, subscribed: Box::new(subscribed) });
                self.begin(Some(request), job_id, followed, next_index);
            }
            _ => {
                tracing::debug!(%job_id, "job.subscribed answers no open request, ignored");
                if !self.jobs.live.contains_key(&job_id) {
                    self.say_unsubscribe(now, job_id.clone());
                }
                self.disown(job_id);
            }
        }
    }
}
