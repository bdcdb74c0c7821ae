//! A client that comes back (§6.3): both machines, and a link that is cut at the worst moments.

use arcp_core::client::{Backoff, ResumeState};
use arcp_proto::ErrorCode;
use serde_json::json;

use crate::host::seconds;
use crate::pair::Pair;
use crate::peer::message;
use crate::played::{Desk, accepted, event, job_error, of_job, result, session_error};

fn delay() -> std::time::Duration {
    std::time::Duration::from_millis(20)
}

/// A pair with a job that runs.
fn with_job() -> (Pair, String) {
    let mut pair = Pair::resilient(7, delay());
    pair.submit("echo", None);
    pair.run_for(seconds(1));
    assert_eq!(pair.is_told(), ["#1 accepted JOB"]);
    let job = pair.job();
    (pair, job)
}

#[test]
fn what_happens_while_the_link_is_down_arrives_once_it_is_back() {
    let (mut pair, job) = with_job();
    pair.host.emits(&job, &["a"]);
    pair.run_for(seconds(1));
    pair.cut();
    pair.host.emits(&job, &["b", "c"]);
    pair.run_for(seconds(5));
    pair.host.emits(&job, &["d"]);
    pair.host.succeed(&job);
    pair.run_for(seconds(1));
    let told = pair.is_told();
    assert_eq!(pair.seen, [1, 2, 3, 4]);
    assert_eq!(told.iter().filter(|words| *words == "disconnected" || *words == "resumed").count(), 2);
    assert_eq!(told.last().unwrap(), "JOB ended success");
}

#[test]
fn ten_cuts_in_a_row_lose_nothing_and_repeat_nothing() {
    let (mut pair, job) = with_job();
    for round in 0..10_u32 {
        pair.host.emits(&job, &["before", "and"]);
        pair.run_for(delay() * (round % 4));
        pair.cut();
        pair.host.emits(&job, &["while"]);
        pair.run_for(seconds(3));
    }
    pair.run_for(seconds(30));
    assert_eq!(pair.seen, (1..=30).collect::<Vec<_>>());
}

#[test]
fn a_cut_between_submit_and_accepted_makes_one_job() {
    for moments in [0, 1, 2, 3] {
        let mut pair = Pair::resilient(7, delay());
        pair.submit("echo", None);
        pair.run_for(delay() / 2 * moments);
        pair.cut();
        pair.run_for(seconds(10));
        assert_eq!(pair.host.started.len(), 1, "cut after {moments} half-ways");
        let told = pair.is_told();
        assert_eq!(told.iter().filter(|words| *words == "#1 accepted JOB").count(), 1, "{told:?}");
    }
}

#[test]
fn a_job_whose_acceptance_was_lost_is_followed_from_its_first_event() {
    let mut pair = Pair::resilient(7, delay());
    pair.submit("echo", None);
    pair.run_for(delay());
    let job = pair.job();
    pair.host.emits(&job, &["a"]);
    pair.cut();
    pair.host.emits(&job, &["b"]);
    pair.host.succeed(&job);
    pair.run_for(seconds(10));
    let told = pair.is_told();
    assert_eq!(pair.seen, [1, 2]);
    assert_eq!(told.iter().filter(|words| *words == "JOB ended success").count(), 1, "{told:?}");
}

#[test]
fn a_job_that_failed_before_its_acceptance_was_heard_of_is_not_refused_but_ended() {
    let mut desk = Desk::with(|config| config.reconnect = Some(Backoff::default()));
    desk.machine.handle_connected(desk.clock.now());
    let welcome = |token: &str| {
        let payload = json!({ "session_id": "sess_1", "resume_token": token, "resume_window_sec": 60 });
        message("w", "session.welcome", payload)
    };
    desk.hears(&welcome("rt_1"));
    desk.submits();
    let id = desk.says().pop().unwrap()["id"].as_str().unwrap().to_owned();
    desk.machine.handle_disconnected(desk.clock.now());
    desk.is_told();
    dials(&mut desk);
    desk.hears(&welcome("rt_2"));
    desk.hears(&numbered(job_error("job_1", "QUOTA"), 1));
    desk.hears(&accepted("job_1", Some(&id)));
    assert_eq!(desk.is_told(), ["resumed", "#1 accepted job_1", "job_1 ended error QUOTA"]);
}

