//! What must be in no span and in no metric: each is marked, and the mark is looked for.

use arcp_client::proto::Lease;
use arcp_otel::{RuntimeMetrics, RuntimeTracer};
use arcp_runtime::credentials::{
    CredentialOrder, CredentialProvisioner, Issued, MemoryLedger, Outstanding, ProvisionError,
};
use arcp_runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};

use crate::support::{Traced, attribute, connect};

struct Upstream;

impl CredentialProvisioner for Upstream {
    async fn issue(&self, _: &CredentialOrder) -> Result<Issued, ProvisionError> {
        Ok(Issued::bearer("credential-canary", "https://gateway.invalid/v1"))
    }

    async fn rotate(&self, _: &CredentialOrder) -> Result<Issued, ProvisionError> {
        Ok(Issued::bearer("rotated-canary", "https://gateway.invalid/v1"))
    }

    async fn revoke(&self, _: &Outstanding) -> Result<(), ProvisionError> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_that_is_said_or_held_is_told() {
    let traced = Traced::new();
    let talk = agent_fn(async |ctx: JobContext, input: String| {
        let credentials = ctx.credentials();
        assert_eq!((input.as_str(), credentials.len()), ("input-canary", 1));
        ctx.info("log-canary").await?;
        ctx.thought("thought-canary").await?;
        ctx.rotate_credential(&credentials[0].id).await.unwrap();
        let tool = async { Ok::<_, AgentError>("output-canary") };
        ctx.call_tool("known", &"arguments-canary", tool).await?;
        let tool = async { Err::<(), _>(AgentError::new("X_TOOL", "tool-error-canary")) };
        let _ = ctx.call_tool("known", &(), tool).await;
        let _ = ctx.authorize("fs.read", "/target-canary");
        Err::<(), _>(AgentError::new("X_FAILED", "error-canary"))
    });
    let result = agent_fn(async |_: JobContext, (): ()| Ok::<_, AgentError>("result-canary"));
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("token-canary", "principal-canary"))
        .tracer(RuntimeTracer::new(&traced.provider))
        .credentials(Upstream, MemoryLedger::dangerous())
        .agent("talk@1.0.0", talk)
        .agent("result@1.0.0", result)
        .build()
        .unwrap();
    let looked = runtime.clone();
    let metrics = RuntimeMetrics::new(move || looked.tally());
    let client = connect(&runtime).await.unwrap();
    let resume_token = format!("{:?}", client.resume_state().await.unwrap());
    assert!(resume_token.contains("redacted"), "{resume_token}");
    let lease = Lease::empty().grant("tool.call", "known").grant("fs.read", "/pattern-canary/**");
    let submit = client.submit("talk").input("input-canary").lease(lease).idempotency_key("key-canary");
    submit.await.unwrap().result::<()>().await.unwrap_err();
    let said: String = client.submit("result").await.unwrap().result().await.unwrap();
    assert_eq!(said, "result-canary");
    client.close().await;
    runtime.shutdown().await;

    let job = traced.span("invoke_agent talk");
    assert_eq!(attribute(&job, "error.type").as_deref(), Some("X_FAILED"));
    assert!(job.events.len() >= 6, "{:?}", job.events);
    assert_eq!(traced.spans().iter().filter(|span| span.name == "execute_tool known").count(), 2);
    let told = format!("{:?}\n{}", traced.spans(), metrics.prometheus());
    let shown = |place: usize| told[place.saturating_sub(120)..(place + 20).min(told.len())].to_owned();
    assert_eq!(told.find("canary").map(shown), None);
}
