//! Delegation (§10): what a child may not, what the session is told, and what ends with what.

use arcp_core::runtime::{Child, Delegation, NotDelegated, Outcome, StopCause};
use arcp_proto::{ErrorPayload, Json, Lease};
use serde_json::{Value, json};

use crate::features::join_with;
use crate::host::{Host, seconds};
use crate::peer::{Peer, ends, numbers, types};

fn join(host: &mut Host) -> Peer {
    join_with(host, json!(["cost.budget", "lease_expires_at", "model.use", "subscribe"])).0
}

fn with_parent(lease: &Value, constraints: &Value) -> (Host, Peer, String) {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let payload =
        json!({ "agent": "echo", "input": null, "lease_request": lease, "lease_constraints": constraints });
    let parent = alice.starts(&mut host, payload);
    (host, alice, parent)
}

fn lease_of(lease: &Value) -> Lease {
    serde_json::from_value(lease.clone()).unwrap()
}

fn delegates(
    host: &mut Host,
    parent: &str,
    lease: &Value,
    constraints: &Value,
) -> Result<Child, NotDelegated> {
    let delegation = Delegation::new(
        "echo".parse().unwrap(),
        Json::from(json!({ "for": "child" })),
        lease_of(lease),
        serde_json::from_value(constraints.clone()).unwrap(),
    );
    let key = host.key_of(parent);
    let child = host.machine.delegate(host.now(), key, delegation);
    host.settle();
    child
}

fn code(error: &NotDelegated) -> String {
    error.payload().code.to_string()
}

fn remaining(host: &Host, job: &str) -> String {
    host.started[job].authority.remaining().remaining("USD").unwrap().to_string()
}

fn spends(host: &mut Host, job: &str, usd: &Value) {
    let body = json!({ "name": "cost.a", "value": usd, "unit": "USD" });
    host.emit_body(job, arcp_proto::event::EventKind::Metric, &body).unwrap();
}

#[test]
fn a_child_is_a_job_of_the_same_session_and_trace() {
    let (mut host, alice, parent) =
        with_parent(&json!({ "agent.delegate": ["echo"], "tool.call": ["*"] }), &json!({}));
    let child = delegates(&mut host, &parent, &json!({ "tool.call": ["search"] }), &json!({})).unwrap();
    let job = child.job_id.to_string();
    let authority = &host.started[&job].authority;
    assert!(authority.authorize("tool.call", "search", host.now()).is_ok());
    assert!(authority.authorize("tool.call", "write", host.now()).is_err());
    host.emits(&job, &["from the child"]);
    host.succeed(&job);
    host.succeed(&parent);
    let frames = alice.hears(&mut host);
    assert_eq!(types(&frames), ["job.event", "job.accepted", "job.event", "job.result", "job.result"]);
    assert_eq!(numbers(&frames), [1, 2, 3, 4]);
    let (event, accepted) = (&frames[0]["payload"], &frames[1]);
    assert_eq!((&event["kind"], &event["body"]["agent"]), (&json!("delegate"), &json!("echo")));
    assert_eq!(event["body"]["lease_request"], json!({ "tool.call": ["search"] }));
    assert_eq!(accepted["payload"]["delegate_id"], event["body"]["delegate_id"]);
    assert_eq!(accepted["payload"]["parent_job_id"], parent);
    assert_eq!(accepted["payload"]["lease"], json!({ "tool.call": ["search"] }));
    assert_eq!((&accepted["job_id"], &frames[2]["job_id"]), (&json!(job), &json!(job)));
    assert_eq!(accepted["trace_id"], frames[0]["trace_id"]);
    let spec = &host.started[&job];
    assert_eq!(spec.parent_job_id.as_ref().unwrap().as_str(), parent);
}

