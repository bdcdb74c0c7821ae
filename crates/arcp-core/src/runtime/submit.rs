//! Submitting a job (§7.1, §7.2): everything is checked before anything exists.

use std::sync::Arc;
use std::time::Duration;

use arcp_proto::job::{Accepted, Submit};
use arcp_proto::{
    Budget, Credential, DelegateId, ErrorCode, ErrorPayload, Feature, JobId, Json, Lease, LeaseConstraints,
    SessionId, TraceContext, TraceId, namespace,
};

use super::idempotency::Claim;
use super::input::Verdict;
use super::job::Job;
use super::lend::Allowance;
use super::requests::Request;
use super::timers::Timer;
use super::{
    Event, JobHead, JobKey, JobRecord, JobSpan, JobSpec, Rerun, ResolvedAgent, Runtime, SessionKey,
    TracedJob, Write,
};
use crate::fingerprint::Fingerprint;
use crate::lease::{Authority, CENTURY, Denied};
use crate::principal::Principal;
use crate::time::{Instant, Now};

/// The longest idempotency key, in bytes.
const MAX_KEY_BYTES: usize = 256;

/// Everything that a job is made of.
pub(super) struct Order {
    pub(super) job: JobKey,
    pub(super) job_id: JobId,
    pub(super) agent: ResolvedAgent,
    pub(super) input: Json,
    pub(super) principal: Principal,
    /// The session that it belongs to.
    pub(super) owner: SessionKey,
    pub(super) session_id: SessionId,
    pub(super) lease: Lease,
    pub(super) lease_constraints: LeaseConstraints,
    pub(super) authority: Arc<Authority>,
    pub(super) key: Option<(Box<str>, Fingerprint)>,
    pub(super) max_runtime: Option<Duration>,
    pub(super) trace_id: TraceId,
    /// What it was submitted with, or that of the job that delegates.
    pub(super) submitted_in: Option<TraceContext>,
    /// Its own: that of its span, or the one before.
    pub(super) trace_context: Option<TraceContext>,
    pub(super) span: Option<Arc<dyn JobSpan>>,
    pub(super) parent: Option<Parent>,
}

/// The job that delegates to another, and what it calls that (§10).
pub(super) struct Parent {
    pub(super) job: JobKey,
    pub(super) delegate_id: DelegateId,
}

impl Runtime {
    pub(super) fn submit(
        &mut self,
        now: Now,
        request: &Request,
        submit: Submit,
        verdict: Verdict,
        trace: (Option<TraceId>, Option<TraceContext>),
    ) {
        let Some(principal) = self.sessions.by_key(request.session).map(|session| session.principal.clone())
        else {
            return;
        };
        if let Err(error) = self.try_submit(now, request, submit, verdict, principal, trace) {
            self.refuse(now, request, error, None);
        }
    }

