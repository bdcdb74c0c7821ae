//! The client machine and answers that it cannot read: whom they answer is told so, and nobody else is.

use arcp_core::client::Backoff;
use arcp_proto::job::Subscribe;
use arcp_proto::session::ListJobs;
use serde_json::{Value, json};

use crate::host::seconds;
use crate::peer::{message, types};
use crate::played::{Desk, accepted, event, of_job};

/// A job.accepted that nobody can read.
fn bad_accepted(job: &str, request: Option<&str>) -> Value {
    let mut bad = accepted(job, request);
    bad["payload"]["lease"] = json!(7);
    bad
}

/// A page of jobs that nobody can read.
fn bad_page(request: Option<&str>) -> Value {
    message("m", "session.jobs", json!({ "request_id": request, "jobs": [{ "job_id": "job_1" }] }))
}

fn id(frame: &Value) -> &str {
    frame["id"].as_str().unwrap()
}

fn lists(desk: &mut Desk) -> String {
    desk.machine.list_jobs(desk.clock.now(), &ListJobs::default());
    id(&desk.says_one()).to_owned()
}

fn subscribes(desk: &mut Desk, payload: Value) -> String {
    let subscribe: Subscribe = serde_json::from_value(payload).unwrap();
    desk.machine.subscribe(desk.clock.now(), &subscribe);
    id(&desk.says_one()).to_owned()
}

/// What the application is told, without the reasons.
fn told(desk: &mut Desk) -> Vec<String> {
    let all = desk.is_told().into_iter();
    all.map(|told| told.split(" payload").next().unwrap().to_owned()).collect()
}

#[test]
fn the_request_that_an_unreadable_answer_names_fails_at_once_with_the_place() {
    let mut desk = Desk::with_job(true);
    let (first, second) = (lists(&mut desk), lists(&mut desk));
    desk.hears(&bad_page(Some(&second)));
    let said = desk.is_told();
    assert!(said.len() == 1 && said[0].starts_with("#3 cannot read payload.jobs[0]"), "{said:?}");
    desk.hears(&message("m", "session.jobs", json!({ "request_id": second, "jobs": [] })));
    assert!(desk.is_told().is_empty(), "it is answered");
    desk.hears(&message("m", "session.jobs", json!({ "request_id": first, "jobs": [] })));
    assert_eq!(desk.is_told(), ["#2 lists 0"]);
    desk.wait(seconds(100));
    assert!(desk.is_told().is_empty(), "nothing is left to time out");
}

#[test]
fn what_names_no_request_that_it_could_answer_fails_none() {
    let mut desk = Desk::with_job(true);
    let list = lists(&mut desk);
    desk.submits();
    let submit = id(&desk.says_one()).to_owned();
    let mut delegated = bad_accepted("job_9", None);
    delegated["payload"]["parent_job_id"] = json!("job_1");
    for bad in [
        bad_page(Some(&submit)),
        bad_page(Some("nobody's")),
        bad_page(None),
        bad_accepted("job_2", Some(&list)),
        bad_accepted("job_2", None),
        delegated,
        message("m", "session.error", json!({ "code": 7 })),
        message("m", "session.jobs", json!({ "request_id": 7, "jobs": 7 })),
        message("m", "job.event", json!({ "request_id": list })),
        json!({ "arcp": "1.1", "id": "m", "type": "session.jobs", "job_id": 7, "payload": {} }),
        json!({ "arcp": "1.1", "id": "m", "type": 7, "payload": { "request_id": "nobody's" } }),
    ] {
        desk.hears(&bad);
        assert!(desk.is_told().is_empty(), "{bad}");
    }
    desk.wait(seconds(30));
    assert_eq!(desk.is_told(), ["#2 timed out", "#3 timed out"]);
}

#[test]
fn a_runtime_that_names_no_requests_is_understood_to_answer_the_oldest() {
    let mut desk = Desk::with_job(false);
    desk.submits();
    assert_eq!(types(&desk.says()), ["job.submit"]);
    lists(&mut desk);
    desk.cancels("job_1");
    desk.says();
    desk.submits();
    assert!(desk.says().is_empty(), "one at a time");
    desk.hears(&bad_accepted("job_2", None));
    assert_eq!(told(&mut desk), ["#2 cannot read"]);
    assert_eq!(types(&desk.says()), ["job.submit"], "the next is not held up by it");
    desk.hears(&bad_page(None));
    assert_eq!(told(&mut desk), ["#3 cannot read"]);
    let mut bad = of_job("job_1", "job.cancelled", json!({ "reason": 7 }));
    desk.hears(&bad);
    assert_eq!(told(&mut desk), ["#4 cannot read"]);
    bad = message("m", "job.error", json!({ "final_status": "error", "code": 7 }));
    desk.hears(&bad);
    assert_eq!(told(&mut desk), ["#5 cannot read"], "so some refuse a submit");
    desk.hears(&event("job_1"));
    assert_eq!(desk.is_told(), ["job_1 says log"], "the session goes on");
}

