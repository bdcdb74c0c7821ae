//! Requests of an open session (§6, §7): each is answered, in order, and a bad one spoils nothing but itself.

use arcp_proto::job::Cancelled;
use arcp_proto::session::{self as wire, Closed, Pong};
use arcp_proto::{ErrorCode, ErrorPayload, Feature, JobId, Message, MessageId, MessageType};

use super::connection::Phase;
use super::drain::NO_ROOM;
use super::{Close, ConnectionKey, Refused, Runtime, SessionKey, StopCause};
use crate::incoming::{Incoming, Received};
use crate::observation::Observation;
use crate::time::Now;

/// Who asked what: where the answer goes.
#[derive(Clone)]
pub(super) struct Request {
    pub(super) connection: ConnectionKey,
    pub(super) session: SessionKey,
    pub(super) id: Option<MessageId>,
}

impl Runtime {
    pub(super) fn request(
        &mut self,
        now: Now,
        connection: ConnectionKey,
        session: SessionKey,
        incoming: Incoming,
    ) {
        self.drop_old_token(session, None);
        let received = match incoming.0 {
            Ok(received) => received,
            Err(bad) => {
                let request = Request { connection, session, id: bad.request_id };
                self.refuse(now, &request, ErrorPayload::new(ErrorCode::InvalidRequest, bad.reason), None);
                if bad.foreign_version {
                    self.close_session(now, connection, session, Close::Refused);
                }
                return;
            }
        };
        let Received { envelope, message, verdict } = received;
        let request = Request { connection, session, id: Some(envelope.id.clone()) };
        let message = match message {
            Ok(message) => message,
            Err(error) => {
                let error = ErrorPayload::new(ErrorCode::InvalidRequest, error.to_string());
                return self.refuse(now, &request, error, envelope.job_id);
            }
        };
        let shows_life =
            matches!(message, Message::SessionPing(_) | Message::SessionPong(_) | Message::SessionAck(_));
        if !shows_life && let Some(connection) = self.connections.by_key_mut(connection) {
            connection.carried = now.monotonic;
        }
        let must_be_written = matches!(
            message,
            Message::JobSubmit(_)
                | Message::JobCancel(_)
                | Message::SessionListJobs(_)
                | Message::JobSubscribe(_)
        );
        if self.store_is_full && must_be_written {
            let error = ErrorPayload::new(ErrorCode::InternalError, NO_ROOM);
            return self.refuse(now, &request, error, envelope.job_id);
        }
        match message {
            Message::JobSubmit(submit) => {
                let trace = (envelope.trace_id, envelope.extensions.trace_context());
                self.submit(now, &request, submit, verdict, trace);
            }
            Message::JobCancel(cancel) => {
                self.cancel(now, &request, envelope.job_id.or(cancel.job_id), cancel.reason)
            }
            Message::SessionPing(ping) => {
                let pong = Pong { ping_nonce: ping.nonce, received_at: Some(now.wall) };
                let session_id = self.session_id(session);
                self.show_life(now, connection, session_id, &pong);
            }
            Message::SessionAck(ack) => self.acknowledge(session, ack.last_processed_seq),
            Message::SessionPong(_) => {}
            Message::SessionClose(_) => {
                let session_id = self.session_id(session);
                self.answer(now, connection, session_id, &Closed::default(), |_| {});
                self.close_session(now, connection, session, Close::Normal);
            }
            Message::SessionBye(_) => self.close_session(now, connection, session, Close::Normal),
            Message::SessionListJobs(list) => self.list_jobs(now, &request, list),
            Message::JobSubscribe(subscribe) => self.subscribe(now, &request, subscribe),
            Message::JobUnsubscribe(unsubscribe) => self.unsubscribe(now, &request, &unsubscribe.job_id),
            Message::SessionHello(_) | Message::SessionResume(_) => {
                let error = ErrorPayload::new(ErrorCode::InvalidRequest, "session is open already");
                self.refuse(now, &request, error, None);
            }
            Message::Unknown => {
                tracing::debug!(message_type = %envelope.message_type, "message of unknown type ignored");
            }
            _ => self.refuse_direction(now, &request, &envelope.message_type),
        }
    }

    /// Cancels a job (§7.4). Cancelling a job that has ended changes nothing and is acknowledged.
    fn cancel(&mut self, now: Now, request: &Request, job_id: Option<JobId>, reason: Option<String>) {
        let Some(job_id) = job_id else {
            let error = ErrorPayload::new(ErrorCode::InvalidRequest, "missing field `job_id`");
            return self.refuse(now, request, error, None);
        };
        let found = self.find_job(request.session, &job_id);
        let Some((job_key, _)) = found.filter(|(_, observation)| *observation != Observation::Hidden) else {
            let error = ErrorPayload::new(ErrorCode::JobNotFound, format!("job {job_id} is not known"));
            return self.refuse(now, request, error, Some(job_id));
        };
        if self.jobs.get(&job_key).is_some_and(|job| job.owner != request.session) {
            let message = "only the session that submitted a job may cancel it";
            let error = ErrorPayload::new(ErrorCode::PermissionDenied, message);
            return self.refuse(now, request, error, Some(job_id));
        }
        let cancelled = Cancelled { reason: reason.clone(), request_id: request.id.clone() };
        // Written before it is said: also after a restart the job ends in this.
        self.stop(now, job_key, StopCause::Cancelled, reason);
        let session_id = self.session_id(request.session);
        self.answer(now, request.connection, session_id, &cancelled, |envelope| {
            envelope.job_id = Some(job_id)
        });
    }

    pub(super) fn negotiated(&self, session: SessionKey, feature: &Feature) -> bool {
        self.sessions.by_key(session).is_some_and(|session| session.features.contains(feature))
    }

    pub(super) fn session_id(&self, session: SessionKey) -> Option<arcp_proto::SessionId> {
        self.sessions.by_key(session).map(|session| session.id().clone())
    }

    /// Refuses one request; the session goes on.
    pub(super) fn refuse(&mut self, now: Now, request: &Request, error: ErrorPayload, job_id: Option<JobId>) {
        self.tally.refuse(Refused::Request, &error.code);
        let session_id = self.session_id(request.session);
        let error = wire::Error { error, request_id: request.id.clone(), job_id };
        self.answer_error(now, request.connection, session_id, error);
    }

    pub(super) fn refuse_unnegotiated(&mut self, now: Now, request: &Request, feature: &Feature) {
        let message = format!("feature {feature} was not negotiated");
        self.refuse(now, request, ErrorPayload::new(ErrorCode::InvalidRequest, message), None);
    }

    fn refuse_direction(&mut self, now: Now, request: &Request, message_type: &MessageType) {
        let message = format!("{message_type} is sent by runtimes only");
        self.refuse(now, request, ErrorPayload::new(ErrorCode::InvalidRequest, message), None);
    }

    /// Stops listening, and closes the connection after what has been answered. The session can be resumed; messages
    /// that were still to be sent wait for that.
    pub(super) fn close_session(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        session: SessionKey,
        close: Close,
    ) {
        if let Some(connection) = self.connections.by_key_mut(connection_key) {
            connection.phase = Phase::Closing;
        }
        self.close(connection_key, close);
        self.disconnect_session(now, session, connection_key);
    }
}
