//! The handshake (§6.1, §6.2): one good `session.hello`, a principal, a welcome; or one refusal and the door.

use arcp_proto::session::{
    self as wire, Auth, ClientCapabilities, Hello, Resume, ResumeRequest, RuntimeCapabilities, Welcome,
};
use arcp_proto::{BearerToken, ErrorCode, ErrorPayload, Feature, Message, MessageId, ResumeToken, SessionId};

use super::connection::{Introduction, Phase};
use super::drain::NO_ROOM;
use super::session::Session;
use super::timers::Timer;
use super::{Close, ConnectionKey, Event, Refused, Runtime, SessionKey, TracedSession, Write};
use crate::incoming::{Incoming, Received};
use crate::lease::CENTURY;
use crate::principal::{Caller, Principal};
use crate::quirks;
use crate::time::Now;

/// Why a token was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The token is unknown, wrong or out of date; the client is not told which.
    #[error("token is not valid")]
    Invalid,
    /// It could not be found out now; trying again may succeed.
    #[error("authentication is not available")]
    Unavailable,
}

type Refusal = ErrorPayload;

fn refusal(code: ErrorCode, message: impl Into<String>) -> Refusal {
    ErrorPayload::new(code, message)
}

impl Runtime {
    /// Takes the first message of a connection. Nothing is written and nobody learns of it before it is authenticated.
    pub(super) fn introduce(&mut self, now: Now, connection_key: ConnectionKey, incoming: Incoming) {
        let received = match incoming.0 {
            Ok(received) => received,
            Err(bad) => {
                let error = refusal(ErrorCode::InvalidRequest, bad.reason);
                return self.refuse_handshake(now, connection_key, error, bad.request_id);
            }
        };
        let request_id = received.envelope.id.clone();
        match introduction(received) {
            Err(error) => self.refuse_handshake(now, connection_key, error, Some(request_id)),
            Ok((introduction, token)) => {
                let client = introduction.client.clone();
                if let Some(connection) = self.connections.by_key_mut(connection_key) {
                    connection.phase = Phase::Authenticating(Box::new(introduction));
                    self.events.push_back(Event::Authenticate { connection: connection_key, token, client });
                }
            }
        }
    }

    /// Answers [`Event::Authenticate`].
    pub fn handle_authenticated(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        outcome: Result<impl Into<Caller>, AuthenticationError>,
    ) {
        let Some(connection) = self.connections.by_key_mut(connection_key) else { return };
        if !matches!(connection.phase, Phase::Authenticating(_)) {
            return; // refused or closed in the meantime
        }
        let Phase::Authenticating(introduction) = std::mem::replace(&mut connection.phase, Phase::Closing)
        else {
            return;
        };
        let request_id = introduction.request_id.clone();
        let refused = if introduction.resume.is_some() { Refused::Resume } else { Refused::Session };
        let opened = match outcome {
            Ok(caller) => self.open(now, connection_key, caller.into(), *introduction),
            Err(error @ AuthenticationError::Invalid) => {
                Err(refusal(ErrorCode::Unauthenticated, error.to_string()))
            }
            Err(error @ AuthenticationError::Unavailable) => {
                Err(refusal(ErrorCode::InternalError, error.to_string()))
            }
        };
        match opened {
            Ok(()) => self.events.push_back(Event::Read(connection_key)),
            Err(error) => self.refuse_opening(now, connection_key, refused, error, Some(request_id)),
        }
    }

    fn open(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        Caller { principal, ceiling, expires_at }: Caller,
        introduction: Introduction,
    ) -> Result<(), Refusal> {
        if expires_at.is_some_and(|at| at <= now.wall) {
            return Err(refusal(ErrorCode::Unauthenticated, AuthenticationError::Invalid.to_string()));
        }
        if self.store_is_full {
            return Err(refusal(ErrorCode::InternalError, NO_ROOM));
        }
        let token = self.ids.resume_token();
        let resumed_at = introduction.resume.as_ref().map(|resume| resume.last_event_seq);
        let session_key = match introduction.resume {
            Some(resume) => {
                let key = self.resume(now, connection_key, &principal, &resume, token.digest())?;
                self.tally.sessions_resumed += 1;
                key
            }
            None => self.open_new(now, connection_key, principal, &introduction, &token)?,
        };
        if let Some(connection) = self.connections.by_key_mut(connection_key) {
            connection.phase = Phase::Open(session_key);
            self.handshaking.remove(&connection_key);
            let deadline = connection.handshake_deadline;
            self.timers.clear(deadline, Timer::Handshake(connection_key));
            if let Some(at) = expires_at {
                let timer = now.monotonic + at.saturating_since(now.wall).min(CENTURY);
                connection.expires = Some((timer, at));
                self.timers.set(timer, Timer::Token(connection_key));
            }
        }
        if let Some(session) = self.sessions.by_key_mut(session_key) {
            session.connection = Some(connection_key);
            session.disconnected = None;
            // A session that was opened with a token that allows more has no more than the one that it is resumed with.
            session.ceiling = ceiling;
        }
        self.trace_session(connection_key, session_key, resumed_at.is_some());
        self.record_session(session_key);
        self.start_heartbeat(now, connection_key);
        self.welcome(now, connection_key, session_key, token);
        if let Some(last_event_seq) = resumed_at {
            self.announce_again(now, session_key, last_event_seq);
        }
        self.connections.wake(connection_key, &mut self.events);
        Ok(())
    }

