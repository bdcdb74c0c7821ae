//! Published clients that fail on messages which are exactly as the draft has them, and how they are served all the same.
//!
//! Each deviation is a [`Quirk`]. Which of them a session has is decided once, from its `session.hello`, and kept with it: also
//! over a resume and a restart, so that what is replayed is what was sent. It is applied where messages of that session are
//! encoded, and nowhere else; a client that is not in the table is sent nothing but the draft.
//!
//! | peer | told by | quirks |
//! | --- | --- | --- |
//! | Python SDK ≤ 1.1.3 (`agentruntimecontrolprotocol`) | `capabilities.agents` in its `session.hello` | all four |

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use arcp_proto::job::{FinalStatus, JobError, JobResult};
use arcp_proto::session::ClientCapabilities;
use arcp_proto::{Budget, Envelope, Json, MessageType, Payload};

/// How long nothing of a job is sent after the `job.subscribed` of a session with [`Quirk::PauseBeforeReplay`].
pub const PAUSE: Duration = Duration::from_millis(20);

/// The longest chunk of a streamed result for a session with [`Quirk::SmallChunks`], decoded, in bytes.
pub const SMALL_CHUNK: usize = 48 << 10;

/// The longest message with such a chunk, in bytes.
pub const SMALL_MESSAGE: usize = 64 << 10;

/// One deviation from the draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Quirk {
    /// `budget` holds texts such as `"USD:5.00"` where the draft has numbers (§7.1, §7.6): the peer reads nothing else.
    BudgetAsText,
    /// A job that was cancelled or has timed out ends in a `job.result` with that `final_status` and `completed_at`, where the
    /// draft has a `job.error` (§7.3): the peer's parser knows no other `final_status` in that than `error`.
    StopAsResult,
    /// 20 ms ([`PAUSE`]) pass between a `job.subscribed` and what follows of the job (§7.6): the peer drops what it is sent before it
    /// has acted on the answer.
    PauseBeforeReplay,
    /// The results that jobs of the session stream come in chunks whose messages stay below 64 KiB ([`SMALL_MESSAGE`]), 48 KiB decoded
    /// ([`SMALL_CHUNK`]), instead of those that the runtime's limits allow (§8.4): over pipes, the peer's reader ends at a longer line.
    SmallChunks,
}

impl Quirk {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::BudgetAsText, Self::StopAsResult, Self::PauseBeforeReplay, Self::SmallChunks];

    /// Its name, as operators and stores write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::BudgetAsText => "budget-as-text",
            Self::StopAsResult => "stop-as-result",
            Self::PauseBeforeReplay => "pause-before-replay",
            Self::SmallChunks => "small-chunks",
        }
    }
}

/// A name that is no quirk's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no quirk is called {name:?}: there are {}", Quirk::ALL.map(Quirk::name).join(", "))]
pub struct UnknownQuirk {
    name: String,
}

/// The quirks of one session. Written as their names with commas between them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Quirks(u8);

impl Quirks {
    /// The draft, and nothing else.
    pub const NONE: Self = Self(0);

    /// Whether a quirk is among them.
    pub fn contains(self, quirk: Quirk) -> bool {
        self.0 & (1 << quirk as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Quirk> {
        Quirk::ALL.into_iter().filter(move |quirk| self.contains(*quirk))
    }

    /// Makes of a message without a number what this session is sent.
    pub(crate) fn dress(self, envelope: &mut Envelope) {
        let has_budget =
            matches!(envelope.message_type, MessageType::JobAccepted | MessageType::JobSubscribed);
        if has_budget
            && self.contains(Quirk::BudgetAsText)
            && let Some(payload) = with_budget_as_text(&envelope.payload)
        {
            envelope.payload = payload;
        }
    }

    /// What this session is sent in the place of a job's terminal message, if it is anything else.
    pub(crate) fn instead(self, message_type: &MessageType, payload: &Json) -> Option<(MessageType, Json)> {
        if *message_type != MessageType::JobError || !self.contains(Quirk::StopAsResult) {
            return None;
        }
        let JobError { final_status, completed_at, .. } = payload.decode().ok()?;
        let stopped = matches!(final_status, FinalStatus::Cancelled | FinalStatus::TimedOut);
        let result = JobResult {
            final_status,
            result: None,
            result_id: None,
            result_size: None,
            summary: None,
            completed_at,
        };
        stopped.then(|| (MessageType::JobResult, result.to_json()))
    }

    /// Whether nothing of a job is to follow a message at once.
    pub(crate) fn pause_after(self, envelope: &Envelope) -> bool {
        envelope.message_type == MessageType::JobSubscribed && self.contains(Quirk::PauseBeforeReplay)
    }
}

/// The same payload with its budget written as the lease writes it; `None` if it has no budget.
fn with_budget_as_text(payload: &Json) -> Option<Json> {
    let mut members: std::collections::BTreeMap<String, Json> = payload.decode().ok()?;
    let budget: Budget = members.get("budget")?.decode().ok()?;
    let texts: std::collections::BTreeMap<&str, String> =
        budget.iter().map(|(currency, amount)| (currency.as_str(), format!("{currency}:{amount}"))).collect();
    members.insert("budget".to_owned(), Json::encode(&texts).ok()?);
    Json::encode(&members).ok()
}

impl FromIterator<Quirk> for Quirks {
    fn from_iter<I: IntoIterator<Item = Quirk>>(quirks: I) -> Self {
        Self(quirks.into_iter().fold(0, |set, quirk| set | 1 << quirk as u8))
    }
}

impl fmt::Display for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, quirk) in self.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{}", quirk.name())?;
        }
        Ok(())
    }
}

