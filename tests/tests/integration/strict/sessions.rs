//! What sessions do, as the strict client sees it: resuming, listing, watching, cancelling, submitting again, draining.

use std::time::Duration;

use arcp_runtime::Limits;
use serde_json::{Value, json};

use super::{Ground, Peer, Wire, ground};

async fn on_both(limits: Limits, test: impl AsyncFn(&Ground, Wire)) {
    for wire in Wire::BOTH {
        let ground = ground(limits.clone()).await;
        test(&ground, wire).await;
    }
}

#[tokio::test]
async fn a_cut_loses_and_changes_nothing() {
    on_both(Limits::default(), async |ground, wire| {
        let mut peer = Peer::open(ground, wire, "alice").await;
        let lease = json!({ "agent.delegate": ["*"] });
        let input = json!({ "agent": "count", "input": { "n": 40 } });
        peer.say("job.submit", json!({ "agent": "delegate", "input": input, "lease_request": lease })).await;
        peer.say("job.submit", json!({ "agent": "stream", "input": { "chunks": 20, "chunk_bytes": 5 } }))
            .await;
        let accepted = [peer.accepted().await, peer.accepted().await];
        // Over and over, from the beginning, from a while ago, and from where it was.
        for back in [u64::MAX, 3, 0, 1, u64::MAX] {
            while peer.watch.last_event_seq() < 5 {
                peer.receive().await;
            }
            let from = peer.watch.last_event_seq().saturating_sub(back);
            peer.resume(ground, from).await;
        }
        peer.follow_all(&accepted).await;
        let last = peer.watch.last_event_seq();
        peer.resume(ground, 0).await;
        while peer.watch.last_event_seq() < last {
            peer.receive().await;
        }
        // The other way to resume, with nothing missed.
        peer.reconnect(ground).await;
        let mut request = peer.hello();
        request.as_object_mut().unwrap().extend(peer.resume_block(last).as_object().unwrap().clone());
        peer.say("session.resume", request).await;
        peer.welcomed().await;
        peer.run(json!({ "agent": "echo", "input": 1 })).await;
        peer.close().await;
    })
    .await;
}

#[tokio::test]
async fn listings_in_pages() {
    on_both(Limits::default(), async |ground, wire| {
        let mut peer = Peer::open(ground, wire, "alice").await;
        for _ in 0..5 {
            peer.run(json!({ "agent": "echo", "input": null })).await;
        }
        let running = peer.submit(json!({ "agent": "sleep", "input": { "ms": 600_000 } })).await;
        peer.receive_type("job.event").await;
        let mut cursor = Value::Null;
        let mut seen = Vec::new();
        loop {
            peer.say("session.list_jobs", json!({ "limit": 2, "cursor": cursor })).await;
            let page = peer.receive_type("session.jobs").await["payload"].clone();
            seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["job_id"].clone()));
            cursor = page["next_cursor"].clone();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!((seen.len(), &seen[0]), (6, &running["job_id"]));
        for (filter, jobs) in [
            (json!({}), 6),
            (json!({ "status": ["running"] }), 1),
            (json!({ "agent": "echo", "status": ["success", "error"] }), 5),
            (json!({ "agent": "echo@1.0.0" }), 5),
            (json!({ "created_after": "2999-01-01T00:00:00.000Z" }), 0),
        ] {
            peer.say("session.list_jobs", json!({ "filter": filter })).await;
            let page = peer.receive_type("session.jobs").await;
            assert_eq!(page["payload"]["jobs"].as_array().unwrap().len(), jobs, "{filter}");
        }
        // Who may know of it is shown it, and whoever may not is not.
        for (principal, jobs) in [("bob", 6), ("carol", 6), ("dave", 0)] {
            let mut other = Peer::open(ground, wire, principal).await;
            other.say("session.list_jobs", json!({})).await;
            let page = other.receive_type("session.jobs").await;
            assert_eq!(page["payload"]["jobs"].as_array().unwrap().len(), jobs, "{principal}");
        }
        let bad = peer.say("session.list_jobs", json!({ "cursor": "made-up" })).await;
        peer.refused(&bad, "INVALID_REQUEST").await;
    })
    .await;
}

