//! The ends of connections (§6.7): closed by the client, for a frame that was too large, by a shutdown.

use arcp_core::runtime::BrokenFrame;
use serde_json::json;

use crate::features::join_with;
use crate::host::{Authenticator, Host, seconds};
use crate::peer::{ends, texts, types};

#[test]
fn a_close_is_acknowledged_and_jobs_run_on() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    alice.asks(&mut host, "session.close", json!({ "reason": "done" }));
    let closed = alice.hears_one(&mut host);
    assert_eq!((&closed["type"], &closed["payload"]), (&json!("session.closed"), &json!({})));
    assert_eq!(closed["session_id"], alice.session);
    assert_eq!(alice.close_code(&host), Some(1000));
    host.emits(&job, &["a"]);
    assert!(host.stopped.is_empty());
    let again = alice.resumes(&mut host, 0);
    host.succeed(&job);
    assert_eq!(types(&again.hears(&mut host)), ["job.event", "job.result"]);
}

#[test]
fn a_bye_is_answered_with_the_close_alone() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    alice.asks(&mut host, "session.bye", json!({}));
    alice.hears_nothing(&mut host);
    assert_eq!(alice.close_code(&host), Some(1000));
    alice.resumes(&mut host, 0);
}

/// As it is at the end of the stdin of a runtime, whose stdout is still read.
#[test]
fn what_was_asked_before_a_peer_has_said_its_last_is_answered() {
    let mut host = Host::new();
    let (mut alice, _) = join_with(&mut host, json!(["list_jobs"]));
    host.hold_commits();
    alice.submits(&mut host, json!({ "agent": "echo" }));
    alice.asks(&mut host, "session.list_jobs", json!({}));
    let now = host.now();
    host.machine.handle_leaving(now, alice.key);
    host.settle();
    assert_eq!(alice.close_code(&host), None);
    host.release_commits();
    assert_eq!(types(&alice.hears(&mut host)), ["job.accepted", "session.jobs"]);
    assert_eq!(alice.close_code(&host), Some(1000));
    alice.resumes(&mut host, 0);
}

#[test]
fn what_was_asked_before_the_close_is_answered_before_it() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    host.hold_commits();
    alice.submits(&mut host, json!({ "agent": "echo" }));
    alice.asks(&mut host, "session.close", json!({}));
    alice.submits(&mut host, json!({ "agent": "echo" }));
    assert_eq!(alice.close_code(&host), None);
    host.release_commits();
    assert_eq!(types(&alice.hears(&mut host)), ["job.accepted", "session.closed"]);
    assert_eq!(
        (alice.close_code(&host), host.started.len()),
        (Some(1000), 1),
        "and nothing after it is heard"
    );
}

#[test]
fn the_window_of_a_closed_session_begins_with_the_close() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    alice.asks(&mut host, "session.close", json!({}));
    host.wait(seconds(300));
    host.cut(&alice);
    host.wait(seconds(300));
    let mut again = host.connect();
    again.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    again.hears_refusal(&mut host, "hello", "RESUME_WINDOW_EXPIRED");
}

#[test]
fn an_agent_does_not_wait_for_a_session_that_was_closed() {
    let mut host = Host::with(|config| config.limits.send_window_events = 1);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    host.emits(&job, &["a"]);
    alice.asks(&mut host, "session.close", json!({}));
    assert_eq!(host.woken, [host.key_of(&job)]);
}

#[test]
fn a_frame_that_is_too_large_ends_the_connection_and_not_the_session() {
    let mut host = Host::with(|config| config.limits.send_window_events = 2);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.machine.handle_broken_frame(host.clock.now(), alice.key, BrokenFrame::TooLarge { limit: 1_000 });
    host.settle();
    let refusal = alice.hears_one(&mut host);
    assert_eq!(
        (&refusal["payload"]["code"], &refusal["session_id"]),
        (&json!("INVALID_REQUEST"), &json!(alice.session))
    );
    assert_eq!(alice.close_code(&host), Some(1009));
    // Nothing follows the close, and nothing that comes in now has an effect.
    assert!(!host.machine.wants_frames(alice.key));
    alice.submits(&mut host, json!({ "agent": "echo" }));
    alice.cancels(&mut host, &job);
    assert!(host.started.len() == 1 && host.stopped.is_empty());
    host.emits(&job, &["a", "b", "c"]);
    host.machine.handle_broken_frame(host.clock.now(), alice.key, BrokenFrame::TooLarge { limit: 1_000 });
    host.settle();
    alice.hears_nothing(&mut host);
    host.cut(&alice);
    let again = alice.resumes(&mut host, 0);
    assert_eq!(texts(&again.hears(&mut host)), ["a", "b", "c"]);
}