#[test]
fn an_end_that_was_missed_is_not_the_refusal_of_a_cancel() {
    let mut desk = resumable();
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2" })).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    desk.hears(&of_job("job_2", "job.subscribed", json!({ "job_id": "job_2", "current_status": "running" })));
    desk.machine.unsubscribe(desk.clock.now(), "job_2".parse().unwrap());
    desk.machine.handle_disconnected(desk.clock.now());
    desk.cancels("job_2");
    desk.is_told();
    dials(&mut desk);
    let payload = json!({ "session_id": "sess_1", "resume_token": "rt_2", "resume_window_sec": 60 });
    desk.hears(&message("w", "session.welcome", payload));
    desk.hears(&numbered(job_error("job_2", "QUOTA"), 1));
    assert_eq!(
        desk.is_told(),
        ["resumed", "#3 acknowledged"],
        "it has ended: nothing is left to be cancelled"
    );
}

#[test]
fn a_cut_between_a_result_and_its_delivery_delays_it() {
    let (mut pair, job) = with_job();
    pair.host.succeed(&job);
    pair.cut();
    pair.run_for(seconds(10));
    assert_eq!(pair.is_told().iter().filter(|words| *words == "JOB ended success").count(), 1);
}

#[test]
fn a_cancel_that_was_cut_off_is_asked_again() {
    let (mut pair, job) = with_job();
    pair.cancel(&job);
    pair.cut();
    pair.run_for(seconds(10));
    assert_eq!(pair.host.stopped.len(), 1);
    assert!(pair.is_told().contains(&"#2 acknowledged".to_owned()));
}

#[test]
fn a_welcome_that_is_lost_costs_nothing() {
    let (mut pair, job) = with_job();
    pair.cut();
    for _ in 0..3 {
        // Long enough for the hello to arrive and the welcome to be on its way.
        while pair.host.machine.census().connections == 0 {
            pair.run_for(delay());
        }
        pair.run_for(delay() / 2);
        pair.cut();
    }
    pair.host.emits(&job, &["a"]);
    pair.run_for(seconds(60));
    assert_eq!(pair.seen, [1]);
}

#[test]
fn a_link_that_dies_without_a_word_is_noticed_and_replaced() {
    let (mut pair, job) = with_job();
    pair.lose_link();
    pair.host.emits(&job, &["a"]);
    pair.run_for(seconds(200));
    assert_eq!(pair.seen, [1]);
    let told = pair.is_told();
    assert!(told.contains(&"disconnected".to_owned()) && told.contains(&"resumed".to_owned()), "{told:?}");
}

#[test]
fn a_client_keeps_trying_for_as_long_as_it_is_told_to() {
    let (mut pair, job) = with_job();
    pair.reachable = false;
    pair.cut();
    pair.run_for(seconds(500));
    assert_eq!(pair.is_told(), ["disconnected"]);
    pair.reachable = true;
    pair.host.emits(&job, &["a"]);
    pair.run_for(seconds(15));
    assert_eq!(pair.is_told(), ["resumed", "JOB says thought"]);
    pair.reachable = false;
    pair.cut();
    pair.run_for(seconds(700));
    assert_eq!(pair.is_told(), ["disconnected", "lapsed -"]);
    pair.run_for(seconds(300));
    assert_eq!(pair.is_told(), ["over Unreachable"]);
}

#[test]
fn an_application_that_takes_nothing_for_long_keeps_its_session() {
    let (mut pair, job) = with_job();
    pair.host.emits(&job, &["a"]);
    pair.pause(true);
    pair.run_for(seconds(3_600));
    assert_eq!(pair.is_told(), Vec::<String>::new());
    assert_eq!(pair.host.machine.census().connections, 1);
    pair.pause(false);
    pair.run_for(seconds(100));
    assert_eq!((pair.is_told(), pair.seen), (vec!["JOB says thought".to_owned()], vec![1]));
}

