//! What a runtime has counted since it began, and what it holds now: for metrics. Names and units are for who exports them.

use std::collections::BTreeMap;

use arcp_proto::event::EventKind;
use arcp_proto::job::FinalStatus;
use arcp_proto::{Amount, Currency, ErrorCode};

use super::Runtime;

/// Kinds of events, by their places in [`Tally::events`]; the last stands for those of vendors.
const KINDS: [&str; 11] = [
    "log",
    "thought",
    "tool_call",
    "tool_result",
    "status",
    "metric",
    "artifact_ref",
    "delegate",
    "progress",
    "result_chunk",
    OTHER,
];

/// What stands for words that anybody could make up.
const OTHER: &str = "other";

/// Currencies that are told apart; what is spent in any further one is not counted.
const CURRENCIES: usize = 32;

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Refused {
    /// A session, to somebody who wanted a new one.
    Session,
    /// A session, to somebody who wanted to have it back.
    Resume,
    /// A request of a session that is open.
    Request,
    /// What an agent wanted to do, by its job's lease.
    Operation,
}

/// How many credentials of jobs may be good at the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialTally {
    /// Those of jobs that have not ended.
    pub held: u64,
    /// Those that are being revoked.
    pub revoking: u64,
    /// Those that could not be.
    pub unrevocable: u64,
}

/// What a runtime has counted since it began, and what it holds now. No name in it is one of a job, a session or a principal,
/// and there are never more of them than a few dozen.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Tally {
    /// Sessions that were opened.
    pub sessions_opened: u64,
    /// Sessions that were resumed, each time.
    pub sessions_resumed: u64,
    /// What was refused, by the code that says why; codes that are not the protocol's count as `other`.
    pub refusals: BTreeMap<(Refused, &'static str), u64>,
    /// Jobs that were accepted, the delegated ones included.
    pub jobs_accepted: u64,
    /// Jobs that have ended, by final status.
    pub jobs_ended: BTreeMap<&'static str, u64>,
    /// Spent by jobs, of budgets.
    pub spent: BTreeMap<Currency, Amount>,
    events: [u64; KINDS.len()],
    /// Sessions that can be resumed or are connected.
    pub sessions: u64,
    /// Those of them that are connected.
    pub sessions_connected: u64,
    /// Jobs that have not ended.
    pub jobs_running: u64,
    /// Messages of connected sessions that their clients have not acknowledged, of those that acknowledge: all of them.
    pub ack_lag: u64,
    /// The same of the session where there are most.
    pub ack_lag_max: u64,
    /// Payload that waits to be sent to connected sessions, in bytes.
    pub queue_bytes: u64,
    /// Payload that is kept for resumes, in bytes, what waits to be sent included.
    pub kept_bytes: u64,
    /// Credentials of jobs. The machine does not know of them: they are for its driver to fill in.
    pub credentials: CredentialTally,
}

impl Tally {
    /// Events that jobs have emitted, by kind; those of vendors count as `other`.
    pub fn events(&self) -> impl Iterator<Item = (&'static str, u64)> {
        KINDS.into_iter().zip(self.events)
    }

    pub(super) fn event(&mut self, kind: &EventKind) {
        let place = match kind {
            EventKind::Log => 0,
            EventKind::Thought => 1,
            EventKind::ToolCall => 2,
            EventKind::ToolResult => 3,
            EventKind::Status => 4,
            EventKind::Metric => 5,
            EventKind::ArtifactRef => 6,
            EventKind::Delegate => 7,
            EventKind::Progress => 8,
            EventKind::ResultChunk => 9,
            _ => 10,
        };
        self.events[place] += 1;
    }

    pub(super) fn ended(&mut self, status: &FinalStatus) {
        let status = match status {
            FinalStatus::Success => "success",
            FinalStatus::Error => "error",
            FinalStatus::Cancelled => "cancelled",
            FinalStatus::TimedOut => "timed_out",
            _ => OTHER,
        };
        *self.jobs_ended.entry(status).or_default() += 1;
    }

    pub(super) fn spend(&mut self, currency: &Currency, amount: Amount) {
        if let Some(spent) = self.spent.get_mut(currency) {
            *spent = spent.plus(amount);
        } else if self.spent.len() < CURRENCIES {
            self.spent.insert(currency.clone(), amount);
        }
    }

    pub(super) fn refuse(&mut self, what: Refused, code: &ErrorCode) {
        let known = ErrorCode::KNOWN.iter().find(|known| *known == code);
        let code = known.map_or(OTHER, name);
        *self.refusals.entry((what, code)).or_default() += 1;
    }
}

/// The name of a code that is the protocol's.
fn name(code: &'static ErrorCode) -> &'static str {
    code.as_str()
}

impl Runtime {
    /// What has been counted since this runtime began, and what it holds now. Takes a look at every session.
    pub fn tally(&self) -> Tally {
        let mut tally = self.tally.clone();
        tally.sessions = self.sessions.len() as u64;
        tally.jobs_running = self.sessions.all_running() as u64;
        tally.kept_bytes = self.sessions.kept_bytes() as u64;
        for session in self.sessions.iter().filter(|session| session.connection.is_some()) {
            tally.sessions_connected += 1;
            tally.queue_bytes += session.unsent_bytes() as u64;
            if let Some(lag) = session.unacknowledged() {
                tally.ack_lag += lag;
                tally.ack_lag_max = tally.ack_lag_max.max(lag);
            }
        }
        tally
    }

    /// Counts that a job was not allowed to do something.
    pub fn operation_refused(&mut self, code: &ErrorCode) {
        self.tally.refuse(Refused::Operation, code);
    }
}
