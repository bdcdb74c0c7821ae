//! How fast batches are written, read back and replayed.
//!
//! `cargo bench -p arcp-store-sqlite`. The directory is that of `TMPDIR`: what it is on decides on the numbers of `full`.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;

use arcp_proto::event::EventKind;
use arcp_proto::job::Accepted;
use arcp_proto::{Digest, Features, Json, Lease, MessageType, Timestamp, TraceId};
use arcp_runtime::store::{
    Batch, Entry, Epoch, ForgottenRecord, JobHead, JobRecord, Logged, SessionRecord, Shown, Store,
    ViewRecord, Write,
};
use arcp_runtime::{Principal, Quirks};
use arcp_store_sqlite::{Durability, SqliteReader, SqliteStore};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

/// Jobs that each have a session, and what they have said.
struct Load {
    jobs: Vec<(Arc<JobHead>, u64)>,
    payload: Json,
    next: usize,
}

impl Load {
    fn new(jobs: usize) -> Self {
        let head = |number: usize| {
            let job_id = format!("job_01J00000000000000000{number:06}").parse().expect("an id");
            let trace_id = TraceId::new(number as u128 + 1).expect("not zero");
            (Arc::new(JobHead { job_id, trace_id, trace_context: None }), 0)
        };
        let body = serde_json::json!({ "level": "info", "message": "x".repeat(260) });
        let payload = serde_json::json!({ "kind": "log", "ts": "2026-05-13T19:42:13.842Z", "body": body });
        Self { jobs: (0..jobs).map(head).collect(), payload: payload.into(), next: 0 }
    }

    fn session(head: &JobHead) -> arcp_proto::SessionId {
        head.job_id.as_str().replace("job", "sess").parse().expect("an id")
    }

    fn begin(&self) -> Arc<Batch> {
        let mut writes = Vec::new();
        for (head, _) in &self.jobs {
            writes.push(Write::Session(SessionRecord {
                session_id: Self::session(head),
                principal: Principal::new("alice"),
                features: Features::all(),
                quirks: Quirks::NONE,
                resume_token: Digest::of("token"),
                old_resume_token: None,
                disconnected_at: None,
            }));
            let accepted = Accepted {
                job_id: head.job_id.clone(),
                agent: Some("echo@1.0.0".to_owned()),
                lease: Lease::empty(),
                lease_constraints: Default::default(),
                budget: None,
                credentials: Vec::new(),
                accepted_at: None,
                trace_id: Some(head.trace_id),
                parent_job_id: None,
                delegate_id: None,
                request_id: None,
            };
            writes.push(Write::Job(Box::new(JobRecord {
                principal: Principal::new("alice"),
                session_id: Self::session(head),
                trace_id: head.trace_id,
                trace_context: None,
                accepted_after: 0,
                accepted: accepted.into(),
                key: None,
                rerun: None,
            })));
        }
        Arc::new(Batch { position: 0, writes })
    }

    /// So many events, spread over all jobs; each is in its session's view. Logs and views keep the last 1,000.
    fn batch(&mut self, events: usize, kept: u64) -> Arc<Batch> {
        let jobs = self.jobs.len().min(events);
        let each = (events / jobs) as u64;
        let mut writes = Vec::with_capacity(3 * jobs);
        for _ in 0..jobs {
            let at = self.next % self.jobs.len();
            self.next += 1;
            let (head, said) = &mut self.jobs[at];
            let first = *said;
            *said += each;
            let entry = |index| Entry {
                job: Arc::clone(head),
                index,
                message_type: MessageType::JobEvent,
                kind: Some(EventKind::Log),
                feature: None,
                ts: Timestamp::from_millis(1_700_000_000_000 + index as i64),
                payload: self.payload.clone(),
                plain: None,
                gap: false,
            };
            let entries =
                (first..*said).map(|index| Logged { entry: Arc::new(entry(index)), owner_seq: index + 1 });
            writes.push(Write::Appended(entries.collect()));
            let kept_from = said.saturating_sub(kept);
            if kept_from > 0 {
                let job_id = head.job_id.clone();
                writes.push(Write::Forgotten(ForgottenRecord { job_id, kept_from, owner_seq: kept_from }));
            }
            writes.push(Write::View(ViewRecord {
                session_id: Self::session(head),
                kept_from: kept_from + 1,
                acknowledged: kept_from,
                first_seq: first + 1,
                shown: vec![Shown { job: Arc::clone(head), index: first, count: each, gap: None }],
            }));
        }
        Arc::new(Batch { position: 0, writes })
    }
}

