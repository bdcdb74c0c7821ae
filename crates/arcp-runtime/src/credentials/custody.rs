//! What a runtime does with credentials: nothing is asked for that is not in the ledger, and nothing that was is forgotten
//! before it is revoked.

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arcp_core::runtime::{JobKey, JobSpec};
use arcp_proto::{Credential, CredentialId, ErrorPayload, Ulid};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use super::ledger::{CredentialLedger, LedgerError, Outstanding};
use super::{CredentialOrder, ErasedProvisioner, Issued, ProvisionError, unavailable};
use crate::clock::{self, Clock};
use crate::runtime::Health;

/// How long an upstream has for one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
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
    provisioner: Arc<dyn ErasedProvisioner>,
    ledger: Arc<dyn CredentialLedger>,
    /// Whether what earlier runs have left is being revoked.
    swept: OnceCell<()>,
    jobs: Mutex<HashMap<JobKey, Held>>,
    revoking: AtomicUsize,
    unrevocable: AtomicUsize,
    health: watch::Receiver<Health>,
    executor: Handle,
    tasks: TaskTracker,
}

/// What a job holds.
#[derive(Default)]
struct Held {
    credentials: Vec<Outstanding>,
    generations: u32,
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
        health: watch::Receiver<Health>,
        executor: Handle,
        tasks: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            provisioner,
            ledger,
            swept: OnceCell::new(),
            jobs: Mutex::default(),
            revoking: AtomicUsize::new(0),
            unrevocable: AtomicUsize::new(0),
            health,
            executor,
            tasks,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<JobKey, Held>> {
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
                self.revoke(credential);
            }
            Ok(())
        };
        let swept = self.swept.get_or_try_init(|| sweep).await.map(drop);
        swept.inspect_err(|error| tracing::error!(error = shown(error), "no credentials"))
    }

    /// Has the credential of a new job issued, if it is to have one, and holds it.
    pub(crate) async fn issue(self: &Arc<Self>, spec: &JobSpec) -> Result<Vec<Credential>, ErrorPayload> {
        self.sweep().await.map_err(|_| unavailable())?;
        let id = CredentialId::from_ulid(Ulid::from_parts(millis(), clock::random()));
        let order = CredentialOrder::new(spec, id, 1);
        let wants = std::panic::catch_unwind(AssertUnwindSafe(|| self.provisioner.wants(&order)));
        if !wants.map_err(|_| unavailable())? {
            return Ok(Vec::new());
        }
        match self.obtain(&order, Call::Issue).await {
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
                    ProvisionError::Transient(_) => self.revoke_doubtful(record),
                    ProvisionError::Permanent(_) | ProvisionError::BudgetExhausted(_) => {
                        self.settle(handle).await;
                    }
                }
                Err(error.into())
            }
        }
    }

    /// A call of the upstream within its time. Nobody waits for one while the runtime stops.
    async fn limited<T>(
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

    async fn stopped(&self) {
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
        self.take(job, old).into_iter().for_each(|credential| self.revoke(credential));
    }

    /// A credential that was issued is not to be used; it is revoked, unless it is being revoked with its job.
    pub(super) fn discard(self: &Arc<Self>, job: JobKey, unwanted: &Outstanding) {
        let taken = self.take(job, |credential| credential.handle == unwanted.handle);
        taken.into_iter().for_each(|credential| self.revoke(credential));
    }

    /// A job has ended: what it holds is revoked.
    pub(crate) fn revoke_all(self: &Arc<Self>, job: JobKey) {
        self.take(job, |_| true).into_iter().for_each(|credential| self.revoke(credential));
    }

    fn take(&self, job: JobKey, which: impl Fn(&Outstanding) -> bool) -> Vec<Outstanding> {
        let mut jobs = self.lock();
        let Some(held) = jobs.get_mut(&job) else { return Vec::new() };
        let taken = held.credentials.extract_if(.., |credential| which(credential)).collect();
        if held.credentials.is_empty() {
            jobs.remove(&job);
        }
        taken
    }

    /// Has a credential revoked, however long it takes.
    fn revoke(self: &Arc<Self>, credential: Outstanding) {
        self.spawn_revocation(credential, false);
    }

    /// The same for one that may still be on its way into the world: it is revoked again once it must have arrived.
    fn revoke_doubtful(self: &Arc<Self>, credential: Outstanding) {
        self.spawn_revocation(credential, true);
    }

    fn spawn_revocation(self: &Arc<Self>, credential: Outstanding, doubtful: bool) {
        let custody = Arc::clone(self);
        self.revoking.fetch_add(1, Ordering::Relaxed);
        self.tasks.spawn_on(
            async move {
                custody.revoke_until_gone(&credential, doubtful).await;
                custody.revoking.fetch_sub(1, Ordering::Relaxed);
            },
            &self.executor,
        );
    }

    async fn revoke_until_gone(&self, credential: &Outstanding, mut doubtful: bool) {
        let Outstanding { handle, job_id, .. } = credential;
        let mut leave = None;
        let mut delays = delays();
        loop {
            let limit =
                leave.map_or(CALL_TIMEOUT, |at: Instant| at.saturating_duration_since(Instant::now()));
            let call = async { self.provisioner.revoke(credential).await };
            let error = match self.limited(limit, call).await {
                Ok(()) if doubtful => {
                    doubtful = false;
                    tokio::select! {
                        () = sleep(CALL_TIMEOUT) => continue,
                        () = self.stopped() => {
                            tracing::warn!(target: "arcp::audit", %handle, %job_id, "credential is left to the next run");
                            return;
                        }
                    }
                }
                Ok(()) => {
                    tracing::info!(target: "arcp::audit", %handle, %job_id, "credential revoked");
                    return self.settle(handle).await;
                }
                Err(error) => error,
            };
            if !matches!(error, ProvisionError::Transient(_)) {
                self.unrevocable.fetch_add(1, Ordering::Relaxed);
                tracing::error!(target: "arcp::audit", %handle, %job_id, error = shown(&error), "credential cannot be revoked");
                return self.give_up(handle, &chain(&error)).await;
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
                    return;
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
fn delays() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(30))
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

fn shown<E: std::error::Error + 'static>(error: &E) -> &(dyn std::error::Error + 'static) {
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
