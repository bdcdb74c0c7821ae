//! Provisioned credentials (§9.8): when a job has them, who is shown them, and that they are always revoked.

use arcp_core::Now;
use arcp_core::runtime::{Delegation, EmitError, JobKey, NotDelegated, Outcome, StopCause};
use arcp_proto::{Credential, ErrorCode, ErrorPayload, Feature, Json, Lease};
use serde_json::{Value, json};

use crate::host::{Host, seconds};
use crate::peer::{Peer, ends, hello, message, numbers, types};

/// What is in every value, and must be found nowhere else.
const CANARY: &str = "sk-canary";

pub(crate) fn credential(value: &str) -> Credential {
    let credential = json!({
        "id": "cred_1", "scheme": "bearer", "value": format!("{CANARY}-{value}"),
        "endpoint": "https://gateway.example.com/v1", "constraints": { "cost.budget": ["USD:5.00"] },
    });
    serde_json::from_value(credential).unwrap()
}

pub(crate) fn host() -> Host {
    Host::with(|config| {
        let features = config.features.iter().cloned();
        config.features = features.chain([Feature::ProvisionedCredentials]).collect();
    })
}

const FEATURES: [&str; 4] = ["provisioned_credentials", "subscribe", "list_jobs", "heartbeat"];

fn join_with(host: &mut Host, who: &str, features: &[&str]) -> Peer {
    let mut peer = host.connect();
    let mut payload = hello(who);
    payload["capabilities"]["features"] = json!(features);
    peer.sends(host, &message("h", "session.hello", payload));
    peer.expects_welcome(host);
    peer.who = who.to_owned();
    peer
}

fn join(host: &mut Host, who: &str) -> Peer {
    join_with(host, who, &FEATURES)
}

pub(crate) fn provisioned(host: &mut Host, outcome: Result<Vec<Credential>, ErrorPayload>) -> String {
    let spec = host.provisioning.pop_front().expect("a job waits for its credentials");
    host.machine.handle_provisioned(host.now(), spec.job, outcome);
    host.settle();
    spec.job_id.to_string()
}

fn submit(key: Option<&str>) -> Value {
    json!({ "agent": "echo", "input": 1, "idempotency_key": key })
}

/// A submit whose job has a credential; what was said of it is not yet heard.
fn starts(host: &mut Host, peer: &mut Peer) -> String {
    peer.submits(host, submit(None));
    provisioned(host, Ok(vec![credential("1")]))
}

fn rotates(host: &mut Host, job: &str, value: &str) -> Result<(), EmitError> {
    let rotated = host.machine.rotate_credential(host.now(), host.key_of(job), credential(value));
    host.settle();
    rotated.map(drop)
}

fn wants_frames(host: &mut Host, peer: &Peer) -> bool {
    host.machine.wants_frames(peer.key)
}

fn upstream_is_down() -> ErrorPayload {
    ErrorPayload::new(ErrorCode::InternalError, "credentials could not be issued")
}

#[test]
fn a_job_begins_once_it_has_its_credentials_and_its_submitter_is_shown_them() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    let request = alice.submits(&mut host, submit(None));
    alice.hears_nothing(&mut host);
    assert!(host.started.is_empty() && !wants_frames(&mut host, &alice));
    let spec = host.provisioning[0].clone();
    assert_eq!((spec.agent.to_string(), spec.principal.as_str()), ("echo@1.0.0".to_owned(), "alice"));

    host.wait(seconds(1));
    let job = provisioned(&mut host, Ok(vec![credential("1")]));
    let accepted = alice.hears_one(&mut host);
    assert_eq!(
        (&accepted["type"], &accepted["payload"]["request_id"]),
        (&json!("job.accepted"), &json!(request))
    );
    assert_eq!(accepted["payload"]["job_id"], job);
    assert_eq!(accepted["payload"]["accepted_at"], "2026-05-13T19:42:14.000Z");
    assert_eq!(accepted["payload"]["credentials"][0], serde_json::to_value(credential("1")).unwrap());
    assert!(host.started.contains_key(&job));
    assert_eq!(host.readable.last(), Some(&alice.key));
    assert!(wants_frames(&mut host, &alice));
    assert_eq!(host.machine.credentials(host.key_of(&job)), [credential("1")]);
    host.succeed(&job);
    assert_eq!(host.revoked, [host.key_of(&job)]);
    assert_eq!(host.machine.credentials(host.key_of(&job)), []);
}

