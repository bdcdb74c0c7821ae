//! Provisioned credentials (§9.8): a job that is given any does not exist before it has them, shows them to its submitter
//! alone, and has them revoked however it ends.

use std::sync::Arc;

use arcp_proto::event::{EventKind, Status};
use arcp_proto::{Budget, Credential, ErrorCode, ErrorPayload, Feature, MessageType};

use super::drain::NO_ROOM;
use super::job::{EmitError, Flow, Job};
use super::log::{Draft, Entry};
use super::requests::Request;
use super::submit::Order;
use super::{ConnectionKey, Event, JobKey, NotDelegated, Runtime, SessionKey};
use crate::time::Now;

/// The phase of the `status` event that tells of a rotation (§9.8.2).
const ROTATED: &str = "credential_rotated";

/// A job that waits for its credentials. Nobody can see it yet.
pub(super) struct Provision {
    pub(super) order: Order,
    /// The submit that asks for it, and those that came under its key since.
    pub(super) waiting: Vec<Request>,
}

impl Runtime {
    /// Whether jobs are given credentials: where the feature is offered they are, whoever has negotiated it.
    pub(super) fn provisions_credentials(&self) -> bool {
        self.config.features.contains(&Feature::ProvisionedCredentials)
    }

    /// Has credentials provisioned for a job. What was asked waits for them, and so does what its connection says next:
    /// requests are answered in the order in which they came.
    pub(super) fn provision(&mut self, now: Now, order: Order, request: Option<&Request>) {
        let job_key = order.job;
        if let Some((key, fingerprint)) = &order.key {
            self.keys.hold(&order.principal, key, *fingerprint, job_key);
        }
        // What it may spend is not to be spent by others: that is seen to first.
        let borrows = self.borrow_for(&order);
        if !borrows {
            self.events.push_back(Event::Provision(Box::new(self.spec_of(&order))));
        }
        self.provisions.insert(job_key, Provision { order, waiting: Vec::new() });
        if borrows {
            self.ask_lenders(now, job_key);
        }
        if let Some(request) = request {
            self.await_provision(job_key, request);
        }
    }

    /// Has a submit answered once the job that its key names has its credentials. Returns whether it still waits for them.
    pub(super) fn await_provision(&mut self, job_key: JobKey, request: &Request) -> bool {
        let Some(provision) = self.provisions.get_mut(&job_key) else { return false };
        provision.waiting.push(request.clone());
        if let Some(connection) = self.connections.by_key_mut(request.connection) {
            connection.provisioning = true;
        }
        true
    }

    /// Answers [`Event::Provision`]: the job begins with these credentials, which may be none, or is refused with this
    /// error and has never been.
    ///
    /// If nobody wants the job any more, [`Event::Revoke`] says so.
    pub fn handle_provisioned(
        &mut self,
        now: Now,
        job_key: JobKey,
        outcome: Result<Vec<Credential>, ErrorPayload>,
    ) {
        if outcome.as_ref().is_ok_and(Vec::is_empty) {
            self.release_loans(now, job_key, false);
        }
        let Some(Provision { order, waiting }) = self.provisions.remove(&job_key) else {
            return self.provisioned_again(now, job_key, outcome);
        };
        if let Err(error) = self.check_parent(&order).and_then(|()| self.check_room()) {
            self.revoke_unwanted(job_key, &outcome);
            return self.refuse_order(now, order, waiting, error);
        }
        match outcome {
            Ok(credentials) => self.begin_provisioned(now, order, waiting, credentials),
            Err(error) => self.refuse_order(now, order, waiting, error),
        }
    }

    /// What a job that waits for its credentials has to spend; `None` if nobody wants it any more.
    pub fn provision_budget(&self, job_key: JobKey) -> Option<Budget> {
        let ordered = self.provisions.get(&job_key).map(|provision| &provision.order.authority);
        let again = || self.jobs.get(&job_key).filter(|job| job.waiting_to_start.is_some());
        let authority = ordered.or_else(|| again().map(|job| &job.authority));
        authority.map(|authority| authority.remaining())
    }

