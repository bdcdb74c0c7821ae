//! Clients that want nothing but their due: those that only stay, submit, watch, list, and come back after cuts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp::Client;
use arcp::client::{Backoff, RequestError, State};
use arcp::proto::job::JobStatus;
use futures_util::{StreamExt, stream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::options::SESSIONS_OF_ONE;
use crate::random::Random;
use crate::server::token;
use crate::tap::{Ledger, Tap};
use crate::work::Work;
use crate::world::{Phase, World, lock};

/// Handshakes at a time while sessions are opened.
const AT_ONCE: usize = 64;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Idle,
    Submits,
    Watches,
    Lists,
    /// Submits, and loses its connection now and then.
    Resumes,
}

impl Role {
    /// Of every hundred, so many.
    fn of(index: usize) -> Self {
        match index % 20 {
            0..=3 => Self::Submits,
            4 => Self::Watches,
            5 => Self::Lists,
            6 | 7 => Self::Resumes,
            _ => Self::Idle,
        }
    }
}

/// All honest clients.
pub(crate) struct Clients {
    world: Arc<World>,
    sessions: Vec<Session>,
    tasks: Mutex<JoinSet<()>>,
}

#[derive(Clone)]
struct Session {
    world: Arc<World>,
    principal: String,
    client: Client,
    ledger: Arc<Mutex<Ledger>>,
    cuts: Arc<watch::Sender<u64>>,
}

/// Opens every session and has each begin what it is there for.
pub(crate) async fn open(world: &Arc<World>) -> Result<Clients, String> {
    let opening =
        stream::iter(0..world.options.sessions).map(|index| Session::open(Arc::clone(world), index));
    let opened: Vec<_> = opening.buffered(AT_ONCE).collect().await;
    let sessions = opened.into_iter().collect::<Result<Vec<_>, _>>()?;
    let count =
        |wanted: &[Role]| (0..sessions.len()).filter(|index| wanted.contains(&Role::of(*index))).count();
    let submitters = count(&[Role::Submits, Role::Resumes]);
    let pace = Duration::from_secs_f64(submitters as f64 / world.options.rate);
    let mut tasks = JoinSet::new();
    for (index, session) in sessions.iter().enumerate() {
        let random = Random::new(index as u64, "honest");
        let session = session.clone();
        match Role::of(index) {
            Role::Idle => {}
            Role::Submits => drop(tasks.spawn(session.submit(random, pace))),
            Role::Watches => drop(tasks.spawn(session.watch(random))),
            Role::Lists => drop(tasks.spawn(session.list(random))),
            Role::Resumes => {
                tasks.spawn(session.clone().submit(random, pace));
                tasks.spawn(session.lose(Random::new(index as u64, "cuts")));
            }
        }
    }
    Ok(Clients { world: Arc::clone(world), sessions, tasks: Mutex::new(tasks) })
}

impl Clients {
    /// Cuts every connection at once, and waits until every session is there again.
    pub(crate) async fn cut_all(&self) -> Result<(), String> {
        let before: Vec<_> = self.sessions.iter().map(Session::connections).collect();
        for session in &self.sessions {
            session.cuts.send_modify(|cuts| *cuts += 1);
        }
        for (session, before) in self.sessions.iter().zip(before) {
            let mut state = session.client.state();
            let there = |state: &State| match state {
                State::Connected => session.connections() > before,
                State::Ended(_) | State::Renewed => true,
                _ => false,
            };
            let state = state.wait_for(there).await.map(|state| *state);
            if !matches!(state, Ok(State::Connected)) {
                return Err(format!("{}: after a cut its session is {state:?}", lock(&session.ledger).name));
            }
        }
        Ok(())
    }

    /// Waits for every job to end, and holds what was told against what must have been.
    pub(crate) async fn finished(&self) {
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        while let Some(ended) = tasks.join_next().await {
            if let Err(error) = ended {
                self.world.problem(format!("an honest client has panicked: {error}"));
            }
        }
        for session in &self.sessions {
            let ledger = lock(&session.ledger);
            match ledger.check() {
                Ok(jobs) => self.world.note("ends told to sessions, each once", jobs),
                Err(problem) => self.world.problem(problem),
            }
            if let State::Ended(loss) = *session.client.state().borrow() {
                self.world.problem(format!("{}: its session has ended: {loss}", ledger.name));
            }
            self.world.note("connections of honest sessions", ledger.connections);
        }
    }
}

