//! What a runtime does with credentials: nothing is asked for that is not in the ledger, and nothing that was is forgotten
//! before it is revoked. What is changed of those that are out is in `family.rs`.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use arcp_core::runtime::{JobKey, JobSpec};
use arcp_proto::{Budget, Credential, CredentialId, ErrorPayload, Ulid};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::family::Settlement;
use super::ledger::{CredentialLedger, LedgerError, Outstanding};
use super::{CredentialOrder, ErasedProvisioner, Issued, ProvisionError, unavailable};
use crate::clock::{self, Clock};
use crate::driver::Driver;
use crate::runtime::Health;

/// How long an upstream has for one call.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a runtime that is stopping still tries to revoke; the next run does the rest.
const STOP_TIMEOUT: Duration = Duration::from_secs(4);

/// How many credentials may be good at the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutstandingCredentials {
    /// Those that jobs hold.
    pub held: usize,
    /// Those that are being revoked: this should come down to 0 by itself.
    pub revoking: usize,
    /// Those that the upstream has refused to revoke since the start: somebody has to look after them.
    pub unrevocable: usize,
}

/// Why there is no credential.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotObtained {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error(transparent)]
    Provision(#[from] ProvisionError),
}

/// The credentials of a runtime's jobs.
pub(crate) struct Custody {
    pub(super) provisioner: Arc<dyn ErasedProvisioner>,
    ledger: Arc<dyn CredentialLedger>,
    pub(super) driver: Weak<Driver>,
    /// Whether what earlier runs have left is being revoked.
    swept: OnceCell<()>,
    jobs: Mutex<HashMap<JobKey, Held>>,
    revoking: AtomicUsize,
    unrevocable: AtomicUsize,
    health: watch::Receiver<Health>,
    pub(super) executor: Handle,
    pub(super) tasks: TaskTracker,
}

/// What a job holds, and what is still to be revoked of what it has held.
pub(super) struct Held {
    pub(super) credentials: Vec<Outstanding>,
    generations: u32,
    /// Held while the upstream is asked to rotate or constrain: each begins with what the one before has left.
    pub(super) turn: Arc<tokio::sync::Mutex<()>>,
    /// Whether it is tried again to have them constrained.
    pub(super) constraining: bool,
    /// How many are being revoked, or may be about to be issued.
    busy: usize,
    /// What was spent with those that the job held in the end; `None` if that is not known of all.
    spent: Option<Budget>,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            credentials: Vec::new(),
            generations: 0,
            turn: Arc::default(),
            constraining: false,
            busy: 0,
            spent: Some(Budget::default()),
        }
    }
}

/// A credential that is to be revoked.
struct Leaving {
    credential: Outstanding,
    /// Whose it was, if it was issued in this run.
    job: Option<JobKey>,
    /// Whether it may still be on its way into the world.
    doubtful: bool,
    /// Whether it is to be found out what was spent with it.
    settle: bool,
}

/// What an upstream is asked to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    Issue,
    Rotate,
}

