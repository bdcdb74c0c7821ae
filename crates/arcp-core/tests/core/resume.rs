//! Resuming (§6.3): a session outlives its connections, and nothing that was numbered is lost on the way.

use std::time::Duration;

use serde_json::json;

use crate::host::{Authenticator, Host, seconds};
use crate::peer::{Peer, hello, message, numbers, texts, types};

fn refused(host: &mut Host, who: &str, session: &str, token: &str, last_event_seq: u64, code: &str) {
    let mut peer = host.connect();
    let written = host.written.len();
    peer.resumes_with(host, who, session, token, last_event_seq);
    peer.hears_refusal(host, "hello", code);
    assert_eq!(peer.close_code(host), Some(1008));
    assert_eq!(host.written.len(), written);
}

/// A session with a job that has said `a`, `b` and `c`.
fn with_three_events(host: &mut Host) -> (Peer, String) {
    let mut alice = host.join("alice");
    let job = alice.starts_job(host);
    host.emits(&job, &["a", "b", "c"]);
    assert_eq!(alice.hears(host).len(), 3);
    (alice, job)
}

#[test]
fn what_was_said_while_nobody_listened_is_heard_after_the_resume() {
    let mut host = Host::new();
    let (alice, job) = with_three_events(&mut host);
    host.cut(&alice);
    host.emits(&job, &["d", "e"]);
    let mut again = host.connect();
    again.resumes_with(&mut host, "alice", &alice.session, &alice.token, 3);
    host.emits(&job, &["f"]);
    let frames = again.hears(&mut host);
    assert_eq!(types(&frames)[0], "session.welcome");
    assert_eq!(frames[0]["session_id"], alice.session);
    assert_eq!(frames[0]["payload"]["session_id"], alice.session);
    assert_ne!(frames[0]["payload"]["resume_token"], alice.token);
    assert_eq!((texts(&frames), numbers(&frames)), (vec!["d", "e", "f"], vec![4, 5, 6]));
}

#[test]
fn a_resume_with_nothing_missed_replays_nothing() {
    let mut host = Host::new();
    let (alice, job) = with_three_events(&mut host);
    host.cut(&alice);
    let again = alice.resumes(&mut host, 3);
    again.hears_nothing(&mut host);
    host.emits(&job, &["d"]);
    assert_eq!(again.hears_one(&mut host)["event_seq"], 4);
}

#[test]
fn a_session_in_which_nothing_has_happened_is_resumed() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.cut(&alice);
    alice.resumes(&mut host, 0).hears_nothing(&mut host);
}

#[test]
fn what_was_sent_but_not_received_is_sent_again() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    host.cut(&alice);
    for (last, missed) in [(1, vec!["b", "c"]), (0, vec!["a", "b", "c"]), (2, vec!["c"])] {
        let mut again = host.connect();
        again.resumes_with(&mut host, "alice", &alice.session, &alice.token, last);
        assert_eq!(
            texts(&again.hears(&mut host)),
            missed,
            "the old token is good: nothing was said with the new one"
        );
        host.cut(&again);
    }
}

#[test]
fn the_window_counts_from_the_disconnect() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    host.wait(seconds(5_000));
    host.cut(&alice);
    host.wait(Duration::from_millis(599_999));
    let again = alice.resumes(&mut host, 3);
    host.wait(seconds(5_000));
    host.cut(&again);
    host.wait(seconds(600));
    refused(&mut host, "alice", &again.session, &again.token, 3, "RESUME_WINDOW_EXPIRED");
    assert!(host.written.last().unwrap().contains("SessionGone"));
}

#[test]
fn jobs_run_on_when_their_session_is_gone() {
    let mut host = Host::new();
    let (alice, job) = with_three_events(&mut host);
    host.cut(&alice);
    host.wait(seconds(600));
    host.emits(&job, &["nobody hears this"]);
    host.succeed(&job);
    let mut other = host.join("alice");
    let id = other.cancels(&mut host, &job);
    other.hears_refusal(&mut host, &id, "PERMISSION_DENIED");
}

