//! What a peer may try that is no rule's own matter: floods of what has no answer, words that mean two things, numbers that lie.
//! What the rules say of themselves is tested beside them.

use serde_json::json;

use crate::features::join_with;
use crate::host::{Host, seconds};
use crate::peer::{Peer, message, numbers};

fn join(host: &mut Host, who: &str) -> Peer {
    let mut peer = host.connect();
    let mut payload = crate::peer::hello(who);
    payload["capabilities"]["features"] = json!(["subscribe", "list_jobs", "ack"]);
    peer.who = who.to_owned();
    peer.sends(host, &message("hello", "session.hello", payload));
    peer.expects_welcome(host);
    peer
}

#[test]
fn a_flood_of_unknown_types_has_no_answer_and_leaves_nothing_behind() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    let before = (host.machine.census(), host.written.len());
    for number in 0..10_000 {
        alice.asks(&mut host, &format!("x-vendor.flood.{number}"), json!({ "a": [number] }));
        assert!(host.machine.wants_frames(alice.key));
    }
    alice.hears_nothing(&mut host);
    assert_eq!((host.machine.census(), host.written.len()), before);
}

#[test]
fn guesses_at_tokens_leave_nothing_behind() {
    let mut host = Host::new();
    let alice = join(&mut host, "alice");
    let before = (host.machine.census(), host.written.len());
    for number in 0..1_000 {
        let mut guess = host.connect();
        let who = if number % 2 == 0 { "alice" } else { "bob" };
        guess.resumes_with(&mut host, who, &alice.session, &format!("rt_{number:064}"), 0);
        guess.hears_refusal(&mut host, "hello", "PERMISSION_DENIED");
        host.cut(&guess);
        let guess = host.connect();
        let mut payload = crate::peer::hello("alice");
        payload["auth"]["token"] = json!(format!("guess-{number}"));
        guess.sends(&mut host, &message("hello", "session.hello", payload));
        guess.hears_refusal(&mut host, "hello", "UNAUTHENTICATED");
        host.cut(&guess);
    }
    assert_eq!((host.machine.census(), host.written.len()), before);
    alice.hears_nothing(&mut host);
    alice.resumes(&mut host, 0);
}