#[test]
fn jobs_are_listed_by_when_they_were_asked_for_however_long_their_credentials_took() {
    let mut host = host();
    let (mut first, mut second) = (join(&mut host, "alice"), join(&mut host, "alice"));
    first.submits(&mut host, submit(None));
    host.wait(seconds(1));
    second.submits(&mut host, submit(None));
    host.provisioning.swap(0, 1);
    let later = provisioned(&mut host, Ok(Vec::new()));
    host.wait(seconds(1));
    let earlier = provisioned(&mut host, Ok(Vec::new()));
    let listed = first.asks(&mut host, "session.list_jobs", json!({}));
    let answers = first.hears(&mut host);
    let page =
        &answers.iter().find(|answer| answer["payload"]["request_id"] == listed.as_str()).unwrap()["payload"];
    let jobs: Vec<_> =
        page["jobs"].as_array().unwrap().iter().map(|job| (&job["job_id"], &job["created_at"])).collect();
    let at = |second: u32| json!(format!("2026-05-13T19:42:{second}.000Z"));
    assert_eq!(jobs, [(&json!(later), &at(14)), (&json!(earlier), &at(13))]);
}

#[test]
fn a_job_that_needs_no_credential_has_none_and_nothing_is_revoked() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    alice.submits(&mut host, submit(None));
    let job = provisioned(&mut host, Ok(Vec::new()));
    assert!(alice.hears_one(&mut host)["payload"].get("credentials").is_none());
    host.succeed(&job);
    assert!(host.revoked.is_empty());
}

#[test]
fn a_session_without_the_feature_is_shown_nothing_of_it() {
    let mut host = host();
    let mut alice = join_with(&mut host, "alice", &["subscribe"]);
    let job = starts(&mut host, &mut alice);
    assert!(alice.hears_one(&mut host)["payload"].get("credentials").is_none());
    rotates(&mut host, &job, "2").unwrap();
    alice.hears_nothing(&mut host);
    assert_eq!(
        host.machine.credentials(host.key_of(&job)),
        [credential("2")],
        "its agent has it all the same"
    );
    host.succeed(&job);
    assert_eq!(numbers(&alice.hears(&mut host)), [1]);
}

#[test]
fn where_nothing_is_provisioned_no_job_waits() {
    let mut host = Host::new();
    let mut alice = join(&mut host, "alice");
    alice.starts_job(&mut host);
    assert!(host.provisioning.is_empty());
}

#[test]
fn a_job_without_its_credentials_has_never_been() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    let before = host.machine.census();
    let written = host.written.len();
    let request = alice.submits(&mut host, submit(Some("k")));
    provisioned(&mut host, Err(upstream_is_down()));
    let refusal = alice.hears_refusal(&mut host, &request, "INTERNAL_ERROR");
    assert_eq!(refusal["payload"]["retryable"], true);
    assert!(refusal.get("job_id").is_none());
    assert_eq!(host.machine.census(), before);
    assert_eq!(host.written.len(), written, "nothing was written");
    assert!(host.revoked.is_empty() && host.started.is_empty() && wants_frames(&mut host, &alice));

    // The key is free again, for anything.
    alice.submits(&mut host, json!({ "agent": "echo", "input": 2, "idempotency_key": "k" }));
    provisioned(&mut host, Ok(vec![credential("1")]));
    assert_eq!(types(&alice.hears(&mut host)), ["job.accepted"]);
}

