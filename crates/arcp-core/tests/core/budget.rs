//! Budgets (§9.6): what is counted, and what clients are told.

use arcp_core::lease::Denied;
use arcp_proto::event::EventKind;
use serde_json::{Value, json};

use crate::features::join_with;
use crate::host::Host;
use crate::peer::Peer;

fn join(host: &mut Host) -> Peer {
    join_with(host, json!(["cost.budget", "subscribe"])).0
}

fn starts(peer: &mut Peer, host: &mut Host, lease: &Value) -> String {
    peer.starts(host, json!({ "agent": "echo", "input": null, "lease_request": lease }))
}

fn costs(host: &mut Host, job: &str, name: &str, value: &Value, unit: &str) {
    let body = json!({ "name": name, "value": value, "unit": unit });
    host.emit_body(job, EventKind::Metric, &body).unwrap();
}

/// Name and value of each metric that comes.
fn metrics(peer: &Peer, host: &mut Host) -> Vec<(String, String)> {
    let frames = peer.hears_text(host);
    let metric = |frame: &String| {
        let envelope: arcp_proto::Envelope = arcp_proto::Envelope::decode(frame.clone()).unwrap();
        let event: arcp_proto::event::Event = envelope.payload.decode().unwrap();
        let body: arcp_proto::event::Metric = event.body.decode().unwrap();
        (body.name, format!("{}{}", body.value, body.unit.map_or(String::new(), |unit| format!(" {unit}"))))
    };
    frames.iter().map(metric).collect()
}

fn pairs(of: &[(&str, &str)]) -> Vec<(String, String)> {
    of.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_budget_in_the_drafts_own_spelling_is_counted_and_shown() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let lease = json!({ "cost.budget": ["USD:5.00", "credits:1000"] });
    alice.submits(&mut host, json!({ "agent": "echo", "input": null, "lease_request": lease }));
    let accepted = alice.hears_one(&mut host);
    assert_eq!(accepted["payload"]["budget"], json!({ "USD": 5.0, "credits": 1000 }));
    assert_eq!(accepted["payload"]["lease"], lease);
    for bad in [json!(["USD"]), json!(["USD:-1"]), json!(["USD:1e3"])] {
        let lease = json!({ "cost.budget": bad });
        let id = alice.submits(&mut host, json!({ "agent": "echo", "input": null, "lease_request": lease }));
        alice.hears_refusal(&mut host, &id, "INVALID_REQUEST");
    }
}

/// A list that grants nothing sets no limit either, which nobody who writes it can mean.
#[test]
fn a_budget_that_names_no_amount_is_none() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let lease = json!({ "tool.call": ["*"], "cost.budget": [] });
    let id = alice.submits(&mut host, json!({ "agent": "echo", "input": null, "lease_request": lease }));
    let refusal = alice.hears_refusal(&mut host, &id, "INVALID_REQUEST");
    let message = refusal["payload"]["message"].as_str().unwrap();
    assert!(message.contains(r#"["cost.budget"]"#) && message.contains("names no amount"), "{message}");
    assert!(host.started.is_empty());
}

#[test]
fn costs_are_counted_exactly_and_what_remains_follows_each() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = starts(&mut alice, &mut host, &json!({ "cost.budget": ["USD:1.00"] }));
    for _ in 0..2 {
        costs(&mut host, &job, "cost.inference", &json!(0.1), "USD");
    }
    let told = [
        ("cost.inference", "0.1 USD"),
        ("cost.budget.remaining", "0.90 USD"),
        ("cost.inference", "0.1 USD"),
        ("cost.budget.remaining", "0.80 USD"),
    ];
    assert_eq!(metrics(&alice, &mut host), pairs(&told));
    for _ in 0..8 {
        costs(&mut host, &job, "cost.inference", &json!(0.10), "USD");
    }
    assert_eq!(metrics(&alice, &mut host).last().unwrap().1, "0 USD", "ten times 0.10 is 1.00");
    let denied = host.started[&job].authority.check(host.now()).unwrap_err();
    assert!(matches!(denied, Denied::Exhausted { .. }));
}

