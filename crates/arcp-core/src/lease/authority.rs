//! The one place where it is decided what a job may do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arcp_proto::{Amount, Budget, Currency, Lease, LeaseConstraints, Timestamp, namespace};

use super::denied::Denied;
use super::grants::Grants;
use super::pattern::Pattern;
use super::purse::{Purse, Short};
use super::target::Target;
use crate::time::{Instant, Now};

/// What a job may do: its grants (§9.2), its counters (§9.6) and its end (§9.5).
///
/// Every operation of an agent is authorized here before it is begun, in this order: expiry, budget, grant.
///
/// ```
/// use std::time::Duration;
///
/// use arcp_core::lease::{Authority, ModelPolicy};
/// use arcp_core::{Instant, Now};
/// use arcp_proto::{Lease, LeaseConstraints, Timestamp};
///
/// let now = Now { monotonic: Instant::after_origin(Duration::ZERO), wall: Timestamp::UNIX_EPOCH };
/// let lease = Lease::empty().grant("fs.read", "/workspace/**").grant("cost.budget", "USD:0.10");
/// let authority = Authority::new(&lease, &LeaseConstraints::default(), ModelPolicy::Optional, now).unwrap();
///
/// assert!(authority.authorize("fs.read", "/workspace/src//main.rs", now).is_ok());
/// let denied = authority.authorize("fs.read", "/workspace/../etc/passwd", now).unwrap_err();
/// assert_eq!(denied.code().as_str(), "PERMISSION_DENIED");
///
/// authority.charge(&"USD".parse().unwrap(), "0.10".parse().unwrap());
/// let denied = authority.authorize("fs.read", "/workspace/src/main.rs", now).unwrap_err();
/// assert_eq!(denied.code().as_str(), "BUDGET_EXHAUSTED");
/// ```
#[derive(Debug)]
pub struct Authority {
    grants: Grants,
    expiry: Option<Expiry>,
    /// Once it was seen to have expired it stays that, whatever the clocks say.
    expired: AtomicBool,
    /// Whether its job has ended.
    ended: AtomicBool,
    models: ModelPolicy,
    purse: Arc<Purse>,
}

/// How many amounts `cost.budget` may have: each is looked at whenever something is done.
pub const MAX_CURRENCIES: usize = 64;

/// What a lease that does not name `model.use` means (§9.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModelPolicy {
    /// Any model may be used.
    #[default]
    Optional,
    /// No model may be used.
    Required,
}

/// When a lease ends, by both clocks: the earlier one counts, so that no step of the wall clock makes a lease longer.
#[derive(Clone, Copy, Debug)]
struct Expiry {
    at: Timestamp,
    deadline: Instant,
}

/// An operation that was found to be allowed, and by what.
#[derive(Debug)]
pub struct Granted {
    target: Target,
    grants: Vec<String>,
}

impl Granted {
    /// What the operation is about, in the form in which it was compared with the grants, which is the one to act on.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Every pattern of the lease that covers the target, in the order of the lease. None where a model was allowed because
    /// the lease does not speak of models (§9.7).
    pub fn grants(&self) -> &[String] {
        &self.grants
    }
}

/// A lease that a child job is given, and what is said of it.
#[derive(Debug)]
pub struct Delegated {
    /// What decides for the child.
    pub authority: Authority,
    /// The effective lease.
    pub lease: Lease,
    /// The effective constraints.
    pub constraints: LeaseConstraints,
}

impl Authority {
    /// What a lease allows from now on.
    ///
    /// # Errors
    /// [`Denied::Invalid`], naming the place: a pattern or an amount that cannot be read, a budget without any, a namespace that
    /// is not known, or an end that is not in the future.
    pub fn new(
        lease: &Lease,
        constraints: &LeaseConstraints,
        models: ModelPolicy,
        now: Now,
    ) -> Result<Self, Denied> {
        let (grants, budget) = parse(lease)?;
        Ok(Self {
            grants,
            expiry: expiry(constraints, now)?,
            expired: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            models,
            purse: Purse::new(&budget),
        })
    }

