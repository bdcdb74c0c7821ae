//! Input that is wrong: each kind is refused as the draft says, and never at the cost of another session.

use arcp_runtime::Limits;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Host, Neighbour, Raw, hello, token};

/// Runs a case beside a session with a running job, which goes on undisturbed and ends well.
async fn beside_a_neighbour(case: impl AsyncFnOnce(&Host)) {
    on_a_host_beside_a_neighbour(Host::start().await, case).await;
}

async fn on_a_host_beside_a_neighbour(host: Host, case: impl AsyncFnOnce(&Host)) {
    let neighbour = Neighbour::of(&host).await;
    case(&host).await;
    neighbour.ends_well(&host).await;
}

/// Says one thing as the first message, and is refused with `code` and 1008.
async fn refused_first(host: &Host, first: impl Into<Message>, code: &str) -> Value {
    let mut raw = Raw::connect(host.address).await;
    raw.send(first).await;
    let error = raw.receive_error(code).await;
    assert_eq!(raw.receive_close().await, 1008);
    error
}

fn first(kind: &str, payload: Value) -> String {
    json!({ "arcp": "1.1", "id": "first", "type": kind, "payload": payload }).to_string()
}

#[tokio::test]
async fn a_first_message_that_is_no_good_is_refused_and_the_door_closed() {
    beside_a_neighbour(async |host| {
        for malformed in ["", "{", "nonsense", "[]", "null", "{\"arcp\":\"1.1\"}", "{}{}", "\u{0}"] {
            refused_first(host, malformed, "INVALID_REQUEST").await;
        }
        let wrong_major = json!({ "arcp": "2.0", "id": "i", "type": "session.hello", "payload": {} });
        refused_first(host, wrong_major.to_string(), "INVALID_REQUEST").await;
        for payload in [json!(1), json!([]), json!({ "auth": 1 }), json!({ "capabilities": [] })] {
            refused_first(host, first("session.hello", payload), "INVALID_REQUEST").await;
        }
        refused_first(host, vec![1, 2, 3], "INVALID_REQUEST").await;
        for kind in ["session.ping", "job.submit", "job.cancel", "session.welcome", "x-vendor.a.b"] {
            let error = refused_first(host, first(kind, json!({})), "INVALID_REQUEST").await;
            assert_eq!(error["request_id"], "first");
        }
    })
    .await;
}

