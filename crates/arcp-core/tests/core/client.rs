//! The client machine against runtimes of all manners: what answers what, and what ends what.

use std::time::Duration;

use arcp_core::Incoming;
use arcp_proto::job::{Submit, Subscribe};
use arcp_proto::session::{AgentInfo, ListJobs};
use serde_json::{Value, json};

use crate::host::seconds;
use crate::peer::{message, types};
use crate::played::{Desk, accepted, event, job_error, of_job, result, session_error, welcome};

fn id(frame: &Value) -> String {
    frame["id"].as_str().unwrap().to_owned()
}

// The handshake

#[test]
fn the_hello_is_exactly_this() {
    let mut desk = Desk::connected();
    let hello = desk.says_one();
    assert_eq!(
        hello,
        json!({
            "arcp": "1.1",
            "id": hello["id"],
            "type": "session.hello",
            "payload": {
                "client": { "name": "client", "version": "0" },
                "auth": { "scheme": "bearer", "token": "alice-token" },
                "capabilities": {
                    "encodings": ["json"],
                    "features": [
                        "heartbeat", "ack", "list_jobs", "subscribe", "lease_expires_at", "cost.budget",
                        "model.use", "provisioned_credentials", "progress", "result_chunk", "agent_versions"
                    ]
                }
            }
        })
    );
}

#[test]
fn a_terse_welcome_with_flat_agents_is_enough() {
    let mut desk = Desk::connected();
    let mut terse =
        message("w", "session.welcome", json!({ "capabilities": { "agents": ["a", { "name": "b" }] } }));
    terse["session_id"] = json!("sess_of_the_envelope");
    desk.hears(&terse);
    let Some(arcp_core::client::Event::Opened(opened)) = desk.machine.poll_event() else {
        panic!("not open")
    };
    assert_eq!(opened.session_id.unwrap().as_str(), "sess_of_the_envelope");
    let plain = |name: &str| serde_json::from_value::<AgentInfo>(json!({ "name": name })).unwrap();
    assert_eq!(opened.agents, [plain("a"), plain("b")]);
    desk.says();
    desk.submits();
    assert_eq!(desk.says_one()["session_id"], "sess_of_the_envelope");
}

#[test]
fn a_refused_handshake_says_why() {
    let mut desk = Desk::connected();
    desk.hears(&session_error("UNAUTHENTICATED", None));
    assert_eq!(desk.is_told(), ["handshake refused UNAUTHENTICATED", "over Refused"]);
    desk.says();
    assert!(desk.closed);
    desk.hears(&welcome());
    assert!(desk.is_told().is_empty());
}

#[test]
fn a_welcome_that_cannot_be_read_is_a_refusal_and_other_noise_is_not() {
    let mut desk = Desk::connected();
    desk.hears_text("noise");
    desk.hears(&message("m", "session.ping", json!({ "nonce": 7 })));
    desk.hears(&event("job_1"));
    desk.hears(&message("m", "x-vendor.acme.hi", json!({})));
    assert!(desk.is_told().is_empty());
    desk.hears(&message("w", "session.welcome", json!({ "capabilities": 7 })));
    assert_eq!(desk.is_told(), ["handshake refused INVALID_REQUEST", "over Refused"]);
}

#[test]
fn a_runtime_that_does_not_answer_is_given_up() {
    let mut desk = Desk::connected();
    desk.wait(Duration::from_millis(9_999));
    assert!(desk.is_told().is_empty());
    desk.wait(Duration::from_millis(1));
    assert_eq!(desk.is_told(), ["over HandshakeTimeout"]);
    desk.says();
    assert!(desk.closed);
    assert_eq!(desk.machine.poll_timeout(), None);
}

