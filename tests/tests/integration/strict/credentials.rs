//! Provisioned credentials (§9.8), as the strict client sees them.

use arcp_runtime::Limits;
use arcp_runtime::credentials::MemoryLedger;
use arcp_testing::FixtureGateway;
use serde_json::json;

use super::{FEATURES, Ground, Peer, Wire, builder};

#[tokio::test]
async fn credentials_are_for_the_submitter() {
    let dir = tempfile::tempdir().unwrap();
    let gateway = FixtureGateway::open(dir.path().join("calls")).unwrap();
    let runtime = builder(Limits::default()).credentials(gateway, MemoryLedger::dangerous()).build().unwrap();
    let ground = Ground::of(runtime).await;
    for wire in Wire::BOTH {
        let mut alice = Peer::open(&ground, wire, "alice").await;
        let lease =
            json!({ "cost.budget": ["USD:2.00"], "model.use": ["tier-fast/*"], "agent.delegate": ["*"] });
        let submit = |agent: &str, input| {
            json!({ "agent": agent, "input": input, "lease_request": lease,
                "lease_constraints": { "expires_at": "2999-01-01T00:00:00.000Z" } })
        };
        let ran = alice.run(submit("rotate", json!({}))).await;
        let [credential] = &ran.accepted["payload"]["credentials"].as_array().unwrap()[..] else {
            panic!("one")
        };
        assert_eq!(credential["constraints"]["cost.budget"], json!(["USD:2.00"]));
        let rotated = ran.of_kind("status").next().unwrap();
        assert_eq!((&rotated["phase"], &rotated["id"]), (&json!("credential_rotated"), &credential["id"]));
        assert!(rotated["value"].is_string() && rotated["value"] != credential["value"]);

        // An observer sees that it was rotated, and no value.
        let mut bob = Peer::open(&ground, wire, "bob").await;
        bob.say("job.subscribe", json!({ "job_id": ran.accepted["job_id"], "history": true })).await;
        let subscribed = bob.receive_type("job.subscribed").await;
        assert!(subscribed["payload"].get("credentials").is_none());
        let seen = bob.follow(subscribed).await;
        assert_eq!(
            seen.of_kind("status").next().unwrap(),
            &json!({ "phase": "credential_rotated", "id": credential["id"] })
        );

        // Who submitted it is shown them in another session, while the job runs, and a listing never has them.
        let running = alice.submit(submit("sleep", json!({ "ms": 600_000 }))).await;
        alice.receive_type("job.event").await;
        let mut again = Peer::open(&ground, wire, "alice").await;
        again.say("job.subscribe", json!({ "job_id": running["job_id"] })).await;
        let subscribed = again.receive_type("job.subscribed").await;
        assert_eq!(subscribed["payload"]["credentials"], running["payload"]["credentials"]);
        again.say("session.list_jobs", json!({})).await;
        again.receive_type("session.jobs").await;
        again.close().await;

        // Children have their own.
        let child =
            json!({ "agent": "rotate", "input": {}, "lease_request": { "cost.budget": ["USD:0.50"] } });
        let ran = alice.run(submit("delegate", child)).await;
        assert_eq!(ran.result()["final_status"], "success", "{:#}", ran.end);
        // And whoever has not negotiated them is sent none.
        let without: Vec<_> = FEATURES.into_iter().filter(|one| *one != "provisioned_credentials").collect();
        let mut plain = Peer::open_with(&ground, wire, "alice", &without).await;
        let ran = plain.run(submit("rotate", json!({}))).await;
        assert!(ran.accepted["payload"].get("credentials").is_none());
        plain.close().await;
    }
}