    /// What is set aside of a job's counters for jobs that wait for their credentials.
    pub(super) fn shares_of(&self, parent: JobKey) -> Vec<Budget> {
        let of_parent = |one: &&Provision| one.order.parent.as_ref().is_some_and(|of| of.job == parent);
        self.provisions.values().filter(of_parent).map(|one| one.order.authority.budget()).collect()
    }

    /// While the store is full nothing begins: it could not be written.
    fn check_room(&self) -> Result<(), ErrorPayload> {
        match self.store_is_full {
            true => Err(ErrorPayload::new(ErrorCode::InternalError, NO_ROOM)),
            false => Ok(()),
        }
    }

    /// A job that was told to stop begins nothing.
    pub(super) fn check_parent(&self, order: &Order) -> Result<(), ErrorPayload> {
        let parent = order.parent.as_ref().and_then(|parent| self.jobs.get(&parent.job));
        match parent.and_then(|parent| parent.stopping.as_ref()) {
            None => Ok(()),
            Some(_) => {
                let message = "job was told to stop, and may not delegate any more";
                Err(ErrorPayload::new(ErrorCode::Cancelled, message))
            }
        }
    }

    pub(super) fn revoke_unwanted(
        &mut self,
        job_key: JobKey,
        outcome: &Result<Vec<Credential>, ErrorPayload>,
    ) {
        if outcome.as_ref().is_ok_and(|credentials| !credentials.is_empty()) {
            self.events.push_back(Event::Revoke(job_key));
        }
    }

    fn begin_provisioned(
        &mut self,
        now: Now,
        order: Order,
        waiting: Vec<Request>,
        credentials: Vec<Credential>,
    ) {
        let delegated = order.parent.is_some();
        let job_key = self.create(now, order, credentials);
        if delegated {
            self.announce_child(now, job_key);
            self.start(job_key);
            self.events.push_back(Event::Delegated { child: job_key, outcome: Ok(()) });
            return;
        }
        for (index, request) in waiting.iter().enumerate() {
            if self.is_carried(request) {
                match index {
                    0 => self.answer_accepted(now, request, job_key, None),
                    _ => self.attach(now, request, job_key),
                }
            }
            self.hear_again(now, request.connection);
        }
        self.start(job_key);
    }

    /// A job that is not to be: what was set aside for it goes back, and whoever asked is told.
    pub(super) fn refuse_order(
        &mut self,
        now: Now,
        order: Order,
        waiting: Vec<Request>,
        error: ErrorPayload,
    ) {
        self.release_order(&order);
        if let Some(parent) = &order.parent {
            let refused = NotDelegated::Refused(error);
            let before = self.jobs.get(&parent.job).map(|job| job.authority.remaining());
            order.authority.end();
            self.tell_refusal(now, parent.job, &parent.delegate_id, &refused);
            self.tell_changes(now, parent.job, before.as_ref());
            self.events.push_back(Event::Delegated { child: order.job, outcome: Err(refused) });
            self.release_loans(now, order.job, true);
            return;
        }
        for request in &waiting {
            if self.is_carried(request) {
                self.refuse(now, request, error.clone(), None);
            }
            self.hear_again(now, request.connection);
        }
    }

    fn release_order(&mut self, order: &Order) {
        if let Some((key, _)) = &order.key {
            self.keys.release(&order.principal, key);
        }
        self.uncount(order.owner, &order.principal);
    }

    /// A job ends that waits for the credentials of what it delegates to: that will not be.
    pub(super) fn abandon_children(&mut self, now: Now, parent_key: JobKey) {
        let of_parent = |provision: &Provision| {
            provision.order.parent.as_ref().is_some_and(|parent| parent.job == parent_key)
        };
        let abandoned: Vec<JobKey> =
            self.provisions.iter().filter(|(_, one)| of_parent(one)).map(|(key, _)| *key).collect();
        for child in abandoned {
            let Some(Provision { order, .. }) = self.provisions.remove(&child) else { continue };
            self.release_order(&order);
            order.authority.end();
            self.events.push_back(Event::Delegated { child, outcome: Err(NotDelegated::Ended) });
            self.release_loans(now, child, true);
        }
    }

