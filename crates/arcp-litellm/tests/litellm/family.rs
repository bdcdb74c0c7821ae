//! Jobs of a runtime that delegate to each other: what their keys together are good for.

use arcp_client::Client;
use arcp_client::proto::{Currency, Lease};
use arcp_litellm::{LiteLlm, MasterKey};
use arcp_runtime::credentials::MemoryLedger;
use arcp_runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp_transport::memory;
use serde_json::json;

use crate::MASTER;
use crate::proxy::Proxy;

/// Agents that tell of nothing that they spend.
fn runtime(proxy: &Proxy) -> Runtime {
    let upstream = proxy.clone();
    let spends = agent_fn(move |ctx: JobContext, amount: f64| {
        let upstream = upstream.clone();
        async move {
            let key = &upstream.keys_of(ctx.job_id().as_str())[0];
            let most = key["max_budget"].as_f64().unwrap();
            upstream.spend(key["key_alias"].as_str().unwrap(), amount.min(most));
            Ok::<_, AgentError>(key["max_budget"].clone())
        }
    });
    // Has one child after the other spend, with the share that it is given.
    let delegates = agent_fn(async |ctx: JobContext, (shares, spent): (Vec<String>, f64)| {
        let usd: Currency = "USD".parse()?;
        let mut limits = Vec::new();
        for share in shares {
            match ctx.delegate("spends").input(&spent).budget_share(&usd, share.parse()?).await {
                Ok(mut child) => limits.push(child.result().await?),
                Err(error) => limits.push(json!(error.payload().code)),
            }
            ctx.rotate_credential(&ctx.credentials()[0].id).await?;
        }
        Ok::<_, AgentError>(limits)
    });
    let gateway = LiteLlm::new(&proxy.url(), MasterKey::new(MASTER)).unwrap();
    Runtime::builder()
        .authenticator(StaticTokens::new().token("t", "alice"))
        .credentials(gateway, MemoryLedger::dangerous())
        .agent("spends@1", spends)
        .agent("delegates@1", delegates)
        .build()
        .unwrap()
}

#[tokio::test]
async fn the_keys_of_a_family_are_good_for_its_lease_and_no_more() {
    let proxy = Proxy::start(MASTER).await;
    let runtime = runtime(&proxy);
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });
    let client = Client::connect(connector, "t").await.unwrap();
    let lease = Lease::empty().grant("cost.budget", "USD:5.00").grant("agent.delegate", "*");
    let input = (["3.00", "2.00", "4.00", "1.25"], 1.75);
    let mut job = client.submit("delegates").input(&input).lease(lease).await.unwrap();
    let limits: Vec<serde_json::Value> = job.result().await.unwrap();
    assert_eq!(limits, [json!(3.0), json!(2.0), json!("BUDGET_EXHAUSTED"), json!(1.25)]);
    while runtime.outstanding_credentials() != Default::default() {
        tokio::task::yield_now().await;
    }
    assert_eq!(proxy.most(), 5.0);
}
