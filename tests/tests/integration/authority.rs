//! Leases, budgets and delegation over the wire (§9, §10, §13.4, §13.5).

use arcp_client::JobError;
use arcp_client::proto::event::{Body, ToolOutcome};
use arcp_client::proto::{BudgetAmount, Lease, Timestamp};
use arcp_runtime::{AgentError, JobContext, OperationError, Runtime, StaticTokens, agent_fn};
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::support::{Host, token};

fn lease(grants: &Value) -> Lease {
    serde_json::from_value(grants.clone()).unwrap()
}

fn amount(text: &str) -> BudgetAmount {
    text.parse().unwrap()
}

/// What each `tool_result` of a job says: `ok` or a code.
async fn outcomes(job: &mut arcp_client::Job) -> Vec<String> {
    let mut outcomes = Vec::new();
    while let Some(event) = job.next().await {
        if let Body::ToolResult(result) = &event.body {
            outcomes.push(match &result.outcome {
                ToolOutcome::Result(_) => "ok".to_owned(),
                ToolOutcome::Error(error) => error.code.to_string(),
            });
        }
    }
    outcomes
}

#[tokio::test]
async fn every_operation_is_checked_and_told() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let operation = |capability: &str, target: &str| json!({ "capability": capability, "target": target });
    let operations = json!([
        operation("fs.read", "/data/in.txt"),
        operation("fs.read", "/data/../etc/passwd"),
        operation("fs.write", "/data/in.txt"),
        operation("net.fetch", "https://api.example.com/v1/items"),
        operation("net.fetch", "https://api.example.com@evil.example/v1/items"),
        operation("tool.call", "search.web"),
        operation("tool.call", "search"),
        operation("model.use", "any/model"),
        operation("x-vendor.acme.print", "page"),
        operation("cost.budget", "USD"),
        operation("sudo", "rm"),
    ]);
    let grants = json!({ "fs.read": ["/data/**"], "net.fetch": ["https://api.example.com/v1/*"],
        "tool.call": ["search.*"], "x-vendor.acme.print": ["*"] });
    let input = json!({ "operations": operations });
    let mut job = client.submit("operate").input(&input).lease(lease(&grants)).await.unwrap();
    let told = outcomes(&mut job).await;
    let no = "PERMISSION_DENIED";
    assert_eq!(told, ["ok", no, no, "ok", no, "ok", no, "ok", "ok", no, no]);
    let result: Value = job.result().await.unwrap();
    assert_eq!(result["outcomes"], json!(told));
}

/// The flow of §13.5.
#[tokio::test]
async fn a_budget_ends_what_costs_money_and_the_client_sees_it_shrink() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let call = json!({ "capability": "tool.call", "target": "search", "cost": { "USD": 0.5 } });
    let input = json!({ "operations": [call, call, call] });
    let grants = json!({ "tool.call": ["*"], "cost.budget": ["USD:1.00"] });
    let mut job = client.submit("operate").input(&input).lease(lease(&grants)).await.unwrap();
    assert_eq!(job.budget().remaining("USD"), Some(amount("USD:1.00").amount));
    assert_eq!(outcomes(&mut job).await, ["ok", "ok", "BUDGET_EXHAUSTED"]);
    // The third cost was told all the same: what was spent was spent.
    assert_eq!(job.budget().remaining("USD").unwrap().to_string(), "-0.5");
}

/// The flow of §13.4.
#[tokio::test]
async fn an_expired_lease_is_told_to_the_agent_and_ends_the_job() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let call = json!({ "capability": "tool.call", "target": "search", "delay_ms": 1_200 });
    let input = json!({ "operations": [{ "capability": "tool.call", "target": "search" }, call] });
    let expires_at = Timestamp::from_millis(Timestamp::from(std::time::SystemTime::now()).as_millis() + 600);
    let submit = client.submit("operate").input(&input).lease(lease(&json!({ "tool.call": ["*"] })));
    let mut job = submit.expires_at(expires_at).await.unwrap();
    assert_eq!(outcomes(&mut job).await, ["ok", "LEASE_EXPIRED"]);
    let error = job.result_json().await.unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "LEASE_EXPIRED");
}

