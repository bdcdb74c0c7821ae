//! Losing the connection and getting the session back (§6.3): when to dial, what to ask for, and what is asked again.

use std::time::Duration;

use arcp_proto::session::{Resume, Welcome};
use arcp_proto::{Feature, Features, ResumeToken, SessionId};

use super::{Event, Loss, Phase, Session, Transmit};
use crate::time::{Instant, Now};

/// The longest that a runtime may have a client wait before it tries again.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(5 * 60);

/// What it takes to resume a session: what a process saves to survive itself.
///
/// The token is a secret: keep it as carefully as the bearer token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResumeState {
    /// The session.
    pub session_id: SessionId,
    /// Its most recent token.
    pub resume_token: ResumeToken,
    /// The last number seen; 0 for none.
    pub last_event_seq: u64,
}

/// The session as far as it outlives connections.
#[derive(Default)]
pub(super) struct Standing {
    pub(super) session_id: Option<SessionId>,
    token: Option<ResumeToken>,
    /// How long after a disconnect the runtime keeps the session.
    window: Duration,
    pub(super) features: Features,
    /// Whether every message of a job's log comes to this session, so that they can be counted.
    pub(super) counts_everything: bool,
    pub(super) heartbeat: Option<Duration>,
    /// The last number in sequence.
    pub(super) last_event_seq: u64,
    /// Since when there is a connection, and how often it was tried for.
    opened: Option<Away>,
    /// Whether nothing but what was missed has come since the session was resumed: that answers no request.
    pub(super) replaying: bool,
    /// Whether a gap was answered by a resume already, and nothing has come in sequence since.
    gap_answered: bool,
}

/// Since when there is no connection, and how often one was tried.
#[derive(Clone, Copy)]
pub(super) struct Away {
    pub(super) since: Instant,
    pub(super) attempt: u32,
}

impl Session {
    /// What it takes to resume this session from another process; `None` if it cannot be resumed.
    pub fn resume_state(&self) -> Option<ResumeState> {
        Some(ResumeState {
            session_id: self.standing.session_id.clone()?,
            resume_token: self.standing.token.clone()?,
            last_event_seq: self.standing.last_event_seq,
        })
    }

    /// Begins with a session that another process has left.
    pub(super) fn restore(&mut self, state: ResumeState) {
        self.standing.session_id = Some(state.session_id);
        self.standing.token = Some(state.resume_token);
        self.standing.last_event_seq = state.last_event_seq;
    }

    /// The resume block of the next hello.
    pub(super) fn resume_block(&self) -> Option<Resume> {
        self.resume_state().map(|state| Resume {
            session_id: state.session_id,
            resume_token: state.resume_token,
            last_event_seq: state.last_event_seq,
        })
    }

    /// Takes what a welcome says of the session.
    pub(super) fn stand(
        &mut self,
        now: Now,
        welcome: &Welcome,
        session_id: Option<SessionId>,
        features: Features,
        away: Option<Away>,
    ) {
        let attempt = away.map_or(0, |away| away.attempt);
        self.standing.opened = Some(Away { since: now.monotonic, attempt });
        let beats = features.contains(&Feature::Heartbeat);
        self.standing.session_id = session_id;
        self.standing.token.clone_from(&welcome.resume_token);
        self.standing.window = Duration::from_secs(welcome.resume_window_sec.unwrap_or(0));
        let interval = welcome.heartbeat_interval_sec.filter(|seconds| beats && *seconds > 0);
        self.standing.heartbeat = interval.map(Duration::from_secs);
        self.standing.counts_everything = [Feature::Progress, Feature::ResultChunk, Feature::CostBudget]
            .iter()
            .all(|feature| features.contains(feature));
        self.standing.features = features;
    }

    /// The connection is of no more use. Another is tried, unless that is not wanted: then the session is over.
    pub(super) fn lose(&mut self, now: Now, loss: Loss) {
        let Some(backoff) = self.config.reconnect else { return self.end(loss) };
        let away = match self.phase {
            Phase::Opening { away: Some(away), .. } => {
                Away { attempt: away.attempt.saturating_add(1), ..away }
            }
            Phase::Open => Away { since: now.monotonic, attempt: self.next_attempt(now, backoff) },
            _ => return self.end(loss),
        };
        if matches!(self.phase, Phase::Open) {
            self.events.push_back(Event::Disconnected);
            if self.standing.token.is_none() {
                self.lapse(None);
            }
        }
        self.wait_to_dial(now, away);
    }

    /// A connection that lived no longer than it was waited for has not ended the waiting.
    fn next_attempt(&self, now: Now, backoff: Backoff) -> u32 {
        match self.standing.opened {
            Some(Away { since, attempt }) if since + backoff.full_pause(attempt) > now.monotonic => {
                attempt.saturating_add(1)
            }
            _ => 0,
        }
    }

    /// A connection that [`Event::Connect`] asked for could not be made. It is tried again, later each time, for as long as
    /// [`Backoff::patience`] says.
    pub fn handle_connect_failed(&mut self, now: Now) {
        if let Phase::Away { away, .. } = self.phase {
            self.wait_to_dial(now, Away { attempt: away.attempt.saturating_add(1), ..away });
        }
    }

