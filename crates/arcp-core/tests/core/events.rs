//! Events on their way (§8): numbered without gaps, sent only when stored, and no faster than the session takes them.

use arcp_core::runtime::{EmitError, Flow};
use serde_json::json;

use crate::host::Host;
use crate::peer::{numbers, texts, types};

#[test]
fn a_session_counts_over_all_its_jobs() {
    let mut host = Host::new();
    let (mut alice, mut other) = (host.join("alice"), host.join("alice"));
    let jobs = [alice.starts_job(&mut host), alice.starts_job(&mut host), alice.starts_job(&mut host)];
    let foreign = other.starts_job(&mut host);
    for round in 0..5 {
        for job in &jobs[..=round % 3] {
            host.emits(job, &["x"]);
        }
        host.emits(&foreign, &["y"]);
    }
    host.succeed(&jobs[1]);
    host.emits(&jobs[0], &["x"]);
    let frames = alice.hears(&mut host);
    assert_eq!(numbers(&frames), (1..=11).collect::<Vec<_>>());
    assert_eq!(numbers(&other.hears(&mut host)), [1, 2, 3, 4, 5]);
}

#[test]
fn an_event_looks_exactly_like_this() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["hm"]);
    let event = alice.hears_one(&mut host);
    let id = event["id"].as_str().unwrap();
    assert!(id.len() == 26 && id.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase()), "{id}");
    assert_eq!(
        event,
        json!({
            "arcp": "1.1",
            "id": id,
            "type": "job.event",
            "session_id": alice.session,
            "trace_id": host.started[&job].trace_id.to_string(),
            "job_id": job,
            "event_seq": 1,
            "payload": { "kind": "thought", "ts": "2026-05-13T19:42:13.000Z", "body": { "text": "hm" } }
        })
    );
}

#[test]
fn a_replay_is_the_same_to_the_byte() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a", "b"]);
    host.wait(std::time::Duration::from_millis(1_500));
    host.emits(&job, &["c"]);
    host.succeed(&job);
    let live = alice.hears_text(&mut host);
    assert_eq!(live.len(), 4);
    host.wait(std::time::Duration::from_secs(60));
    host.cut(&alice);
    let again = alice.resumes(&mut host, 0);
    assert_eq!(again.hears_text(&mut host), live);
    let third = again.resumes(&mut host, 2);
    assert_eq!(third.hears_text(&mut host), live[2..]);
}

#[test]
fn envelope_ids_are_never_used_twice() {
    let mut host = Host::new();
    let (mut alice, mut bob) = (host.join("alice"), host.join("bob"));
    for peer in [&mut alice, &mut bob] {
        let job = peer.starts_job(&mut host);
        host.emits(&job, &["a", "b", "c"]);
        host.succeed(&job);
    }
    let frames = host.wires.values().flat_map(|wire| &wire.everything);
    let ids: Vec<String> = frames
        .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap()["id"].to_string())
        .collect();
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!((distinct.len(), ids.len()), (12, 12));
}

#[test]
fn an_event_that_is_too_large_is_refused_to_its_agent_and_uses_no_number() {
    let mut host = Host::with(|config| config.limits.payload_bytes = 200);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    let error = host.emit(&job, &"x".repeat(200)).unwrap_err();
    assert!(matches!(error, EmitError::TooLarge { bytes, limit: 200 } if bytes > 200), "{error}");
    host.emits(&job, &["fits"]);
    assert_eq!(alice.hears_one(&mut host)["event_seq"], 1);
}

#[test]
fn a_job_that_has_ended_takes_no_event() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.succeed(&job);
    alice.hears_one(&mut host);
    assert_eq!(host.emit(&job, "late"), Err(EmitError::Ended));
    alice.hears_nothing(&mut host);
}

#[test]
fn an_agent_waits_while_the_window_is_full_and_is_woken_when_half_of_it_is_sent() {
    let mut host = Host::with(|config| config.limits.send_window_events = 4);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    for text in ["a", "b", "c"] {
        assert_eq!(host.emit(&job, text), Ok(Flow::Continue));
    }
    assert_eq!(host.emit(&job, "d"), Ok(Flow::Wait), "the fourth is taken, but no fifth is wanted");
    host.take_from(&alice, 1);
    assert!(host.woken.is_empty(), "three are still waiting");
    host.take_from(&alice, 1);
    assert_eq!(host.woken, [host.key_of(&job)]);
    assert_eq!(host.emit(&job, "e"), Ok(Flow::Continue));
    host.unstall(&alice);
    assert_eq!(numbers(&alice.hears(&mut host)), [1, 2, 3, 4, 5]);
}

#[test]
fn the_window_counts_bytes_too() {
    let mut host = Host::with(|config| config.limits.send_window_bytes = 1_000);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    assert_eq!(host.emit(&job, &"x".repeat(500)), Ok(Flow::Continue));
    assert_eq!(host.emit(&job, &"x".repeat(500)), Ok(Flow::Wait));
    host.unstall(&alice);
    assert_eq!(host.woken, [host.key_of(&job)]);
}

#[test]
fn an_agent_that_does_not_wait_is_woken_once() {
    let mut host = Host::with(|config| config.limits.send_window_events = 2);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    host.emits(&job, &["a", "b", "c", "d", "e"]);
    host.unstall(&alice);
    assert_eq!(host.woken, [host.key_of(&job)]);
    assert_eq!(texts(&alice.hears(&mut host)), ["a", "b", "c", "d", "e"]);
}

