//! A connection: how far its handshake has come, and the answers that wait to be sent over it.

use std::collections::VecDeque;

use arcp_proto::session::{Peer, Resume};
use arcp_proto::{Features, MessageId, Timestamp, TraceContext};

use super::{Close, Limits, SessionKey, Transmit};
use crate::quirks::KnownPeer;
use crate::time::{Instant, Now};

pub(super) struct Connection {
    pub(super) phase: Phase,
    /// Whether nobody between its ends can read it.
    pub(super) secure: bool,
    /// What the request that has brought it about belonged to, if it said so.
    pub(super) trace: Option<Box<TraceContext>>,
    pub(super) handshake_deadline: Instant,
    /// Messages without a number, in order.
    pub(super) answers: VecDeque<Answer>,
    /// Their size.
    pub(super) answer_bytes: usize,
    /// Whether anything has been said over it.
    pub(super) greeted: bool,
    /// Set once nothing more is to be said and nothing more is heard.
    pub(super) close: Option<Close>,
    /// Whether the close has been handed out: nothing follows it.
    pub(super) closed: bool,
    /// Whether the driver was told that there is something to transmit and has not yet taken it all.
    pub(super) woken: bool,
    /// Whether the next commit is to wake it: it has something to send that is not committed yet.
    pub(super) awaits_commit: bool,
    /// Answers in `answers` after which nothing is read of logs for a moment.
    pub(super) pauses: usize,
    /// Until when nothing is read of logs, once such an answer has been handed out.
    pub(super) paused_until: Option<Instant>,
    /// Whether a request of it waits for credentials: what comes after it is not read until then.
    pub(super) provisioning: bool,
    /// Whether the driver was told not to read.
    pub(super) read_paused: bool,
    /// Whether the driver does not read for reasons of its own.
    pub(super) unread: bool,
    /// When it last carried anything but signs of life.
    pub(super) carried: Instant,
    /// When something last came in.
    pub(super) heard: Instant,
    /// When something last went out.
    pub(super) said: Instant,
    /// When its next heartbeat is due, if it has any.
    pub(super) beat: Option<Instant>,
    /// When the token that it was let in with is no longer good, if ever.
    pub(super) expires: Option<(Instant, Timestamp)>,
}

/// What to send as soon as its batch is committed.
pub(super) struct Answer {
    pub(super) transmit: Transmit,
    pub(super) position: u64,
    /// The number of the session's message that it must not overtake; 0 for none.
    pub(super) after: u64,
    /// Whether it shows life, and may go before answers that wait for the store.
    pub(super) life: bool,
    /// Whether nothing is read of logs for a moment after it.
    pub(super) pause: bool,
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
    /// The client, if it is one that is known to need quirks.
    pub(super) known: Option<&'static KnownPeer>,
}

impl Connection {
    pub(super) fn new(now: Instant, handshake_deadline: Instant, secure: bool) -> Self {
        Self {
            phase: Phase::Hello,
            secure,
            trace: None,
            handshake_deadline,
            answers: VecDeque::new(),
            answer_bytes: 0,
            greeted: false,
            close: None,
            closed: false,
            woken: false,
            awaits_commit: false,
            pauses: 0,
            paused_until: None,
            provisioning: false,
            read_paused: false,
            unread: false,
            carried: now,
            heard: now,
            said: now,
            beat: None,
            expires: None,
        }
    }

    /// Whether there is room for another answer, and the store is not behind with those that there are.
    pub(super) fn takes_requests(&self, limits: &Limits, stored: u64) -> bool {
        let uncommitted = || {
            let waiting = self.answers.iter().rev().filter(|answer| answer.position > stored);
            waiting.take(limits.uncommitted_requests).count()
        };
        !self.provisioning
            && self.answers.len() < limits.answers
            && self.answer_bytes < limits.answer_bytes
            && (self.answers.len() < limits.uncommitted_requests
                || uncommitted() < limits.uncommitted_requests)
    }

    /// Takes the first answer that shows life, past those that wait for a store that is full. A store that is only slow is waited
    /// for: requests are answered in their order.
    pub(super) fn take_life(&mut self, store_is_full: bool) -> Option<Transmit> {
        if !store_is_full || !self.greeted {
            return None;
        }
        let place = self.answers.iter().position(|answer| answer.life)?;
        let answer = self.answers.remove(place)?;
        self.answer_bytes -= answer.transmit.bytes();
        Some(answer.transmit)
    }

    /// Whether the token that it was let in with is no longer good. A machine that has slept may have only one of its clocks know of
    /// it.
    pub(super) fn has_expired(&self, now: Now) -> bool {
        self.expires.is_some_and(|(timer, at)| timer <= now.monotonic || at <= now.wall)
    }

    /// Whether its close is decided, be it that something has still to be sent before.
    pub(super) fn is_closing(&self) -> bool {
        self.closed || self.close.is_some()
    }

    /// Whether logs may be read for its session now.
    pub(super) fn reads_logs(&self, now: Instant) -> bool {
        self.pauses == 0 && self.paused_until.is_none_or(|until| until <= now)
    }

    pub(super) fn session(&self) -> Option<SessionKey> {
        match self.phase {
            Phase::Open(session) => Some(session),
            _ => None,
        }
    }
}
