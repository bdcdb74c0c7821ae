//! Delegation (§10): a job has another one run under part of its authority, and outlives it.

use std::sync::Arc;

use arcp_proto::event::{Delegate, EventKind, ToolOutcome, ToolResult};
use arcp_proto::job::Accepted;
use arcp_proto::{
    AgentRef, DelegateId, ErrorCode, ErrorPayload, JobId, Json, Lease, LeaseConstraints, namespace,
};

use super::input::Verdict;
use super::log::{Draft, Entry};
use super::submit::{Order, Parent};
use super::{Agents, Event, JobKey, Outcome, Refused, Runtime, SessionKey, StopCause};
use crate::lease::{Delegated, Denied};
use crate::time::Now;

/// What a job asks of another agent.
#[derive(Clone, Debug)]
pub struct Delegation {
    /// The agent that is to run.
    pub agent: AgentRef,
    /// What it is given.
    pub input: Json,
    /// What it may do, of what the job that delegates may.
    pub lease: Lease,
    /// Bounds on that.
    pub lease_constraints: LeaseConstraints,
    verdict: Verdict,
}

impl Delegation {
    /// Asks an agent to run with an input, and whatever its lease allows.
    pub fn new(agent: AgentRef, input: Json, lease: Lease, lease_constraints: LeaseConstraints) -> Self {
        Self { agent, input, lease, lease_constraints, verdict: Verdict::default() }
    }

    /// The same, with what the agent says of its input, so that a runtime need not ask it under a lock. The agents must be those
    /// of that runtime.
    #[must_use]
    pub fn checked(mut self, agents: &Agents) -> Self {
        self.verdict = Verdict(agents.check(&self.agent, &self.input));
        self
    }
}

/// A job that was delegated.
#[derive(Clone, Debug)]
pub struct Child {
    /// For commands to the machine.
    pub job: JobKey,
    /// The job.
    pub job_id: JobId,
    /// What the `delegate` event called it.
    pub delegate_id: DelegateId,
    /// What it may do.
    pub lease: Lease,
    /// Bounds on that.
    pub lease_constraints: LeaseConstraints,
    /// Whether it waits for its credentials (§9.8): then [`Event::Delegated`] says whether it begins.
    pub provisioning: bool,
}

/// Why a job was not delegated. The job that asked goes on, and its clients have been told by a `tool_result`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotDelegated {
    /// The job that asks has ended.
    #[error("job has ended")]
    Ended,
    /// The job may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such agent, or a limit is reached.
    #[error("{0}")]
    Refused(ErrorPayload),
}

impl NotDelegated {
    /// As the `tool_result` carries it.
    pub fn payload(&self) -> ErrorPayload {
        match self {
            Self::Ended => ErrorPayload::new(ErrorCode::Cancelled, self.to_string()),
            Self::Denied(denied) => denied.payload(),
            Self::Refused(error) => error.clone(),
        }
    }
}

impl Runtime {
    /// Has another agent run for a job, as a job of its own in the same session (§10).
    ///
    /// The job's clients are told of the wish by a `delegate` event, and of a refusal by a `tool_result` whose `call_id` is the
    /// `delegate_id`.
    ///
    /// # Errors
    /// When the job has ended, may not, or there is no such agent.
    pub fn delegate(
        &mut self,
        now: Now,
        parent_key: JobKey,
        delegation: Delegation,
    ) -> Result<Child, NotDelegated> {
        self.writable(now, parent_key).map_err(|_| NotDelegated::Ended)?;
        let delegate_id = DelegateId::from_ulid(self.ids.ulid(now));
        let event = Delegate {
            delegate_id: Some(delegate_id.clone()),
            agent: delegation.agent.to_string(),
            input: Some(delegation.input.clone()),
            lease_request: Some(delegation.lease.clone()),
            lease_constraints: None, // `job.accepted` has them, for sessions that know of them
            child_job_id: None,
        };
        let limit = self.config.limits.payload_bytes;
        match Draft::new(EventKind::Delegate, now.wall, &event) {
            Ok(draft) if draft.payload.len() <= limit => self.append_event(parent_key, draft),
            Ok(draft) => {
                let message =
                    format!("delegation of {} bytes is above the limit of {limit}", draft.payload.len());
                return Err(NotDelegated::Refused(ErrorPayload::new(ErrorCode::InvalidRequest, message)));
            }
            Err(error) => {
                let error = ErrorPayload::new(ErrorCode::InvalidRequest, error.to_string());
                return Err(NotDelegated::Refused(error));
            }
        }
        let before = self.jobs.get(&parent_key).map(|job| job.authority.remaining());
        match self.try_delegate(now, parent_key, &delegate_id, delegation) {
            Ok((order, child)) => {
                self.count(order.owner, &order.principal);
                self.tell_changes(now, parent_key, before.as_ref());
                if child.provisioning {
                    self.provision(now, order, None);
                } else {
                    self.create(now, order, Vec::new());
                    self.announce_child(now, child.job);
                    self.start(child.job);
                }
                Ok(child)
            }
            Err(error) => {
                self.tell_refusal(now, parent_key, &delegate_id, &error);
                Err(error)
            }
        }
    }