    /// The runtime is shutting down: nothing begins any more.
    pub(super) fn refuse_all_orders(&mut self, now: Now) {
        for (_, Provision { order, waiting }) in std::mem::take(&mut self.provisions) {
            let error = ErrorPayload::new(ErrorCode::InternalError, "runtime is shutting down");
            self.refuse_order(now, order, waiting, error);
        }
    }

    /// Whether the connection over which a request came still carries its session.
    fn is_carried(&self, request: &Request) -> bool {
        let connection = self.connections.by_key(request.connection);
        connection.and_then(|connection| connection.session()) == Some(request.session)
    }

    fn hear_again(&mut self, now: Now, connection_key: ConnectionKey) {
        if let Some(connection) = self.connections.by_key_mut(connection_key) {
            connection.provisioning = false;
            connection.heard = now.monotonic; // what it said meanwhile was not read
            self.events.push_back(Event::Read(connection_key));
        }
    }

    /// Whether credentials may be sent over a connection (§14).
    pub(super) fn may_carry_credentials(&self, connection: ConnectionKey) -> bool {
        self.connections.by_key(connection).is_some_and(|connection| connection.secure)
    }

    /// What a session may know of a job's credentials: everything if its principal has submitted the job and the feature was
    /// negotiated, and nothing otherwise.
    pub(super) fn credentials_for(&self, session: SessionKey, job: &Job) -> Vec<Credential> {
        let own = self.sessions.by_key(session).is_some_and(|session| session.principal == job.principal);
        if own && self.negotiated(session, &Feature::ProvisionedCredentials) {
            job.credentials.clone()
        } else {
            Vec::new()
        }
    }

    /// The credentials of a job, for its agent. None once it has ended.
    pub fn credentials(&self, job_key: JobKey) -> &[Credential] {
        self.jobs.get(&job_key).map(|job| job.credentials.as_slice()).unwrap_or_default()
    }

    /// A credential of a job has a new value (§9.8.2). The sessions that submitted the job are sent it; everybody else, and
    /// what is stored and kept, has the same event without it.
    ///
    /// # Errors
    /// When the job has ended or has no such credential; nothing has happened then.
    pub fn rotate_credential(
        &mut self,
        now: Now,
        job_key: JobKey,
        credential: Credential,
    ) -> Result<Flow, EmitError> {
        let limit = self.config.limits.payload_bytes;
        let job = self.writable(now, job_key)?;
        let held = job.credentials.iter_mut().find(|held| held.id == credential.id);
        let held = held.ok_or(EmitError::NoCredential)?;
        let mut status = Status {
            phase: ROTATED.to_owned(),
            message: None,
            id: Some(credential.id.clone()),
            value: Some(credential.value.clone()),
        };
        let encode = |status: &Status| {
            Draft::new(EventKind::Status, now.wall, status).map(|draft| draft.payload).unwrap_or_default()
        };
        let whole = encode(&status);
        status.value = None;
        if whole.len() > limit {
            return Err(EmitError::TooLarge { bytes: whole.len(), limit });
        }
        *held = credential;
        let entry = |payload| Entry {
            job: Arc::clone(&job.head),
            index: job.next_index,
            message_type: MessageType::JobEvent,
            kind: Some(EventKind::Status),
            feature: Some(Feature::ProvisionedCredentials),
            ts: now.wall,
            payload,
            plain: None,
            gap: false,
        };
        let (redacted, whole) = (entry(encode(&status)), entry(whole));
        self.append(job_key, redacted, Some(Arc::new(whole)));
        self.renew_allowance(now, job_key);
        self.tell_lag(now, job_key);
        Ok(self.flow(job_key))
    }
}