#[test]
fn a_link_that_dies_while_nothing_is_read_is_noticed_when_something_is() {
    let (mut pair, job) = with_job();
    pair.pause(true);
    pair.lose_link();
    pair.host.emits(&job, &["a"]);
    pair.run_for(seconds(300));
    assert_eq!(pair.is_told(), Vec::<String>::new());
    pair.pause(false);
    pair.run_for(seconds(100));
    assert_eq!(pair.is_told(), ["disconnected", "resumed", "JOB says thought"]);
}

#[test]
fn a_session_that_is_silent_stays_open_by_heartbeats() {
    let (mut pair, _) = with_job();
    pair.run_for(seconds(1_000));
    assert_eq!(pair.is_told(), Vec::<String>::new());
    assert_eq!(pair.host.machine.census().connections, 1);
}

#[test]
fn what_was_processed_is_acknowledged_in_a_while_and_not_each_by_itself() {
    let (mut pair, job) = with_job();
    pair.host.emits(&job, &["a", "b", "c", "d"]);
    pair.run_for(seconds(1));
    let acks: Vec<_> = pair.transcript.iter().filter(|line| line.contains("session.ack")).collect();
    assert_eq!(acks.len(), 1, "{acks:?}");
    assert_eq!(pair.host.machine.census().kept, 0);
}

#[test]
fn of_very_much_some_is_acknowledged_at_once() {
    let (mut pair, job) = with_job();
    for _ in 0..3_000 {
        pair.host.emits(&job, &["x"]);
    }
    pair.run_for(delay() * 3);
    let acks: Vec<_> = pair.transcript.iter().filter(|line| line.contains("session.ack")).collect();
    assert!(acks.len() == 1 && acks[0].contains(":3000"), "{acks:?}");
}

// The client against runtimes that do not behave

pub(crate) fn resumable() -> Desk {
    let mut desk = Desk::with(|config| config.reconnect = Some(Backoff::default()));
    desk.machine.handle_connected(desk.clock.now());
    let payload = json!({ "session_id": "sess_1", "resume_token": "rt_1", "resume_window_sec": 60,
        "capabilities": { "features": ["subscribe"] } });
    desk.hears(&message("w", "session.welcome", payload));
    desk.submits();
    desk.says();
    desk.hears(&accepted("job_1", None));
    assert_eq!(desk.is_told(), ["opened sess_1", "#1 accepted job_1"]);
    desk
}

pub(crate) fn numbered(mut envelope: serde_json::Value, seq: u64) -> serde_json::Value {
    envelope["event_seq"] = json!(seq);
    envelope
}

pub(crate) fn dials(desk: &mut Desk) {
    desk.wait(seconds(10));
    assert!(desk.is_told().contains(&"dials".to_owned()));
    desk.says();
    desk.closed = false;
    desk.machine.handle_connected(desk.clock.now());
}

#[test]
fn a_gap_is_answered_by_a_resume_from_before_it() {
    let mut desk = resumable();
    desk.hears(&numbered(event("job_1"), 1));
    desk.hears(&numbered(event("job_1"), 3));
    assert_eq!(desk.is_told(), ["job_1 says log", "disconnected"], "what comes after a gap is not told");
    dials(&mut desk);
    let hello = desk.says().pop().unwrap();
    let resume = json!({ "session_id": "sess_1", "resume_token": "rt_1", "last_event_seq": 1 });
    assert_eq!(hello["payload"]["resume"], resume);
}

#[test]
fn a_gap_that_a_resume_does_not_close_is_put_up_with() {
    let mut desk = resumable();
    desk.hears(&numbered(event("job_1"), 5));
    dials(&mut desk);
    let payload = json!({ "session_id": "sess_1", "resume_token": "rt_2", "resume_window_sec": 60 });
    desk.hears(&message("w", "session.welcome", payload));
    desk.hears(&numbered(event("job_1"), 5));
    desk.hears(&numbered(result("job_1"), 6));
    assert_eq!(desk.is_told(), ["resumed", "job_1 says log", "job_1 ended success"]);
}

#[test]
fn what_was_told_is_not_told_again() {
    let mut desk = resumable();
    for seq in [1, 1, 2, 1, 2] {
        desk.hears(&numbered(event("job_1"), seq));
    }
    assert_eq!(desk.is_told(), ["job_1 says log", "job_1 says log"]);
}

