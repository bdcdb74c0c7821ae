//! Jobs (§7.3): running, asked to stop, ended; with one terminal message whatever races.

use std::sync::Arc;

use arcp_proto::event::{BUDGET_REMAINING, EventKind, Metric};
use arcp_proto::job::{Accepted, FinalStatus, JobError, JobResult};
use arcp_proto::{
    Amount, Credential, Currency, ErrorCode, ErrorPayload, Json, MessageType, Payload, SessionId,
    TraceContext,
};

use super::history::History;
use super::lend::Allowance;
use super::log::{Cost, Draft, Entry, JobHead};
use super::result::ResultStream;
use super::timers::Timer;
use super::{
    Event, FollowRecord, JobKey, JobSpan, JobSpec, Runtime, SessionKey, StopCause, TracedEnd, Write,
};
use crate::lease::{Authority, Reservation};
use crate::principal::Principal;
use crate::time::{Instant, Now};

pub(super) struct Job {
    pub(super) head: Arc<JobHead>,
    pub(super) principal: Principal,
    /// The session that submitted it, and the only one that may cancel it (§7.4).
    pub(super) owner: SessionKey,
    pub(super) session_id: SessionId,
    /// Where it stands in its trace, if that is not what its head says: it is run again.
    pub(super) traced: Option<TraceContext>,
    /// Its span, if it is recorded.
    pub(super) span: Option<Arc<dyn JobSpan>>,
    /// The sessions that are sent its messages.
    pub(super) followers: Vec<Follower>,
    /// What its submitter was told, but for the request's id.
    pub(super) accepted: Arc<Accepted>,
    /// What it may do.
    pub(super) authority: Arc<Authority>,
    /// The job that delegated to it.
    pub(super) parent: Option<JobKey>,
    /// The jobs that it has delegated to and that have not ended.
    pub(super) children: Vec<JobKey>,
    /// How many jobs are above it.
    pub(super) depth: usize,
    /// What was issued for it (§9.8). Nowhere else, and gone with its end.
    pub(super) credentials: Vec<Credential>,
    /// What may be spent with them.
    pub(super) allowance: Allowance,
    /// What its agent is started with, until it is.
    pub(super) waiting_to_start: Option<Box<JobSpec>>,
    /// Whether its agent, or one that it works for, is run again after a restart.
    pub(super) rerun: bool,
    /// Whether an idempotency key keeps it.
    pub(super) keyed: bool,
    /// Whether it would be forgotten by now, but for its key.
    pub(super) outlived: bool,
    /// Timers that die with it.
    pub(super) timers: Vec<(Instant, Timer)>,
    pub(super) stopping: Option<Stopping>,
    pub(super) next_index: u64,
    /// The batch that has what was last written of it.
    pub(super) position: u64,
    /// What is kept of what it has said.
    pub(super) log: History,
    /// The result that its agent streams, if it does.
    pub(super) result: Option<ResultStream>,
    /// How it has ended.
    pub(super) ended: Option<FinalStatus>,
    /// The terminal message, once it has ended.
    pub(super) terminal: Option<Arc<Entry>>,
}

/// A session that is sent a job's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Follower {
    pub(super) session: SessionKey,
    /// Whether it submitted the job, be it as the second with one key: then unsubscribing does not end it.
    pub(super) submitted: bool,
    /// Whether the agent waits for this session's reader.
    pub(super) paces: bool,
    /// The place in the job's log of the next entry that it is to be shown, if it reads the log; otherwise it is shown what
    /// comes as it comes.
    pub(super) behind: Option<u64>,
}

/// A job that has been told to stop, and with what it will end.
pub(super) struct Stopping {
    pub(super) cause: StopCause,
    pub(super) reason: Option<String>,
}

/// How the agent of a job has ended.
#[derive(Debug)]
pub enum Outcome {
    /// With a result.
    Success(Json),
    /// In an error.
    Failure(ErrorPayload),
    /// By a panic, whose text stays in the runtime's log.
    Panicked,
}

/// What became of an emission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// It was taken; wait for [`Event::Wake`] before the next one.
    Wait,
}