impl Custody {
    pub(crate) fn new(
        provisioner: Arc<dyn ErasedProvisioner>,
        ledger: Arc<dyn CredentialLedger>,
        driver: Weak<Driver>,
        health: watch::Receiver<Health>,
        executor: Handle,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            provisioner,
            ledger,
            driver,
            swept: OnceCell::new(),
            jobs: Mutex::default(),
            revoking: AtomicUsize::new(0),
            unrevocable: AtomicUsize::new(0),
            health,
            executor,
            tasks,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, HashMap<JobKey, Held>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counts(&self) -> OutstandingCredentials {
        OutstandingCredentials {
            held: self.lock().values().map(|held| held.credentials.len()).sum(),
            revoking: self.revoking.load(Ordering::Relaxed),
            unrevocable: self.unrevocable.load(Ordering::Relaxed),
        }
    }

    /// Has everything revoked that earlier runs have left. Nothing is issued before that has begun, so that what this run
    /// issues is never among it.
    pub(crate) async fn sweep(self: &Arc<Self>) -> Result<(), LedgerError> {
        let sweep = async {
            let left = self.ledger.outstanding().await?;
            if !left.is_empty() {
                tracing::info!(target: "arcp::audit", credentials = left.len(), "earlier runs have left credentials");
            }
            for credential in left {
                self.revoke(Leaving { credential, job: None, doubtful: false, settle: false });
            }
            Ok(())
        };
        let swept = self.swept.get_or_try_init(|| sweep).await.map(drop);
        swept.inspect_err(|error| tracing::error!(error = shown(error), "no credentials"))
    }

    /// Has the credential of a new job issued, if it is to have one, and holds it.
    pub(crate) async fn issue(self: &Arc<Self>, spec: &JobSpec) -> Result<Vec<Credential>, ErrorPayload> {
        self.sweep().await.map_err(|_| unavailable())?;
        let budget =
            self.driver.upgrade().and_then(|driver| driver.with(|m, _| m.provision_budget(spec.job)));
        let Some(budget) = budget else { return Ok(Vec::new()) }; // nobody wants it any more
        let id = CredentialId::from_ulid(Ulid::from_parts(millis(), clock::random()));
        let order = CredentialOrder::new(spec, budget, id, 1);
        let wants = std::panic::catch_unwind(AssertUnwindSafe(|| self.provisioner.wants(&order)));
        if !wants.map_err(|_| unavailable())? {
            return Ok(Vec::new());
        }
        match self.obtain(spec.job, &order, Call::Issue).await {
            Ok((credential, record)) => {
                self.hold(spec.job, record);
                Ok(vec![credential])
            }
            Err(NotObtained::Provision(error)) => Err(error.payload()),
            Err(NotObtained::Ledger(_)) => Err(unavailable()),
        }
    }

    /// Writes down what is about to be asked for, and asks for it. When it fails, nothing of it stays.
    pub(super) async fn obtain(
        self: &Arc<Self>,
        job: JobKey,
        order: &CredentialOrder,
        call: Call,
    ) -> Result<(Credential, Outstanding), NotObtained> {
        let record = order.record(Clock::wall());
        if let Err(error) = self.ledger.intend(record.clone()).await {
            tracing::error!(error = shown(&error), "credential is not asked for");
            return Err(error.into());
        }
        let asked = match call {
            Call::Issue => self.limited(CALL_TIMEOUT, async { self.provisioner.issue(order).await }).await,
            Call::Rotate => self.limited(CALL_TIMEOUT, async { self.provisioner.rotate(order).await }).await,
        };
        let CredentialOrder { handle, credential_id, job_id, principal, .. } = order;
        match asked {
            Ok(issued) => {
                tracing::info!(target: "arcp::audit", %handle, %job_id, %principal, ?call, "credential issued");
                let issued: Issued = issued;
                Ok((issued.named(credential_id.clone()), record))
            }
            Err(error) => {
                tracing::warn!(%handle, %job_id, error = shown(&error), ?call, "credential was not issued");
                match error {
                    // It may have been, all the same.
                    ProvisionError::Transient(_) => {
                        self.enter(job, 1);
                        let job = Some(job);
                        self.revoke(Leaving { credential: record, job, doubtful: true, settle: false });
                    }
                    ProvisionError::Permanent(_)
                    | ProvisionError::BudgetExhausted(_)
                    | ProvisionError::Unsupported => self.settle(handle).await,
                }
                Err(error.into())
            }
        }
    }

    /// A call of the upstream within its time. Nobody waits for one while the runtime stops.
    pub(super) async fn limited<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, ProvisionError>>,
    ) -> Result<T, ProvisionError> {
        let call = timeout(limit, AssertUnwindSafe(call).catch_unwind());
        let transient = |why: &str| Err(ProvisionError::Transient(why.into()));
        tokio::select! {
            biased;
            answer = call => match answer {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => transient("provisioner panicked"),
                Err(_) => transient("no answer in time"),
            },
            () = self.stopped_for(STOP_TIMEOUT) => transient("runtime is stopping"),
        }
    }

