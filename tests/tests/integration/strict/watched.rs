//! What the strict client would not have taken: a session as it was, with one thing about it changed.

use arcp_runtime::Limits;
use serde_json::{Value, json};

use super::{Peer, Wire, ground};
use crate::support::Watch;
use crate::support::schema::Side;

type Session = Vec<(Side, Value)>;

/// A session in which much happens.
async fn session() -> Session {
    let ground = ground(Limits::default()).await;
    let mut peer = Peer::open(&ground, Wire::Memory, "alice").await;
    let lease = json!({ "agent.delegate": ["*"], "cost.budget": ["USD:1.00"] });
    let child = json!({ "agent": "kinds", "input": {} });
    let first = peer.run(json!({ "agent": "delegate", "input": child, "lease_request": lease })).await;
    peer.run(json!({ "agent": "stream", "input": { "chunks": 3, "chunk_bytes": 3 } })).await;
    peer.say("session.list_jobs", json!({})).await;
    peer.receive_type("session.jobs").await;
    peer.say("job.subscribe", json!({ "job_id": first.accepted["job_id"], "history": true })).await;
    let subscribed = peer.receive_type("job.subscribed").await;
    peer.follow(subscribed).await;
    let sleeping = peer.submit(json!({ "agent": "sleep", "input": { "ms": 600_000 } })).await;
    peer.receive_type("job.event").await;
    peer.say_with("job.cancel", json!({}), json!({ "job_id": sleeping["job_id"] })).await;
    peer.receive_type("job.cancelled").await;
    peer.follow(sleeping).await;
    peer.say("session.ping", json!({ "nonce": "p_1", "sent_at": "2026-05-13T19:42:13.000Z" })).await;
    peer.receive_type("session.pong").await;
    peer.say("session.ack", json!({ "last_processed_seq": 3 })).await;
    peer.say("session.close", json!({})).await;
    peer.receive_type("session.closed").await;
    peer.record.iter().map(|(side, text)| (*side, serde_json::from_str(text).unwrap())).collect()
}

/// What is wrong with a session.
fn judged(session: &Session) -> Result<(), String> {
    let mut watch = Watch::default();
    for (side, message) in session {
        match side {
            Side::Client => watch.sent(&message.to_string())?,
            Side::Runtime => watch.received(&message.to_string())?,
        };
    }
    Ok(())
}

fn nth(session: &Session, message_type: &str, skip: usize) -> usize {
    let places = session.iter().enumerate().filter(|(_, (_, message))| message["type"] == message_type);
    places.map(|(place, _)| place).nth(skip).expect(message_type)
}

fn with_kind(session: &Session, kind: &str) -> usize {
    session.iter().position(|(_, message)| message["payload"]["kind"] == kind).expect(kind)
}

/// Counts again, so that the numbers are not what is wrong.
fn renumber(session: &mut Session) {
    let mut event_seq = 0;
    for (_, message) in session.iter_mut().filter(|(_, message)| message.get("event_seq").is_some()) {
        event_seq += 1;
        message["event_seq"] = json!(event_seq);
    }
}

/// The session with a change is refused for this.
#[track_caller]
fn is_refused(session: &Session, why: &str, change: impl FnOnce(&mut Session)) {
    let mut changed = session.clone();
    change(&mut changed);
    match judged(&changed) {
        Ok(()) => panic!("taken, though: {why}"),
        Err(broken) => assert!(broken.starts_with(why), "not {why:?}: {broken}"),
    }
}