/// Why an event was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The job has ended.
    #[error("job has ended")]
    Ended,
    /// The event is too large for one frame.
    #[error("event payload of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The job streams a result already.
    #[error("job streams a result already")]
    AlreadyStreaming,
    /// The job has no such credential.
    #[error("job has no such credential")]
    NoCredential,
    /// The job streams no result, or has ended its stream.
    #[error("job streams no result now")]
    NotStreaming,
}

impl Follower {
    /// One that was written down.
    pub(super) fn restored(session: SessionKey, record: &FollowRecord) -> Self {
        let FollowRecord { submitted, paces, behind, .. } = *record;
        Self { session, submitted, paces, behind }
    }
}

impl Job {
    pub(super) fn new(
        head: Arc<JobHead>,
        principal: Principal,
        (owner, session_id): (SessionKey, SessionId),
        accepted: Arc<Accepted>,
        authority: Arc<Authority>,
        keyed: bool,
    ) -> Self {
        Self {
            head,
            principal,
            owner,
            session_id,
            traced: None,
            span: None,
            followers: vec![Follower { session: owner, submitted: true, paces: true, behind: None }],
            accepted,
            authority,
            parent: None,
            children: Vec::new(),
            depth: 0,
            credentials: Vec::new(),
            allowance: Allowance::default(),
            waiting_to_start: None,
            rerun: false,
            keyed,
            outlived: false,
            timers: Vec::new(),
            stopping: None,
            next_index: 0,
            position: 0,
            log: History::default(),
            result: None,
            ended: None,
            terminal: None,
        }
    }

    /// Where it stands in its trace: what it delegates belongs to that.
    pub(super) fn trace_context(&self) -> Option<TraceContext> {
        self.traced.as_ref().or(self.head.trace_context.as_ref()).cloned()
    }

    pub(super) fn has_ended(&self) -> bool {
        self.terminal.is_some()
    }

    /// Has a session sent this job's messages. Returns whether it was not before.
    pub(super) fn follow(&mut self, session: SessionKey, submitted: bool) -> bool {
        match self.followers.iter_mut().find(|follower| follower.session == session) {
            Some(follower) => {
                follower.submitted |= submitted;
                false
            }
            None => {
                self.followers.push(Follower { session, submitted, paces: false, behind: None });
                true
            }
        }
    }

    /// Ends what a session has subscribed to. Returns whether it is sent no more.
    pub(super) fn unsubscribe(&mut self, session: SessionKey) -> bool {
        let before = self.followers.len();
        self.followers.retain(|follower| follower.session != session || follower.submitted);
        self.followers.len() < before
    }
}

impl Runtime {
    /// Takes an event from the agent of a job.
    ///
    /// # Errors
    /// When the job has ended or the event is too large; nothing has happened then.
    pub fn emit(&mut self, now: Now, job_key: JobKey, draft: Draft) -> Result<Flow, EmitError> {
        self.emit_paid(now, job_key, draft, None)
    }

    /// Takes the metric that tells what a cost has come to for which money was set aside: it is spent of that (§9.6).
    ///
    /// # Errors
    /// As [`emit`](Self::emit); what was set aside goes back then.
    pub fn emit_settled(
        &mut self,
        now: Now,
        job_key: JobKey,
        draft: Draft,
        reservation: Reservation,
    ) -> Result<Flow, EmitError> {
        self.emit_paid(now, job_key, draft, Some(reservation))
    }

    fn emit_paid(
        &mut self,
        now: Now,
        job_key: JobKey,
        mut draft: Draft,
        reservation: Option<Reservation>,
    ) -> Result<Flow, EmitError> {
        let limit = self.config.limits.payload_bytes;
        let job = self.writable(now, job_key)?;
        if draft.payload.len() > limit {
            return Err(EmitError::TooLarge { bytes: draft.payload.len(), limit });
        }
        let mut spent = None;
        let charged = draft.cost.take().and_then(|Cost { currency, amount }| {
            let remaining = match reservation {
                Some(reservation) if *reservation.currency() == currency => reservation.settle(amount),
                _ => job.authority.charge(&currency, amount),
            };
            let remaining = remaining?;
            spent = Some(amount);
            Some((currency, remaining))
        });
        if let (Some((currency, _)), Some(amount)) = (&charged, spent) {
            self.tally.spend(currency, amount);
            self.counters_changed(job_key);
        }
        self.append_event(job_key, draft);
        if let Some((currency, remaining)) = charged {
            self.tell_remaining(now, job_key, &currency, remaining);
        }
        self.tell_lag(now, job_key);
        Ok(self.flow(job_key))
    }

