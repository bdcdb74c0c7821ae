//! Heartbeats (§6.4): a sign of life in each direction in every interval, and what its absence means.

use arcp_proto::session::{self as wire, Ping};
use arcp_proto::{ErrorCode, ErrorPayload, Feature};

use super::connection::Phase;
use super::timers::Timer;
use super::{Close, ConnectionKey, Runtime, SessionKey};
use crate::principal::Principal;
use crate::time::Now;

/// A peer that has said nothing for so many intervals is gone.
const SILENT_INTERVALS: u32 = 2;

impl Runtime {
    /// The connected session of a principal that has been idle for longest (§14), with its connection.
    pub(super) fn longest_idle(
        &self,
        now: Now,
        principal: &Principal,
    ) -> Option<(SessionKey, ConnectionKey)> {
        let idle = |key: &SessionKey| {
            let session = self.sessions.by_key(*key)?;
            let connection = session.connection?;
            let carried = self.connections.carried(connection)?;
            // What it follows may be silent for long. What it does not take it might as well not follow.
            let waits = (session.running > 0 || !session.following.is_empty()) && !session.has_unsent();
            let idle = carried + self.config.limits.idle_after <= now.monotonic && !waits;
            idle.then_some((carried, *key, connection))
        };
        let longest = self.sessions.of(principal).iter().filter_map(idle).min();
        longest.map(|(_, session, connection)| (session, connection))
    }

    /// Begins to watch a connection whose session has negotiated heartbeats.
    pub(super) fn start_heartbeat(&mut self, now: Now, connection_key: ConnectionKey) {
        let Some(connection) = self.connections.by_key_mut(connection_key) else { return };
        let Phase::Open(session) = connection.phase else { return };
        (connection.heard, connection.said) = (now.monotonic, now.monotonic);
        connection.carried = now.monotonic;
        if self.sessions.by_key(session).is_some_and(|session| session.features.contains(&Feature::Heartbeat))
        {
            let beat = now.monotonic + self.config.limits.heartbeat_interval;
            connection.beat = Some(beat);
            self.timers.set(beat, Timer::Heartbeat(connection_key));
        }
    }

    /// Looks whether it is time to say something, or whether the peer has gone silent. Any message counts as life, in
    /// either direction.
    pub(super) fn heartbeat(&mut self, now: Now, connection_key: ConnectionKey) {
        let interval = self.config.limits.heartbeat_interval;
        let Some(connection) = self.connections.by_key_mut(connection_key) else { return };
        let Phase::Open(session) = connection.phase else { return };
        if connection.provisioning || connection.unread {
            connection.heard = now.monotonic; // what it says is not read
        }
        let lost = connection.heard + interval * SILENT_INTERVALS;
        if lost <= now.monotonic {
            connection.beat = None;
            let session_id = self.session_id(session);
            let error = ErrorPayload::new(ErrorCode::HeartbeatLost, "nothing was heard for two intervals");
            let error = wire::Error { error, request_id: None, job_id: None };
            self.answer_error(now, connection_key, session_id, error);
            return self.close_session(now, connection_key, session, Close::HeartbeatLost);
        }
        let silent = connection.said + interval <= now.monotonic;
        if silent {
            // Counted as said even if the peer does not take it: one ping at a time is enough to wait with.
            connection.said = now.monotonic;
        }
        let beat = lost.min(connection.said + interval);
        connection.beat = Some(beat);
        self.timers.set(beat, Timer::Heartbeat(connection_key));
        if silent {
            let nonce = format!("p_{}", self.ids.ulid(now));
            let session_id = self.session_id(session);
            self.show_life(now, connection_key, session_id, &Ping { nonce, sent_at: Some(now.wall) });
        }
    }
}