    fn open_new(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        principal: Principal,
        introduction: &Introduction,
        token: &ResumeToken,
    ) -> Result<SessionKey, Refusal> {
        if self.draining {
            let message = "the runtime is about to stop and takes no new sessions; try again later";
            return Err(refusal(ErrorCode::InternalError, message));
        }
        let limit = self.config.limits.sessions_per_principal;
        if self.sessions.of(&principal).len() >= limit {
            let disconnected = self.sessions.longest_disconnected(&principal, now.monotonic);
            if let Some(session) = disconnected {
                self.forget_session(session);
            } else if let Some((session, connection)) = self.longest_idle(now, &principal) {
                self.supersede(connection, Close::Idle);
                self.forget_session(session);
            } else {
                let message = format!("principal has {limit} connected sessions, which is the limit");
                return Err(refusal(ErrorCode::PermissionDenied, message));
            }
        }
        let mut features = self.config.features.intersection(&introduction.features);
        if !self.may_carry_credentials(connection_key) {
            let harmless = |feature: &&Feature| **feature != Feature::ProvisionedCredentials;
            features = features.iter().filter(harmless).cloned().collect();
        }
        let quirks = self.config.quirks.quirks_of(introduction.known);
        let session = Session::new(self.ids.ulid(now), principal, features, quirks, token.digest());
        if !quirks.is_empty() {
            let peer = introduction.known.map(|peer| peer.name);
            tracing::info!(session_id = %session.id(), peer, %quirks, "session deviates from the draft");
        }
        let key = SessionKey(self.next_key());
        self.sessions.insert(key, session);
        self.tally.sessions_opened += 1;
        Ok(key)
    }

    /// Tells the tracer, if there is one, of a session that has a connection.
    fn trace_session(&mut self, connection_key: ConnectionKey, session_key: SessionKey, resumed: bool) {
        let Some(tracer) = &self.config.tracer else { return };
        let connection = self.connections.by_key(connection_key);
        let parent = connection.and_then(|connection| connection.trace.as_deref());
        let Some(session) = self.sessions.by_key_mut(session_key) else { return };
        if session.span.is_none() {
            session.span = tracer.session(&TracedSession { session_id: session.id(), parent });
        }
        if resumed {
            session.trace("resumed");
        }
    }

    fn welcome(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        session_key: SessionKey,
        token: ResumeToken,
    ) {
        let Some(session) = self.sessions.by_key(session_key) else { return };
        let session_id = session.id().clone();
        let welcome = Welcome {
            session_id: Some(session_id.clone()),
            accepted_at: Some(now.wall),
            runtime: Some(self.config.identity.clone()),
            resume_token: Some(token),
            resume_window_sec: Some(self.config.limits.resume_window.as_secs().max(1)),
            heartbeat_interval_sec: session
                .features
                .contains(&Feature::Heartbeat)
                .then(|| self.config.limits.heartbeat_interval.as_secs().max(1)),
            capabilities: RuntimeCapabilities {
                encodings: vec!["json".to_owned()],
                features: session.features.clone(),
                agents: self.config.agents.inventory(),
            },
        };
        self.answer(now, connection_key, Some(session_id), &welcome, |_| {});
    }

    /// Closes a connection whose token is no longer good, if it is so: who is at its other end is not known any more (§6.1). Its session
    /// can be resumed with another token, and its jobs run on.
    pub(super) fn expire_token(&mut self, now: Now, connection_key: ConnectionKey) {
        let Some(connection) = self.connections.by_key(connection_key) else { return };
        let Some(session) = connection.session() else { return };
        if connection.has_expired(now) && !connection.is_closing() {
            let session_id = self.session_id(session);
            let message = "token has expired: resume the session with another";
            let error = refusal(ErrorCode::Unauthenticated, message);
            let error = wire::Error { error, request_id: None, job_id: None };
            self.answer_error(now, connection_key, session_id, error);
            self.close_session(now, connection_key, session, Close::Expired);
        }
    }

    /// Writes down how a session stands.
    pub(super) fn record_session(&mut self, session_key: SessionKey) {
        let Some(session) = self.sessions.by_key(session_key) else { return };
        let record = session.record();
        self.writes.push(Write::Session(record));
    }