#[tokio::test]
async fn a_child_runs_in_the_same_session_and_its_result_is_its_parents() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let grants = json!({ "agent.delegate": ["whoami"], "tool.call": ["*"], "cost.budget": ["USD:5"] });
    let input = json!({ "agent": "whoami", "input": null,
        "lease_request": { "tool.call": ["search"], "cost.budget": ["USD:2"] } });
    let mut job = client.submit("delegate").input(&input).lease(lease(&grants)).await.unwrap();
    let result: Value = job.result().await.unwrap();
    let child = &job.children()[0];
    assert_eq!(result["child_job_id"], child.job_id.as_str());
    assert_eq!(
        (&result["final_status"], &result["result"]["parent_job_id"]),
        (&json!("success"), &json!(job.id()))
    );
    assert_eq!(result["result"]["lease"], json!({ "tool.call": ["search"], "cost.budget": ["USD:2"] }));
    assert_eq!(result["result"]["trace_id"], json!(job.accepted().trace_id));
    assert_eq!(job.budget().remaining("USD").unwrap().to_string(), "5", "what was left came back");
    let mut watched = client.subscribe(&child.job_id).with_history().await.unwrap();
    assert_eq!(watched.result::<Value>().await.unwrap(), result["result"]);

    for (request, code) in [
        (json!({ "tool.call": ["*"], "fs.read": ["/**"] }), "LEASE_SUBSET_VIOLATION"),
        (json!({ "cost.budget": ["USD:5.01"] }), "LEASE_SUBSET_VIOLATION"),
    ] {
        let input = json!({ "agent": "whoami", "input": null, "lease_request": request });
        let mut job = client.submit("delegate").input(&input).lease(lease(&grants)).await.unwrap();
        assert_eq!(outcomes(&mut job).await, [code]);
        assert_eq!(job.result::<Value>().await.unwrap(), json!({ "error": code }));
    }
    let input = json!({ "agent": "echo", "input": null });
    let mut job = client.submit("delegate").input(&input).lease(lease(&grants)).await.unwrap();
    assert_eq!(job.result::<Value>().await.unwrap(), json!({ "error": "PERMISSION_DENIED" }));
}

#[tokio::test]
async fn a_cancel_reaches_the_children_and_a_parent_that_does_not_wait_takes_them_with_it() {
    let host = Host::start().await;
    let client = host.client("alice").await;
    let grants = lease(&json!({ "agent.delegate": ["sleep"] }));
    let sleep = json!({ "agent": "sleep", "input": { "ms": 600_000 } });
    let mut job = client.submit("delegate").input(&sleep).lease(grants.clone()).await.unwrap();
    let event = job.next().await.unwrap();
    let Body::Delegate(delegate) = event.body else { panic!("{event}") };
    let child = job.child(delegate.delegate_id.as_ref().unwrap()).await.unwrap();
    let mut child = client.subscribe(&child.job_id).with_history().await.unwrap();
    assert!(matches!(child.next().await.unwrap().body, Body::Status(_)));
    job.cancel().await.unwrap();
    assert!(matches!(child.result_json().await, Err(JobError::Cancelled(_))));
    assert!(matches!(job.result_json().await, Err(JobError::Cancelled(_))));

    let mut left = sleep.clone();
    left["wait"] = json!(false);
    let mut job = client.submit("delegate").input(&left).lease(grants).await.unwrap();
    job.result_json().await.unwrap();
    let mut child = client.subscribe(&job.children()[0].job_id).await.unwrap();
    assert!(matches!(child.result_json().await, Err(JobError::Cancelled(_))));
}

