//! Submitting a job (§7.1, §7.2): everything is checked before anything exists.

use std::time::Duration;

use arcp_proto::job::{Accepted, Submit};
use arcp_proto::{ErrorCode, ErrorPayload, JobId, TraceContext, TraceId};

use super::idempotency::Claim;
use super::job::Job;
use super::requests::Request;
use super::timers::Timer;
use super::{Event, JobHead, JobKey, JobRecord, JobSpec, ResolvedAgent, Runtime, SessionKey, Write};
use crate::fingerprint::Fingerprint;
use crate::lease;
use crate::principal::Principal;
use crate::time::{Instant, Now};

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// The longest time that a timer is set for. A job may ask for more; whatever clock the timers run on ends later.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

impl Runtime {
    pub(super) fn submit(
        &mut self,
        now: Now,
        request: &Request,
        submit: Submit,
        trace_id: Option<TraceId>,
        trace_context: Option<TraceContext>,
    ) {
        let Some(principal) = self.sessions.by_key(request.session).map(|session| session.principal.clone())
        else {
            return;
        };
        if let Err(error) = self.try_submit(now, request, submit, principal, trace_id, trace_context) {
            self.refuse(now, request, error, None);
        }
    }

    fn try_submit(
        &mut self,
        now: Now,
        request: &Request,
        submit: Submit,
        principal: Principal,
        trace_id: Option<TraceId>,
        trace_context: Option<TraceContext>,
    ) -> Result<(), ErrorPayload> {
        let key = self.key_of(&submit)?;
        if let Some((key, fingerprint)) = &key
            && let Some(claim) = self.keys.find(&principal, key)
        {
            if claim.fingerprint != *fingerprint {
                let message = "idempotency_key was used for a submit with other parameters";
                return Err(ErrorPayload::new(ErrorCode::DuplicateKey, message));
            }
            let job_key = claim.job;
            self.attach(now, request, job_key);
            return Ok(());
        }
        let agent = self.config.agents.resolve(&submit.agent)?;
        check_time_limit(&submit)?;
        lease::admit(&submit, now.wall)?;
        self.check_job_limits(request.session, &principal)?;
        let trace_id = trace_context.as_ref().map(|context| context.trace_id).or(trace_id);
        self.accept(now, request, submit, agent, principal, key, trace_id, trace_context);
        Ok(())
    }

