//! Feature flags (§6.2): what both sides named is what may be used.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::text_enum::text_enum;

text_enum! {
    /// A feature that a session can negotiate (§6.2).
    pub enum Feature {
        /// `session.ping` and `session.pong` (§6.4).
        Heartbeat = "heartbeat",
        /// `session.ack` (§6.5).
        Ack = "ack",
        /// `session.list_jobs` (§6.6).
        ListJobs = "list_jobs",
        /// `job.subscribe` (§7.6).
        Subscribe = "subscribe",
        /// `lease_constraints.expires_at` (§9.5).
        LeaseExpiresAt = "lease_expires_at",
        /// The capability `cost.budget` (§9.6).
        CostBudget = "cost.budget",
        /// The capability `model.use` (§9.7).
        ModelUse = "model.use",
        /// `credentials` (§9.8).
        ProvisionedCredentials = "provisioned_credentials",
        /// The event kind `progress` (§8.2.1).
        Progress = "progress",
        /// The event kind `result_chunk` (§8.4).
        ResultChunk = "result_chunk",
        /// `name@version` (§7.5).
        AgentVersions = "agent_versions",
    }
}

/// A set of features, in the order in which they were named; unknown ones are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Features(Vec<Feature>);

impl Features {
    /// No feature.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Every feature that the draft defines.
    pub fn all() -> Self {
        Feature::KNOWN.iter().cloned().collect()
    }

    /// Whether `feature` is in the set.
    pub fn contains(&self, feature: &Feature) -> bool {
        // Words are compared only where the protocol does not know them.
        let kind = std::mem::discriminant(feature);
        self.0.iter().any(|one| std::mem::discriminant(one) == kind && one == feature)
    }

    /// What both sets hold, in this one's order: what may be used (§6.2).
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.iter().filter(|feature| other.contains(feature)).cloned().collect()
    }

    /// The set without `feature`.
    #[must_use]
    pub fn without(&self, feature: &Feature) -> Self {
        self.iter().filter(|one| *one != feature).cloned().collect()
    }

    /// Every feature, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Feature> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Feature> for Features {
    fn from_iter<I: IntoIterator<Item = Feature>>(features: I) -> Self {
        // A hello is read before anybody is authenticated: no quadratic search for duplicates.
        let mut seen = HashSet::new();
        Self(features.into_iter().filter(|feature| seen.insert(feature.clone())).collect())
    }
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<Feature>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_intersection_is_what_may_be_used() {
        let ours: Features = serde_json::from_str(r#"["progress","ack","x-vendor.new","ack"]"#).unwrap();
        let theirs: Features =
            [Feature::Ack, Feature::Subscribe, Feature::from("x-vendor.new")].into_iter().collect();
        let both = ours.intersection(&theirs);
        assert_eq!(serde_json::to_string(&both).unwrap(), r#"["ack","x-vendor.new"]"#);
        assert_eq!(Features::all().iter().count(), 11);
    }
}