    /// Tells the clients of a job that what it wished to delegate was refused.
    pub(super) fn tell_refusal(
        &mut self,
        now: Now,
        parent_key: JobKey,
        delegate_id: &DelegateId,
        error: &NotDelegated,
    ) {
        self.tally.refuse(Refused::Operation, &error.payload().code);
        let Ok(call_id) = delegate_id.as_str().parse() else { return };
        let result = ToolResult { call_id, outcome: ToolOutcome::Error(error.payload()) };
        if let Ok(draft) = Draft::new(EventKind::ToolResult, now.wall, &result) {
            self.append_event(parent_key, draft);
        }
    }

    fn try_delegate(
        &mut self,
        now: Now,
        parent_key: JobKey,
        delegate_id: &DelegateId,
        delegation: Delegation,
    ) -> Result<(Order, Child), NotDelegated> {
        let Delegation { agent, input, lease, lease_constraints, verdict } = delegation;
        let parent = self.jobs.get(&parent_key).ok_or(NotDelegated::Ended)?;
        let depth_limit = self.config.limits.delegation_depth;
        if parent.depth >= depth_limit {
            let message = format!("job is {depth_limit} delegations deep, which is the limit");
            return Err(NotDelegated::Refused(ErrorPayload::new(ErrorCode::PermissionDenied, message)));
        }
        if parent.stopping.is_some() {
            let message = "job was told to stop, and may not delegate any more";
            return Err(NotDelegated::Refused(ErrorPayload::new(ErrorCode::Cancelled, message)));
        }
        parent.authority.check(now)?;
        let resolved = self.config.agents.resolve(&agent).map_err(NotDelegated::Refused);
        // Who may not know of an agent is not told whether there is one.
        let wanted = resolved.as_ref().map_or_else(|_| agent.to_string(), ToString::to_string);
        parent.authority.authorize(namespace::AGENT_DELEGATE, &wanted, now)?;
        let agent = resolved?;
        self.check_input(&agent, &input, verdict).map_err(NotDelegated::Refused)?;
        let (owner, principal, session_id) =
            (parent.owner, parent.principal.clone(), parent.session_id.clone());
        let above = parent.trace_context();
        let trace_id = parent.head.trace_id;
        let authority = Arc::clone(&parent.authority);
        self.check_job_limits(owner, &principal).map_err(NotDelegated::Refused)?;
        let Delegated { authority, lease, constraints } =
            authority.delegate(&lease, &lease_constraints, now)?;
        // Two credentials for the same money could spend it twice.
        let draws = self.draws_on_credentials(parent_key, &authority.budget(), &authority.remaining());
        let provisioning = self.provisions_credentials() && !draws;
        let (job, job_id) = self.new_job(now);
        let child = Child {
            job,
            job_id: job_id.clone(),
            delegate_id: delegate_id.clone(),
            lease: lease.clone(),
            lease_constraints: constraints.clone(),
            provisioning,
        };
        let mut order = Order {
            job,
            job_id,
            agent,
            input,
            principal,
            owner,
            session_id,
            lease,
            lease_constraints: constraints,
            authority: Arc::new(authority),
            key: None,
            max_runtime: None,
            trace_id,
            submitted_in: above.clone(),
            trace_context: above,
            span: None,
            parent: Some(Parent { job: parent_key, delegate_id: delegate_id.clone() }),
        };
        self.trace_order(&mut order);
        Ok((order, child))
    }

    /// Tells the session of a child's acceptance, after the event that asked for it; also when it is next connected, if it is
    /// not now.
    pub(super) fn announce_child(&mut self, now: Now, child_key: JobKey) {
        let Some(child) = self.jobs.get(&child_key) else { return };
        let (owner, accepted) = (child.owner, Accepted::clone(&child.accepted));
        let Some(session) = self.sessions.by_key_mut(owner) else { return };
        let head = session.head_seq();
        session.announce((head, accepted.clone()));
        if session.connection.is_some() {
            self.send_announcement(now, owner, head, accepted);
        }
    }

