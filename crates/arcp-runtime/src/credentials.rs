//! Provisioned credentials (§9.8): short-lived keys of upstream services that cost money, one job's each, bounded as its
//! lease is, and revoked however it ends.
//!
//! A [`CredentialProvisioner`] speaks with the upstream, a [`CredentialLedger`] knows what may still be good there. Give both
//! to [`RuntimeBuilder::credentials`](crate::RuntimeBuilder::credentials), and the runtime offers `provisioned_credentials`:
//!
//! 1. before the upstream is asked for anything, the [handle](CredentialOrder::handle) under which it will know the
//!    credential is in the ledger;
//! 2. a job begins once it has its credential; without one it is refused, and has never been;
//! 3. when the job ends, in whatever way, the credential is revoked by its handle, again and again until it is gone, also by
//!    the next run of the runtime;
//! 4. what a child may spend with its credential is first taken from that of the job whose money it is, and given back after
//!    the child's was revoked, as far as the upstream says that it was not spent;
//! 5. what the upstream refuses to revoke is an error in the log (target `arcp::audit`), counted by
//!    [`Runtime::outstanding_credentials`](crate::Runtime::outstanding_credentials), and stays in the ledger.
//!
//! Credentials cross the wire to the job's client over TLS or on one machine, and nowhere else (§14): to a session over any other
//! connection the feature is not offered, unless [`RuntimeBuilder::behind_tls`](crate::RuntimeBuilder::behind_tls) says that
//! something in front ends TLS. A proxy on this machine is taken for the client that it speaks for.

mod context;
mod custody;
mod family;
mod file;
mod ledger;
mod memory;

use std::future::Future;

use arcp_core::Principal;
use arcp_core::runtime::{JobSpec, ResolvedAgent};
use arcp_proto::{
    Amount, Budget, Credential, CredentialConstraints, CredentialId, CredentialValue, ErrorCode,
    ErrorPayload, JobId, Timestamp,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

pub use context::RotateError;
pub(crate) use custody::Custody;
pub use custody::OutstandingCredentials;
pub use file::FileLedger;
pub use ledger::{CredentialLedger, LedgerError, Outstanding};
pub use memory::MemoryLedger;

/// The scheme that the draft defines (§9.8.1).
const BEARER: &str = "bearer";

/// Has an upstream issue, replace and revoke credentials.
///
/// A call that takes longer than 30 s, or panics, counts as [`ProvisionError::Transient`]; its future is dropped then. What it
/// may have issued all the same is revoked by its handle.
pub trait CredentialProvisioner: Send + Sync + 'static {
    /// Whether a job is to have a credential at all. Asked before anything is written or issued; it must not block.
    fn wants(&self, _order: &CredentialOrder) -> bool {
        true
    }

    /// Has a credential issued that is bounded as the order says, as far as the upstream can (§9.8.3), and that can be revoked
    /// by the order's handle alone, even if the answer is lost.
    ///
    /// # Errors
    /// The job is refused then, or the delegation: with `BUDGET_EXHAUSTED` or `INTERNAL_ERROR`.
    fn issue(&self, order: &CredentialOrder) -> impl Future<Output = Result<Issued, ProvisionError>> + Send;

    /// Has a credential issued that takes the place of an earlier one of the same id, which is revoked afterwards. The handle
    /// is another one. The same as [`issue`](Self::issue) if nothing is said.
    ///
    /// # Errors
    /// The earlier credential stays in place then.
    fn rotate(&self, order: &CredentialOrder) -> impl Future<Output = Result<Issued, ProvisionError>> + Send {
        self.issue(order)
    }

    /// Has a credential that is out hold to less than before, or to more again, because of what children are given (§9.8.3):
    /// from now on no more than the change says may be spent with it. Returns what has been spent with it so far, in the
    /// currencies of which the upstream tells that; what is unspent in any other is not given back to anybody.
    ///
    /// A change may be made twice, and the last one counts. It never comes while the credential is being rotated.
    ///
    /// # Errors
    /// A child for which something was to be taken is refused then. After [`ProvisionError::Transient`] it is tried again to
    /// give back. With [`ProvisionError::Unsupported`], which is the answer if nothing is said, a child has no credential of
    /// its own: two would be good for more than their lease.
    fn constrain(
        &self,
        _change: &CredentialChange,
    ) -> impl Future<Output = Result<Budget, ProvisionError>> + Send {
        std::future::ready(Err(ProvisionError::Unsupported))
    }

    /// Has a credential revoked. One that the upstream does not know, or no longer, is revoked.
    ///
    /// # Errors
    /// After [`ProvisionError::Transient`] it is tried again, after anything else never more in this run.
    fn revoke(&self, credential: &Outstanding) -> impl Future<Output = Result<(), ProvisionError>> + Send;
}