#[test]
fn jobs_that_wait_for_credentials_count() {
    let mut host = Host::with(|config| {
        config.features = [Feature::ProvisionedCredentials].into_iter().collect();
        config.limits.jobs_per_principal = 1;
    });
    let mut alice = join(&mut host, "alice");
    let mut other = join(&mut host, "alice");
    alice.submits(&mut host, submit(None));
    let refused = other.submits(&mut host, submit(None));
    other.hears_refusal(&mut host, &refused, "INTERNAL_ERROR");
    provisioned(&mut host, Err(upstream_is_down()));
    other.submits(&mut host, submit(None));
    provisioned(&mut host, Ok(Vec::new()));
    assert_eq!(types(&other.hears(&mut host)), ["job.accepted"]);
}

#[test]
fn a_disconnect_meanwhile_spoils_nothing() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    alice.submits(&mut host, submit(Some("k")));
    host.cut(&alice);
    let job = provisioned(&mut host, Ok(vec![credential("1")]));
    assert!(host.started.contains_key(&job));
    let mut alice = alice.resumes(&mut host, 0);
    alice.submits(&mut host, submit(Some("k")));
    let accepted = alice.hears_one(&mut host);
    assert_eq!(accepted["payload"]["job_id"], job);
    assert_eq!(accepted["payload"]["credentials"][0]["value"], format!("{CANARY}-1"));
    host.succeed(&job);
    assert_eq!(ends(&alice.hears(&mut host)).len(), 1);
    assert_eq!(host.revoked.len(), 1);
}

#[test]
fn a_session_that_is_gone_meanwhile_spoils_nothing() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    alice.submits(&mut host, submit(None));
    host.cut(&alice);
    host.wait(seconds(601));
    let job = provisioned(&mut host, Ok(vec![credential("1")]));
    host.succeed(&job);
    assert_eq!(host.revoked.len(), 1);
    assert_eq!((host.machine.census().followers, host.machine.census().principals), (0, 0));

    let mut bob = join(&mut host, "bob");
    bob.submits(&mut host, submit(None));
    host.cut(&bob);
    host.wait(seconds(601));
    provisioned(&mut host, Err(upstream_is_down()));
    assert_eq!((host.machine.census().principals, host.machine.census().jobs), (0, 1));
}

#[test]
fn a_submit_that_is_made_again_meanwhile_is_the_same_job() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    let mut other = join(&mut host, "alice");
    let mut third = join(&mut host, "alice");
    alice.submits(&mut host, submit(Some("k")));
    other.submits(&mut host, submit(Some("k")));
    let wrong = json!({ "agent": "echo", "input": 2, "idempotency_key": "k" });
    let refused = third.submits(&mut host, wrong);
    third.hears_refusal(&mut host, &refused, "DUPLICATE_KEY");
    third.submits(&mut host, submit(Some("k")));
    assert_eq!(host.provisioning.len(), 1);
    assert!(!wants_frames(&mut host, &other));
    host.cut(&third);
    let job = provisioned(&mut host, Ok(vec![credential("1")]));
    for peer in [&alice, &other] {
        let accepted = peer.hears_one(&mut host);
        assert_eq!(
            (&accepted["type"], &accepted["payload"]["job_id"]),
            (&json!("job.accepted"), &json!(job))
        );
        assert_eq!(accepted["payload"]["credentials"][0]["value"], format!("{CANARY}-1"));
    }
    assert_eq!(host.machine.census().followers, 2);
    host.emits(&job, &["a"]);
    host.succeed(&job);
    assert_eq!(types(&alice.hears(&mut host)), types(&other.hears(&mut host)));

    // A refusal is for everybody who waits.
    let one = alice.submits(&mut host, submit(Some("l")));
    let two = other.submits(&mut host, submit(Some("l")));
    provisioned(&mut host, Err(upstream_is_down()));
    alice.hears_refusal(&mut host, &one, "INTERNAL_ERROR");
    other.hears_refusal(&mut host, &two, "INTERNAL_ERROR");
}