    fn send_announcement(&mut self, now: Now, owner: SessionKey, after: u64, mut accepted: Accepted) {
        let Some(connection) = self.sessions.by_key(owner).and_then(|session| session.connection) else {
            return;
        };
        self.withhold(owner, &mut accepted.lease_constraints, &mut accepted.budget);
        let job = self.job_ids.get(&accepted.job_id).and_then(|job_key| self.jobs.get(job_key));
        accepted.credentials = job.map(|job| self.credentials_for(owner, job)).unwrap_or_default();
        let (job_id, trace_id) = (accepted.job_id.clone(), accepted.trace_id);
        let head = job.map(|job| Arc::clone(&job.head));
        self.answer_after(now, connection, owner, after, &accepted, |envelope| {
            envelope.job_id = Some(job_id);
            envelope.trace_id = trace_id;
            if let Some(head) = head {
                head.dress(envelope);
            }
        });
    }

    /// A session was resumed: the children whose acceptance its client may not have seen are announced again.
    pub(super) fn announce_again(&mut self, now: Now, owner: SessionKey, last_event_seq: u64) {
        let Some(session) = self.sessions.by_key_mut(owner) else { return };
        session.announced.retain(|(after, _)| *after >= last_event_seq);
        for (after, accepted) in session.announced.clone() {
            self.send_announcement(now, owner, after, accepted);
        }
    }

    /// A job is about to end: what it has delegated ends first.
    pub(super) fn end_children(&mut self, now: Now, parent_key: JobKey) {
        self.abandon_children(now, parent_key);
        let children = self.jobs.get_mut(&parent_key).map(|job| std::mem::take(&mut job.children));
        for child in children.unwrap_or_default() {
            self.stop(
                now,
                child,
                StopCause::Cancelled,
                Some("the job that delegated to it has ended".to_owned()),
            );
            self.finish(now, child, Outcome::Panicked); // it ends in what it was told to stop for
            self.events.push_back(Event::Abort(child));
        }
    }

    /// A job is told to stop, and with it what it has delegated.
    pub(super) fn stop_children(&mut self, now: Now, parent_key: JobKey) {
        let children = self.jobs.get(&parent_key).map(|job| job.children.clone());
        for child in children.unwrap_or_default() {
            let authority = self.jobs.get(&child).map(|job| Arc::clone(&job.authority));
            let expired = authority.and_then(|authority| authority.deadline());
            if expired.is_some_and(|deadline| deadline <= now.monotonic) {
                self.stop(now, child, StopCause::LeaseExpired, None);
                continue;
            }
            let reason = "the job that delegated to it was told to stop".to_owned();
            self.stop(now, child, StopCause::Cancelled, Some(reason));
        }
    }

    /// A child has ended: what is left of its budget is its parent's again, whose agent is told.
    pub(super) fn child_has_ended(
        &mut self,
        now: Now,
        child_key: JobKey,
        parent_key: JobKey,
        terminal: &Arc<Entry>,
    ) {
        self.events.push_back(Event::ChildEnded { child: child_key, end: Arc::clone(terminal) });
        let Some(child) = self.jobs.get(&child_key).map(|child| Arc::clone(&child.authority)) else { return };
        let before = self.jobs.get(&parent_key).map(|parent| parent.authority.remaining());
        child.end();
        if let Some(parent) = self.jobs.get_mut(&parent_key) {
            parent.children.retain(|key| *key != child_key);
            if !parent.has_ended() {
                self.tell_changes(now, parent_key, before.as_ref());
            }
        }
    }

    /// Tells what remains of the counters that are not what they were.
    pub(super) fn tell_changes(&mut self, now: Now, job_key: JobKey, before: Option<&arcp_proto::Budget>) {
        self.counters_changed(job_key);
        let Some(job) = self.jobs.get(&job_key) else { return };
        let changed: Vec<_> = job
            .authority
            .remaining()
            .iter()
            .filter(|(currency, amount)| {
                before.and_then(|before| before.remaining(currency.as_str())) != Some(*amount)
            })
            .map(|(currency, amount)| (currency.clone(), amount))
            .collect();
        for (currency, remaining) in changed {
            self.tell_remaining(now, job_key, &currency, remaining);
        }
    }
}