#[test]
fn a_connection_may_be_lost_in_every_phase() {
    let mut idle = Desk::new();
    idle.machine.handle_disconnected(idle.clock.now());
    assert_eq!(idle.is_told(), ["over BeforeWelcome"]);
    let mut opening = Desk::connected();
    opening.submits();
    opening.machine.handle_disconnected(opening.clock.now());
    assert_eq!(opening.is_told(), ["over BeforeWelcome"]);
    let mut open = Desk::with_job(true);
    open.submits();
    open.machine.handle_disconnected(open.clock.now());
    open.machine.handle_disconnected(open.clock.now());
    assert_eq!(open.is_told(), ["over ConnectionLost"]);
    assert_eq!(open.machine.poll_timeout(), None);
    let mut closing = Desk::open();
    closing.closes();
    closing.machine.handle_disconnected(closing.clock.now());
    assert_eq!(closing.is_told(), ["over Closed"]);
}

#[test]
fn what_is_asked_early_waits_for_the_session() {
    let mut desk = Desk::connected();
    desk.says();
    desk.submits();
    desk.cancels("job_9");
    assert!(desk.says().is_empty());
    desk.hears(&welcome());
    let said = desk.says();
    assert_eq!(types(&said), ["job.submit", "job.cancel"]);
    assert!(said.iter().all(|frame| frame["session_id"] == "sess_1"));
}

/// §6.2: nobody uses a feature outside of what both have.
#[test]
fn what_the_runtime_does_not_offer_is_not_asked_of_it() {
    let mut desk = Desk::connected();
    desk.says();
    let now = desk.clock.now();
    let list = |desk: &mut Desk| desk.machine.list_jobs(now, &ListJobs::default());
    let submit = |desk: &mut Desk, payload: Value| {
        desk.machine.submit(now, &serde_json::from_value::<Submit>(payload).unwrap(), None)
    };
    // What is asked early waits for what the welcome says.
    list(&mut desk);
    desk.machine.subscribe(
        now,
        &Subscribe { job_id: "job_9".parse().unwrap(), history: false, from_event_seq: None },
    );
    desk.hears(&message(
        "w",
        "session.welcome",
        json!({ "session_id": "sess_1", "capabilities": { "features": [] } }),
    ));
    assert_eq!(desk.is_told(), ["opened sess_1", "#1 lacks list_jobs", "#2 lacks subscribe"]);
    list(&mut desk);
    submit(&mut desk, json!({ "agent": "echo@1.0.0" }));
    submit(&mut desk, json!({ "agent": "echo", "lease_request": { "cost.budget": ["USD:1"] } }));
    submit(&mut desk, json!({ "agent": "echo", "lease_request": { "model.use": ["*"] } }));
    submit(
        &mut desk,
        json!({ "agent": "echo", "lease_constraints": { "expires_at": "2026-05-13T23:42:00Z" } }),
    );
    assert_eq!(
        desk.is_told(),
        [
            "#3 lacks list_jobs",
            "#4 lacks agent_versions",
            "#5 lacks cost.budget",
            "#6 lacks model.use",
            "#7 lacks lease_expires_at"
        ]
    );
    assert!(desk.says().is_empty());
    // It is no loss to what can be asked.
    submit(&mut desk, json!({ "agent": "echo", "lease_request": { "fs.read": ["/data/**"] } }));
    assert_eq!(types(&desk.says()), ["job.submit"]);
    assert!(desk.is_told().is_empty());
}

#[test]
fn what_is_asked_after_the_end_is_answered_under_a_name_of_its_own() {
    let mut desk = Desk::open();
    let before = desk.submits();
    desk.machine.handle_disconnected(desk.clock.now());
    let after = desk.submits();
    assert_ne!(before, after);
    assert_eq!(desk.is_told(), ["over ConnectionLost", "#2 timed out"]);
}

// Answers that name their request

#[test]
fn named_answers_find_their_requests_in_any_order() {
    let mut desk = Desk::with_job(true);
    for _ in 0..3 {
        desk.submits();
    }
    let ids: Vec<_> = desk.says().iter().map(id).collect();
    assert_eq!(ids.len(), 3, "all are in flight at once");
    desk.hears(&accepted("job_4", Some(&ids[2])));
    desk.hears(&session_error("AGENT_NOT_AVAILABLE", Some(&ids[0])));
    desk.hears(&accepted("job_3", Some(&ids[1])));
    assert_eq!(desk.is_told(), ["#4 accepted job_4", "#2 refused AGENT_NOT_AVAILABLE", "#3 accepted job_3"]);
    assert_eq!(desk.machine.poll_timeout(), None);
}

