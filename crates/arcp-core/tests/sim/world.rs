//! A runtime, its clients, and what must hold of them after every step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use arcp_core::client::{Audience, Backoff, Config, Event, JobEnd, Loss, RequestKey, Session, Transmit};
use arcp_core::runtime::{ConnectionKey, Delegation, Flow, JobKey, Limits, Outcome};
use arcp_core::{Incoming, Now};
use arcp_proto::event::EventKind;
use arcp_proto::job::{Submit, Subscribe};
use arcp_proto::session::{ListJobs, Peer as Identity};
use arcp_proto::{BearerToken, ErrorCode, ErrorPayload, Json, Lease, LeaseConstraints, Reader};
use serde_json::{Value, json};

use crate::host::{Clock, Host, seconds, seeded};

const STEPS: usize = 120;
const PRINCIPALS: [&str; 4] = ["alice", "alice", "alice", "bob"];

/// A submit of a job that may delegate, and is run again after a crash or not.
fn delegating(agent: &str) -> Submit {
    let mut submit = Submit::new(agent.parse().unwrap(), Json::null());
    submit.lease_request = Lease::empty().grant("agent.delegate", "echo");
    submit
}

/// Whether something was refused since the store has no room.
fn full(error: &ErrorPayload) -> bool {
    error.code == ErrorCode::InternalError && error.message.contains("no room")
}

/// One way of a link: when each frame arrives; `None` is a close.
type Way = VecDeque<(Duration, Option<String>)>;

struct Link {
    connection: ConnectionKey,
    to_host: Way,
    to_client: Way,
    /// Whether nothing passes any more, and nobody has been told.
    dead: bool,
}

/// What an application has been told of a job.
#[derive(Default)]
struct Told {
    /// Which event comes next; `None` if it was not followed from its beginning, and has said nothing yet.
    next: Option<usize>,
    /// Whether some are said to be missing before the next.
    missed: bool,
    ends: usize,
    own: bool,
}

struct Client {
    who: &'static str,
    machine: Session,
    reader: Reader,
    link: Option<Link>,
    reachable: bool,
    /// Whether its application takes nothing.
    sated: bool,
    /// Whether it has lost a session, and with it the right to cancel what it submitted.
    renewed: bool,
    /// Jobs that it follows, or has followed.
    jobs: BTreeMap<String, Told>,
    /// Jobs that it has asked to follow.
    asked: BTreeMap<String, (RequestKey, bool)>,
    /// Submits with a key that others use too.
    keyed: BTreeSet<RequestKey>,
    over: Option<Loss>,
}

pub(crate) struct World {
    host: Host,
    random: Box<dyn FnMut() -> u128>,
    delay: Duration,
    clients: Vec<Client>,
    /// Jobs by id: whose, how many events, and whether they have ended.
    jobs: BTreeMap<String, (String, usize, bool)>,
    /// Jobs whose agents have been told to wait.
    waiting: BTreeSet<JobKey>,
    limits: Limits,
    /// Whether the runtime has died before.
    died: bool,
    history: String,
}

impl World {
    /// Lives a whole life and gives its history.
    pub(crate) fn live(seed: u64) -> String {
        let mut random = Box::new(seeded(seed ^ 0x5eed));
        let delay = Duration::from_millis((random() % 50) as u64);
        // Most sessions outlive most absences, some do not.
        let window = seconds([600, 60, 20, 1][(random() % 4) as usize]);
        let mut limits = Limits { resume_window: window, ..Limits::default() };
        // Half of the worlds are so small that everything comes to its limits.
        if random().is_multiple_of(2) {
            let mut upto = |least: usize, most: usize| least + (random() % (most - least) as u128) as usize;
            limits.send_window_events = upto(1, 10);
            limits.buffer_events = upto(4, 40);
            limits.history_events = upto(4, 60);
            limits.back_pressure_lag = upto(4, 40) as u64;
            limits.answers = upto(2, 20);
        }
        let mut world = Self {
            host: Host::seeded(seed, |config| config.limits = limits.clone()),
            waiting: BTreeSet::new(),
            limits,
            died: false,
            random,
            delay,
            clients: Vec::new(),
            jobs: BTreeMap::new(),
            history: String::new(),
        };
        world.host.gulp = 1 + world.below(20);
        for who in PRINCIPALS {
            let client = world.client(who);
            world.clients.push(client);
        }
        for _ in 0..STEPS {
            world.step();
            world.check();
        }
        world.settle_down();
        world.history
    }