    fn try_submit(
        &mut self,
        now: Now,
        request: &Request,
        mut submit: Submit,
        verdict: Verdict,
        principal: Principal,
        (trace_id, trace_context): (Option<TraceId>, Option<TraceContext>),
    ) -> Result<(), ErrorPayload> {
        let denied = |denied: Denied| ErrorPayload::new(denied.code(), format!("payload: {denied}"));
        // Before the key is looked up: who may not ask for a job is not shown one that was, nor one that was given more.
        let ceiling = self.sessions.by_key(request.session).and_then(|session| session.ceiling.as_ref());
        if let Some(ceiling) = ceiling {
            submit.lease_request = ceiling.cap(&submit.lease_request, self.config.models).map_err(denied)?;
        }
        let key = self.key_of(&submit)?;
        if let Some((key, fingerprint)) = &key
            && let Some(claim) = self.keys.find(&principal, key)
        {
            if claim.fingerprint != *fingerprint {
                let message = "idempotency_key was used for a submit with other parameters";
                return Err(ErrorPayload::new(ErrorCode::DuplicateKey, message));
            }
            let job_key = claim.job;
            if !self.await_provision(job_key, request) {
                self.attach(now, request, job_key);
            }
            return Ok(());
        }
        let agent = self.config.agents.resolve(&submit.agent)?;
        check_time_limit(&submit)?;
        // After the key: what was accepted once is not refused when it is asked for again.
        self.check_input(&agent, &submit.input, verdict)?;
        let Some(session_id) = self.session_id(request.session) else { return Ok(()) };
        let Submit { lease_request: lease, lease_constraints: constraints, .. } = &submit;
        let authority = Authority::new(lease, constraints, self.config.models, now).map_err(denied)?;
        self.check_job_limits(request.session, &principal)?;
        if let Some(admission) = &self.config.admission {
            admission.admit(now, &principal)?;
        }
        let given = trace_context.as_ref().map(|context| context.trace_id).or(trace_id);
        let (job, job_id) = self.new_job(now);
        let trace_id = given.unwrap_or_else(|| self.ids.trace_id());
        let mut order = Order {
            job,
            job_id,
            agent,
            input: submit.input,
            principal,
            owner: request.session,
            session_id,
            lease: submit.lease_request,
            lease_constraints: submit.lease_constraints,
            authority: Arc::new(authority),
            key,
            max_runtime: submit.max_runtime_sec.map(Duration::from_secs),
            trace_id,
            submitted_in: trace_context.clone(),
            trace_context,
            span: None,
            parent: None,
        };
        self.trace_order(&mut order);
        if let (None, Some(span)) = (given, &order.span) {
            order.trace_id = span.context().trace_id;
            order.trace_context = Some(span.context());
        }
        // Who names a trace traces, and so tools are told of it (§11): by a span that nobody records, if there is no other.
        if given.is_some() && order.span.is_none() && order.trace_context.is_none() {
            let (trace_id, span_id) = (order.trace_id, self.ids.span_id());
            order.trace_context = Some(TraceContext { trace_id, span_id, sampled: true, tracestate: None });
        }
        self.count(order.owner, &order.principal);
        if self.provisions_credentials() {
            self.provision(now, order, Some(request));
            return Ok(());
        }
        let job_key = self.create(now, order, Vec::new());
        self.answer_accepted(now, request, job_key, None);
        self.start(job_key);
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

    /// Whether the agent takes the input, which may have been found out already.
    pub(super) fn check_input(
        &self,
        agent: &ResolvedAgent,
        input: &Json,
        Verdict(verdict): Verdict,
    ) -> Result<(), ErrorPayload> {
        verdict.or_else(|| self.config.agents.check_resolved(agent, input)).unwrap_or(Ok(()))
    }

    pub(super) fn check_job_limits(
        &self,
        session: SessionKey,
        principal: &Principal,
    ) -> Result<(), ErrorPayload> {
        let limits = &self.config.limits;
        let full = |whose: &str, limit: usize| {
            let message = format!("{whose} has {limit} running jobs, which is the limit");
            Err(ErrorPayload::new(ErrorCode::InternalError, message))
        };
        if self.shutting_down {
            return Err(ErrorPayload::new(ErrorCode::InternalError, "runtime is shutting down"));
        }
        if self.draining {
            let message = "the runtime is about to stop and takes no new jobs; try again later";
            return Err(ErrorPayload::new(ErrorCode::InternalError, message));
        }
        if self.sessions.by_key(session).is_some_and(|session| session.running >= limits.jobs_per_session) {
            return full("session", limits.jobs_per_session);
        }
        if self.sessions.running(principal) >= limits.jobs_per_principal {
            return full("principal", limits.jobs_per_principal);
        }
        Ok(())
    }

    /// What the next job is called.
    pub(super) fn new_job(&mut self, now: Now) -> (JobKey, JobId) {
        (JobKey(self.next_key()), JobId::from_ulid(self.ids.ulid(now)))
    }

    /// Counts a job that is to be among those of its session and principal.
    pub(super) fn count(&mut self, owner: SessionKey, principal: &Principal) {
        self.sessions.job_started(principal);
        if let Some(session) = self.sessions.by_key_mut(owner) {
            session.running += 1;
        }
    }

    /// The same for one that is no more.
    pub(super) fn uncount(&mut self, owner: SessionKey, principal: &Principal) {
        if let Some(session) = self.sessions.by_key_mut(owner) {
            session.running -= 1;
        }
        self.sessions.job_ended(principal);
        self.tell_drained();
    }

    fn parent_of(&self, order: &Order) -> Option<&Job> {
        order.parent.as_ref().and_then(|parent| self.jobs.get(&parent.job))
    }

    /// What the agent of a job is told.
    pub(super) fn spec_of(&self, order: &Order) -> JobSpec {
        JobSpec {
            job: order.job,
            job_id: order.job_id.clone(),
            agent: order.agent.clone(),
            input: order.input.clone(),
            principal: order.principal.clone(),
            session_id: order.session_id.clone(),
            parent_job_id: self.parent_of(order).map(|parent| parent.head.job_id.clone()),
            trace_id: order.trace_id,
            trace_context: order.trace_context.clone(),
            span: order.span.clone(),
            lease: order.lease.clone(),
            lease_constraints: order.lease_constraints.clone(),
            authority: Arc::clone(&order.authority),
            restored: None,
        }
    }

    /// Begins the span of a job that is to be, if there is a tracer.
    pub(super) fn trace_order(&self, order: &mut Order) {
        let Some(tracer) = &self.config.tracer else { return };
        let session = self.sessions.by_key(order.owner).and_then(|session| session.span.as_ref());
        let Some(span) = tracer.job(&TracedJob {
            job_id: &order.job_id,
            session_id: &order.session_id,
            session: session.map(|span| span.context()),
            agent: &order.agent,
            parent: order.submitted_in.as_ref(),
            trace_id: order.trace_id,
            delegated: order.parent.is_some(),
            lease: &order.lease,
            lease_constraints: &order.lease_constraints,
        }) else {
            return;
        };
        // Whatever a tracer does, one job is in one trace.
        order.trace_context = Some(span.context()).filter(|context| context.trace_id == order.trace_id);
        order.span = Some(span.into());
    }

    /// Makes a job of an order that was counted. It is known from here on, but its agent has not been started.
    pub(super) fn create(&mut self, now: Now, order: Order, credentials: Vec<Credential>) -> JobKey {
        let spec = Box::new(self.spec_of(&order));
        let depth = self.parent_of(&order).map_or(0, |job| job.depth + 1);
        let parent_reruns = self.parent_of(&order).is_some_and(|job| job.rerun);
        let alone = order.parent.is_none();
        let rerun = (alone && self.config.agents.are_rerun(&order.agent)).then(|| Rerun {
            input: order.input.clone(),
            max_runtime: order.max_runtime,
            trace_context: order.submitted_in.clone(),
        });
        let Order { job: job_key, job_id, agent, principal, owner, session_id, key, trace_id, .. } = order;
        let Order { lease, lease_constraints, authority, .. } = order;
        let accepted = Arc::new(Accepted {
            job_id: job_id.clone(),
            agent: Some(agent.to_string()),
            budget: lease.names(namespace::COST_BUDGET).then(|| authority.budget()),
            lease,
            lease_constraints,
            credentials: Vec::new(),
            accepted_at: Some(now.wall),
            trace_id: Some(trace_id),
            parent_job_id: spec.parent_job_id.clone(),
            delegate_id: order.parent.as_ref().map(|parent| parent.delegate_id.clone()),
            request_id: None,
        });
        let trace_context = order.trace_context.clone();
        let head =
            Arc::new(JobHead { job_id: job_id.clone(), trace_id, trace_context: trace_context.clone() });
        let mut job = Job::new(
            head,
            principal.clone(),
            (owner, session_id.clone()),
            Arc::clone(&accepted),
            Arc::clone(&authority),
            key.is_some(),
        );
        job.span = order.span.filter(|span| span.is_recording());
        job.parent = order.parent.as_ref().map(|parent| parent.job);
        job.depth = depth;
        job.position = self.writes.position();
        job.allowance = Allowance::of(&credentials, &authority.budget());
        job.credentials = credentials;
        job.waiting_to_start = Some(spec);
        job.rerun = rerun.is_some() || parent_reruns;
        if self.sessions.by_key(owner).is_none() {
            job.followers.clear();
        }
        self.jobs_of.entry(job.principal.clone()).or_default().insert(job_key);
        self.jobs.insert(job_key, job);
        self.tally.jobs_accepted += 1;
        self.job_ids.insert(job_id, job_key);
        if let Some(session) = self.sessions.by_key_mut(owner) {
            session.following.push(job_key);
        }
        if let Some(parent) = order.parent.and_then(|parent| self.jobs.get_mut(&parent.job)) {
            parent.children.push(job_key);
        }
        let owner_session = self.sessions.by_key(owner);
        let accepted_after = owner_session.map_or(0, super::session::Session::head_seq);
        self.writes.push(Write::Job(Box::new(JobRecord {
            principal: principal.clone(),
            session_id,
            trace_id,
            trace_context,
            accepted_after,
            accepted,
            key: key.clone(),
            rerun,
        })));
        self.record_follow(owner, job_key);
        if let Some((key, fingerprint)) = key {
            let until = now.monotonic + self.config.limits.idempotency_window;
            self.claim(until, principal, key, Claim { fingerprint, job: job_key });
        }
        if let Some(max_runtime) = order.max_runtime {
            let end = now.monotonic + max_runtime.min(CENTURY);
            self.set_job_timer(job_key, end, Timer::MaxRuntime(job_key));
        }
        if let Some(end) = authority.deadline() {
            self.set_job_timer(job_key, end, Timer::LeaseExpiry(job_key));
        }
        job_key
    }

    /// Has the agent of a job started, unless the job has ended meanwhile.
    pub(super) fn start(&mut self, job_key: JobKey) {
        let job = self.jobs.get_mut(&job_key).filter(|job| !job.has_ended());
        if let Some(spec) = job.and_then(|job| job.waiting_to_start.take()) {
            self.events.push_back(Event::Start(spec));
        }
    }

    /// Attaches a second submitter to the job that its key names: events from now on, or the terminal message (§7.2).
    pub(super) fn attach(&mut self, now: Now, request: &Request, job_key: JobKey) {
        let Some(job) = self.jobs.get(&job_key) else { return };
        let next_index = job.terminal.as_ref().map_or(job.next_index, |terminal| terminal.index);
        self.writes.make_due(); // the answer waits for what is written of it below
        self.answer_accepted(now, request, job_key, Some(next_index));
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        let Some(session) = self.sessions.by_key_mut(request.session) else { return };
        match &job.terminal {
            // It reads the log, and will come to its end.
            Some(_) if job.followers.iter().any(|follower| follower.session == request.session) => {}
            Some(terminal) => {
                let terminal = Arc::clone(terminal);
                self.show(request.session, &terminal);
            }
            None => {
                if job.follow(request.session, true) {
                    session.following.push(job_key);
                }
                self.record_follow(request.session, job_key);
            }
        }
        self.connections.wake(request.connection, &mut self.events);
    }

    pub(super) fn answer_accepted(
        &mut self,
        now: Now,
        request: &Request,
        job_key: JobKey,
        next_index: Option<u64>,
    ) {
        let Some(job) = self.jobs.get(&job_key) else { return };
        let mut accepted = Accepted { request_id: request.id.clone(), ..Accepted::clone(&job.accepted) };
        accepted.credentials = self.credentials_for(request.session, job);
        self.withhold(request.session, &mut accepted.lease_constraints, &mut accepted.budget);
        let head = Arc::clone(&job.head);
        self.answer_about(now, request, &head, &accepted, next_index);
    }

    /// What a session is told of a job's bounds: no fields of features that it has not negotiated (§6.2). They hold all the
    /// same.
    pub(super) fn withhold(
        &self,
        session: SessionKey,
        constraints: &mut LeaseConstraints,
        budget: &mut Option<Budget>,
    ) {
        if !self.negotiated(session, &Feature::LeaseExpiresAt) {
            *constraints = LeaseConstraints::default();
        }
        if !self.negotiated(session, &Feature::CostBudget) {
            *budget = None;
        }
    }

    /// Remembers a key until then.
    pub(super) fn claim(&mut self, until: Instant, principal: Principal, key: Box<str>, claim: Claim) {
        let first = self.keys.oldest().is_none();
        self.keys.claim(until, principal, key, claim);
        while self.keys.len() > self.config.limits.idempotency_keys {
            tracing::warn!("more idempotency keys than the limit: the oldest is forgotten early");
            self.forget_oldest_key();
        }
        if first && self.keys.oldest().is_some() {
            self.timers.set(until, Timer::OldestKey);
        }
    }

    /// Forgets keys whose time is up, and sets the timer for the next.
    pub(super) fn forget_keys(&mut self, now: Instant) {
        while let Some(until) = self.keys.oldest() {
            if until > now {
                return self.timers.set(until, Timer::OldestKey);
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
