//! Changes of credentials that are out: what a child's may spend is not to be spent with its parent's. What is to be changed,
//! and when, is decided by the machine.

use std::sync::Arc;
use std::time::Duration;

use arcp_core::runtime::{Constraint, JobKey, NotConstrained};
use arcp_proto::Budget;
use tokio::time::sleep;

use super::custody::{CALL_TIMEOUT, Custody, delays, shown};
use super::ledger::Outstanding;
use super::{CredentialChange, ProvisionError};

/// How long it may take to find out what was spent with a credential before it is revoked all the same.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

impl Custody {
    /// Has the credentials of a job changed as the machine says. What fails and may pass is tried again.
    pub(crate) fn constrain(self: &Arc<Self>, job: JobKey) {
        let custody = Arc::clone(self);
        self.tasks.spawn_on(
            async move {
                if custody.constrain_in_turn(job).await && custody.mark_constraining(job, true) {
                    custody.constrain_again(job).await;
                    custody.mark_constraining(job, false);
                }
            },
            &self.executor,
        );
    }

    async fn constrain_again(&self, job: JobKey) {
        for delay in delays() {
            tokio::select! {
                () = sleep(delay) => {}
                () = self.stopped() => return,
            }
            if !self.constrain_in_turn(job).await {
                return;
            }
        }
    }

    /// Notes whether it is tried again. Returns whether that was not known before.
    fn mark_constraining(&self, job: JobKey, tried: bool) -> bool {
        let mut jobs = self.lock();
        jobs.get_mut(&job).is_some_and(|held| std::mem::replace(&mut held.constraining, tried) != tried)
    }

    /// What must be held by whoever has the credentials of a job changed or rotated; `None` if it holds none.
    pub(super) fn turn(&self, job: JobKey) -> Option<Arc<tokio::sync::Mutex<()>>> {
        let jobs = self.lock();
        jobs.get(&job).filter(|held| !held.credentials.is_empty()).map(|held| Arc::clone(&held.turn))
    }

    async fn constrain_in_turn(&self, job: JobKey) -> bool {
        let Some(turn) = self.turn(job) else { return false };
        let _turn = turn.lock().await;
        self.constrain_now(job).await
    }

    /// The same in a turn that is held. Returns whether it has failed in a way that may pass.
    pub(super) async fn constrain_now(&self, job: JobKey) -> bool {
        let Some(driver) = self.driver.upgrade() else { return false };
        let Some(constraint) = driver.with(|machine, _| machine.constraint(job)) else { return false };
        let credentials = self.lock().get(&job).map(|held| held.credentials.clone()).unwrap_or_default();
        let mut outcome = Ok(Budget::default());
        for credential in &credentials {
            let asked = self.ask_constraint(credential, &constraint).await;
            outcome = outcome.and_then(|before| Ok(before.plus(&asked?)));
        }
        let again = matches!(outcome, Err(ProvisionError::Transient(_)));
        let outcome = outcome.map_err(|error| match error {
            ProvisionError::Unsupported => NotConstrained::Unsupported,
            error => NotConstrained::Failed(error.payload()),
        });
        driver.with(|machine, now| machine.handle_constrained(now, job, outcome));
        again
    }

    async fn ask_constraint(
        &self,
        credential: &Outstanding,
        constraint: &Constraint,
    ) -> Result<Budget, ProvisionError> {
        let Constraint { limit, remaining, .. } = constraint.clone();
        let change = CredentialChange::new(credential, limit, remaining);
        let asked = self.limited(CALL_TIMEOUT, async { self.provisioner.constrain(&change).await }).await;
        let Outstanding { handle, job_id, .. } = credential;
        match &asked {
            Ok(_) => {
                tracing::info!(target: "arcp::audit", %handle, %job_id, limit = ?change.limit, "credential constrained");
            }
            Err(ProvisionError::Unsupported) => {
                tracing::debug!(%handle, "credential cannot be constrained: children have none");
            }
            Err(error) => {
                tracing::warn!(%handle, %job_id, error = shown(error), "credential is not constrained");
            }
        }
        asked
    }
}

/// What was spent with a credential that is being revoked.
pub(super) struct Settlement {
    /// Whose it was, while that is to be found out.
    job: Option<JobKey>,
    spent: Option<Budget>,
}

impl Settlement {
    /// Of nothing, if there is no job: then nobody has to know.
    pub(super) fn new(job: Option<JobKey>) -> Self {
        Self { job, spent: job.is_none().then(Budget::default) }
    }

    /// Lets nothing more be spent with the credential, and finds out what was, if anybody gets back what was not.
    pub(super) async fn ask(&mut self, custody: &Custody, credential: &Outstanding) {
        let (Some(job), Some(driver)) = (self.job, custody.driver.upgrade()) else { return };
        let borrowed = driver.with(|machine, _| machine.borrowed(job));
        drop(driver);
        if borrowed.is_empty() {
            self.job = None;
            return;
        }
        let change = CredentialChange::nothing(credential, &borrowed);
        let call = async { custody.provisioner.constrain(&change).await };
        match custody.limited(SETTLE_TIMEOUT, call).await {
            Ok(spent) => (self.spent, self.job) = (Some(spent), None),
            Err(ProvisionError::Transient(_)) => {}
            Err(_) => self.job = None,
        }
    }

    /// What was spent; `None` if nobody knows.
    pub(super) fn spent(self) -> Option<Budget> {
        self.spent
    }
}