    fn below(&mut self, bound: usize) -> usize {
        ((self.random)() % bound as u128) as usize
    }

    fn client(&mut self, who: &'static str) -> Client {
        let identity = Identity { name: "client".to_owned(), version: "0".to_owned() };
        let mut config = Config::new(identity, BearerToken::new(format!("{who}-token")));
        config.reconnect = Some(Backoff::default());
        config.request_timeout = seconds(100_000);
        config.handshake_timeout = seconds(20);
        let bits = (self.random)() as u64;
        let mut client = Client {
            who,
            machine: Session::new(config, Box::new(seeded(bits))),
            reader: Reader::default(),
            link: None,
            reachable: true,
            sated: false,
            renewed: false,
            jobs: BTreeMap::new(),
            asked: BTreeMap::new(),
            keyed: BTreeSet::new(),
            over: None,
        };
        client.dial(&mut self.host);
        client
    }

    fn step(&mut self) {
        let index = self.below(self.clients.len());
        let now = self.host.now();
        match self.below(27) {
            0 | 1 => {
                let agent = self.agent();
                self.clients[index].machine.submit(now, &delegating(agent), None);
            }
            21 => {
                let mut submit = delegating("echo");
                submit.idempotency_key = Some(format!("key {}", self.below(3)));
                let request = self.clients[index].machine.submit(now, &submit, None);
                self.clients[index].keyed.insert(request);
            }
            22 => {
                self.clients[index].machine.list_jobs(now, &ListJobs::default());
            }
            23 => self.subscribe(index, false),
            24 => self.delegate(),
            25 if self.below(8) == 0 => self.crash(),
            26 if self.below(6) == 0 && self.host.awaits_commits() => self.fill_up(),
            2..=6 => self.emit(),
            7 => self.finish(),
            8 => {
                let own = self.pick(index, |told| told.own && told.ends == 0);
                if let Some(job) = own {
                    self.clients[index].machine.cancel(now, job.parse().unwrap(), None);
                }
            }
            9 | 10 => self.clients[index].cut(&mut self.host),
            11 => {
                if let Some(link) = &mut self.clients[index].link {
                    link.dead = true;
                }
            }
            12 => self.clients[index].reachable ^= true,
            13 | 14 => self.subscribe(index, true),
            15 => {
                if let Some(job) = self.pick(index, |told| !told.own && told.ends == 0) {
                    let client = &mut self.clients[index];
                    client.machine.unsubscribe(now, job.parse().unwrap());
                    client.jobs.remove(&job);
                }
            }
            16 => {
                if let Some(link) = &self.clients[index].link
                    && let Some(wire) = self.host.wires.get_mut(&link.connection)
                {
                    wire.stalled ^= true;
                }
            }
            17 if self.below(2) == 0 => self.host.hold_commits(),
            17 => self.host.release_commits(),
            18 => self.run_at_most(40_000),
            19 => {
                let sated = !self.clients[index].sated;
                self.clients[index].take(now, sated);
            }
            _ => self.run_at_most(200),
        }
        self.exchange();
    }

    fn run_at_most(&mut self, millis: usize) {
        let millis = self.below(millis) as u64;
        self.run_for(Duration::from_millis(millis));
    }

    fn pick(&mut self, index: usize, wanted: impl Fn(&Told) -> bool) -> Option<String> {
        let jobs = self.clients[index].jobs.iter().filter(|(_, told)| wanted(told));
        let jobs: Vec<_> = jobs.map(|(job, _)| job.clone()).collect();
        if jobs.is_empty() { None } else { Some(jobs[self.below(jobs.len())].clone()) }
    }

    fn running(&mut self) -> Option<String> {
        let jobs: Vec<_> = self.jobs.iter().filter(|(_, job)| !job.2).map(|(id, _)| id.clone()).collect();
        if jobs.is_empty() { None } else { Some(jobs[self.below(jobs.len())].clone()) }
    }

