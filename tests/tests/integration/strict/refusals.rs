//! Every way of being refused, as the strict client sees it: the refusal is well-formed, and the session goes on.

use arcp_runtime::Limits;
use serde_json::{Value, json};

use super::{Ground, Peer, Wire, ground};

const UNKNOWN_JOB: &str = "job_00000000000000000000000000";

#[tokio::test]
async fn requests() {
    let ground = ground(Limits { jobs_per_session: 2, ..Limits::default() }).await;
    for wire in Wire::BOTH {
        let mut peer = Peer::open(&ground, wire, "dave").await;
        for (payload, code) in [
            (json!({ "agent": "nobody", "input": null }), "AGENT_NOT_AVAILABLE"),
            (json!({ "agent": "echo@9.9.9", "input": null }), "AGENT_VERSION_NOT_AVAILABLE"),
            (
                json!({ "agent": "echo", "input": 1, "lease_constraints": { "expires_at": "2001-01-01T00:00:00.000Z" } }),
                "INVALID_REQUEST",
            ),
            (
                json!({ "agent": "echo", "input": 1, "lease_request": { "fs.read": ["relative"] } }),
                "INVALID_REQUEST",
            ),
        ] {
            let id = peer.say("job.submit", payload).await;
            peer.refused(&id, code).await;
        }
        for message_type in ["job.subscribe", "job.cancel"] {
            let payload =
                if message_type == "job.cancel" { json!({}) } else { json!({ "job_id": UNKNOWN_JOB }) };
            let id = peer.say_with(message_type, payload, json!({ "job_id": UNKNOWN_JOB })).await;
            let refusal = peer.refused(&id, "JOB_NOT_FOUND").await;
            assert_eq!(refusal["payload"]["job_id"], UNKNOWN_JOB);
        }
        let jobs = [0, 1].map(|_| json!({ "agent": "sleep", "input": { "ms": 600_000 } }));
        for job in jobs {
            peer.submit(job).await;
            peer.receive_type("job.event").await;
        }
        let id = peer.say("job.submit", json!({ "agent": "echo", "input": null })).await;
        let refusal = peer.refused(&id, "INTERNAL_ERROR").await;
        assert_eq!(refusal["payload"]["retryable"], true);
        peer.close().await;
    }
}

#[tokio::test]
async fn of_somebody_elses_job() {
    let ground = ground(Limits::default()).await;
    for wire in Wire::BOTH {
        let mut alice = Peer::open(&ground, wire, "alice").await;
        let accepted = alice.run(json!({ "agent": "echo", "input": null })).await.accepted;
        let job = json!({ "job_id": accepted["job_id"] });
        for (principal, subscribing, cancelling) in
            [("carol", "PERMISSION_DENIED", "PERMISSION_DENIED"), ("dave", "JOB_NOT_FOUND", "JOB_NOT_FOUND")]
        {
            let mut other = Peer::open(&ground, wire, principal).await;
            let id = other.say("job.subscribe", job.clone()).await;
            other.refused(&id, subscribing).await;
            let id = other.say_with("job.cancel", json!({}), job.clone()).await;
            other.refused(&id, cancelling).await;
            other.close().await;
        }
    }
}

