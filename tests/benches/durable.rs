//! What a store costs: events of 64 concurrent jobs through a runtime with the SQLite store and with the one in memory, side by
//! side, and a replay beside the same events live. Only the ratios say something; machines are noisy.
//!
//! `cargo bench --package arcp-tests --bench durable`, and `-- --rounds N` for more than five of each.

#![allow(clippy::unwrap_used, reason = "a measurement stops at what it did not expect")]
#![allow(clippy::print_stdout, reason = "it is there to be read")]

use std::path::Path;
use std::time::Instant;

use arcp_runtime::{AgentError, JobContext, Limits, Runtime, StaticTokens, agent_fn};
use arcp_store_sqlite::{Durability, SqliteStore};
use arcp_transport::memory::{self, MemoryTransport};
use arcp_transport::{Frame, Peer};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

const SESSIONS: usize = 8;
const JOBS: usize = 64;
const EVENTS: usize = 4_000;
const REPLAYED: usize = 50_000;

/// What a message says: with its envelope about 390 bytes.
const TEXT: &str = "the agent has read another page of the report and found nothing that would change what it has \
    come to think of the matter, so that it goes on to the next one";

const PEER: Peer = Peer { address: None, secure: true };

#[derive(Clone, Copy, PartialEq)]
enum Store {
    Memory,
    Normal,
    Full,
}

fn host(store: Store, dir: &Path) -> Runtime {
    let talks = agent_fn(async |ctx: JobContext, events: usize| {
        for _ in 0..events {
            ctx.info(TEXT).await?;
        }
        Ok::<_, AgentError>(())
    });
    // All of a replay is kept.
    let limits = Limits { buffer_bytes: 64 << 20, ..Limits::default() };
    let builder = Runtime::builder().authenticator(StaticTokens::new().token("t", "alice"));
    let builder = builder.agent("talks@1", talks).limits(limits);
    let sqlite = |durability| SqliteStore::new(dir.join("arcp.db")).durability(durability);
    let builder = match store {
        Store::Memory => builder,
        Store::Normal => builder.store(sqlite(Durability::Normal)),
        Store::Full => builder.store(sqlite(Durability::Full)),
    };
    builder.build().unwrap()
}

struct Session(MemoryTransport);

impl Session {
    async fn open(runtime: &Runtime, resume: Value) -> (Self, Value) {
        let (link, theirs) = memory::pair(1_024);
        tokio::spawn(runtime.serve(Box::pin(theirs), PEER));
        let mut session = Self(link);
        let auth = json!({ "scheme": "bearer", "token": "t" });
        let mut hello = json!({ "auth": auth, "capabilities": {} });
        if !resume.is_null() {
            hello["resume"] = resume;
        }
        session.say("session.hello", hello).await;
        let welcome = session.next().await;
        (session, serde_json::from_str(&welcome).unwrap())
    }

    async fn say(&mut self, kind: &str, payload: Value) {
        let message = json!({ "arcp": "1.1", "id": "1", "type": kind, "payload": payload });
        self.0.send(Frame::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> String {
        match self.0.next().await {
            Some(Ok(Frame::Text(text))) => text.to_string(),
            other => panic!("not a text frame: {other:?}"),
        }
    }

    /// Reads until so many jobs have ended.
    async fn read(&mut self, mut jobs: usize) {
        while jobs > 0 {
            match self.0.next().await {
                Some(Ok(Frame::Text(text))) if text.contains(r#""type":"job.result""#) => jobs -= 1,
                Some(Ok(Frame::Text(_))) => {}
                other => panic!("not a text frame: {other:?}"),
            }
        }
    }
}

/// Events a second of 64 jobs in 8 sessions.
async fn throughput(store: Store) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let runtime = host(store, dir.path());
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        sessions.push(Session::open(&runtime, Value::Null).await.0);
    }
    let start = Instant::now();
    let reading = sessions.into_iter().map(|mut session| {
        tokio::spawn(async move {
            for _ in 0..JOBS / SESSIONS {
                session.say("job.submit", json!({ "agent": "talks", "input": EVENTS })).await;
            }
            session.read(JOBS / SESSIONS).await;
        })
    });
    for reading in reading.collect::<Vec<_>>() {
        reading.await.unwrap();
    }
    let seconds = start.elapsed().as_secs_f64();
    runtime.shutdown().await;
    (JOBS * EVENTS) as f64 / seconds
}

/// Events a second of one job: live, replayed by a resume, and replayed by a resume after a restart; and the seconds that the
/// restart has taken.
async fn replay(store: Store) -> [f64; 4] {
    let dir = tempfile::tempdir().unwrap();
    let mut runtime = host(store, dir.path());
    let (mut session, welcome) = Session::open(&runtime, Value::Null).await;
    let start = Instant::now();
    session.say("job.submit", json!({ "agent": "talks", "input": REPLAYED })).await;
    session.read(1).await;
    let mut rates = [REPLAYED as f64 / start.elapsed().as_secs_f64(), 0.0, 0.0, 0.0];
    drop(session);
    let mut token = welcome["payload"]["resume_token"].clone();
    for rate in 1..3 {
        if rate == 2 {
            if store == Store::Memory {
                break;
            }
            runtime.shutdown().await;
            drop(runtime);
            let start = Instant::now();
            runtime = host(store, dir.path());
            runtime.opened().await.unwrap();
            rates[3] = start.elapsed().as_secs_f64();
        }
        let resume =
            json!({ "session_id": welcome["session_id"], "resume_token": token, "last_event_seq": 0 });
        let (mut session, welcome) = Session::open(&runtime, resume).await;
        token = welcome["payload"]["resume_token"].clone();
        let start = Instant::now();
        session.read(1).await;
        rates[rate] = REPLAYED as f64 / start.elapsed().as_secs_f64();
    }
    runtime.shutdown().await;
    rates
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--rounds").skip(1);
    let rounds: usize = arguments.next().map_or(5, |rounds| rounds.parse().unwrap());
    let stores =
        [(Store::Memory, "memory"), (Store::Normal, "sqlite, normal"), (Store::Full, "sqlite, full")];
    let mut rates = stores.map(|_| Vec::new());
    let mut replays = stores.map(|_| Vec::new());
    for _ in 0..rounds {
        for (index, (store, _)) in stores.iter().enumerate() {
            rates[index].push(throughput(*store).await);
            replays[index].push(replay(*store).await);
        }
    }
    let memory = median(rates[0].clone());
    println!("{JOBS} jobs in {SESSIONS} sessions, {EVENTS} events each; medians of {rounds} rounds");
    for (index, (_, name)) in stores.iter().enumerate() {
        let rate = median(rates[index].clone());
        println!("  {name:15} {rate:9.0} events/s   {:.2} of memory", rate / memory);
    }
    println!("one job, {REPLAYED} events");
    for (index, (store, name)) in stores.iter().enumerate() {
        let [live, resumed, restarted, opening] =
            [0, 1, 2, 3].map(|column| median(replays[index].iter().map(|rates| rates[column]).collect()));
        println!("  {name:15} live {live:9.0}/s   resumed {resumed:9.0}/s ({:.2} of live)", resumed / live);
        if *store != Store::Memory {
            println!("  {:15} after a restart, which takes {opening:.2} s, {restarted:9.0}/s", "");
        }
    }
}
