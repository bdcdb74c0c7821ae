//! A connection: how far its handshake has come, and the answers that wait to be sent over it.

use std::collections::VecDeque;

use arcp_proto::session::{Peer, Resume};
use arcp_proto::{ByteString, Features, MessageId};

use super::{Close, SessionKey};
use crate::time::Instant;

pub(super) struct Connection {
    pub(super) phase: Phase,
    pub(super) handshake_deadline: Instant,
    /// Messages without a number, in order.
    pub(super) answers: VecDeque<Answer>,
    /// Set once nothing more is to be said.
    pub(super) close: Option<Close>,
    /// Whether the driver was told that there is something to transmit and has not yet taken it all.
    pub(super) woken: bool,
    /// Whether the driver was told not to read.
    pub(super) read_paused: bool,
}

/// A frame to send as soon as its batch is committed.
pub(super) struct Answer {
    pub(super) frame: ByteString,
    pub(super) position: u64,
}

pub(super) enum Phase {
    /// Nothing has been said.
    Hello,
    /// The token is being looked at.
    Authenticating(Box<Introduction>),
    /// It carries a session.
    Open(SessionKey),
    /// Nothing more is heard.
    Closing,
}

/// What a client said of itself in its first message.
pub(super) struct Introduction {
    pub(super) request_id: MessageId,
    pub(super) client: Option<Peer>,
    pub(super) features: Features,
    pub(super) resume: Option<Resume>,
}

impl Connection {
    pub(super) fn new(handshake_deadline: Instant) -> Self {
        Self {
            phase: Phase::Hello,
            handshake_deadline,
            answers: VecDeque::new(),
            close: None,
            woken: false,
            read_paused: false,
        }
    }

    pub(super) fn session(&self) -> Option<SessionKey> {
        match self.phase {
            Phase::Open(session) => Some(session),
            _ => None,
        }
    }
}
