//! What a write costs, by kind: the same batches each time, so that instructions can be counted too.
//!
//! `cargo bench -p arcp-store-sqlite --bench writes -- [KIND] [ROUNDS]` prints how long commits take, in the directory of `TMPDIR` and with
//! [`Durability::Normal`]: the disk is no part of it. Under `valgrind --tool=callgrind --separate-threads=yes` the second thread is
//! the writer; what 200 rounds cost beyond 100 is what 100 cost.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arcp_proto::job::{Accepted, FinalStatus};
use arcp_proto::{Digest, Features, JobId, Json, Lease, MessageType, SessionId, Timestamp, TraceId};
use arcp_runtime::store::{
    Batch, Entry, Fingerprint, FollowRecord, JobHead, JobRecord, Logged, SessionRecord, Shown, Store,
    ViewRecord, Write,
};
use arcp_runtime::{Principal, Quirks};
use arcp_store_sqlite::{Durability, SqliteStore};

/// Sessions, and jobs that have ended before anything is measured.
const SESSIONS: usize = 5_000;
const OLD_JOBS: usize = 20_000;

/// Batches after which a job is forgotten, in `lives`.
const KEPT: usize = 20;

/// What a batch holds, and of how many things.
const KINDS: [(&str, usize); 8] = [
    ("jobs", 200),
    ("keyed", 200),
    ("halves", 200),
    ("lives", 200),
    ("events", 200),
    ("resumes", 600),
    ("returns", 600),
    ("mixed", 1_000),
];

struct Session {
    id: SessionId,
    tokens: u64,
    /// The number of its last message.
    seq: u64,
}

struct World {
    sessions: Vec<Session>,
    next_session: usize,
    jobs: u128,
    /// What said nothing yet, and its session.
    running: VecDeque<(Arc<JobHead>, usize)>,
    said: u64,
    ended: VecDeque<Vec<JobId>>,
    payload: Json,
    writes: Vec<Write>,
}

fn name(prefix: &str, number: u128) -> String {
    format!("{prefix}_01J00000{number:018}")
}

impl World {
    fn new() -> Self {
        let session =
            |number| Session { id: name("sess", number as u128).parse().expect("an id"), tokens: 0, seq: 0 };
        let payload = serde_json::json!({
            "final_status": "success", "summary": "done", "result": { "echo": "x".repeat(40) },
        });
        Self {
            sessions: (0..SESSIONS).map(session).collect(),
            next_session: 0,
            jobs: 0,
            running: VecDeque::new(),
            said: 0,
            ended: VecDeque::new(),
            payload: payload.into(),
            writes: Vec::new(),
        }
    }

    fn take(&mut self) -> Arc<Batch> {
        Arc::new(Batch { position: 0, writes: std::mem::take(&mut self.writes) })
    }

    /// Whose turn it is: neighbours do not follow each other.
    fn turn(&mut self) -> usize {
        self.next_session = (self.next_session + 1_999) % SESSIONS;
        self.next_session
    }