#[test]
fn a_refusal_is_a_tool_result_on_the_parent_and_nothing_else() {
    let lease = json!({ "agent.delegate": ["echo"], "tool.call": ["search"], "cost.budget": ["USD:5"] });
    let constraints = json!({ "expires_at": "2026-05-13T20:00:00Z" });
    for (lease_asked, constraints_asked, expected) in [
        (json!({ "tool.call": ["*"] }), json!({}), "LEASE_SUBSET_VIOLATION"),
        (json!({ "fs.read": ["/x"] }), json!({}), "LEASE_SUBSET_VIOLATION"),
        (json!({ "cost.budget": ["USD:5.01"] }), json!({}), "LEASE_SUBSET_VIOLATION"),
        (json!({ "cost.budget": ["EUR:1"] }), json!({}), "LEASE_SUBSET_VIOLATION"),
        (json!({}), json!({ "expires_at": "2026-05-13T20:00:01Z" }), "LEASE_SUBSET_VIOLATION"),
        (json!({}), json!({ "expires_at": "2026-05-13T19:00:00Z" }), "INVALID_REQUEST"),
        (json!({ "fs.sing": ["/x"] }), json!({}), "INVALID_REQUEST"),
        (json!({ "cost.budget": [] }), json!({}), "INVALID_REQUEST"),
    ] {
        let (mut host, alice, parent) = with_parent(&lease, &constraints);
        let error = delegates(&mut host, &parent, &lease_asked, &constraints_asked).unwrap_err();
        assert_eq!(code(&error), expected, "{lease_asked} {constraints_asked}");
        let frames = alice.hears(&mut host);
        assert_eq!(types(&frames), ["job.event", "job.event"]);
        let result = &frames[1]["payload"];
        assert_eq!(
            (&result["kind"], &result["body"]["error"]["code"]),
            (&json!("tool_result"), &json!(expected))
        );
        assert_eq!(result["body"]["call_id"], frames[0]["payload"]["body"]["delegate_id"]);
        assert_eq!(remaining(&host, &parent), "5", "nothing was taken");
        host.succeed(&parent);
        assert_eq!(ends(&alice.hears(&mut host)).len(), 1);
    }
    let (mut host, alice, parent) = with_parent(&json!({ "agent.delegate": ["other"] }), &json!({}));
    let error = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap_err();
    assert_eq!(code(&error), "PERMISSION_DENIED");
    assert_eq!(alice.hears(&mut host).len(), 2);
}

#[test]
fn siblings_cannot_spend_the_same_money_and_what_is_left_comes_back() {
    let (mut host, alice, parent) =
        with_parent(&json!({ "agent.delegate": ["echo"], "cost.budget": ["USD:5.00"] }), &json!({}));
    let three = json!({ "cost.budget": ["USD:3.00"] });
    let one = delegates(&mut host, &parent, &three, &json!({})).unwrap().job_id.to_string();
    assert_eq!(remaining(&host, &parent), "2.00");
    assert_eq!(
        code(&delegates(&mut host, &parent, &three, &json!({})).unwrap_err()),
        "LEASE_SUBSET_VIOLATION"
    );
    let two = delegates(&mut host, &parent, &json!({ "cost.budget": ["USD:2.00"] }), &json!({})).unwrap();
    let two = two.job_id.to_string();
    let exhausted = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap_err();
    assert_eq!(code(&exhausted), "BUDGET_EXHAUSTED");
    spends(&mut host, &one, &json!(1.25));
    spends(&mut host, &two, &json!(2.5));
    alice.hears(&mut host);
    host.succeed(&one);
    assert_eq!(remaining(&host, &parent), "1.75");
    host.finish(&two, Outcome::Panicked);
    assert_eq!(remaining(&host, &parent), "1.25", "what was spent beyond its share was spent");
    let frames = alice.hears(&mut host);
    let gauge = |frame: &Value| frame["payload"]["body"]["value"].clone();
    assert_eq!(types(&frames), ["job.result", "job.event", "job.error", "job.event"]);
    assert_eq!((gauge(&frames[1]), gauge(&frames[3])), (json!(1.75), json!(1.25)));
}

#[test]
fn the_child_of_a_job_that_may_use_no_model_may_use_none() {
    let (mut host, _, parent) =
        with_parent(&json!({ "agent.delegate": ["echo"], "model.use": [] }), &json!({}));
    let child = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap();
    assert_eq!(child.lease, lease_of(&json!({ "model.use": [] })));
    let authority = &host.started[&child.job_id.to_string()].authority;
    assert!(authority.authorize("model.use", "any", host.now()).is_err());
}

