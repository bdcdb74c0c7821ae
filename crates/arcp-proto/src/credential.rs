//! Provisioned credentials (§9.8.1).

use serde::{Deserialize, Serialize};

use crate::decode::optional_object;
use crate::id::CredentialId;
use crate::secret::CredentialValue;
use crate::timestamp::Timestamp;

/// A short-lived, constrained credential for an upstream service, issued for one job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Names the credential within its job.
    pub id: CredentialId,
    /// How it is presented; `bearer` is the only scheme the draft defines, clients ignore unknown ones.
    pub scheme: String,
    /// The secret.
    pub value: CredentialValue,
    /// The base URL at which it is valid, and the only place where it may be presented.
    pub endpoint: String,
    /// A hint at the API spoken at `endpoint`, such as `openai`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The restrictions that the upstream itself enforces.
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub constraints: Option<CredentialConstraints>,
}

/// A read-only echo of the lease restrictions baked into a credential (§9.8.3).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialConstraints {
    /// `cost.budget`, as the lease writes it.
    #[serde(rename = "cost.budget", default, skip_serializing_if = "Option::is_none")]
    pub cost_budget: Option<Vec<String>>,
    /// `model.use`, as the lease writes it.
    #[serde(rename = "model.use", default, skip_serializing_if = "Option::is_none")]
    pub model_use: Option<Vec<String>>,
    /// When the upstream lets the credential die.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_everything_but_the_value() {
        let text =
            r#"{"id":"cred_1","scheme":"bearer","value":"sk-virt-9","endpoint":"https://g.example/v1"}"#;
        let credential: Credential = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&credential).unwrap(), text);
        let debug = format!("{credential:?}");
        assert!(debug.contains("cred_1") && !debug.contains("sk-virt-9"), "{debug}");
    }
}
