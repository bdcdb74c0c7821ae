//! What honest submitters have done, and what they must therefore be told.

use arcp::client::JobError;
use arcp::proto::{Json, Lease};
use serde_json::{Value, json};

use crate::random::Random;

/// A fixture agent and its input.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    Echo,
    Count {
        n: u64,
    },
    Progress {
        total: u64,
    },
    Stream {
        chunks: u64,
        chunk_bytes: u64,
    },
    Operate {
        operations: u64,
    },
    Delegate {
        n: u64,
    },
    /// Ends by itself after a while.
    Sleep {
        ms: u64,
    },
    /// Would go on for long, and is cancelled once it has begun.
    Cancel,
}

impl Work {
    pub(crate) fn draw(random: &mut Random) -> Self {
        match random.within(0, 99) {
            0..=24 => Self::Echo,
            25..=44 => Self::Count { n: random.within(1, 30) },
            45..=54 => Self::Progress { total: random.within(1, 20) },
            55..=64 => Self::Stream { chunks: random.within(1, 6), chunk_bytes: random.within(1, 8_000) },
            65..=74 => Self::Operate { operations: random.within(1, 4) },
            75..=84 => Self::Delegate { n: random.within(1, 10) },
            85..=91 => Self::Sleep { ms: random.within(1, 1_500) },
            _ => Self::Cancel,
        }
    }

    pub(crate) fn agent(&self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Count { .. } => "count",
            Self::Progress { .. } => "progress",
            Self::Stream { .. } => "stream",
            Self::Operate { .. } => "operate",
            Self::Delegate { .. } => "delegate",
            Self::Sleep { .. } | Self::Cancel => "sleep",
        }
    }

    pub(crate) fn input(&self) -> Value {
        match self {
            Self::Echo => json!({ "text": "of no great length" }),
            Self::Count { n } => json!({ "n": n, "size": 200 }),
            Self::Progress { total } => json!({ "total": total }),
            Self::Stream { chunks, chunk_bytes } => json!({ "chunks": chunks, "chunk_bytes": chunk_bytes }),
            Self::Operate { operations } => {
                let one = |index| json!({ "capability": "tool.call", "target": format!("tool.{index}") });
                json!({ "operations": (0..*operations).map(one).collect::<Vec<_>>() })
            }
            Self::Delegate { n } => json!({ "agent": "count", "input": { "n": n }, "wait": true }),
            Self::Sleep { ms } => json!({ "ms": ms }),
            Self::Cancel => json!({ "ms": 3_600_000 }),
        }
    }

    pub(crate) fn lease(&self) -> Lease {
        match self {
            Self::Operate { .. } => Lease::empty().grant("tool.call", "tool.*"),
            Self::Delegate { .. } => Lease::empty().grant("agent.delegate", "count"),
            _ => Lease::empty(),
        }
    }

    /// Whether its end comes as fast as the runtime can bring it about.
    pub(crate) fn is_timed(&self) -> bool {
        !matches!(self, Self::Sleep { .. } | Self::Cancel)
    }

    /// Whether so many events and this end are what it must have been told.
    pub(crate) fn check(&self, events: u64, end: &Result<Json, JobError>) -> Result<(), String> {
        let (result, expected) = match (self, end) {
            (Self::Cancel, Err(JobError::Cancelled(_))) => return Ok(()),
            (Self::Cancel, _) => return Err(format!("was cancelled and ended otherwise: {end:?}")),
            (_, Err(error)) => return Err(format!("{self:?}: {error}")),
            (Self::Stream { chunks, chunk_bytes }, Ok(result)) => {
                let read: String = serde_json::from_str(result.as_str()).unwrap_or_default();
                (json!(read.len()), json!(chunks * chunk_bytes))
            }
            (_, Ok(result)) => (serde_json::from_str(result.as_str()).unwrap_or_default(), self.result()),
        };
        let matches = match self {
            Self::Delegate { .. } => result["final_status"] == "success" && result["result"] == expected,
            _ => result == expected,
        };
        if !matches {
            return Err(format!("{self:?} has ended in {result}"));
        }
        match self.events() {
            Some(expected) if expected != events => {
                Err(format!("{self:?} has ended after {events} events, not {expected}"))
            }
            _ => Ok(()),
        }
    }

    fn result(&self) -> Value {
        match self {
            Self::Echo => json!({ "echoed": self.input() }),
            Self::Count { n } | Self::Delegate { n } => json!({ "count": n }),
            Self::Progress { total } => json!({ "total": total }),
            Self::Operate { operations } => json!({ "outcomes": vec!["ok"; *operations as usize] }),
            Self::Sleep { ms } => json!({ "slept_ms": ms }),
            Self::Stream { .. } | Self::Cancel => Value::Null,
        }
    }

    fn events(&self) -> Option<u64> {
        match self {
            Self::Echo | Self::Sleep { .. } => Some(1),
            Self::Count { n } => Some(*n),
            Self::Progress { total } => Some(*total),
            Self::Stream { chunks, .. } => Some(*chunks),
            Self::Operate { operations } => Some(2 * operations),
            Self::Delegate { .. } | Self::Cancel => None,
        }
    }
}
