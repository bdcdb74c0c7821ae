//! Any number of requests at once, in any order, over links that are cut at any time: whatever comes of it is what the
//! schema and the order of things allow, every job ends once, and every session goes on to its end.

use std::collections::BTreeMap;

use arcp_runtime::Limits;
use arcp_runtime::credentials::MemoryLedger;
use arcp_testing::FixtureGateway;
use serde_json::{Value, json};

use super::{Ground, Peer, Wire, builder};
use crate::support::Dice;

/// One life of a session.
struct Life<'a> {
    ground: &'a Ground,
    peer: Peer,
    dice: Dice,
    /// Every submit, by its key.
    submits: BTreeMap<String, Value>,
    /// The job of each that was answered.
    jobs: BTreeMap<String, Value>,
    acknowledged: u64,
}

impl Life<'_> {
    fn submit(&mut self, key: &str) -> Value {
        let operation = json!({ "capability": "tool.call", "target": "a", "cost": { "USD": 0.3 } });
        let delegated = json!({ "agent": "count", "input": { "n": 7 }, "lease_request": { "cost.budget": ["USD:0.10"] } });
        let (agent, input) = self.dice.one_of(&[
            ("echo", json!(null)),
            ("count", json!({ "n": 20 })),
            ("kinds", json!({})),
            ("progress", json!({ "total": 5 })),
            ("stream", json!({ "chunks": 5, "chunk_bytes": 10 })),
            ("stream", json!({ "chunks": 5, "chunk_bytes": 10, "encoding": "base64", "fail_at": 3 })),
            ("operate", json!({ "operations": [operation, operation, operation, operation] })),
            ("delegate", delegated.clone()),
            ("delegate", json!({ "agent": "sleep", "input": { "ms": 600_000 }, "wait": false })),
            ("delegate", json!({ "agent": "sleep", "input": { "ms": 600_000 } })),
            ("delegate", json!({ "agent": "delegate", "input": delegated, "lease_request": { "agent.delegate": ["*"] } })),
            ("sleep", json!({ "ms": 600_000 })),
            ("rotate", json!({})),
            ("fail", json!({ "panic": true })),
        ]);
        let lease = json!({ "agent.delegate": ["*"], "tool.call": ["*"], "cost.budget": ["USD:1.00"] });
        json!({ "agent": agent, "input": input, "lease_request": lease, "idempotency_key": key })
    }

    fn some_job(&mut self) -> Option<Value> {
        let jobs: Vec<_> = self.jobs.values().cloned().collect();
        (!jobs.is_empty()).then(|| self.dice.one_of(&jobs))
    }

    async fn receive(&mut self) -> Value {
        let message = self.peer.receive().await;
        if message["type"] == "job.accepted" {
            self.jobs.insert(message["job_id"].to_string(), message["job_id"].clone());
        }
        message
    }

    /// Reads until what was said has been answered.
    async fn settle(&mut self) {
        // Pongs overtake what is numbered, and answers do not overtake each other.
        let id = self.peer.say("session.list_jobs", json!({ "limit": 3 })).await;
        while self.receive().await["payload"]["request_id"] != id.as_str() {}
    }

    async fn cut(&mut self) {
        let last = self.peer.watch.last_event_seq();
        let back = self.dice.bits() % 6;
        let from = last.saturating_sub(back).max(self.acknowledged);
        self.peer.resume(self.ground, from).await;
        // What may not have been answered is asked again, and is still one job.
        for submit in self.submits.clone().into_values() {
            if self.dice.flip() {
                self.peer.say("job.submit", submit).await;
            }
        }
    }

    async fn step(&mut self) {
        match self.dice.bits() % 12 {
            0..4 => {
                let key = format!("k{}", self.submits.len());
                let submit = self.submit(&key);
                self.peer.say("job.submit", submit.clone()).await;
                self.submits.insert(key, submit);
            }
            4 => {
                let limit = self.dice.bits() % 5 + 1;
                self.peer.say("session.list_jobs", json!({ "limit": limit })).await;
            }
            5 => {
                if let Some(job) = self.some_job() {
                    let from = self.dice.bits() % 20;
                    let history = self.dice.flip();
                    let request = json!({ "job_id": job, "history": history, "from_event_seq": from });
                    self.peer.say("job.subscribe", request).await;
                    self.settle().await;
                }
            }
            6 => {
                if let Some(job) = self.some_job() {
                    self.peer.say_with("job.cancel", json!({}), json!({ "job_id": job })).await;
                }
            }
            7 => {
                if let Some(job) = self.some_job() {
                    self.peer.say("job.unsubscribe", json!({ "job_id": job })).await;
                }
            }
            8 => {
                let last = self.peer.watch.last_event_seq();
                if last > self.acknowledged {
                    self.acknowledged = last;
                    self.peer.say("session.ack", json!({ "last_processed_seq": last })).await;
                }
            }
            9 => self.cut().await,
            _ => self.settle().await,
        }
    }

    /// Everything is asked once more, cancelled, and seen to its end.
    async fn end(mut self) {
        for submit in self.submits.clone().into_values() {
            self.peer.say("job.submit", submit).await;
        }
        self.settle().await;
        for job in self.jobs.clone().into_values() {
            self.peer.say_with("job.cancel", json!({}), json!({ "job_id": job })).await;
        }
        self.settle().await;
        // Each of them is there once more, from its beginning to its end.
        for job in self.jobs.clone().into_values() {
            self.peer.say("job.subscribe", json!({ "job_id": job, "history": true })).await;
            while self.receive().await["type"] != "job.subscribed" {}
            while !self.peer.watch.has_ended(job.as_str().unwrap()) {
                self.receive().await;
            }
        }
        self.peer.close().await;
    }
}

#[tokio::test]
async fn whatever_happens_is_in_order() {
    let dir = tempfile::tempdir().unwrap();
    for seed in 0..24 {
        let gateway = FixtureGateway::open(dir.path().join("calls")).unwrap();
        let mut builder = builder(Limits::default());
        if seed % 2 == 0 {
            builder = builder.credentials(gateway, MemoryLedger::dangerous());
        }
        let ground = Ground::of(builder.build().unwrap()).await;
        let wire = Wire::BOTH[usize::from(seed % 4 > 1)];
        let peer = Peer::open(&ground, wire, "alice").await;
        let mut life = Life {
            ground: &ground,
            peer,
            dice: Dice::seeded(seed),
            submits: BTreeMap::new(),
            jobs: BTreeMap::new(),
            acknowledged: 0,
        };
        eprintln!("seed {seed} over {wire:?}");
        for _ in 0..60 {
            life.step().await;
        }
        life.end().await;
    }
}
