//! How often there may be another job. Whoever says so is asked last of all: what is refused for any other reason, and what was a job
//! before, is nothing that counts.

use std::fmt;

use arcp_proto::ErrorPayload;

use crate::principal::Principal;
use crate::time::Now;

/// Says whether a principal may have another job now.
///
/// It is asked under the lock of the machine and must not wait. Jobs that agents delegate are not asked for here: their parents
/// were.
pub trait Admission: fmt::Debug + Send + Sync {
    /// Counts a job that is to be. All of its submit was found good, and unless it is refused now it begins, but for credentials that
    /// cannot be had.
    ///
    /// # Errors
    /// What whoever submits it is told. Nothing has happened then: an idempotency key is as free as before.
    fn admit(&self, now: Now, principal: &Principal) -> Result<(), ErrorPayload>;
}