impl fmt::Debug for Quirks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromStr for Quirks {
    type Err = UnknownQuirk;

    fn from_str(names: &str) -> Result<Self, UnknownQuirk> {
        let quirk = |name: &str| {
            let found = Quirk::ALL.into_iter().find(|quirk| quirk.name() == name);
            found.ok_or_else(|| UnknownQuirk { name: name.to_owned() })
        };
        if names.is_empty() { Ok(Self::NONE) } else { names.split(',').map(quirk).collect() }
    }
}

/// A published client that needs quirks.
#[derive(Debug)]
#[non_exhaustive]
pub struct KnownPeer {
    /// What it is, for people.
    pub name: &'static str,
    /// What no other client says in its `session.hello`.
    pub told_by: Tell,
    /// What it needs.
    pub quirks: &'static [Quirk],
}

/// What a client is told by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tell {
    /// Its hello has `capabilities.agents`, which the draft has in the welcome only.
    AgentsInHello,
}

/// Every client that is known to need quirks.
pub const PEERS: &[KnownPeer] =
    &[KnownPeer { name: "Python SDK up to 1.1.3", told_by: Tell::AgentsInHello, quirks: &Quirk::ALL }];

/// The known peer that says this of itself.
pub(crate) fn peer_of(capabilities: &ClientCapabilities) -> Option<&'static KnownPeer> {
    PEERS.iter().find(|peer| match peer.told_by {
        Tell::AgentsInHello => capabilities.agents.is_some(),
    })
}

/// Which sessions have which quirks. Read from `auto`, `off`, or the names of quirks with commas between them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum QuirkPolicy {
    /// Those of [`PEERS`] have theirs.
    #[default]
    Auto,
    /// None has any.
    Off,
    /// Every one has these.
    Forced(Quirks),
}

impl QuirkPolicy {
    pub(crate) fn quirks_of(self, peer: Option<&KnownPeer>) -> Quirks {
        match self {
            Self::Auto => peer.map(|peer| peer.quirks.iter().copied().collect()).unwrap_or_default(),
            Self::Off => Quirks::NONE,
            Self::Forced(quirks) => quirks,
        }
    }
}

impl FromStr for QuirkPolicy {
    type Err = UnknownQuirk;

    fn from_str(text: &str) -> Result<Self, UnknownQuirk> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            "" => Err(UnknownQuirk { name: String::new() }),
            names => names.parse().map(Self::Forced),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quirks_are_written_as_their_names_and_read_again() {
        let all: Quirks = Quirk::ALL.into_iter().collect();
        assert_eq!(all.to_string(), "budget-as-text,stop-as-result,pause-before-replay,small-chunks");
        for quirks in [Quirks::NONE, all, [Quirk::StopAsResult].into_iter().collect()] {
            assert_eq!(quirks.to_string().parse(), Ok(quirks));
        }
        let unknown = "budget-as-text,nonsense".parse::<Quirks>().unwrap_err().to_string();
        assert!(unknown.contains("\"nonsense\"") && unknown.contains("stop-as-result"), "{unknown}");
    }

    #[test]
    fn a_policy_is_a_word_or_a_list() {
        assert_eq!("auto".parse(), Ok(QuirkPolicy::Auto));
        assert_eq!("off".parse(), Ok(QuirkPolicy::Off));
        let forced = QuirkPolicy::Forced([Quirk::BudgetAsText].into_iter().collect());
        assert_eq!("budget-as-text".parse(), Ok(forced));
        assert!("".parse::<QuirkPolicy>().is_err() && "on".parse::<QuirkPolicy>().is_err());
    }

    #[test]
    fn no_digit_of_a_budget_is_lost_and_nothing_else_changes() {
        let payload =
            r#"{"budget":{"USD":5.00,"credits":0.0000004},"job_id":"j","lease":{"x-vendor.n":["1.10"]}}"#;
        let changed = with_budget_as_text(&Json::parse(payload).unwrap()).unwrap();
        let expected = r#"{"budget":{"USD":"USD:5.00","credits":"credits:0.0000004"},"job_id":"j","lease":{"x-vendor.n":["1.10"]}}"#;
        assert_eq!(changed.as_str(), expected);
        assert!(with_budget_as_text(&Json::parse(r#"{"job_id":"j"}"#).unwrap()).is_none());
    }
}
