//! What jobs are asked to do, and what their logs must therefore hold.

use arcp::proto::Lease;
use serde_json::{Value, json};

use crate::random::Random;

/// A fixture agent and its input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Count {
        n: u64,
        delay_ms: u64,
        size: u64,
    },
    Stream {
        chunks: u64,
        chunk_bytes: u64,
    },
    Progress {
        total: u64,
    },
    Kinds,
    /// Ends by itself at once.
    Nap,
    /// Ends when it is cancelled, or with the runtime.
    Sleep,
    /// Goes on for a while after it was cancelled.
    Stubborn,
    Delegate {
        n: u64,
    },
    Rotate,
}

/// Kinds of the events of `kinds`, in their order.
const KINDS: [&str; 9] = [
    "log",
    "thought",
    "tool_call",
    "tool_result",
    "status",
    "metric",
    "artifact_ref",
    "progress",
    "x-vendor.fixture.note",
];

impl Plan {
    /// One that ends by itself.
    pub(crate) fn short(random: &mut Random) -> Self {
        match random.within(0, 99) {
            0..=34 => Self::Count {
                n: random.within(1, 40),
                delay_ms: random.within(0, 2),
                size: if random.percent(10) { 20_000 } else { random.within(0, 200) },
            },
            35..=46 => Self::Stream { chunks: random.within(1, 8), chunk_bytes: random.within(1, 3_000) },
            47..=60 => Self::Progress { total: random.within(1, 30) },
            61..=69 => Self::Kinds,
            70..=74 => Self::Nap,
            75..=91 => Self::Delegate { n: random.within(1, 20) },
            _ => Self::Rotate,
        }
    }

    pub(crate) fn agent(&self) -> &'static str {
        match self {
            Self::Count { .. } => "count",
            Self::Stream { .. } => "stream",
            Self::Progress { .. } => "progress",
            Self::Kinds => "kinds",
            Self::Nap | Self::Sleep => "sleep",
            Self::Stubborn => "stubborn",
            Self::Delegate { .. } => "delegate",
            Self::Rotate => "rotate",
        }
    }

    pub(crate) fn input(&self) -> Value {
        match self {
            Self::Count { n, delay_ms, size } => json!({ "n": n, "delay_ms": delay_ms, "size": size }),
            Self::Stream { chunks, chunk_bytes } => json!({ "chunks": chunks, "chunk_bytes": chunk_bytes }),
            Self::Progress { total } => json!({ "total": total }),
            Self::Nap => json!({ "ms": 1 }),
            Self::Sleep => json!({ "ms": 3_600_000 }),
            Self::Stubborn => json!({ "ms": 300 }),
            Self::Delegate { n } => json!({ "agent": "count", "input": { "n": n } }),
            Self::Kinds | Self::Rotate => json!({}),
        }
    }

    /// What it needs to be allowed.
    pub(crate) fn lease(&self) -> Lease {
        match self {
            Self::Delegate { .. } => Lease::empty().grant("agent.delegate", "count"),
            _ => Lease::empty(),
        }
    }

    /// What a job does that this one delegates to.
    pub(crate) fn child(&self) -> Option<Self> {
        match self {
            Self::Delegate { n } => Some(Self::Count { n: *n, delay_ms: 0, size: 0 }),
            _ => None,
        }
    }

    /// Whether these events, in this order, are what one run of the job says, and all of it if it has succeeded.
    pub(crate) fn check(&self, events: &[Value], succeeded: bool) -> Result<(), String> {
        // What the runtime says in the name of jobs is none of their own; nor is what they say of being stopped.
        let own = |event: &&Value| {
            event["body"]["phase"] != "draining"
                && !event["body"]["message"].as_str().is_some_and(|text| text.starts_with("stopped after"))
        };
        let events: Vec<&Value> = events.iter().filter(own).collect();
        for (index, event) in events.iter().enumerate() {
            let (kind, body) = (event["kind"].as_str().unwrap_or_default(), &event["body"]);
            let good = match self {
                Self::Count { .. } => {
                    let text = body["message"].as_str().unwrap_or_default().trim_end_matches('.');
                    text == format!("event {index}")
                }
                Self::Stream { .. } => kind == "result_chunk" && body["chunk_seq"] == index,
                Self::Progress { .. } => kind == "progress" && body["current"] == index + 1,
                Self::Kinds => KINDS.get(index) == Some(&kind),
                Self::Nap | Self::Sleep => index == 0 && body["phase"] == "sleeping",
                Self::Stubborn => index == 0 && body["phase"] == "stubborn",
                Self::Delegate { .. } => {
                    index == 0 && kind == "delegate" || index == 1 && kind == "tool_result"
                }
                Self::Rotate => index == 0 && body["phase"] == "credential_rotated",
            };
            if !good {
                return Err(format!("event {index} is none that one run of {self:?} says there: {event}"));
            }
        }
        let all = match self {
            Self::Count { n, .. } => *n,
            Self::Stream { chunks, .. } => *chunks,
            Self::Progress { total } => *total,
            Self::Kinds => KINDS.len() as u64,
            Self::Nap | Self::Sleep | Self::Stubborn | Self::Rotate => 1,
            Self::Delegate { .. } => events.len() as u64,
        };
        if *self == Self::Sleep && succeeded {
            return Err("a job that sleeps for an hour has succeeded".to_owned());
        }
        if succeeded && events.len() as u64 != all {
            return Err(format!("{self:?} has succeeded with {} events", events.len()));
        }
        Ok(())
    }
}