    /// Waits until the runtime stops, and so long from then on.
    async fn stopped_for(&self, patience: Duration) {
        self.stopped().await;
        sleep(patience).await;
    }

    pub(super) async fn stopped(&self) {
        let mut health = self.health.clone();
        let stopped = |health: &Health| matches!(health, Health::Stopping | Health::Failed);
        let _ = health.wait_for(stopped).await; // or is gone altogether
    }

    /// From now on a credential is the job's, until it is taken away.
    pub(super) fn hold(&self, job: JobKey, credential: Outstanding) {
        let mut jobs = self.lock();
        let held = jobs.entry(job).or_default();
        held.generations = held.generations.max(1);
        held.credentials.push(credential);
    }

    /// The next generation of a credential that a job holds, and the handle of this one.
    pub(super) fn next_generation(&self, job: JobKey, id: &CredentialId) -> Option<(u32, String)> {
        let mut jobs = self.lock();
        let held = jobs.get_mut(&job)?;
        let current = held.credentials.iter().rfind(|credential| credential.credential_id == *id)?;
        held.generations += 1;
        Some((held.generations, current.handle.clone()))
    }

    /// A credential has taken the place of those of the same id, which are revoked.
    pub(super) fn replace(self: &Arc<Self>, job: JobKey, by: &Outstanding) {
        let old = |credential: &Outstanding| {
            credential.credential_id == by.credential_id && credential.handle != by.handle
        };
        self.revoke_of(job, old, false);
    }

    /// A credential that was issued is not to be used; it is revoked, unless it is being revoked with its job.
    pub(super) fn discard(self: &Arc<Self>, job: JobKey, unwanted: &Outstanding) {
        self.revoke_of(job, |credential| credential.handle == unwanted.handle, false);
    }

    /// A job has ended: what it holds is revoked.
    pub(crate) fn revoke_all(self: &Arc<Self>, job: JobKey) {
        self.revoke_of(job, |_| true, true);
    }

    fn revoke_of(self: &Arc<Self>, job: JobKey, which: impl Fn(&Outstanding) -> bool, settle: bool) {
        let mut jobs = self.lock();
        let Some(held) = jobs.get_mut(&job) else { return };
        let taken: Vec<_> = held.credentials.extract_if(.., |credential| which(credential)).collect();
        held.busy += taken.len();
        drop(jobs);
        for credential in taken {
            self.revoke(Leaving { credential, job: Some(job), doubtful: false, settle });
        }
    }

    /// Something of a job may be good at the upstream that it does not hold.
    pub(super) fn enter(&self, job: JobKey, count: usize) {
        self.lock().entry(job).or_default().busy += count;
    }

    /// That is over. When the job holds nothing any more either, the machine is told.
    pub(super) fn leave(&self, job: JobKey, spent: Option<Budget>) {
        let mut jobs = self.lock();
        let Some(held) = jobs.get_mut(&job) else { return };
        held.busy -= 1;
        held.spent = held.spent.take().zip(spent).map(|(before, spent)| before.plus(&spent));
        if held.busy == 0 && held.credentials.is_empty() {
            let spent = jobs.remove(&job).and_then(|held| held.spent);
            drop(jobs);
            self.report_gone(job, &spent.unwrap_or_default());
        }
    }

    /// Nothing was issued for a job, unless it is being revoked.
    pub(crate) fn report_unissued(&self, job: JobKey) {
        let busy = self.lock().contains_key(&job);
        if !busy {
            self.report_gone(job, &Budget::default());
        }
    }