#[test]
fn a_half_open_connection_does_not_block_a_resume() {
    let mut host = Host::new();
    let (mut alice, job) = with_three_events(&mut host);
    host.stall(&alice);
    host.emits(&job, &["d"]);
    alice.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    host.hold_commits();
    host.notices.clear();
    let mut again = host.connect();
    again.resumes_with(&mut host, "alice", &alice.session, &alice.token, 3);
    host.unstall(&alice);
    assert_eq!(alice.close_code(&host), Some(4409), "the old one is closed");
    alice.hears_nothing(&mut host);
    again.hears_nothing(&mut host);
    host.release_commits();
    let frames = again.hears(&mut host);
    assert_eq!(types(&frames), ["session.welcome", "job.event"]);
    // What the old connection still says is heard by nobody, and its end is no disconnect of the session.
    alice.asks(&mut host, "session.close", json!({}));
    host.cut(&alice);
    host.wait(seconds(700));
    host.emits(&job, &["e"]);
    assert_eq!(again.hears_one(&mut host)["event_seq"], 5);
}

#[test]
fn the_old_connection_is_closed_before_the_new_welcome() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    host.notices.clear();
    let again = alice.resumes(&mut host, 3);
    let told = |key| host.notices.iter().position(|notice| *notice == format!("Transmit({key:?})"));
    assert!(told(alice.key).unwrap() < told(again.key).unwrap(), "{:?}", host.notices);
}

#[test]
fn an_agent_that_waited_for_a_half_open_connection_goes_on_over_the_new_one() {
    let mut host = Host::with(|config| config.limits.send_window_events = 2);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    host.emits(&job, &["a", "b"]);
    let again = alice.resumes(&mut host, 0);
    assert_eq!(host.woken, [host.key_of(&job)]);
    assert_eq!(texts(&again.hears(&mut host)), ["a", "b"]);
}

#[test]
fn a_wrong_token_is_refused_and_harmless() {
    let mut host = Host::new();
    let (alice, job) = with_three_events(&mut host);
    refused(&mut host, "alice", &alice.session, "rt_wrong", 3, "PERMISSION_DENIED");
    refused(&mut host, "alice", &alice.session, "", 3, "PERMISSION_DENIED");
    assert_eq!(alice.close_code(&host), None, "the connection that there is goes on");
    host.emits(&job, &["d"]);
    assert_eq!(alice.hears_one(&mut host)["event_seq"], 4);
    host.cut(&alice);
    refused(&mut host, "alice", &alice.session, "rt_wrong", 4, "PERMISSION_DENIED");
    alice.resumes(&mut host, 4);
}

#[test]
fn a_failed_try_does_not_lengthen_the_window() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.cut(&alice);
    host.wait(seconds(599));
    refused(&mut host, "alice", &alice.session, "rt_wrong", 0, "PERMISSION_DENIED");
    host.wait(seconds(1));
    refused(&mut host, "alice", &alice.session, &alice.token, 0, "RESUME_WINDOW_EXPIRED");
}

#[test]
fn another_principal_with_the_right_token_is_refused_and_harmless() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    refused(&mut host, "mallory", &alice.session, &alice.token, 3, "PERMISSION_DENIED");
    refused(&mut host, "nobody-at", &alice.session, "rt_x", 3, "PERMISSION_DENIED");
    host.cut(&alice);
    refused(&mut host, "mallory", &alice.session, &alice.token, 0, "PERMISSION_DENIED");
    alice.resumes(&mut host, 3);
}

#[test]
fn a_token_is_no_substitute_for_authentication() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    let peer = host.connect();
    let mut payload = hello("alice");
    payload["auth"] = json!(null);
    payload["resume"] =
        json!({ "session_id": alice.session, "resume_token": alice.token, "last_event_seq": 0 });
    peer.sends(&mut host, &message("h", "session.hello", payload));
    peer.hears_refusal(&mut host, "h", "UNAUTHENTICATED");
    assert_eq!(alice.close_code(&host), None);
}

#[test]
fn a_resume_below_what_is_kept_is_told_where_it_may_begin() {
    let mut host = Host::with(|config| config.limits.buffer_events = 2);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.cut(&alice);
    host.emits(&job, &["1", "2", "3", "4", "5"]);
    let mut late = host.connect();
    late.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    let error = late.hears_one(&mut host)["payload"].clone();
    assert_eq!(
        (&error["code"], &error["details"]),
        (&json!("RESUME_WINDOW_EXPIRED"), &json!({ "kept_from": 3, "last_event_seq": 5 }))
    );
    let again = alice.resumes(&mut host, 5);
    again.hears_nothing(&mut host);
}

