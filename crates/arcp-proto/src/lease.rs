//! Leases and their constraints as they stand on the wire (§9). What they permit is decided elsewhere.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::amount::{Budget, BudgetAmount};
use crate::decode::{DecodeError, Text, expected, optional_object, unique_map};
use crate::timestamp::Timestamp;

/// The reserved top-level namespaces of §9.2.
pub mod namespace {
    /// Filesystem read; patterns are path globs.
    pub const FS_READ: &str = "fs.read";
    /// Filesystem write; patterns are path globs.
    pub const FS_WRITE: &str = "fs.write";
    /// Outbound HTTP and HTTPS; patterns are URL globs.
    pub const NET_FETCH: &str = "net.fetch";
    /// Calling registered tools; patterns are tool name globs.
    pub const TOOL_CALL: &str = "tool.call";
    /// Delegating to sub-agents; patterns are agent name globs.
    pub const AGENT_DELEGATE: &str = "agent.delegate";
    /// Cost ceilings; patterns are amounts (§9.6).
    pub const COST_BUDGET: &str = "cost.budget";
    /// Model selection; patterns are model name globs (§9.7).
    pub const MODEL_USE: &str = "model.use";

    /// All of them, in the order of the draft.
    pub const RESERVED: [&str; 7] =
        [FS_READ, FS_WRITE, NET_FETCH, TOOL_CALL, AGENT_DELEGATE, COST_BUDGET, MODEL_USE];

    /// The prefix of the namespaces that vendors define.
    pub const VENDOR_PREFIX: &str = "x-vendor.";
}

/// Capability grants: patterns by namespace (§9.1). Immutable once a job has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Lease(BTreeMap<String, Vec<String>>);

impl Lease {
    /// A lease that grants nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The lease with one more pattern under `namespace`.
    #[must_use]
    pub fn grant(mut self, namespace: impl Into<String>, pattern: impl Into<String>) -> Self {
        self.0.entry(namespace.into()).or_default().push(pattern.into());
        self
    }

    /// The lease with these patterns under `namespace` and no others, which names it even if there are none.
    #[must_use]
    pub fn with(
        mut self,
        namespace: impl Into<String>,
        patterns: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.0.insert(namespace.into(), patterns.into_iter().map(Into::into).collect());
        self
    }

    /// The patterns under `namespace`; none if it is not named.
    pub fn patterns(&self, namespace: &str) -> &[String] {
        self.0.get(namespace).map_or(&[], Vec::as_slice)
    }

    /// Whether `namespace` is named, be it without a pattern.
    pub fn names(&self, namespace: &str) -> bool {
        self.0.contains_key(namespace)
    }

    /// Every namespace with its patterns, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(namespace, patterns)| (namespace.as_str(), patterns.as_slice()))
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The counters that `cost.budget` asks for (§9.6); `None` if it is not named. Amounts of one currency add up.
    ///
    /// # Errors
    /// Names the pattern that is no amount, by its place.
    pub fn budget(&self) -> Result<Option<Budget>, DecodeError> {
        if !self.names(namespace::COST_BUDGET) {
            return Ok(None);
        }
        let amounts = self.patterns(namespace::COST_BUDGET).iter().enumerate().map(|(index, pattern)| {
            pattern.parse::<BudgetAmount>().map_err(|_| {
                DecodeError::new(format!("[\"cost.budget\"][{index}]"), "expected an amount such as USD:5.00")
            })
        });
        amounts.collect::<Result<Budget, _>>().map(Some)
    }
}

impl<'de> Deserialize<'de> for Lease {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let grants: BTreeMap<String, Option<Vec<String>>> =
            unique_map(deserializer, "an object of patterns by namespace")?;
        Ok(Self(
            grants.into_iter().filter_map(|(namespace, patterns)| Some((namespace, patterns?))).collect(),
        ))
    }
}

/// Bounds on a lease as a whole (§9.5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseConstraints {
    /// When the lease ends. On the wire it must be UTC with the suffix `Z`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "utc")]
    pub expires_at: Option<Timestamp>,
}

impl LeaseConstraints {
    /// Whether nothing is constrained.
    pub fn is_empty(&self) -> bool {
        self.expires_at.is_none()
    }
}

fn utc<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    match Option::<Text<'de>>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) => Timestamp::parse_utc(text.as_str())
            .map(Some)
            .map_err(|_| expected("an RFC 3339 time in UTC with the suffix Z")),
    }
}

/// The constraints in an answer of a runtime. They were checked when the job was submitted; what comes back is read
/// with any offset, since some runtimes write `+00:00`.
pub(crate) fn any_offset<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<LeaseConstraints, D::Error> {
    #[derive(Deserialize)]
    struct Wire {
        expires_at: Option<Timestamp>,
    }
    let wire: Option<Wire> = optional_object(deserializer)?;
    Ok(LeaseConstraints { expires_at: wire.and_then(|wire| wire.expires_at) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_reads_as_the_draft_draws_it() {
        let text = r#"{"cost.budget":["USD:5.00"],"fs.read":["/workspace/**"],"x-vendor.a.b":[]}"#;
        let lease: Lease = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&lease).unwrap(), text);
        assert_eq!(lease.patterns("fs.read"), ["/workspace/**"]);
        assert!(lease.names("x-vendor.a.b") && !lease.names("fs.write"));
        assert!(lease.budget().unwrap().unwrap().remaining("USD").is_some());
    }

    #[test]
    fn a_bad_amount_is_named_by_its_place() {
        let lease = Lease::empty().grant("cost.budget", "USD:1").grant("cost.budget", "lots");
        assert_eq!(lease.budget().unwrap_err().path(), "[\"cost.budget\"][1]");
        assert_eq!(Lease::empty().budget(), Ok(None));
    }

    #[test]
    fn an_expiry_must_be_utc() {
        let parse = |text: &str| serde_json::from_str::<LeaseConstraints>(text);
        assert!(parse(r#"{"expires_at":"2026-05-13T23:42:00Z"}"#).unwrap().expires_at.is_some());
        assert!(parse(r#"{"expires_at":null}"#).unwrap().is_empty());
        assert!(parse(r#"{"expires_at":"2026-05-13T23:42:00+00:00"}"#).is_err());
        assert!(parse(r#"{"expires_at":1747179720}"#).is_err());
    }
}
