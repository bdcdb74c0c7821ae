//! The driver of the machine: everything that happens goes through [`Driver::with`], and what the machine then asks for
//! is done before the lock is let go.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use arcp_core::runtime::{ConnectionKey, Event, JobKey, JobSpec, ResolvedAgent, Runtime as Machine};
use arcp_core::{Instant, Now};
use arcp_proto::BearerToken;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::agent::ErasedAgent;
use crate::authenticator::ErasedAuthenticator;
use crate::clock::Clock;
use crate::connection::Signals;
use crate::job::{JobControl, supervise};
use crate::runtime::Health;
use crate::store::{Epoch, Store, StoreError};

/// The machine and what runs because of it.
pub(crate) struct Driver {
    state: Mutex<State>,
    this: Weak<Driver>,
    clock: Clock,
    agents: HashMap<ResolvedAgent, Arc<dyn ErasedAgent>>,
    authenticator: Arc<dyn ErasedAuthenticator>,
    store: Arc<dyn Store>,
    /// Tells the timer task that it has to wake earlier.
    earlier: Notify,
    health: watch::Sender<Health>,
    tasks: TaskTracker,
}

struct State {
    machine: Machine,
    connections: HashMap<ConnectionKey, Arc<Signals>>,
    jobs: HashMap<JobKey, RunningJob>,
    /// When the timer task wakes next.
    armed: Option<Instant>,
    /// `None` until the store is open.
    epoch: Option<Epoch>,
    /// Whether a batch is being committed; the next one waits for it and grows meanwhile.
    committing: bool,
}

struct RunningJob {
    control: Arc<JobControl>,
    task: AbortHandle,
}