#[tokio::test]
async fn watching_from_another_session() {
    on_both(Limits::default(), async |ground, wire| {
        let mut peer = Peer::open(ground, wire, "alice").await;
        let lease = json!({ "agent.delegate": ["*"], "tool.call": ["*"], "cost.budget": ["USD:1.00"] });
        let ended = peer.run(json!({ "agent": "stream", "input": { "chunks": 4, "chunk_bytes": 4 } })).await;
        let running = json!({ "agent": "sleep", "input": { "ms": 600_000 }, "lease_request": lease });
        let running = peer.submit(running).await;
        peer.receive_type("job.event").await;
        for principal in ["alice", "bob"] {
            let mut watcher = Peer::open(ground, wire, principal).await;
            let job_id = &ended.accepted["job_id"];
            // From its beginning, from its middle, and from its end.
            for from in [0, 2, 1_000] {
                let request = json!({ "job_id": job_id, "history": true, "from_event_seq": from });
                watcher.say("job.subscribe", request).await;
                let subscribed = watcher.receive_type("job.subscribed").await;
                assert_eq!(subscribed["payload"]["current_status"], "success");
                let ran = watcher.follow(subscribed).await;
                let chunks = [4, 2, 0][[0, 2, 1_000].iter().position(|one| *one == from).unwrap()];
                assert_eq!(ran.of_kind("result_chunk").count(), chunks);
            }
            watcher.say("job.subscribe", json!({ "job_id": job_id })).await;
            let subscribed = watcher.receive_type("job.subscribed").await;
            watcher.follow(subscribed).await;

            watcher.say("job.subscribe", json!({ "job_id": running["job_id"], "history": true })).await;
            let subscribed = watcher.receive_type("job.subscribed").await;
            assert_eq!(subscribed["payload"]["budget"], json!({ "USD": 1.0 }));
            assert_eq!(watcher.receive_type("job.event").await["payload"]["body"]["phase"], "sleeping");
            let cancel = watcher.cancel(&running).await;
            watcher.refused(&cancel, "PERMISSION_DENIED").await;
            // What was subscribed to is there after a cut.
            let last = watcher.watch.last_event_seq();
            watcher.resume(ground, last).await;
            watcher.say("job.unsubscribe", json!({ "job_id": running["job_id"] })).await;
            watcher.run(json!({ "agent": "echo", "input": null })).await;
            watcher.say("job.subscribe", json!({ "job_id": running["job_id"] })).await;
            watcher.receive_type("job.subscribed").await;
            if principal == "bob" {
                peer.cancel(&running).await;
                peer.receive_type("job.cancelled").await;
                assert_eq!(peer.follow(running.clone()).await.failure(), ("CANCELLED", "cancelled"));
                assert_eq!(watcher.follow(running.clone()).await.failure(), ("CANCELLED", "cancelled"));
            }
        }
    })
    .await;
}

#[tokio::test]
async fn own_jobs_watched_again() {
    on_both(Limits::default(), async |ground, wire| {
        let mut peer = Peer::open(ground, wire, "alice").await;
        let accepted = peer.submit(json!({ "agent": "sleep", "input": { "ms": 600_000 } })).await;
        peer.receive_type("job.event").await;
        let request = json!({ "job_id": accepted["job_id"], "history": true, "from_event_seq": 0 });
        peer.say("job.subscribe", request).await;
        peer.receive_type("job.subscribed").await;
        assert_eq!(peer.receive_type("job.event").await["payload"]["body"]["phase"], "sleeping");
        peer.cancel(&accepted).await;
        peer.receive_type("job.cancelled").await;
        peer.follow(accepted.clone()).await;
        // A job that has ended is cancelled without effect.
        peer.cancel(&accepted).await;
        peer.receive_type("job.cancelled").await;
        peer.close().await;
    })
    .await;
}

#[tokio::test]
async fn one_key_is_one_job() {
    on_both(Limits::default(), async |ground, wire| {
        let mut peer = Peer::open(ground, wire, "alice").await;
        let submit = |ms: u64| json!({ "agent": "sleep", "input": { "ms": ms }, "idempotency_key": "k" });
        let first = peer.submit(submit(600_000)).await;
        peer.receive_type("job.event").await;
        let again = peer.submit(submit(600_000)).await;
        assert_eq!(again["job_id"], first["job_id"]);
        let conflict = peer.say("job.submit", submit(1)).await;
        peer.refused(&conflict, "DUPLICATE_KEY").await;
        let mut other = Peer::open(ground, wire, "alice").await;
        let attached = other.submit(submit(600_000)).await;
        assert_eq!(attached["payload"]["accepted_at"], first["payload"]["accepted_at"]);
        peer.cancel(&first).await;
        peer.receive_type("job.cancelled").await;
        peer.follow(first.clone()).await;
        other.follow(attached).await;
        // Once it has ended there is nothing left but its end.
        let late = other.run(submit(600_000)).await;
        assert_eq!((late.events.len(), late.failure()), (0, ("CANCELLED", "cancelled")));
        let mut third = Peer::open(ground, wire, "alice").await;
        let late = third.run(submit(600_000)).await;
        assert_eq!((late.events.len(), late.failure()), (0, ("CANCELLED", "cancelled")));
        // What is asked in a row is answered in a row.
        for n in 0..20 {
            third
                .say("job.submit", json!({ "agent": "echo", "input": n, "idempotency_key": format!("k{n}") }))
                .await;
            third.say("session.list_jobs", json!({ "limit": 1 })).await;
        }
        third.heard("session.jobs", 20).await;
        assert_eq!(third.watch.heard["job.accepted"], 21);
    })
    .await;
}