#[test]
fn a_peer_that_is_not_read_meanwhile_has_not_gone_silent() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    alice.submits(&mut host, submit(None));
    host.wait(seconds(300));
    assert!(types(&alice.hears(&mut host)).iter().all(|kind| *kind == "session.ping"));
    provisioned(&mut host, Ok(Vec::new()));
    host.wait(seconds(59));
    assert_eq!(alice.close_code(&host), None);
    host.wait(seconds(1));
    assert_eq!(alice.close_code(&host), Some(4408), "it is read again, and says nothing");
}

#[test]
fn a_lease_that_expires_meanwhile_ends_the_job_at_once() {
    let mut host = host();
    let mut alice = join_with(&mut host, "alice", &["lease_expires_at", "provisioned_credentials"]);
    let constraints = json!({ "expires_at": "2026-05-13T19:42:23Z" });
    alice.submits(&mut host, json!({ "agent": "echo", "lease_constraints": constraints }));
    host.wait(seconds(60));
    let job = provisioned(&mut host, Ok(vec![credential("1")]));
    host.wait(seconds(0));
    assert_eq!(host.stopped, [(host.key_of(&job), StopCause::LeaseExpired)]);
    host.wait(seconds(5));
    assert_eq!(types(&alice.hears(&mut host)), ["job.accepted", "job.error"]);
    assert_eq!(host.revoked.len(), 1);
}

#[test]
fn a_shutdown_meanwhile_refuses_and_has_what_comes_too_late_revoked() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    let request = alice.submits(&mut host, submit(None));
    let key = host.provisioning[0].job;
    host.shut_down();
    alice.hears_refusal(&mut host, &request, "INTERNAL_ERROR");
    assert_eq!(alice.close_code(&host), Some(1001));
    assert!(host.revoked.is_empty());
    provisioned(&mut host, Ok(vec![credential("1")]));
    assert_eq!(host.revoked, [key]);
    assert_eq!((host.machine.census().jobs, host.machine.census().provisions), (0, 0));
}

#[test]
fn however_a_job_ends_its_credentials_are_revoked_once() {
    type End = fn(&mut Host, &mut Peer, &str);
    let ways: [(&str, End); 9] = [
        ("result", |host, _, job| host.succeed(job)),
        ("error", |host, _, job| host.fail(job, ErrorCode::InternalError, "boom")),
        ("panic", |host, _, job| host.finish(job, Outcome::Panicked)),
        ("cancel", |host, alice, job| {
            alice.cancels(host, job);
            host.succeed(job);
        }),
        ("abort", |host, alice, job| {
            alice.cancels(host, job);
            host.wait(seconds(31));
        }),
        ("timeout", |host, _, _| host.wait(seconds(100 + 31))),
        ("expiry", |host, _, _| host.wait(seconds(50 + 6))),
        ("shutdown", |host, _, _| host.shut_down()),
        ("its session is long gone", |host, alice, job| {
            host.cut(alice);
            host.wait(seconds(45));
            host.succeed(job);
        }),
    ];
    for (name, end) in ways {
        let mut host = host();
        let mut alice = join(&mut host, "alice");
        let mut payload = json!({ "agent": "echo", "max_runtime_sec": 100 });
        if name == "expiry" {
            payload["lease_constraints"] = json!({ "expires_at": "2026-05-13T19:43:03Z" });
        }
        alice.submits(&mut host, payload);
        let job = provisioned(&mut host, Ok(vec![credential("1")]));
        rotates(&mut host, &job, "2").unwrap();
        assert!(host.revoked.is_empty());
        end(&mut host, &mut alice, &job);
        host.wait(seconds(1_000));
        host.finish(&job, Outcome::Panicked);
        assert_eq!(host.revoked, [host.key_of(&job)], "{name}");
    }
}