#[test]
fn what_a_childs_lease_does_not_say_of_money_models_and_time_it_has_of_its_parent() {
    let lease = json!({ "agent.delegate": ["echo"], "tool.call": ["*"], "cost.budget": ["USD:1"], "model.use": ["fast/*"] });
    let (mut host, alice, parent) = with_parent(&lease, &json!({ "expires_at": "2026-05-13T20:00:00Z" }));
    let child = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap();
    let job = child.job_id.to_string();
    assert_eq!(
        child.lease,
        lease_of(&json!({ "model.use": ["fast/*"] })),
        "an empty lease delegates nothing else"
    );
    let accepted = &alice.hears(&mut host)[1]["payload"];
    assert_eq!(accepted["lease_constraints"], json!({ "expires_at": "2026-05-13T20:00:00.000Z" }));
    assert!(accepted.get("budget").is_none(), "it has none of its own");
    let now = host.now();
    let may = |host: &Host, capability: &str, target: &str| {
        host.started[&job]
            .authority
            .authorize(capability, target, now)
            .map_err(|denied| denied.code().to_string())
    };
    assert!(may(&host, "model.use", "fast/one").is_ok());
    assert_eq!(may(&host, "model.use", "slow/one").unwrap_err(), "PERMISSION_DENIED");
    assert_eq!(may(&host, "tool.call", "search").unwrap_err(), "PERMISSION_DENIED");
    assert_eq!(may(&host, "agent.delegate", "echo").unwrap_err(), "PERMISSION_DENIED");
    spends(&mut host, &job, &json!(1));
    assert_eq!(may(&host, "model.use", "fast/one").unwrap_err(), "BUDGET_EXHAUSTED");
    assert_eq!(remaining(&host, &parent), "0");
}

#[test]
fn children_end_with_their_parent_and_before_it() {
    let outcomes: [fn() -> Outcome; 3] = [
        || Outcome::Success(Json::null()),
        || Outcome::Failure(ErrorPayload::new("QUOTA".into(), "no")),
        || Outcome::Panicked,
    ];
    for outcome in outcomes {
        let lease = json!({ "agent.delegate": ["echo"] });
        let (mut host, alice, parent) = with_parent(&lease, &json!({}));
        let child = delegates(&mut host, &parent, &lease, &json!({})).unwrap();
        let grandchild = delegates(&mut host, child.job_id.as_str(), &lease, &json!({})).unwrap();
        alice.hears(&mut host);
        host.finish(&parent, outcome());
        let frames = alice.hears(&mut host);
        let ended: Vec<_> = frames.iter().map(|frame| frame["job_id"].as_str().unwrap()).collect();
        assert_eq!(ended, [grandchild.job_id.as_str(), child.job_id.as_str(), &parent]);
        assert_eq!(frames[0]["payload"]["code"], "CANCELLED");
        assert_eq!(host.aborted, [grandchild.job, child.job]);
        assert_eq!(host.children_ended, [grandchild.job, child.job]);
        assert_eq!(host.machine.census().followers, 0);
    }
}

#[test]
fn a_cancel_of_the_parent_reaches_its_children_and_one_of_a_child_only_that() {
    let (mut host, mut alice, parent) = with_parent(&json!({ "agent.delegate": ["echo"] }), &json!({}));
    let child = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap();
    let other = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap();
    alice.cancels(&mut host, child.job_id.as_str());
    assert_eq!(host.stopped, [(child.job, StopCause::Cancelled)]);
    host.succeed(child.job_id.as_str());
    let key = host.key_of(&parent);
    host.machine.stop_job(host.now(), key, StopCause::TimedOut);
    host.settle();
    assert_eq!(host.stopped[1..], [(key, StopCause::TimedOut), (other.job, StopCause::Cancelled)]);
    assert!(matches!(delegates(&mut host, &parent, &json!({}), &json!({})), Err(NotDelegated::Refused(_))));
    host.wait(seconds(31));
    let frames = alice.hears(&mut host);
    let codes: Vec<_> =
        ends(&frames).iter().map(|end| end["payload"]["code"].as_str().unwrap().to_owned()).collect();
    assert_eq!(codes, ["CANCELLED", "CANCELLED", "TIMEOUT"]);
}

#[test]
fn a_child_that_has_its_parents_end_ends_as_that_does() {
    let lease = json!({ "agent.delegate": ["echo"] });
    let (mut host, alice, parent) = with_parent(&lease, &json!({ "expires_at": "2026-05-13T19:43:13Z" }));
    let child = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap();
    alice.hears(&mut host);
    host.wait(seconds(60));
    let causes: Vec<_> = host.stopped.iter().map(|(_, cause)| *cause).collect();
    assert_eq!(causes, [StopCause::LeaseExpired, StopCause::LeaseExpired]);
    host.wait(seconds(6));
    let frames = alice.hears(&mut host);
    let codes: Vec<_> = ends(&frames).iter().map(|end| end["payload"]["code"].clone()).collect();
    assert_eq!(codes, ["LEASE_EXPIRED", "LEASE_EXPIRED"]);
    assert_eq!(frames[0]["job_id"], child.job_id.as_str());
}

