//! Requests and how answers find them: by `request_id`, or in the order in which they were asked.

use std::collections::VecDeque;

use arcp_proto::job::{Cancel, Submit};
use arcp_proto::{
    ByteString, ErrorCode, Extensions, Feature, Features, JobId, Json, MessageId, TraceContext, namespace,
};

use super::{Event, Phase, RequestKey, Session, Transmit};
use crate::time::{Instant, Now};

/// Requests of runtimes without `request_id` whose time is up are remembered, so that a late answer is not given to
/// somebody else; this many at most.
const MAX_ABANDONED: usize = 64;

#[derive(Default)]
pub(super) struct Requests {
    /// Sent, unanswered, oldest first.
    open: VecDeque<Open>,
    /// Not sent yet.
    waiting: VecDeque<Open>,
    /// Whether the runtime names the request that it answers; unknown until it has accepted a job.
    names_requests: Option<bool>,
    /// Whether it names the request that it refuses, too, as far as is known: one published runtime names what it accepts only.
    names_refusals: bool,
    next_key: u64,
}

pub(super) struct Open {
    /// `None` once its time was up.
    pub(super) key: Option<RequestKey>,
    pub(super) id: MessageId,
    pub(super) kind: Kind,
    deadline: Instant,
    /// Whether it was asked in a session before this one, too.
    pub(super) renewed: bool,
    /// What the runtime must offer for it to be asked (§6.2).
    uses: Features,
    /// As it was asked, to be asked again after a resume.
    frame: ByteString,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Submit,
    Cancel(JobId),
    List,
    /// A job, and the number after which its history is asked for.
    Subscribe(JobId, Option<u64>),
    /// A subscription to a job that the session before this one followed.
    TakeUp(JobId),
}

impl Session {
    /// Submits a job (§7.1). Answered by [`Event::Accepted`], [`Event::Refused`], [`Event::NotOffered`], [`Event::Unreadable`] or
    /// [`Event::TimedOut`].
    pub fn submit(&mut self, now: Now, submit: &Submit, trace: Option<&TraceContext>) -> RequestKey {
        let mut submit = submit.clone();
        if submit.idempotency_key.is_none() && self.config.reconnect.is_some() {
            // With a key it can be asked again after a cut, and still be one job (§7.2).
            submit.idempotency_key = Some(format!("auto_{}", self.ids.ulid(now)));
        }
        let mut envelope = self.envelope(now, &submit);
        if let Some(trace) = trace {
            envelope.trace_id = Some(trace.trace_id);
            if let Ok(context) = Json::encode(trace) {
                envelope.extensions.insert(Extensions::TRACE_CONTEXT, context);
            }
        }
        self.request(now, envelope, Kind::Submit, used_by(&submit))
    }

    /// Cancels a job of this session (§7.4). Answered by [`Event::CancelAcknowledged`], [`Event::Refused`], [`Event::Unreadable`] or
    /// [`Event::TimedOut`]; the end of the job is an event of its own.
    pub fn cancel(&mut self, now: Now, job_id: JobId, reason: Option<String>) -> RequestKey {
        // One published runtime demands a reason, two look for the job in the payload.
        let reason = reason.or_else(|| Some("cancelled by the client".to_owned()));
        let mut envelope = self.envelope(now, &Cancel { reason, job_id: Some(job_id.clone()) });
        envelope.job_id = Some(job_id.clone());
        self.request(now, envelope, Kind::Cancel(job_id), Features::none())
    }

    pub(super) fn request(
        &mut self,
        now: Now,
        envelope: arcp_proto::Envelope,
        kind: Kind,
        uses: Features,
    ) -> RequestKey {
        self.requests.next_key += 1;
        let key = RequestKey(self.requests.next_key);
        let deadline = now.monotonic + self.config.request_timeout;
        let (id, frame) = (envelope.id.clone(), envelope.encode());
        let open = Open { key: Some(key), id, kind, deadline, renewed: false, uses, frame };
        self.requests.waiting.push_back(open);
        if matches!(self.phase, Phase::Ended) {
            self.requests.waiting.clear();
            self.events.push_back(Event::TimedOut { request: key });
        }
        self.pulse.said = now.monotonic;
        self.send_waiting();
        key
    }

    /// The session was resumed: what was not answered is asked again, in order. What cannot be repeated without harm is
    /// reported instead.
    pub(super) fn ask_again(&mut self, now: Now) {
        let unanswered = std::mem::take(&mut self.requests.open);
        for open in unanswered.into_iter().rev() {
            let Some(request) = open.key else { continue };
            match open.kind {
                // It may have begun: a second one would replay the history twice.
                Kind::Subscribe(job_id, _) => {
                    self.events.push_back(Event::Interrupted { request });
                    if self.jobs.live.contains_key(&job_id) {
                        // The history that it may have begun is not to be told to those who follow the job.
                        self.take_up(now, job_id);
                    } else {
                        // Nor is it what the next subscription is told first.
                        self.jobs.put_past(job_id);
                    }
                }
                Kind::Submit | Kind::Cancel(_) | Kind::List | Kind::TakeUp(_) => {
                    self.requests.waiting.push_front(open);
                }
            }
        }
    }