#[test]
fn an_accepted_that_answers_nobody_is_given_to_nobody() {
    let mut desk = Desk::with_job(true);
    desk.submits();
    let submit = id(&desk.says_one());
    desk.hears(&accepted("job_x", Some("somebody-else")));
    desk.hears(&event("job_x"));
    desk.hears(&job_error("job_x", "INTERNAL_ERROR"));
    assert!(desk.is_told().is_empty());
    desk.hears(&accepted("job_2", Some(&submit)));
    assert_eq!(desk.is_told(), ["#2 accepted job_2"]);
}

#[test]
fn an_accepted_never_answers_a_cancel() {
    let mut desk = Desk::with_job(true);
    desk.cancels("job_1");
    let cancel = id(&desk.says_one());
    desk.hears(&accepted("job_2", Some(&cancel)));
    assert!(desk.is_told().is_empty());
    desk.hears(&of_job("job_1", "job.cancelled", json!({ "request_id": cancel })));
    assert_eq!(desk.is_told(), ["#2 acknowledged"]);
}

#[test]
fn a_cancelled_never_answers_anything_but_a_cancel() {
    let mut desk = Desk::with_job(true);
    desk.submits();
    let submit = id(&desk.says_one());
    desk.hears(&of_job("job_1", "job.cancelled", json!({ "request_id": submit })));
    assert!(desk.is_told().is_empty());
    desk.hears(&accepted("job_2", Some(&submit)));
    assert_eq!(desk.is_told(), ["#2 accepted job_2"]);
}

#[test]
fn the_end_of_a_job_whose_submit_had_timed_out_refuses_nobody() {
    for named in [true, false] {
        let mut desk = Desk::with_job(named);
        desk.submits();
        let late = id(&desk.says_one());
        desk.wait(seconds(30));
        assert_eq!(desk.is_told(), ["#2 timed out"]);
        desk.submits();
        let next = id(&desk.says_one());
        desk.hears(&accepted("job_late", named.then_some(&*late)));
        desk.hears(&event("job_late"));
        desk.hears(&job_error("job_late", "INTERNAL_ERROR"));
        assert!(desk.is_told().is_empty(), "named: {named}");
        desk.hears(&accepted("job_3", named.then_some(&*next)));
        assert_eq!(desk.is_told(), ["#3 accepted job_3"]);
    }
}

#[test]
fn an_error_that_names_a_request_that_had_timed_out_refuses_nobody() {
    let mut desk = Desk::with_job(true);
    desk.submits();
    let late = id(&desk.says_one());
    desk.wait(seconds(30));
    desk.submits();
    desk.says();
    desk.is_told();
    desk.hears(&session_error("INTERNAL_ERROR", Some(&late)));
    assert!(desk.is_told().is_empty());
}

// Answers that do not

#[test]
fn one_submit_is_in_flight_towards_a_runtime_that_does_not_name_requests() {
    let mut desk = Desk::open();
    for _ in 0..3 {
        desk.submits();
    }
    assert_eq!(desk.says().len(), 1, "nobody knows yet what this runtime does");
    desk.hears(&accepted("job_1", None));
    assert_eq!(desk.says().len(), 1);
    desk.hears(&session_error("AGENT_NOT_AVAILABLE", None));
    assert_eq!(desk.says().len(), 1);
    desk.hears(&accepted("job_3", None));
    assert_eq!(desk.is_told(), ["#1 accepted job_1", "#2 refused AGENT_NOT_AVAILABLE", "#3 accepted job_3"]);
}

#[test]
fn all_go_out_once_the_runtime_has_named_a_request() {
    let mut desk = Desk::open();
    for _ in 0..3 {
        desk.submits();
    }
    let first = id(&desk.says_one());
    desk.hears(&accepted("job_1", Some(&first)));
    assert_eq!(desk.says().len(), 2);
}