/// What a job's credential is to be.
#[derive(Clone, Debug)]
pub struct CredentialOrder {
    /// What the upstream is to know it by: a word of this runtime's own, never used twice, and no secret.
    pub handle: String,
    /// The handle of the credential whose place it takes, if it is rotated. That one may be used until it is revoked: what is
    /// spent with it is spent of the same budget.
    pub replaces: Option<String>,
    /// Names it within its job; stays the same when it is rotated.
    pub credential_id: CredentialId,
    /// The job.
    pub job_id: JobId,
    /// The job that delegated to it, if any.
    pub parent_job_id: Option<JobId>,
    /// Whose job it is.
    pub principal: Principal,
    /// Which agent it runs.
    pub agent: ResolvedAgent,
    /// What may be spent with the credential: what remains of the job's budget, and no more than is left of that of the
    /// credential whose place it takes; empty if nobody counts.
    pub budget: Budget,
    /// Patterns of the models that may be used; `None` if any may.
    pub models: Option<Vec<String>>,
    /// When the job's lease ends.
    pub expires_at: Option<Timestamp>,
}

impl CredentialOrder {
    /// The order for one generation of a job's credential; the first is 1.
    pub(crate) fn new(spec: &JobSpec, budget: Budget, credential_id: CredentialId, generation: u32) -> Self {
        Self {
            handle: format!("{credential_id}.{generation}"),
            replaces: None,
            credential_id,
            job_id: spec.job_id.clone(),
            parent_job_id: spec.parent_job_id.clone(),
            principal: spec.principal.clone(),
            agent: spec.agent.clone(),
            budget,
            models: spec.authority.models(),
            expires_at: spec.lease_constraints.expires_at,
        }
    }

    /// Whether a counter of the budget has nothing left.
    pub fn is_exhausted(&self) -> bool {
        self.budget.iter().any(|(_, amount)| amount.is_exhausted())
    }

    /// All of it, as [`Credential::constraints`] shows what the upstream enforces. An upstream that enforces less must say
    /// less.
    pub fn constraints(&self) -> CredentialConstraints {
        CredentialConstraints {
            cost_budget: (!self.budget.is_empty()).then(|| self.budget.patterns()),
            model_use: self.models.clone(),
            expires_at: self.expires_at,
        }
    }

    pub(crate) fn record(&self, since: Timestamp) -> Outstanding {
        Outstanding {
            handle: self.handle.clone(),
            credential_id: self.credential_id.clone(),
            job_id: self.job_id.clone(),
            principal: self.principal.as_str().to_owned(),
            since,
            unrevocable: None,
        }
    }
}

/// What a credential that is out is to be good for from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialChange {
    /// What the upstream knows it by.
    pub handle: String,
    /// What its job knows it by.
    pub credential_id: CredentialId,
    /// The job.
    pub job_id: JobId,
    /// The most that may be spent with it altogether, what has been spent included. It names the currencies that the
    /// credential's constraints have named.
    pub limit: Budget,
    /// What the job has left in these currencies: no more than that may be spent from now on, whatever `limit` says.
    pub remaining: Budget,
}

impl CredentialChange {
    pub(crate) fn new(credential: &Outstanding, limit: Budget, remaining: Budget) -> Self {
        let Outstanding { handle, credential_id, job_id, .. } = credential.clone();
        Self { handle, credential_id, job_id, limit, remaining }
    }

    /// That nothing more may be spent with it.
    pub(crate) fn nothing(credential: &Outstanding, currencies: &Budget) -> Self {
        let none = currencies.iter().fold(Budget::default(), |mut none, (currency, _)| {
            none.set(currency.clone(), Amount::ZERO);
            none
        });
        Self::new(credential, none.clone(), none)
    }

    /// The most that may have been spent with it in the end, when `spent` has been until now; `None` if the credential does not
    /// carry the currency.
    pub fn most(&self, currency: &str, spent: Amount) -> Option<Amount> {
        let limit = self.limit.remaining(currency)?;
        Some(self.remaining.remaining(currency).map_or(limit, |remaining| limit.min(spent.plus(remaining))))
    }
}

