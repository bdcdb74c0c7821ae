//! Listing jobs (§6.6).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arcp_core::{Observation, ObservationPolicy, Principal};
use serde_json::{Value, json};

use crate::features::join_with;
use crate::host::{Host, seconds};
use crate::peer::{Peer, hello, message};

fn join(host: &mut Host, who: &str) -> Peer {
    let mut peer = host.connect();
    let mut payload = hello(who);
    payload["capabilities"]["features"] = json!(["list_jobs", "subscribe"]);
    peer.sends(host, &message("h", "session.hello", payload));
    peer.who = who.to_owned();
    peer.expects_welcome(host);
    peer
}

fn list(peer: &mut Peer, host: &mut Host, payload: Value) -> Value {
    let id = peer.asks(host, "session.list_jobs", payload);
    let page = peer.hears_one(host);
    assert_eq!(
        (&page["type"], &page["payload"]["request_id"]),
        (&json!("session.jobs"), &json!(id)),
        "{page}"
    );
    page["payload"].clone()
}

fn ids(page: &Value) -> Vec<String> {
    page["jobs"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_entry_says_what_an_observer_may_know() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    let submit =
        json!({ "agent": "echo", "lease_request": { "fs.read": ["/a"] }, "input": { "secret": "canary" } });
    let job = alice.starts(&mut host, submit);
    host.emits(&job, &["a", "b"]);
    alice.hears(&mut host);
    let page = list(&mut alice, &mut host, json!({}));
    let entry = &page["jobs"][0];
    assert_eq!(entry["job_id"], job.as_str());
    assert_eq!((&entry["status"], &entry["last_event_seq"]), (&json!("running"), &json!(2)));
    assert_eq!(entry["created_at"], entry["submitted_at"]);
    assert_eq!(entry["lease"]["fs.read"], json!(["/a"]));
    assert_eq!((&entry["parent_job_id"], &page["next_cursor"]), (&Value::Null, &Value::Null));
    assert!(entry["agent"].as_str().unwrap().starts_with("echo@") && !page.to_string().contains("canary"));
    host.succeed(&job);
    alice.hears(&mut host);
    let page = list(&mut alice, &mut host, json!({}));
    assert_eq!(
        (&page["jobs"][0]["status"], &page["jobs"][0]["last_event_seq"]),
        (&json!("success"), &json!(3))
    );
}

#[test]
fn pages_are_newest_first_and_stay_good_while_jobs_come() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    let jobs: Vec<String> = (0..5).map(|_| alice.starts_job(&mut host)).collect();
    let first = list(&mut alice, &mut host, json!({ "limit": 2 }));
    assert_eq!(ids(&first), [jobs[4].clone(), jobs[3].clone()]);
    alice.starts_job(&mut host);
    let second = list(&mut alice, &mut host, json!({ "limit": 2, "cursor": first["next_cursor"] }));
    assert_eq!(ids(&second), [jobs[2].clone(), jobs[1].clone()]);
    let third = list(&mut alice, &mut host, json!({ "limit": 2, "cursor": second["next_cursor"] }));
    assert_eq!(ids(&third), [jobs[0].clone()]);
    assert_eq!(third["next_cursor"], Value::Null);
}

#[test]
fn filters_narrow() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    let old = alice.starts_job(&mut host);
    host.succeed(&old);
    host.wait(seconds(10));
    let new = alice.starts_job(&mut host);
    alice.hears(&mut host);
    let mut found = |filter: Value| ids(&list(&mut alice, &mut host, json!({ "filter": filter })));
    assert_eq!(found(json!({ "status": ["success", "error"] })), [old.as_str()]);
    assert_eq!(found(json!({ "status": ["running"] })), [new.as_str()]);
    assert_eq!(found(json!({ "agent": "echo" })).len(), 2);
    assert_eq!(found(json!({ "agent": "echo@9" })).len(), 0);
    assert_eq!(found(json!({ "agent": "ech" })).len(), 0);
    assert_eq!(found(json!({ "created_after": "2026-05-13T19:42:15Z" })), [new]);
    assert_eq!(found(json!(null)).len(), 2);
}

#[test]
fn bad_limits_and_cursors_are_refused() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    let mut bob = join(&mut host, "bob");
    for peer in [&mut alice, &mut bob] {
        peer.starts_job(&mut host);
        peer.starts_job(&mut host);
    }
    let cursor = list(&mut alice, &mut host, json!({ "limit": 1 }))["next_cursor"].clone();
    for payload in [
        json!({ "limit": 0 }),
        json!({ "limit": 1_001 }),
        json!({ "filter": { "status": ["asleep"] } }),
        json!({ "cursor": "" }),
        json!({ "cursor": format!("+{}", cursor.as_str().unwrap()) }),
        json!({ "cursor": format!("0{}", cursor.as_str().unwrap()) }),
        json!({ "cursor": "2" }),
        json!({ "cursor": "2-0011223344556677" }),
    ] {
        let id = alice.asks(&mut host, "session.list_jobs", payload);
        alice.hears_refusal(&mut host, &id, "INVALID_REQUEST");
    }
    let id = bob.asks(&mut host, "session.list_jobs", json!({ "cursor": cursor }));
    bob.hears_refusal(&mut host, &id, "INVALID_REQUEST");
}