#[test]
fn a_late_answer_without_a_name_is_the_late_requests() {
    let mut desk = Desk::open();
    desk.submits();
    desk.wait(seconds(30));
    desk.submits();
    assert_eq!(desk.says().len(), 2);
    desk.hears(&accepted("job_1", None));
    desk.hears(&accepted("job_2", None));
    assert_eq!(desk.is_told(), ["#1 timed out", "#2 accepted job_2"]);
}

#[test]
fn events_may_come_before_their_accepted() {
    let mut desk = Desk::open();
    desk.submits();
    desk.hears(&event("job_1"));
    desk.hears(&event("job_other"));
    desk.hears(&result("job_1"));
    assert!(desk.is_told().is_empty());
    desk.hears(&accepted("job_1", None));
    assert_eq!(desk.is_told(), ["#1 accepted job_1", "job_1 says log", "job_1 ended success"]);
}

#[test]
fn what_was_said_of_a_stranger_is_not_kept_for_a_later_submit() {
    let mut desk = Desk::open();
    desk.submits();
    desk.hears(&event("job_2"));
    desk.hears(&accepted("job_1", None));
    desk.submits();
    desk.hears(&accepted("job_2", None));
    assert_eq!(desk.is_told(), ["#1 accepted job_1", "#2 accepted job_2"]);
}

#[test]
fn what_a_runtime_says_of_jobs_that_it_does_not_accept_is_kept_within_a_limit() {
    let mut desk = Desk::open();
    desk.submits();
    let body = json!({ "level": "info", "message": "x".repeat(1 << 20) });
    let payload = json!({ "kind": "log", "ts": "2026-01-01T00:00:00.000Z", "body": body });
    for _ in 0..40 {
        desk.hears(&of_job("job_1", "job.event", payload.clone()));
    }
    desk.hears(&accepted("job_1", None));
    let told = desk.is_told();
    assert!((10..=16).contains(&(told.len() - 1)), "{} events of 1 MiB each were kept", told.len() - 1);
}

#[test]
fn the_error_of_a_job_that_was_heard_of_before_its_accepted_is_its_end() {
    let mut desk = Desk::open();
    desk.submits();
    desk.hears(&event("job_1"));
    desk.hears(&job_error("job_1", "INTERNAL_ERROR"));
    assert!(desk.is_told().is_empty());
    desk.hears(&accepted("job_1", None));
    assert_eq!(desk.is_told(), ["#1 accepted job_1", "job_1 says log", "job_1 ended error INTERNAL_ERROR"]);
}

#[test]
fn an_unreadable_end_before_the_accepted_is_still_an_end() {
    let mut desk = Desk::open();
    desk.submits();
    desk.hears(&of_job("job_1", "job.result", json!({ "final_status": 7 })));
    desk.hears(&accepted("job_1", None));
    assert_eq!(desk.is_told(), ["#1 accepted job_1", "job_1 ended unreadable"]);
}

#[test]
fn a_job_error_on_an_unknown_job_refuses_the_oldest_submit() {
    let mut desk = Desk::with_job(false);
    desk.submits();
    desk.hears(&job_error("job_fresh", "AGENT_NOT_AVAILABLE"));
    assert_eq!(desk.is_told(), ["#2 refused AGENT_NOT_AVAILABLE"]);
    desk.submits();
    desk.hears(&message("m", "job.error", json!({ "code": "INTERNAL_ERROR" })));
    assert_eq!(desk.is_told(), ["#3 refused INTERNAL_ERROR"], "also without a job");
}

#[test]
fn a_job_error_may_name_its_request_by_its_own_id() {
    let mut desk = Desk::with_job(false);
    desk.cancels("job_1");
    desk.submits();
    let said = desk.says();
    let mut refusal = job_error("job_fresh", "INTERNAL_ERROR");
    refusal["id"] = said[1]["id"].clone();
    desk.hears(&refusal);
    assert_eq!(desk.is_told(), ["#3 refused INTERNAL_ERROR"]);
}

#[test]
fn duplicate_key_on_a_live_job_refuses_the_submit_and_not_the_job() {
    let mut desk = Desk::with_job(false);
    desk.cancels("job_1");
    desk.submits();
    desk.hears(&job_error("job_1", "DUPLICATE_KEY"));
    assert_eq!(desk.is_told(), ["#3 refused DUPLICATE_KEY"], "the submit, though the cancel is older");
    desk.hears(&result("job_1"));
    assert_eq!(desk.is_told(), ["#2 acknowledged", "job_1 ended success"]);
}

