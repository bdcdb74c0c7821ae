//! Subscriptions (§7.6): a session is sent the messages of a job that it did not submit, or has lost sight of.

use arcp_proto::job::{Accepted, Subscribe, Subscribed};
use arcp_proto::{ErrorCode, ErrorPayload, Feature, JobId};

use super::requests::Request;
use super::{JobKey, Runtime, SessionKey};
use crate::observation::Observation;
use crate::principal::Principal;
use crate::quirks::Quirk;
use crate::time::Now;

impl Runtime {
    pub(super) fn subscribe(&mut self, now: Now, request: &Request, subscribe: Subscribe) {
        if !self.negotiated(request.session, &Feature::Subscribe) {
            return self.refuse_unnegotiated(now, request, &Feature::Subscribe);
        }
        let job_id = subscribe.job_id.clone();
        match self.observable(request.session, &job_id) {
            Ok(job_key) => self.attach_subscriber(now, request, job_key, subscribe),
            Err(error) => self.refuse(now, request, error, Some(job_id)),
        }
    }

    /// The job, if the session's principal may observe it. Every decision is on record.
    fn observable(&self, session: SessionKey, job_id: &JobId) -> Result<JobKey, ErrorPayload> {
        let found = self.find_job(session, job_id);
        let (decision, outcome) = match found {
            Some((_, Observation::Hidden)) | None => (
                "not_found",
                Err(ErrorPayload::new(ErrorCode::JobNotFound, format!("job {job_id} is not known"))),
            ),
            Some((_, Observation::Listed)) => {
                ("denied", Err(ErrorPayload::new(ErrorCode::PermissionDenied, "job may not be observed")))
            }
            Some((job_key, Observation::Allowed)) if self.has_room_to_follow(session, job_key) => {
                ("allowed", Ok(job_key))
            }
            Some((_, Observation::Allowed)) => {
                let limit = self.config.limits.subscriptions_per_session;
                let message = format!("session follows {limit} jobs, which is the limit");
                ("limit", Err(ErrorPayload::new(ErrorCode::InternalError, message)))
            }
        };
        if let Some(subscriber) = self.sessions.by_key(session) {
            let owner =
                found.and_then(|(job_key, _)| self.jobs.get(&job_key)).map(|job| job.principal.as_str());
            tracing::info!(
                target: "arcp::audit",
                subscriber = %subscriber.principal,
                session_id = %subscriber.id(),
                %job_id,
                owner,
                decision,
                "job.subscribe"
            );
        }
        outcome
    }

    fn has_room_to_follow(&self, session: SessionKey, job_key: JobKey) -> bool {
        let limit = self.config.limits.subscriptions_per_session;
        self.sessions
            .by_key(session)
            .is_some_and(|session| session.following.contains(&job_key) || session.following.len() < limit)
    }

    /// Answers, and has the session read the job's log from where it asks, and from its end on what happens. A session that is
    /// sent the job's messages already goes back to there.
    fn attach_subscriber(&mut self, now: Now, request: &Request, job_key: JobKey, subscribe: Subscribe) {
        let Some(job) = self.jobs.get(&job_key) else { return };
        let accepted = Accepted::clone(&job.accepted);
        let (start, truncated) = match (subscribe.history, &job.terminal) {
            (true, _) => job.place_after(subscribe.from_event_seq.unwrap_or(0)),
            // Whoever watches a job that has ended must see that it has.
            (false, Some(terminal)) => (terminal.index, false),
            (false, None) => (job.next_index, false),
        };
        let replayed = start < job.next_index;
        let (mut lease_constraints, mut budget) =
            (accepted.lease_constraints, accepted.budget.map(|_| job.authority.budget()));
        self.withhold(request.session, &mut lease_constraints, &mut budget);
        let subscribed = Subscribed {
            job_id: accepted.job_id.clone(),
            current_status: job.status(),
            agent: accepted.agent,
            lease: accepted.lease,
            lease_constraints,
            budget,
            credentials: self.credentials_for(request.session, job),
            parent_job_id: accepted.parent_job_id,
            trace_id: accepted.trace_id,
            subscribed_from: job.log.last_owner_seq(),
            replayed,
            request_id: request.id.clone(),
        };
        let head = std::sync::Arc::clone(&job.head);
        // The answer waits for what is written of it below.
        self.writes.make_due();
        // What is left of an earlier subscription is not the beginning of this one.
        self.answer_about(now, request, &head, &subscribed, Some(start));
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        if job.follow(request.session, false)
            && let Some(session) = self.sessions.by_key_mut(request.session)
        {
            session.following.push(job_key);
        }
        let pauses = self
            .sessions
            .by_key(request.session)
            .is_some_and(|session| session.head.quirks.contains(Quirk::PauseBeforeReplay));
        // After a pause there may be something to replay that has not been said yet.
        if replayed || pauses {
            // From just before what is kept, if there was more: then it is said that there was.
            self.read_from(request.session, job_key, if truncated { start - 1 } else { start });
        }
        self.record_follow(request.session, job_key);
    }

    /// Ends a subscription. There is no answer, and what was not subscribed to is not an error (§7.6). A session goes on
    /// being sent what it submitted.
    pub(super) fn unsubscribe(&mut self, now: Now, request: &Request, job_id: &JobId) {
        if !self.negotiated(request.session, &Feature::Subscribe) {
            return self.refuse_unnegotiated(now, request, &Feature::Subscribe);
        }
        let Some(job_key) = self.job_ids.get(job_id).copied() else { return };
        if let Some(job) = self.jobs.get_mut(&job_key)
            && job.unsubscribe(request.session)
            && let Some(session) = self.sessions.by_key_mut(request.session)
        {
            session.following.retain(|followed| *followed != job_key);
            session.behind.retain(|followed| *followed != job_key);
            self.record_follow(request.session, job_key);
        }
    }

    /// A job and what the session's principal may know of it.
    pub(super) fn find_job(&self, session: SessionKey, job_id: &JobId) -> Option<(JobKey, Observation)> {
        let observer = &self.sessions.by_key(session)?.principal;
        let job_key = *self.job_ids.get(job_id)?;
        let owner = &self.jobs.get(&job_key)?.principal;
        Some((job_key, self.observation(observer, owner)))
    }

    pub(super) fn observation(&self, observer: &Principal, owner: &Principal) -> Observation {
        if observer == owner {
            Observation::Allowed
        } else {
            self.config.observation.observation(observer, owner)
        }
    }
}