fn delegates(host: &mut Host, parent: &str, lease: Lease) -> Result<JobKey, NotDelegated> {
    let delegation = Delegation::new("echo".parse().unwrap(), Json::null(), lease, Default::default());
    let child = host.machine.delegate(host.now(), host.key_of(parent), delegation);
    host.settle();
    while let Some(job) = host.constraining.pop_front() {
        if host.machine.constraint(job).is_some() {
            host.machine.handle_constrained(host.now(), job, Ok(Default::default()));
            host.settle();
        }
    }
    child.map(|child| {
        assert!(child.provisioning);
        child.job
    })
}

fn with_parent() -> (Host, Peer, String) {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    let lease = json!({ "agent.delegate": ["*"], "cost.budget": ["USD:5.00"] });
    alice.submits(&mut host, json!({ "agent": "echo", "lease_request": lease }));
    let parent = provisioned(&mut host, Ok(vec![credential("parent")]));
    alice.hears(&mut host);
    (host, alice, parent)
}

fn share() -> Lease {
    Lease::empty().grant("cost.budget", "USD:3.00")
}

#[test]
fn a_child_is_announced_and_started_with_credentials_of_its_own() {
    let (mut host, alice, parent) = with_parent();
    let child = delegates(&mut host, &parent, share()).unwrap();
    assert_eq!(types(&alice.hears(&mut host)), ["job.event"], "the wish, and nothing yet");
    let spec = &host.provisioning[0];
    assert_eq!(spec.parent_job_id.as_ref().unwrap().as_str(), parent);
    assert_eq!(spec.authority.remaining().remaining("USD").unwrap().to_string(), "3.00");
    let job = provisioned(&mut host, Ok(vec![credential("child")]));
    assert_eq!(host.delegated, [(child, Ok(()))]);
    let accepted = alice.hears_one(&mut host);
    assert_eq!((&accepted["type"], &accepted["payload"]["job_id"]), (&json!("job.accepted"), &json!(job)));
    assert_eq!(accepted["payload"]["credentials"][0]["value"], format!("{CANARY}-child"));

    // What was lost with its connection is told again, as long as it is good for something.
    let again = alice.resumes(&mut host, 1);
    assert_eq!(again.hears_one(&mut host)["payload"], accepted["payload"]);
    host.succeed(&job);
    assert_eq!(host.revoked, [child]);
    let again = again.resumes(&mut host, 1);
    assert!(again.hears(&mut host)[0]["payload"].get("credentials").is_none());
    host.succeed(&parent);
    assert_eq!(host.revoked.len(), 2);
}

#[test]
fn a_child_without_its_credentials_is_a_refused_delegation() {
    let (mut host, alice, parent) = with_parent();
    let child = delegates(&mut host, &parent, share()).unwrap();
    provisioned(&mut host, Err(upstream_is_down()));
    assert!(matches!(&host.delegated[..], [(key, Err(NotDelegated::Refused(_)))] if *key == child));
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.event", "job.event"]);
    assert_eq!(frames[1]["payload"]["body"]["call_id"], frames[0]["payload"]["body"]["delegate_id"]);
    assert_eq!(frames[1]["payload"]["body"]["error"]["code"], "INTERNAL_ERROR");
    let left = host.started[&parent].authority.remaining();
    assert_eq!(left.remaining("USD").unwrap().to_string(), "5.00", "its share came back");
    host.succeed(&parent);
    assert_eq!(host.revoked, [host.key_of(&parent)]);
}

