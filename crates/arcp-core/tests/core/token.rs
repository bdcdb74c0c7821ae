//! Tokens that are good for a while (§6.1): what becomes of the connections that they let in, and of what these carry.

use arcp_core::runtime::AuthenticationError;
use arcp_core::{Caller, Incoming, Now, Principal};
use serde_json::json;

use crate::host::{Host, seconds};
use crate::peer::{numbers, texts};

/// A host whose tokens are good for a minute.
fn brief() -> Host {
    let mut host = Host::new();
    host.token_life = Some(seconds(60));
    host
}

#[test]
fn a_connection_ends_with_its_token_and_its_session_does_not() {
    let mut host = brief();
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.emits(&job, &["before"]);
    host.wait(seconds(59));
    assert_eq!(alice.close_code(&host), None);
    assert_eq!(texts(&alice.hears(&mut host)), ["before"]);
    host.wait(seconds(1));
    let said = alice.hears_one(&mut host);
    assert_eq!((&said["type"], &said["session_id"]), (&json!("session.error"), &json!(alice.session)));
    assert_eq!(said["payload"]["code"], "UNAUTHENTICATED");
    assert_eq!(said["payload"].get("request_id"), None, "it answers nothing");
    assert_eq!(alice.close_code(&host), Some(1008));
    assert!(host.stopped.is_empty() && host.aborted.is_empty(), "the job runs on");
    host.emits(&job, &["after"]);
    // A fresh token: everything is there, and for another minute.
    let mut again = alice.resumes(&mut host, 1);
    let heard = again.hears(&mut host);
    assert_eq!((texts(&heard), numbers(&heard)), (vec!["after"], vec![2]));
    again.cancels(&mut host, &job);
    assert_eq!(
        again.hears_one(&mut host)["type"],
        "job.cancelled",
        "it is as much the same session as before"
    );
    host.wait(seconds(59));
    assert_eq!(again.close_code(&host), None);
    host.wait(seconds(1));
    assert_eq!(again.close_code(&host), Some(1008));
}

#[test]
fn what_is_said_too_late_is_not_done_though_no_timer_has_fired() {
    for by_wall in [false, true] {
        let mut host = brief();
        let alice = host.join("alice");
        let now = host.now();
        // One clock has stood still: a machine that sleeps does that to the one, and whoever sets the time to the other.
        let later = host.clock.after(seconds(60)).now();
        let late = match by_wall {
            true => Now { monotonic: now.monotonic, wall: later.wall },
            false => Now { monotonic: later.monotonic, wall: now.wall },
        };
        let submit = json!({ "agent": "echo", "input": null });
        let envelope = crate::peer::message("late", "job.submit", submit);
        host.machine.handle_frame(late, alice.key, Incoming::text(envelope.to_string()));
        host.wait(seconds(0));
        assert_eq!(alice.hears_one(&mut host)["payload"]["code"], "UNAUTHENTICATED");
        assert_eq!(alice.close_code(&host), Some(1008));
        assert!(host.started.is_empty());
    }
}

#[test]
fn a_token_that_expires_while_it_is_looked_at_lets_nobody_in() {
    let mut host = Host::new();
    let mut peer = host.connect();
    host.authenticator = crate::host::Authenticator::IsSilent;
    peer.says_hello(&mut host, "alice");
    let caller = Caller::new(Principal::new("alice")).until(host.now().wall);
    let outcome: Result<Caller, AuthenticationError> = Ok(caller);
    host.machine.handle_authenticated(host.now(), peer.key, outcome);
    host.wait(seconds(0));
    let refused = peer.hears_one(&mut host);
    assert_eq!(refused["payload"]["code"], "UNAUTHENTICATED");
    assert_eq!(refused["payload"]["request_id"], "hello");
    assert_eq!(peer.close_code(&host), Some(1008));
    assert!(host.written.is_empty(), "nothing is written for somebody who is not let in");
}

#[test]
fn whoever_was_resumed_elsewhere_meanwhile_is_left_alone() {
    let mut host = brief();
    let alice = host.join("alice");
    host.wait(seconds(30));
    let again = alice.resumes(&mut host, 0);
    assert_eq!(alice.close_code(&host), Some(4409));
    host.wait(seconds(30));
    assert_eq!(again.close_code(&host), None, "its token is another");
    host.wait(seconds(30));
    assert_eq!(again.close_code(&host), Some(1008));
}

#[test]
fn a_session_that_nobody_comes_back_to_is_forgotten_after_its_window() {
    let mut host = brief();
    let alice = host.join("alice");
    host.wait(seconds(60));
    assert_eq!(alice.close_code(&host), Some(1008));
    host.wait(seconds(601));
    let mut late = host.connect();
    late.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    assert_eq!(late.hears_one(&mut host)["payload"]["code"], "RESUME_WINDOW_EXPIRED");
}

#[test]
fn no_timer_is_left_of_a_token() {
    let mut host = brief();
    let alice = host.join("alice");
    host.cut(&alice);
    host.wait(seconds(601));
    assert_eq!(host.machine.poll_timeout(), None);
}
