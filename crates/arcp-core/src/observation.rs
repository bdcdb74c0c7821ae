//! Who may see whose jobs (§6.6, §7.6, §14).

use crate::principal::Principal;

/// What a principal may know of another's jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// Nothing: for it they do not exist.
    Hidden,
    /// That they exist: they are listed, but may not be subscribed to.
    Listed,
    /// Everything that is no secret: they are listed and may be subscribed to.
    Allowed,
}

/// Decides who may see whose jobs. It is asked at every listing and every subscription, under a lock: answer from memory.
pub trait ObservationPolicy: Send + Sync {
    /// What `observer` may know of the jobs of `owner`, which is another principal. Its own jobs are always seen.
    fn observation(&self, observer: &Principal, owner: &Principal) -> Observation;
}

/// Everybody sees their own jobs and nobody else's.
#[derive(Clone, Copy, Debug, Default)]
pub struct SamePrincipal;

impl ObservationPolicy for SamePrincipal {
    fn observation(&self, _: &Principal, _: &Principal) -> Observation {
        Observation::Hidden
    }
}
