//! Tokens that cap what jobs may ask for: the effective lease is never more than both, whenever and however it is asked for.

use arcp_core::lease::Ceiling;
use serde_json::{Value, json};

use crate::features::join_with;
use crate::host::Host;
use crate::peer::Peer;

fn ceiling(lease: &Value) -> Option<Ceiling> {
    Some(Ceiling::new(&serde_json::from_value(lease.clone()).unwrap()).unwrap())
}

/// A host whose tokens allow this, and a session that was opened with one.
fn below(lease: &Value) -> (Host, Peer) {
    let mut host = Host::new();
    host.ceiling = ceiling(lease);
    let (alice, _) = join_with(&mut host, json!(["cost.budget", "model.use"]));
    (host, alice)
}

fn asks(lease: &Value) -> Value {
    json!({ "agent": "echo", "input": null, "lease_request": lease })
}

/// The lease of a job that is accepted.
fn given(host: &mut Host, peer: &mut Peer, lease: &Value) -> Value {
    let job = peer.starts(host, asks(lease));
    serde_json::to_value(&host.started[&job].lease).unwrap()
}

fn is_refused(host: &mut Host, peer: &mut Peer, lease: &Value) -> String {
    let request = peer.submits(host, asks(lease));
    let refusal = peer.hears_refusal(host, &request, "PERMISSION_DENIED");
    refusal["payload"]["message"].as_str().unwrap().to_owned()
}

#[test]
fn a_job_is_given_what_it_asks_for_below_the_ceiling_and_is_told_so() {
    let (mut host, mut alice) = below(&json!({ "fs.read": ["/data/**"], "cost.budget": ["USD:2"] }));
    alice.submits(&mut host, asks(&json!({ "fs.read": ["/data/x"], "cost.budget": ["USD:9"] })));
    let accepted = &alice.hears_one(&mut host)["payload"];
    assert_eq!(accepted["lease"], json!({ "fs.read": ["/data/x"], "cost.budget": ["USD:2"] }));
    assert_eq!(accepted["budget"], json!({ "USD": 2 }));
    let authority = &host.started[accepted["job_id"].as_str().unwrap()].authority;
    assert!(authority.authorize("fs.read", "/data/x", host.now()).is_ok());
    authority.charge(&"USD".parse().unwrap(), "2".parse().unwrap());
    let denied = authority.authorize("fs.read", "/data/x", host.now()).unwrap_err();
    assert_eq!(denied.code().as_str(), "BUDGET_EXHAUSTED");
}

/// Asked for too much, a job has what is left of it, is told so, and can do no more.
#[test]
fn a_job_that_asks_for_more_is_given_what_both_allow() {
    let (mut host, mut alice) = below(&json!({ "fs.read": ["/data/**"], "model.use": ["fast/*"] }));
    let lease = json!({ "fs.read": ["/*/public/**"], "model.use": ["*/small"] });
    alice.submits(&mut host, asks(&lease));
    let accepted = &alice.hears_one(&mut host)["payload"];
    let left = json!({ "fs.read": ["/data/public/**"], "model.use": ["fast/small"] });
    assert_eq!(accepted["lease"], left);
    let authority = &host.started[accepted["job_id"].as_str().unwrap()].authority;
    assert!(authority.authorize("fs.read", "/data/public/x", host.now()).is_ok());
    for (capability, target) in
        [("fs.read", "/etc/public/x"), ("fs.read", "/data/x"), ("model.use", "slow/small")]
    {
        let denied = authority.authorize(capability, target, host.now()).unwrap_err();
        assert_eq!(denied.code().as_str(), "PERMISSION_DENIED");
    }
}

#[test]
fn a_pattern_above_the_ceiling_is_refused_by_name_and_no_job_is_made() {
    let (mut host, mut alice) = below(&json!({ "fs.read": ["/data/**"] }));
    let written = host.written.len();
    let message = is_refused(&mut host, &mut alice, &json!({ "fs.read": ["/data/x", "/etc/*"] }));
    assert!(message.contains("[\"fs.read\"][1]"), "{message}");
    assert!(host.started.is_empty() && host.written.len() == written);
}

#[test]
fn a_job_that_says_nothing_of_money_and_models_is_bounded_all_the_same() {
    let (mut host, mut alice) = below(&json!({ "cost.budget": ["USD:2"], "model.use": ["fast/*"] }));
    let lease = given(&mut host, &mut alice, &json!({}));
    assert_eq!(lease, json!({ "cost.budget": ["USD:2"], "model.use": ["fast/*"] }));
}

#[test]
fn a_session_has_the_ceiling_of_the_token_that_it_was_last_resumed_with() {
    let (wide, narrow) = (json!({ "fs.read": ["/**"] }), json!({ "fs.read": ["/data/**"] }));
    let (mut host, mut alice) = below(&wide);
    assert_eq!(given(&mut host, &mut alice, &wide), wide);
    host.ceiling = ceiling(&narrow);
    assert_eq!(given(&mut host, &mut alice, &wide), wide, "another token was shown by nobody");
    host.cut(&alice);
    let mut again = alice.resumes(&mut host, 0);
    assert_eq!(given(&mut host, &mut again, &wide), narrow);
    is_refused(&mut host, &mut again, &json!({ "fs.read": ["/etc/**"] }));
    host.ceiling = None;
    host.cut(&again);
    let mut again = again.resumes(&mut host, 0);
    assert_eq!(given(&mut host, &mut again, &wide), wide);
}

#[test]
fn after_a_restart_a_session_has_the_ceiling_of_the_token_that_it_is_resumed_with() {
    let (mut host, mut alice) = below(&json!({ "fs.read": ["/data/**"] }));
    is_refused(&mut host, &mut alice, &json!({ "fs.read": ["/etc/**"] }));
    host.crash();
    let mut again = alice.resumes(&mut host, 0);
    is_refused(&mut host, &mut again, &json!({ "fs.read": ["/etc/**"] }));
}

#[test]
fn who_may_not_ask_for_a_job_is_not_shown_one_by_its_key() {
    let (mut host, mut alice) = below(&json!({ "fs.read": ["/**"] }));
    let mut payload = asks(&json!({ "fs.read": ["/etc/*"] }));
    payload["idempotency_key"] = json!("k");
    let job = alice.starts(&mut host, payload.clone());
    host.ceiling = ceiling(&json!({ "fs.read": ["/data/**"] }));
    let mut narrow = host.join("alice");
    let request = narrow.submits(&mut host, payload.clone());
    narrow.hears_refusal(&mut host, &request, "PERMISSION_DENIED");
    host.ceiling = None;
    let mut free = host.join("alice");
    assert_eq!(free.starts(&mut host, payload), job, "one that may is shown it");
}

#[test]
fn who_would_be_given_less_is_not_shown_a_job_that_was_given_more() {
    let (mut host, mut alice) = below(&json!({ "cost.budget": ["USD:9"] }));
    let mut payload = asks(&json!({ "cost.budget": ["USD:7"] }));
    payload["idempotency_key"] = json!("k");
    let job = alice.starts(&mut host, payload.clone());
    host.ceiling = ceiling(&json!({ "cost.budget": ["USD:5"] }));
    let mut narrow = host.join("alice");
    let request = narrow.submits(&mut host, payload.clone());
    narrow.hears_refusal(&mut host, &request, "DUPLICATE_KEY");
    host.ceiling = ceiling(&json!({ "cost.budget": ["USD:8"] }));
    let mut as_wide = host.join("alice");
    assert_eq!(as_wide.starts(&mut host, payload), job);
}