/// What an upstream has issued.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Issued {
    /// How it is presented.
    pub scheme: String,
    /// The secret.
    pub value: CredentialValue,
    /// The base URL at which it is good.
    pub endpoint: String,
    /// A hint at the API that is spoken there.
    pub profile: Option<String>,
    /// What the upstream enforces.
    pub constraints: CredentialConstraints,
}

impl Issued {
    /// A bearer token for `endpoint` and nowhere else, of which nothing is said to be enforced.
    pub fn bearer(value: impl Into<CredentialValue>, endpoint: impl Into<String>) -> Self {
        Self {
            scheme: BEARER.to_owned(),
            value: value.into(),
            endpoint: endpoint.into(),
            profile: None,
            constraints: CredentialConstraints::default(),
        }
    }

    /// With a hint at the API that is spoken at the endpoint, such as `openai`.
    #[must_use]
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = Some(profile.into());
        self
    }

    /// With what the upstream enforces, and nothing else (§9.8.3).
    #[must_use]
    pub fn constraints(mut self, constraints: CredentialConstraints) -> Self {
        self.constraints = constraints;
        self
    }

    fn named(self, id: CredentialId) -> Credential {
        let Self { scheme, value, endpoint, profile, constraints } = self;
        let constraints = Some(constraints).filter(|some| *some != CredentialConstraints::default());
        Credential { id, scheme, value, endpoint, profile, constraints }
    }
}

/// Why an upstream has not done what it was asked to. The sources are logged: no secret may be in them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProvisionError {
    /// It could not be reached, or cannot do it now; nobody knows whether it has.
    #[error("upstream does not do it now")]
    Transient(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refuses, and will again. Nothing was issued.
    #[error("upstream refuses")]
    Permanent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It refuses, for want of money. Nothing was issued.
    #[error("upstream has no budget left for it")]
    BudgetExhausted(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// There is no such thing here. Nothing was done.
    #[error("upstream cannot do it")]
    Unsupported,
}

impl ProvisionError {
    /// As a refusal carries it: `BUDGET_EXHAUSTED` or `INTERNAL_ERROR`, without what the upstream says.
    pub fn payload(&self) -> ErrorPayload {
        match self {
            Self::BudgetExhausted(_) => ErrorPayload::new(ErrorCode::BudgetExhausted, self.to_string()),
            Self::Transient(_) | Self::Permanent(_) | Self::Unsupported => unavailable(),
        }
    }
}

fn unavailable() -> ErrorPayload {
    ErrorPayload::new(ErrorCode::InternalError, "credentials could not be provisioned")
}

/// The boxed twin of [`CredentialProvisioner`].
pub(crate) trait ErasedProvisioner: Send + Sync + 'static {
    fn wants(&self, order: &CredentialOrder) -> bool;
    fn issue<'a>(&'a self, order: &'a CredentialOrder) -> BoxFuture<'a, Result<Issued, ProvisionError>>;
    fn rotate<'a>(&'a self, order: &'a CredentialOrder) -> BoxFuture<'a, Result<Issued, ProvisionError>>;
    fn constrain<'a>(&'a self, change: &'a CredentialChange)
    -> BoxFuture<'a, Result<Budget, ProvisionError>>;
    fn revoke<'a>(&'a self, credential: &'a Outstanding) -> BoxFuture<'a, Result<(), ProvisionError>>;
}

impl<P: CredentialProvisioner> ErasedProvisioner for P {
    fn wants(&self, order: &CredentialOrder) -> bool {
        CredentialProvisioner::wants(self, order)
    }

    fn issue<'a>(&'a self, order: &'a CredentialOrder) -> BoxFuture<'a, Result<Issued, ProvisionError>> {
        CredentialProvisioner::issue(self, order).boxed()
    }

    fn rotate<'a>(&'a self, order: &'a CredentialOrder) -> BoxFuture<'a, Result<Issued, ProvisionError>> {
        CredentialProvisioner::rotate(self, order).boxed()
    }

    fn constrain<'a>(
        &'a self,
        change: &'a CredentialChange,
    ) -> BoxFuture<'a, Result<Budget, ProvisionError>> {
        CredentialProvisioner::constrain(self, change).boxed()
    }

    fn revoke<'a>(&'a self, credential: &'a Outstanding) -> BoxFuture<'a, Result<(), ProvisionError>> {
        CredentialProvisioner::revoke(self, credential).boxed()
    }
}