    fn emit(&mut self) {
        let Some(job) = self.running() else { return };
        let key = self.host.key_of(&job);
        for _ in 0..=self.below(5) {
            if self.waiting.contains(&key) {
                return; // as its agent would
            }
            if self.below(8) == 0 {
                let progress = json!({ "current": 1 });
                if let Ok(Flow::Wait) = self.host.emit_body(&job, EventKind::Progress, &progress) {
                    self.waiting.insert(key);
                }
                continue;
            }
            let record = self.jobs.get_mut(&job).unwrap();
            let body = json!({ "text": record.1.to_string() });
            if let Ok(flow) = self.host.emit_body(&job, EventKind::Thought, &body) {
                record.1 += 1;
                if flow == Flow::Wait {
                    self.history.push_str("an agent waits\n");
                    self.waiting.insert(key);
                }
            }
            self.wake();
        }
    }

    fn delegate(&mut self) {
        let Some(job) = self.running() else { return };
        let lease = if self.below(2) == 0 { delegating("echo").lease_request } else { Lease::empty() };
        let delegation =
            Delegation::new("echo".parse().unwrap(), Json::null(), lease, LeaseConstraints::default());
        let key = self.host.key_of(&job);
        if self.host.machine.delegate(self.host.now(), key, delegation).is_ok() {
            self.history.push_str("a job delegates\n");
        }
        self.host.settle();
    }