#[tokio::test]
async fn what_is_out_of_order_is_noticed() {
    let session = session().await;
    assert_eq!(judged(&session), Ok(()));

    is_refused(&session, "number 3 after 1", |session| {
        session.remove(nth(session, "job.event", 1));
    });
    is_refused(&session, "number 2 after 2", |session| {
        let twice = session[nth(session, "job.event", 1)].clone();
        session.insert(nth(session, "job.event", 2), twice);
    });
    is_refused(&session, "the job has ended", |session| {
        let place = nth(session, "job.result", 0);
        session.insert(place + 1, session[place].clone());
        renumber(session);
    });
    is_refused(&session, "the job has ended", |session| {
        let end = session.remove(nth(session, "job.result", 0));
        let before = with_kind(session, "x-vendor.fixture.note");
        session.insert(before, end);
        renumber(session);
    });
    is_refused(&session, "a job that was not accepted", |session| {
        let accepted = nth(session, "job.accepted", 0);
        session.swap(accepted, accepted + 1);
    });
    is_refused(&session, "a child of nobody", |session| {
        let child = nth(session, "job.accepted", 1);
        session[child].1["payload"]["parent_job_id"] = json!("job_00000000000000000000000000");
    });
    is_refused(&session, "nobody has delegated that", |session| {
        let child = nth(session, "job.accepted", 1);
        session[child].1["payload"]["delegate_id"] = json!("del_00000000000000000000000000");
    });
    is_refused(&session, "a child outlives its parent", |session| {
        session.remove(nth(session, "job.result", 0));
        renumber(session);
    });
    is_refused(&session, "chunk 2 instead of 1", |session| {
        let first = with_kind(session, "result_chunk");
        session.remove(first + 1);
        renumber(session);
    });
    is_refused(&session, "two encodings in one stream", |session| {
        let first = with_kind(session, "result_chunk");
        session[first + 1].1["payload"]["body"]["encoding"] = json!("base64");
        session[first + 1].1["payload"]["body"]["data"] = json!("YmJi");
    });
    is_refused(&session, "Some(8) is not 9", |session| {
        let end = nth(session, "job.result", 2);
        session[end].1["payload"]["result_size"] = json!(8);
    });
    is_refused(&session, "the last chunk is missing", |session| {
        let first = with_kind(session, "result_chunk");
        session[first + 2].1["payload"]["body"]["more"] = json!(true);
    });
    is_refused(&session, "a tool_result of no call", |session| {
        session.remove(with_kind(session, "tool_call"));
        renumber(session);
    });
    is_refused(&session, "another trace", |session| {
        let place = with_kind(session, "thought");
        session[place].1["trace_id"] = json!("4bf92f3577b34da6a3ce929d0e0e4736");
    });
    is_refused(&session, "an answer to nothing", |session| {
        let place = nth(session, "session.jobs", 0);
        session.insert(place + 1, session[place].clone());
    });
    is_refused(&session, "an answer to job.subscribe", |session| {
        let (asked, answer) = (nth(session, "session.list_jobs", 0), nth(session, "session.jobs", 0));
        let (later, of_later) = (nth(session, "job.subscribe", 0), nth(session, "job.subscribed", 0));
        session[answer].1["payload"]["request_id"] = session[later].1["id"].clone();
        session[of_later].1["payload"]["request_id"] = session[asked].1["id"].clone();
        session.swap(asked, later);
        session[answer - 1..=later].sort_by_key(|(side, _)| *side == Side::Runtime);
    });
    is_refused(&session, "a budget goes with its lease", |session| {
        let place = nth(session, "job.accepted", 0);
        session[place].1["payload"].as_object_mut().unwrap().remove("budget");
    });
    is_refused(&session, "another lease than was asked for", |session| {
        let place = nth(session, "job.accepted", 0);
        session[place].1["payload"]["lease"]["tool.call"] = json!(["**"]);
    });
    is_refused(&session, "another agent", |session| {
        let place = nth(session, "job.accepted", 0);
        session[place].1["payload"]["agent"] = json!("echo@1.0.0");
    });
    is_refused(&session, "another session", |session| {
        let place = nth(session, "session.pong", 0);
        session[place].1["session_id"] = json!("sess_00000000000000000000000000");
    });
    is_refused(&session, "a pong to no ping", |session| {
        session.remove(nth(session, "session.ping", 0));
    });
    is_refused(&session, "closed without being asked", |session| {
        session.remove(nth(session, "session.close", 0));
    });
    is_refused(&session, "session.pong while Closed", |session| {
        let pong = session[nth(session, "session.pong", 0)].clone();
        session.push(pong);
    });
    is_refused(&session, "session.ack while Closing", |session| {
        let place = nth(session, "session.ack", 0);
        session.swap(place, place + 1);
    });
    is_refused(&session, "9000 has not come yet", |session| {
        let place = nth(session, "session.ack", 0);
        session[place].1["payload"]["last_processed_seq"] = json!(9_000);
    });
    for (feature, why) in [
        ("progress", "progress was not negotiated"),
        ("result_chunk", "result_chunk was not negotiated"),
        ("list_jobs", "list_jobs was not negotiated"),
        ("subscribe", "subscribe was not negotiated"),
        ("ack", "ack was not negotiated"),
        ("heartbeat", "a heartbeat interval goes with heartbeats"),
        ("cost.budget", "budget without cost.budget"),
    ] {
        is_refused(&session, why, |session| {
            let features = session[0].1["payload"]["capabilities"]["features"].as_array_mut().unwrap();
            features.retain(|one| one != feature);
        });
    }
}

#[tokio::test]
async fn what_is_not_of_the_schema_is_noticed() {
    let session = session().await;
    for place in 0..session.len() {
        let payload = |session: &mut Session| session[place].1["payload"].as_object_mut().unwrap().clone();
        for (changed, with) in [("besides", json!(1)), ("besides", Value::Null)] {
            let mut session = session.clone();
            session[place].1[changed] = with;
            judged(&session).unwrap_err();
        }
        for name in payload(&mut session.clone()).keys() {
            let mut session = session.clone();
            session[place].1["payload"][name] = Value::Null;
            // The draft draws these two, and a result is what an agent gives.
            let may_be = match name.as_str() {
                "next_cursor" | "parent_job_id" => session[place].1["type"] != "job.accepted",
                "result" | "input" => true,
                _ => false,
            };
            assert_eq!(judged(&session).is_ok(), may_be, "{name} of {:#}", session[place].1);
        }
    }
    let twice = session[0].1.to_string().replacen('{', r#"{"type":"session.hello","#, 1);
    assert!(Watch::default().sent(&twice).unwrap_err().contains("`type` is there twice"));
    let lines = format!("{:#}", session[0].1);
    assert!(Watch::default().sent(&lines).unwrap_err().starts_with("more than one line"));
}