    fn session(&mut self, at: usize, connected: bool) {
        let session = &mut self.sessions[at];
        session.tokens += u64::from(connected);
        let digest = |number: u64| {
            let mut bytes = [7; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            Digest::from_bytes(bytes)
        };
        self.writes.push(Write::Session(SessionRecord {
            session_id: session.id.clone(),
            principal: Principal::new("alice"),
            features: Features::all(),
            quirks: Quirks::NONE,
            resume_token: digest(session.tokens),
            old_resume_token: (session.tokens > 1).then(|| digest(session.tokens - 1)),
            disconnected_at: (!connected).then(|| Timestamp::from_millis(1_700_000_000_000)),
        }));
    }

    fn accept(&mut self, keyed: bool) {
        let owner = self.turn();
        self.jobs += 1;
        let job_id: JobId = name("job", self.jobs).parse().expect("an id");
        let trace_id = TraceId::new(self.jobs << 64 | 0x9e37_79b9).expect("not zero");
        let session = &self.sessions[owner];
        let accepted = Accepted {
            job_id: job_id.clone(),
            agent: Some("echo@1.0.0".to_owned()),
            lease: Lease::empty().grant("fs.read", "/workspace/**"),
            lease_constraints: Default::default(),
            budget: None,
            credentials: Vec::new(),
            accepted_at: Some(Timestamp::from_millis(1_700_000_000_123)),
            trace_id: Some(trace_id),
            parent_job_id: None,
            delegate_id: None,
            request_id: Some(name("msg", self.jobs).parse().expect("an id")),
        };
        let key = keyed.then(|| (name("key", self.jobs).into(), Fingerprint::from_bytes([3; 32])));
        self.writes.push(Write::Job(Box::new(JobRecord {
            principal: Principal::new("alice"),
            session_id: session.id.clone(),
            trace_id,
            trace_context: None,
            accepted_after: session.seq,
            accepted: accepted.into(),
            key,
            rerun: None,
        })));
        self.writes.push(Write::Follow(FollowRecord {
            session_id: session.id.clone(),
            job_id: job_id.clone(),
            submitted: true,
            paces: true,
            behind: None,
        }));
        self.running.push_back((Arc::new(JobHead { job_id, trace_id, trace_context: None }), owner));
    }

    /// The job that is longest there says something, and that is shown to its session; which has processed what was before, if `ack`.
    fn say(&mut self, index: u64, result: bool, ack: bool) -> Option<(Arc<JobHead>, usize)> {
        let (head, owner) = self.running.pop_front()?;
        let session = &mut self.sessions[owner];
        session.seq += 1;
        let entry = Entry {
            job: Arc::clone(&head),
            index,
            message_type: if result { MessageType::JobResult } else { MessageType::JobEvent },
            kind: None,
            feature: None,
            ts: Timestamp::from_millis(1_700_000_000_000 + index as i64),
            payload: self.payload.clone(),
            plain: None,
            gap: false,
        };
        self.writes.push(Write::Appended(vec![Logged { entry: Arc::new(entry), owner_seq: session.seq }]));
        let acknowledged = if ack { session.seq - 1 } else { 0 };
        self.writes.push(Write::View(ViewRecord {
            session_id: session.id.clone(),
            kept_from: acknowledged + 1,
            acknowledged,
            first_seq: session.seq,
            shown: vec![Shown { job: Arc::clone(&head), index, count: 1, gap: None }],
        }));
        Some((head, owner))
    }

    fn end(&mut self, ack: bool) {
        let Some((head, _)) = self.say(0, true, ack) else { return };
        // The view is written as it stands when the batch is taken.
        let at = self.writes.len() - 1;
        self.writes.insert(at, Write::JobEnded(head.job_id.clone(), FinalStatus::Success));
        if let Some(last) = self.ended.back_mut() {
            last.push(head.job_id.clone());
        }
    }

    fn batch(&mut self, kind: &str, of: usize) -> Arc<Batch> {
        match kind {
            "jobs" | "keyed" => (0..of).for_each(|_| {
                self.accept(kind == "keyed");
                self.end(false);
            }),
            // Those of the batch before end.
            "halves" => {
                (0..self.running.len()).for_each(|_| self.end(false));
                (0..of).for_each(|_| self.accept(false));
            }
            "lives" => {
                if self.ended.len() == KEPT {
                    let gone = self.ended.pop_front().into_iter().flatten();
                    self.writes.extend(gone.map(Write::JobGone));
                }
                self.ended.push_back(Vec::new());
                (0..of).for_each(|_| {
                    self.accept(false);
                    self.end(true);
                });
            }
            "events" => {
                (self.running.len()..of).for_each(|_| self.accept(false));
                (0..of).for_each(|_| {
                    let said = self.said;
                    let said = self.say(said, false, true);
                    self.running.extend(said);
                });
                self.said += 1;
            }
            "resumes" => (0..of).for_each(|_| {
                let at = self.turn();
                self.session(at, true);
            }),
            // Sessions whose connections go and come within one batch.
            "returns" => (0..of).for_each(|_| {
                let at = self.turn();
                self.session(at, false);
                self.session(at, true);
            }),
            _ => {
                let (jobs, halves) = (of / 10, of / 20);
                (0..self.running.len()).for_each(|_| self.end(false));
                (0..halves).for_each(|_| self.accept(false));
                let halves = std::mem::take(&mut self.running);
                (0..jobs).for_each(|_| {
                    self.accept(true);
                    self.end(false);
                });
                self.running = halves;
                (0..of / 4).for_each(|_| {
                    let at = self.turn();
                    self.session(at, true);
                });
            }
        }
        self.take()
    }
}

fn measure(runtime: &tokio::runtime::Runtime, kind: &str, of: usize, rounds: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::new(directory.path().join("arcp.db")).durability(Durability::Normal);
    let epoch = runtime.block_on(store.open()).expect("a store").epoch;
    let mut world = World::new();
    let commit = |batch| runtime.block_on(store.commit(epoch, batch)).expect("a commit");
    (0..SESSIONS).for_each(|at| world.session(at, true));
    commit(world.take());
    for _ in 0..OLD_JOBS / 200 {
        commit(world.batch("jobs", 200));
    }
    // Until it is as it goes on.
    (0..KEPT + 1).for_each(|_| commit(world.batch(kind, of)));
    runtime.block_on(store.settle()).expect("a store");
    let mut took = Vec::with_capacity(rounds);
    let all = Instant::now();
    for _ in 0..rounds {
        let batch = black_box(world.batch(kind, of));
        let began = Instant::now();
        commit(batch);
        took.push(began.elapsed());
    }
    runtime.block_on(store.settle()).expect("a store");
    let all = all.elapsed();
    runtime.block_on(store.close());
    took.sort();
    let of_each = |took: Duration| took.as_secs_f64() * 1e6 / of as f64;
    let (median, late) = (took[rounds / 2], took[rounds * 9 / 10]);
    println!(
        "{kind:8} {of:5} a commit: {:6.2} ms (median), {:6.2} ms (90%); {:6.2} µs each, {:6.2} with all that is done later",
        median.as_secs_f64() * 1e3,
        late.as_secs_f64() * 1e3,
        of_each(median),
        of_each(all) / rounds as f64,
    );
}

fn main() {
    let mut wanted = None;
    let mut rounds = 100;
    for argument in std::env::args().skip(1).filter(|argument| !argument.starts_with('-')) {
        match argument.parse() {
            Ok(number) => rounds = number,
            Err(_) => wanted = Some(argument),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    for (kind, of) in KINDS {
        if wanted.as_ref().is_none_or(|wanted| wanted == kind) {
            measure(&runtime, kind, of, rounds);
        }
    }
}