#[test]
fn a_session_with_running_jobs_makes_room_last() {
    let mut host = Host::with(|config| config.limits.sessions_per_principal = 2);
    let mut busy = host.join("alice");
    let job = busy.starts_job(&mut host);
    host.cut(&busy);
    for _ in 0..5 {
        host.wait(seconds(1));
        let idle = host.join("alice");
        host.cut(&idle);
    }
    let mut busy = busy.resumes(&mut host, 0);
    busy.cancels(&mut host, &job);
    assert_eq!(host.stopped.len(), 1);
}

#[test]
fn a_number_that_was_never_given_is_invalid() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    host.cut(&alice);
    refused(&mut host, "alice", &alice.session, &alice.token, 4, "INVALID_REQUEST");
    refused(&mut host, "alice", &alice.session, &alice.token, u64::MAX, "INVALID_REQUEST");
    alice.resumes(&mut host, 3);
}

#[test]
fn an_unknown_session_cannot_be_resumed() {
    let mut host = Host::new();
    refused(&mut host, "alice", "sess_unknown", "rt_x", 0, "RESUME_WINDOW_EXPIRED");
}

#[test]
fn below_the_buffer_there_is_nothing_to_resume_from() {
    let mut host = Host::with(|config| config.limits.buffer_events = 3);
    let (alice, job) = with_three_events(&mut host);
    host.cut(&alice);
    host.emits(&job, &["d", "e"]);
    refused(&mut host, "alice", &alice.session, &alice.token, 1, "RESUME_WINDOW_EXPIRED");
    let again = alice.resumes(&mut host, 2);
    assert_eq!(numbers(&again.hears(&mut host)), [3, 4, 5]);
}

#[test]
fn the_buffer_is_bounded_in_events_while_nobody_listens() {
    let mut host = Host::with(|config| config.limits.buffer_events = 3);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    host.emits(&job, &["a", "b"]);
    host.cut(&alice);
    host.emits(&job, &["c", "d", "e", "f", "g"]);
    refused(&mut host, "alice", &alice.session, &alice.token, 0, "RESUME_WINDOW_EXPIRED");
    let again = alice.resumes(&mut host, 4);
    let frames = again.hears(&mut host);
    assert_eq!((texts(&frames), numbers(&frames)), (vec!["e", "f", "g"], vec![5, 6, 7]));
    host.emits(&job, &["h"]);
    assert_eq!(again.hears_one(&mut host)["event_seq"], 8);
}

#[test]
fn the_buffer_is_bounded_in_bytes() {
    let mut host = Host::with(|config| config.limits.buffer_bytes = 1_000);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.cut(&alice);
    for _ in 0..5 {
        host.emit(&job, &"x".repeat(300)).unwrap();
    }
    refused(&mut host, "alice", &alice.session, &alice.token, 2, "RESUME_WINDOW_EXPIRED");
    host.emit(&job, &"x".repeat(2_000)).unwrap();
    refused(&mut host, "alice", &alice.session, &alice.token, 5, "RESUME_WINDOW_EXPIRED");
    let again = alice.resumes(&mut host, 6);
    host.emits(&job, &["small"]);
    assert_eq!(again.hears_one(&mut host)["event_seq"], 7);
}

#[test]
fn a_live_connection_loses_nothing_to_the_buffer_limit() {
    let mut host = Host::with(|config| config.limits.buffer_events = 2);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    host.emits(&job, &["a", "b", "c", "d", "e"]);
    host.take_from(&alice, 2);
    host.emits(&job, &["f"]);
    host.unstall(&alice);
    assert_eq!(numbers(&alice.hears(&mut host)), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn the_old_token_is_good_until_something_is_said_with_the_new_one() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    host.cut(&alice);
    let mut second = alice.resumes(&mut host, 3);
    second.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    host.cut(&second);
    refused(&mut host, "alice", &alice.session, &alice.token, 3, "PERMISSION_DENIED");
    second.resumes(&mut host, 3);
}

#[test]
fn the_old_token_is_good_for_thirty_seconds_at_most() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    host.cut(&alice);
    let second = alice.resumes(&mut host, 3);
    host.cut(&second);
    host.wait(Duration::from_millis(29_999));
    let third = alice.resumes(&mut host, 3);
    host.cut(&third);
    host.wait(seconds(30));
    refused(&mut host, "alice", &alice.session, &alice.token, 3, "PERMISSION_DENIED");
    third.resumes(&mut host, 3);
}