#[test]
fn a_parent_that_ends_or_stops_meanwhile_has_no_child() {
    let (mut host, alice, parent) = with_parent();
    let child = delegates(&mut host, &parent, share()).unwrap();
    host.succeed(&parent);
    assert_eq!(host.delegated, [(child, Err(NotDelegated::Ended))]);
    provisioned(&mut host, Ok(vec![credential("child")]));
    assert_eq!(host.revoked, [host.key_of(&parent), child]);
    assert_eq!(types(&alice.hears(&mut host)), ["job.event", "job.result"]);

    let (mut host, mut alice, parent) = with_parent();
    let child = delegates(&mut host, &parent, share()).unwrap();
    alice.cancels(&mut host, &parent);
    provisioned(&mut host, Ok(vec![credential("child")]));
    assert_eq!(host.revoked, [child]);
    assert!(matches!(&host.delegated[..], [(_, Err(NotDelegated::Refused(_)))]));
    host.succeed(&parent);
    assert_eq!(types(&alice.hears(&mut host)), ["job.event", "job.cancelled", "job.event", "job.error"]);
    assert_eq!(host.machine.census().provisions, 0);
}

#[test]
fn a_parents_end_revokes_what_its_children_hold() {
    let (mut host, _, parent) = with_parent();
    let child = delegates(&mut host, &parent, share()).unwrap();
    provisioned(&mut host, Ok(vec![credential("child")]));
    host.succeed(&parent);
    assert_eq!(host.revoked, [child, host.key_of(&parent)]);
}

fn observing(host: &mut Host, who: &str, job: &str) -> Peer {
    let mut peer = join(host, who);
    peer.asks(host, "job.subscribe", json!({ "job_id": job, "history": true }));
    peer
}

/// A host on which everybody may observe everybody.
fn open_host() -> Host {
    struct Everybody;
    impl arcp_core::ObservationPolicy for Everybody {
        fn observation(&self, _: &arcp_core::Principal, _: &arcp_core::Principal) -> arcp_core::Observation {
            arcp_core::Observation::Allowed
        }
    }
    Host::with(|config| {
        let features = config.features.iter().cloned();
        config.features = features.chain([Feature::ProvisionedCredentials]).collect();
        config.observation = std::sync::Arc::new(Everybody);
    })
}

#[test]
fn who_subscribes_is_shown_credentials_only_of_its_own_principal() {
    let mut host = open_host();
    let mut alice = join(&mut host, "alice");
    let job = starts(&mut host, &mut alice);
    let own = observing(&mut host, "alice", &job).hears_one(&mut host);
    assert_eq!(own["payload"]["credentials"][0]["value"], format!("{CANARY}-1"));
    let foreign = observing(&mut host, "bob", &job).hears_one(&mut host);
    assert_eq!(foreign["type"], "job.subscribed");
    assert!(foreign["payload"].get("credentials").is_none());
    rotates(&mut host, &job, "2").unwrap();
    let own = &observing(&mut host, "alice", &job).hears(&mut host)[0];
    assert_eq!(
        own["payload"]["credentials"][0]["value"],
        format!("{CANARY}-2"),
        "the value that is good now"
    );
    host.succeed(&job);
    let own = &observing(&mut host, "alice", &job).hears(&mut host)[0];
    assert!(own["payload"].get("credentials").is_none(), "nothing is good any more");
}