struct BobSeesAlice(Observation);

impl ObservationPolicy for BobSeesAlice {
    fn observation(&self, observer: &Principal, owner: &Principal) -> Observation {
        if (observer.as_str(), owner.as_str()) == ("bob", "alice") { self.0 } else { Observation::Hidden }
    }
}

#[test]
fn jobs_of_others_are_seen_as_the_policy_says() {
    for (observation, seen) in [(Observation::Hidden, 0), (Observation::Listed, 1), (Observation::Allowed, 1)]
    {
        let mut host = Host::with(|config| config.observation = Arc::new(BobSeesAlice(observation)));
        let mut alice = join(&mut host, "alice");
        let job = alice.starts_job(&mut host);
        let mut bob = join(&mut host, "bob");
        assert_eq!(list(&mut bob, &mut host, json!({}))["jobs"].as_array().unwrap().len(), seen);
        let refused = match observation {
            Observation::Hidden => "JOB_NOT_FOUND",
            _ => "PERMISSION_DENIED",
        };
        let id = bob.cancels(&mut host, &job);
        bob.hears_refusal(&mut host, &id, refused);
        let id = bob.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
        if observation == Observation::Allowed {
            assert_eq!(bob.hears_one(&mut host)["type"], "job.subscribed");
        } else {
            bob.hears_refusal(&mut host, &id, refused);
        }
    }
}

/// Lets nobody see anything, and counts how often it is asked.
struct Counting(Arc<AtomicUsize>);

impl ObservationPolicy for Counting {
    fn observation(&self, _: &Principal, _: &Principal) -> Observation {
        self.0.fetch_add(1, Ordering::Relaxed);
        Observation::Hidden
    }
}

#[test]
fn a_listing_does_not_look_at_the_jobs_of_others() {
    let asked = Arc::new(AtomicUsize::new(0));
    let mut host = Host::with(|config| config.observation = Arc::new(Counting(Arc::clone(&asked))));
    let mut bob = join(&mut host, "bob");
    for _ in 0..200 {
        bob.starts_job(&mut host);
    }
    let mut alice = join(&mut host, "alice");
    let own = alice.starts_job(&mut host);
    asked.store(0, Ordering::Relaxed);
    assert_eq!(ids(&list(&mut alice, &mut host, json!({}))), [own]);
    assert_eq!(asked.load(Ordering::Relaxed), 1, "once for each other principal");
}

#[test]
fn a_filter_that_passes_little_of_much_is_answered_in_bounded_steps() {
    let mut host = Host::with(|config| config.limits.finished_jobs = 20_000);
    let mut alice = join(&mut host, "alice");
    let running = alice.starts_job(&mut host);
    for _ in 0..10_500 {
        let job = alice.starts_job(&mut host);
        host.succeed(&job);
        alice.hears(&mut host);
    }
    let filter = json!({ "status": ["running"] });
    let first = list(&mut alice, &mut host, json!({ "filter": filter }));
    assert!(ids(&first).is_empty(), "there are 10,000 newer ones that have ended");
    let second = list(&mut alice, &mut host, json!({ "filter": filter, "cursor": first["next_cursor"] }));
    assert_eq!((ids(&second), &second["next_cursor"]), (vec![running], &Value::Null));
}

#[test]
fn it_works_for_a_session_that_submitted_nothing() {
    let mut host = Host::new();
    let (mut quiet, _) = join_with(&mut host, json!(["list_jobs"]));
    assert_eq!(
        list(&mut quiet, &mut host, json!({})),
        json!({ "request_id": "q1", "jobs": [], "next_cursor": null })
    );
}

#[test]
fn a_reader_that_asks_for_more_than_it_takes_is_not_asked_what_else_it_wants() {
    let mut host = Host::with(|config| config.limits.answer_bytes = 4_000);
    let mut alice = join(&mut host, "alice");
    for _ in 0..20 {
        alice.starts_job(&mut host);
    }
    host.stall(&alice);
    let mut asked = 0;
    while host.machine.wants_frames(alice.key) {
        alice.asks(&mut host, "session.list_jobs", json!({ "limit": 1_000 }));
        asked += 1;
    }
    assert_eq!(asked, 1, "one answer is as large as all may be");
    host.unstall(&alice);
    assert!(host.machine.wants_frames(alice.key));
    assert_eq!(host.readable.last(), Some(&alice.key));
}