    fn key_of(&self, submit: &Submit) -> Result<Option<(Box<str>, Fingerprint)>, ErrorPayload> {
        let Some(key) = &submit.idempotency_key else { return Ok(None) };
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            let message = format!("payload.idempotency_key: not 1 to {MAX_KEY_BYTES} bytes");
            return Err(ErrorPayload::new(ErrorCode::InvalidRequest, message));
        }
        let fingerprint = Fingerprint::of(submit).map_err(|error| {
            ErrorPayload::new(ErrorCode::InvalidRequest, error.within("payload").to_string())
        })?;
        Ok(Some((key.as_str().into(), fingerprint)))
    }

    fn check_job_limits(&self, session: SessionKey, principal: &Principal) -> Result<(), ErrorPayload> {
        let limits = &self.config.limits;
        let full = |whose: &str, limit: usize| {
            let message = format!("{whose} has {limit} running jobs, which is the limit");
            Err(ErrorPayload::new(ErrorCode::InternalError, message))
        };
        if self.shutting_down {
            return Err(ErrorPayload::new(ErrorCode::InternalError, "runtime is shutting down"));
        }
        if self.sessions.by_key(session).is_some_and(|session| session.running >= limits.jobs_per_session) {
            return full("session", limits.jobs_per_session);
        }
        if self.sessions.running(principal) >= limits.jobs_per_principal {
            return full("principal", limits.jobs_per_principal);
        }
        Ok(())
    }

    /// Makes the job, answers, and has it started.
    #[allow(clippy::too_many_arguments, reason = "what a job is made of")]
    fn accept(
        &mut self,
        now: Now,
        request: &Request,
        submit: Submit,
        agent: ResolvedAgent,
        principal: Principal,
        key: Option<(Box<str>, Fingerprint)>,
        trace_id: Option<TraceId>,
        trace_context: Option<TraceContext>,
    ) {
        let Some(session_id) = self.session_id(request.session) else { return };
        let job_key = JobKey(self.next_key());
        let job_id = JobId::from_ulid(self.ids.ulid(now));
        let trace_id = trace_id.unwrap_or_else(|| self.ids.trace_id());
        let accepted = Accepted {
            job_id: job_id.clone(),
            agent: Some(agent.to_string()),
            lease: submit.lease_request.clone(),
            lease_constraints: submit.lease_constraints.clone(),
            budget: None,
            credentials: Vec::new(),
            accepted_at: Some(now.wall),
            trace_id: Some(trace_id),
            parent_job_id: None,
            delegate_id: None,
            request_id: None,
        };
        let head = JobHead { job_id: job_id.clone(), trace_id };
        let job = Job::new(head, principal.clone(), request.session, accepted.clone(), key.is_some());
        self.jobs.insert(job_key, job);
        self.job_ids.insert(job_id.clone(), job_key);
        self.sessions.job_started(&principal);
        if let Some(session) = self.sessions.by_key_mut(request.session) {
            session.running += 1;
            session.following.push(job_key);
        }
        self.writes.push(Write::Job(Box::new(JobRecord {
            principal: principal.clone(),
            session_id: session_id.clone(),
            accepted,
            key: key.clone(),
        })));
        if let Some((key, fingerprint)) = key {
            self.claim(now.monotonic, principal.clone(), key, Claim { fingerprint, job: job_key });
        }
        if let Some(seconds) = submit.max_runtime_sec {
            let end = now.monotonic + Duration::from_secs(seconds).min(CENTURY);
            self.set_job_timer(job_key, end, Timer::MaxRuntime(job_key));
        }
        if let Some(expires_at) = submit.lease_constraints.expires_at {
            let end = now.monotonic + expires_at.saturating_since(now.wall).min(CENTURY);
            self.set_job_timer(job_key, end, Timer::LeaseExpiry(job_key));
        }
        self.answer_accepted(now, request, job_key, None);
        self.events.push_back(Event::Start(Box::new(JobSpec {
            job: job_key,
            job_id,
            agent,
            input: submit.input,
            principal,
            session_id,
            parent_job_id: None,
            trace_id,
            trace_context,
            lease: submit.lease_request,
            lease_constraints: submit.lease_constraints,
        })));
    }

    /// Attaches a second submitter to the job that its key names: events from now on, or the terminal message (§7.2).
    fn attach(&mut self, now: Now, request: &Request, job_key: JobKey) {
        let Some(job) = self.jobs.get(&job_key) else { return };
        let next_index = job.terminal.as_ref().map_or(job.next_index, |terminal| terminal.index);
        self.answer_accepted(now, request, job_key, Some(next_index));
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        let Some(session) = self.sessions.by_key_mut(request.session) else { return };
        match &job.terminal {
            Some(terminal) => {
                session.push(terminal, &self.config.limits);
            }
            None => {
                if job.follow(request.session, true) {
                    session.following.push(job_key);
                }
            }
        }
        self.connections.wake(request.connection, &mut self.events);
    }

    fn answer_accepted(&mut self, now: Now, request: &Request, job_key: JobKey, next_index: Option<u64>) {
        let Some(job) = self.jobs.get(&job_key) else { return };
        let accepted = Accepted { request_id: request.id.clone(), ..job.accepted.clone() };
        let head = std::sync::Arc::clone(&job.head);
        self.answer_about(now, request, &head, &accepted, next_index);
    }

    fn claim(&mut self, now: Instant, principal: Principal, key: Box<str>, claim: Claim) {
        let first = self.keys.oldest().is_none();
        self.keys.claim(now, principal, key, claim);
        while self.keys.len() > self.config.limits.idempotency_keys {
            tracing::warn!("more idempotency keys than the limit: the oldest is forgotten early");
            self.forget_oldest_key();
        }
        if first && self.keys.oldest().is_some() {
            self.timers.set(now + self.config.limits.idempotency_window, Timer::OldestKey);
        }
    }

    /// Forgets keys whose time is up, and sets the timer for the next.
    pub(super) fn forget_keys(&mut self, now: Instant) {
        let window = self.config.limits.idempotency_window;
        while let Some(claimed) = self.keys.oldest() {
            let end = claimed + window;
            if end > now {
                return self.timers.set(end, Timer::OldestKey);
            }
            self.forget_oldest_key();
        }
    }

    fn forget_oldest_key(&mut self) {
        if let Some((principal, key, job_key)) = self.keys.forget_oldest() {
            self.writes.push(Write::KeyGone(principal, key));
            self.release_key(job_key);
        }
    }
}

fn check_time_limit(submit: &Submit) -> Result<(), ErrorPayload> {
    match submit.max_runtime_sec {
        Some(0) => {
            Err(ErrorPayload::new(ErrorCode::InvalidRequest, "payload.max_runtime_sec: must be at least 1"))
        }
        _ => Ok(()),
    }
}
