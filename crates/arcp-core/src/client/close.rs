//! Closing a session (§6.7): `session.close`, and the older `session.bye` for a runtime that does not answer it.

use arcp_proto::session::{Bye, Close};

use super::{Loss, Phase, Session, Transmit};
use crate::time::Now;

impl Session {
    /// Closes the session. Its jobs run on.
    ///
    /// [`Event::Ended`](super::Event::Ended) follows when the runtime has answered or its time is up.
    pub fn close(&mut self, now: Now, reason: Option<String>) {
        match &self.phase {
            Phase::Open => {
                self.say(now, &Close { reason: reason.clone() }, |_| {});
                let deadline = now.monotonic + self.config.close_timeout;
                self.phase = Phase::Closing { deadline, reason };
            }
            Phase::Idle | Phase::Opening { .. } => {
                self.out.push_back(Transmit::Close);
                self.end(Loss::Closed);
            }
            Phase::Away { .. } => self.end(Loss::Closed),
            Phase::Closing { .. } | Phase::Ended => {}
        }
    }

    pub(super) fn handle_closed(&mut self) {
        self.out.push_back(Transmit::Close);
        self.end(Loss::Closed);
    }

    /// The runtime did not answer `session.close`, or does not know it.
    pub(super) fn say_bye(&mut self, now: Now) {
        let reason = match &self.phase {
            Phase::Closing { reason, .. } => reason.clone(),
            _ => None,
        };
        // One published runtime demands a reason here.
        let reason = reason.or_else(|| Some("client closes the session".to_owned()));
        self.say(now, &Bye { reason }, |_| {});
        self.handle_closed();
    }
}