    pub(super) fn handshake_is_late(&mut self, now: Now, connection_key: ConnectionKey) {
        let Some(connection) = self.connections.by_key(connection_key) else { return };
        match &connection.phase {
            Phase::Hello => {
                let message = "no session.hello within the handshake timeout";
                self.refuse_handshake(
                    now,
                    connection_key,
                    refusal(ErrorCode::Unauthenticated, message),
                    None,
                );
            }
            Phase::Authenticating(introduction) => {
                // The client was in time, the authenticator was not: as good as one that is down.
                let request_id = Some(introduction.request_id.clone());
                let message = AuthenticationError::Unavailable.to_string();
                self.refuse_handshake(
                    now,
                    connection_key,
                    refusal(ErrorCode::InternalError, message),
                    request_id,
                );
            }
            Phase::Open(_) | Phase::Closing => {}
        }
    }

    pub(super) fn refuse_handshake(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        error: ErrorPayload,
        request_id: Option<MessageId>,
    ) {
        self.refuse_opening(now, connection_key, Refused::Session, error, request_id);
    }

    fn refuse_opening(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        what: Refused,
        error: ErrorPayload,
        request_id: Option<MessageId>,
    ) {
        self.tally.refuse(what, &error.code);
        tracing::debug!(%error, "handshake refused");
        self.handshaking.remove(&connection_key);
        self.answer_error(now, connection_key, None, wire::Error { error, request_id, job_id: None });
        if let Some(connection) = self.connections.by_key_mut(connection_key) {
            connection.phase = Phase::Closing;
        }
        self.close(connection_key, Close::Refused);
    }
}

/// Reads the first message: who it is, what it can do, which session it wants back, and its token.
fn introduction(received: Received) -> Result<(Introduction, BearerToken), Refusal> {
    let Received { envelope, message, .. } = received;
    let invalid = |message: String| refusal(ErrorCode::InvalidRequest, message);
    let (client, auth, capabilities, resume) = match message.map_err(|error| invalid(error.to_string()))? {
        Message::SessionHello(hello) => {
            let resume = resume_of(&hello, envelope.session_id);
            (hello.client, hello.auth, hello.capabilities, resume?)
        }
        Message::SessionResume(request) => {
            let ResumeRequest {
                client,
                auth,
                capabilities,
                resume,
                session_id,
                resume_token,
                last_event_seq,
            } = request;
            let resume = match resume {
                Some(resume) => resume,
                None => {
                    let missing = |name: &str| invalid(format!("payload: missing field `{name}`"));
                    let resume_token = resume_token.ok_or_else(|| missing("resume_token"))?;
                    let session_id = session_id.or(envelope.session_id);
                    let session_id = session_id.ok_or_else(|| missing("session_id"))?;
                    Resume { session_id, resume_token, last_event_seq }
                }
            };
            (client, auth, capabilities, Some(resume))
        }
        _ => return Err(invalid("first message must be session.hello".to_owned())),
    };
    check_encodings(&capabilities)?;
    let token = bearer_token(auth)?;
    let known = quirks::peer_of(&capabilities);
    let features = capabilities.features;
    Ok((Introduction { request_id: envelope.id, client, features, resume, known }, token))
}

/// The resume block of a hello, wherever the peer put it.
fn resume_of(hello: &Hello, envelope_session: Option<SessionId>) -> Result<Option<Resume>, Refusal> {
    if let Some(resume) = &hello.resume {
        return Ok(Some(resume.clone()));
    }
    let Some(resume_token) = hello.resume_token.clone() else { return Ok(None) };
    let Some(session_id) = envelope_session else {
        return Err(refusal(
            ErrorCode::InvalidRequest,
            "resume_token without a session_id: name it on the envelope",
        ));
    };
    Ok(Some(Resume { session_id, resume_token, last_event_seq: hello.last_event_seq.unwrap_or(0) }))
}

fn check_encodings(capabilities: &ClientCapabilities) -> Result<(), Refusal> {
    let encodings = &capabilities.encodings;
    if encodings.is_empty() || encodings.iter().any(|encoding| encoding == "json") {
        return Ok(());
    }
    Err(refusal(ErrorCode::InvalidRequest, "payload.capabilities.encodings: only json is spoken here"))
}

fn bearer_token(auth: Option<Auth>) -> Result<BearerToken, Refusal> {
    let missing = |what: &str| refusal(ErrorCode::Unauthenticated, what);
    let auth = auth.ok_or_else(|| missing("payload.auth is missing"))?;
    if auth.scheme != "bearer" {
        return Err(missing("payload.auth.scheme: only bearer is known"));
    }
    let token = auth.token.filter(|token| !token.expose().is_empty());
    token.ok_or_else(|| missing("payload.auth.token is missing"))
}