#[test]
fn job_not_found_on_a_live_job_refuses_the_cancel_and_not_the_job() {
    let mut desk = Desk::with_job(false);
    desk.submits();
    desk.cancels("job_1");
    desk.hears(&job_error("job_1", "JOB_NOT_FOUND"));
    assert_eq!(desk.is_told(), ["#3 refused JOB_NOT_FOUND"]);
    desk.hears(&event("job_1"));
    assert_eq!(desk.is_told(), ["job_1 says log"]);
}

#[test]
fn the_same_codes_end_a_job_when_they_can_refuse_nothing() {
    for code in ["DUPLICATE_KEY", "JOB_NOT_FOUND"] {
        let mut desk = Desk::with_job(false);
        desk.hears(&job_error("job_1", code));
        assert_eq!(desk.is_told(), [format!("job_1 ended error {code}")]);
    }
}

#[test]
fn job_not_found_on_a_job_that_has_ended_refuses_its_cancel_and_no_submit() {
    let mut desk = Desk::with_job(false);
    desk.submits();
    desk.hears(&result("job_1"));
    desk.cancels("job_1");
    desk.is_told();
    desk.hears(&job_error("job_1", "JOB_NOT_FOUND"));
    assert_eq!(desk.is_told(), ["#3 refused JOB_NOT_FOUND"]);
    desk.hears(&job_error("job_1", "JOB_NOT_FOUND"));
    assert!(desk.is_told().is_empty());
}

#[test]
fn the_end_of_a_job_told_again_acknowledges_its_cancel_if_the_runtime_names_requests() {
    let mut desk = Desk::with_job(true);
    desk.hears(&job_error("job_1", "INTERNAL_ERROR"));
    desk.cancels("job_1");
    desk.is_told();
    // To a submit that was made again it shows the end again.
    desk.hears(&job_error("job_1", "INTERNAL_ERROR"));
    assert_eq!(desk.is_told(), ["#2 acknowledged"]);
}

#[test]
fn an_unnamed_session_error_about_a_job_refuses_what_was_asked_of_that_job() {
    let mut desk = Desk::with_job(false);
    desk.submits();
    desk.cancels("job_1");
    let mut refusal = session_error("PERMISSION_DENIED", None);
    refusal["job_id"] = json!("job_1");
    desk.hears(&refusal);
    assert_eq!(desk.is_told(), ["#3 refused PERMISSION_DENIED"]);
    desk.hears(&session_error("INTERNAL_ERROR", None));
    assert_eq!(desk.is_told(), ["#2 refused INTERNAL_ERROR"]);
    desk.hears(&session_error("INTERNAL_ERROR", None));
    assert!(desk.is_told().is_empty(), "there is nothing left to refuse");
}

#[test]
fn what_only_a_submit_is_refused_for_does_not_refuse_a_cancel_that_is_never_acknowledged() {
    let mut desk = Desk::with_job(true);
    desk.cancels("job_1");
    desk.submits();
    desk.hears(&session_error("AGENT_NOT_AVAILABLE", None));
    assert_eq!(desk.is_told(), ["#3 refused AGENT_NOT_AVAILABLE"]);
    desk.hears(&session_error("PERMISSION_DENIED", None));
    assert_eq!(desk.is_told(), ["#2 refused PERMISSION_DENIED"]);
}

#[test]
fn a_lost_heartbeat_refuses_no_request() {
    let mut desk = Desk::with_job(true);
    desk.submits();
    desk.hears(&session_error("HEARTBEAT_LOST", None));
    assert!(desk.is_told().is_empty(), "it is about the connection");
}

#[test]
fn an_announced_child_never_answers_a_submit() {
    let mut desk = Desk::with_job(false);
    desk.submits();
    let mut child = accepted("job_child", None);
    child["payload"]["parent_job_id"] = json!("job_1");
    desk.hears(&child);
    desk.hears(&event("job_child"));
    desk.hears(&result("job_child"));
    assert_eq!(desk.is_told(), ["delegated job_child", "job_child says log", "job_child ended success"]);
    desk.hears(&accepted("job_2", None));
    assert_eq!(desk.is_told(), ["#2 accepted job_2"]);
}

