//! Storms: sessions that are all cut at once, and all come back at once.

use futures_util::future::try_join_all;
use serde_json::{Value, json};

use crate::raw::{Raw, hello};
use crate::server::token;
use crate::world::World;

/// Sessions of one storm, and how often they are cut.
const SESSIONS: usize = 20;
const CUTS: usize = 3;

pub(super) async fn storm(world: &World, principal: &str) -> Result<(), String> {
    let opening =
        (0..SESSIONS).map(|_| async { Raw::connect(world.address).await?.welcomed(principal).await });
    let mut sessions = try_join_all(opening).await?;
    for _ in 0..CUTS {
        // Nobody takes leave.
        let welcomes: Vec<Value> = sessions.drain(..).map(|(_, welcome)| welcome).collect();
        let resuming = welcomes.iter().map(|welcome| resume(world, principal, welcome));
        sessions = try_join_all(resuming).await?;
        world.met("sessions resumed in storms", SESSIONS as u64);
    }
    for (mut raw, _) in sessions {
        raw.say("session.close", json!({})).await?;
    }
    Ok(())
}

async fn resume(world: &World, principal: &str, welcome: &Value) -> Result<(Raw, Value), String> {
    let mut payload = hello(&token(principal));
    payload["resume"] = json!({
        "session_id": welcome["payload"]["session_id"],
        "resume_token": welcome["payload"]["resume_token"],
        "last_event_seq": 0,
    });
    let mut raw = Raw::connect(world.address).await?;
    raw.say("session.hello", payload).await?;
    let again = raw.receive_type("session.welcome").await?;
    if again["payload"]["session_id"] != welcome["payload"]["session_id"] {
        return Err(format!("another session: {again}"));
    }
    Ok((raw, again))
}