/// What an agent does with `?` is what the client sees.
#[tokio::test]
async fn the_code_of_a_denial_survives_to_the_wire() {
    #[derive(Debug, thiserror::Error)]
    #[error("research failed")]
    struct Research(#[source] OperationError);

    let tool = agent_fn(async |ctx: JobContext, wrapped: bool| {
        let never = async { Err::<(), _>(AgentError::new("RAN", "a tool that is denied is not run")) };
        let denied = ctx.call_tool("delete", &json!({ "all": true }), never).await;
        assert!(matches!(&denied, Err(error) if error.denied().is_some()));
        if wrapped { Ok(denied.map_err(Research)?) } else { Ok(denied?) }
    });
    let useful = agent_fn(async |ctx: JobContext, (): ()| {
        ctx.use_model("fast/one").await?;
        let search = async { Ok::<_, AgentError>(vec!["a", "b"]) };
        let found = ctx.call_tool("search", &json!({ "q": "rust" }), search).await?;
        let failed = async { Err::<(), _>(AgentError::new("QUOTA", "no more")) };
        let failed = ctx.call_tool("search", &json!({}), failed).await.unwrap_err();
        let set_aside = ctx.reserve(&"USD".parse()?, "0.4".parse()?)?;
        set_aside.commit("inference", "0.3".parse()?).await?;
        ctx.charge("search", "USD", "0.2".parse()?).await?;
        Ok((found.len(), failed.payload().code, ctx.budget()))
    });
    let tokens = StaticTokens::new().token(token("alice"), "alice");
    let runtime = Runtime::builder().authenticator(tokens);
    let runtime = runtime.agent("tool@1.0.0", tool).agent("useful@1.0.0", useful).build().unwrap();
    let client = crate::support::memory_client(&runtime, "alice").await;
    for wrapped in [false, true] {
        let mut job = client.submit("tool").input(&wrapped).await.unwrap();
        assert_eq!(outcomes(&mut job).await, ["PERMISSION_DENIED"]);
        let error = job.result_json().await.unwrap_err();
        assert_eq!(error.code().unwrap().as_str(), "PERMISSION_DENIED", "wrapped: {wrapped}");
        assert_eq!(
            error.payload().unwrap().details.as_ref().unwrap().decode::<Value>().unwrap()["target"],
            "delete"
        );
    }
    let grants = json!({ "tool.call": ["*"], "model.use": ["fast/*"], "cost.budget": ["USD:1"] });
    let mut job = client.submit("useful").lease(lease(&grants)).await.unwrap();
    assert_eq!(outcomes(&mut job).await, ["ok", "ok", "QUOTA"]);
    let result: Value = job.result().await.unwrap();
    assert_eq!(result, json!([2, "QUOTA", { "USD": 0.5 }]));
}

#[tokio::test]
async fn what_an_agent_leaves_behind_may_do_nothing_once_its_job_has_ended() {
    let (sender, mut left) = tokio::sync::mpsc::channel(1);
    let leaves = agent_fn(move |ctx: JobContext, (): ()| {
        let sender = sender.clone();
        async move {
            drop(sender.send(ctx.clone()).await);
            Ok::<_, AgentError>(())
        }
    });
    let tokens = StaticTokens::new().token(token("alice"), "alice");
    let runtime = Runtime::builder().authenticator(tokens).agent("leaves@1.0.0", leaves).build().unwrap();
    let client = crate::support::memory_client(&runtime, "alice").await;
    let grants =
        json!({ "tool.call": ["*"], "fs.read": ["/**"], "agent.delegate": ["*"], "cost.budget": ["USD:1"] });
    client.submit("leaves").lease(lease(&grants)).await.unwrap().result_json().await.unwrap();
    let ctx = left.recv().await.unwrap();
    let code = |denied: arcp_runtime::Denied| denied.code().to_string();
    assert_eq!(ctx.authorize("tool.call", "x").map_err(code), Err("CANCELLED".to_owned()));
    assert_eq!(ctx.authorize("fs.read", "/etc/hostname").map_err(code), Err("CANCELLED".to_owned()));
    assert!(ctx.reserve(&"USD".parse().unwrap(), "1".parse().unwrap()).is_err());
    assert!(ctx.call_tool("x", &1, async { Ok::<_, AgentError>(1) }).await.is_err());
    assert!(ctx.charge("a", "USD", "1".parse().unwrap()).await.is_err());
    assert!(ctx.delegate("leaves").await.is_err());
}

#[tokio::test]
async fn the_code_in_which_a_child_ended_survives_and_nobody_speaks_for_the_runtime() {
    let fails = agent_fn(async |_: JobContext, (): ()| Err::<(), _>(AgentError::new("QUOTA", "no more")));
    let asks = agent_fn(async |ctx: JobContext, (): ()| {
        let mut child = ctx.delegate("fails").await?;
        Ok(child.result::<Value>().await?)
    });
    let forges = agent_fn(async |ctx: JobContext, (): ()| {
        let status = arcp_runtime::proto::event::EventKind::Status;
        let forged = json!({ "phase": "credential_rotated", "id": "cred_1" });
        let refused = ctx.emit(status.clone(), &forged).await;
        let secret = json!({ "phase": "working", "id": "cred_1", "value": "v" });
        Ok::<_, AgentError>((refused.is_err(), ctx.emit(status, &secret).await.is_err()))
    });
    let tokens = StaticTokens::new().token(token("alice"), "alice");
    let builder = Runtime::builder().authenticator(tokens).agent("fails@1.0.0", fails);
    let runtime = builder.agent("asks@1.0.0", asks).agent("forges@1.0.0", forges).build().unwrap();
    let client = crate::support::memory_client(&runtime, "alice").await;
    let grants = lease(&json!({ "agent.delegate": ["*"] }));
    let error = client.submit("asks").lease(grants).await.unwrap().result_json().await.unwrap_err();
    assert_eq!(error.code().unwrap().as_str(), "QUOTA");
    let forged: (bool, bool) = client.submit("forges").await.unwrap().result().await.unwrap();
    assert_eq!(forged, (true, true));
}