// Ends

#[test]
fn a_cancel_that_is_never_acknowledged_is_answered_by_the_end_of_its_job() {
    let mut desk = Desk::with_job(false);
    desk.cancels("job_1");
    let cancel = desk.says_one();
    assert_eq!((&cancel["job_id"], &cancel["payload"]["job_id"]), (&json!("job_1"), &json!("job_1")));
    assert!(!cancel["payload"]["reason"].as_str().unwrap().is_empty());
    desk.hears(&of_job("job_1", "job.result", json!({ "final_status": "cancelled" })));
    assert_eq!(desk.is_told(), ["#2 acknowledged", "job_1 ended cancelled CANCELLED"]);
}

#[test]
fn a_timed_out_result_is_a_failure() {
    let mut desk = Desk::with_job(true);
    desk.hears(&of_job("job_1", "job.result", json!({ "final_status": "timed_out" })));
    assert_eq!(desk.is_told(), ["job_1 ended timed_out TIMEOUT"]);
}

#[test]
fn a_job_ends_once() {
    let mut desk = Desk::with_job(true);
    desk.hears(&result("job_1"));
    desk.hears(&result("job_1"));
    desk.hears(&job_error("job_1", "INTERNAL_ERROR"));
    desk.hears(&event("job_1"));
    assert_eq!(desk.is_told(), ["job_1 ended success"]);
    desk.submits();
    desk.hears(&result("job_1"));
    desk.hears(&job_error("job_1", "INTERNAL_ERROR"));
    assert!(desk.is_told().is_empty(), "not even while a submit is open");
}

#[test]
fn a_second_submit_with_one_key_is_told_the_same_job_and_its_end_again() {
    let mut desk = Desk::with_job(true);
    desk.hears(&result("job_1"));
    desk.submits();
    let again = id(&desk.says_one());
    desk.hears(&accepted("job_1", Some(&again)));
    desk.hears(&result("job_1"));
    assert_eq!(desk.is_told(), ["job_1 ended success", "#2 accepted job_1", "job_1 ended success"]);
}

#[test]
fn an_unreadable_end_is_an_end() {
    let mut desk = Desk::with_job(true);
    desk.hears(&of_job("job_1", "job.error", json!({ "code": 7 })));
    assert_eq!(desk.is_told(), ["job_1 ended unreadable"]);
}

#[test]
fn bad_frames_are_survived() {
    let mut desk = Desk::with_job(true);
    for bad in ["", "{", "[]", "null", r#"{"arcp":"2.0","id":"x","type":"session.closed","payload":{}}"#] {
        desk.hears_text(bad);
    }
    desk.machine.handle_frame(desk.clock.now(), Incoming::binary(9));
    desk.hears(&of_job("job_1", "job.event", json!({ "kind": 7 })));
    desk.hears(&message("m", "session.error", json!({ "message": "no code" })));
    desk.hears(&message("m", "job.accepted", json!({})));
    desk.hears(&message("m", "job.event", json!({ "kind": "log" })));
    desk.hears(&message("m", "x-vendor.acme.hi", json!({})));
    assert!(desk.is_told().is_empty() && desk.says().is_empty());
    desk.hears(&event("job_1"));
    assert_eq!(desk.is_told(), ["job_1 says log"]);
}

#[test]
fn a_ping_is_answered() {
    let mut desk = Desk::open();
    desk.hears(&message("p", "session.ping", json!({ "nonce": "n1" })));
    let pong = desk.says_one();
    assert_eq!((&pong["type"], &pong["payload"]["ping_nonce"]), (&json!("session.pong"), &json!("n1")));
    assert_eq!(pong["session_id"], "sess_1");
}