impl Session {
    async fn open(world: Arc<World>, index: usize) -> Result<Self, String> {
        let principal = format!("honest-{}", index / SESSIONS_OF_ONE);
        let name = format!("{:?} {index}", Role::of(index));
        let ledger = Arc::new(Mutex::new(Ledger::of(&name)));
        let (cuts, cut) = watch::channel(0);
        let tap = Tap { world: Arc::clone(&world), ledger: Arc::clone(&ledger), cuts: cut };
        let backoff = Backoff {
            first: Duration::from_millis(50),
            most: Duration::from_secs(2),
            patience: Duration::from_secs(600),
        };
        let connect = Client::connect(tap, token(&principal)).reconnect(backoff);
        let client = connect.request_timeout(Duration::from_secs(60)).await;
        let client = client.map_err(|error| format!("{name}: {error}"))?;
        Ok(Self { world, principal, client, ledger, cuts: Arc::new(cuts) })
    }

    fn connections(&self) -> u64 {
        lock(&self.ledger).connections
    }

    /// The next moment to do something, unless it is too late for anything new.
    async fn next(&self, pace: &mut Interval) -> bool {
        tokio::select! {
            biased;
            () = self.world.reached(Phase::Storm) => false,
            _ = pace.tick() => true,
        }
    }

    async fn submit(self, mut random: Random, every: Duration) {
        let mut pace = pace(every, &mut random);
        while self.next(&mut pace).await {
            let work = Work::draw(&mut random);
            let (phase, begun) = (self.world.now(), Instant::now());
            let submit = self.client.submit(work.agent()).input(&work.input()).lease(work.lease());
            let mut job = match submit.await {
                Ok(job) => job,
                Err(error) => {
                    self.world.problem(format!("submit of {work:?}: {error}"));
                    continue;
                }
            };
            self.world.note("jobs of honest clients", 1);
            self.world.announce(&self.principal, job.id());
            let mut events = 0;
            while job.next().await.is_some() {
                events += 1;
                if events == 1
                    && matches!(work, Work::Cancel)
                    && let Err(error) = job.cancel().await
                {
                    self.world.problem(format!("cancel of {}: {error}", job.id()));
                }
            }
            let end = job.result_json().await;
            if work.is_timed() {
                self.world.took(phase, begun.elapsed());
            }
            match work.check(events, &end) {
                Ok(()) => self.world.note("jobs that ended as they must", 1),
                Err(problem) => self.world.problem(format!("{}: {problem}", job.id())),
            }
        }
    }

    async fn watch(self, mut random: Random) {
        let mut pace = pace(self.world.options.every(), &mut random);
        while self.next(&mut pace).await {
            let Some(job) = self.world.recent(&self.principal) else { continue };
            let mut job = match self.client.subscribe(&job).with_history().await {
                Ok(job) => job,
                // It is remembered for some seconds only.
                Err(error) if error.code().is_some_and(|code| code.as_str() == "JOB_NOT_FOUND") => continue,
                Err(RequestError::Interrupted) => continue,
                Err(error) => {
                    self.world.problem(format!("subscribe to {job}: {error}"));
                    continue;
                }
            };
            while job.next().await.is_some() {}
            self.world.note("jobs watched to their ends", 1);
        }
    }

    async fn list(self, mut random: Random) {
        let mut pace = pace(self.world.options.every(), &mut random);
        while self.next(&mut pace).await {
            let mut list = self.client.jobs().page_size(20);
            if random.percent(50) {
                list = list.status(JobStatus::Running);
            }
            let mut jobs = list.stream().take(100);
            while let Some(entry) = jobs.next().await {
                match entry {
                    Ok(_) => self.world.note("jobs listed", 1),
                    Err(RequestError::Interrupted) => {}
                    Err(error) => self.world.problem(format!("list: {error}")),
                }
            }
        }
    }

    async fn lose(self, mut random: Random) {
        let mut pace = pace(self.world.options.every(), &mut random);
        while self.next(&mut pace).await {
            self.cuts.send_modify(|cuts| *cuts += 1);
            self.world.note("connections lost by honest clients", 1);
        }
    }
}

/// Moments at a distance, the first of them anywhere within it, so that not everybody has the same.
fn pace(every: Duration, random: &mut Random) -> Interval {
    let first = Duration::from_millis(random.within(0, every.as_millis() as u64));
    let mut pace = interval_at(Instant::now() + first, every);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    pace
}
