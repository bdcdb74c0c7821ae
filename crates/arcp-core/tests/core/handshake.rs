//! The handshake and every way in which it is refused (§6.1, §6.2): one answer, the door, and no trace left.

use arcp_core::Incoming;
use arcp_core::runtime::AuthenticationError;
use serde_json::{Value, json};

use crate::host::{Authenticator, Host, seconds};
use crate::peer::{Peer, hello, message};

/// The refusal of a handshake in full: the answer, the close, nothing written, and nobody else told.
fn expects_refusal(host: &mut Host, peer: &Peer, code: &str, request_id: Option<&str>) -> Value {
    let frame = peer.hears_one(host);
    assert_eq!(frame["type"], "session.error");
    assert_eq!(frame["payload"]["code"], code, "{frame}");
    assert!(!frame["payload"]["message"].as_str().unwrap().is_empty());
    assert_eq!(frame["payload"].get("request_id").and_then(Value::as_str), request_id, "{frame}");
    assert!(frame["session_id"].as_str().unwrap().starts_with("sess_"), "{frame}");
    assert!(frame.get("event_seq").is_none());
    assert_eq!(peer.close_code(host), Some(1008));
    frame
}

/// Lets `refused` happen beside a session that must neither see nor feel anything of it.
fn beside_a_bystander(refused: impl FnOnce(&mut Host, &mut Peer)) {
    let mut host = Host::new();
    let mut bystander = host.join("bob");
    let job = bystander.starts_job(&mut host);
    let written = host.written.len();
    let mut peer = host.connect();
    refused(&mut host, &mut peer);
    assert_eq!(host.written.len(), written, "nothing is written for a handshake that is refused");
    bystander.hears_nothing(&mut host);
    assert_eq!(bystander.close_code(&host), None);
    host.emits(&job, &["still here"]);
    assert_eq!(bystander.hears_one(&mut host)["event_seq"], 1);
    // Whatever comes later over the refused connection is heard by nobody.
    peer.says_hello(&mut host, "alice");
    peer.hears_nothing(&mut host);
    host.cut(&peer);
    host.wait(seconds(60));
    assert_eq!(host.written.len(), written + 2, "the event, that it was shown, and nothing else");
}

#[test]
fn a_good_hello_is_welcomed() {
    let mut host = Host::new();
    let mut peer = host.connect();
    peer.says_hello(&mut host, "alice");
    let welcome = peer.hears_one(&mut host);
    let session_id = welcome["session_id"].as_str().unwrap();
    let token = welcome["payload"]["resume_token"].as_str().unwrap();
    assert!(session_id.starts_with("sess_") && session_id.len() == 31);
    assert!(token.starts_with("rt_") && token.len() == 67, "256 random bits");
    assert_eq!(
        welcome["payload"],
        json!({
            "session_id": session_id,
            "accepted_at": "2026-05-13T19:42:13.000Z",
            "runtime": { "name": "host", "version": "0" },
            "resume_token": token,
            "resume_window_sec": 600,
            "capabilities": {
                "encodings": ["json"],
                "features": ["lease_expires_at", "progress", "agent_versions"],
                "agents": [
                    { "name": "echo", "versions": ["1.0.0"], "default": "1.0.0" },
                    { "name": "tireless", "versions": ["1.0.0"], "default": "1.0.0" },
                    { "name": "versioned", "versions": ["1.0.0", "2.0.0"], "default": "2.0.0" }
                ]
            }
        })
    );
    assert_eq!(host.written.len(), 1);
    assert!(!host.written[0].contains(token), "a token is stored as its digest only");
    assert!(host.notices.iter().all(|notice| !notice.contains("alice-token")), "{:?}", host.notices);
}

#[test]
fn a_terse_hello_is_enough() {
    let mut host = Host::new();
    let mut peer = host.connect();
    let terse = r#"{"arcp":"1","id":"h","type":"session.hello","more":1,
        "payload":{"auth":{"scheme":"bearer","token":"alice-token"}}}"#;
    peer.sends_text(&mut host, terse);
    peer.expects_welcome(&mut host);
}

#[test]
fn a_frame_that_is_no_json_is_refused() {
    for bad in ["", "hello", "[]", "7", "null", "{\"arcp\":", "{}", "{\"arcp\":\"1.1\"}"] {
        beside_a_bystander(|host, peer| {
            peer.sends_text(host, bad);
            expects_refusal(host, peer, "INVALID_REQUEST", None);
        });
    }
}