#[test]
fn a_new_value_is_for_the_submitter_and_everybody_else_has_the_event_without_it() {
    let mut host = open_host();
    let mut alice = join(&mut host, "alice");
    let mut also = join(&mut host, "alice");
    alice.submits(&mut host, submit(Some("k")));
    let job = provisioned(&mut host, Ok(vec![credential("1")]));
    also.submits(&mut host, submit(Some("k")));
    let bob = observing(&mut host, "bob", &job);
    for peer in [&alice, &also, &bob] {
        peer.hears(&mut host);
    }
    rotates(&mut host, &job, "2").unwrap();
    let body = json!({ "phase": "credential_rotated", "id": "cred_1" });
    let mut whole = body.clone();
    whole["value"] = json!(format!("{CANARY}-2"));
    let late = observing(&mut host, "bob", &job);
    let replayed = late.hears(&mut host).remove(1);
    let mut seen: Vec<_> = [&alice, &also, &bob].map(|peer| peer.hears_one(&mut host)).into();
    seen.push(replayed);
    for (event, expected) in seen.iter().zip([&whole, &whole, &body, &body]) {
        assert_eq!(
            (&event["payload"]["kind"], &event["payload"]["body"]),
            (&json!("status"), expected),
            "{event}"
        );
        assert_eq!(event["payload"]["ts"], seen[0]["payload"]["ts"]);
    }
    host.emits(&job, &["after"]);
    for (peer, seq) in [(&alice, 2), (&also, 2), (&bob, 2), (&late, 2)] {
        assert_eq!(numbers(&peer.hears(&mut host)), [seq], "it is one message for everybody");
    }
}

#[test]
fn a_resume_repeats_the_new_value_byte_for_byte() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    let job = starts(&mut host, &mut alice);
    alice.hears(&mut host);
    rotates(&mut host, &job, "2").unwrap();
    host.emits(&job, &["after"]);
    let first = alice.hears_text(&mut host);
    assert!(first[0].contains("sk-canary-2"));
    host.cut(&alice);
    let alice = alice.resumes(&mut host, 0);
    assert_eq!(alice.hears_text(&mut host), first);

    // Also one that it could not be sent at the time.
    host.cut(&alice);
    rotates(&mut host, &job, "3").unwrap();
    let alice = alice.resumes(&mut host, 2);
    assert_eq!(alice.hears_one(&mut host)["payload"]["body"]["value"], format!("{CANARY}-3"));
}

#[test]
fn what_a_job_does_not_hold_is_not_rotated() {
    let mut host = host();
    let mut alice = join(&mut host, "alice");
    let job = starts(&mut host, &mut alice);
    alice.hears(&mut host);
    let now: Now = host.now();
    let other = Credential { id: "cred_2".parse().unwrap(), ..credential("2") };
    let refused = host.machine.rotate_credential(now, host.key_of(&job), other);
    assert_eq!(refused, Err(EmitError::NoCredential));
    alice.hears_nothing(&mut host);
    host.succeed(&job);
    assert_eq!(rotates(&mut host, &job, "2"), Err(EmitError::Ended));
    assert_eq!(types(&alice.hears(&mut host)), ["job.result"]);
}

#[test]
fn no_value_is_written_listed_or_shown_to_others() {
    let mut host = open_host();
    let mut alice = join(&mut host, "alice");
    alice.submits(&mut host, submit(Some("k")));
    let spec = host.provisioning[0].clone();
    let job = provisioned(&mut host, Ok(vec![credential("1")]));
    rotates(&mut host, &job, "2").unwrap();
    let mut bob = observing(&mut host, "bob", &job);
    bob.asks(&mut host, "session.list_jobs", json!({}));
    bob.submits(&mut host, submit(Some("k")));
    provisioned(&mut host, Ok(Vec::new()));
    let before = alice.hears_text(&mut host);
    alice.asks(&mut host, "session.list_jobs", json!({}));
    let listing = alice.hears_text(&mut host);
    host.succeed(&job);
    host.cut(&bob);
    let bob = bob.resumes(&mut host, 0);
    let heard: Vec<_> = bob.hears_text(&mut host).into_iter().chain(listing).collect();

    assert!(before.iter().all(|text| text.contains(CANARY)), "the canary is alive");
    let everything = [
        host.written.join("\n"),
        host.notices.join("\n"),
        heard.join("\n"),
        host.wires[&bob.key].everything.join("\n"),
        format!("{spec:?} {:?} {:?}", credential("1"), host.machine.credentials(spec.job)),
    ];
    for text in everything {
        let leak = text.lines().find(|line| line.contains(CANARY));
        assert_eq!(leak, None);
    }
}
