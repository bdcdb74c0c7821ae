//! The driver of the machine: everything that happens goes through [`Driver::with`], and what the machine then asks for
//! is done before the lock is let go.

mod commit;

use std::collections::HashMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use arcp_core::runtime::{
    Agents, AuthenticationError, Child, ConnectionKey, Delegation, Draft, EmitError, Entry, Event, Flow,
    JobKey, JobSpec, NotDelegated, ResolvedAgent, Runtime as Machine,
};
use arcp_core::{Incoming, Instant, Now};
use arcp_proto::BearerToken;
use futures_util::FutureExt;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::task::TaskTracker;

use self::commit::panicked;
use crate::agent::ErasedAgent;
use crate::authenticator::ErasedAuthenticator;
use crate::clock::Clock;
use crate::connection::Signals;
use crate::credentials::{CredentialLedger, Custody, ErasedProvisioner};
use crate::job::{JobControl, supervise};
use crate::rates::MessageRate;
use crate::runtime::Health;
use crate::store::{Epoch, Opened, Store, StoreError};
use crate::visitor::Visitor;

/// Who issues credentials, and who knows of them.
pub(crate) type Credentials = (Arc<dyn ErasedProvisioner>, Arc<dyn CredentialLedger>);

/// Who is let in, and how often they may send a message.
pub(crate) type Door = (Arc<dyn ErasedAuthenticator>, Option<MessageRate>);

/// Tells whether a delegated job begins.
pub(crate) type Begun = oneshot::Receiver<Result<(), NotDelegated>>;

/// The machine and what runs because of it.
pub(crate) struct Driver {
    state: Mutex<State>,
    this: Weak<Driver>,
    clock: Clock,
    agents: HashMap<ResolvedAgent, Arc<dyn ErasedAgent>>,
    /// The same as the machine knows them, for what is asked of them outside of its lock.
    inventory: Agents,
    authenticator: Arc<dyn ErasedAuthenticator>,
    message_rate: Option<MessageRate>,
    store: Arc<dyn Store>,
    custody: Option<Arc<Custody>>,
    /// Tells the timer task that it has to wake earlier.
    earlier: Notify,
    health: watch::Sender<Health>,
    /// Why the store has failed, if it has.
    failure: OnceLock<Arc<StoreError>>,
    /// The position of the last batch that is committed.
    committed: watch::Sender<u64>,
    /// Whether, after a drain was begun, no job runs any more.
    drained: watch::Sender<bool>,
    /// Where tasks run, whoever has caused them: a context of a job may be used from anywhere.
    executor: Handle,
    tasks: TaskTracker,
    #[cfg(feature = "http")]
    http: tokio::sync::OnceCell<crate::http::Clients>,
}

struct State {
    machine: Machine,
    links: HashMap<ConnectionKey, Link>,
    jobs: HashMap<JobKey, RunningJob>,
    /// Who waits for delegated jobs.
    children: HashMap<JobKey, Waiting>,
    /// When the timer task wakes next.
    armed: Option<Instant>,
    commit: Commit,
    /// Jobs that may have said what the machine is yet to be told.
    talking: Vec<(JobKey, Arc<JobControl>)>,
    /// What they have said, while it is told.
    said: Vec<Draft>,
}

/// How far the store is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Commit {
    /// It is being opened.
    Opening,
    /// It can take a batch.
    Idle(Epoch),
    /// It is writing one; the next one waits for that and grows meanwhile.
    Busy,
    /// It has failed, and nothing may be committed any more.
    Failed,
    /// It was closed: what timers still bring about is for the next runtime to find out.
    Closed,
}

struct Link {
    signals: Arc<Signals>,
    /// Finds out whose token it is. Nobody wants to know once the connection is gone.
    authentication: Option<AbortHandle>,
    /// Who it is, for whoever finds that out; gone once the session is open.
    visitor: Option<Visitor>,
}

/// Who waits for a delegated job: to begin, if it is not to have its credentials first, and to end.
struct Waiting {
    begun: Option<oneshot::Sender<Result<(), NotDelegated>>>,
    end: oneshot::Sender<Arc<Entry>>,
}

struct RunningJob {
    control: Arc<JobControl>,
    task: AbortHandle,
}

