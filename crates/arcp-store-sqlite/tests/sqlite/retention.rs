//! What nobody needs goes, what somebody needs stays, and the file does not grow for ever.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arcp_proto::event::EventKind;
use arcp_proto::job::{Accepted, FinalStatus};
use arcp_proto::{Digest, Features, JobId, Json, Lease, MessageType, SessionId, Timestamp, TraceId};
use arcp_runtime::store::{
    Batch, Entry, ForgottenRecord, JobHead, JobRecord, Logged, SessionRecord, Shown, Store, ViewRecord, Write,
};
use arcp_runtime::{Principal, Quirks};
use arcp_store_sqlite::{Durability, SqliteStore};
use rusqlite::Connection;

use crate::temporary;

/// One session that is shown all that its jobs say.
pub(crate) struct Stream {
    session_id: SessionId,
    jobs: Vec<Arc<JobHead>>,
    /// Entries of each job so far.
    said: u64,
    position: u64,
}

impl Stream {
    pub(crate) fn new(jobs: usize) -> Self {
        let head = |number: usize| {
            let job_id = format!("job_{number}").parse().unwrap();
            Arc::new(JobHead {
                job_id,
                trace_id: TraceId::new(number as u128 + 1).unwrap(),
                trace_context: None,
            })
        };
        let jobs = (0..jobs).map(head).collect();
        Self { session_id: "sess_1".parse().unwrap(), jobs, said: 0, position: 0 }
    }

    pub(crate) fn batch(&mut self, writes: Vec<Write>) -> Arc<Batch> {
        self.position += 1;
        Arc::new(Batch { position: self.position, writes })
    }

    /// The session and the jobs.
    pub(crate) fn begin(&mut self) -> Arc<Batch> {
        let record = SessionRecord {
            session_id: self.session_id.clone(),
            principal: Principal::new("alice"),
            features: Features::all(),
            quirks: Quirks::NONE,
            resume_token: Digest::of("token"),
            old_resume_token: None,
            disconnected_at: None,
        };
        let mut writes = vec![Write::Session(record)];
        for head in &self.jobs {
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
                session_id: self.session_id.clone(),
                trace_id: head.trace_id,
                trace_context: None,
                accepted_after: 0,
                accepted: accepted.into(),
                key: None,
                rerun: None,
            })));
        }
        self.batch(writes)
    }

    /// Each job says something, `each` times, of which `kept` are kept by its log and as many by the view.
    pub(crate) fn say(&mut self, each: u64, kept: u64) -> Arc<Batch> {
        let jobs = self.jobs.len() as u64;
        let first_seq = self.said * jobs + 1;
        let (mut writes, mut shown) = (Vec::new(), Vec::new());
        let head = self.said + each;
        let kept_from = head.saturating_sub(kept);
        for job in &self.jobs {
            let entries = (self.said..head).map(|index| logged(job, index)).collect();
            writes.push(Write::Appended(entries));
            shown.push(Shown { job: Arc::clone(job), index: self.said, count: each, gap: None });
            if kept_from > 0 {
                let job_id = job.job_id.clone();
                writes.push(Write::Forgotten(ForgottenRecord { job_id, kept_from, owner_seq: kept_from }));
            }
        }
        self.said = head;
        let freed = kept_from * jobs;
        let session_id = self.session_id.clone();
        writes.push(Write::View(ViewRecord {
            session_id,
            kept_from: freed + 1,
            acknowledged: freed,
            first_seq,
            shown,
        }));
        self.batch(writes)
    }
}

fn logged(job: &Arc<JobHead>, index: u64) -> Logged {
    let body = serde_json::json!({ "level": "info", "message": format!("line {index} {}", "x".repeat(250)) });
    let entry = Entry {
        job: Arc::clone(job),
        index,
        message_type: MessageType::JobEvent,
        kind: Some(EventKind::Log),
        feature: None,
        ts: Timestamp::from_millis(1_700_000_000_000 + index as i64),
        payload: Json::from(serde_json::json!({ "kind": "log", "ts": "2026-05-13T19:42:13Z", "body": body })),
        plain: None,
        gap: false,
    };
    Logged { entry: Arc::new(entry), owner_seq: index + 1 }
}

/// Batches in which so many jobs say something, and nothing is freed.
pub(crate) fn stream(jobs: usize, batches: usize) -> Vec<Arc<Batch>> {
    let mut stream = Stream::new(jobs);
    let mut out = vec![stream.begin()];
    out.extend((0..batches).map(|_| stream.say(4, u64::MAX)));
    out
}

/// The database and its log.
fn lens(path: &Path) -> [u64; 2] {
    let log = format!("{}-wal", path.display());
    [path, Path::new(&log)].map(|path| fs::metadata(path).map_or(0, |metadata| metadata.len()))
}