#[tokio::test]
async fn a_consumer_that_lags_is_told_so() {
    let limits = Limits { back_pressure_lag: 10, ..Limits::default() };
    on_both(limits, async |ground, wire| {
        let mut peer = Peer::open(ground, wire, "alice").await;
        let accepted = peer.submit(json!({ "agent": "count", "input": { "n": 100 } })).await;
        peer.receive_type("job.event").await;
        peer.say("session.ack", json!({ "last_processed_seq": 1 })).await;
        let ran = peer.follow(accepted).await;
        let told = ran.of_kind("status").filter(|status| status["phase"] == "back_pressure").count();
        assert!(told >= 1, "{:?}", ran.kinds());
        let last = peer.watch.last_event_seq();
        peer.say("session.ack", json!({ "last_processed_seq": last })).await;
        peer.run(json!({ "agent": "echo", "input": null })).await;
    })
    .await;
}

#[tokio::test]
async fn a_history_that_is_no_longer_kept_is_said_to_be_missed() {
    let limits = Limits { history_events: 5, buffer_events: 8, ..Limits::default() };
    on_both(limits, async |ground, wire| {
        let mut peer = Peer::open(ground, wire, "alice").await;
        let ran = peer.run(json!({ "agent": "count", "input": { "n": 50 } })).await;
        let mut watcher = Peer::open(ground, wire, "bob").await;
        watcher.say("job.subscribe", json!({ "job_id": ran.accepted["job_id"], "history": true })).await;
        let subscribed = watcher.receive_type("job.subscribed").await;
        let seen = watcher.follow(subscribed).await;
        assert_eq!(seen.kinds()[0], "x-vendor.arcp.missed");
        // What was sent goes when there is more.
        for _ in 0..10 {
            peer.run(json!({ "agent": "echo", "input": null })).await;
        }
        peer.reconnect(ground).await;
        let mut hello = peer.hello();
        hello["resume"] = peer.resume_block(1);
        let id = peer.say("session.hello", hello).await;
        peer.refused(&id, "RESUME_WINDOW_EXPIRED").await;
        assert_eq!(peer.closed().await, 1008);
    })
    .await;
}

#[tokio::test]
async fn a_runtime_that_drains() {
    on_both(Limits::default(), async |ground, wire| {
        let mut peer = Peer::open(ground, wire, "alice").await;
        let accepted = peer.submit(json!({ "agent": "sleep", "input": { "ms": 600_000 } })).await;
        peer.receive_type("job.event").await;
        let runtime = ground.runtime.clone();
        let draining = tokio::spawn(async move { runtime.drain(Duration::ZERO).await });
        let ran = peer.follow(accepted).await;
        assert_eq!(ran.failure(), ("INTERNAL_ERROR", "error"));
        assert_eq!(peer.closed().await, 1001);
        draining.await.unwrap();
    })
    .await;
}

impl Peer {
    /// Reads on until a submit has been answered.
    async fn accepted(&mut self) -> Value {
        loop {
            let message = self.receive().await;
            if message["type"] == "job.accepted" && message["payload"].get("request_id").is_some() {
                return message;
            }
        }
    }

    /// Cancels a job and gives the request's id.
    async fn cancel(&mut self, accepted: &Value) -> String {
        let job = json!({ "job_id": accepted["job_id"] });
        self.say_with("job.cancel", json!({ "reason": "enough" }), job).await
    }

    /// Reads on until all of these jobs have ended.
    async fn follow_all(&mut self, jobs: &[Value]) {
        while !jobs.iter().all(|job| self.watch.has_ended(job["job_id"].as_str().unwrap())) {
            self.receive().await;
        }
    }

    /// Reads on until so many messages of a type have come.
    async fn heard(&mut self, message_type: &str, times: u64) {
        while self.watch.heard.get(message_type).copied().unwrap_or_default() < times {
            self.receive().await;
        }
    }
}