#[test]
fn a_member_that_is_there_twice_is_refused_and_neither_is_taken() {
    let mut host = Host::new();
    let alice = join(&mut host, "alice");
    for (text, refused) in [
        (
            r#"{"arcp":"1.1","id":"q","type":"session.ping","type":"job.submit","payload":{"agent":"echo"}}"#,
            "type",
        ),
        (
            r#"{"arcp":"1.1","id":"q","type":"job.submit","payload":{"agent":"echo"},"payload":{"agent":"none"}}"#,
            "payload",
        ),
        (r#"{"arcp":"1.1","id":"q","type":"job.submit","payload":{"agent":"echo","agent":"none"}}"#, "agent"),
        (
            r#"{"arcp":"1.1","id":"q","type":"job.submit","payload":{"agent":"echo","lease_request":{},"lease_request":{"tool.call":["**"]}}}"#,
            "lease_request",
        ),
    ] {
        alice.sends_text(&mut host, text);
        let error = alice.hears_refusal(&mut host, "q", "INVALID_REQUEST");
        let message = error["payload"]["message"].as_str().unwrap();
        assert!(message.contains(&format!("duplicate field `{refused}`")), "{message}");
    }
    assert!(host.started.is_empty());
    // Where members are names that somebody chose, the same holds.
    let twice = r#"{"arcp":"1.1","id":"q","type":"job.submit","payload":{"agent":"echo","lease_request":{"tool.call":[],"tool.call":["**"]}}}"#;
    alice.sends_text(&mut host, twice);
    alice.hears_refusal(&mut host, "q", "INVALID_REQUEST");
    let hello = message("hello", "session.hello", crate::peer::hello("alice")).to_string();
    let stranger = host.connect();
    let token = r#""token":"alice-token""#;
    assert!(hello.contains(token));
    stranger.sends_text(&mut host, &hello.replace(token, &format!(r#""token":"bob-token",{token}"#)));
    let error = stranger.hears_refusal(&mut host, "hello", "INVALID_REQUEST");
    assert!(!error.to_string().contains("bob-token"), "{error}");
}

#[test]
fn null_bytes_end_no_text_early() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    let job = alice.starts(&mut host, json!({ "agent": "echo", "idempotency_key": "k" }));
    for (kind, payload, code) in [
        ("job.submit", json!({ "agent": "echo\0" }), "INVALID_REQUEST"),
        (
            "job.submit",
            json!({ "agent": "echo", "lease_request": { "fs.read": ["/data/\0/**"] } }),
            "INVALID_REQUEST",
        ),
        (
            "job.submit",
            json!({ "agent": "echo", "lease_request": { "tool.call\0": ["*"] } }),
            "INVALID_REQUEST",
        ),
        ("job.subscribe", json!({ "job_id": format!("{job}\0") }), "INVALID_REQUEST"),
        ("job.cancel", json!({ "job_id": format!("{job}\0") }), "INVALID_REQUEST"),
        ("session.list_jobs", json!({ "cursor": "\0" }), "INVALID_REQUEST"),
    ] {
        let id = alice.asks(&mut host, kind, payload.clone());
        let frame = alice.hears_one(&mut host);
        assert_eq!(
            (&frame["payload"]["request_id"], &frame["payload"]["code"]),
            (&json!(id), &json!(code)),
            "{payload}"
        );
    }
    let other = alice.starts(&mut host, json!({ "agent": "echo", "idempotency_key": "k\0" }));
    assert_ne!(other, job, "a key is all of its text");
}

#[test]
fn numbers_that_lie_are_held_to_what_there_is() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a", "b"]);
    alice.hears(&mut host);
    alice.asks(&mut host, "session.ack", json!({ "last_processed_seq": i64::MAX }));
    alice.hears_nothing(&mut host);
    host.emits(&job, &["c"]);
    assert_eq!(numbers(&alice.hears(&mut host)), [3], "what was not sent was not processed");
    host.cut(&alice);
    let mut again = host.connect();
    again.resumes_with(&mut host, "alice", &alice.session, &alice.token, i64::MAX as u64);
    again.hears_refusal(&mut host, "hello", "INVALID_REQUEST");
    let mut again = alice.resumes(&mut host, 3);
    for payload in [json!({ "last_processed_seq": -1 }), json!({ "last_processed_seq": 1e300 })] {
        let id = again.asks(&mut host, "session.ack", payload);
        again.hears_refusal(&mut host, &id, "INVALID_REQUEST");
    }
}

/// What has not been said yet is still to come: there is nothing to refuse.
#[test]
fn a_subscription_from_beyond_the_head_is_told_what_comes() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a", "b"]);
    let mut watcher = join(&mut host, "alice");
    let ask = json!({ "job_id": job, "history": true, "from_event_seq": 1_000_000 });
    watcher.asks(&mut host, "job.subscribe", ask);
    let subscribed = watcher.hears_one(&mut host);
    assert_eq!(
        (&subscribed["type"], &subscribed["payload"]["replayed"]),
        (&json!("job.subscribed"), &json!(false))
    );
    assert_eq!(subscribed["payload"]["subscribed_from"], 2, "where the job is");
    host.emits(&job, &["c"]);
    host.succeed(&job);
    assert_eq!(numbers(&watcher.hears(&mut host)), [1, 2]);
}

#[test]
fn a_history_that_is_asked_for_again_and_again_is_read_at_the_readers_pace() {
    let mut host = Host::with(|config| {
        config.limits.send_window_events = 8;
        config.limits.answers = 16;
    });
    let mut alice = join(&mut host, "alice");
    let job = alice.starts_job(&mut host);
    for _ in 0..200 {
        host.emits(&job, &["said once"]);
    }
    alice.hears(&mut host);
    let mut greedy = join(&mut host, "alice");
    host.stall(&greedy);
    let before = host.machine.census().kept;
    let mut asked = 0;
    while host.machine.wants_frames(greedy.key) {
        greedy.asks(&mut host, "job.subscribe", json!({ "job_id": job, "history": true }));
        asked += 1;
    }
    assert_eq!(asked, 16, "then its answers are as many as may wait");
    assert!(
        host.machine.census().kept <= before + 8,
        "and of 16 times 200 messages none is there before it is taken"
    );
    host.unstall(&greedy);
    host.wait(seconds(1));
    let frames = greedy.hears(&mut host);
    assert!(numbers(&frames).len() >= 200, "the last one is told all of it");
}

#[test]
fn what_was_not_negotiated_is_refused_however_often_it_is_asked() {
    let mut host = Host::new();
    let (mut alice, _) = join_with(&mut host, json!([]));
    for (kind, payload) in [
        ("session.list_jobs", json!({})),
        ("job.subscribe", json!({ "job_id": "job_1" })),
        ("job.unsubscribe", json!({ "job_id": "job_1" })),
    ] {
        for _ in 0..3 {
            let id = alice.asks(&mut host, kind, payload.clone());
            alice.hears_refusal(&mut host, &id, "INVALID_REQUEST");
        }
    }
}
