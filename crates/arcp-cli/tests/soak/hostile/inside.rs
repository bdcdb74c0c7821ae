//! In a session of its own: a principal that is known, and means no good.

use std::future::pending;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::raw::{Raw, bytes};
use crate::world::World;

/// Requests that are sent without waiting for an answer. More than the runtime keeps answers for.
const BURST: usize = 400;

async fn open(world: &World, principal: &str) -> Result<Raw, String> {
    Ok(Raw::connect(world.address).await?.welcomed(principal).await?.0)
}

/// Frames that are nothing, each of them answered, and the session goes on.
pub(super) async fn malformed(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = open(world, principal).await?;
    let nested =
        format!(r#"{{"arcp":"1.1","id":"deep","type":"job.submit","payload":{}}}"#, "[".repeat(50_000));
    for _ in 0..5 {
        let frames = [
            Message::text("{"),
            Message::text("null"),
            Message::text(nested.clone()),
            Message::text(r#"{"arcp":"1.1","id":"a","type":"job.submit","payload":{"agent":{"a":1}}}"#),
            Message::text(r#"{"arcp":"1.1","id":"a","type":"session.list_jobs","payload":{"limit":-1}}"#),
            Message::text(r#"{"arcp":"1.1","id":"a","type":"job.event","payload":{}}"#),
            bytes(100),
        ];
        for frame in frames {
            raw.send(frame).await?;
            raw.receive_error("INVALID_REQUEST").await?;
            world.met("malformed frames in a session", 1);
        }
    }
    Ok(())
}

pub(super) async fn too_large(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = open(world, principal).await?;
    let submit = json!({ "agent": "echo", "input": "x".repeat(2 << 20) });
    // The runtime need not read to the end of it.
    let _ = raw.say("job.submit", submit).await;
    raw.receive_error("INVALID_REQUEST").await?;
    raw.receive_close(1009).await?;
    world.met("frames that are too large", 1);
    Ok(())
}

/// Asks for the same again and again, and takes the answers only then.
async fn flood(raw: &mut Raw, kind: &str, payload: &Value, answer: &str, times: usize) -> Result<(), String> {
    for _ in 0..times {
        raw.feed(kind, payload).await?;
    }
    raw.flush().await?;
    for _ in 0..times {
        raw.take(answer).await?;
    }
    Ok(())
}

pub(super) async fn flood_of_pings(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = open(world, principal).await?;
    let ping = json!({ "nonce": "n", "sent_at": "2026-01-01T00:00:00Z" });
    flood(&mut raw, "session.ping", &ping, "session.pong", BURST).await?;
    world.met("pings of a flood", BURST as u64);
    Ok(())
}

pub(super) async fn flood_of_listings(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = open(world, principal).await?;
    flood(&mut raw, "session.list_jobs", &json!({ "limit": 1_000 }), "session.jobs", 20).await?;
    world.met("listings of a flood", 20);
    Ok(())
}

/// Of jobs that are not there: one answer is like the other.
pub(super) async fn flood_of_subscribes(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = open(world, principal).await?;
    let subscribe = json!({ "job_id": "job_00000000000000000000000000", "history": true });
    flood(&mut raw, "job.subscribe", &subscribe, "session.error", BURST / 4).await?;
    world.met("subscribes of a flood", BURST as u64 / 4);
    Ok(())
}

/// More jobs than a session may have, all of which go on for long: until their session is told that they are too many.
pub(super) async fn flood_of_submits(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = open(world, principal).await?;
    let submit = json!({ "agent": "sleep", "input": { "ms": 2_000 } });
    for _ in 0..300 {
        raw.feed("job.submit", &submit).await?;
    }
    raw.flush().await?;
    for _ in 0..300 {
        let answer = raw.receive().await?;
        match answer["type"].as_str() {
            Some("job.accepted") => {}
            Some("session.error") if answer["payload"]["code"] == "INTERNAL_ERROR" => {
                world.met("submits beyond the limit", 1);
            }
            _ => return Err(format!("instead of an acceptance or a refusal: {answer}")),
        }
    }
    Ok(())
}

/// Has a job say more than fits anywhere, and reads none of it, for as long as it is let.
pub(super) async fn never_read(world: &World, principal: &str) -> Result<(), String> {
    let (mut raw, _) = Raw::narrow(world.address).await?.welcomed(principal).await?;
    raw.say("job.submit", json!({ "agent": "count", "input": { "n": 1_000_000, "size": 1_000 } })).await?;
    raw.receive_type("job.accepted").await?;
    world.met("readers that are wedged", 1);
    pending::<Result<(), String>>().await
}

/// Goes in the middle of a result.
pub(super) async fn leave_a_stream(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = open(world, principal).await?;
    let input = json!({ "chunks": 20, "chunk_bytes": 20_000, "fail_at": 19 });
    raw.say("job.submit", json!({ "agent": "stream", "input": input })).await?;
    raw.receive_type("job.accepted").await?;
    for _ in 0..3 {
        raw.receive_text().await?;
    }
    world.met("streams left unfinished", 1);
    Ok(())
}

/// Has a job say as much as it can with nobody there to hear it, until its time is up.
pub(super) async fn run_away(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = open(world, principal).await?;
    let input = json!({ "n": 1_000_000_000, "delay_ms": 1, "size": 2_000 });
    raw.say("job.submit", json!({ "agent": "count", "input": input, "max_runtime_sec": 4 })).await?;
    raw.receive_type("job.accepted").await?;
    world.met("jobs that run away", 1);
    Ok(())
}
