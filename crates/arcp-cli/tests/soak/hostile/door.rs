//! At the door: peers that nobody knows, or that pretend.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::interval;
use tokio_tungstenite::tungstenite::Message;

use crate::raw::{Raw, bytes, hello};
use crate::server::token;
use crate::world::World;

/// Between the bytes of who is slow.
const BETWEEN: Duration = Duration::from_millis(200);

/// Connects, says nothing, and stays until it is cut.
pub(super) async fn say_nothing(world: &World, _: &str) -> Result<(), String> {
    let mut tcp = connect(world).await?;
    world.met("TCP connections that say nothing", 1);
    let mut answer = Vec::new();
    let _ = tcp.read_to_end(&mut answer).await; // an end or a reset: either way it is over
    Ok(())
}

/// Says what opens a WebSocket a byte at a time, until it is cut.
pub(super) async fn say_it_byte_by_byte(world: &World, _: &str) -> Result<(), String> {
    let mut tcp = connect(world).await?;
    world.met("handshakes a byte at a time", 1);
    let head = "GET /arcp HTTP/1.1\r\nHost: runtime\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Slow: ";
    let mut pace = interval(BETWEEN);
    for byte in head.bytes().chain(std::iter::repeat(b'x')).take(1_000) {
        pace.tick().await;
        if tcp.write_all(&[byte]).await.is_err() {
            return Ok(());
        }
    }
    Err("it was listened to for 200 s".to_owned())
}

/// Opens a WebSocket and never says who it is.
pub(super) async fn say_no_hello(world: &World, _: &str) -> Result<(), String> {
    let mut raw = Raw::connect(world.address).await?;
    raw.receive_error("UNAUTHENTICATED").await?;
    raw.receive_close(1008).await?;
    world.met("connections without a hello", 1);
    Ok(())
}

/// Says something first that is no good hello.
pub(super) async fn say_something_else(world: &World, principal: &str) -> Result<(), String> {
    let other_version =
        json!({ "arcp": "2.0", "id": "raw", "type": "session.hello", "payload": hello(&token(principal)) });
    let firsts = [
        Message::text("no json"),
        Message::text("[".repeat(100_000)),
        Message::text(other_version.to_string()),
        Message::text(r#"{"arcp":"1.1","id":"raw","type":"job.submit","payload":{"agent":"echo"}}"#),
        Message::text(r#"{"arcp":"1.1","id":"raw","type":"session.hello","payload":{"auth":7}}"#),
        bytes(1_000),
    ];
    for first in firsts {
        let mut raw = Raw::connect(world.address).await?;
        raw.send(first).await?;
        raw.receive_error("INVALID_REQUEST").await?;
        raw.receive_close(1008).await?;
        world.met("first messages that are no good", 1);
    }
    Ok(())
}

pub(super) async fn guess_a_token(world: &World, principal: &str) -> Result<(), String> {
    let mut raw = Raw::connect(world.address).await?;
    raw.say("session.hello", hello(&format!("{}x", token(principal)))).await?;
    raw.receive_error("UNAUTHENTICATED").await?;
    raw.receive_close(1008).await?;
    world.met("wrong tokens", 1);
    Ok(())
}

/// Has a good token of its own, and wants a session back with a resume token that is none.
pub(super) async fn guess_a_resume_token(world: &World, principal: &str) -> Result<(), String> {
    let (victim, welcome) = Raw::connect(world.address).await?.welcomed(principal).await?;
    for who in [principal, "honest-0"] {
        let mut payload = hello(&token(who));
        payload["resume"] = json!({
            "session_id": welcome["payload"]["session_id"],
            "resume_token": format!("rt_{}", "0".repeat(64)),
            "last_event_seq": 0,
        });
        let mut raw = Raw::connect(world.address).await?;
        raw.say("session.hello", payload).await?;
        raw.receive_error("PERMISSION_DENIED").await?;
        raw.receive_close(1008).await?;
        world.met("resumes with a wrong token", 1);
    }
    leave(victim).await
}

/// Closes a session in order, and has been told so.
async fn leave(mut raw: Raw) -> Result<(), String> {
    raw.say("session.close", json!({})).await?;
    raw.receive_type("session.closed").await?;
    raw.receive_close(1000).await
}

async fn connect(world: &World) -> Result<TcpStream, String> {
    TcpStream::connect(world.address).await.map_err(|error| error.to_string())
}