    fn agent(&mut self) -> &'static str {
        if self.below(4) == 0 { "tireless" } else { "echo" }
    }

    /// The runtime dies. Its clients are told in that their links are gone.
    fn crash(&mut self) {
        self.history.push_str("the runtime dies\n");
        self.died = true;
        self.host.crash();
        let now = self.host.now();
        for client in &mut self.clients {
            if client.link.take().is_some() {
                client.machine.handle_disconnected(now);
            }
        }
        self.waiting.clear();
        self.reconcile();
    }

    /// What was not committed when the runtime died has never been. Nobody was told of it.
    fn reconcile(&mut self) {
        let mut jobs = BTreeMap::new();
        for job in self.host.store.recover().jobs {
            let id = job.head.job_id.to_string();
            let said = job.entries.iter().filter(|logged| logged.entry.kind == Some(EventKind::Thought));
            let again = self.host.started.contains_key(&id);
            if again {
                self.history.push_str("a job is run again\n");
            }
            jobs.insert(id, (job.record.principal.as_str().to_owned(), said.count(), !again));
        }
        self.jobs = jobs;
    }

    /// The store has no room. What was numbered is told once it has.
    fn fill_up(&mut self) {
        self.history.push_str("the store is full\n");
        self.host.fills_up();
        self.bury();
    }

    /// Jobs that have ended with others.
    fn bury(&mut self) {
        for job in self.host.aborted.drain(..) {
            let spec = self.host.started.values().find(|spec| spec.job == job);
            if let Some(record) = spec.and_then(|spec| self.jobs.get_mut(spec.job_id.as_str())) {
                record.2 = true;
            }
        }
    }

    fn wake(&mut self) {
        for job in self.host.woken.drain(..) {
            self.waiting.remove(&job);
        }
    }

    fn finish(&mut self) {
        let Some(job) = self.running() else { return };
        let outcome = match self.below(3) {
            0 => Outcome::Success(Json::null()),
            1 => Outcome::Failure(ErrorPayload::new(ErrorCode::from("QUOTA"), "no more")),
            _ => Outcome::Panicked,
        };
        self.host.finish(&job, outcome);
        self.jobs.get_mut(&job).unwrap().2 = true;
        self.bury();
    }

    fn subscribe(&mut self, index: usize, history: bool) {
        let client = &self.clients[index];
        let session = client.machine.resume_state().map(|state| state.session_id);
        let unknown = |(id, job): &(&String, &(String, usize, bool))| {
            let spec = self.host.started.get(*id).or_else(|| self.host.past.get(*id)).unwrap();
            let others = Some(&spec.session_id) != session.as_ref();
            job.0 == client.who && others && !client.jobs.contains_key(*id) && !client.asked.contains_key(*id)
        };
        let jobs: Vec<_> = self.jobs.iter().filter(unknown).map(|(id, _)| id.clone()).collect();
        if jobs.is_empty() {
            return;
        }
        let job = jobs[self.below(jobs.len())].clone();
        let job_id = job.parse().unwrap();
        let now = self.host.now();
        let subscribe = Subscribe { job_id, from_event_seq: None, history };
        let request = self.clients[index].machine.subscribe(now, &subscribe);
        self.clients[index].asked.insert(job, (request, history));
    }

    /// Lets time pass, with everything that falls into it.
    fn run_for(&mut self, duration: Duration) {
        let end = self.host.clock.after(duration).0;
        loop {
            self.exchange();
            let mut times: Vec<_> = self.host.machine.poll_timeout().into_iter().collect();
            times.extend(self.clients.iter().filter_map(|client| client.machine.poll_timeout()));
            let timers = times.into_iter().map(|at| at.since_origin());
            let arrivals = self.clients.iter().flat_map(Client::arrivals);
            let next = timers.chain(arrivals).min();
            let Some(at) = next.filter(|at| *at <= end) else { break };
            self.host.clock = Clock(at.max(self.host.clock.0));
            let now = self.host.now();
            self.host.machine.handle_timeout(now);
            self.host.settle();
            for client in &mut self.clients {
                client.machine.handle_timeout(now);
                client.arrive(&mut self.host);
            }
        }
        self.host.clock = Clock(end);
    }

    /// Puts on its way what everybody has to send, and hears what the applications are told.
    fn exchange(&mut self) {
        self.host.settle();
        self.wake();
        for job in std::mem::take(&mut self.host.stopped) {
            let name =
                self.host.started.values().find(|spec| spec.job == job.0).map(|spec| spec.job_id.to_string());
            let name = name.unwrap();
            self.host.finish(&name, Outcome::Success(Json::null()));
            self.jobs.get_mut(&name).unwrap().2 = true;
        }
        for (id, spec) in &self.host.started {
            let fresh = || (spec.principal.as_str().to_owned(), 0, false);
            self.jobs.entry(id.clone()).or_insert_with(fresh);
        }
        self.bury();
        for index in 0..self.clients.len() {
            let told = self.clients[index].exchange(&mut self.host, self.delay);
            for event in told {
                self.hear(index, event);
            }
            self.clients[index].exchange(&mut self.host, self.delay);
            if let Some(loss) = self.clients[index].over {
                let fair = matches!(
                    loss,
                    Loss::Unreachable | Loss::BeforeWelcome | Loss::HandshakeTimeout | Loss::Refused
                );
                assert!(fair, "no session ends but by being away too long, or before it began: {loss:?}");
                let who = self.clients[index].who;
                self.clients[index].cut(&mut self.host);
                // Who is turned away by a store that is full tries again when there is room.
                self.host.release_commits();
                self.clients[index] = self.client(who);
                self.clients[index].exchange(&mut self.host, self.delay);
            }
        }
    }

    fn hear(&mut self, index: usize, event: Event) {
        let client = &mut self.clients[index];
        let followed = match &event {
            Event::Accepted { accepted, request } => {
                let keyed = client.keyed.contains(request);
                Some((&accepted.job_id, !keyed, if keyed { None } else { Some(0) }))
            }
            Event::Subscribed { subscribed, .. } => {
                let history = client.asked.get(subscribed.job_id.as_str()).is_some_and(|asked| asked.1);
                Some((&subscribed.job_id, false, history.then_some(0)))
            }
            Event::Job { job_id, .. } | Event::JobEnded { job_id, .. } => {
                let job = &self.jobs[job_id.as_str()];
                assert_eq!(job.0, client.who, "nobody is told of another principal's job");
                None
            }
            Event::Delegated(accepted) => Some((&accepted.job_id, true, Some(0))),
            // A cancel that waited for a session which is gone.
            Event::Refused { error, .. } if error.code == ErrorCode::PermissionDenied && client.renewed => {
                None
            }
            Event::Refused { request, error } if full(error) => {
                client.asked.retain(|_, asked| asked.0 != *request);
                self.history.push_str(&format!("{index} is refused\n"));
                None
            }
            // A job that was not committed when the runtime died: to subscribe to it the world must know more than the wire.
            Event::Refused { request, error } if error.code == ErrorCode::JobNotFound && self.died => {
                client.asked.retain(|job, asked| asked.0 != *request || self.jobs.contains_key(job));
                let answered = client.asked.values().all(|asked| asked.0 != *request);
                assert!(answered, "a job that is known is not found");
                None
            }
            Event::Refused { error, .. } => panic!("nothing here is refused: {error}"),
            Event::HandshakeRefused(error) => {
                assert!(full(error), "nobody is turned away: {error}");
                None
            }
            Event::Missed { audience: Audience::Only(_), .. } => None,
            Event::Missed { job_id, .. } => {
                assert!(self.limits.history_events < 1_000, "{job_id}: everything is kept here");
                client.jobs.get_mut(job_id.as_str()).expect("only of what is followed").missed = true;
                self.history.push_str(&format!("{index} misses\n"));
                None
            }
            Event::Lapsed(error) => {
                // A welcome that was lost for more than 30 s leaves the client with a token that is dead.
                let codes = [ErrorCode::PermissionDenied, ErrorCode::ResumeWindowExpired];
                assert!(error.as_ref().is_none_or(|error| codes.contains(&error.code)), "{error:?}");
                client.renewed = true;
                client.jobs.values_mut().for_each(|told| told.own = false);
                let why = error.as_ref().map_or("by the clock", |error| error.code.as_str());
                self.history.push_str(&format!("{index} lapses {why}\n"));
                None
            }
            _ => None,
        };
        if let Some((job_id, own, next)) = followed {
            let known = client.jobs.get(job_id.as_str()).is_some_and(|told| told.ends == 0);
            // A job that is followed already may be submitted again with its key, or subscribed to: who follows it goes on.
            if !known {
                client.jobs.insert(job_id.to_string(), Told { next, own, ..Told::default() });
            }
        }
        match event {
            Event::Job { event, .. } if event.kind == EventKind::Status => {
                self.history.push_str(&format!("{index} is told of its lag\n"));
            }
            Event::Job { audience: Audience::Only(_), .. } => {} // for who has only now begun to follow it
            Event::Job { job_id, event, .. } if event.kind == EventKind::Thought => {
                let told =
                    client.jobs.get_mut(job_id.as_str()).expect("only jobs that are followed are told of");
                let body: Value = event.body.decode().unwrap();
                let said: usize = body["text"].as_str().unwrap().parse().unwrap();
                match told.next {
                    Some(next) if told.missed => assert!(said >= next, "{job_id}: {said} after {next}"),
                    Some(next) => assert_eq!(said, next, "{job_id}: each event once, and in order"),
                    None => {}
                }
                assert_eq!(told.ends, 0, "{job_id}: nothing follows the end");
                (told.next, told.missed) = (Some(said + 1), false);
                self.history.push_str(&format!("{index} {job_id} {said}\n"));
            }
            Event::JobEnded { end: JobEnd::Lost(error), .. } => panic!("every job is taken up: {error}"),
            Event::JobEnded { job_id, .. } => {
                let told = client.jobs.get_mut(job_id.as_str()).expect("only jobs that are followed end");
                told.ends += 1;
                assert_eq!(told.ends, 1, "{job_id}: one end");
                let last = told.next.unwrap_or(self.jobs[job_id.as_str()].1);
                assert!(told.missed || last == self.jobs[job_id.as_str()].1, "{job_id}: the end is the last");
                self.history.push_str(&format!("{index} {job_id} ends\n"));
            }
            Event::Subscribed { subscribed, .. } => {
                client.asked.remove(subscribed.job_id.as_str());
            }
            Event::Interrupted { request } => client.asked.retain(|_, asked| asked.0 != request),
            Event::Ended(loss) => client.over = Some(loss),
            _ => {}
        }
    }

    fn check(&self) {
        for client in &self.clients {
            for (job, told) in &client.jobs {
                assert!(told.next.unwrap_or(0) <= self.jobs[job].1, "{job}: nothing is made up");
            }
        }
        let census = self.host.machine.census();
        // What is kept of a session is bounded; each running agent may be one ahead before it waits.
        let most = self.limits.buffer_events.max(self.limits.send_window_events) + 2 * self.jobs.len() + 8;
        assert!(census.kept <= most * census.sessions, "{census:?}");
    }

    /// Everything works again and every job ends: then everybody has been told everything.
    fn settle_down(&mut self) {
        self.host.release_commits();
        for index in 0..self.clients.len() {
            self.clients[index].reachable = true;
            self.clients[index].take(self.host.now(), false);
            self.clients[index].cut(&mut self.host);
        }
        self.run_for(seconds(60));
        while self.running().is_some() {
            self.finish();
        }
        self.run_for(seconds(300));
        for client in &self.clients {
            for (job, told) in &client.jobs {
                assert_eq!(told.ends, 1, "{job} of {}", client.who);
            }
        }
        for index in 0..self.clients.len() {
            self.clients[index].reachable = false;
            self.clients[index].cut(&mut self.host);
        }
        // Links that died without a word are noticed in the end.
        let connections: Vec<_> = self.host.wires.keys().copied().collect();
        for connection in connections {
            self.host.machine.handle_disconnected(self.host.now(), connection);
        }
        self.host.clock = self.host.clock.after(seconds(700));
        self.host.machine.handle_timeout(self.host.now());
        self.host.settle();
        let census = self.host.machine.census();
        assert_eq!(
            (census.connections, census.sessions, census.followers, census.waiting),
            (0, 0, 0, 0),
            "{census:?}"
        );
    }
}