#[test]
fn what_is_no_cost_changes_nothing_and_nothing_is_too_small_to_count() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = starts(&mut alice, &mut host, &json!({ "cost.budget": ["USD:1"] }));
    costs(&mut host, &job, "cost.a", &json!(-5), "USD");
    costs(&mut host, &job, "cost.budget.remaining", &json!(0), "USD");
    costs(&mut host, &job, "cost.budget.other", &json!(1), "USD");
    costs(&mut host, &job, "costs", &json!(1), "USD");
    costs(&mut host, &job, "latency", &json!(1), "USD");
    costs(&mut host, &job, "cost.a", &json!(1), "EUR");
    costs(&mut host, &job, "cost.a", &json!(1), "not a currency");
    let remaining = host.started[&job].authority.remaining();
    assert_eq!(remaining.remaining("USD"), Some("1".parse().unwrap()));
    assert_eq!(metrics(&alice, &mut host).len(), 7, "they are told all the same, and nothing is added");
    costs(&mut host, &job, "cost.a", &json!(0.000_000_4), "USD");
    assert_eq!(metrics(&alice, &mut host)[1].1, "0.9999996 USD");
    let tiny: Value = serde_json::from_str("1e-40").unwrap();
    costs(&mut host, &job, "cost.a", &tiny, "USD");
    let remaining = host.started[&job].authority.remaining().remaining("USD").unwrap();
    assert!(remaining < "0.9999996".parse().unwrap(), "{remaining}");
    let huge: Value = serde_json::from_str("1e300").unwrap();
    costs(&mut host, &job, "cost.a", &huge, "USD");
    assert!(host.started[&job].authority.check(host.now()).is_err());
}

#[test]
fn a_session_without_the_feature_is_told_nothing_of_the_budget_and_it_holds() {
    let mut host = Host::new();
    let mut plain = join_with(&mut host, json!([])).0;
    let lease = json!({ "cost.budget": ["USD:1"] });
    plain.submits(&mut host, json!({ "agent": "echo", "input": null, "lease_request": lease }));
    let accepted = plain.hears_one(&mut host);
    assert!(accepted["payload"].get("budget").is_none(), "{accepted}");
    let job = accepted["payload"]["job_id"].as_str().unwrap().to_owned();
    costs(&mut host, &job, "cost.a", &json!(1), "USD");
    assert_eq!(metrics(&plain, &mut host), pairs(&[("cost.a", "1 USD")]));
    assert!(host.started[&job].authority.check(host.now()).is_err());
}

#[test]
fn who_subscribes_is_shown_what_is_left() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = starts(&mut alice, &mut host, &json!({ "cost.budget": ["USD:5.00"] }));
    costs(&mut host, &job, "cost.a", &json!(1.42), "USD");
    let mut watcher = join(&mut host);
    watcher.asks(&mut host, "job.subscribe", json!({ "job_id": job }));
    assert_eq!(watcher.hears_one(&mut host)["payload"]["budget"], json!({ "USD": 3.58 }));
}

#[test]
fn a_cost_for_which_money_was_set_aside_is_spent_of_that() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let job = starts(&mut alice, &mut host, &json!({ "cost.budget": ["USD:1"] }));
    let authority = std::sync::Arc::clone(&host.started[&job].authority);
    let usd = "USD".parse().unwrap();
    let reservation = authority.reserve(&usd, "0.8".parse().unwrap(), host.now()).unwrap();
    assert!(authority.reserve(&usd, "0.3".parse().unwrap(), host.now()).is_err(), "spoken for");
    let body = json!({ "name": "cost.a", "value": 0.5, "unit": "USD" });
    let draft = arcp_core::runtime::Draft::new(EventKind::Metric, host.now().wall, &body).unwrap();
    let key = host.key_of(&job);
    host.machine.emit_settled(host.now(), key, draft, reservation).unwrap();
    host.settle();
    assert_eq!(metrics(&alice, &mut host)[1].1, "0.5 USD");
    drop(authority.reserve(&usd, "0.5".parse().unwrap(), host.now()).unwrap());
    assert_eq!(authority.remaining().remaining("USD"), Some("0.5".parse().unwrap()));
}
