//! Random lives of several sessions of several principals, with what must hold after every step of every one of them.
//!
//! `ARCP_SIM_SEED=17 cargo nextest run -p arcp-core random` lives one life again.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use arcp_core::runtime::Outcome;
use arcp_proto::event::EventKind;
use arcp_proto::{ErrorCode, ErrorPayload, Json};
use serde_json::{Value, json};

use crate::host::{Host, seconds, seeded};
use crate::peer::Peer;

const SEEDS: u64 = 300;
const STEPS: usize = 300;
const SESSIONS_PER_PRINCIPAL: usize = 3;
const KEYS: usize = 5;
const FINISHED: usize = 4;
const BUFFER: usize = 40;
const PRINCIPALS: [&str; 5] = ["alice", "alice", "alice", "bob", "bob"];

/// One client: what it knows, as far as it has heard.
struct Actor {
    who: &'static str,
    peer: Option<Peer>,
    /// Whether it waits for a welcome; then whether for its old session.
    joining: Option<bool>,
    session: String,
    token: String,
    /// Every numbered message of its session, as it came.
    seen: BTreeMap<u64, String>,
    last: u64,
    /// What it has asked and not been answered yet.
    asked: VecDeque<String>,
    /// Whether an answer was lost on a connection that is gone.
    lost_answers: bool,
    lost_welcome: bool,
    known: Vec<String>,
}

