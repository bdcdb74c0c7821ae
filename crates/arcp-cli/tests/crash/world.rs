//! What everybody in a life shares: what has been told to whom, where the runtime is, and whether all is well.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arcp::proto::{JobId, Timestamp};
use tokio::sync::watch;

use crate::follow::Told;
use crate::plan::Plan;
use crate::wire::Wire;

/// How long anything may take before it counts as never.
const PATIENCE: Duration = Duration::from_secs(90);

/// Locks what no panic has left half done: who panics has failed the test.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) directory: PathBuf,
    pub(crate) round: AtomicUsize,
    /// Where the runtime listens, while it does.
    pub(crate) address: watch::Sender<Option<String>>,
    /// Frames that clients have been sent.
    pub(crate) frames: watch::Sender<u64>,
    /// What is wrong, once something is.
    failure: watch::Sender<Option<String>>,
    /// Whether nothing new is to be begun.
    pub(crate) closing: watch::Sender<bool>,
    pub(crate) wires: Mutex<Vec<Arc<Wire>>>,
    pub(crate) told: Mutex<Vec<Arc<Mutex<Told>>>>,
    pub(crate) jobs: Mutex<BTreeMap<JobId, Known>>,
    /// How many jobs there are, for who waits for more.
    pub(crate) job_count: watch::Sender<usize>,
    /// By principal and key.
    pub(crate) keys: Mutex<HashMap<(String, String), Key>>,
    pub(crate) met: Mutex<BTreeMap<&'static str, u64>>,
}

/// A job that somebody was told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) principal: String,
    pub(crate) plan: Option<Plan>,
    pub(crate) parent: Option<JobId>,
    /// Somebody wanted it to stop.
    pub(crate) cancel_asked: bool,
    /// When somebody was first told that it will.
    pub(crate) cancel_seen: Option<Timestamp>,
}

/// What a key stands for.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) plan: Plan,
    pub(crate) job: Option<JobId>,
}

impl World {
    pub(crate) fn new(seed: u64, directory: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            seed,
            directory,
            round: AtomicUsize::new(0),
            address: watch::Sender::new(None),
            frames: watch::Sender::new(0),
            failure: watch::Sender::new(None),
            closing: watch::Sender::new(false),
            wires: Mutex::default(),
            told: Mutex::default(),
            jobs: Mutex::default(),
            job_count: watch::Sender::new(0),
            keys: Mutex::default(),
            met: Mutex::default(),
        })
    }

    pub(crate) fn round(&self) -> usize {
        self.round.load(Ordering::Relaxed)
    }

    /// Something has come to pass that is worth counting.
    pub(crate) fn meet(&self, what: &'static str) {
        *lock(&self.met).entry(what).or_default() += 1;
    }

    /// Something is wrong; the first to say so is heard.
    pub(crate) fn fail(&self, what: impl Into<String>) {
        let what = format!("seed {}, round {}: {}", self.seed, self.round(), what.into());
        self.failure.send_if_modified(|failure| {
            let first = failure.is_none();
            if first {
                *failure = Some(what);
            }
            first
        });
    }

    pub(crate) fn failed(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// Waits for something, unless anything is wrong before or it takes too long.
    pub(crate) async fn until<T>(&self, what: &str, happens: impl Future<Output = T>) -> Result<T, String> {
        let mut failure = self.failure.subscribe();
        let failed = async { failure.wait_for(Option::is_some).await.map(|text| text.clone()) };
        tokio::select! {
            biased;
            failed = failed => Err(failed.ok().flatten().unwrap_or_default()),
            happened = tokio::time::timeout(PATIENCE, happens) => happened.map_err(|_| {
                self.fail(format!("waited {PATIENCE:?} in vain for {what}\n{}", self.open()));
                self.failed().unwrap_or_default()
            }),
        }
    }

    /// A client was told of a job.
    pub(crate) fn know(&self, job: &JobId, change: impl FnOnce(&mut Known)) {
        let count = {
            let mut jobs = lock(&self.jobs);
            change(jobs.entry(job.clone()).or_default());
            jobs.len()
        };
        self.job_count.send_if_modified(|known| std::mem::replace(known, count) != count);
    }

    /// What a job is to do.
    pub(crate) fn plan_of(&self, job: &JobId) -> Option<Plan> {
        let jobs = lock(&self.jobs);
        let known = jobs.get(job)?;
        let of_parent = || jobs.get(known.parent.as_ref()?)?.plan.as_ref()?.child();
        known.plan.clone().or_else(of_parent)
    }

    /// Who still waits for what.
    fn open(&self) -> String {
        let mut text = String::new();
        for told in lock(&self.told).iter() {
            let told = lock(told);
            if told.end.is_none() {
                text += &format!(
                    "{} follows {} ({:?}) and has been told {} events, not the end\n",
                    told.client,
                    told.job,
                    self.plan_of(&told.job),
                    told.events.len()
                );
            }
        }
        for wire in lock(&self.wires).iter() {
            text += &wire.standing();
        }
        text
    }
}
