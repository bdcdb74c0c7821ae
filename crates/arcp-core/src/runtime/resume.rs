//! Sessions without a connection, and how they get a new one (§6.3).

use std::time::Duration;

use arcp_proto::session::Resume;
use arcp_proto::{Digest, ErrorCode, ErrorPayload, Feature, Json};
use serde_json::json;

use super::connection::Phase;
use super::session::{Disconnected, OldToken};
use super::timers::Timer;
use super::{Close, ConnectionKey, Event, Runtime, SessionKey, Write};
use crate::principal::Principal;
use crate::time::{Instant, Now};

/// How long the token before the last welcome stays good, unless a message arrives over the new connection first. Each resume
/// with it begins that anew, up to the resume window: whoever says nothing in all that time has not lost a welcome.
pub(super) const OLD_TOKEN_LIFE: Duration = Duration::from_secs(30);

impl Runtime {
    /// Checks a wish to resume and, if it is granted, rotates the token and goes back to where the client is. A refusal
    /// leaves the session as it was.
    pub(super) fn resume(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        principal: &Principal,
        resume: &Resume,
        new_token: Digest,
    ) -> Result<SessionKey, ErrorPayload> {
        let carries_credentials = self.may_carry_credentials(connection_key);
        let gone = |message: &str| ErrorPayload::new(ErrorCode::ResumeWindowExpired, message);
        let key = self.sessions.key_of(&resume.session_id);
        let Some((key, session)) = key.and_then(|key| Some((key, self.sessions.by_key_mut(key)?))) else {
            return Err(gone("session is not known or can no longer be resumed"));
        };
        if session.principal != *principal || !session.accepts_token(resume.resume_token.digest(), now) {
            let message = "resume token is not valid for this session";
            return Err(ErrorPayload::new(ErrorCode::PermissionDenied, message));
        }
        if session.features.contains(&Feature::ProvisionedCredentials) && !carries_credentials {
            let message = "session is sent credentials, which do not cross a network in the clear: resume it over TLS \
                           (wss://), or from the runtime's own machine";
            return Err(ErrorPayload::new(ErrorCode::PermissionDenied, message));
        }
        if resume.last_event_seq > session.head_seq() {
            let message =
                format!("last_event_seq is above {}, the last one of this session", session.head_seq());
            return Err(ErrorPayload::new(ErrorCode::InvalidRequest, message));
        }
        if resume.last_event_seq < session.resumable_from() {
            let message = format!("events up to {} are no longer kept", session.resumable_from());
            let details =
                json!({ "kept_from": session.resumable_from(), "last_event_seq": session.head_seq() });
            return Err(ErrorPayload { details: Some(Json::from(details)), ..gone(&message) });
        }
        // The token that the client has is the one that it has shown, which need not be the last one: a welcome may
        // be lost more than once.
        let shown = resume.resume_token.digest();
        let first = session.old_token.filter(|old| old.digest == shown).map(|old| old.since);
        let since = first.unwrap_or(now.monotonic);
        let last = since + self.config.limits.resume_window.max(OLD_TOKEN_LIFE);
        let until = (now.monotonic + OLD_TOKEN_LIFE).min(last);
        if let Some(old) = session.old_token.replace(OldToken { digest: shown, since, until }) {
            self.timers.clear(old.until, Timer::OldToken(key));
        }
        session.token = new_token;
        session.rewind(resume.last_event_seq);
        let old_connection = session.connection.take();
        if let Some(disconnected) = session.disconnected.take() {
            self.timers.clear(disconnected.until, Timer::ResumeWindow(key));
        }
        self.timers.set(until, Timer::OldToken(key));
        if let Some(old) = old_connection.filter(|old| *old != connection_key) {
            self.supersede(old, Close::ResumedElsewhere);
        }
        Ok(key)
    }

    /// Closes a connection that no longer carries its session; nothing more is sent over it.
    pub(super) fn supersede(&mut self, old: ConnectionKey, close: Close) {
        if let Some(connection) = self.connections.by_key_mut(old) {
            connection.phase = Phase::Closing;
            connection.answers.clear();
            connection.answer_bytes = 0;
            connection.pauses = 0;
        }
        self.close(old, close);
    }

    /// The client has said something over its new connection, or the old token's time is up: the old token is dead.
    pub(super) fn drop_old_token(&mut self, session_key: SessionKey, now: Option<Instant>) {
        let Some(session) = self.sessions.by_key_mut(session_key) else { return };
        let Some(OldToken { until, .. }) = session.old_token else { return };
        if now.is_none_or(|now| until <= now) {
            session.old_token = None;
            self.timers.clear(until, Timer::OldToken(session_key));
            self.record_session(session_key);
        }
    }

    pub(super) fn disconnect_session(
        &mut self,
        now: Now,
        session_key: SessionKey,
        connection_key: ConnectionKey,
    ) {
        let Some(session) = self.sessions.by_key_mut(session_key) else { return };
        if session.connection != Some(connection_key) {
            return; // it has a new one already
        }
        session.connection = None;
        session.trace("disconnected");
        let until = now.monotonic + self.config.limits.resume_window;
        session.disconnected = Some(Disconnected { at: now.wall, until, spared_until: None });
        let waiting = session.waiting.drain(..);
        self.events.extend(waiting.map(Event::Wake));
        self.timers.set(until, Timer::ResumeWindow(session_key));
        self.record_session(session_key);
    }

    pub(super) fn window_is_over(&mut self, now: Now, session_key: SessionKey) {
        let disconnected = self.sessions.by_key(session_key).and_then(|session| session.disconnected);
        if disconnected.is_some_and(|disconnected| disconnected.until <= now.monotonic) {
            self.forget_session(session_key);
        }
    }

    /// Forgets a session. Its jobs run on.
    pub(super) fn forget_session(&mut self, session_key: SessionKey) {
        let Some(session) = self.sessions.remove(session_key) else { return };
        if let Some(disconnected) = session.disconnected {
            self.timers.clear(disconnected.until, Timer::ResumeWindow(session_key));
        }
        if let Some(OldToken { until, .. }) = session.old_token {
            self.timers.clear(until, Timer::OldToken(session_key));
        }
        for job in &session.following {
            if let Some(job) = self.jobs.get_mut(job) {
                job.followers.retain(|follower| follower.session != session_key);
            }
        }
        self.writes.push(Write::SessionGone(session.id().clone()));
    }
}