impl Driver {
    pub(crate) fn new(
        machine: Machine,
        inventory: Agents,
        agents: HashMap<ResolvedAgent, Arc<dyn ErasedAgent>>,
        (authenticator, message_rate): Door,
        store: Arc<dyn Store>,
        credentials: Option<Credentials>,
    ) -> Arc<Self> {
        let state = State {
            machine,
            links: HashMap::new(),
            jobs: HashMap::new(),
            children: HashMap::new(),
            armed: None,
            commit: Commit::Opening,
            talking: Vec::new(),
            said: Vec::new(),
        };
        let health = watch::Sender::new(Health::Starting);
        let (executor, tasks) = (Handle::current(), TaskTracker::new());
        Arc::new_cyclic(|this| Self {
            state: Mutex::new(state),
            this: Weak::clone(this),
            clock: Clock::start(),
            agents,
            inventory,
            authenticator,
            message_rate,
            store,
            earlier: Notify::new(),
            custody: credentials.map(|(provisioner, ledger)| {
                let (this, health) = (Weak::clone(this), health.subscribe());
                Custody::new(provisioner, ledger, this, health, executor.clone(), tasks.clone())
            }),
            health,
            failure: OnceLock::new(),
            committed: watch::Sender::new(0),
            drained: watch::Sender::new(false),
            executor,
            tasks,
            #[cfg(feature = "http")]
            http: tokio::sync::OnceCell::new(),
        })
    }