#[test]
fn what_is_no_envelope_fails_what_its_payload_names() {
    let mut desk = Desk::with_job(true);
    let list = lists(&mut desk);
    let payload = json!({ "request_id": list, "jobs": [] });
    desk.hears(
        &json!({ "arcp": "1.1", "id": "m", "type": "session.jobs", "event_seq": "x", "payload": payload }),
    );
    let said = desk.is_told();
    assert!(said.len() == 1 && said[0].starts_with("#2 cannot read event_seq"), "{said:?}");
}

#[test]
fn a_job_whose_acceptance_cannot_be_read_is_nobodys() {
    let mut desk = Desk::with_job(true);
    desk.submits();
    let submit = id(&desk.says_one()).to_owned();
    desk.submits();
    desk.hears(&event("job_2")); // it may be about to be accepted
    let mut bad = bad_accepted("job_2", Some(&submit));
    bad["job_id"] = json!("job_2");
    desk.hears(&bad);
    desk.hears(&event("job_2"));
    assert_eq!(told(&mut desk), ["#2 cannot read"]);
}

#[test]
fn a_subscription_that_cannot_be_read_is_ended_and_its_history_told_to_nobody() {
    let mut desk = Desk::with_job(true);
    let request = subscribes(&mut desk, json!({ "job_id": "job_2" }));
    let bad = |job: &str, request: &str| {
        let payload = json!({ "job_id": job, "current_status": 7, "request_id": request });
        of_job(job, "job.subscribed", payload)
    };
    desk.hears(&bad("job_2", &request));
    assert_eq!(told(&mut desk), ["#2 cannot read"]);
    assert_eq!(types(&desk.says()), ["job.unsubscribe"]);
    desk.hears(&event("job_2"));
    assert!(desk.is_told().is_empty());

    // Its own job is followed on, and is not told from its beginning again.
    let features = json!(["progress", "result_chunk", "cost.budget", "subscribe"]);
    let mut desk = Desk::connected();
    let welcome = json!({ "session_id": "sess_1", "capabilities": { "features": features } });
    desk.hears(&message("w", "session.welcome", welcome));
    desk.says();
    desk.submits();
    let submit = id(&desk.says_one()).to_owned();
    desk.hears(&accepted("job_1", Some(&submit)));
    desk.hears(&event("job_1"));
    desk.is_told();
    let request = subscribes(&mut desk, json!({ "job_id": "job_1", "history": true }));
    let mut bad = bad("job_1", &request);
    bad["extensions"] = json!({ "x-vendor.arcp.next_index": 0 });
    desk.hears(&bad);
    desk.hears(&event("job_1")); // again
    desk.hears(&event("job_1"));
    assert_eq!(told(&mut desk), ["#2 cannot read", "job_1 says log to #2", "job_1 says log"]);
    assert!(desk.says().is_empty());
}

#[test]
fn a_job_that_cannot_be_taken_up_for_an_unreadable_answer_is_lost_at_once() {
    let mut desk = Desk::with(|config| config.reconnect = Some(Backoff::default()));
    desk.machine.handle_connected(desk.clock.now());
    let welcome = |session: &str| {
        let features = json!({ "features": ["subscribe"] });
        let payload = json!({ "session_id": session, "resume_token": "rt", "resume_window_sec": 5, "capabilities": features });
        message("w", "session.welcome", payload)
    };
    desk.hears(&welcome("sess_1"));
    desk.submits();
    let submit = id(desk.says().last().unwrap()).to_owned();
    desk.hears(&accepted("job_1", Some(&submit)));
    desk.machine.handle_disconnected(desk.clock.now());
    desk.wait(seconds(10));
    desk.says();
    desk.machine.handle_connected(desk.clock.now());
    desk.hears(&welcome("sess_2"));
    desk.is_told();
    let said = desk.says();
    let asked = said.iter().find(|frame| frame["type"] == "job.subscribe").unwrap();
    let payload = json!({ "job_id": "job_1", "current_status": 7, "request_id": asked["id"] });
    desk.hears(&of_job("job_1", "job.subscribed", payload));
    assert_eq!(desk.is_told(), ["job_1 lost INTERNAL_ERROR"]);
}
