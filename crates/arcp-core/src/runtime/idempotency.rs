//! Idempotency keys (§7.2): one key of one principal is one job, for as long as it is remembered.

use std::collections::{HashMap, VecDeque};

use super::JobKey;
use crate::fingerprint::Fingerprint;
use crate::principal::Principal;
use crate::time::Instant;

/// Keys, compared per principal as a pair.
#[derive(Default)]
pub(super) struct Keys {
    claims: HashMap<(Principal, Box<str>), Claim>,
    /// Oldest first, with the end of its time; every claim is in here once.
    order: VecDeque<(Instant, Principal, Box<str>)>,
}

pub(super) struct Claim {
    pub(super) fingerprint: Fingerprint,
    pub(super) job: JobKey,
}

impl Keys {
    pub(super) fn find(&self, principal: &Principal, key: &str) -> Option<&Claim> {
        // A borrowed pair is no key of the map; two small copies are cheaper than a second level of maps.
        self.claims.get(&(principal.clone(), key.into()))
    }

    /// Holds a key for a job that is about to be.
    pub(super) fn hold(&mut self, principal: &Principal, key: &str, fingerprint: Fingerprint, job: JobKey) {
        self.claims.insert((principal.clone(), key.into()), Claim { fingerprint, job });
    }

    /// Lets go of a key that was held, and not claimed.
    pub(super) fn release(&mut self, principal: &Principal, key: &str) {
        self.claims.remove(&(principal.clone(), key.into()));
    }

    pub(super) fn claim(&mut self, until: Instant, principal: Principal, key: Box<str>, claim: Claim) {
        self.order.push_back((until, principal.clone(), key.clone()));
        self.claims.insert((principal, key), claim);
    }

    /// Until when the oldest key is remembered.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.order.front().map(|(until, ..)| *until)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn forget_oldest(&mut self) -> Option<(Principal, Box<str>, JobKey)> {
        let (_, principal, key) = self.order.pop_front()?;
        let (pair, claim) = self.claims.remove_entry(&(principal, key))?;
        Some((pair.0, pair.1, claim.job))
    }
}