impl Driver {
    pub(crate) fn new(
        machine: Machine,
        agents: HashMap<ResolvedAgent, Arc<dyn ErasedAgent>>,
        authenticator: Arc<dyn ErasedAuthenticator>,
        store: Arc<dyn Store>,
    ) -> Arc<Self> {
        let state = State {
            machine,
            connections: HashMap::new(),
            jobs: HashMap::new(),
            armed: None,
            epoch: None,
            committing: false,
        };
        Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            this: Weak::clone(this),
            clock: Clock::start(),
            agents,
            authenticator,
            store,
            earlier: Notify::new(),
            health: watch::Sender::new(Health::Starting),
            tasks: TaskTracker::new(),
        })
    }

    /// Changes the machine, and does what it asks for then.
    ///
    /// Everything is done under the lock, so that the order in which the machine asks is the order in which it is done.
    /// None of it waits for anything: tasks are spawned and woken.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Machine, Now) -> R) -> R {
        self.with_state(|state, now| change(&mut state.machine, now))
    }

    fn with_state<R>(&self, change: impl FnOnce(&mut State, Now) -> R) -> R {
        let mut state = self.lock();
        let now = self.clock.now();
        let result = change(&mut state, now);
        self.commit(&mut state);
        while let Some(event) = state.machine.poll_event() {
            self.react(&mut state, event);
        }
        let next = state.machine.poll_timeout();
        if next.is_some() && (state.armed.is_none() || next < state.armed) {
            state.armed = next;
            self.earlier.notify_one();
        }
        result
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of the machine; what it has written down stays true.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> &watch::Sender<Health> {
        &self.health
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    pub(crate) fn connect(&self) -> (ConnectionKey, Arc<Signals>) {
        self.with_state(|state, now| {
            let key = state.machine.handle_connected(now);
            let signals = Arc::new(Signals::default());
            state.connections.insert(key, Arc::clone(&signals));
            (key, signals)
        })
    }

    pub(crate) fn disconnect(&self, key: ConnectionKey) {
        self.with_state(|state, now| {
            state.connections.remove(&key);
            state.machine.handle_disconnected(now, key);
        });
    }

    pub(crate) fn forget_job(&self, job: JobKey) {
        self.lock().jobs.remove(&job);
    }

    fn react(&self, state: &mut State, event: Event) {
        match event {
            Event::Transmit(connection) => {
                if let Some(signals) = state.connections.get(&connection) {
                    signals.write.notify_one();
                }
            }
            Event::Read(connection) => {
                if let Some(signals) = state.connections.get(&connection) {
                    signals.read.notify_one();
                }
            }
            Event::Close(connection) => {
                if let Some(signals) = state.connections.get(&connection) {
                    signals.close.notify_one();
                }
            }
            Event::Authenticate { connection, token, .. } => self.authenticate(connection, token),
            Event::Start(spec) => self.start(state, *spec),
            Event::Stop(job, cause) => {
                if let Some(job) = state.jobs.get(&job) {
                    job.control.stop(cause);
                    job.control.release();
                }
            }
            Event::Abort(job) => {
                if let Some(job) = state.jobs.remove(&job) {
                    job.task.abort();
                }
            }
            Event::Wake(job) => {
                if let Some(job) = state.jobs.get(&job) {
                    job.control.release();
                }
            }
            other => tracing::error!(?other, "event of the machine is not known to its driver"),
        }
    }

    fn start(&self, state: &mut State, spec: JobSpec) {
        let (Some(driver), Some(agent)) = (self.this.upgrade(), self.agents.get(&spec.agent)) else { return };
        let control = Arc::new(JobControl::new());
        let job = spec.job;
        let agent = Arc::clone(agent);
        let task = self.tasks.spawn(supervise(driver, spec, agent, Arc::clone(&control)));
        state.jobs.insert(job, RunningJob { control, task: task.abort_handle() });
    }

    fn authenticate(&self, connection: ConnectionKey, token: BearerToken) {
        let Some(driver) = self.this.upgrade() else { return };
        self.tasks.spawn(async move {
            let outcome = driver.authenticator.authenticate_boxed(&token).await;
            driver.with(|machine, now| machine.handle_authenticated(now, connection, outcome));
        });
    }

    /// Commits what is to be written. A store that answers at once is answered at once; otherwise a task waits for it.
    fn commit(&self, state: &mut State) {
        let Some(epoch) = state.epoch else { return };
        while !state.committing {
            let Some(batch) = state.machine.poll_write() else { return };
            let position = batch.position;
            let mut commit = self.store.commit(epoch, batch);
            match commit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => state.machine.handle_committed(position),
                Poll::Ready(Err(error)) => return self.fail(state, &error),
                Poll::Pending => {
                    state.committing = true;
                    self.finish_commit(position, commit);
                }
            }
        }
    }

    fn finish_commit(&self, position: u64, commit: BoxFuture<'static, Result<(), StoreError>>) {
        let Some(driver) = self.this.upgrade() else { return };
        tokio::spawn(async move {
            let outcome = commit.await;
            driver.with_state(|state, _| match outcome {
                Ok(()) => {
                    state.committing = false;
                    state.machine.handle_committed(position);
                }
                Err(error) => driver.fail(state, &error),
            });
        });
    }

    /// The store can no longer be relied on: nothing more is promised to anybody.
    fn fail(&self, state: &mut State, error: &StoreError) {
        tracing::error!(error = error as &dyn std::error::Error, "store failed, the runtime stops");
        state.committing = true; // for ever: nothing may be committed after a failure
        self.health.send_replace(Health::Failed);
        for job in state.jobs.drain() {
            job.1.task.abort();
        }
    }

    /// Opens the store; until then nothing is committed and so nothing is sent.
    pub(crate) async fn open_store(&self) {
        match self.store.open().await {
            Ok(epoch) => {
                self.with_state(|state, _| state.epoch = Some(epoch));
                self.health.send_if_modified(|health| {
                    let starting = *health == Health::Starting;
                    if starting {
                        *health = Health::Ready;
                    }
                    starting
                });
            }
            Err(error) => self.with_state(|state, _| self.fail(state, &error)),
        }
    }

    /// Calls the machine back whenever it wants to be, for ever.
    pub(crate) async fn keep_time(&self) {
        loop {
            let armed = self.lock().armed.and_then(|at| self.clock.when(at));
            let mut earlier = pin!(self.earlier.notified());
            match armed {
                None => earlier.await,
                Some(at) => tokio::select! {
                    () = &mut earlier => continue,
                    () = tokio::time::sleep_until(at) => {}
                },
            }
            self.with_state(|state, now| {
                state.machine.handle_timeout(now);
                state.armed = state.machine.poll_timeout();
            });
        }
    }
}