#[test]
fn no_step_of_the_wall_clock_makes_a_childs_lease_longer_than_its_parents() {
    let lease = json!({ "agent.delegate": ["echo"], "tool.call": ["*"] });
    let (host, _, parent) = with_parent(&lease, &json!({ "expires_at": "2026-05-13T19:52:13Z" }));
    let authority = &host.started[&parent].authority;
    let at = |monotonic: u64| arcp_core::Now {
        wall: crate::host::START.parse().unwrap(), // it is set back again and again
        ..host.clock.after(seconds(monotonic)).now()
    };
    let constraints = serde_json::from_value(json!({ "expires_at": "2026-05-13T19:52:13Z" })).unwrap();
    let child = authority.delegate(&lease_of(&json!({ "tool.call": ["*"] })), &constraints, at(300)).unwrap();
    assert!(child.authority.authorize("tool.call", "x", at(599)).is_ok());
    assert!(authority.authorize("tool.call", "x", at(601)).is_err());
    assert!(child.authority.authorize("tool.call", "x", at(601)).is_err());
}

#[test]
fn what_is_looked_at_for_each_operation_is_bounded() {
    let mut host = Host::new();
    let mut alice = join(&mut host);
    let amounts = |count: usize| (0..count).map(|n| format!("c{n}:1")).collect::<Vec<_>>();
    let lease = json!({ "cost.budget": amounts(65) });
    let id = alice.submits(&mut host, json!({ "agent": "echo", "input": null, "lease_request": lease }));
    let refused = alice.hears_refusal(&mut host, &id, "INVALID_REQUEST");
    assert!(refused["payload"]["message"].as_str().unwrap().contains("more than 64 amounts"), "{refused}");
    let lease = json!({ "cost.budget": amounts(64) });
    alice.starts(&mut host, json!({ "agent": "echo", "input": null, "lease_request": lease }));
}

#[test]
fn an_acceptance_that_was_lost_with_its_connection_is_told_again() {
    let (mut host, alice, parent) = with_parent(&json!({ "agent.delegate": ["echo"] }), &json!({}));
    host.cut(&alice);
    let child = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap();
    host.emits(child.job_id.as_str(), &["a"]);
    let again = alice.resumes(&mut host, 0);
    let frames = again.hears(&mut host);
    assert_eq!(types(&frames), ["job.event", "job.accepted", "job.event"]);
    assert_eq!(frames[1]["payload"]["job_id"], child.job_id.as_str());
    // It had come, but not what followed it: it comes once more, which spoils nothing.
    let again = again.resumes(&mut host, 1);
    assert_eq!(types(&again.hears(&mut host)), ["job.accepted", "job.event"]);
    let again = again.resumes(&mut host, 2);
    assert_eq!(types(&again.hears(&mut host)), [] as [&str; 0]);
}

#[test]
fn a_job_whose_session_is_gone_still_delegates() {
    let (mut host, alice, parent) = with_parent(&json!({ "agent.delegate": ["echo"] }), &json!({}));
    host.cut(&alice);
    host.wait(seconds(601));
    let child = delegates(&mut host, &parent, &json!({}), &json!({})).unwrap();
    host.succeed(child.job_id.as_str());
    host.succeed(&parent);
}

#[test]
fn delegation_goes_as_deep_as_the_limit() {
    let lease = json!({ "agent.delegate": ["echo"] });
    let (mut host, _, parent) = with_parent(&lease, &json!({}));
    let mut deepest = parent;
    for _ in 0..8 {
        deepest = delegates(&mut host, &deepest, &lease, &json!({})).unwrap().job_id.to_string();
    }
    assert_eq!(code(&delegates(&mut host, &deepest, &lease, &json!({})).unwrap_err()), "PERMISSION_DENIED");
}

#[test]
fn who_may_not_delegate_is_not_told_whether_there_is_such_an_agent() {
    let (mut host, _, parent) = with_parent(&json!({ "agent.delegate": ["other*"] }), &json!({}));
    let mut asks = |agent: &str| {
        let delegation =
            Delegation::new(agent.parse().unwrap(), Json::null(), Lease::empty(), Default::default());
        let key = host.key_of(&parent);
        code(&host.machine.delegate(host.now(), key, delegation).unwrap_err())
    };
    assert_eq!(asks("nobody"), asks("echo"));
    assert_eq!(asks("other-agent"), "AGENT_NOT_AVAILABLE");
}