#[test]
fn every_agent_of_a_full_session_is_woken() {
    let mut host = Host::with(|config| config.limits.send_window_events = 2);
    let mut alice = host.join("alice");
    let jobs = [alice.starts_job(&mut host), alice.starts_job(&mut host)];
    host.stall(&alice);
    host.emits(&jobs[0], &["a", "b"]);
    host.emits(&jobs[1], &["c"]);
    host.unstall(&alice);
    assert_eq!(host.woken, [host.key_of(&jobs[0]), host.key_of(&jobs[1])]);
}

#[test]
fn a_session_that_does_not_read_holds_up_nobody_else() {
    let mut host = Host::with(|config| config.limits.send_window_events = 2);
    let (mut alice, mut other) = (host.join("alice"), host.join("alice"));
    let (slow, fast) = (alice.starts_job(&mut host), other.starts_job(&mut host));
    host.stall(&alice);
    host.emits(&slow, &["a", "b"]);
    for text in ["1", "2", "3", "4", "5", "6"] {
        assert_eq!(host.emit(&fast, text), Ok(Flow::Continue));
    }
    assert_eq!(other.hears(&mut host).len(), 6);
}

#[test]
fn a_full_window_does_not_hold_up_answers() {
    let mut host = Host::with(|config| config.limits.send_window_events = 2);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    host.emits(&job, &["a", "b", "c"]);
    alice.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    host.take_from(&alice, 1);
    assert_eq!(alice.hears_one(&mut host)["type"], "session.pong");
}

#[test]
fn nobody_waits_for_a_session_that_is_away() {
    let mut host = Host::with(|config| config.limits.send_window_events = 2);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    host.emits(&job, &["a", "b"]);
    host.cut(&alice);
    assert_eq!(host.woken, [host.key_of(&job)], "who waited for it goes on");
    for text in ["c", "d", "e"] {
        assert_eq!(host.emit(&job, text), Ok(Flow::Continue));
    }
    let alice = alice.resumes(&mut host, 0);
    assert_eq!(texts(&alice.hears(&mut host)), ["a", "b", "c", "d", "e"]);
}

#[test]
fn nothing_is_sent_before_it_is_stored() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.hold_commits();
    host.emits(&job, &["a"]);
    host.emits(&job, &["b"]);
    host.succeed(&job);
    alice.hears_nothing(&mut host);
    host.commit_one();
    assert_eq!(texts(&alice.hears(&mut host)), ["a"]);
    host.commit_one();
    assert_eq!(texts(&alice.hears(&mut host)), ["b"]);
    host.release_commits();
    let end = alice.hears_one(&mut host);
    assert_eq!((end["type"].as_str(), end["event_seq"].as_u64()), (Some("job.result"), Some(3)));
}

#[test]
fn a_store_that_falls_behind_makes_agents_wait_also_those_that_nobody_listens_to() {
    let mut host = Host::with(|config| config.limits.uncommitted_bytes = 1_000);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.cut(&alice);
    host.hold_commits();
    let line = "x".repeat(450);
    assert_eq!(host.emit(&job, &line), Ok(Flow::Continue));
    assert_eq!(host.emit(&job, &line), Ok(Flow::Wait));
    host.commit_one();
    assert!(host.woken.is_empty(), "half of it is still to be stored");
    host.release_commits();
    assert_eq!(host.woken, [host.key_of(&job)]);
    assert_eq!(host.emit(&job, &line), Ok(Flow::Continue));
}

#[test]
fn a_welcome_and_an_accepted_wait_for_the_store() {
    let mut host = Host::new();
    host.hold_commits();
    let mut alice = host.connect();
    alice.says_hello(&mut host, "alice");
    alice.hears_nothing(&mut host);
    host.release_commits();
    alice.expects_welcome(&mut host);
    host.hold_commits();
    alice.submits(&mut host, json!({ "agent": "echo" }));
    let job = host.started.keys().next().unwrap().clone();
    host.emits(&job, &["a"]);
    alice.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    alice.hears_nothing(&mut host);
    host.release_commits();
    assert_eq!(types(&alice.hears(&mut host)), ["job.accepted", "session.pong", "job.event"]);
}

#[test]
fn a_replay_does_not_run_ahead_of_the_store() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["a"]);
    host.hold_commits();
    host.emits(&job, &["b"]);
    host.cut(&alice);
    let mut again = host.connect();
    again.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    again.hears_nothing(&mut host);
    host.release_commits();
    assert_eq!(types(&again.hears(&mut host)), ["session.welcome", "job.event", "job.event"]);
}

#[test]
fn a_reader_that_takes_exactly_what_there_is_misses_nothing() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    for gulp in 1..=4 {
        host.gulp = gulp;
        host.stall(&alice);
        host.emits(&job, &["a", "b", "c", "d"]);
        host.unstall(&alice);
        assert_eq!(alice.hears(&mut host).len(), 4, "{gulp} at a time");
        host.emits(&job, &["e"]);
        assert_eq!(alice.hears(&mut host).len(), 1, "{gulp} at a time, then one more");
    }
}