    /// What a lease that was granted earlier allows from now on, when this much remains in its own counters: what it was
    /// granted, if nothing is said. What it has no counters for it draws from `parent`, where what is left in them goes in the
    /// end. A lease whose time is over has expired.
    ///
    /// # Errors
    /// [`Denied::Invalid`], if it could not have been granted.
    pub(crate) fn restored(
        lease: &Lease,
        constraints: &LeaseConstraints,
        models: ModelPolicy,
        remaining: Option<&Budget>,
        parent: Option<&Self>,
        now: Now,
    ) -> Result<Self, Denied> {
        let (grants, budget) = parse(lease)?;
        let end = |at: Timestamp| Expiry {
            at,
            deadline: now.monotonic + at.saturating_since(now.wall).min(super::CENTURY),
        };
        Ok(Self {
            grants,
            expiry: constraints.expires_at.map(end),
            expired: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            models,
            purse: Purse::restored(remaining.unwrap_or(&budget), parent.map(|parent| &parent.purse)),
        })
    }

    /// Whether an operation may be done now. Gives its target in the form in which it was compared with the grants, which is
    /// the one to act on.
    ///
    /// # Errors
    /// Why not; the first reason in the order of expiry, budget, grant.
    pub fn authorize(&self, capability: &str, target: &str, now: Now) -> Result<Target, Denied> {
        self.check(now)?;
        let target = Target::parse(capability, target).map_err(|problem| Denied::BadTarget {
            capability: capability.to_owned(),
            problem: problem.to_string(),
        })?;
        let unnamed_model = capability == namespace::MODEL_USE
            && !self.grants.names(capability)
            && self.models == ModelPolicy::Optional;
        if unnamed_model || self.grants.allows(capability, &target).is_some() {
            return Ok(target);
        }
        let closest = self.grants.closest(capability, &target).map(ToString::to_string);
        Err(Denied::NotGranted { capability: capability.to_owned(), target: target.to_string(), closest })
    }

    /// The same as [`authorize`](Self::authorize), and tells which grants cover the operation, for who enforces more than a
    /// comparison of text can: a host that a grant names is granted otherwise than one that it only matches.
    ///
    /// # Errors
    /// Those of [`authorize`](Self::authorize).
    pub fn granted(&self, capability: &str, target: &str, now: Now) -> Result<Granted, Denied> {
        let target = self.authorize(capability, target, now)?;
        let covers = |pattern: &&Pattern| pattern.matches(&target);
        let grants = self.grants.patterns(capability).iter().filter(covers).map(ToString::to_string);
        Ok(Granted { grants: grants.collect(), target })
    }

    /// Whether anything may be done now at all.
    ///
    /// # Errors
    /// [`Denied::Ended`], [`Denied::Expired`] or [`Denied::Exhausted`].
    pub fn check(&self, now: Now) -> Result<(), Denied> {
        if self.ended.load(Ordering::Acquire) {
            return Err(Denied::Ended);
        }
        if let Some(expiry) = self.expiry {
            let over = expiry.at <= now.wall || expiry.deadline <= now.monotonic;
            if over && !self.expired.swap(true, Ordering::Relaxed) {
                tracing::info!(target: "arcp::audit", expires_at = %expiry.at, "lease expired");
            }
            if self.expired.load(Ordering::Relaxed) {
                return Err(Denied::Expired { expires_at: expiry.at });
            }
        }
        self.purse.exhausted().map_or(Ok(()), |short| Err(short.into()))
    }

    /// The patterns of models that may be used (§9.7); `None` if any may.
    pub fn models(&self) -> Option<Vec<String>> {
        if !self.grants.names(namespace::MODEL_USE) && self.models == ModelPolicy::Optional {
            return None;
        }
        let mut patterns = Vec::new();
        for pattern in self.grants.patterns(namespace::MODEL_USE) {
            patterns.push(pattern.to_string());
        }
        Some(patterns)
    }

