//! Why an operation was not authorized, in the terms of the wire.

use arcp_proto::{Amount, Currency, ErrorCode, ErrorPayload, Json, Timestamp};
use serde_json::json;

/// A lease does not allow what was asked of it (§9.3). Its code is the one that goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// The lease has expired (§9.5).
    #[error("lease expired at {expires_at}")]
    Expired {
        /// When it did.
        expires_at: Timestamp,
    },
    /// A counter of the budget has nothing left (§9.6), or not what was to be reserved.
    #[error("budget is exhausted: {remaining} {currency} left")]
    Exhausted {
        /// What is counted.
        currency: Currency,
        /// What remains, which may be less than nothing.
        remaining: Amount,
    },
    /// No grant covers the operation.
    #[error("{capability} of {target} is not granted{}", closest_text(.closest))]
    NotGranted {
        /// The capability.
        capability: String,
        /// The target in its canonical form, without the query of a URL.
        target: String,
        /// The grant of this capability that comes closest, if there is any.
        closest: Option<String>,
    },
    /// What the operation is about cannot be compared with any grant.
    #[error("{capability}: {problem}")]
    BadTarget {
        /// The capability.
        capability: String,
        /// What is wrong with the target.
        problem: String,
    },
    /// A delegated lease is not within the lease of the job that delegates (§9.4).
    #[error("delegated lease is not within this job's: {0}")]
    Subset(String),
    /// A lease that is asked for is not within the ceiling of who asks; see [`Ceiling`](super::Ceiling).
    #[error("not within what the token of this session allows: {0}")]
    Ceiling(String),
    /// A lease is none, or an amount.
    #[error("not valid: {0}")]
    Invalid(String),
    /// The job has ended, and with it what it was allowed.
    #[error("job has ended")]
    Ended,
}

impl Denied {
    /// The code on the wire (§12).
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Expired { .. } => ErrorCode::LeaseExpired,
            Self::Exhausted { .. } => ErrorCode::BudgetExhausted,
            Self::NotGranted { .. } | Self::BadTarget { .. } | Self::Ceiling(_) => {
                ErrorCode::PermissionDenied
            }
            Self::Subset(_) => ErrorCode::LeaseSubsetViolation,
            Self::Invalid(_) => ErrorCode::InvalidRequest,
            Self::Ended => ErrorCode::Cancelled,
        }
    }

    /// As `tool_result` and `job.error` carry it.
    pub fn payload(&self) -> ErrorPayload {
        let details = match self {
            Self::NotGranted { capability, target, closest } => {
                let mut details = json!({ "capability": capability, "target": target });
                if let Some(closest) = closest {
                    details["closest_grant"] = json!(closest);
                }
                Some(details)
            }
            Self::BadTarget { capability, .. } => Some(json!({ "capability": capability })),
            Self::Exhausted { currency, remaining } => {
                Some(json!({ "currency": currency, "remaining": remaining }))
            }
            Self::Expired { expires_at } => Some(json!({ "expires_at": expires_at })),
            Self::Subset(_) | Self::Ceiling(_) | Self::Invalid(_) | Self::Ended => None,
        };
        ErrorPayload { details: details.map(Json::from), ..ErrorPayload::new(self.code(), self.to_string()) }
    }
}

fn closest_text(closest: &Option<String>) -> String {
    closest.as_ref().map_or_else(String::new, |grant| format!("; the closest grant is {grant}"))
}
