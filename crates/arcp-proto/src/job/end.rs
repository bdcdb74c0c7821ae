//! How a job ends (§7.3, §7.4): `job.result`, `job.error`, `job.cancel` and `job.cancelled`.

use serde::{Deserialize, Serialize};

use crate::decode::optional_integer;
use crate::error_code::{ErrorCode, ErrorPayload, ErrorWire};
use crate::id::{JobId, MessageId, ResultId, empty_is_absent};
use crate::json::Json;
use crate::text_enum::text_enum;
use crate::timestamp::Timestamp;

text_enum! {
    /// How a job has ended (§7.3).
    pub enum FinalStatus {
        /// With a result.
        Success = "success",
        /// In an error, an expired lease or an exhausted budget.
        Error = "error",
        /// By its client.
        Cancelled = "cancelled",
        /// By `max_runtime_sec`.
        TimedOut = "timed_out",
    }
}

/// `job.result` (§7.3, §8.4): inline, or the name of a streamed result.
///
/// Some published runtimes end cancelled and timed-out jobs in this message too, told by `final_status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "JobResultWire")]
pub struct JobResult {
    /// `success`, but for the runtimes named above.
    pub final_status: FinalStatus,
    /// The inline result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<Json>,
    /// The streamed result that this refers to; then there is no inline one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_id: Option<ResultId>,
    /// The decoded size of the streamed result in bytes.
    #[serde(with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub result_size: Option<u64>,
    /// One sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// When the job ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// What is read: one published runtime writes the inline result as `output`, and may write both.
#[derive(Deserialize)]
struct JobResultWire {
    final_status: Option<FinalStatus>,
    result: Option<Json>,
    output: Option<Json>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    result_id: Option<ResultId>,
    #[serde(default, with = "optional_integer")]
    result_size: Option<u64>,
    summary: Option<String>,
    completed_at: Option<Timestamp>,
}

impl From<JobResultWire> for JobResult {
    fn from(wire: JobResultWire) -> Self {
        Self {
            final_status: wire.final_status.unwrap_or(FinalStatus::Success),
            result: wire.result.or(wire.output),
            result_id: wire.result_id,
            result_size: wire.result_size,
            summary: wire.summary,
            completed_at: wire.completed_at,
        }
    }
}

/// `job.error` (§7.3): the job ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "JobErrorWire")]
pub struct JobError {
    /// `error`, `cancelled` or `timed_out`.
    pub final_status: FinalStatus,
    /// Why.
    #[serde(flatten)]
    pub error: ErrorPayload,
    /// When the job ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

/// What is read; spelt out, since raw JSON cannot be read through a flattened field.
#[derive(Deserialize)]
struct JobErrorWire {
    final_status: Option<FinalStatus>,
    code: ErrorCode,
    message: Option<String>,
    retryable: Option<bool>,
    details: Option<Json>,
    completed_at: Option<Timestamp>,
}

impl From<JobErrorWire> for JobError {
    fn from(wire: JobErrorWire) -> Self {
        let JobErrorWire { final_status, code, message, retryable, details, completed_at } = wire;
        Self {
            final_status: final_status.unwrap_or(FinalStatus::Error),
            error: ErrorWire { code, message, retryable, details }.into(),
            completed_at,
        }
    }
}

/// `job.cancel` (§7.4). The job is named on the envelope, or here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The job, where the envelope does not name it.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
}

/// `job.cancelled` (§7.4): the cancellation was taken; the terminal message follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// The reason that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The `id` of the cancel.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inline_result_may_be_null_and_still_is_one() {
        let result: JobResult =
            serde_json::from_str(r#"{"final_status":"success","output":7,"result":null}"#).unwrap();
        assert_eq!(result.result.unwrap().as_str(), "7");
        let result: JobResult =
            serde_json::from_str(r#"{"final_status":"timed_out","result_id":""}"#).unwrap();
        assert_eq!(serde_json::to_string(&result).unwrap(), r#"{"final_status":"timed_out"}"#);
    }

    #[test]
    fn an_error_is_flat_on_the_wire() {
        let error = JobError {
            final_status: FinalStatus::Cancelled,
            error: ErrorPayload::new(ErrorCode::Cancelled, "user asked"),
            completed_at: None,
        };
        let text =
            r#"{"final_status":"cancelled","code":"CANCELLED","message":"user asked","retryable":false}"#;
        assert_eq!(serde_json::to_string(&error).unwrap(), text);
        assert_eq!(serde_json::from_str::<JobError>(text).unwrap(), error);
        assert_eq!(
            serde_json::from_str::<JobError>(r#"{"code":"X","message":"m"}"#).unwrap().final_status,
            FinalStatus::Error
        );
    }
}