fn open(runtime: &Runtime, store: &SqliteStore) -> Epoch {
    runtime.block_on(store.open()).expect("a store").epoch
}

fn append(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("append");
    group.sample_size(20);
    for (name, durability) in [("normal", Durability::Normal), ("full", Durability::Full)] {
        for jobs in [1, 64] {
            for events in [1, 64, 1024] {
                let directory = tempfile::tempdir().expect("a directory");
                let store = SqliteStore::new(directory.path().join("arcp.db")).durability(durability);
                let epoch = open(&runtime, &store);
                let mut load = Load::new(jobs);
                runtime.block_on(store.commit(epoch, load.begin())).expect("a commit");
                group.throughput(Throughput::Elements(events as u64));
                let id = BenchmarkId::new(format!("{name}/{jobs} jobs"), events);
                group.bench_function(id, |bencher| {
                    bencher.iter_custom(|times| {
                        let mut took = std::time::Duration::ZERO;
                        for _ in 0..times {
                            let batch = load.batch(events, 1000);
                            let began = std::time::Instant::now();
                            runtime.block_on(store.commit(epoch, batch)).expect("a commit");
                            took += began.elapsed();
                        }
                        took
                    });
                });
                runtime.block_on(store.close());
            }
        }
    }
    group.finish();
}

/// Events in the store that is read.
const EVENTS: usize = 50_000;

fn filled(runtime: &Runtime, path: &std::path::Path, jobs: usize) {
    let store = SqliteStore::new(path).durability(Durability::Normal);
    let epoch = open(runtime, &store);
    let mut load = Load::new(jobs);
    runtime.block_on(store.commit(epoch, load.begin())).expect("a commit");
    for _ in 0..EVENTS / 500 {
        runtime.block_on(store.commit(epoch, load.batch(500, u64::MAX))).expect("a commit");
    }
    runtime.block_on(store.close());
}

fn read(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut group = c.benchmark_group("read");
    group.sample_size(20).throughput(Throughput::Elements(EVENTS as u64));
    for jobs in [1, 50] {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("arcp.db");
        filled(&runtime, &path, jobs);
        let store = SqliteStore::new(&path);
        group.bench_function(BenchmarkId::new("open and recover", jobs), |bencher| {
            bencher.iter_custom(|times| {
                let mut took = std::time::Duration::ZERO;
                for _ in 0..times {
                    let began = std::time::Instant::now();
                    let opened = runtime.block_on(store.open()).expect("a store");
                    took += began.elapsed();
                    black_box(opened);
                    runtime.block_on(store.close());
                }
                took
            });
        });
        open(&runtime, &store);
        group.bench_function(BenchmarkId::new("recover", jobs), |bencher| {
            bencher.iter(|| runtime.block_on(store.open()).expect("a store"));
        });
        runtime.block_on(store.close());
        let reader = SqliteReader::open(&path).expect("a reader");
        let sessions: Vec<_> = Load::new(jobs).jobs.iter().map(|(head, _)| Load::session(head)).collect();
        group.bench_function(BenchmarkId::new("view", jobs), |bencher| {
            bencher.iter(|| {
                let mut messages = 0;
                for session in &sessions {
                    let read = reader.view(session, 0, |viewed| {
                        black_box(viewed);
                        messages += 1;
                        ControlFlow::Continue(())
                    });
                    read.expect("a view");
                }
                assert_eq!(messages, EVENTS);
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, read);
criterion_main!(benches);
