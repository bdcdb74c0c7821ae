//! A runtime machine with the world around it played: connections, a store, an authenticator and agents that do what the
//! test says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use arcp_core::lease::Ceiling;
use arcp_core::runtime::{
    Agents, AuthenticationError, Batch, Close, Config, ConnectionKey, Draft, EmitError, Encoder, Event, Flow,
    Image, JobKey, JobSpec, NotDelegated, Outcome, ResolvedAgent, Runtime, StopCause, Transmit,
};
use arcp_core::{Caller, Incoming, Instant, Now, Principal};
use arcp_proto::event::EventKind;
use arcp_proto::session::Peer as Identity;
use arcp_proto::{ErrorCode, ErrorPayload, Json, Timestamp};
use serde_json::{Value, json};

use crate::peer::Peer;

/// When every simulation begins: 2026-05-13T19:42:13.000Z.
pub(crate) const START: &str = "2026-05-13T19:42:13.000Z";

/// One clock for everybody; it moves only when a test says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub(crate) struct Clock(pub(crate) Duration);

impl Clock {
    pub(crate) fn now(self) -> Now {
        let start: Timestamp = START.parse().unwrap();
        let wall = Timestamp::from_millis(start.as_millis() + self.0.as_millis() as i64);
        Now { monotonic: Instant::after_origin(self.0), wall }
    }