#[test]
fn a_welcome_may_be_lost_more_than_once() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    host.cut(&alice);
    for _ in 0..4 {
        let lost = alice.resumes(&mut host, 3);
        host.cut(&lost);
        host.wait(seconds(10));
    }
    let mut heard = alice.resumes(&mut host, 3);
    heard.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    refused(&mut host, "alice", &alice.session, &alice.token, 3, "PERMISSION_DENIED");
}

#[test]
fn a_token_that_is_shown_again_and_again_with_nothing_said_is_dead_after_the_window() {
    let mut host = Host::with(|config| config.limits.resume_window = seconds(100));
    let (alice, _) = with_three_events(&mut host);
    host.cut(&alice);
    for _ in 0..5 {
        let lost = alice.resumes(&mut host, 3);
        host.cut(&lost);
        host.wait(seconds(20));
    }
    refused(&mut host, "alice", &alice.session, &alice.token, 3, "PERMISSION_DENIED");
}

#[test]
fn all_buffers_together_are_bounded_and_the_largest_give_way() {
    let mut host = Host::with(|config| {
        config.limits.all_buffer_bytes = 16_000;
        config.limits.sessions_per_principal = 1_000;
    });
    let mut sessions = Vec::new();
    for (who, events) in [("alice", 1), ("bob", 3), ("carol", 60)] {
        let mut peer = host.join(who);
        let job = peer.starts_job(&mut host);
        host.cut(&peer);
        for _ in 0..events {
            host.emit(&job, &"x".repeat(300)).unwrap();
        }
        sessions.push((peer, who, job));
    }
    assert!(host.machine.census().kept_bytes <= 16_000);
    // Who keeps little keeps all of it.
    for ((peer, _, _), events) in sessions.iter().zip([1, 3]) {
        assert_eq!(peer.resumes(&mut host, 0).hears(&mut host).len(), events);
    }
    let (carol, who, job) = &sessions[2];
    refused(&mut host, who, &carol.session, &carol.token, 0, "RESUME_WINDOW_EXPIRED");
    host.succeed(job);
    assert_eq!(carol.resumes(&mut host, 60).hears_one(&mut host)["event_seq"], 61);
    // What was let go is let go for good.
    host.crash();
    refused(&mut host, who, &carol.session, &carol.token, 0, "RESUME_WINDOW_EXPIRED");
}

#[test]
fn what_a_live_connection_has_still_to_carry_is_not_forgotten_for_others() {
    let mut host = Host::with(|config| config.limits.all_buffer_bytes = 1_000);
    let mut alice = host.join("alice");
    let job = alice.starts_job(&mut host);
    host.stall(&alice);
    for _ in 0..20 {
        host.emit(&job, &"x".repeat(300)).unwrap();
    }
    host.unstall(&alice);
    assert_eq!(numbers(&alice.hears(&mut host)), (1..=20).collect::<Vec<_>>());
    host.emit(&job, &"x".repeat(300)).unwrap();
    assert!(host.machine.census().kept_bytes <= 1_000);
}

#[test]
fn resuming_again_and_again_leaves_one_timer() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    for _ in 0..20 {
        alice = alice.resumes(&mut host, 0);
        host.wait(Duration::from_millis(100));
    }
    let due = host.machine.poll_timeout().unwrap().since_origin();
    assert_eq!(due, Duration::from_millis(19 * 100 + 30_000), "the timers of earlier resumes are gone");
}

#[test]
fn two_that_resume_at_once_take_turns() {
    let mut host = Host::new();
    let (alice, job) = with_three_events(&mut host);
    host.cut(&alice);
    host.authenticator = Authenticator::IsSilent;
    let (mut one, mut two) = (host.connect(), host.connect());
    one.resumes_with(&mut host, "alice", &alice.session, &alice.token, 2);
    two.resumes_with(&mut host, "alice", &alice.session, &alice.token, 1);
    host.authenticate(&one, Ok("alice"));
    host.authenticate(&two, Ok("alice"));
    assert_eq!(texts(&one.hears(&mut host)), ["c"]);
    assert_eq!((one.close_code(&host), two.close_code(&host)), (Some(4409), None));
    host.emits(&job, &["d"]);
    assert_eq!(numbers(&two.hears(&mut host)), [2, 3, 4]);
    one.hears_nothing(&mut host);
}