struct Life {
    host: Host,
    random: Box<dyn FnMut() -> u128>,
    actors: Vec<Actor>,
    keyed: BTreeMap<String, usize>,
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn is_end(frame: &Value) -> bool {
    frame["type"] == "job.result" || frame["type"] == "job.error"
}

impl Life {
    fn new(seed: u64) -> Self {
        let host = Host::seeded(seed, |config| {
            let limits = &mut config.limits;
            limits.send_window_events = 4;
            limits.buffer_events = BUFFER;
            limits.sessions_per_principal = SESSIONS_PER_PRINCIPAL;
            limits.jobs_per_session = 4;
            limits.jobs_per_principal = 8;
            limits.idempotency_keys = KEYS;
            limits.idempotency_window = seconds(200);
            limits.finished_jobs = FINISHED;
            limits.resume_window = seconds(60);
            limits.cancel_grace = seconds(5);
        });
        let actor = |who| Actor {
            who,
            peer: None,
            joining: None,
            session: String::new(),
            token: String::new(),
            seen: BTreeMap::new(),
            last: 0,
            asked: VecDeque::new(),
            lost_answers: false,
            lost_welcome: false,
            known: Vec::new(),
        };
        Self {
            host,
            random: Box::new(seeded(!seed)),
            actors: PRINCIPALS.map(actor).into(),
            keyed: BTreeMap::new(),
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        ((self.random)() % bound as u128) as usize
    }

    fn any_job(&mut self) -> Option<String> {
        let count = self.host.started.len();
        let index = if count == 0 { return None } else { self.below(count) };
        self.host.started.keys().nth(index).cloned()
    }

    fn step(&mut self) {
        let index = self.below(self.actors.len());
        match self.below(20) {
            0..=2 => self.ask(index, |life, peer| life.submit(peer)),
            3 => self.ask(index, |life, peer| match life.any_job() {
                Some(job) => peer.cancels(&mut life.host, &job),
                None => peer.cancels(&mut life.host, "job_unknown"),
            }),
            4 => self
                .ask(index, |life, peer| peer.asks(&mut life.host, "session.ping", json!({ "nonce": "n" }))),
            5 => self.ask(index, |life, peer| {
                peer.asks(&mut life.host, "session.close", json!({}));
                "close".to_owned()
            }),
            6..=9 => {
                for _ in 0..=self.below(3) {
                    self.emit();
                }
            }
            10 | 11 => self.finish(),
            12 => self.cut(index),
            13 | 14 => self.connect(index),
            15 => {
                let long = self.below(12) == 0;
                let wait = self.below(if long { 90_000 } else { 6_000 });
                self.host.wait(Duration::from_millis(wait as u64));
            }
            16 => self.host.hold_commits(),
            17 => self.host.commit_one(),
            18 => self.host.release_commits(),
            _ => {
                if let Some(peer) = &self.actors[index].peer {
                    match self.host.wires[&peer.key].stalled {
                        true => self.host.unstall(peer),
                        false => self.host.stall(peer),
                    }
                }
            }
        }
    }

    /// An actor with an open session asks for something.
    fn ask(&mut self, index: usize, ask: impl FnOnce(&mut Self, &mut Peer) -> String) {
        if self.actors[index].joining.is_some() {
            return;
        }
        let Some(mut peer) = self.actors[index].peer.take() else { return };
        let closing = self.actors[index].asked.back().is_some_and(|asked| asked == "close");
        let id = ask(self, &mut peer);
        if !closing {
            self.actors[index].asked.push_back(id);
        }
        self.actors[index].peer = Some(peer);
    }

    fn submit(&mut self, peer: &mut Peer) -> String {
        let mut payload = json!({ "agent": "echo", "input": null });
        if self.below(3) == 0 {
            let key = format!("k{}", self.below(8));
            payload["idempotency_key"] = json!(key);
            *self.keyed.entry(peer.session.clone()).or_default() += 1;
        }
        match self.below(6) {
            0 => payload["max_runtime_sec"] = json!(1 + self.below(5)),
            1 => payload["agent"] = json!("absent"),
            2 => payload["lease_constraints"] = json!({ "expires_at": "2026-05-13T19:45:00Z" }),
            _ => {}
        }
        peer.submits(&mut self.host, payload)
    }

    fn emit(&mut self) {
        let Some(job) = self.any_job() else { return };
        let (kind, body) = match self.below(4) {
            0 => (EventKind::Progress, json!({ "current": 1 })),
            _ => (EventKind::Thought, json!({ "text": "x".repeat(self.below(40)) })),
        };
        let _ = self.host.emit_body(&job, kind, &body);
    }

    fn finish(&mut self) {
        let Some(job) = self.any_job() else { return };
        let outcome = match self.below(3) {
            0 => Outcome::Success(Json::null()),
            1 => Outcome::Failure(ErrorPayload::new(ErrorCode::Timeout, "upstream")),
            _ => Outcome::Panicked,
        };
        self.host.finish(&job, outcome);
    }

    fn cut(&mut self, index: usize) {
        let actor = &mut self.actors[index];
        let Some(peer) = actor.peer.take() else { return };
        self.host.cut(&peer);
        actor.lost_answers |= !actor.asked.is_empty();
        actor.asked.clear();
        actor.lost_welcome |= actor.joining.take().is_some();
    }

    /// Connects, be it that there is a connection already, and asks for the session that there was.
    fn connect(&mut self, index: usize) {
        let closing = self.actors[index].asked.back().is_some_and(|asked| asked == "close");
        if closing || self.actors[index].joining.is_some() {
            return;
        }
        let back = self.below(4) as u64;
        let mut peer = self.host.connect();
        let actor = &mut self.actors[index];
        if actor.session.is_empty() {
            peer.says_hello(&mut self.host, actor.who);
        } else {
            actor.last = actor.last.saturating_sub(back);
            peer.resumes_with(&mut self.host, actor.who, &actor.session, &actor.token, actor.last);
        }
        if let Some(old) = actor.peer.take() {
            self.host.unstall(&old);
            let closed = self.host.wires[&old.key].closed.map(|close| close.code());
            if closed.is_none() {
                // Refused: what there was goes on. The client had not really lost what it asked for again.
                actor.last = actor.seen.keys().next_back().copied().unwrap_or(0);
                self.host.cut(&peer);
                actor.peer = Some(old);
                return;
            }
            assert_eq!(closed, Some(4409), "the old connection is taken over");
            actor.lost_answers |= !actor.asked.is_empty();
            actor.asked.clear();
            self.host.cut(&old);
        }
        actor.joining = Some(!actor.session.is_empty());
        actor.peer = Some(peer);
    }

    /// Hears everything that has come, and checks it.
    fn hear(&mut self) {
        for actor in &mut self.actors {
            let Some(mut peer) = actor.peer.take() else { continue };
            for text in peer.hears_text(&mut self.host) {
                let frame = parsed(&text);
                actor.hear(&frame, text, &self.host);
            }
            peer.session.clone_from(&actor.session);
            if self.host.wires[&peer.key].closed.is_some() {
                assert!(actor.asked.is_empty(), "closed with {:?} unanswered", actor.asked);
                assert!(actor.joining.is_none());
                self.host.cut(&peer);
            } else {
                actor.peer = Some(peer);
            }
        }
    }

    fn check(&mut self) {
        let census = self.host.machine.census();
        assert!(census.sessions <= 2 * SESSIONS_PER_PRINCIPAL, "{census:?}");
        assert!(census.keys <= KEYS && census.finished <= FINISHED, "{census:?}");
        assert!(census.jobs <= 16 + FINISHED + KEYS, "{census:?}");
        assert!(census.kept <= census.sessions * (BUFFER + 16 + KEYS) + 64, "{census:?}");
        assert!(census.waiting <= 16 * SESSIONS_PER_PRINCIPAL && census.timers <= 80, "{census:?}");
        assert_eq!(census.followers, census.following, "{census:?}");
        assert_eq!(census.events, 0);
    }

    /// Everything comes to its end: every job, every session, every window.
    fn end(mut self) {
        self.host.release_commits();
        for index in 0..self.actors.len() {
            if let Some(peer) = &self.actors[index].peer {
                self.host.unstall(peer);
            }
            self.hear();
            if self.actors[index].peer.is_none() {
                self.connect(index);
                self.hear();
            }
        }
        for job in self.host.started.keys().cloned().collect::<Vec<_>>() {
            self.host.finish(&job, Outcome::Panicked);
        }
        self.hear();
        for actor in &self.actors {
            assert!(actor.asked.is_empty(), "{:?} were never answered", actor.asked);
            let mut ends: BTreeMap<String, usize> = BTreeMap::new();
            for frame in actor.seen.values().map(|text| parsed(text)) {
                let job = frame["job_id"].as_str().unwrap().to_owned();
                if is_end(&frame) {
                    *ends.entry(job).or_default() += 1;
                } else {
                    assert!(!ends.contains_key(&job), "{frame} comes after the end of its job");
                }
            }
            let submits = self.keyed.get(&actor.session).copied().unwrap_or(0);
            let again: usize = ends.values().map(|count| count - 1).sum();
            assert!(again <= submits, "only a submit with a key is told an end again");
            let own = self.host.started.values().filter(|spec| spec.session_id.as_str() == actor.session);
            for spec in own {
                assert!(ends.contains_key(spec.job_id.as_str()), "{} has no end", spec.job_id);
            }
        }
        for index in 0..self.actors.len() {
            self.cut(index);
        }
        self.host.wait(seconds(1_000));
        let census = self.host.machine.census();
        // The one timer that is left forgets the jobs that have ended.
        let timers = census.timers - usize::from(census.finished > 0);
        let left = [census.connections, census.sessions, census.principals, census.keys, timers];
        assert_eq!(left, [0; 5], "{census:?}");
        assert!(census.jobs == census.finished && census.jobs <= FINISHED, "{census:?}");
        assert_eq!((census.waiting, census.kept, census.events), (0, 0, 0));
    }
}

impl Actor {
    fn hear(&mut self, frame: &Value, text: String, host: &Host) {
        if let Some(resuming) = self.joining {
            return self.hear_in_handshake(frame, resuming);
        }
        assert_eq!(frame["session_id"], self.session, "{frame}");
        if let Some(job) = frame["job_id"].as_str().filter(|job| host.started.contains_key(*job)) {
            let principal = host.started[job].principal.as_str();
            let denial = frame["type"] == "session.error" && frame["payload"]["code"] == "JOB_NOT_FOUND";
            assert!(principal == self.who || denial, "{} sees a job of {principal}: {frame}", self.who);
        }
        match (frame["event_seq"].as_u64(), frame["type"].as_str().unwrap()) {
            (Some(event_seq), "job.event" | "job.result" | "job.error") => {
                assert_eq!(event_seq, self.last + 1, "no gap and no repetition");
                self.last = event_seq;
                let job = frame["job_id"].as_str().unwrap();
                let known = self.known.iter().any(|known| known == job);
                assert!(known || self.lost_answers, "{frame} before its job.accepted");
                let before = self.seen.insert(event_seq, text.clone());
                assert!(before.is_none_or(|before| before == text), "a replay is a repetition");
            }
            (None, answer) => {
                let asked = self.asked.pop_front().expect("nothing is answered that was not asked");
                match answer {
                    "session.closed" => assert_eq!(asked, "close"),
                    "session.pong" => assert_eq!(frame["payload"]["ping_nonce"], "n"),
                    _ => assert_eq!(frame["payload"]["request_id"], asked, "answers come in order"),
                }
                if answer == "job.accepted" {
                    self.known.push(frame["job_id"].as_str().unwrap().to_owned());
                }
            }
            other => panic!("{other:?}: {frame}"),
        }
    }