#[tokio::test]
async fn a_deeply_nested_message_is_refused() {
    beside_a_neighbour(async |host| {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        refused_first(host, deep.clone(), "INVALID_REQUEST").await;

        // An input is opaque until its agent decodes it, and a key has to look at it before that.
        let (mut raw, _) = Raw::open(host.address, "alice").await;
        let submit = |more: &str| {
            let payload = format!(r#"{{"agent":"count","input":{deep}{more}}}"#);
            format!(r#"{{"arcp":"1.1","id":"i","type":"job.submit","payload":{payload}}}"#)
        };
        raw.send(submit(r#","idempotency_key":"k""#)).await;
        raw.receive_error("INVALID_REQUEST").await;
        raw.send(submit("")).await;
        raw.receive_type("job.accepted").await;
        assert_eq!(raw.receive_type("job.error").await["payload"]["code"], "INVALID_REQUEST");
        raw.is_alive().await;
    })
    .await;
}

#[tokio::test]
async fn nobody_gets_in_without_a_good_token() {
    beside_a_neighbour(async |host| {
        let mut without_auth = hello("");
        without_auth.as_object_mut().unwrap().remove("auth");
        let mut basic = hello(&token("alice"));
        basic["auth"]["scheme"] = json!("basic");
        let wrong = format!("{}x", token("alice"));
        for payload in [hello(&wrong), hello(""), hello("null"), without_auth, basic] {
            let error = refused_first(host, first("session.hello", payload), "UNAUTHENTICATED").await;
            assert_eq!(error["retryable"], false);
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_says_hello_is_shown_the_door() {
    beside_a_neighbour(async |host| {
        let mut raw = Raw::connect(host.address).await;
        tokio::time::pause(); // the handshake timeout passes as soon as there is nothing else to do
        raw.receive_error("UNAUTHENTICATED").await;
        tokio::time::resume();
        assert_eq!(raw.receive_close().await, 1008);
    })
    .await;
}

#[tokio::test]
async fn a_bad_request_spoils_nothing_but_itself() {
    beside_a_neighbour(async |host| {
        let (mut raw, _) = Raw::open(host.address, "alice").await;
        for malformed in ["{", "[1]", "{\"arcp\":\"1.1\",\"id\":\"i\",\"type\":\"job.submit\",\"payload\":3}"]
        {
            raw.send(malformed).await;
            raw.receive_error("INVALID_REQUEST").await;
        }
        raw.send(vec![0xff, 0xfe]).await;
        raw.receive_error("INVALID_REQUEST").await;

        let cases = [
            ("job.submit", json!({}), "INVALID_REQUEST"),
            ("job.submit", json!({ "agent": 7 }), "INVALID_REQUEST"),
            ("job.submit", json!({ "agent": "Not An Agent" }), "INVALID_REQUEST"),
            ("job.submit", json!({ "agent": "echo", "max_runtime_sec": 0 }), "INVALID_REQUEST"),
            ("job.submit", json!({ "agent": "echo", "max_runtime_sec": "1" }), "INVALID_REQUEST"),
            ("job.submit", json!({ "agent": "echo", "idempotency_key": "" }), "INVALID_REQUEST"),
            ("job.submit", json!({ "agent": "echo", "lease_request": { "sudo": ["*"] } }), "INVALID_REQUEST"),
            ("job.submit", json!({ "agent": "nobody" }), "AGENT_NOT_AVAILABLE"),
            ("job.submit", json!({ "agent": "echo@9.9.9" }), "AGENT_VERSION_NOT_AVAILABLE"),
            ("job.cancel", json!({}), "INVALID_REQUEST"),
            ("job.cancel", json!({ "job_id": "job_01JZZZZZZZZZZZZZZZZZZZZZZZ" }), "JOB_NOT_FOUND"),
            ("session.hello", hello(&token("alice")), "INVALID_REQUEST"),
            ("session.welcome", json!({}), "INVALID_REQUEST"),
            ("job.accepted", json!({ "job_id": "job_1" }), "INVALID_REQUEST"),
        ];
        for (kind, payload, code) in cases {
            let id = raw.say(kind, payload.clone()).await;
            let error = raw.receive_error(code).await;
            assert_eq!(error["request_id"], id, "{kind} {payload}");
            assert!(!error["message"].as_str().unwrap().is_empty());
        }
        raw.is_alive().await;
    })
    .await;
}

#[tokio::test]
async fn unknown_types_and_members_are_ignored() {
    beside_a_neighbour(async |host| {
        let (mut raw, _) = Raw::open(host.address, "alice").await;
        raw.say("x-vendor.acme.hello", json!({ "a": 1 })).await;
        raw.say("job.levitate", json!(null)).await;
        let members =
            json!({ "unknown": { "deep": [1] }, "extensions": { "x-vendor.a": 1 }, "trace_id": null });
        let id =
            raw.say_with("job.submit", json!({ "agent": "echo", "input": 1, "mood": "good" }), members).await;
        let accepted = raw.receive_type("job.accepted").await;
        assert_eq!(accepted["payload"]["request_id"], id);
        raw.receive_type("job.event").await;
        let result = raw.receive_type("job.result").await;
        assert_eq!(result["payload"]["result"], json!({ "echoed": 1 }));
        raw.is_alive().await;
    })
    .await;
}

#[tokio::test]
async fn another_major_version_ends_the_connection_and_keeps_the_session() {
    beside_a_neighbour(async |host| {
        let (mut raw, welcome) = Raw::open(host.address, "alice").await;
        raw.send(json!({ "arcp": "2.0", "id": "i", "type": "session.ping", "payload": {} }).to_string())
            .await;
        raw.receive_error("INVALID_REQUEST").await;
        assert_eq!(raw.receive_close().await, 1008);

        let mut resume = hello(&token("alice"));
        resume["resume"] = json!({
            "session_id": welcome["session_id"],
            "resume_token": welcome["payload"]["resume_token"],
            "last_event_seq": 0,
        });
        let mut raw = Raw::connect(host.address).await;
        raw.say("session.hello", resume).await;
        assert_eq!(raw.receive_type("session.welcome").await["session_id"], welcome["session_id"]);
    })
    .await;
}

#[tokio::test]
async fn an_oversized_frame_is_answered_before_the_connection_ends() {
    let host = Host::with(Limits::default(), |mount| mount.max_frame_bytes(10_000)).await;
    on_a_host_beside_a_neighbour(host, async |host| {
        let big = "x".repeat(20_000);
        let mut stranger = Raw::connect(host.address).await;
        stranger.send(big.clone()).await;
        let error = stranger.receive_error("INVALID_REQUEST").await;
        assert!(error["message"].as_str().unwrap().contains("10000"), "{error}");
        assert_eq!(stranger.receive_close().await, 1009);

        let (mut raw, welcome) = Raw::open(host.address, "alice").await;
        raw.send(big).await;
        let error = raw.receive_type("session.error").await;
        assert_eq!(error["session_id"], welcome["session_id"]);
        assert_eq!(error["payload"]["code"], "INVALID_REQUEST");
        assert_eq!(raw.receive_close().await, 1009);
    })
    .await;
}

/// A masked client frame, made by hand.
fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend(payload);
    frame
}

#[tokio::test]
async fn bytes_that_are_no_frame_are_answered_and_end_their_connection_alone() {
    beside_a_neighbour(async |host| {
        let broken = [
            (frame(0x81, b"\xff\xfe{}"), 1007),         // a text frame that is not UTF-8
            (frame(0x83, b"{}"), 1002),                 // an opcode that nobody has defined
            (frame(0xf1, b"{}"), 1002),                 // bits that no extension has claimed
            (frame(0x80, b"{}"), 1002),                 // the continuation of nothing
            (vec![0x81, 2, b'{', b'}'], 1002),          // no mask
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), 1002), // another protocol
        ];
        for (bytes, code) in broken {
            let mut stranger = Raw::connect(host.address).await;
            stranger.socket.get_mut().write_all(&bytes).await.unwrap();
            stranger.receive_error("INVALID_REQUEST").await;
            assert_eq!(stranger.receive_close().await, code, "{bytes:?}");

            let (mut raw, welcome) = Raw::open(host.address, "alice").await;
            raw.socket.get_mut().write_all(&bytes).await.unwrap();
            let error = raw.receive_type("session.error").await;
            assert_eq!(error["session_id"], welcome["session_id"]);
            assert_eq!(error["payload"]["code"], "INVALID_REQUEST");
            assert_eq!(raw.receive_close().await, code, "{bytes:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_fragmented_message_is_one_message() {
    beside_a_neighbour(async |host| {
        let (mut raw, _) = Raw::open(host.address, "alice").await;
        let text = json!({ "arcp": "1.1", "id": "i", "type": "job.submit", "payload": { "agent": "no" } });
        let text = text.to_string();
        let (left, right) = text.split_at(30);
        let bytes =
            [frame(0x01, left.as_bytes()), frame(0x89, b"ping"), frame(0x80, right.as_bytes())].concat();
        raw.socket.get_mut().write_all(&bytes).await.unwrap();
        // The answer to the ping in between comes first.
        let pong = futures_util::StreamExt::next(&mut raw.socket).await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("ping".into()));
        assert_eq!(raw.receive_error("AGENT_NOT_AVAILABLE").await["request_id"], "i");
    })
    .await;
}