    /// When the lease ends by the monotonic clock.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.expiry.map(|expiry| expiry.deadline)
    }

    /// Spends. Returns what remains; `None` where nobody counts this currency.
    pub fn charge(&self, currency: &Currency, amount: Amount) -> Option<Amount> {
        self.purse.spend(currency, amount)
    }

    /// Sets money aside for a cost that is known before it is incurred. A currency that nobody counts has no end.
    ///
    /// # Errors
    /// [`Denied::Expired`], or [`Denied::Exhausted`] when so much is not left.
    pub fn reserve(&self, currency: &Currency, amount: Amount, now: Now) -> Result<Reservation, Denied> {
        match self.check(now) {
            Err(denied @ (Denied::Ended | Denied::Expired { .. })) => return Err(denied),
            _ if amount.is_negative() => {
                return Err(Denied::Invalid("amount to be set aside is negative".to_owned()));
            }
            Ok(()) | Err(_) => self.purse.hold(currency, amount)?,
        }
        let (purse, currency) = (Arc::clone(&self.purse), currency.clone());
        Ok(Reservation { purse, currency, amount })
    }

    /// What remains in every counter that this job's spending goes to, those of the job that delegated to it included.
    pub fn remaining(&self) -> Budget {
        self.purse.remaining()
    }

    /// What remains in the counters of this job's own lease.
    pub fn budget(&self) -> Budget {
        self.purse.own()
    }

    /// Gives part of this authority to a child job (§9.4). The budget that the child is given is taken out of this one's
    /// until the child's [`end`](Self::end). What the child's lease does not say of money and models it has of this one;
    /// anything else that it does not name it may not do.
    ///
    /// # Errors
    /// [`Denied::Invalid`] for a lease that is none, [`Denied::Subset`] for one that is not within this one; nothing is taken then.
    pub fn delegate(
        &self,
        lease: &Lease,
        constraints: &LeaseConstraints,
        now: Now,
    ) -> Result<Delegated, Denied> {
        let mut lease = lease.clone();
        // A list of no models is inherited as well: not to speak of models could mean any.
        if !lease.names(namespace::MODEL_USE) && self.grants.names(namespace::MODEL_USE) {
            let own = self.grants.patterns(namespace::MODEL_USE).iter().map(ToString::to_string);
            lease = lease.with(namespace::MODEL_USE, own);
        }
        let (grants, budget) = parse(&lease)?;
        // Who may use any model may have a child that may use some.
        let any_model = !self.grants.names(namespace::MODEL_USE) && self.models == ModelPolicy::Optional;
        let asked = if any_model { &grants.without(namespace::MODEL_USE) } else { &grants };
        self.grants.covers(asked).map_err(|missing| Denied::Subset(missing.to_string()))?;
        let expiry = self.narrow(expiry(constraints, now)?)?;
        if let Some((currency, _)) = budget.iter().find(|(currency, _)| !self.purse.counts(currency))
            && !self.purse.remaining().is_empty()
        {
            return Err(Denied::Subset(format!("cost.budget names {currency}, which this job has none of")));
        }
        let purse = self.purse.share(&budget).map_err(|Short { currency, remaining }| {
            Denied::Subset(format!("cost.budget asks for more {currency} than the {remaining} that are left"))
        })?;
        let authority = Self {
            grants,
            expiry,
            expired: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            models: self.models,
            purse,
        };
        let constraints = LeaseConstraints { expires_at: expiry.map(|expiry| expiry.at) };
        Ok(Delegated { authority, lease, constraints })
    }

    /// The job whose authority this is has ended: nothing is allowed any more, and what is left of its budget goes back to where
    /// it came from.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.purse.close();
    }

    fn narrow(&self, child: Option<Expiry>) -> Result<Option<Expiry>, Denied> {
        match (self.expiry, child) {
            (Some(own), Some(child)) if child.at > own.at => {
                Err(Denied::Subset(format!("expires_at {} is after this job's, {}", child.at, own.at)))
            }
            (own, None) => Ok(own),
            // By the monotonic clock too it ends no later, whatever the wall clock has done meanwhile.
            (Some(own), Some(child)) => {
                Ok(Some(Expiry { deadline: child.deadline.min(own.deadline), ..child }))
            }
            (None, child) => Ok(child),
        }
    }
}

