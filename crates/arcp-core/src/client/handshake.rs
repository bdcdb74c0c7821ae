//! The client's half of the handshake (§6.1, §6.2).

use arcp_proto::session::{Auth, ClientCapabilities, Hello, Welcome};
use arcp_proto::{ErrorCode, ErrorPayload, Message, MessageType};

use super::{Event, Loss, Opened, Phase, Session, Transmit};
use crate::incoming::Received;
use crate::time::Now;

impl Session {
    pub(super) fn introduce(&mut self, now: Now) {
        if !matches!(self.phase, Phase::Idle) {
            return;
        }
        let hello = Hello {
            client: Some(self.config.identity.clone()),
            auth: Some(Auth::bearer(self.config.token.clone())),
            capabilities: ClientCapabilities {
                encodings: vec!["json".to_owned()],
                features: self.config.features.clone(),
                agents: None,
            },
            ..Hello::default()
        };
        self.say(now, &hello, |_| {});
        self.phase = Phase::Opening { deadline: now.monotonic + self.config.handshake_timeout };
    }

    pub(super) fn handle_answer_to_hello(&mut self, received: Received) {
        let Received { envelope, message } = received;
        match message {
            Ok(Message::SessionWelcome(welcome)) => {
                let Welcome { session_id, runtime, capabilities, .. } = welcome;
                let session_id = session_id.or(envelope.session_id);
                let features = self.config.features.intersection(&capabilities.features);
                self.phase = Phase::Open { session_id: session_id.clone(), features: features.clone() };
                let agents = capabilities.agents;
                self.events.push_back(Event::Opened(Opened { session_id, runtime, features, agents }));
                self.open_requests();
            }
            Ok(Message::SessionError(error)) => self.handshake_refused(error.error),
            Err(error)
                if matches!(
                    envelope.message_type,
                    MessageType::SessionWelcome | MessageType::SessionError
                ) =>
            {
                let message = format!("{} cannot be read: {error}", envelope.message_type);
                self.handshake_refused(ErrorPayload::new(ErrorCode::InvalidRequest, message));
            }
            Ok(_) | Err(_) => {
                tracing::debug!(message_type = %envelope.message_type, "message before the welcome ignored")
            }
        }
    }

    fn handshake_refused(&mut self, error: ErrorPayload) {
        self.events.push_back(Event::HandshakeRefused(error));
        self.out.push_back(Transmit::Close);
        self.end(Loss::Refused);
    }
}