#[test]
fn a_broken_frame_that_still_has_an_id_is_refused_by_name() {
    beside_a_bystander(|host, peer| {
        peer.sends_text(host, r#"{"id":"mine","arcp":"1.1","payload":{}}"#);
        expects_refusal(host, peer, "INVALID_REQUEST", Some("mine"));
    });
    beside_a_bystander(|host, peer| {
        peer.sends(host, &json!({"arcp":"1.1","id":"mine","type":"session.hello","payload":[1]}));
        expects_refusal(host, peer, "INVALID_REQUEST", Some("mine"));
    });
}

#[test]
fn a_binary_frame_is_refused() {
    beside_a_bystander(|host, peer| {
        host.frame(peer.key, Incoming::binary(3));
        expects_refusal(host, peer, "INVALID_REQUEST", None);
    });
}

#[test]
fn anything_but_a_hello_is_refused() {
    for first in ["session.ping", "job.submit", "session.close", "session.welcome", "x-vendor.acme.hi"] {
        beside_a_bystander(|host, peer| {
            let payload = json!({ "nonce": "n", "agent": "echo", "job_id": "j" });
            peer.sends(host, &message("first", first, payload));
            expects_refusal(host, peer, "INVALID_REQUEST", Some("first"));
        });
    }
}

#[test]
fn another_major_version_is_refused() {
    for version in ["2", "2.0", "0.9", "11", "1.x", ""] {
        beside_a_bystander(|host, peer| {
            let mut envelope = message("h", "session.hello", hello("alice"));
            envelope["arcp"] = json!(version);
            peer.sends(host, &envelope);
            expects_refusal(host, peer, "INVALID_REQUEST", Some("h"));
        });
    }
}

#[test]
fn every_minor_version_is_taken() {
    for version in ["1", "1.0", "1.1", "1.27"] {
        let mut host = Host::new();
        let mut peer = host.connect();
        let mut envelope = message("h", "session.hello", hello("alice"));
        envelope["arcp"] = json!(version);
        peer.sends(&mut host, &envelope);
        peer.expects_welcome(&mut host);
    }
}

#[test]
fn a_hello_without_good_credentials_is_unauthenticated() {
    let bad = [
        json!(null),
        json!({ "scheme": "bearer" }),
        json!({ "scheme": "bearer", "token": null }),
        json!({ "scheme": "bearer", "token": "" }),
        json!({ "scheme": "bearer", "token": "nobody" }),
        json!({ "scheme": "basic", "token": "alice-token" }),
        json!({ "scheme": "", "token": "alice-token" }),
    ];
    for auth in bad {
        beside_a_bystander(|host, peer| {
            let mut payload = hello("alice");
            payload["auth"] = auth;
            peer.sends(host, &message("h", "session.hello", payload));
            let refusal = expects_refusal(host, peer, "UNAUTHENTICATED", Some("h"));
            assert_eq!(refusal["payload"]["retryable"], false);
            assert!(!refusal.to_string().contains("alice-token"));
        });
    }
}

#[test]
fn a_hello_of_the_wrong_shape_is_refused_and_its_token_not_repeated() {
    beside_a_bystander(|host, peer| {
        let auth = json!({ "auth": { "scheme": "bearer", "token": { "my": "secret" } } });
        peer.sends(host, &message("h", "session.hello", auth));
        let refusal = expects_refusal(host, peer, "INVALID_REQUEST", Some("h"));
        assert!(!refusal.to_string().contains("secret"));
    });
}

#[test]
fn a_client_that_does_not_speak_json_is_refused() {
    beside_a_bystander(|host, peer| {
        let mut payload = hello("alice");
        payload["capabilities"]["encodings"] = json!(["msgpack"]);
        peer.sends(host, &message("h", "session.hello", payload));
        expects_refusal(host, peer, "INVALID_REQUEST", Some("h"));
    });
}

#[test]
fn a_late_hello_is_refused() {
    let mut host = Host::new();
    let peer = host.connect();
    host.wait(seconds(9));
    peer.hears_nothing(&mut host);
    host.wait(seconds(1));
    expects_refusal(&mut host, &peer, "UNAUTHENTICATED", None);
    assert!(host.written.is_empty());
}

#[test]
fn an_open_session_is_not_bound_by_the_handshake_timeout() {
    let mut host = Host::new();
    let peer = host.join("alice");
    host.wait(seconds(3_600));
    peer.hears_nothing(&mut host);
    assert_eq!(peer.close_code(&host), None);
}

#[test]
fn an_authenticator_that_is_down_is_no_verdict_on_the_token() {
    beside_a_bystander(|host, peer| {
        host.authenticator = Authenticator::IsDown;
        peer.says_hello(host, "alice");
        let refusal = expects_refusal(host, peer, "INTERNAL_ERROR", Some("hello"));
        assert_eq!(refusal["payload"]["retryable"], true);
    });
}

#[test]
fn an_authenticator_that_never_answers_is_not_waited_for() {
    let mut host = Host::new();
    host.authenticator = Authenticator::IsSilent;
    let mut peer = host.connect();
    peer.says_hello(&mut host, "alice");
    host.wait(seconds(10));
    let refusal = expects_refusal(&mut host, &peer, "INTERNAL_ERROR", Some("hello"));
    assert_eq!(refusal["payload"]["retryable"], true);
    host.authenticate(&peer, Ok("alice"));
    peer.hears_nothing(&mut host);
    assert!(host.written.is_empty());
}

#[test]
fn nothing_may_be_said_before_the_welcome() {
    for (early, id) in [("session.ping", "early"), ("session.hello", "early"), ("job.submit", "early")] {
        beside_a_bystander(|host, peer| {
            host.authenticator = Authenticator::IsSilent;
            peer.says_hello(host, "alice");
            assert!(!host.machine.wants_frames(peer.key));
            peer.sends(host, &message(id, early, hello("alice")));
            expects_refusal(host, peer, "INVALID_REQUEST", Some("hello"));
            host.authenticate(peer, Ok("alice"));
            peer.hears_nothing(host);
        });
    }
}

#[test]
fn reading_goes_on_after_the_welcome() {
    let mut host = Host::new();
    host.authenticator = Authenticator::IsSilent;
    let mut peer = host.connect();
    assert!(host.machine.wants_frames(peer.key));
    peer.says_hello(&mut host, "alice");
    assert!(!host.machine.wants_frames(peer.key));
    host.authenticate(&peer, Ok("alice"));
    assert!(host.readable.contains(&peer.key) && host.machine.wants_frames(peer.key));
}

#[test]
fn an_answer_for_a_connection_that_has_gone_does_nothing() {
    let mut host = Host::new();
    host.authenticator = Authenticator::IsSilent;
    let mut peer = host.connect();
    peer.says_hello(&mut host, "alice");
    host.cut(&peer);
    host.authenticate(&peer, Ok("alice"));
    host.authenticate(&peer, Err(AuthenticationError::Invalid));
    host.cut(&peer);
    assert!(host.written.is_empty());
    assert_eq!(host.machine.poll_timeout(), None);
}

#[test]
fn a_hello_in_an_open_session_is_refused_and_the_session_goes_on() {
    let mut host = Host::new();
    let mut peer = host.join("alice");
    peer.says_hello(&mut host, "alice");
    peer.hears_refusal(&mut host, "hello", "INVALID_REQUEST");
    peer.starts_job(&mut host);
}

#[test]
fn a_principal_has_so_many_sessions_and_the_longest_disconnected_makes_room() {
    let mut host = Host::with(|config| config.limits.sessions_per_principal = 2);
    let first = host.join("alice");
    let second = host.join("alice");
    let mut third = host.connect();
    third.says_hello(&mut host, "alice");
    expects_refusal(&mut host, &third, "PERMISSION_DENIED", Some("hello"));
    host.join("bob");
    host.cut(&second);
    host.wait(seconds(1));
    host.cut(&first);
    let fourth = host.join("alice");
    assert!(host.written.iter().any(|write| write.contains(&format!("SessionGone({})", second.session))));
    first.resumes(&mut host, 0);
    assert_ne!(fourth.session, second.session);
    let mut again = host.connect();
    again.resumes_with(&mut host, "alice", &second.session, &second.token, 0);
    expects_refusal(&mut host, &again, "RESUME_WINDOW_EXPIRED", Some("hello"));
}

#[test]
fn a_session_that_only_shows_life_makes_room_at_the_limit() {
    let mut host = Host::with(|config| config.limits.sessions_per_principal = 3);
    let [mut idle, mut works, mut wedged] = [(); 3].map(|()| host.join("alice"));
    let job = works.starts_job(&mut host);
    let loud = wedged.starts_job(&mut host);
    host.stall(&wedged);
    host.emits(&loud, &["nobody reads this"]);
    for minute in 0..15 {
        idle.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
        assert_eq!(idle.hears_one(&mut host)["type"], "session.pong");
        let mut late = host.connect();
        late.says_hello(&mut host, "alice");
        expects_refusal(&mut host, &late, "PERMISSION_DENIED", Some("hello"));
        host.wait(seconds(60));
        assert!(idle.close_code(&host).is_none(), "minute {minute}: nobody needed its place");
    }
    // The longest idle first, then who does not take what it is sent; who waits for its job is not idle.
    let second = host.join("alice");
    assert_eq!((idle.close_code(&host), wedged.close_code(&host)), (Some(4410), None));
    let third = host.join("alice");
    host.unstall(&wedged);
    assert_eq!(wedged.close_code(&host), Some(4410));
    host.succeed(&job);
    assert_eq!(works.hears_one(&mut host)["type"], "job.result");
    for peer in [second, third] {
        peer.hears_nothing(&mut host);
    }
}

#[test]
fn only_so_many_may_be_at_the_door_at_a_time() {
    let mut host = Host::with(|config| config.limits.handshakes = 2);
    let (mut first, second) = (host.connect(), host.connect());
    let third = host.connect();
    let refusal = third.hears_one(&mut host);
    assert_eq!(
        (&refusal["payload"]["code"], &refusal["payload"]["retryable"]),
        (&json!("INTERNAL_ERROR"), &json!(true))
    );
    assert_eq!(third.close_code(&host), Some(1008));
    first.says_hello(&mut host, "alice");
    first.expects_welcome(&mut host);
    host.join("bob");
    host.cut(&second);
    let (one, two) = (host.connect(), host.connect());
    for peer in [one, two] {
        peer.hears_nothing(&mut host);
    }
}
