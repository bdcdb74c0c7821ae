//! Answers, which have no number: when they may be sent, and how they are dressed. What they say is decided where requests are.

use arcp_proto::session as wire;
use arcp_proto::{Envelope, MessageId, Payload, SessionId};

use super::connection::Connection;
use super::log::JobHead;
use super::{ConnectionKey, Runtime, SessionKey, Transmit, requests, session};
use crate::time::Now;

impl Runtime {
    /// Sends an answer on a connection.
    pub(super) fn answer<P: Payload>(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        session_id: Option<SessionId>,
        payload: &P,
        dress: impl FnOnce(&mut Envelope),
    ) {
        let mut envelope = Envelope::new(MessageId::from_ulid(self.ids.ulid(now)), payload);
        envelope.session_id = session_id;
        dress(&mut envelope);
        let place = (self.writes.settled_at(), 0);
        self.queue_answer(connection_key, envelope, place);
    }

    pub(super) fn queue_answer(
        &mut self,
        connection_key: ConnectionKey,
        mut envelope: Envelope,
        place: (u64, u64),
    ) {
        let session = self.connections.by_key(connection_key).and_then(Connection::session);
        let session = session.and_then(|session| self.sessions.by_key(session));
        let quirks = session.map(|session| session.head.quirks).unwrap_or_default();
        quirks.dress(&mut envelope);
        let pause = quirks.pause_after(&envelope);
        let frame = Transmit::Frame(envelope.encode());
        self.connections.answer(connection_key, frame, place, pause, &mut self.events);
    }

    /// Shows life. That speaks of nothing that is written, and so waits for no store, nor for answers that do.
    pub(super) fn show_life<P: Payload>(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        session_id: Option<SessionId>,
        payload: &P,
    ) {
        let mut envelope = Envelope::new(MessageId::from_ulid(self.ids.ulid(now)), payload);
        envelope.session_id = session_id;
        self.connections.show_life(connection_key, &envelope, &mut self.events);
    }

    /// The same as [`answer`](Self::answer), but not before everything that the session has been numbered so far.
    pub(super) fn answer_in_sequence<P: Payload>(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        session_key: SessionKey,
        payload: &P,
        dress: impl FnOnce(&mut Envelope),
    ) {
        let after = self.sessions.by_key(session_key).map_or(0, session::Session::head_seq);
        self.answer_after(now, connection_key, session_key, after, payload, dress);
    }

    /// The same, but not before the message of this number.
    pub(super) fn answer_after<P: Payload>(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        session_key: SessionKey,
        after: u64,
        payload: &P,
        dress: impl FnOnce(&mut Envelope),
    ) {
        let mut envelope = Envelope::new(MessageId::from_ulid(self.ids.ulid(now)), payload);
        envelope.session_id = self.session_id(session_key);
        dress(&mut envelope);
        let place = (self.writes.settled_at(), after);
        self.queue_answer(connection_key, envelope, place);
    }

    /// Answers a request with something of a job; if the session was numbered messages of that job which are still to be
    /// sent, after them. The index is the place in the job's log of the first message that follows the answer.
    pub(super) fn answer_about<P: Payload>(
        &mut self,
        now: Now,
        request: &requests::Request,
        job: &JobHead,
        payload: &P,
        next_index: Option<u64>,
    ) {
        let dress = |envelope: &mut Envelope| {
            envelope.job_id = Some(job.job_id.clone());
            job.dress(envelope);
            if let Some(index) = next_index {
                envelope.extensions.insert_next_index(index);
            }
        };
        if self.sessions.by_key(request.session).is_some_and(|session| session.has_unsent_of(&job.job_id)) {
            self.answer_in_sequence(now, request.connection, request.session, payload, dress);
        } else {
            let session_id = self.session_id(request.session);
            self.answer(now, request.connection, session_id, payload, dress);
        }
    }

    pub(super) fn answer_error(
        &mut self,
        now: Now,
        connection: ConnectionKey,
        session_id: Option<SessionId>,
        error: wire::Error,
    ) {
        // A strict peer drops a session.error without a session id: give it one, even if there is no such session.
        let session_id = session_id.unwrap_or_else(|| SessionId::from_ulid(self.ids.ulid(now)));
        let mut envelope = Envelope::new(MessageId::from_ulid(self.ids.ulid(now)), &error);
        envelope.session_id = Some(session_id);
        envelope.job_id = error.job_id.clone();
        // While the store takes nothing, what is refused does not wait for it: it speaks of nothing that is to be written.
        let position = if self.store_is_full { 0 } else { self.writes.settled_at() };
        self.queue_answer(connection, envelope, (position, 0));
    }
}
