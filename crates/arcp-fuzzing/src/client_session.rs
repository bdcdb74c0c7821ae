//! A client whose runtime says anything, whose links break, and whose application asks for what it likes.
//!
//! After every step: nothing but a hello is said before a welcome; each request has one answer of its own kind, in time; what
//! is told of jobs is told of those that are followed, and of each until its one end; nothing is told after the end of the
//! session, which comes when the application wants it; timers that are due make way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arbitrary::Unstructured;
use arcp_core::client::{Backoff, Config, Event, RequestKey, Session, Transmit};
use arcp_core::{Incoming, Instant};
use arcp_proto::job::{Submit, Subscribe};
use arcp_proto::session::{ListJobs, Peer};
use arcp_proto::{BearerToken, Envelope, JobId, Json, Message, Reader};
use serde_json::{Value, json};

use crate::grammar::{self, Pool, below, flag, known, one};
use crate::host::{Clock, seconds, seeded};
use crate::peer::message;

mod checks;

/// More steps than this are not taken.
const STEPS: usize = 600;

/// How long the client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Steps, one after the other.
pub fn client_session(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let mut life = Life::new(&mut bytes);
    life.connect();
    for _ in 0..STEPS {
        if bytes.is_empty() || life.is_over {
            break;
        }
        life.step(&mut bytes);
        life.drain();
    }
    life.end();
}

/// What may answer a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Submit,
    Cancel,
    List,
    Subscribe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Down,
    /// The application was asked for one.
    Wanted,
    /// Nothing has been said over it.
    Fresh,
    /// The hello is out.
    Opening,
    Open,
}

struct Life {
    machine: Session,
    reader: Reader,
    clock: Clock,
    link: Link,
    is_over: bool,
    has_opened: bool,
    /// Requests without an answer, and when they were asked.
    open: BTreeMap<RequestKey, (Kind, Duration)>,
    /// Jobs that are followed.
    followed: BTreeSet<String>,
    pool: Pool,
    /// The last number that was sent, and the last that was taken.
    sent: u64,
    taken: u64,
}

impl Life {
    fn new(bytes: &mut Unstructured<'_>) -> Self {
        let identity = Peer { name: "client".to_owned(), version: "0".to_owned() };
        let mut config = Config::new(identity, BearerToken::new("alice-token"));
        config.request_timeout = PATIENCE;
        config.reconnect = (below(bytes, 4) > 0).then(Backoff::default);
        Self {
            machine: Session::new(config, Box::new(seeded(3))),
            reader: Reader::default(),
            clock: Clock::default(),
            link: Link::Wanted,
            is_over: false,
            has_opened: false,
            open: BTreeMap::new(),
            followed: BTreeSet::new(),
            pool: Pool::default(),
            sent: 0,
            taken: 0,
        }
    }

    fn connect(&mut self) {
        self.link = Link::Fresh;
        self.machine.handle_connected(self.clock.now());
        self.drain();
    }

    fn step(&mut self, bytes: &mut Unstructured<'_>) {
        let now = self.clock.now();
        match below(bytes, 24) {
            0 | 1 if self.link == Link::Wanted => match below(bytes, 4) {
                0 => {
                    self.link = Link::Down;
                    self.machine.handle_connect_failed(now);
                }
                _ => self.connect(),
            },
            0..=2 if self.link == Link::Opening => self.welcome(bytes),
            3 if below(bytes, 2) == 0 => self.lose(),
            4 | 5 => self.submit(bytes),
            6 => {
                let job = known(bytes, &self.pool.jobs);
                let request = self.machine.cancel(now, job.parse().expect("an id"), None);
                self.open.insert(request, (Kind::Cancel, self.clock.0));
            }
            7 => {
                let request = self.machine.list_jobs(now, &ListJobs::default());
                self.open.insert(request, (Kind::List, self.clock.0));
            }
            8 | 9 => {
                let (job, history) = (known(bytes, &self.pool.jobs), flag(bytes));
                let from_event_seq = flag(bytes).then(|| below(bytes, 12) as u64);
                let subscribe = Subscribe { job_id: job.parse().expect("an id"), from_event_seq, history };
                let request = self.machine.subscribe(now, &subscribe);
                self.open.insert(request, (Kind::Subscribe, self.clock.0));
            }
            10 => {
                let job = known(bytes, &self.pool.jobs);
                self.machine.unsubscribe(now, job.parse().expect("an id"));
                self.followed.remove(&job);
            }
            11 => self.machine.handle_reading(now, flag(bytes)),
            12 => {
                let long = below(bytes, 6) == 0;
                let millis = 10 * below(bytes, 256) * if long { 100 } else { 1 };
                self.pass(Duration::from_millis(millis as u64));
            }
            13 if below(bytes, 16) == 0 => self.machine.close(now, None),
            14 if below(bytes, 16) == 0 && self.link == Link::Open => self.machine.handle_oversized_frame(),
            15 => self.hear_anything(bytes),
            _ => self.hear(bytes),
        }
    }