    /// The session is open: what was asked before is asked in it.
    pub(super) fn address_requests(&mut self) {
        let session_id = self.session_id();
        for waiting in &mut self.requests.waiting {
            if let Ok(mut envelope) = arcp_proto::Envelope::decode(waiting.frame.clone()) {
                envelope.session_id.clone_from(&session_id);
                waiting.frame = envelope.encode();
            }
        }
    }

    /// Sends what may be sent: nothing that the runtime does not offer (§6.2), and towards a runtime that does not name requests,
    /// one submit at a time.
    pub(super) fn send_waiting(&mut self) {
        if !matches!(self.phase, Phase::Open) {
            return;
        }
        while let Some(next) = self.requests.waiting.front() {
            if next.kind == Kind::Submit && self.requests.must_wait() {
                return;
            }
            let offered = &self.standing.features;
            let lacking = next.uses.iter().find(|feature| !offered.contains(feature)).cloned();
            let Some(open) = self.requests.waiting.pop_front() else { return };
            if let Some(feature) = lacking {
                open.key.into_iter().for_each(|request| self.lack(request, feature.clone()));
            } else {
                self.out.push_back(Transmit::Frame(open.frame.clone()));
                self.requests.open.push_back(open);
            }
        }
    }

    pub(super) fn time_out_requests(&mut self, now: Now) {
        for request in self.requests.time_out(now.monotonic) {
            self.give_up(request);
        }
        self.send_waiting();
    }

    pub(super) fn handle_cancelled(&mut self, job_id: Option<JobId>, request_id: Option<MessageId>) {
        let request = match (&request_id, &job_id) {
            (Some(id), _) => {
                self.requests.take(|open| open.id == *id && matches!(open.kind, Kind::Cancel(_)))
            }
            (None, Some(job_id)) => self.requests.take_cancel(job_id),
            (None, None) => self.requests.take(|open| matches!(open.kind, Kind::Cancel(_))),
        };
        if let Some(Some(request)) = request {
            self.events.push_back(Event::CancelAcknowledged { request });
        }
    }
}

/// What a submit makes use of.
fn used_by(submit: &Submit) -> Features {
    let lease = &submit.lease_request;
    let uses = [
        (submit.agent.version.is_some(), Feature::AgentVersions),
        (submit.lease_constraints.expires_at.is_some(), Feature::LeaseExpiresAt),
        (lease.names(namespace::COST_BUDGET), Feature::CostBudget),
        (lease.names(namespace::MODEL_USE), Feature::ModelUse),
    ];
    uses.into_iter().filter_map(|(used, feature)| used.then_some(feature)).collect()
}

impl Requests {
    fn must_wait(&self) -> bool {
        self.names_requests != Some(true)
            && self.open.iter().any(|open| open.kind == Kind::Submit && open.key.is_some())
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        let open = self.open.iter().filter(|open| open.key.is_some()).map(|open| open.deadline);
        open.chain(self.waiting.iter().map(|waiting| waiting.deadline)).min()
    }

    /// The submit that a `job.accepted` answers; `None` if it answers none.
    pub(super) fn accepted(&mut self, request_id: Option<&MessageId>) -> Option<Open> {
        self.names_requests = Some(request_id.is_some());
        match request_id {
            Some(id) => self.take_open(|open| open.id == *id && open.kind == Kind::Submit),
            None => self.take_open(|open| open.kind == Kind::Submit),
        }
    }

    /// The request that a `session.jobs` answers.
    pub(super) fn listed(&mut self, request_id: Option<&MessageId>) -> Option<Option<RequestKey>> {
        match request_id {
            Some(id) => self.take(|open| open.id == *id && open.kind == Kind::List),
            None => self.take(|open| open.kind == Kind::List),
        }
    }

    /// Whether the runtime is known to name the requests that it answers.
    pub(super) fn names_requests(&self) -> bool {
        self.names_requests == Some(true)
    }

    /// The request that something else answers.
    pub(super) fn answered(&mut self, wanted: impl Fn(&Open) -> bool) -> Option<Open> {
        self.take_open(wanted)
    }

    /// The request that a `job.subscribed` answers.
    pub(super) fn subscribed(&mut self, request_id: Option<&MessageId>, job_id: &JobId) -> Option<Open> {
        self.take_open(|open| {
            let named = request_id.is_none_or(|id| open.id == *id);
            named && matches!(&open.kind, Kind::Subscribe(job, _) | Kind::TakeUp(job) if job == job_id)
        })
    }

    /// The request that a refusal names.
    pub(super) fn refused(&mut self, request_id: &MessageId) -> Option<Option<RequestKey>> {
        self.names_refusals = true;
        self.take(|open| open.id == *request_id)
    }