    /// Has written down what remains in the counters that a job's spending goes to, if its agent may be run again.
    pub(super) fn counters_changed(&mut self, job_key: JobKey) {
        let mut next = Some(job_key);
        while let Some((key, job)) = next.and_then(|key| Some((key, self.jobs.get(&key)?))) {
            if job.rerun {
                self.writes.changed().spent.insert(key);
            }
            next = job.parent;
        }
    }

    /// Keeps what the agent of a job wants to be given if it is run again after a restart, in place of what it wanted before.
    /// Returns the position of the batch that has it, or 0 if the agent is not run again and nothing is kept.
    ///
    /// # Errors
    /// When the job has ended or this is too large; nothing has happened then.
    pub fn checkpoint(&mut self, now: Now, job_key: JobKey, checkpoint: Json) -> Result<u64, EmitError> {
        let limit = self.config.limits.payload_bytes;
        let job = self.writable(now, job_key)?;
        if checkpoint.len() > limit {
            return Err(EmitError::TooLarge { bytes: checkpoint.len(), limit });
        }
        if !job.rerun {
            return Ok(0);
        }
        let job_id = job.head.job_id.clone();
        self.writes.push(Write::Checkpoint(job_id, checkpoint));
        Ok(self.writes.settled_at())
    }

    /// Tells what remains of a budget (§9.6).
    pub(super) fn tell_remaining(
        &mut self,
        now: Now,
        job_key: JobKey,
        currency: &Currency,
        remaining: Amount,
    ) {
        let mut metric = Metric::new(BUDGET_REMAINING, remaining);
        metric.unit = Some(currency.to_string());
        if let Ok(draft) = Draft::new(EventKind::Metric, now.wall, &metric) {
            self.append_event(job_key, draft);
        }
    }

    pub(super) fn append_event(&mut self, job_key: JobKey, draft: Draft) {
        let Some(job) = self.jobs.get(&job_key) else { return };
        let entry = Entry {
            job: Arc::clone(&job.head),
            index: job.next_index,
            message_type: MessageType::JobEvent,
            kind: Some(draft.kind),
            feature: draft.feature,
            ts: draft.ts,
            payload: draft.payload,
            plain: None,
            gap: false,
        };
        self.append(job_key, entry, None);
    }

    /// Whether the agent of a job has to wait, and if so, has it woken later.
    pub(super) fn flow(&mut self, job_key: JobKey) -> Flow {
        let Some(job) = self.jobs.get(&job_key) else { return Flow::Continue };
        let limits = &self.config.limits;
        if self.writes.is_behind(job_key, limits.uncommitted_bytes) {
            return Flow::Wait;
        }
        let mut flow = Flow::Continue;
        for follower in job.followers.iter().filter(|follower| follower.paces) {
            let Some(session) = self.sessions.by_key_mut(follower.session) else { continue };
            let unread = follower.behind.map_or(0, |index| job.next_index - index);
            let unread = session.connection.is_some() && unread >= limits.send_window_events as u64;
            if unread || session.is_full(limits) {
                // An agent may emit without waiting, from several tasks at once: it is woken once.
                if !session.waiting.contains(&job_key) {
                    session.waiting.push(job_key);
                }
                flow = Flow::Wait;
                break;
            }
        }
        flow
    }

