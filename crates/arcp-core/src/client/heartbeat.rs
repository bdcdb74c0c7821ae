//! The client's half of heartbeats (§6.4) and of acknowledgements (§6.5).

use std::time::Duration;

use arcp_proto::Feature;
use arcp_proto::session::{Ack, Ping};

use super::{Event, Loss, Phase, Session, Transmit};
use crate::time::{Instant, Now};

/// How long what was processed waits to be acknowledged.
const ACK_INTERVAL: Duration = Duration::from_millis(200);
/// How much of it waits at most.
const ACK_EVENTS: u64 = 1_024;

/// What was last heard and said, and what is to be said next.
#[derive(Default)]
pub(super) struct Pulse {
    pub(super) heard: Instant,
    pub(super) said: Instant,
    /// Whether nothing is read: then that nothing is heard says nothing.
    unread: bool,
    acknowledged: u64,
    /// The last number at which it was asked how far the application has come, for there being so many.
    asked_at: u64,
    ack_at: Option<Instant>,
}

impl Pulse {
    /// Another session begins, which counts from 1.
    pub(super) fn begin_again(&mut self) {
        (self.acknowledged, self.asked_at, self.ack_at) = (0, 0, None);
    }
}

impl Session {
    /// When something has to be said, or has to have been heard.
    pub(super) fn next_beat(&self) -> Option<Instant> {
        let interval = self.standing.heartbeat.filter(|_| matches!(self.phase, Phase::Open))?;
        Some((self.pulse.said + interval).min(self.silent_at(interval)))
    }

    /// When the runtime has been silent for too long.
    fn silent_at(&self, interval: Duration) -> Instant {
        if self.pulse.unread { Instant::NEVER } else { self.pulse.heard + interval * 2 }
    }

    /// Whether frames are read, or are left unread because the application does not take what has come. While they are, the
    /// runtime's silence says nothing of the connection.
    pub fn handle_reading(&mut self, now: Now, reads: bool) {
        if self.pulse.unread && reads {
            self.pulse.heard = now.monotonic;
        }
        self.pulse.unread = !reads;
    }

    pub(super) fn beat_if_due(&mut self, now: Now) {
        if self.next_beat().is_none_or(|at| at > now.monotonic) {
            return;
        }
        let Some(interval) = self.standing.heartbeat else { return };
        if self.silent_at(interval) <= now.monotonic {
            tracing::debug!("nothing was heard of the runtime for two intervals");
            self.out.push_back(Transmit::Close);
            return self.lose(now, Loss::ConnectionLost);
        }
        let nonce = format!("p_{}", self.ids.ulid(now));
        self.say(now, &Ping { nonce, sent_at: Some(now.wall) }, |_| {});
    }

    /// Something numbered has come: it is to be acknowledged in a while, or now if it is one of many.
    pub(super) fn ack_later(&mut self, now: Now) {
        if !self.standing.features.contains(&Feature::Ack) {
            return;
        }
        if self.pulse.ack_at.is_none() {
            self.pulse.ack_at = Some(now.monotonic + ACK_INTERVAL);
        }
        let last = self.standing.last_event_seq;
        if last >= self.pulse.asked_at.max(self.pulse.acknowledged) + ACK_EVENTS {
            self.pulse.asked_at = last;
            self.events.push_back(Event::AcknowledgeDue);
        }
    }

    pub(super) fn next_ack(&self) -> Option<Instant> {
        self.pulse.ack_at.filter(|_| matches!(self.phase, Phase::Open))
    }

    pub(super) fn ack_if_due(&mut self, now: Now) {
        if self.next_ack().is_some_and(|at| at <= now.monotonic) {
            self.pulse.ack_at = None;
            self.events.push_back(Event::AcknowledgeDue);
        }
    }

    /// Answers [`Event::AcknowledgeDue`]: the application has taken everything up to and including this number. Numbers
    /// that are not new are not sent.
    pub fn acknowledge(&mut self, now: Now, last_processed_seq: u64) {
        let processed = last_processed_seq.min(self.standing.last_event_seq);
        if processed > self.pulse.acknowledged && matches!(self.phase, Phase::Open) {
            self.pulse.acknowledged = processed;
            self.say(now, &Ack { last_processed_seq: processed }, |_| {});
        }
        if self.pulse.acknowledged < self.standing.last_event_seq {
            self.ack_later(now);
        }
    }
}