    /// Changes the machine, and does what it asks for then.
    ///
    /// Everything is done under the lock, so that the order in which the machine asks is the order in which it is done.
    /// None of it waits for anything: tasks are spawned and woken.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Machine, Now) -> R) -> R {
        self.with_state(|state, now| change(&mut state.machine, now))
    }

    /// The same for what an agent of a job says. If somebody is about to send it, what is said until then is told the machine, and
    /// committed, when they come.
    pub(crate) fn with_job(
        &self,
        job: JobKey,
        control: &Arc<JobControl>,
        emit: impl FnOnce(&mut Machine, Now, JobKey) -> Result<Flow, EmitError>,
    ) -> Result<(), EmitError> {
        let (mut state, now) = self.enter();
        let flow = emit(&mut state.machine, now, job);
        if flow == Ok(Flow::Wait) {
            control.hold(); // under the lock, so that the release cannot come first
        }
        let awaited = state.machine.is_about_to_transmit(job);
        if !awaited {
            self.commit(&mut state);
        }
        if flow.is_ok() && (awaited || state.commit == Commit::Busy) && state.machine.is_running(job) {
            control.said.open();
            state.talking.push((job, Arc::clone(control)));
        }
        self.follow(&mut state);
        flow.map(drop)
    }

    /// Takes the lock, and tells the machine what jobs have said since it was last held.
    fn enter(&self) -> (MutexGuard<'_, State>, Now) {
        let mut guard = self.lock();
        let now = self.clock.now();
        let State { machine, talking, said, .. } = &mut *guard;
        for (job, control) in talking.drain(..) {
            control.said.take(said);
            for draft in said.drain(..) {
                match machine.emit(now, job, draft) {
                    Ok(Flow::Continue) => {}
                    Ok(Flow::Wait) => control.hold(),
                    Err(error) => tracing::debug!(%error, "event of a job that ends is lost"),
                }
            }
        }
        (guard, now)
    }

    /// How often principals may send a message, where that is limited.
    pub(crate) fn message_rate(&self) -> Option<&MessageRate> {
        self.message_rate.as_ref()
    }

    /// Takes a frame that has come in over a connection. Tells whether there is something to write to it now: whoever reads a
    /// connection writes to it too, and is not woken for what it has brought about itself.
    pub(crate) fn receive(&self, connection: ConnectionKey, frame: Incoming) -> bool {
        let (mut state, now) = self.enter();
        state.machine.handle_frame(now, connection, frame);
        self.commit(&mut state);
        let mut answers = false;
        self.follow_with(&mut state, |driver, state, event| match event {
            Event::Transmit(to) if to == connection => answers = true,
            event => driver.react(state, event),
        });
        answers
    }

    fn with_state<R>(&self, change: impl FnOnce(&mut State, Now) -> R) -> R {
        let (mut state, now) = self.enter();
        let result = change(&mut state, now);
        self.commit(&mut state);
        self.follow(&mut state);
        result
    }

    /// Does what the machine asks for.
    fn follow(&self, state: &mut State) {
        self.follow_with(state, Self::react);
    }

    fn follow_with(&self, state: &mut State, mut react: impl FnMut(&Self, &mut State, Event)) {
        while let Some(event) = state.machine.poll_event() {
            react(self, state, event);
        }
        let next = state.machine.poll_timeout();
        if next.is_some() && (state.armed.is_none() || next < state.armed) {
            state.armed = next;
            self.earlier.notify_one();
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Has a job delegate, and tells how the other one ends.
    pub(crate) fn delegate(
        &self,
        parent: JobKey,
        delegation: Delegation,
    ) -> Result<(Child, Begun, oneshot::Receiver<Arc<Entry>>), NotDelegated> {
        let delegation = delegation.checked(&self.inventory);
        let (begun_sender, begun) = oneshot::channel();
        let (end_sender, end) = oneshot::channel();
        self.with_state(|state, now| {
            let child = state.machine.delegate(now, parent, delegation)?;
            state.children.insert(child.job, Waiting { begun: Some(begun_sender), end: end_sender });
            Ok((child, begun, end))
        })
    }

    /// What the runtime hosts, as the machine knows it.
    pub(crate) fn inventory(&self) -> &Agents {
        &self.inventory
    }

    pub(crate) fn custody(&self) -> Option<&Arc<Custody>> {
        self.custody.as_ref()
    }

    /// Runs something to its end, whoever waits for it.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.tasks.spawn_on(future, &self.executor)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic under the lock is a bug of the machine; what it has written down stays true.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where work that blocks is done.
    #[cfg(all(feature = "fs", unix))]
    pub(crate) fn executor(&self) -> &Handle {
        &self.executor
    }

    /// What agents' requests are made with; made for the first of them.
    #[cfg(feature = "http")]
    pub(crate) async fn http(&self) -> Result<&crate::http::Clients, String> {
        self.http.get_or_try_init(|| crate::http::Clients::start(&self.executor)).await
    }

    pub(crate) fn health(&self) -> &watch::Sender<Health> {
        &self.health
    }

    /// Waits until the store is open, and what it gave back is taken over, or the runtime stops before.
    pub(crate) async fn opened(&self) {
        let mut health = self.health.subscribe();
        let _ = health.wait_for(|health| *health != Health::Starting).await;
    }

    /// Waits until a batch is committed, or the runtime is through with its store.
    pub(crate) async fn committed(&self, position: u64) {
        let mut committed = self.committed.subscribe();
        tokio::select! {
            _ = committed.wait_for(|committed| *committed >= position) => {}
            () = self.failed() => {}
        }
    }

    /// Why the store has failed, if it has.
    pub(crate) fn failure(&self) -> Option<Arc<StoreError>> {
        self.failure.get().cloned()
    }

    /// Waits until the store has failed.
    pub(crate) async fn failed(&self) {
        let mut health = self.health.subscribe();
        let _ = health.wait_for(|health| *health == Health::Failed).await;
    }

    pub(crate) fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Takes nothing new on, and waits until no job runs any more.
    pub(crate) async fn drain(&self) {
        self.becomes(Health::Ready, Health::Draining);
        self.becomes(Health::Full, Health::Draining);
        self.with(|machine, now| machine.drain(now));
        let _ = self.drained.subscribe().wait_for(|drained| *drained).await;
    }

    /// Ends every job and closes every connection; what has to be sent before is sent.
    pub(crate) fn shut_down(&self) {
        self.health.send_if_modified(|health| {
            let running =
                matches!(health, Health::Starting | Health::Ready | Health::Full | Health::Draining);
            if running {
                *health = Health::Stopping;
            }
            running
        });
        self.with(|machine, now| machine.shut_down(now));
        self.tasks.close();
    }

    pub(crate) fn connect(&self, visitor: Visitor) -> (ConnectionKey, Arc<Signals>) {
        self.with_state(|state, now| {
            let key = state.machine.handle_connected(now, visitor.peer().secure);
            if let Some(trace) = visitor.trace() {
                state.machine.handle_trace(key, trace.clone());
            }
            let signals = Arc::new(Signals::default());
            let link = Link { signals: Arc::clone(&signals), authentication: None, visitor: Some(visitor) };
            state.links.insert(key, link);
            (key, signals)
        })
    }

    pub(crate) fn disconnect(&self, key: ConnectionKey) {
        self.with_state(|state, now| {
            let link = state.links.remove(&key);
            if let Some(authentication) = link.and_then(|link| link.authentication) {
                authentication.abort();
            }
            state.machine.handle_disconnected(now, key);
        });
    }

    /// The task of a job is through.
    pub(crate) fn forget_job(&self, job: JobKey) {
        if let Some(job) = self.lock().jobs.remove(&job) {
            job.control.end();
        }
    }

    fn react(&self, state: &mut State, event: Event) {
        match event {
            Event::Transmit(connection) => {
                if let Some(link) = state.links.get(&connection) {
                    link.signals.write.notify_one();
                }
            }
            Event::Read(connection) => {
                if let Some(link) = state.links.get(&connection) {
                    link.signals.read.notify_one();
                }
            }
            Event::Close(connection) => {
                if let Some(link) = state.links.get(&connection) {
                    link.signals.close.notify_one();
                }
            }
            Event::Authenticate { connection, token, .. } => self.authenticate(state, connection, token),
            Event::Start(spec) => self.start(state, *spec),
            Event::Stop(job, cause) => {
                if let Some(job) = state.jobs.get(&job) {
                    job.control.stop(cause);
                    job.control.release();
                }
            }
            Event::Abort(job) => {
                if let Some(job) = state.jobs.remove(&job) {
                    job.control.end();
                    job.task.abort();
                }
            }
            Event::ChildEnded { child, end } => {
                if let Some(waiting) = state.children.remove(&child) {
                    let _ = waiting.end.send(end); // whether anybody still waits or not
                }
            }
            Event::Delegated { child, outcome } => {
                let waiting = match outcome {
                    Ok(()) => state.children.get_mut(&child).and_then(|waiting| waiting.begun.take()),
                    Err(_) => state.children.remove(&child).and_then(|waiting| waiting.begun),
                };
                if let Some(begun) = waiting {
                    let _ = begun.send(outcome);
                }
            }
            Event::Provision(spec) => self.provision(*spec),
            Event::Constrain(job) => {
                if let Some(custody) = &self.custody {
                    custody.constrain(job);
                }
            }
            Event::Revoke(job) => {
                if let Some(custody) = &self.custody {
                    custody.revoke_all(job);
                }
            }
            Event::Wake(job) => {
                if let Some(job) = state.jobs.get(&job) {
                    job.control.release();
                }
            }
            Event::Drained => {
                self.drained.send_replace(true);
            }
            other => tracing::error!(?other, "event of the machine is not known to its driver"),
        }
    }

    fn start(&self, state: &mut State, spec: JobSpec) {
        if matches!(state.commit, Commit::Failed | Commit::Closed) {
            // Nobody will ever hear of this job.
            if let Some(custody) = &self.custody {
                custody.revoke_all(spec.job);
            }
            return;
        }
        let (Some(driver), Some(agent)) = (self.this.upgrade(), self.agents.get(&spec.agent)) else { return };
        let control = Arc::new(JobControl::new(&state.machine.config().limits));
        let job = spec.job;
        let agent = Arc::clone(agent);
        let supervised = supervise(driver, spec, agent, Arc::clone(&control));
        let task = self.tasks.spawn_on(supervised, &self.executor);
        state.jobs.insert(job, RunningJob { control, task: task.abort_handle() });
    }

    /// Has the credentials of a job issued. The feature is offered only where there is somebody to do it.
    fn provision(&self, spec: JobSpec) {
        let (Some(driver), Some(custody)) = (self.this.upgrade(), self.custody.clone()) else { return };
        self.tasks.spawn_on(
            async move {
                let outcome = custody.issue(&spec).await;
                let failed = outcome.is_err();
                driver.with(|machine, now| machine.handle_provisioned(now, spec.job, outcome));
                if failed {
                    custody.report_unissued(spec.job);
                }
            },
            &self.executor,
        );
    }

    fn authenticate(&self, state: &mut State, connection: ConnectionKey, token: BearerToken) {
        let (Some(driver), Some(link)) = (self.this.upgrade(), state.links.get_mut(&connection)) else {
            return;
        };
        let Some(visitor) = link.visitor.clone() else { return };
        let task = self.tasks.spawn_on(
            async move {
                let answer = async { driver.authenticator.authenticate_boxed(&token, &visitor).await };
                let answer = AssertUnwindSafe(answer).catch_unwind().await;
                let outcome = answer.unwrap_or_else(|_| {
                    tracing::error!("authenticator panicked");
                    Err(AuthenticationError::Unavailable)
                });
                drop(visitor); // before the session is open, for then it is to be gone
                driver.with_state(|state, now| {
                    state.machine.handle_authenticated(now, connection, outcome);
                    if state.machine.principal_of(connection).is_some()
                        && let Some(link) = state.links.get_mut(&connection)
                    {
                        link.visitor = None;
                    }
                });
            },
            &self.executor,
        );
        link.authentication = Some(task.abort_handle());
    }

    /// Opens the store; until then nothing is committed and so nothing is sent.
    pub(crate) async fn open_store(&self) {
        let opened = AssertUnwindSafe(async { self.store.open().await }).catch_unwind().await;
        match opened.unwrap_or_else(|panic| Err(panicked(panic))) {
            Ok(Opened { epoch, recovered }) => {
                let (sessions, jobs) = (recovered.sessions.len(), recovered.jobs.len());
                let restored = self.with_state(|state, now| {
                    let restored = match *self.health.borrow() {
                        Health::Starting => state.machine.restore(now, recovered),
                        _ => return false, // it is stopping: what is stored stays as it is
                    };
                    match restored {
                        Ok(()) => state.commit = Commit::Idle(epoch),
                        Err(error) => self.fail(state, StoreError::Damaged(error)),
                    }
                    true
                });
                if !restored {
                    return;
                }
                if sessions + jobs > 0 {
                    tracing::info!(sessions, jobs, "went on where the last run was");
                }
                self.becomes(Health::Starting, Health::Ready);
            }
            Err(error) => self.with_state(|state, _| self.fail(state, error)),
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