/// Money that is set aside. Dropped, it goes back.
#[derive(Debug)]
#[must_use = "money that is set aside goes back when this is dropped"]
pub struct Reservation {
    purse: Arc<Purse>,
    currency: Currency,
    amount: Amount,
}

impl Reservation {
    /// What is set aside is counted in.
    pub fn currency(&self) -> &Currency {
        &self.currency
    }

    /// How much is set aside.
    pub fn amount(&self) -> Amount {
        self.amount
    }

    /// Spends of it what the cost has come to, which may be more or less, and frees the rest. Returns what remains; `None`
    /// where nobody counts this currency.
    pub(crate) fn settle(mut self, spent: Amount) -> Option<Amount> {
        let held = std::mem::take(&mut self.amount);
        self.purse.settle(&self.currency, held, spent)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.purse.settle(&self.currency, self.amount, Amount::ZERO);
    }
}

impl From<Short> for Denied {
    fn from(Short { currency, remaining }: Short) -> Self {
        Self::Exhausted { currency, remaining }
    }
}

pub(super) fn parse(lease: &Lease) -> Result<(Grants, Budget), Denied> {
    let grants = Grants::parse(lease).map_err(|error| Denied::Invalid(error.to_string()))?;
    // No counter would be no limit (§9.6), and an empty list grants nothing anywhere else.
    if lease.names(namespace::COST_BUDGET) && lease.patterns(namespace::COST_BUDGET).is_empty() {
        let message =
            "[\"cost.budget\"]: names no amount: name one, such as USD:5.00, or leave it out to set no limit";
        return Err(Denied::Invalid(message.to_owned()));
    }
    if lease.patterns(namespace::COST_BUDGET).len() > MAX_CURRENCIES {
        return Err(Denied::Invalid(format!("[\"cost.budget\"]: more than {MAX_CURRENCIES} amounts")));
    }
    let budget = lease.budget().map_err(|error| Denied::Invalid(error.to_string()))?;
    Ok((grants, budget.unwrap_or_default()))
}

fn expiry(constraints: &LeaseConstraints, now: Now) -> Result<Option<Expiry>, Denied> {
    let Some(at) = constraints.expires_at else { return Ok(None) };
    if at <= now.wall {
        return Err(Denied::Invalid("expires_at: not in the future".to_owned()));
    }
    Ok(Some(Expiry { at, deadline: now.monotonic + at.saturating_since(now.wall).min(super::CENTURY) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_grant_that_covers_an_operation_is_told() {
        let now = Now { monotonic: Instant::after_origin(Duration::ZERO), wall: Timestamp::UNIX_EPOCH };
        let lease = ["/a/**", "/b/**", "/a/b/*"].into_iter().fold(Lease::empty(), |lease, pattern| {
            lease.grant(namespace::FS_READ, pattern).grant(namespace::FS_WRITE, "/**")
        });
        let authority =
            Authority::new(&lease, &LeaseConstraints::default(), ModelPolicy::Optional, now).unwrap();
        let granted = authority.granted(namespace::FS_READ, "/a//b/c", now).unwrap();
        assert_eq!(granted.target().canonical(), "/a/b/c");
        assert_eq!(granted.grants(), ["/a/**", "/a/b/*"]);
        assert!(authority.granted(namespace::MODEL_USE, "any", now).unwrap().grants().is_empty());
        assert!(authority.granted(namespace::FS_READ, "/c", now).is_err());
    }
}