    fn hear_in_handshake(&mut self, frame: &Value, resuming: bool) {
        self.joining = None;
        if frame["type"] == "session.welcome" {
            let session = frame["session_id"].as_str().unwrap();
            assert!(!resuming || session == self.session);
            session.clone_into(&mut self.session);
            frame["payload"]["resume_token"].as_str().unwrap().clone_into(&mut self.token);
            self.lost_welcome = false;
            return;
        }
        assert_eq!(frame["type"], "session.error", "{frame}");
        match (frame["payload"]["code"].as_str().unwrap(), resuming) {
            ("RESUME_WINDOW_EXPIRED", true) => {}
            ("PERMISSION_DENIED", true) => assert!(self.lost_welcome, "the token was the last one heard"),
            ("PERMISSION_DENIED", false) => {}
            other => panic!("{other:?}: {frame}"),
        }
        // What there was is lost; the next try begins anew.
        *self = Self {
            who: self.who,
            peer: None,
            joining: None,
            session: String::new(),
            token: String::new(),
            seen: BTreeMap::new(),
            last: 0,
            asked: VecDeque::new(),
            lost_answers: false,
            lost_welcome: false,
            known: Vec::new(),
        };
    }
}

fn live(seed: u64) {
    let mut life = Life::new(seed);
    for index in 0..PRINCIPALS.len() {
        life.connect(index);
        life.hear();
    }
    for _ in 0..STEPS {
        life.step();
        life.hear();
        life.check();
    }
    life.end();
}

#[test]
fn whatever_happens_every_life_is_in_order() {
    if let Ok(seed) = std::env::var("ARCP_SIM_SEED") {
        return live(seed.parse().unwrap());
    }
    for seed in 0..SEEDS {
        let lived = std::panic::catch_unwind(|| live(seed));
        assert!(lived.is_ok(), "ARCP_SIM_SEED={seed} fails");
    }
}
