//! The client's half of the handshake (§6.1, §6.2).

use arcp_proto::session::{Auth, ClientCapabilities, Hello, Welcome};
use arcp_proto::{ErrorCode, ErrorPayload, Message, MessageType, SessionId};

use super::resume::Away;
use super::{Event, Loss, Opened, Phase, Session, Transmit};
use crate::incoming::Received;
use crate::time::Now;

impl Session {
    pub(super) fn introduce(&mut self, now: Now) {
        let away = match self.phase {
            Phase::Idle => None,
            Phase::Away { away, .. } => Some(away),
            _ => return,
        };
        let resume = self.resume_block();
        let hello = Hello {
            client: Some(self.config.identity.clone()),
            auth: Some(Auth::bearer(self.config.token.clone())),
            capabilities: ClientCapabilities {
                encodings: vec!["json".to_owned()],
                features: self.config.features.clone(),
                agents: None,
            },
            resume,
            ..Hello::default()
        };
        (self.pulse.heard, self.pulse.said) = (now.monotonic, now.monotonic);
        let mut envelope = self.envelope(now, &hello);
        envelope.session_id = None;
        self.out.push_back(Transmit::Frame(envelope.encode()));
        self.phase = Phase::Opening { deadline: now.monotonic + self.config.handshake_timeout, away };
    }

    pub(super) fn handle_answer_to_hello(&mut self, now: Now, received: Received) {
        let Received { envelope, message, .. } = received;
        match message {
            Ok(Message::SessionWelcome(welcome)) => {
                let session_id = welcome.session_id.clone().or(envelope.session_id);
                self.welcomed(now, welcome, session_id);
            }
            Ok(Message::SessionError(error)) => self.handshake_refused(now, error.error),
            Err(error)
                if matches!(
                    envelope.message_type,
                    MessageType::SessionWelcome | MessageType::SessionError
                ) =>
            {
                let message = format!("{} cannot be read: {error}", envelope.message_type);
                self.handshake_refused(now, ErrorPayload::new(ErrorCode::InvalidRequest, message));
            }
            Ok(_) | Err(_) => {
                tracing::debug!(message_type = %envelope.message_type, "message before the welcome ignored")
            }
        }
    }

    fn welcomed(&mut self, now: Now, welcome: Welcome, session_id: Option<SessionId>) {
        let Phase::Opening { away, .. } = self.phase else { return };
        let features = self.config.features.intersection(&welcome.capabilities.features);
        if let Some(asked) = self.resume_block()
            && Some(&asked.session_id) != session_id.as_ref()
        {
            let message = "runtime answered with another session";
            let error = ErrorPayload::new(ErrorCode::ResumeWindowExpired, message);
            if away.is_none() {
                return self.handshake_refused(now, error);
            }
            self.lapse(Some(error));
        }
        let resumed = self.standing.session_id.is_some();
        self.stand(now, &welcome, session_id.clone(), features.clone(), away);
        self.phase = Phase::Open;
        // Before anything that may subscribe again.
        for job_id in std::mem::take(&mut self.unsubscribes) {
            self.say_unsubscribe(now, job_id);
        }
        self.address_requests();
        let Welcome { runtime, capabilities, .. } = welcome;
        let opened = Opened { session_id, runtime, features, agents: capabilities.agents };
        match away {
            None => self.events.push_back(Event::Opened(opened)),
            Some(_) if resumed => {
                self.standing.replaying = true;
                self.events.push_back(Event::Resumed);
                self.ask_again(now);
            }
            Some(_) => {
                self.events.push_back(Event::Renewed(opened));
                self.take_up_all(now);
            }
        }
        self.send_waiting();
    }

    fn handshake_refused(&mut self, now: Now, error: ErrorPayload) {
        self.out.push_back(Transmit::Close);
        if matches!(self.phase, Phase::Opening { away: Some(_), .. }) {
            if error.code == ErrorCode::InternalError {
                self.lose(now, Loss::Refused); // it may pass
                return self.wait_for(now, error.retry_after());
            }
            if error.code != ErrorCode::Unauthenticated && self.standing.session_id.is_some() {
                self.lapse(Some(error));
                return self.wait_to_dial(now, Away { since: now.monotonic, attempt: 0 });
            }
        }
        self.events.push_back(Event::HandshakeRefused(error));
        self.end(Loss::Refused);
    }
}
