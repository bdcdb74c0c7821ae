//! What happens when its time has come, as the strict client sees it: heartbeats, expiry, time limits. On tokio's clock,
//! which runs by itself, over a link in memory, and over a socket on a real one.

use std::time::Duration;

use arcp_runtime::Limits;
use arcp_runtime::proto::Timestamp;
use serde_json::json;

use super::{Ground, Peer, Wire, ground};

fn limits() -> Limits {
    Limits {
        heartbeat_interval: Duration::from_secs(1),
        cancel_grace: Duration::from_millis(50),
        expiry_grace: Duration::from_millis(50),
        ..Limits::default()
    }
}

/// Heartbeats both ways, and what becomes of who is silent.
async fn beats(ground: &Ground, wire: Wire) {
    let mut peer = Peer::open(ground, wire, "alice").await;
    peer.say("session.ping", json!({ "nonce": "p_1", "sent_at": "2026-05-13T19:42:13.000Z" })).await;
    peer.receive_type("session.pong").await;
    for _ in 0..2 {
        let ping = peer.receive_type("session.ping").await;
        let pong =
            json!({ "ping_nonce": ping["payload"]["nonce"], "received_at": ping["payload"]["sent_at"] });
        peer.say("session.pong", pong).await;
    }
    peer.receive_type("session.ping").await;
    let lost = peer.receive_type("session.error").await;
    assert_eq!(lost["payload"]["code"], "HEARTBEAT_LOST");
    assert_eq!(peer.closed().await, 4408);
    // The session is kept.
    let last = peer.watch.last_event_seq();
    peer.resume(ground, last).await;
    peer.run(json!({ "agent": "echo", "input": null })).await;
    peer.close().await;
}

/// Jobs whose time is up.
async fn ends(ground: &Ground, wire: Wire) {
    let without: Vec<_> = super::FEATURES.into_iter().filter(|one| *one != "heartbeat").collect();
    let mut peer = Peer::open_with(ground, wire, "alice", &without).await;
    for agent in ["sleep", "stubborn"] {
        let ran = peer.run(json!({ "agent": agent, "input": { "ms": 600_000 }, "max_runtime_sec": 1 })).await;
        assert_eq!(ran.failure(), ("TIMEOUT", "timed_out"), "{agent}");
        let soon = Timestamp::from(std::time::SystemTime::now() + Duration::from_millis(300)).to_string();
        let constraints = json!({ "expires_at": soon });
        let ran = peer
            .run(json!({ "agent": agent, "input": { "ms": 600_000 }, "lease_constraints": constraints }))
            .await;
        assert_eq!(ran.failure(), ("LEASE_EXPIRED", "error"), "{agent}");
        assert_eq!(ran.accepted["payload"]["lease_constraints"], constraints);
        let accepted = peer.submit(json!({ "agent": agent, "input": { "ms": 600_000 } })).await;
        peer.say_with("job.cancel", json!({}), json!({ "job_id": accepted["job_id"] })).await;
        let ran = peer.follow(accepted).await;
        assert_eq!(ran.failure(), ("CANCELLED", "cancelled"), "{agent}");
        assert_eq!(ran.end["payload"]["retryable"], false);
    }
    peer.close().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_in_memory() {
    beats(&ground(limits()).await, Wire::Memory).await;
}

#[tokio::test]
async fn heartbeats_over_a_socket() {
    beats(&ground(limits()).await, Wire::Socket).await;
}

#[tokio::test(start_paused = true)]
async fn ends_in_memory() {
    ends(&ground(limits()).await, Wire::Memory).await;
}

#[tokio::test]
async fn ends_over_a_socket() {
    ends(&ground(limits()).await, Wire::Socket).await;
}