    /// Takes how the agent of a job has ended. For a job that has ended already this does nothing.
    ///
    /// A job that was told to stop ends in that, whatever its agent came to in the meantime.
    pub fn finish(&mut self, now: Now, job_key: JobKey, outcome: Outcome) {
        if self.jobs.get(&job_key).is_none_or(Job::has_ended) {
            return;
        }
        self.end_children(now, job_key);
        let Some(job) = self.jobs.get(&job_key) else { return };
        let (status, payload, message_type) = match (&job.stopping, outcome) {
            (Some(stopping), _) => self.error_message(now, stopping.final_status(), stopping.error()),
            (None, Outcome::Success(result)) => match self.streamed_end(now, job_key, &result) {
                None => self.success_message(now, result),
                Some(Ok(end)) => {
                    let (status, message_type) = (FinalStatus::Success, MessageType::JobResult);
                    return self.end(now, job_key, status, end.streamed, message_type, Some(end.plain));
                }
                Some(Err(error)) => self.error_message(now, FinalStatus::Error, error),
            },
            (None, Outcome::Failure(error)) => self.error_message(now, FinalStatus::Error, error),
            (None, Outcome::Panicked) => {
                let error = ErrorPayload::new(ErrorCode::InternalError, "agent panicked");
                self.error_message(now, FinalStatus::Error, error)
            }
        };
        self.end(now, job_key, status, payload, message_type, None);
    }

    fn success_message(&self, now: Now, result: Json) -> (FinalStatus, Json, MessageType) {
        let limit = self.config.limits.payload_bytes;
        if result.len() > limit {
            let message = format!("result of {} bytes is above the inline limit of {limit}", result.len());
            let error = ErrorPayload::new(ErrorCode::InternalError, message);
            return self.error_message(now, FinalStatus::Error, error);
        }
        let result = JobResult {
            final_status: FinalStatus::Success,
            result: Some(result),
            result_id: None,
            result_size: None,
            summary: None,
            completed_at: Some(now.wall),
        };
        (FinalStatus::Success, result.to_json(), MessageType::JobResult)
    }

    /// What an agent or a client says of an error is bounded as a result is; the code always survives.
    fn error_message(
        &self,
        now: Now,
        final_status: FinalStatus,
        error: ErrorPayload,
    ) -> (FinalStatus, Json, MessageType) {
        let limit = self.config.limits.payload_bytes;
        let encode = |error| {
            let completed_at = Some(now.wall);
            JobError { final_status: final_status.clone(), error, completed_at }.to_json()
        };
        let (code, retryable) = (error.code.clone(), error.retryable);
        let mut payload = encode(error);
        if payload.len() > limit {
            let message = format!("error of {} bytes is above the limit of {limit}", payload.len());
            payload = encode(ErrorPayload { retryable, ..ErrorPayload::new(code, message) });
        }
        (final_status, payload, MessageType::JobError)
    }

    /// Gives a job its terminal message.
    fn end(
        &mut self,
        now: Now,
        job_key: JobKey,
        status: FinalStatus,
        payload: Json,
        message_type: MessageType,
        plain: Option<(MessageType, Json)>,
    ) {
        self.end_allowance(job_key);
        let Some(job) = self.jobs.get(&job_key) else { return };
        let mut entry = Entry {
            job: Arc::clone(&job.head),
            index: job.next_index,
            message_type,
            kind: None,
            feature: None,
            ts: now.wall,
            payload,
            plain: None,
            gap: false,
        };
        entry.plain = plain.map(|plain| entry.instead(plain));
        let job_id = job.head.job_id.clone();
        if let Some(span) = &job.span {
            let error: Option<JobError> =
                (status != FinalStatus::Success).then(|| entry.payload.decode().ok()).flatten();
            let code = error.as_ref().map(|error| &error.error.code);
            span.end(&TracedEnd { status: &status, code, remaining: job.authority.remaining() });
        }
        self.tally.ended(&status);
        let entry = self.append(job_key, entry, None);
        self.writes.push(Write::JobEnded(job_id, status.clone()));
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        job.terminal = Some(Arc::clone(&entry));
        job.span = None;
        job.waiting_to_start = None;
        job.result = None;
        job.ended = Some(status);
        if !std::mem::take(&mut job.credentials).is_empty() {
            self.events.push_back(Event::Revoke(job_key));
        }
        for (at, timer) in job.timers.drain(..) {
            self.timers.clear(at, timer);
        }
        let (owner, parent) = (job.owner, job.parent);
        if parent.is_none() {
            job.authority.end(); // a child's ends with what is left going back
        }
        let principal = job.principal.clone();
        // Who reads the log goes on until it has read its end.
        let (reading, caught_up): (Vec<_>, Vec<_>) =
            std::mem::take(&mut job.followers).into_iter().partition(|follower| follower.behind.is_some());
        job.followers = reading;
        for follower in caught_up {
            if let Some(session) = self.sessions.by_key_mut(follower.session) {
                session.following.retain(|key| *key != job_key);
            }
        }
        self.uncount(owner, &principal);
        if let Some(parent) = parent {
            self.child_has_ended(now, job_key, parent, &entry);
        }
        self.has_finished(now.monotonic + self.config.limits.job_retention, job_key);
        self.history_of_ended.push_back(job_key);
        self.forget_finished_jobs();
    }