fn len(path: &Path) -> u64 {
    lens(path).iter().sum()
}

fn count(path: &Path, what: &str) -> i64 {
    let conn = Connection::open(path).unwrap();
    conn.query_row(&format!("SELECT count(*) FROM {what}"), [], |row| row.get(0)).unwrap()
}

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn the_file_does_not_grow_while_as_much_is_freed_as_is_written() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path).durability(Durability::Normal);
    let epoch = store.open().await.unwrap().epoch;
    let mut stream = Stream::new(8);
    store.commit(epoch, stream.begin()).await.unwrap();
    let mut largest = [0, 0];
    for _ in 0..1_200 {
        store.commit(epoch, stream.say(16, 64)).await.unwrap(); // 60 KB of payload
        let now = lens(&path);
        largest = [largest[0].max(now[0]), largest[1].max(now[1])];
    }
    let [database, log] = largest;
    assert!(
        database < 40 * MIB && log < 80 * MIB,
        "{database} and {log} bytes, for 150 MiB that were written"
    );
    store.settle().await.unwrap();
    assert!(len(&path) < 12 * MIB, "{} bytes", len(&path));
    assert!(count(&path, "blocks") <= 8 * 6 && count(&path, "views") <= 8 * 6);
}

#[tokio::test]
async fn what_is_gone_leaves_nothing_and_its_room_is_given_back() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path).durability(Durability::Normal);
    let epoch = store.open().await.unwrap().epoch;
    let mut stream = Stream::new(4);
    store.commit(epoch, stream.begin()).await.unwrap();
    for _ in 0..200 {
        store.commit(epoch, stream.say(80, u64::MAX)).await.unwrap();
    }
    store.settle().await.unwrap();
    assert!(len(&path) > 18 * MIB, "{} bytes", len(&path));
    let gone = stream.jobs.iter().map(|job| Write::JobGone(job.job_id.clone())).collect();
    store.commit(epoch, stream.batch(gone)).await.unwrap();
    store.settle().await.unwrap();
    assert_eq!(count(&path, "jobs"), 4, "the view shows them");
    assert_eq!(count(&path, "blocks"), 800);
    let gone = vec![Write::SessionGone(stream.session_id.clone())];
    store.commit(epoch, stream.batch(gone)).await.unwrap();
    store.settle().await.unwrap();
    for table in ["sessions", "jobs", "follows", "blocks", "views"] {
        assert_eq!(count(&path, table), 0, "{table}");
    }
    assert!(len(&path) < 9 * MIB, "{} bytes", len(&path));
    store.close().await;
    assert!(store.open().await.unwrap().recovered.jobs.is_empty());
}

#[tokio::test]
async fn a_block_stays_while_a_view_shows_a_part_of_it() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let mut stream = Stream::new(1);
    let job_id: JobId = stream.jobs[0].job_id.clone();
    store.commit(epoch, stream.begin()).await.unwrap();
    for _ in 0..10 {
        store.commit(epoch, stream.say(10, u64::MAX)).await.unwrap();
    }
    // The log keeps its last entry, and the view the messages from 35 on.
    let forgotten =
        Write::Forgotten(ForgottenRecord { job_id: job_id.clone(), kept_from: 99, owner_seq: 99 });
    let view = |kept_from| ViewRecord {
        session_id: stream.session_id.clone(),
        kept_from,
        acknowledged: kept_from - 1,
        first_seq: 101,
        shown: Vec::new(),
    };
    let (some, all) = (view(35), view(101));
    store.commit(epoch, stream.batch(vec![forgotten, Write::View(some)])).await.unwrap();
    store.settle().await.unwrap();
    assert_eq!((count(&path, "blocks"), count(&path, "views")), (7, 7));
    store.close().await;
    let opened = store.open().await.unwrap();
    let (session, job) = (&opened.recovered.sessions[0], &opened.recovered.jobs[0]);
    assert_eq!((session.first_seq, session.view[0].index, session.view[0].count), (35, 34, 6));
    assert_eq!((job.entries[0].entry.index, job.entries.len(), job.kept_from), (34, 66, 99));
    // Nothing is shown any more: the last block says where the log ends.
    store.commit(opened.epoch, stream.batch(vec![Write::View(all)])).await.unwrap();
    store.settle().await.unwrap();
    assert_eq!((count(&path, "blocks"), count(&path, "views")), (1, 0));
    let ended = vec![Write::JobEnded(job_id.clone(), FinalStatus::Success), Write::JobGone(job_id)];
    store.commit(opened.epoch, stream.batch(ended)).await.unwrap();
    store.settle().await.unwrap();
    assert_eq!((count(&path, "blocks"), count(&path, "jobs")), (0, 0));
}