impl Client {
    fn dial(&mut self, host: &mut Host) {
        if !self.reachable {
            return self.machine.handle_connect_failed(host.now());
        }
        // The old link is dropped here; the runtime may learn of it much later, or never.
        if let Some(old) = self.link.take()
            && !old.dead
        {
            host.machine.handle_disconnected(host.now(), old.connection);
            host.settle();
        }
        let connection = host.connect().key;
        self.link = Some(Link { connection, to_host: Way::new(), to_client: Way::new(), dead: false });
        self.machine.handle_connected(host.now());
    }

    /// The link is cut: what was on its way is gone, and both sides learn of it.
    fn cut(&mut self, host: &mut Host) {
        if let Some(link) = self.link.take() {
            host.machine.handle_disconnected(host.now(), link.connection);
            host.settle();
            self.machine.handle_disconnected(host.now());
        }
    }

    /// The application takes nothing from now on, or takes what comes again.
    fn take(&mut self, now: Now, sated: bool) {
        self.sated = sated;
        self.machine.handle_reading(now, self.reads());
    }

    /// Whether frames are read: what opens a session is, whatever waits of what it has brought.
    fn reads(&self) -> bool {
        !self.sated || self.machine.features().is_none()
    }

    /// When something arrives.
    fn arrivals(&self) -> impl Iterator<Item = Duration> {
        let link = self.link.as_ref().filter(|link| !link.dead);
        let to_client = link.and_then(|link| link.to_client.front()).filter(|_| self.reads());
        link.and_then(|link| link.to_host.front()).into_iter().chain(to_client).map(|(at, _)| *at)
    }

