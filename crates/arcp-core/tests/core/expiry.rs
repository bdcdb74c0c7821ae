//! The end of a lease (§9.5): on each operation, by a timer, and by both clocks.

use arcp_core::Now;
use arcp_core::lease::Denied;
use arcp_core::runtime::{Outcome, StopCause};
use arcp_proto::Json;
use serde_json::json;

use crate::features::join_with;
use crate::host::{Host, seconds};
use crate::peer::{Peer, ends, texts};

/// A job whose lease ends 60 s after its start.
fn with_lease() -> (Host, Peer, String) {
    let mut host = Host::new();
    let mut alice = join_with(&mut host, json!(["lease_expires_at"])).0;
    let payload = json!({ "agent": "echo", "input": null, "lease_request": { "tool.call": ["*"] },
        "lease_constraints": { "expires_at": "2026-05-13T19:43:13Z" } });
    let job = alice.starts(&mut host, payload);
    (host, alice, job)
}

fn allowed(host: &Host, job: &str, now: Now) -> Result<(), Denied> {
    host.started[job].authority.authorize("tool.call", "search", now).map(|_| ())
}

#[test]
fn operations_are_allowed_before_the_end_and_denied_from_it_on() {
    let (mut host, alice, job) = with_lease();
    host.wait(seconds(59));
    assert_eq!(allowed(&host, &job, host.now()), Ok(()));
    host.wait(seconds(1));
    let denied = allowed(&host, &job, host.now()).unwrap_err();
    assert_eq!(denied.payload().code.as_str(), "LEASE_EXPIRED");
    assert_eq!(host.stopped.last(), Some(&(host.key_of(&job), StopCause::LeaseExpired)));
    // A short time to unwind: what it says in it is heard.
    host.emits(&job, &["partial"]);
    host.wait(seconds(5));
    let frames = alice.hears(&mut host);
    assert_eq!(texts(&frames), ["partial"]);
    let end = &ends(&frames)[0]["payload"];
    assert_eq!((&end["code"], &end["final_status"]), (&json!("LEASE_EXPIRED"), &json!("error")));
    assert_eq!(host.aborted, [host.key_of(&job)]);
}

#[test]
fn no_step_of_the_wall_clock_makes_a_lease_longer() {
    let (host, _, job) = with_lease();
    let at = |monotonic: u64, wall: u64| Now {
        monotonic: host.clock.after(seconds(monotonic)).now().monotonic,
        wall: host.clock.after(seconds(wall)).now().wall,
    };
    assert_eq!(allowed(&host, &job, at(10, 10)), Ok(()));
    assert!(allowed(&host, &job, at(60, 0)).is_err(), "the wall clock was set back");
    assert!(allowed(&host, &job, at(0, 0)).is_err(), "what has expired stays expired");
    let (host, _, job) = with_lease();
    assert!(allowed(&host, &job, at(0, 60)).is_err(), "or it was set right");
}

#[test]
fn a_job_whose_agent_was_denied_is_told_to_stop_at_once() {
    let (mut host, alice, job) = with_lease();
    let key = host.key_of(&job);
    host.machine.lease_expired(host.now(), key);
    host.settle();
    host.finish(&job, Outcome::Success(Json::null()));
    let frames = alice.hears(&mut host);
    assert_eq!(ends(&frames)[0]["payload"]["code"], "LEASE_EXPIRED");
}

#[test]
fn what_has_ended_may_do_nothing_any_more() {
    let (mut host, _, job) = with_lease();
    let authority = std::sync::Arc::clone(&host.started[&job].authority);
    assert!(authority.reserve(&"USD".parse().unwrap(), "1".parse().unwrap(), host.now()).is_ok());
    host.finish(&job, Outcome::Success(Json::null()));
    assert_eq!(allowed(&host, &job, host.now()), Err(Denied::Ended));
    assert!(authority.reserve(&"USD".parse().unwrap(), "1".parse().unwrap(), host.now()).is_err());
}

#[test]
fn nothing_is_set_aside_under_a_lease_that_is_over_and_what_was_is_free_again() {
    let mut host = Host::new();
    let mut alice = join_with(&mut host, json!(["lease_expires_at"])).0;
    let payload = json!({ "agent": "echo", "input": null, "lease_request": { "cost.budget": ["USD:1"] },
        "lease_constraints": { "expires_at": "2026-05-13T19:43:13Z" } });
    let job = alice.starts(&mut host, payload);
    let authority = std::sync::Arc::clone(&host.started[&job].authority);
    let reserve = |host: &Host| authority.reserve(&"USD".parse().unwrap(), "1".parse().unwrap(), host.now());
    let reserved = reserve(&host).unwrap();
    assert!(reserve(&host).is_err(), "it is set aside");
    drop(reserved);
    drop(reserve(&host).unwrap());
    host.wait(seconds(60));
    assert!(matches!(reserve(&host), Err(Denied::Expired { .. })));
}

#[test]
fn a_session_without_the_feature_is_not_shown_the_end_and_it_holds() {
    let mut host = Host::new();
    let mut plain = join_with(&mut host, json!([])).0;
    let payload = json!({ "agent": "echo", "input": null,
        "lease_constraints": { "expires_at": "2026-05-13T19:43:13Z" } });
    plain.submits(&mut host, payload);
    let accepted = plain.hears_one(&mut host);
    assert!(accepted["payload"].get("lease_constraints").is_none(), "{accepted}");
    host.wait(seconds(65));
    assert_eq!(ends(&plain.hears(&mut host))[0]["payload"]["code"], "LEASE_EXPIRED");
}