    pub(crate) fn after(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

/// Random bits that are the same in every run (splitmix64, twice).
pub(crate) fn seeded(seed: u64) -> impl FnMut() -> u128 + Send + Clone {
    let mut state = seed;
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    move || (u128::from(next()) << 64) | u128::from(next())
}

/// How the authenticator behaves. A token `<name>-token` belongs to the principal `<name>`, any other to nobody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Authenticator {
    Answers,
    IsDown,
    IsSilent,
}

/// What the runtime has written to one connection.
#[derive(Default)]
pub(crate) struct Wire {
    pub(crate) inbox: VecDeque<String>,
    pub(crate) everything: Vec<String>,
    pub(crate) closed: Option<Close>,
    /// The peer does not read: nothing is taken from the machine.
    pub(crate) stalled: bool,
    encoder: Encoder,
}

pub(crate) struct Host {
    pub(crate) machine: Runtime,
    pub(crate) clock: Clock,
    pub(crate) authenticator: Authenticator,
    /// What the tokens that are shown from now on allow to ask for.
    pub(crate) ceiling: Option<Ceiling>,
    /// How long tokens are good from when they are shown.
    pub(crate) token_life: Option<Duration>,
    pub(crate) wires: BTreeMap<ConnectionKey, Wire>,
    /// Every write, in order, as text.
    pub(crate) written: Vec<String>,
    /// What is committed.
    pub(crate) store: Image,
    pub(crate) config: Config,
    seed: u64,
    holding_commits: bool,
    held: VecDeque<Batch>,
    transmit_wanted: BTreeSet<ConnectionKey>,
    /// How much is taken from the machine at a time.
    pub(crate) gulp: usize,
    pub(crate) started: BTreeMap<String, JobSpec>,
    /// What was started by runtimes that have died.
    pub(crate) past: BTreeMap<String, JobSpec>,
    /// Jobs that wait for their credentials, in the order in which they were asked for.
    pub(crate) provisioning: VecDeque<JobSpec>,
    /// Jobs whose credentials are to be held to something else.
    pub(crate) constraining: VecDeque<JobKey>,
    pub(crate) revoked: Vec<JobKey>,
    /// Jobs that were delegated and waited for their credentials, and whether they have begun.
    pub(crate) delegated: Vec<(JobKey, Result<(), NotDelegated>)>,
    pub(crate) stopped: Vec<(JobKey, StopCause)>,
    pub(crate) aborted: Vec<JobKey>,
    pub(crate) children_ended: Vec<JobKey>,
    pub(crate) woken: Vec<JobKey>,
    pub(crate) readable: Vec<ConnectionKey>,
    /// Every event of the machine, as text.
    pub(crate) notices: Vec<String>,
}

pub(crate) fn agents() -> Agents {
    let mut agents = Agents::new();
    let known = [("echo", "1.0.0"), ("tireless", "1.0.0"), ("versioned", "1.0.0"), ("versioned", "2.0.0")];
    for (name, version) in known {
        let agent = ResolvedAgent { name: name.parse().unwrap(), version: version.parse().unwrap() };
        agents.register(agent.clone()).unwrap();
        if name == "tireless" {
            agents.rerun(agent);
        }
    }
    agents
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Host {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A host whose configuration is not the default one.
    pub(crate) fn with(configure: impl FnOnce(&mut Config)) -> Self {
        Self::seeded(1, configure)
    }

    pub(crate) fn seeded(seed: u64, configure: impl FnOnce(&mut Config)) -> Self {
        let identity = Identity { name: "host".to_owned(), version: "0".to_owned() };
        let mut config = Config::new(identity, agents());
        configure(&mut config);
        Self {
            machine: Runtime::new(config.clone(), Box::new(seeded(seed))),
            store: Image::new(),
            config,
            seed,
            clock: Clock::default(),
            authenticator: Authenticator::Answers,
            ceiling: None,
            token_life: None,
            wires: BTreeMap::new(),
            written: Vec::new(),
            holding_commits: false,
            held: VecDeque::new(),
            transmit_wanted: BTreeSet::new(),
            gulp: 16,
            started: BTreeMap::new(),
            past: BTreeMap::new(),
            provisioning: VecDeque::new(),
            constraining: VecDeque::new(),
            revoked: Vec::new(),
            delegated: Vec::new(),
            stopped: Vec::new(),
            aborted: Vec::new(),
            children_ended: Vec::new(),
            woken: Vec::new(),
            readable: Vec::new(),
            notices: Vec::new(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    // Connections

    /// A connection on which nothing has been said.
    pub(crate) fn connect(&mut self) -> Peer {
        self.connect_over(true)
    }

    /// The same, which nobody else can read or everybody.
    pub(crate) fn connect_over(&mut self, secure: bool) -> Peer {
        let key = self.machine.handle_connected(self.now(), secure);
        self.wires.insert(key, Wire::default());
        self.settle();
        Peer::new(key)
    }

    /// A peer with an open session.
    pub(crate) fn join(&mut self, who: &str) -> Peer {
        let mut peer = self.connect();
        peer.says_hello(self, who);
        peer.expects_welcome(self);
        peer
    }

    pub(crate) fn frame(&mut self, connection: ConnectionKey, incoming: Incoming) {
        self.machine.handle_frame(self.now(), connection, incoming);
        self.settle();
    }

    /// The connection is gone, and with it what was on its way.
    pub(crate) fn cut(&mut self, peer: &Peer) {
        self.machine.handle_disconnected(self.now(), peer.key);
        self.settle();
    }

    pub(crate) fn stall(&mut self, peer: &Peer) {
        self.wires.get_mut(&peer.key).unwrap().stalled = true;
    }

    pub(crate) fn unstall(&mut self, peer: &Peer) {
        self.wires.get_mut(&peer.key).unwrap().stalled = false;
        self.settle();
    }

    /// The peer, which does not read otherwise, reads this many frames.
    pub(crate) fn take_from(&mut self, peer: &Peer, count: usize) {
        let mut left = count;
        while left > 0 {
            let mut out = Vec::new();
            self.machine.poll_transmit(self.clock.now(), peer.key, left, &mut out);
            left -= out.len();
            let nothing = out.is_empty();
            self.deliver(peer.key, out);
            self.settle();
            // What was numbered just now is there once it is written.
            if nothing && !self.transmit_wanted.contains(&peer.key) {
                return;
            }
        }
    }

    pub(crate) fn authenticate(&mut self, peer: &Peer, outcome: Result<&str, AuthenticationError>) {
        self.machine.handle_authenticated(self.now(), peer.key, outcome.map(Principal::new));
        self.settle();
    }

    // Time and the store

    /// Lets time pass, timer by timer.
    pub(crate) fn wait(&mut self, duration: Duration) {
        let target = self.clock.after(duration);
        for _ in 0..10_000 {
            self.settle();
            match self.machine.poll_timeout() {
                Some(at) if at.since_origin() <= target.0 => {
                    self.clock = Clock(at.since_origin().max(self.clock.0));
                    self.machine.handle_timeout(self.now());
                }
                _ => {
                    self.clock = target;
                    return self.settle();
                }
            }
        }
        panic!("a timer is due again and again");
    }

    pub(crate) fn hold_commits(&mut self) {
        self.holding_commits = true;
    }

    pub(crate) fn commit_one(&mut self) {
        if let Some(batch) = self.held.pop_front() {
            self.store.apply(&batch);
            self.machine.handle_committed(batch.position);
        }
        self.settle();
    }

    pub(crate) fn release_commits(&mut self) {
        // In order: what comes now is committed after what was held.
        while !self.held.is_empty() {
            self.commit_one();
        }
        self.holding_commits = false;
        self.settle();
    }

    /// There is no room for what is not committed.
    pub(crate) fn fills_up(&mut self) {
        assert!(self.holding_commits, "what is committed at once had room");
        self.machine.handle_full(self.now());
        self.settle();
    }

    pub(crate) fn awaits_commits(&self) -> bool {
        !self.held.is_empty()
    }

    /// The runtime dies, with everything that is not committed, and another one goes on from what is. Nobody is told.
    pub(crate) fn crash(&mut self) {
        self.seed = self.seed.wrapping_add(0x0005_eedf);
        self.machine = Runtime::new(self.config.clone(), Box::new(seeded(self.seed)));
        self.holding_commits = false;
        self.held.clear();
        self.wires.clear();
        self.transmit_wanted.clear();
        self.past.append(&mut self.started);
        self.provisioning.clear();
        self.stopped.clear();
        self.aborted.clear();
        self.woken.clear();
        self.machine.restore(self.now(), self.store.recover()).unwrap();
        self.settle();
    }

    // Agents

    pub(crate) fn key_of(&self, job: &str) -> JobKey {
        self.started[job].job
    }

    pub(crate) fn emit_body(&mut self, job: &str, kind: EventKind, body: &Value) -> Result<Flow, EmitError> {
        let draft = Draft::new(kind, self.now().wall, body).unwrap();
        let flow = self.machine.emit(self.now(), self.key_of(job), draft);
        self.settle();
        flow
    }

    pub(crate) fn emit(&mut self, job: &str, text: &str) -> Result<Flow, EmitError> {
        self.emit_body(job, EventKind::Thought, &json!({ "text": text }))
    }

    /// Emits, as an agent that does not look at back-pressure.
    pub(crate) fn emits(&mut self, job: &str, texts: &[&str]) {
        for text in texts {
            self.emit(job, text).unwrap();
        }
    }

    pub(crate) fn finish(&mut self, job: &str, outcome: Outcome) {
        self.machine.finish(self.now(), self.key_of(job), outcome);
        self.settle();
    }

    pub(crate) fn succeed(&mut self, job: &str) {
        self.finish(job, Outcome::Success(Json::from(json!("done"))));
    }

    pub(crate) fn fail(&mut self, job: &str, code: ErrorCode, message: &str) {
        self.finish(job, Outcome::Failure(ErrorPayload::new(code, message)));
    }

    pub(crate) fn shut_down(&mut self) {
        self.machine.shut_down(self.now());
        self.settle();
    }

    // The driver

    /// Does what the machine asks until it asks for nothing more.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut idle = true;
            while let Some(batch) = self.machine.poll_write() {
                let position = batch.position;
                self.written.extend(batch.writes.iter().map(|write| format!("{position}: {write:?}")));
                idle = false;
                if self.holding_commits {
                    self.held.push_back(batch);
                } else {
                    self.store.apply(&batch);
                    self.machine.handle_committed(position);
                }
            }
            while let Some(event) = self.machine.poll_event() {
                idle = false;
                self.react(event);
            }
            let ready = |key: &&ConnectionKey| self.wires.get(key).is_none_or(|wire| !wire.stalled);
            if let Some(key) = self.transmit_wanted.iter().find(ready).copied() {
                idle = false;
                self.transmit(key);
            }
            if idle {
                return;
            }
        }
    }

    fn react(&mut self, event: Event) {
        self.notices.push(format!("{event:?}"));
        match event {
            Event::Authenticate { connection, token, .. } => {
                let outcome = match self.authenticator {
                    Authenticator::IsSilent => return,
                    Authenticator::IsDown => Err(AuthenticationError::Unavailable),
                    Authenticator::Answers => match token.expose().strip_suffix("-token") {
                        Some(name) => {
                            let mut caller = Caller::new(Principal::new(name));
                            if let Some(life) = self.token_life {
                                let millis = i64::try_from(life.as_millis()).unwrap();
                                let now = self.now().wall.as_millis();
                                caller = caller.until(Timestamp::from_millis(now + millis));
                            }
                            Ok(match &self.ceiling {
                                Some(ceiling) => caller.with_ceiling(ceiling.clone()),
                                None => caller,
                            })
                        }
                        None => Err(AuthenticationError::Invalid),
                    },
                };
                self.machine.handle_authenticated(self.now(), connection, outcome);
            }
            Event::Transmit(connection) => {
                self.transmit_wanted.insert(connection);
            }
            Event::Close(_) => {}
            Event::Read(connection) => self.readable.push(connection),
            Event::Start(spec) => {
                self.started.insert(spec.job_id.to_string(), *spec);
            }
            Event::Provision(spec) => self.provisioning.push_back(*spec),
            Event::Constrain(job) => self.constraining.push_back(job),
            Event::Revoke(job) => self.revoked.push(job),
            Event::Delegated { child, outcome } => self.delegated.push((child, outcome)),
            Event::Stop(job, cause) => self.stopped.push((job, cause)),
            Event::Abort(job) => self.aborted.push(job),
            Event::ChildEnded { child, .. } => self.children_ended.push(child),
            Event::Wake(job) => self.woken.push(job),
            Event::Drained => {}
            other => panic!("{other:?} is unknown to the played host"),
        }
    }

    fn transmit(&mut self, connection: ConnectionKey) {
        self.transmit_wanted.remove(&connection);
        loop {
            let mut out = Vec::new();
            self.machine.poll_transmit(self.clock.now(), connection, self.gulp, &mut out);
            let full = out.len() >= self.gulp;
            self.deliver(connection, out);
            if !full {
                return;
            }
        }
    }

    fn deliver(&mut self, connection: ConnectionKey, out: Vec<Transmit>) {
        let wire = self.wires.get_mut(&connection).expect("nothing is sent to nobody");
        for transmit in out {
            assert!(wire.closed.is_none(), "nothing follows a close");
            let frame = match transmit {
                Transmit::Frame(frame) => frame.to_string(),
                Transmit::Entry(entry) => {
                    let frame = wire.encoder.encode(&entry);
                    assert_eq!(frame, entry.encode(), "whatever was encoded before");
                    frame.to_string()
                }
                Transmit::Listing(listing) => listing.encode().unwrap().to_string(),
                Transmit::Close(close) => {
                    wire.closed = Some(close);
                    continue;
                }
            };
            wire.inbox.push_back(frame.clone());
            wire.everything.push(frame);
        }
    }
}
