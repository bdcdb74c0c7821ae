//! Idempotency keys (§7.2): one key of one principal is one job.

use std::time::Duration;

use arcp_core::runtime::Flow;
use serde_json::{Value, json};

use crate::host::{Host, seconds};
use crate::peer::{numbers, texts, types};

fn keyed(key: &str) -> Value {
    json!({ "agent": "echo", "input": { "a": 1, "b": [1, 2] }, "idempotency_key": key })
}

#[test]
fn a_submit_that_is_made_again_is_not_answered_before_what_its_job_has_said_in_the_session() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts(&mut host, keyed("k"));
    alice.hears(&mut host);
    host.stall(&alice);
    host.emits(&job, &["a", "b"]);
    alice.submits(&mut host, keyed("k"));
    host.unstall(&alice);
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.event", "job.event", "job.accepted"]);
    assert_eq!(frames[2]["extensions"]["x-vendor.arcp.next_index"], 2, "the place of what follows");
}

#[test]
fn the_same_key_is_the_same_job_and_everyone_is_attached() {
    let mut host = Host::new();
    let (mut one, mut two) = (host.join("alice"), host.join("alice"));
    one.submits(&mut host, keyed("k"));
    let first = one.hears_one(&mut host);
    let job = first["payload"]["job_id"].as_str().unwrap().to_owned();
    host.emits(&job, &["before"]);
    host.wait(seconds(5));
    let id = two.submits(&mut host, keyed("k"));
    let second = two.hears_one(&mut host);
    assert_eq!(second["payload"]["request_id"], id);
    let mut same = second["payload"].clone();
    same["request_id"] = first["payload"]["request_id"].clone();
    assert_eq!(same, first["payload"], "the same payload, but for the request");
    assert_eq!((&second["job_id"], &second["session_id"]), (&first["job_id"], &json!(two.session)));
    one.starts(&mut host, keyed("k"));
    host.emits(&job, &["after"]);
    host.succeed(&job);
    let frames = one.hears(&mut host);
    assert_eq!(
        (types(&frames), numbers(&frames)),
        (vec!["job.event", "job.event", "job.result"], vec![1, 2, 3])
    );
    let frames = two.hears(&mut host);
    assert_eq!((texts(&frames), numbers(&frames)), (vec!["after"], vec![1, 2]));
    assert_eq!(host.started.len(), 1);
}

#[test]
fn a_key_belongs_to_its_principal_as_a_pair() {
    let mut host = Host::new();
    let mut jobs = Vec::new();
    for (who, key) in [("a", "b:c"), ("a:b", "c"), ("ab", "c"), ("a", "bc"), ("b", "b:c")] {
        let mut peer = host.join(who);
        jobs.push(peer.starts(&mut host, keyed(key)));
    }
    jobs.sort_unstable();
    jobs.dedup();
    assert_eq!(jobs.len(), 5);
}

#[test]
fn a_key_with_other_parameters_is_refused_and_the_first_job_goes_on() {
    let mut host = Host::new();
    let mut alice = host.join("alice");
    let job = alice.starts(&mut host, keyed("k"));
    let written = host.written.len();
    let changes = [
        ("agent", json!("echo@1.0.0")),
        ("input", json!({ "a": 1, "b": [2, 1] })),
        ("lease_request", json!({ "fs.read": ["/a"] })),
        ("lease_constraints", json!({ "expires_at": "2027-01-01T00:00:00Z" })),
        ("max_runtime_sec", json!(5)),
    ];
    for (member, value) in changes {
        let mut payload = keyed("k");
        payload[member] = value;
        let id = alice.submits(&mut host, payload);
        alice.hears_refusal(&mut host, &id, "DUPLICATE_KEY");
    }
    assert_eq!((host.written.len(), host.started.len()), (written, 1));
    assert!(host.stopped.is_empty());
    host.succeed(&job);
    assert_eq!(alice.hears_one(&mut host)["type"], "job.result");
}

#[test]
fn the_order_of_members_does_not_matter() {
    let mut host = Host::new();
    let alice = host.join("alice");
    let texts = [
        r#"{"arcp":"1.1","id":"1","type":"job.submit","payload":{"agent":"echo","input":{"a":1,"b":{"c":2,"d":3}},"idempotency_key":"k"}}"#,
        r#"{"arcp":"1.1","id":"2","type":"job.submit","payload":{"idempotency_key":"k","input":{ "b":{"d":3,"c":2},"a":1 },"agent":"echo","lease_request":{}}}"#,
    ];
    for text in texts {
        alice.sends_text(&mut host, text);
    }
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.accepted", "job.accepted"]);
    assert_eq!(frames[0]["job_id"], frames[1]["job_id"]);
}

#[test]
fn a_job_that_has_ended_answers_with_its_end() {
    let mut host = Host::new();
    let mut one = host.join("alice");
    let job = one.starts(&mut host, keyed("k"));
    host.emits(&job, &["a", "b"]);
    host.succeed(&job);
    let end = one.hears(&mut host).pop().unwrap();
    host.wait(seconds(60));
    let mut two = host.join("alice");
    two.submits(&mut host, keyed("k"));
    let frames = two.hears(&mut host);
    assert_eq!(types(&frames), ["job.accepted", "job.result"]);
    assert_eq!((&frames[1]["payload"], &frames[1]["event_seq"]), (&end["payload"], &json!(1)));
    assert_eq!(host.started.len(), 1);
}