    fn submit(&mut self, bytes: &mut Unstructured<'_>) {
        let mut submit = Submit::new("echo".parse().expect("an agent"), Json::from(grammar::any(bytes, 1)));
        submit.idempotency_key = flag(bytes).then(|| one(bytes, &["k1", "k2"]).to_owned());
        let request = self.machine.submit(self.clock.now(), &submit, None);
        self.open.insert(request, (Kind::Submit, self.clock.0));
    }

    /// The link is gone.
    fn lose(&mut self) {
        if matches!(self.link, Link::Fresh | Link::Opening | Link::Open) {
            self.link = Link::Down;
            self.machine.handle_disconnected(self.clock.now());
        }
    }

    fn welcome(&mut self, bytes: &mut Unstructured<'_>) {
        let features: Vec<_> = arcp_core::client::implemented_features()
            .iter()
            .filter(|_| below(bytes, 8) > 0)
            .map(|feature| feature.as_str().to_owned())
            .collect();
        let session = one(bytes, &["s1", "s1", "s1", "s2"]);
        let mut payload = json!({ "session_id": session, "capabilities": { "features": features } });
        if below(bytes, 4) > 0 {
            payload["resume_token"] = json!("rt");
            payload["resume_window_sec"] = json!([60, 600, 0, i64::MAX][below(bytes, 4)]);
        }
        payload["heartbeat_interval_sec"] = json!([30, 1, 0, i64::MAX][below(bytes, 4)]);
        self.hear_message("session.welcome", payload, bytes);
    }

    /// Says something that a runtime may say, or something like it.
    fn hear(&mut self, bytes: &mut Unstructured<'_>) {
        if self.link == Link::Opening && below(bytes, 8) > 0 {
            return match below(bytes, 4) {
                0 => {
                    let error = grammar::error(bytes);
                    self.hear_message("session.error", error, bytes);
                }
                _ => self.welcome(bytes),
            };
        }
        let (message_type, payload) = grammar::answer(bytes, &self.pool);
        self.hear_message(message_type, payload, bytes);
    }

    fn hear_message(&mut self, message_type: &str, payload: Value, bytes: &mut Unstructured<'_>) {
        let of_job = matches!(message_type, "job.event" | "job.result" | "job.error");
        if let Some(job) = payload["job_id"].as_str().filter(|job| job.parse::<JobId>().is_ok()) {
            let known = self.pool.jobs.iter().any(|known| known == job);
            if !known {
                self.pool.jobs.push(job.to_owned());
            }
        }
        let mut envelope = message(&format!("m{}", self.sent), message_type, payload);
        envelope["session_id"] = json!("s1");
        if of_job || below(bytes, 8) == 0 {
            envelope["job_id"] = json!(known(bytes, &self.pool.jobs));
        }
        if of_job {
            self.sent = match below(bytes, 16) {
                0 => self.sent + 2,
                1 => self.sent.saturating_sub(1),
                2 => self.machine.last_event_seq(),
                3 => i64::MAX as u64,
                4 => 1,
                _ => self.machine.last_event_seq() + 1,
            };
            if below(bytes, 16) > 0 {
                envelope["event_seq"] = json!(self.sent.min(i64::MAX as u64));
            }
        } else if below(bytes, 4) == 0 {
            envelope["extensions"] = json!({ "x-vendor.arcp.next_index": below(bytes, 8) });
        }
        let text =
            if below(bytes, 12) == 0 { grammar::mutated(bytes, envelope) } else { envelope.to_string() };
        self.hear_text(text);
    }

    fn hear_anything(&mut self, bytes: &mut Unstructured<'_>) {
        let count = below(bytes, 64).min(bytes.len());
        let text = String::from_utf8_lossy(bytes.bytes(count).unwrap_or_default()).into_owned();
        self.hear_text(text);
    }

    fn hear_text(&mut self, text: String) {
        if matches!(self.link, Link::Opening | Link::Open) {
            self.machine.handle_frame(self.clock.now(), Incoming::read(&mut self.reader, text));
        }
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, duration: Duration) {
        let end = self.clock.after(duration).0;
        let mut turns = 0;
        while let Some(at) = self.machine.poll_timeout().filter(|at| *at <= Instant::after_origin(end)) {
            // A timer that is due may set another, but each waits for a while or for somebody.
            let at = at.since_origin();
            turns = if at > self.clock.0 { 0 } else { turns + 1 };
            assert!(turns < 8, "a timer is due again and again");
            self.clock = Clock(at.max(self.clock.0));
            self.machine.handle_timeout(self.clock.now());
            self.drain();
            if self.is_over {
                return;
            }
        }
        self.clock = Clock(end);
    }
}
