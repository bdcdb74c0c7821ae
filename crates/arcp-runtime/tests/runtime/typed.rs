//! Agents that say what they work with: what a welcome shows of it, and inputs that become no jobs.

use arcp_runtime::schemars::{self, JsonSchema};
use arcp_runtime::{Agent, AgentError, BuildError, JobContext, Runtime, agent_fn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::builder;
use crate::peer::Peer;

/// Sizes to be cut.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Cut {
    /// In millimetres.
    #[schemars(range(min = 1))]
    length: u32,
}

fn cutter() -> impl Agent<Input = Cut> {
    agent_fn(async |_: JobContext, cut: Cut| Ok(cut.length))
}

/// Delegates its input to `cut`.
fn foreman() -> impl Agent<Input = Value> {
    agent_fn(async |ctx: JobContext, input: Value| {
        let mut child = ctx.delegate("cut").input(&input).await?;
        Ok::<u32, AgentError>(child.result().await?)
    })
}

fn runtime() -> Runtime {
    let builder = builder().typed_agent("cut@2", cutter()).agent("cut@1", cutter()).default_version("cut@2");
    builder.agent("foreman@1", foreman()).build().unwrap()
}

/// Submits, and gives the answer.
async fn submit(peer: &mut Peer, payload: Value) -> Value {
    peer.say("job.submit", payload, &Value::Null).await;
    peer.receive().await
}

#[tokio::test(start_paused = true)]
async fn a_welcome_shows_the_schema_of_an_input() {
    let runtime = runtime();
    let mut peer = Peer::connect(&runtime, 64);
    peer.hello().await;
    let welcome = peer.receive_type("session.welcome").await;
    let agents = &welcome["payload"]["capabilities"]["agents"];
    let entry = &agents[0];
    assert_eq!(
        entry["x-vendor.arcp.input_schema"]["properties"]["length"],
        json!({ "description": "In millimetres.", "type": "integer", "format": "uint32", "minimum": 1 })
    );
    assert_eq!(entry["x-vendor.arcp.input_schema"]["required"], json!(["length"]));
    assert_eq!(agents[1], json!({ "name": "foreman", "versions": ["1"], "default": "1" }), "it says nothing");
}

#[tokio::test(start_paused = true)]
async fn schemas_of_other_versions_stand_beside_the_one_of_the_default() {
    let runtime = builder().typed_agent("cut@1", cutter()).typed_agent("cut@2", cutter()).build().unwrap();
    let mut peer = Peer::connect(&runtime, 64);
    peer.hello().await;
    let welcome = peer.receive_type("session.welcome").await;
    let entry = &welcome["payload"]["capabilities"]["agents"][0];
    assert_eq!(entry["x-vendor.arcp.input_schemas"]["1"], entry["x-vendor.arcp.input_schema"]);
    let info: arcp_runtime::proto::session::AgentInfo = serde_json::from_value(entry.clone()).unwrap();
    assert!([None, Some("1"), Some("2")].map(|version| info.schema_of(version).is_some()).iter().all(|x| *x));
    assert!(info.schema_of(Some("3")).is_none());
}

#[tokio::test(start_paused = true)]
async fn an_input_that_does_not_fit_becomes_no_job_and_takes_no_key() {
    let runtime = runtime();
    let mut peer = Peer::open(&runtime).await;
    for input in
        [json!({ "length": "s3cret" }), json!({ "length": 0 }), json!({}), json!({ "length": 1u64 << 40 })]
    {
        let refused =
            submit(&mut peer, json!({ "agent": "cut", "input": input, "idempotency_key": "k" })).await;
        assert_eq!(refused["type"], "session.error", "{refused}");
        assert_eq!(refused["payload"]["code"], "INVALID_REQUEST");
        let path = refused["payload"]["details"]["path"].as_str().unwrap();
        assert!(path == "input.length" || (path == "input" && input == json!({})), "{input}: {refused}");
        assert!(!refused.to_string().contains("s3cret"), "{refused}");
    }
    let good = json!({ "agent": "cut", "input": { "length": 7 }, "idempotency_key": "k" });
    let accepted = submit(&mut peer, good.clone()).await;
    assert_eq!(accepted["type"], "job.accepted", "the key is free: {accepted}");
    assert_eq!(peer.receive_type("job.result").await["payload"]["result"], 7);
    assert_eq!(submit(&mut peer, good).await["job_id"], accepted["job_id"]);
}

#[tokio::test(start_paused = true)]
async fn an_agent_without_a_schema_ends_its_job_as_before() {
    let runtime = runtime();
    let mut peer = Peer::open(&runtime).await;
    assert_eq!(submit(&mut peer, json!({ "agent": "cut@1", "input": {} })).await["type"], "job.accepted");
    assert_eq!(peer.receive_job_error().await, "INVALID_REQUEST");
}

#[tokio::test(start_paused = true)]
async fn what_is_delegated_is_checked_as_well() {
    let runtime = runtime();
    let mut peer = Peer::open(&runtime).await;
    let lease = json!({ "agent.delegate": ["cut"] });
    let wrong = json!({ "agent": "foreman", "input": { "length": 0 }, "lease_request": lease });
    assert_eq!(submit(&mut peer, wrong).await["type"], "job.accepted");
    assert_eq!(peer.receive_type("job.event").await["payload"]["kind"], "delegate");
    let refusal = peer.receive_type("job.event").await;
    assert_eq!(refusal["payload"]["body"]["error"]["details"]["path"], "input.length", "{refusal}");
    assert_eq!(peer.receive_job_error().await, "INVALID_REQUEST");
}

struct Large<const NUMBER: usize>;

impl<const NUMBER: usize> JsonSchema for Large<NUMBER> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Large".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "description": "a".repeat(30 << 10) })
    }
}

impl<'de, const NUMBER: usize> Deserialize<'de> for Large<NUMBER> {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Self)
    }
}

#[tokio::test]
async fn a_welcome_stays_small() {
    let agent = || agent_fn(async |_: JobContext, _: Large<0>| Ok::<_, AgentError>(()));
    let of = |count: usize| {
        (0..count).fold(builder(), |builder, n| builder.typed_agent(format!("a@{n}"), agent()))
    };
    assert!(of(8).build().is_ok());
    assert!(matches!(of(9).build().map(drop), Err(BuildError::InputSchemas(_))));
}