#[test]
fn every_request_has_its_time() {
    let mut desk = Desk::with_job(false);
    desk.submits();
    desk.wait(seconds(10));
    desk.submits();
    desk.cancels("job_1");
    desk.wait(seconds(20));
    assert_eq!(desk.is_told(), ["#2 timed out"]);
    desk.wait(seconds(10));
    assert_eq!(desk.is_told(), ["#3 timed out", "#4 timed out"]);
    assert_eq!(desk.machine.poll_timeout(), None);
}

// The close

#[test]
fn a_close_that_is_acknowledged() {
    let mut desk = Desk::open();
    desk.closes();
    desk.closes();
    assert_eq!(desk.says_one()["type"], "session.close");
    desk.hears(&message("m", "session.closed", json!({})));
    assert_eq!(desk.is_told(), ["over Closed"]);
    assert!(desk.says().is_empty() && desk.closed);
    desk.wait(seconds(60));
    assert!(desk.says().is_empty());
}

#[test]
fn a_close_that_is_not_acknowledged_is_followed_by_a_bye() {
    let mut desk = Desk::open();
    desk.closes();
    desk.says();
    desk.wait(Duration::from_millis(249));
    assert!(desk.says().is_empty());
    desk.wait(Duration::from_millis(1));
    let bye = desk.says_one();
    assert_eq!(bye["type"], "session.bye");
    assert!(!bye["payload"]["reason"].as_str().unwrap().is_empty());
    assert!(desk.closed);
    assert_eq!(desk.is_told(), ["over Closed"]);
}

#[test]
fn a_close_that_is_refused_is_followed_by_a_bye() {
    let mut desk = Desk::open();
    desk.closes();
    desk.says();
    desk.hears(&session_error("INVALID_REQUEST", None));
    assert_eq!(desk.says_one()["type"], "session.bye");
    assert!(desk.closed);
}

#[test]
fn the_refusal_of_an_earlier_request_is_no_refusal_of_the_close() {
    let mut desk = Desk::with_job(true);
    desk.submits();
    let submit = id(&desk.says_one());
    desk.closes();
    desk.says();
    desk.hears(&session_error("AGENT_NOT_AVAILABLE", Some(&submit)));
    assert_eq!(desk.is_told(), ["#2 refused AGENT_NOT_AVAILABLE"]);
    assert!(desk.says().is_empty() && !desk.closed);
    desk.hears(&message("m", "session.closed", json!({})));
    assert_eq!(desk.is_told(), ["over Closed"]);
}

#[test]
fn a_runtime_may_close_first() {
    for farewell in ["session.closed", "session.bye"] {
        let mut desk = Desk::with_job(true);
        desk.hears(&message("m", farewell, json!({})));
        assert_eq!(desk.is_told(), ["over Closed"]);
        assert!(desk.says().is_empty() && desk.closed);
    }
}

#[test]
fn a_close_before_the_welcome_is_a_close_at_once() {
    let mut desk = Desk::connected();
    desk.closes();
    assert_eq!(types(&desk.says()), ["session.hello"]);
    assert!(desk.closed);
    assert_eq!(desk.is_told(), ["over Closed"]);
}

#[test]
fn an_unnamed_error_of_a_runtime_that_names_refusals_refuses_none_of_them() {
    let mut desk = Desk::with_job(true);
    desk.submits();
    let refused = id(&desk.says_one());
    desk.hears(&session_error("INTERNAL_ERROR", Some(&refused)));
    assert_eq!(desk.is_told(), ["#2 refused INTERNAL_ERROR"]);
    desk.submits();
    desk.says();
    desk.hears(&session_error("INVALID_REQUEST", None));
    assert_eq!(desk.is_told(), Vec::<String>::new());
}

#[test]
fn a_runtime_that_names_what_it_accepts_may_refuse_without_a_name() {
    let mut desk = Desk::with_job(true);
    desk.submits();
    desk.submits();
    desk.says();
    desk.hears(&session_error("AGENT_NOT_AVAILABLE", None));
    assert_eq!(desk.is_told(), ["#2 refused AGENT_NOT_AVAILABLE"]);
    desk.hears(&session_error("DUPLICATE_KEY", None));
    assert_eq!(desk.is_told(), ["#3 refused DUPLICATE_KEY"]);
}