    fn arrive(&mut self, host: &mut Host) {
        let now = host.clock.0;
        while let Some(link) = self.link.as_mut().filter(|link| !link.dead) {
            if let Some(frame) = arrived(&mut link.to_host, now) {
                match frame {
                    Some(frame) => host.frame(link.connection, Incoming::text(frame)),
                    None => self.cut(host),
                }
            } else if (!self.sated || self.machine.features().is_none())
                && let Some(frame) = arrived(&mut link.to_client, now)
            {
                match frame {
                    Some(frame) => {
                        self.machine.handle_frame(host.now(), Incoming::read(&mut self.reader, frame))
                    }
                    None => self.cut(host),
                }
                self.machine.handle_reading(host.now(), self.reads());
            } else {
                return;
            }
        }
    }

    fn exchange(&mut self, host: &mut Host, delay: Duration) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            let arrival = host.clock.0 + delay;
            while let Some(transmit) = self.machine.poll_transmit() {
                let frame = match transmit {
                    Transmit::Frame(frame) => Some(frame.to_string()),
                    Transmit::Close => None,
                };
                if let Some(link) = &mut self.link {
                    link.to_host.push_back((arrival, frame));
                }
            }
            let Some(event) = self.machine.poll_event() else { break };
            match event {
                Event::Connect => self.dial(host),
                Event::AcknowledgeDue => self.machine.acknowledge(host.now(), self.machine.last_event_seq()),
                other => told.push(other),
            }
        }
        if let Some(link) = &mut self.link
            && let Some(wire) = host.wires.get_mut(&link.connection)
        {
            let arrival = host.clock.0 + delay;
            let closed = wire.closed.take().map(|_| None);
            link.to_client.extend(wire.inbox.drain(..).map(Some).chain(closed).map(|frame| (arrival, frame)));
        }
        told
    }
}

fn arrived(way: &mut Way, now: Duration) -> Option<Option<String>> {
    if way.front()?.0 > now {
        return None;
    }
    way.pop_front().map(|(_, frame)| frame)
}