    pub(super) fn wait_to_dial(&mut self, now: Now, away: Away) {
        let Some(backoff) = self.config.reconnect else { return };
        let dial_at = now.monotonic + backoff.pause(away.attempt, self.ids.random());
        self.phase = Phase::Away { away, dial_at: Some(dial_at) };
    }

    /// The runtime has said how long to wait before the next try: the pause begins after that.
    pub(super) fn wait_for(&mut self, now: Now, least: Option<Duration>) {
        let least = least.unwrap_or_default().min(MOST_RETRY_AFTER);
        if let Phase::Away { dial_at: Some(dial_at), .. } = &mut self.phase
            && !least.is_zero()
        {
            let pause = dial_at.saturating_since(now.monotonic);
            *dial_at = now.monotonic + least + pause;
        }
    }

    /// When nothing more is tried.
    fn given_up_at(&self, away: Away) -> Instant {
        away.since + self.config.reconnect.map_or(Duration::ZERO, |backoff| backoff.patience)
    }

    /// When the runtime has forgotten the session.
    fn forgotten_at(&self, away: Away) -> Instant {
        match self.standing.token {
            Some(_) => away.since + self.standing.window,
            None => Instant::NEVER,
        }
    }

    /// When something is to be done about a connection that is not there.
    pub(super) fn next_try(&self, away: Away, dial_at: Option<Instant>) -> Instant {
        dial_at.unwrap_or(Instant::NEVER).min(self.given_up_at(away)).min(self.forgotten_at(away))
    }

    pub(super) fn dial_if_due(&mut self, now: Now) {
        let Phase::Away { away, dial_at } = self.phase else { return };
        if self.given_up_at(away) <= now.monotonic {
            return self.end(Loss::Unreachable);
        }
        if self.forgotten_at(away) <= now.monotonic {
            self.lapse(None);
        }
        if dial_at.is_some_and(|at| at <= now.monotonic) {
            self.phase = Phase::Away { away, dial_at: None };
            self.events.push_back(Event::Connect);
        }
    }

    /// Takes the number of a message. Returns whether the message is to be told: not if it was told before, nor if
    /// something before it is missing and is now asked for again.
    pub(super) fn in_sequence(&mut self, now: Now, event_seq: Option<u64>, own: bool) -> bool {
        let Some(seq) = event_seq else { return true };
        let standing = &mut self.standing;
        match seq.checked_sub(standing.last_event_seq) {
            Some(1) => {
                standing.last_event_seq = seq;
                standing.gap_answered = false;
                self.ack_later(now);
                true
            }
            // Some runtimes count each subscription by itself.
            Some(0) | None => !own,
            Some(_)
                if standing.gap_answered || standing.token.is_none() || self.config.reconnect.is_none() =>
            {
                tracing::warn!(seq, last = standing.last_event_seq, "messages of the runtime are missing");
                standing.last_event_seq = seq;
                true
            }
            Some(_) => {
                tracing::warn!(
                    seq,
                    last = standing.last_event_seq,
                    "messages are missing: the session is resumed"
                );
                standing.gap_answered = true;
                self.out.push_back(Transmit::Close);
                self.lose(now, Loss::ConnectionLost);
                false
            }
        }
    }
}

/// How long to wait before a connection is tried again: twice as long each time, by a random part less so that a crowd of
/// clients does not come back at once.
///
/// A runtime that refuses to open the session now may say in `details.retry_after_ms` how long it wants to be left alone: then the pause begins
/// after that, but after 5 min at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first try, at most.
    pub first: Duration,
    /// Before any try, at most.
    pub most: Duration,
    /// How long it is tried before the session is given up. The runtime may have forgotten it earlier: then another is
    /// opened.
    pub patience: Duration,
}

impl Default for Backoff {
    /// From 100 ms to 10 s, for 15 minutes.
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            most: Duration::from_secs(10),
            patience: Duration::from_secs(15 * 60),
        }
    }
}

impl Backoff {
    fn full_pause(self, attempt: u32) -> Duration {
        let doubled = 2_u32.checked_pow(attempt).and_then(|factor| self.first.checked_mul(factor));
        doubled.unwrap_or(self.most).min(self.most)
    }

    /// How long to wait after so many tries, given 128 random bits: between half of the pause and all of it.
    pub fn pause(self, attempt: u32, random: u128) -> Duration {
        let half = self.full_pause(attempt) / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos((random as u64) % span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_most_and_are_never_less_than_half() {
        let backoff = Backoff::default();
        for (attempt, full) in
            [(0, 100), (1, 200), (3, 800), (6, 6_400), (7, 10_000), (40, 10_000), (u32::MAX, 10_000)]
        {
            for random in [0, 1, u128::MAX, 0x1234_5678_9abc_def0] {
                let pause = backoff.pause(attempt, random).as_millis();
                assert!(pause >= full / 2 && pause <= full, "{attempt}: {pause} of {full}");
            }
        }
    }
}