#[test]
fn a_key_is_forgotten_when_its_time_is_up() {
    let mut host = Host::with(|config| config.limits.idempotency_window = seconds(100));
    let mut alice = host.join("alice");
    let first = alice.starts(&mut host, keyed("k"));
    host.wait(seconds(60));
    let other = alice.starts(&mut host, keyed("later"));
    host.wait(Duration::from_millis(39_999));
    assert_eq!(alice.starts(&mut host, keyed("k")), first, "not yet, and asking again is no claim");
    host.wait(Duration::from_millis(1));
    assert_ne!(alice.starts(&mut host, keyed("k")), first);
    assert_eq!(alice.starts(&mut host, keyed("later")), other);
    host.wait(seconds(61));
    assert_ne!(alice.starts(&mut host, keyed("later")), other);
    host.emits(&first, &["jobs do not end with their keys"]);
    assert_eq!(alice.hears(&mut host).len(), 1);
}

#[test]
fn beyond_the_limit_the_oldest_key_is_forgotten() {
    let mut host = Host::with(|config| config.limits.idempotency_keys = 2);
    let mut alice = host.join("alice");
    let jobs: Vec<_> = ["a", "b", "c"].iter().map(|key| alice.starts(&mut host, keyed(key))).collect();
    assert_eq!(alice.starts(&mut host, keyed("b")), jobs[1]);
    assert_eq!(alice.starts(&mut host, keyed("c")), jobs[2]);
    assert_ne!(alice.starts(&mut host, keyed("a")), jobs[0]);
}

#[test]
fn a_runtime_that_remembers_no_key_sets_no_timer_for_them() {
    let mut host = Host::with(|config| config.limits.idempotency_keys = 0);
    let mut alice = host.join("alice");
    for _ in 0..2 {
        alice.starts(&mut host, keyed("k"));
    }
    assert_eq!((host.started.len(), host.machine.poll_timeout()), (2, None));
}

#[test]
fn a_key_keeps_its_ended_job_beyond_the_limit_of_finished_ones() {
    let mut host = Host::with(|config| {
        config.limits.finished_jobs = 1;
        config.limits.idempotency_window = seconds(100);
    });
    let mut alice = host.join("alice");
    let kept = alice.starts(&mut host, keyed("k"));
    host.succeed(&kept);
    for _ in 0..3 {
        let job = alice.starts_job(&mut host);
        host.succeed(&job);
        alice.hears(&mut host);
    }
    alice.submits(&mut host, keyed("k"));
    let frames = alice.hears(&mut host);
    assert_eq!(
        (types(&frames), frames[0]["job_id"].as_str()),
        (vec!["job.accepted", "job.result"], Some(&*kept))
    );
    host.wait(seconds(100));
    let id = alice.cancels(&mut host, &kept);
    alice.hears_refusal(&mut host, &id, "JOB_NOT_FOUND");
}

#[test]
fn an_attached_session_that_does_not_read_delays_nobody_and_has_everything_in_the_end() {
    let mut host = Host::with(|config| config.limits.send_window_events = 2);
    let (mut one, mut two) = (host.join("alice"), host.join("alice"));
    let job = one.starts(&mut host, keyed("k"));
    two.starts(&mut host, keyed("k"));
    host.stall(&two);
    for text in ["a", "b", "c", "d"] {
        assert_eq!(host.emit(&job, text), Ok(Flow::Continue));
    }
    assert_eq!(one.hears(&mut host).len(), 4);
    host.unstall(&two);
    assert_eq!(texts(&two.hears(&mut host)), ["a", "b", "c", "d"]);
}

#[test]
fn an_attached_session_may_not_cancel() {
    let mut host = Host::new();
    let (mut one, mut two) = (host.join("alice"), host.join("alice"));
    let job = one.starts(&mut host, keyed("k"));
    two.starts(&mut host, keyed("k"));
    let id = two.cancels(&mut host, &job);
    two.hears_refusal(&mut host, &id, "PERMISSION_DENIED");
    assert!(host.stopped.is_empty());
}

#[test]
fn a_job_whose_session_is_gone_still_answers_to_its_key() {
    let mut host = Host::new();
    let mut one = host.join("alice");
    let job = one.starts(&mut host, keyed("k"));
    host.cut(&one);
    host.wait(seconds(700));
    let mut two = host.join("alice");
    assert_eq!(two.starts(&mut host, keyed("k")), job);
    host.emits(&job, &["a"]);
    host.succeed(&job);
    assert_eq!(types(&two.hears(&mut host)), ["job.event", "job.result"]);
}

#[test]
fn two_submits_that_race_make_one_job() {
    let mut host = Host::new();
    let (mut one, mut two) = (host.join("alice"), host.join("alice"));
    host.hold_commits();
    one.submits(&mut host, keyed("k"));
    two.submits(&mut host, keyed("k"));
    host.release_commits();
    let (first, second) = (one.hears_one(&mut host), two.hears_one(&mut host));
    assert_eq!((first["job_id"].clone(), host.started.len()), (second["job_id"].clone(), 1));
}