    /// Tells a job to stop; the first cause is the one that counts.
    pub(super) fn stop(&mut self, now: Now, job_key: JobKey, cause: StopCause, reason: Option<String>) {
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        if job.has_ended() || job.stopping.is_some() {
            return;
        }
        self.writes.push(Write::JobStopping(job.head.job_id.clone(), cause, reason.clone()));
        job.stopping = Some(Stopping { cause, reason });
        self.events.push_back(Event::Stop(job_key, cause));
        let grace = match cause {
            StopCause::LeaseExpired => self.config.limits.expiry_grace,
            StopCause::Cancelled | StopCause::TimedOut => self.config.limits.cancel_grace,
        };
        self.set_job_timer(job_key, now.monotonic + grace, Timer::Grace(job_key));
        self.stop_children(now, job_key);
    }

    /// Tells a job to stop, as its client could (§7.4). The first cause is the one that counts; a job that has ended stays as
    /// it is.
    pub fn stop_job(&mut self, now: Now, job_key: JobKey, cause: StopCause) {
        self.stop(now, job_key, cause, None);
    }

    /// An agent was denied something because its lease has expired: the job is told to stop, if it has not been (§9.5).
    pub fn lease_expired(&mut self, now: Now, job_key: JobKey) {
        self.stop(now, job_key, StopCause::LeaseExpired, None);
    }

    /// Sets a timer that is cleared when the job ends.
    pub(super) fn set_job_timer(&mut self, job_key: JobKey, at: Instant, timer: Timer) {
        if let Some(job) = self.jobs.get_mut(&job_key) {
            job.timers.push((at, timer));
            self.timers.set(at, timer);
        }
    }

    /// Ends a job whose agent did not stop in time.
    pub(super) fn grace_is_over(&mut self, now: Now, job_key: JobKey) {
        let Some(job) = self.jobs.get(&job_key).filter(|job| !job.has_ended()) else { return };
        tracing::warn!(job_id = %job.head.job_id, "agent did not stop in time, its task is aborted");
        self.finish(now, job_key, Outcome::Panicked);
        self.events.push_back(Event::Abort(job_key));
    }

    /// Ends every job that has not ended, with an error that invites to try again (§12). One that was told to stop
    /// ends in that: its client knows of it.
    pub(super) fn end_all_jobs(&mut self, now: Now) {
        let mut running: Vec<JobKey> =
            self.jobs.iter().filter(|(_, job)| !job.has_ended()).map(|(key, _)| *key).collect();
        running.sort_unstable();
        for job_key in running {
            let error = ErrorPayload::new(ErrorCode::InternalError, "runtime is shutting down");
            self.finish(now, job_key, Outcome::Failure(error));
            self.events.push_back(Event::Abort(job_key));
        }
    }
}

impl Stopping {
    fn final_status(&self) -> FinalStatus {
        match self.cause {
            StopCause::Cancelled => FinalStatus::Cancelled,
            StopCause::TimedOut => FinalStatus::TimedOut,
            StopCause::LeaseExpired => FinalStatus::Error,
        }
    }

    fn error(&self) -> ErrorPayload {
        let (code, message) = match self.cause {
            StopCause::Cancelled => (ErrorCode::Cancelled, "job was cancelled by its client"),
            StopCause::TimedOut => (ErrorCode::Timeout, "job exceeded its max_runtime_sec"),
            StopCause::LeaseExpired => (ErrorCode::LeaseExpired, "lease expired during execution"),
        };
        ErrorPayload::new(code, self.reason.as_deref().filter(|reason| !reason.is_empty()).unwrap_or(message))
    }
}