    /// The request that a refusal without a name answers: what was asked of its job, or else the oldest one that it can be about.
    pub(super) fn refused_unnamed(
        &mut self,
        job_id: Option<&JobId>,
        code: &ErrorCode,
    ) -> Option<Option<RequestKey>> {
        let about_job = job_id.and_then(|job_id| self.take_cancel(job_id));
        // Either it would have named the request, or it speaks of the connection: it is about none of them.
        if about_job.is_none()
            && (self.names_refusals || matches!(code, ErrorCode::HeartbeatLost | ErrorCode::Unauthenticated))
        {
            return None;
        }
        let of_submit = matches!(
            code,
            ErrorCode::AgentNotAvailable | ErrorCode::AgentVersionNotAvailable | ErrorCode::DuplicateKey
        );
        // A runtime may leave a cancel open until its job ends, and answer what was asked since.
        about_job
            .or_else(|| self.take(|open| of_submit && open.kind == Kind::Submit))
            .or_else(|| self.take(|_| true))
    }

    /// The cancel of this job.
    pub(super) fn take_cancel(&mut self, job_id: &JobId) -> Option<Option<RequestKey>> {
        self.take(|open| matches!(&open.kind, Kind::Cancel(job) if job == job_id))
    }

    /// The submit that a `job.error` on no job, or on one never seen, answers. A runtime that names requests refuses
    /// by name: from it a job never seen is one whose `job.accepted` is still on its way.
    pub(super) fn submit_refused(
        &mut self,
        message_id: &MessageId,
        has_job: bool,
    ) -> Option<Option<RequestKey>> {
        let named = self.take(|open| open.id == *message_id);
        if named.is_none() && has_job && self.names_requests == Some(true) {
            return None;
        }
        named.or_else(|| self.take(|open| open.kind == Kind::Submit))
    }

    /// The request that was refused by way of a `job.error` on a live job; `None` if it is the end of the job.
    pub(super) fn refused_on(&mut self, job_id: &JobId, code: &ErrorCode) -> Option<Option<RequestKey>> {
        match code {
            _ if self.names_requests == Some(true) => None,
            ErrorCode::DuplicateKey => self.take(|open| open.kind == Kind::Submit),
            ErrorCode::JobNotFound => self.take_cancel(job_id),
            _ => None,
        }
    }

    /// The cancel that was refused by way of a `job.error` on a job that has ended; `None` if it is the end of the job, which is
    /// sent again to a submit that was made again.
    pub(super) fn refused_on_past(&mut self, job_id: &JobId) -> Option<Option<RequestKey>> {
        if self.names_requests == Some(true) {
            return None;
        }
        self.take_cancel(job_id)
    }

    /// Forgets every request, but not which keys were used.
    pub(super) fn abandon(&mut self) {
        *self = Self { next_key: self.next_key, ..Self::default() };
    }

    /// A job has ended: whoever wanted to cancel it has nothing more to wait for.
    pub(super) fn job_ended(&mut self, job_id: &JobId) -> Vec<RequestKey> {
        let mut ended = Vec::new();
        while let Some(request) = self.take_cancel(job_id) {
            ended.extend(request);
        }
        ended
    }

    /// Whether it was asked to subscribe to a job, and has not answered.
    pub(super) fn subscribes_to(&self, job_id: &JobId) -> bool {
        self.open.iter().any(|open| matches!(&open.kind, Kind::Subscribe(job, _) if job == job_id))
    }

    /// Whether an answer may come that begins a job which is not known yet.
    pub(super) fn may_begin_jobs(&self) -> bool {
        self.open.iter().any(|open| matches!(open.kind, Kind::Submit | Kind::Subscribe(..)))
    }

    fn take(&mut self, wanted: impl Fn(&Open) -> bool) -> Option<Option<RequestKey>> {
        self.take_open(wanted).map(|open| open.key)
    }

    fn take_open(&mut self, wanted: impl Fn(&Open) -> bool) -> Option<Open> {
        let index = self.open.iter().position(wanted)?;
        self.open.remove(index)
    }

    /// The session is gone, and another will be opened: what can be asked again there without harm is, in order. Gives
    /// what cannot.
    pub(super) fn carry_over(&mut self) -> Vec<RequestKey> {
        let mut interrupted = Vec::new();
        for mut open in std::mem::take(&mut self.open).into_iter().rev() {
            open.renewed = true;
            match open.kind {
                Kind::Submit | Kind::List if open.key.is_some() => self.waiting.push_front(open),
                Kind::Subscribe(..) | Kind::Cancel(_) => interrupted.extend(open.key),
                Kind::Submit | Kind::List | Kind::TakeUp(_) => {}
            }
        }
        self.waiting.retain(|waiting| !matches!(waiting.kind, Kind::TakeUp(_)));
        interrupted.reverse();
        interrupted
    }

    fn time_out(&mut self, now: Instant) -> Vec<RequestKey> {
        let mut late = Vec::new();
        for open in &mut self.open {
            if open.deadline <= now {
                late.extend(open.key.take());
            }
        }
        if self.names_requests == Some(true) {
            self.open.retain(|open| open.key.is_some());
        }
        while self.open.iter().filter(|open| open.key.is_none()).count() > MAX_ABANDONED {
            self.take(|open| open.key.is_none());
        }
        self.waiting.retain(|waiting| {
            let due = waiting.deadline <= now;
            if due {
                late.extend(waiting.key);
            }
            !due
        });
        late
    }
}