/// What must not be said: each is refused by its name, and nothing else happens.
#[tokio::test]
async fn what_is_malformed_or_out_of_place() {
    let ground = ground(Limits::default()).await;
    for wire in Wire::BOTH {
        let mut peer = Peer::open_with(&ground, wire, "alice", &["agent_versions"]).await;
        let hello = peer.hello();
        for (message_type, payload) in [
            ("session.hello", hello),
            ("session.welcome", json!({ "capabilities": {} })),
            ("session.jobs", json!({ "jobs": [] })),
            ("job.accepted", json!({ "job_id": UNKNOWN_JOB })),
            ("job.event", json!({ "kind": "log", "body": {} })),
            ("job.result", json!({ "final_status": "success" })),
            ("job.submit", json!({})),
            ("job.submit", json!({ "agent": "Not An Agent" })),
            ("job.submit", json!({ "agent": "echo", "lease_request": { "fs.delete": ["/**"] } })),
            ("job.submit", json!({ "agent": "echo", "lease_request": { "cost.budget": ["much"] } })),
            ("job.submit", json!({ "agent": "echo", "max_runtime_sec": 0 })),
            ("job.submit", json!({ "agent": "echo", "max_runtime_sec": -1 })),
            ("job.submit", json!({ "agent": "echo", "idempotency_key": "" })),
            ("job.submit", json!({ "agent": "echo", "lease_constraints": { "expires_at": "tomorrow" } })),
            ("job.cancel", json!({})),
            ("job.subscribe", json!({ "job_id": UNKNOWN_JOB })),
            ("job.subscribe", json!({})),
            ("job.unsubscribe", json!({ "job_id": UNKNOWN_JOB })),
            ("session.list_jobs", json!({})),
            ("session.list_jobs", json!({ "limit": 0 })),
            ("session.ping", json!({})),
            ("session.ack", json!({ "last_processed_seq": "many" })),
        ] {
            let id = peer.say_badly(message_type, payload.clone()).await;
            let refusal = peer.refused(&id, "INVALID_REQUEST").await;
            assert!(refusal["payload"]["message"].is_string(), "{message_type} {payload}");
        }
        for text in [
            "",
            "{",
            "[]",
            "null",
            "{\"arcp\":\"1.1\"}",
            "{\"arcp\":\"1.1\",\"type\":\"session.ping\",\"payload\":{}}",
        ] {
            peer.say_text(text).await;
            let refusal = peer.receive_type("session.error").await;
            assert_eq!(refusal["payload"]["code"], "INVALID_REQUEST", "{text}");
            assert!(refusal["payload"].get("request_id").is_none(), "{text}");
        }
        // What is not known is not refused.
        peer.say_badly("x-vendor.anything", json!({})).await;
        peer.run(json!({ "agent": "echo", "input": null })).await;
        peer.close().await;
    }
}

/// A hello with one thing about it changed.
async fn refused_hello(ground: &Ground, wire: Wire, code: &str, change: impl Fn(&mut Value)) {
    let mut peer = Peer::connect(ground, wire, "alice").await;
    let mut hello = peer.hello();
    change(&mut hello);
    let id = peer.say_badly("session.hello", hello).await;
    peer.refused(&id, code).await;
    assert_eq!(peer.closed().await, 1008);
}

#[tokio::test]
async fn handshakes() {
    let ground = ground(Limits { sessions_per_principal: 1, ..Limits::default() }).await;
    for wire in Wire::BOTH {
        refused_hello(&ground, wire, "UNAUTHENTICATED", |hello| hello["auth"]["token"] = json!("wrong"))
            .await;
        refused_hello(&ground, wire, "UNAUTHENTICATED", |hello| hello["auth"]["scheme"] = json!("basic"))
            .await;
        refused_hello(&ground, wire, "UNAUTHENTICATED", |hello| hello["auth"] = Value::Null).await;
        refused_hello(&ground, wire, "INVALID_REQUEST", |hello| hello["auth"] = json!(7)).await;
        refused_hello(&ground, wire, "INVALID_REQUEST", |hello| {
            hello["capabilities"]["encodings"] = json!(["cbor"]);
        })
        .await;
        refused_hello(&ground, wire, "RESUME_WINDOW_EXPIRED", |hello| {
            hello["resume"] = json!({ "session_id": "sess_0", "resume_token": "rt_0", "last_event_seq": 0 });
        })
        .await;

        let mut peer = Peer::connect(&ground, wire, "alice").await;
        let id = peer.say_badly("job.submit", json!({ "agent": "echo" })).await;
        peer.refused(&id, "INVALID_REQUEST").await;
        assert_eq!(peer.closed().await, 1008);

        let peer = Peer::open(&ground, wire, "bob").await;
        let mut second = Peer::connect(&ground, wire, "bob").await;
        let hello = second.hello();
        let id = second.say("session.hello", hello).await;
        second.refused(&id, "PERMISSION_DENIED").await;
        assert_eq!(second.closed().await, 1008);
        // Neither a wrong number nor a wrong token spoils the session.
        for (last, token, code) in [(99, None, "INVALID_REQUEST"), (0, Some("rt_wrong"), "PERMISSION_DENIED")]
        {
            let mut thief = Peer::connect(&ground, wire, "bob").await;
            let mut hello = thief.hello();
            hello["resume"] = peer.resume_block(last);
            if let Some(token) = token {
                hello["resume"]["resume_token"] = json!(token);
            }
            let id = thief.say_badly("session.hello", hello).await;
            thief.refused(&id, code).await;
            assert_eq!(thief.closed().await, 1008);
        }
        let mut peer = peer;
        peer.run(json!({ "agent": "echo", "input": null })).await;
        // Taken over while the old link lives.
        peer.resume(&ground, 0).await;
        peer.receive_type("job.event").await;
        peer.receive_type("job.result").await;
        // Closed, the session makes room for the next one.
        peer.close().await;
    }
}
