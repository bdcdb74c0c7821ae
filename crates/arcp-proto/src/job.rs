//! Messages of jobs (§7, §8.1).

mod end;
mod submit;
mod subscribe;

pub use end::{Cancel, Cancelled, FinalStatus, JobError, JobResult};
pub use submit::{Accepted, Submit};
pub use subscribe::{Subscribe, Subscribed, Unsubscribe};

pub use crate::event::Event;
use crate::text_enum::text_enum;

text_enum! {
    /// Where a job stands (§7.3).
    pub enum JobStatus {
        /// Accepted, not started.
        Pending = "pending",
        /// Running.
        Running = "running",
        /// Ended with a result.
        Success = "success",
        /// Ended in an error.
        Error = "error",
        /// Ended by its client.
        Cancelled = "cancelled",
        /// Ended by `max_runtime_sec`.
        TimedOut = "timed_out",
    }
}

impl JobStatus {
    /// Whether the job has ended.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Success | Self::Error | Self::Cancelled | Self::TimedOut)
    }
}

impl From<FinalStatus> for JobStatus {
    fn from(status: FinalStatus) -> Self {
        Self::from(status.as_str())
    }
}

/// What is empty is left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