    fn report_gone(&self, job: JobKey, spent: &Budget) {
        if let Some(driver) = self.driver.upgrade() {
            driver.with(|machine, now| machine.handle_revoked(now, job, spent));
        }
    }

    /// Has a credential revoked, however long it takes. One that may still be on its way into the world is revoked again once
    /// it must have arrived.
    fn revoke(self: &Arc<Self>, leaving: Leaving) {
        let custody = Arc::clone(self);
        self.revoking.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn_on(
            async move {
                let job = leaving.job;
                let gone = custody.revoke_until_gone(leaving).await;
                custody.revoking.fetch_sub(1, Ordering::Relaxed);
                if let (Some(job), Some(spent)) = (job, gone) {
                    custody.leave(job, spent);
                }
            },
            &self.executor,
        );
    }

    /// When it is gone, tells what was spent with it, which may not be known; `None` if it is not gone.
    async fn revoke_until_gone(&self, leaving: Leaving) -> Option<Option<Budget>> {
        let Leaving { credential, job, mut doubtful, settle } = leaving;
        let Outstanding { handle, job_id, .. } = &credential;
        let mut settlement = Settlement::new(job.filter(|_| settle));
        let mut leave = None;
        let mut delays = delays();
        loop {
            let limit =
                leave.map_or(CALL_TIMEOUT, |at: Instant| at.saturating_duration_since(Instant::now()));
            if leave.is_none() {
                settlement.ask(self, &credential).await;
            }
            let call = async { self.provisioner.revoke(&credential).await };
            let error = match self.limited(limit, call).await {
                Ok(()) if doubtful => {
                    doubtful = false;
                    tokio::select! {
                        () = sleep(CALL_TIMEOUT) => continue,
                        () = self.stopped() => {
                            tracing::warn!(target: "arcp::audit", %handle, %job_id, "credential is left to the next run");
                            return None;
                        }
                    }
                }
                Ok(()) => {
                    tracing::info!(target: "arcp::audit", %handle, %job_id, "credential revoked");
                    self.settle(handle).await;
                    return Some(settlement.spent());
                }
                Err(error) => error,
            };
            if !matches!(error, ProvisionError::Transient(_)) {
                self.unrevocable.fetch_add(1, Ordering::Relaxed);
                tracing::error!(target: "arcp::audit", %handle, %job_id, error = shown(&error), "credential cannot be revoked");
                self.give_up(handle, &chain(&error)).await;
                return None;
            }
            tracing::warn!(%handle, %job_id, error = shown(&error), "credential is not revoked yet");
            let delay = delays.next().unwrap_or(CALL_TIMEOUT);
            match leave {
                None => tokio::select! {
                    () = sleep(delay) => {}
                    () = self.stopped() => {
                        leave = Some(Instant::now() + STOP_TIMEOUT);
                        delays = self::delays();
                    }
                },
                Some(at) if Instant::now() + delay >= at => {
                    tracing::warn!(target: "arcp::audit", %handle, %job_id, "credential is left to the next run");
                    return None;
                }
                Some(_) => sleep(delay).await,
            }
        }
    }

    async fn settle(&self, handle: &str) {
        if let Err(error) = self.ledger.settle(handle).await {
            tracing::error!(%handle, error = shown(&error), "credential is revoked, and the ledger does not know");
        }
    }

    async fn give_up(&self, handle: &str, reason: &str) {
        if let Err(error) = self.ledger.give_up(handle, reason).await {
            tracing::error!(%handle, error = shown(&error), "credential cannot be revoked, and the ledger does not know");
        }
    }
}

/// 200 ms, then twice as long each time up to 30 s, and each as much longer again as chance has it: 60 s at most.
pub(super) fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(30))
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

pub(super) fn shown<E: std::error::Error + 'static>(error: &E) -> &(dyn std::error::Error + 'static) {
    error
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

fn millis() -> u64 {
    u64::try_from(Clock::wall().as_millis()).unwrap_or(0)
}