#[test]
fn every_way_to_break_a_frame_has_its_close() {
    let ways = [
        (BrokenFrame::TooLarge { limit: 9 }, 1009),
        (BrokenFrame::NotUtf8, 1007),
        (BrokenFrame::Protocol, 1002),
    ];
    for (broken, code) in ways {
        let mut host = Host::new();
        let alice = host.join("alice");
        host.machine.handle_broken_frame(host.clock.now(), alice.key, broken);
        host.settle();
        assert_eq!(alice.hears_one(&mut host)["payload"]["code"], "INVALID_REQUEST");
        assert_eq!(alice.close_code(&host), Some(code));
    }
}

#[test]
fn a_hello_that_is_too_large_is_refused() {
    let mut host = Host::new();
    let peer = host.connect();
    host.machine.handle_broken_frame(host.clock.now(), peer.key, BrokenFrame::TooLarge { limit: 1_000 });
    host.settle();
    let refusal = peer.hears_one(&mut host);
    assert_eq!(refusal["payload"]["code"], "INVALID_REQUEST");
    assert!(refusal["session_id"].as_str().unwrap().starts_with("sess_"));
    assert_eq!(peer.close_code(&host), Some(1009));
    assert!(host.written.is_empty());
}

#[test]
fn a_frame_that_is_too_large_while_authenticating_is_refused_for_good() {
    let mut host = Host::new();
    host.authenticator = Authenticator::IsSilent;
    let mut peer = host.connect();
    peer.says_hello(&mut host, "alice");
    host.machine.handle_broken_frame(host.clock.now(), peer.key, BrokenFrame::TooLarge { limit: 1_000 });
    host.authenticate(&peer, Ok("alice"));
    assert_eq!(types(&peer.hears(&mut host)), ["session.error"]);
    assert_eq!(peer.close_code(&host), Some(1009));
}

#[test]
fn a_shutdown_ends_every_job_and_every_connection() {
    let mut host = Host::new();
    let (mut alice, mut bob) = (host.join("alice"), host.join("bob"));
    let silent = host.connect();
    let jobs = [alice.starts_job(&mut host), alice.starts_job(&mut host), bob.starts_job(&mut host)];
    alice.cancels(&mut host, &jobs[0]);
    alice.hears(&mut host);
    host.hold_commits();
    host.shut_down();
    assert_eq!(alice.close_code(&host), None, "the ends of the jobs are stored and sent first");
    host.release_commits();
    for (peer, count) in [(&alice, 2), (&bob, 1), (&silent, 0)] {
        let frames = peer.hears(&mut host);
        assert_eq!(ends(&frames).len(), count);
        for end in frames {
            match end["job_id"] == jobs[0] {
                true => assert_eq!(end["payload"]["final_status"], "cancelled", "as its client was told"),
                false => assert_eq!(end["payload"]["code"], "INTERNAL_ERROR"),
            }
            assert_eq!(end["payload"]["retryable"], end["payload"]["code"] == "INTERNAL_ERROR");
        }
        assert_eq!(peer.close_code(&host), Some(1001));
    }
    assert_eq!(host.aborted, jobs.each_ref().map(|job| host.key_of(job)));
    let late = host.connect();
    late.hears_nothing(&mut host);
    assert_eq!(late.close_code(&host), Some(1001));
}

#[test]
fn nothing_is_done_for_anybody_after_a_shutdown() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    host.shut_down();
    alice.submits(&mut host, json!({ "agent": "echo" }));
    alice.cancels(&mut host, &job);
    host.unstall(&alice);
    assert_eq!(types(&alice.hears(&mut host)), ["job.error"]);
    alice.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    host.shut_down();
    alice.hears_nothing(&mut host);
    host.cut(&alice);
    assert!(host.written.last().unwrap().contains("disconnected_at: Some"));
}
