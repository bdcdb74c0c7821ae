//! `job.submit` and `job.accepted` (§7.1, §7.2).

use serde::{Deserialize, Serialize};

use super::is_default;
use crate::agent_ref::AgentRef;
use crate::amount::Budget;
use crate::credential::Credential;
use crate::decode::{null_default, object_or_default, objects, optional_integer};
use crate::id::{DelegateId, JobId, MessageId, empty_is_absent};
use crate::json::Json;
use crate::lease::{Lease, LeaseConstraints, any_offset};
use crate::timestamp::Timestamp;
use crate::trace::{self, TraceId};

/// `job.submit` (§7.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Submit {
    /// Which agent.
    pub agent: AgentRef,
    /// What the agent is given; `null` if absent.
    #[serde(default)]
    pub input: Json,
    /// What the job asks to be allowed to do; nothing if absent.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Lease::is_empty")]
    pub lease_request: Lease,
    /// Bounds on the lease as a whole.
    #[serde(default, deserialize_with = "object_or_default", skip_serializing_if = "is_default")]
    pub lease_constraints: LeaseConstraints,
    /// Two submits of one principal with the same key are one job (§7.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<String>,
    /// The job is ended after this many seconds.
    #[serde(default, with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub max_runtime_sec: Option<u64>,
}

impl Submit {
    /// A submit with no lease, no key and no limit.
    pub fn new(agent: AgentRef, input: Json) -> Self {
        Self {
            agent,
            input,
            lease_request: Lease::empty(),
            lease_constraints: LeaseConstraints::default(),
            idempotency_key: None,
            max_runtime_sec: None,
        }
    }
}

/// `job.accepted` (§7.1); with `parent_job_id` it announces a delegated job (§10).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The job.
    pub job_id: JobId,
    /// `name@version`, as resolved (§7.5).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The effective lease.
    #[serde(default, deserialize_with = "null_default")]
    pub lease: Lease,
    /// The effective bounds on it.
    #[serde(default, deserialize_with = "any_offset", skip_serializing_if = "is_default")]
    pub lease_constraints: LeaseConstraints,
    /// The counters of `cost.budget`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// Credentials for the job (§9.8); for the submitter only.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// When the job was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
    /// The trace of the job; minted if the submit had none (§11).
    #[serde(default, deserialize_with = "trace::lenient", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The job that delegated to this one.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub parent_job_id: Option<JobId>,
    /// The `delegate` event that this answers.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub delegate_id: Option<DelegateId>,
    /// The `id` of the submit.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submit_of_nothing_but_an_agent() {
        let submit: Submit =
            serde_json::from_str(r#"{"agent":"echo","lease_request":null,"max_runtime_sec":null}"#).unwrap();
        assert_eq!(serde_json::to_string(&submit).unwrap(), r#"{"agent":"echo","input":null}"#);
    }

    #[test]
    fn an_input_keeps_its_digits() {
        let submit: Submit = serde_json::from_str(r#"{"agent":"echo","input":{"x":1.10}}"#).unwrap();
        assert_eq!(serde_json::to_string(&submit).unwrap(), r#"{"agent":"echo","input":{"x":1.10}}"#);
    }

    #[test]
    fn a_terse_accepted_is_understood() {
        let accepted: Accepted = serde_json::from_str(
            r#"{"job_id":"j","lease":null,"budget":{"USD":"USD:5.00"},"credentials":null}"#,
        )
        .unwrap();
        assert_eq!(
            serde_json::to_string(&accepted).unwrap(),
            r#"{"job_id":"j","lease":{},"budget":{"USD":5.00}}"#
        );
    }
}
