//! What came in over a connection, decoded before any state is touched.

use arcp_proto::{ByteString, DecodeError, Envelope, EnvelopeError, Message, MessageId, Reader};

use crate::runtime::{Agents, Verdict};

/// One frame as a machine takes it. Decoding needs no state, so that a driver can do it outside of its locks.
#[derive(Debug)]
pub struct Incoming(pub(crate) Result<Received, Unreadable>);

#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) envelope: Envelope,
    /// The payload; its error names the place in the payload.
    pub(crate) message: Result<Message, DecodeError>,
    /// What the agent that is submitted to says of the input.
    pub(crate) verdict: Verdict,
}

/// A frame that is no envelope.
#[derive(Debug)]
pub(crate) struct Unreadable {
    pub(crate) reason: String,
    /// The frame, if it was text.
    pub(crate) frame: ByteString,
    pub(crate) request_id: Option<MessageId>,
    /// Whether the peer speaks another major version: then nothing it says can be relied on.
    pub(crate) foreign_version: bool,
}

impl Incoming {
    /// Decodes a text frame.
    pub fn text(frame: impl Into<ByteString>) -> Self {
        Self::read(&mut Reader::default(), frame)
    }

    /// The same, with the reader of a connection: much of what comes over one is alike, and then it is faster.
    pub fn read(reader: &mut Reader, frame: impl Into<ByteString>) -> Self {
        let frame = frame.into();
        Self(match reader.read(&frame) {
            Ok((envelope, message)) => Ok(Received { envelope, message, verdict: Verdict::default() }),
            Err(undecodable) => Err(Unreadable {
                reason: undecodable.error.to_string(),
                frame,
                request_id: undecodable.id,
                foreign_version: undecodable.error == EnvelopeError::Version,
            }),
        })
    }

    /// Whether it shows life, acknowledges or cancels: `session.ping`, `session.pong`, `session.ack` and `job.cancel`. A driver that has
    /// requests wait may hand these in before them: each says the same wherever among them it stands.
    pub fn is_urgent(&self) -> bool {
        let Ok(Received { message: Ok(message), .. }) = &self.0 else { return false };
        matches!(
            message,
            Message::SessionPing(_)
                | Message::SessionPong(_)
                | Message::SessionAck(_)
                | Message::JobCancel(_)
        )
    }

    /// The same, with what the agent that a `job.submit` names says of its input, so that a runtime need not ask it under a lock.
    /// The agents must be those of that runtime.
    #[must_use]
    pub fn checked(mut self, agents: &Agents) -> Self {
        if let Ok(Received { message: Ok(Message::JobSubmit(submit)), verdict, .. }) = &mut self.0 {
            *verdict = Verdict(agents.check(&submit.agent, &submit.input));
        }
        self
    }

    /// A frame that was no text.
    pub fn binary(bytes: usize) -> Self {
        Self(Err(Unreadable {
            reason: format!("binary frame of {bytes} bytes: envelopes are carried in text frames"),
            frame: ByteString::new(),
            request_id: None,
            foreign_version: false,
        }))
    }
}