#[test]
fn a_token_that_is_refused_ends_the_session_but_a_fault_of_the_runtime_is_waited_out() {
    let mut desk = resumable();
    desk.machine.handle_disconnected(desk.clock.now());
    dials(&mut desk);
    desk.hears(&session_error("INTERNAL_ERROR", None));
    desk.is_told();
    dials(&mut desk);
    desk.hears(&session_error("UNAUTHENTICATED", None));
    assert_eq!(desk.is_told(), ["handshake refused UNAUTHENTICATED", "over Refused"]);
    assert_eq!(desk.machine.poll_timeout(), None);
}

/// How long after a refusal that wants it left alone for so long the client dials, in milliseconds.
fn dials_after(retry_after_ms: serde_json::Value) -> u128 {
    let mut desk = resumable();
    desk.machine.handle_disconnected(desk.clock.now());
    dials(&mut desk);
    let details = json!({ "retry_after_ms": retry_after_ms });
    desk.hears(&message(
        "m",
        "session.error",
        json!({ "code": "INTERNAL_ERROR", "message": "m", "details": details }),
    ));
    desk.is_told();
    let began = desk.clock.0;
    while !desk.is_told().contains(&"dials".to_owned()) {
        desk.wait(std::time::Duration::from_millis(10));
    }
    (desk.clock.0 - began).as_millis()
}

#[test]
fn a_runtime_that_wants_to_be_left_alone_for_a_while_is_for_five_minutes_at_most() {
    // The pause after two tries is 200 to 400 ms.
    for none in [json!(null), json!(0), json!("soon"), json!(-1)] {
        let after = dials_after(none);
        assert!((200..=410).contains(&after), "{after}");
    }
    let after = dials_after(json!(20_000));
    assert!((20_200..=20_410).contains(&after), "{after}");
    for long in [300_000, 36_000_000, i64::MAX] {
        let after = dials_after(json!(long));
        assert!((300_200..=300_410).contains(&after), "{after}");
    }
}

#[test]
fn a_subscription_that_was_cut_off_says_so() {
    let mut desk = resumable();
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2" })).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    desk.machine.handle_disconnected(desk.clock.now());
    dials(&mut desk);
    let payload = json!({ "session_id": "sess_1", "resume_token": "rt_2", "resume_window_sec": 60 });
    desk.hears(&message("w", "session.welcome", payload));
    assert_eq!(desk.is_told(), ["resumed", "#2 interrupted"]);
}

#[test]
fn what_an_interrupted_subscription_has_begun_is_not_told_as_the_next_one() {
    let mut desk = resumable();
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2" })).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    desk.machine.handle_disconnected(desk.clock.now());
    dials(&mut desk);
    let payload = json!({ "session_id": "sess_1", "resume_token": "rt_2", "resume_window_sec": 60,
        "capabilities": { "features": ["subscribe"] } });
    desk.hears(&message("w", "session.welcome", payload));
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    let id = desk.says().pop().unwrap()["id"].clone();
    desk.is_told();
    desk.hears(&numbered(event("job_2"), 1)); // of the first subscription, which the runtime did carry out
    let subscribed = json!({ "job_id": "job_2", "current_status": "running", "request_id": id });
    desk.hears(&of_job("job_2", "job.subscribed", subscribed));
    desk.hears(&numbered(event("job_2"), 2));
    assert_eq!(desk.is_told(), ["#3 subscribed job_2", "job_2 says log"]);
}

#[test]
fn a_subscription_that_is_ended_while_the_link_is_down_is_ended_when_it_is_back() {
    let mut desk = resumable();
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2" })).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    desk.hears(&of_job("job_2", "job.subscribed", json!({ "job_id": "job_2", "current_status": "running" })));
    desk.machine.handle_disconnected(desk.clock.now());
    desk.machine.unsubscribe(desk.clock.now(), "job_2".parse().unwrap());
    dials(&mut desk);
    desk.says();
    let payload = json!({ "session_id": "sess_1", "resume_token": "rt_2", "resume_window_sec": 60 });
    desk.hears(&message("w", "session.welcome", payload));
    let said = desk.says_one();
    assert_eq!((&said["type"], &said["payload"]["job_id"]), (&json!("job.unsubscribe"), &json!("job_2")));
}

