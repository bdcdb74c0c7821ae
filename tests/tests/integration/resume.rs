//! Resuming a session over a new socket (§6.3): nothing is lost, nothing is renumbered, and a replay is a repetition.

use serde_json::{Value, json};

use crate::support::{Host, Raw, hello, token};

/// What a client keeps to come back.
struct Kept {
    session_id: Value,
    resume_token: Value,
}

impl Kept {
    fn of(welcome: &Value) -> Self {
        Self {
            session_id: welcome["session_id"].clone(),
            resume_token: welcome["payload"]["resume_token"].clone(),
        }
    }

    fn hello(&self, principal: &str, last_event_seq: u64) -> Value {
        let mut payload = hello(&token(principal));
        payload["resume"] = json!({
            "session_id": self.session_id,
            "resume_token": self.resume_token,
            "last_event_seq": last_event_seq,
        });
        payload
    }

    /// Comes back over a new socket.
    async fn resume(&mut self, host: &Host, last_event_seq: u64) -> Raw {
        let mut raw = Raw::connect(host.address).await;
        raw.say("session.hello", self.hello("alice", last_event_seq)).await;
        let welcome = raw.receive_type("session.welcome").await;
        assert_eq!(welcome["session_id"], self.session_id);
        assert_ne!(welcome["payload"]["resume_token"], self.resume_token, "tokens are rotated");
        *self = Self::of(&welcome);
        raw
    }
}

/// Reads numbered messages up to `last`, which come without a gap after `after`.
async fn read(raw: &mut Raw, after: u64, last: u64) -> Vec<String> {
    let mut texts = Vec::new();
    for event_seq in after + 1..=last {
        let text = raw.receive_text().await;
        let message: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["event_seq"], event_seq, "{message}");
        texts.push(text);
    }
    texts
}

#[tokio::test]
async fn a_replay_is_the_same_bytes_again() {
    let host = Host::start().await;
    let (mut raw, welcome) = Raw::open(host.address, "alice").await;
    let mut kept = Kept::of(&welcome);
    raw.say("job.submit", json!({ "agent": "count", "input": { "n": 20 } })).await;
    raw.receive_type("job.accepted").await;
    let all = read(&mut raw, 0, 21).await;
    assert!(all[20].contains("job.result"));
    drop(raw);

    for last_event_seq in [0, 5, 20, 21] {
        let mut raw = kept.resume(&host, last_event_seq).await;
        let replayed = read(&mut raw, last_event_seq, 21).await;
        assert_eq!(replayed, all[usize::try_from(last_event_seq).unwrap()..]);
        raw.is_alive().await;
    }
}

#[tokio::test]
async fn a_socket_dropped_in_mid_stream_loses_nothing() {
    let host = Host::start().await;
    let (mut raw, welcome) = Raw::open(host.address, "alice").await;
    let mut kept = Kept::of(&welcome);
    raw.say("job.submit", json!({ "agent": "count", "input": { "n": 3_000, "size": 500 } })).await;
    raw.receive_type("job.accepted").await;
    raw.say("job.submit", json!({ "agent": "gated" })).await;

    // The answer to the second submit is somewhere between the events of the first.
    let (mut seen, mut answered) = (0, false);
    while seen < 40 || !answered {
        let message = raw.receive().await;
        answered |= message["type"] == "job.accepted";
        if let Some(event_seq) = message["event_seq"].as_u64() {
            assert_eq!(event_seq, seen + 1);
            seen = event_seq;
        }
    }
    drop(raw);
    host.stage.open(1); // its events are emitted whoever is there

    let mut raw = kept.resume(&host, seen).await;
    let half = read(&mut raw, seen, 1_500).await;
    drop(raw);
    let mut raw = kept.resume(&host, seen).await;
    assert!(read(&mut raw, seen, 1_500).await == half, "a replay is a repetition");
    // 3,000 logs and a result, two statuses and a result.
    let rest = read(&mut raw, 1_500, 3_004).await;
    let ends = half.iter().chain(&rest).filter(|text| text.contains("\"job.result\"")).count();
    assert_eq!(ends, 2);
    raw.is_alive().await;
}

#[tokio::test]
async fn a_resumed_session_keeps_its_jobs_and_may_cancel_them() {
    let host = Host::start().await;
    let (mut raw, welcome) = Raw::open(host.address, "alice").await;
    let mut kept = Kept::of(&welcome);
    raw.say("job.submit", json!({ "agent": "gated" })).await;
    let job_id = raw.receive_type("job.accepted").await["job_id"].clone();
    raw.receive_type("job.event").await;
    drop(raw);

    let mut raw = kept.resume(&host, 1).await;
    raw.say_with("job.cancel", json!({}), json!({ "job_id": job_id })).await;
    raw.receive_type("job.cancelled").await;
    let error = raw.receive_type("job.error").await;
    assert_eq!((&error["event_seq"], &error["payload"]["code"]), (&json!(2), &json!("CANCELLED")));
}

#[tokio::test]
async fn a_socket_that_still_lives_is_taken_over() {
    let host = Host::start().await;
    let (mut old, welcome) = Raw::open(host.address, "alice").await;
    let mut kept = Kept::of(&welcome);
    let mut new = kept.resume(&host, 0).await;
    assert_eq!(old.receive_close().await, 4409);
    new.is_alive().await;
}

#[tokio::test]
async fn a_wrong_resume_spoils_nothing() {
    let host = Host::start().await;
    let (raw, welcome) = Raw::open(host.address, "alice").await;
    let mut kept = Kept::of(&welcome);
    drop(raw);

    let mut forged = Kept::of(&welcome);
    forged.resume_token = json!("rt_forged");
    let mut unknown = Kept::of(&welcome);
    unknown.session_id = json!("sess_01JZZZZZZZZZZZZZZZZZZZZZZZ");
    let cases = [
        (forged.hello("alice", 0), "PERMISSION_DENIED"),
        (kept.hello("bob", 0), "PERMISSION_DENIED"),
        (kept.hello("alice", 1), "INVALID_REQUEST"),
        (unknown.hello("alice", 0), "RESUME_WINDOW_EXPIRED"),
    ];
    for (payload, code) in cases {
        let mut raw = Raw::connect(host.address).await;
        raw.say("session.hello", payload).await;
        raw.receive_error(code).await;
        assert_eq!(raw.receive_close().await, 1008);
    }
    kept.resume(&host, 0).await.is_alive().await;
}
