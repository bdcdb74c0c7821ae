//! `job.subscribe`, `job.subscribed` and `job.unsubscribe` (§7.6).

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{JobStatus, is_default};
use crate::amount::Budget;
use crate::credential::Credential;
use crate::decode::{integer_or_zero, null_default, objects, optional_integer};
use crate::id::{JobId, MessageId, empty_is_absent};
use crate::lease::{Lease, LeaseConstraints, any_offset};
use crate::trace::{self, TraceId};

/// `job.subscribe` (§7.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribe {
    /// The job to attach to.
    pub job_id: JobId,
    /// With `history`: replay events after this number, in the submitter's count.
    #[serde(default, with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub from_event_seq: Option<u64>,
    /// Whether to replay what is kept.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "is_default")]
    pub history: bool,
}

/// `job.subscribed` (§7.6): what an observer may know of the job's authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// The job.
    pub job_id: JobId,
    /// Where it stands.
    pub current_status: JobStatus,
    /// `name@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The effective lease.
    #[serde(default, deserialize_with = "null_default")]
    pub lease: Lease,
    /// The effective bounds on it.
    #[serde(default, deserialize_with = "any_offset", skip_serializing_if = "is_default")]
    pub lease_constraints: LeaseConstraints,
    /// The counters as they stand now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// For the submitter only (§14).
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<Credential>,
    /// The job that delegated to this one; written as `null` if there is none.
    #[serde(default, deserialize_with = "empty_is_absent")]
    pub parent_job_id: Option<JobId>,
    /// The trace of the job.
    #[serde(default, deserialize_with = "trace::lenient", skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<TraceId>,
    /// The job's last number when the subscription began, in the submitter's count.
    #[serde(default, with = "integer_or_zero")]
    pub subscribed_from: u64,
    /// Whether a replay follows.
    #[serde(default, deserialize_with = "count_or_flag")]
    pub replayed: bool,
    /// The `id` of the request.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
}

/// One published runtime writes how many events were replayed.
fn count_or_flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    struct CountOrFlag;

    impl<'de> Visitor<'de> for CountOrFlag {
        type Value = bool;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a boolean, or a count of events")
        }

        fn visit_bool<E: de::Error>(self, flag: bool) -> Result<bool, E> {
            Ok(flag)
        }

        fn visit_u64<E: de::Error>(self, count: u64) -> Result<bool, E> {
            Ok(count > 0)
        }

        fn visit_unit<E: de::Error>(self) -> Result<bool, E> {
            Ok(false)
        }
    }

    deserializer.deserialize_any(CountOrFlag)
}

/// `job.unsubscribe` (§7.6); it has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsubscribe {
    /// The job to detach from.
    pub job_id: JobId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replayed_may_be_a_count() {
        for (text, replayed) in [("true", true), ("false", false), ("3", true), ("0", false), ("null", false)]
        {
            let text = format!(r#"{{"job_id":"j","current_status":"running","replayed":{text}}}"#);
            assert_eq!(serde_json::from_str::<Subscribed>(&text).unwrap().replayed, replayed, "{text}");
        }
    }

    #[test]
    fn an_absent_parent_is_written_as_null() {
        let text = r#"{"job_id":"j","current_status":"running","lease":{},"parent_job_id":null,"subscribed_from":3,"replayed":false}"#;
        assert_eq!(serde_json::to_string(&serde_json::from_str::<Subscribed>(text).unwrap()).unwrap(), text);
    }
}