#[test]
fn what_is_subscribed_to_again_while_the_link_is_down_is_not_ended_by_the_end_before_it() {
    let mut desk = resumable();
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2" })).unwrap();
    desk.machine.handle_disconnected(desk.clock.now());
    desk.machine.unsubscribe(desk.clock.now(), "job_2".parse().unwrap());
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    dials(&mut desk);
    desk.says();
    // Also if it is another session that is opened.
    let payload = json!({ "session_id": "sess_2", "capabilities": { "features": ["subscribe"] } });
    desk.hears(&message("w", "session.welcome", payload));
    let said = desk.says();
    let types: Vec<_> = said.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(
        types,
        ["job.subscribe", "job.subscribe"],
        "of the former session nothing is left to be ended"
    );
    assert!(said.iter().all(|frame| frame["session_id"] == "sess_2"), "{said:#?}");
}

#[test]
fn a_subscription_that_is_answered_too_late_is_ended() {
    let mut desk = resumable();
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2" })).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    let id = desk.says().pop().unwrap()["id"].clone();
    desk.wait(seconds(31));
    let payload = json!({ "job_id": "job_2", "current_status": "running", "request_id": id });
    desk.hears(&of_job("job_2", "job.subscribed", payload));
    assert_eq!(desk.says().pop().unwrap()["type"], "job.unsubscribe");
}

#[test]
fn an_end_that_was_sent_twice_before_its_acceptance_is_told_once() {
    let mut desk = resumable();
    desk.submits();
    let id = desk.says().pop().unwrap()["id"].as_str().unwrap().to_owned();
    desk.hears(&numbered(event("job_2"), 1));
    desk.hears(&numbered(result("job_2"), 2));
    desk.hears(&numbered(result("job_2"), 3));
    desk.hears(&accepted("job_2", Some(&id)));
    assert_eq!(desk.is_told(), ["#2 accepted job_2", "job_2 says log", "job_2 ended success"]);
}

#[test]
fn subscribed_jobs_are_told_also_if_their_runtime_counts_them_by_themselves() {
    let mut desk = resumable();
    desk.hears(&numbered(event("job_1"), 1));
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2" })).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    desk.says();
    let subscribed = json!({ "job_id": "job_2", "current_status": "running", "replayed": 1 });
    desk.hears(&of_job("job_2", "job.subscribed", subscribed));
    desk.hears(&numbered(event("job_2"), 1));
    desk.hears(&numbered(event("job_1"), 2));
    assert_eq!(desk.is_told(), ["job_1 says log", "#2 subscribed job_2", "job_2 says log", "job_1 says log"]);
}

#[test]
fn what_such_a_runtime_replays_before_it_answers_is_told_after_the_answer() {
    let mut desk = resumable();
    desk.hears(&numbered(event("job_1"), 1));
    desk.hears(&numbered(event("job_1"), 2));
    let subscribe = serde_json::from_value(json!({ "job_id": "job_2", "history": true })).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    desk.says();
    desk.hears(&numbered(event("job_2"), 1));
    let subscribed = json!({ "job_id": "job_2", "current_status": "running", "replayed": 1 });
    desk.hears(&of_job("job_2", "job.subscribed", subscribed));
    let told = ["job_1 says log", "job_1 says log", "#2 subscribed job_2", "job_2 says log"];
    assert_eq!(desk.is_told(), told);
}

#[test]
fn what_it_takes_to_resume_can_be_saved_and_used_by_another() {
    let mut desk = resumable();
    desk.hears(&numbered(event("job_1"), 1));
    let state = desk.machine.resume_state().unwrap();
    assert_eq!(state.last_event_seq, 1);
    assert!(!format!("{state:?}").contains("rt_1"));
    let mut other = Desk::with(|config| config.resume = Some(ResumeState { ..state }));
    other.machine.handle_connected(other.clock.now());
    assert_eq!(other.says()[0]["payload"]["resume"]["resume_token"], "rt_1");
    other.hears(&session_error("PERMISSION_DENIED", None));
    assert_eq!(other.is_told()[0], format!("handshake refused {}", ErrorCode::PermissionDenied));
}