#[test]
fn a_session_may_vanish_while_its_resume_is_authenticated() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.cut(&alice);
    host.wait(seconds(595));
    host.authenticator = Authenticator::IsSilent;
    let mut again = host.connect();
    again.resumes_with(&mut host, "alice", &alice.session, &alice.token, 0);
    host.wait(seconds(5));
    host.authenticate(&again, Ok("alice"));
    again.hears_refusal(&mut host, "hello", "RESUME_WINDOW_EXPIRED");
}

#[test]
fn a_session_resume_message_does_the_same() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    for (name_it_inside, last) in [(true, 1), (false, 2)] {
        let mut peer = host.connect();
        let mut payload = hello("alice");
        payload["resume_token"] = json!(alice.token);
        payload["last_event_seq"] = json!(last);
        let mut envelope = message("r", "session.resume", payload);
        match name_it_inside {
            true => envelope["payload"]["session_id"] = json!(alice.session),
            false => envelope["session_id"] = json!(alice.session),
        }
        peer.sends(&mut host, &envelope);
        peer.expects_welcome(&mut host);
        assert_eq!(numbers(&peer.hears(&mut host)), (last + 1..=3).collect::<Vec<_>>());
    }
    let peer = host.connect();
    let mut payload = hello("alice");
    payload["resume_token"] = json!(alice.token);
    peer.sends(&mut host, &message("r", "session.resume", payload));
    peer.hears_refusal(&mut host, "r", "INVALID_REQUEST");
}

#[test]
fn a_session_resume_message_may_have_the_block_of_a_hello() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    let mut payload = hello("alice");
    payload["resume"] = json!({
        "session_id": alice.session, "resume_token": alice.token, "last_event_seq": 1,
    });
    let mut peer = host.connect();
    peer.sends(&mut host, &message("r", "session.resume", payload));
    peer.expects_welcome(&mut host);
    assert_eq!((peer.session.clone(), numbers(&peer.hears(&mut host))), (alice.session, vec![2, 3]));
    for bad in [json!(7), json!({ "resume_token": alice.token })] {
        let mut payload = hello("alice");
        payload["resume"] = bad;
        let peer = host.connect();
        peer.sends(&mut host, &message("r", "session.resume", payload));
        peer.hears_refusal(&mut host, "r", "INVALID_REQUEST");
    }
}

#[test]
fn a_resume_token_at_the_top_of_a_hello_is_found() {
    let mut host = Host::new();
    let (alice, _) = with_three_events(&mut host);
    let mut payload = hello("alice");
    payload["resume_token"] = json!(alice.token);
    payload["last_event_seq"] = json!(1);
    let mut envelope = message("h", "session.hello", payload);
    let peer = host.connect();
    peer.sends(&mut host, &envelope);
    peer.hears_refusal(&mut host, "h", "INVALID_REQUEST");
    envelope["session_id"] = json!(alice.session);
    let mut peer = host.connect();
    peer.sends(&mut host, &envelope);
    peer.expects_welcome(&mut host);
    assert_eq!((peer.session.clone(), numbers(&peer.hears(&mut host))), (alice.session, vec![2, 3]));
}

#[test]
fn a_resumed_session_leaves_no_timer_of_its_absence() {
    let mut host = Host::new();
    let alice = host.join("alice");
    host.cut(&alice);
    let mut again = alice.resumes(&mut host, 0);
    again.asks(&mut host, "session.ping", json!({ "nonce": "n" }));
    assert_eq!(host.machine.poll_timeout(), None);
}

#[test]
fn a_session_that_is_gone_is_forgotten_by_the_jobs_that_it_followed() {
    let mut host = Host::new();
    let mut owner = host.join("alice");
    let keyed = json!({ "agent": "echo", "idempotency_key": "k" });
    owner.starts(&mut host, keyed.clone());
    for _ in 0..5 {
        let mut other = host.join("alice");
        other.starts(&mut host, keyed.clone());
        host.cut(&other);
        host.wait(seconds(600));
    }
    let census = host.machine.census();
    assert_eq!((census.sessions, census.followers, census.following), (1, 1, 1));
}
