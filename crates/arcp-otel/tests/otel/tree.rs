//! One trace, from the client's span to the tool of the last job that it leads to.

use arcp_client::proto::{Lease, TraceContext};
use arcp_runtime::{AgentError, JobContext, Runtime, agent_fn};
use arcp_transport_ws::{WsConnector, WsListener};
use opentelemetry::Key;
use opentelemetry::trace::{SpanKind, Status, Tracer, TracerProvider};
use opentelemetry_sdk::trace::Sampler;
use serde_json::Value;

use crate::support::{Traced, attribute, connect, is_child, is_root, web};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Delegates to `child`, that to `grandchild`, and that asks the web.
fn family(traced: &Traced) -> Runtime {
    let parent = agent_fn(async |ctx: JobContext, url: String| {
        let lease = ctx.lease().clone();
        let mut child = ctx.delegate("child").input(&url).lease(lease).await?;
        child.result::<Value>().await.map_err(|error| AgentError::new("X_CHILD", error.to_string()))
    });
    let child = agent_fn(async |ctx: JobContext, url: String| {
        let lease = ctx.lease().clone();
        let mut child = ctx.delegate("grandchild").input(&url).lease(lease).await?;
        child.result::<Value>().await.map_err(|error| AgentError::new("X_CHILD", error.to_string()))
    });
    let tracer = traced.provider.tracer("agent");
    let grandchild = agent_fn(move |ctx: JobContext, url: String| {
        let tracer = tracer.clone();
        async move {
            drop(tracer.start("the agent's own"));
            ctx.http().get(url).await?;
            let inner = tracer.clone();
            let tool = async move {
                tokio::task::yield_now().await;
                drop(inner.start("the tool's own"));
                Ok::<_, AgentError>(7)
            };
            Ok::<_, AgentError>(ctx.call_tool("think", &(), tool).await?)
        }
    });
    let builder = traced.builder().agent("parent@1.0.0", parent);
    builder.agent("child@1.0.0", child).agent("grandchild@1.0.0", grandchild).build().unwrap()
}

fn lease(base: &str) -> Lease {
    Lease::empty()
        .grant("agent.delegate", "*")
        .grant("net.fetch", format!("{base}/**"))
        .grant("tool.call", "think")
        .grant("cost.budget", "USD:5.00")
}

#[tokio::test]
async fn a_submit_and_all_that_it_leads_to_are_one_tree() {
    let traced = Traced::new();
    let runtime = family(&traced);
    let (base, mut heads) = web().await;
    let client = connect(&runtime).trace(arcp_otel::current).await.unwrap();
    let url = format!("{base}/x?key=1");
    let result: Value = traced
        .in_span("the client's own", async {
            let submit = client.submit("parent").input(&url).lease(lease(&base));
            submit.await.unwrap().result().await.unwrap()
        })
        .await;
    assert_eq!(result, 7);
    let session_id = client.opened().session_id.clone().unwrap().to_string();
    client.close().await;
    runtime.shutdown().await;

    let root = traced.span("the client's own");
    is_root(&root);
    let names = ["invoke_agent parent", "invoke_agent child", "invoke_agent grandchild"];
    let jobs = names.map(|name| traced.span(name));
    is_child(&jobs[0], &root);
    is_child(&jobs[1], &jobs[0]);
    is_child(&jobs[2], &jobs[1]);
    let [fetch, think] = ["execute_tool net.fetch", "execute_tool think"].map(|name| traced.span(name));
    is_child(&fetch, &jobs[2]);
    is_child(&think, &jobs[2]);
    is_child(&traced.span("the agent's own"), &jobs[2]);
    is_child(&traced.span("the tool's own"), &think);

    let head = heads.recv().await.unwrap();
    let (trace_id, span_id) = (fetch.span_context.trace_id(), fetch.span_context.span_id());
    assert!(head.contains(&format!("traceparent: 00-{trace_id}-{span_id}-01")), "{head:?}");

    assert!(jobs[0].parent_span_is_remote && !jobs[1].parent_span_is_remote);
    let kinds = jobs.each_ref().map(|job| job.span_kind.clone());
    assert_eq!(kinds, [SpanKind::Server, SpanKind::Internal, SpanKind::Internal]);
    let session = traced.span("arcp.session");
    is_root(&session);
    assert_eq!(attribute(&session, "arcp.session_id").as_deref(), Some(session_id.as_str()));
    let of = |key| attribute(&jobs[0], key);
    assert_eq!(of("gen_ai.operation.name").as_deref(), Some("invoke_agent"));
    assert_eq!(of("gen_ai.agent.name").as_deref(), Some("parent"));
    assert_eq!(of("arcp.agent").as_deref(), Some("parent@1.0.0"));
    assert_eq!(of("arcp.session_id").as_deref(), Some(session_id.as_str()));
    assert!(of("arcp.job_id").unwrap().starts_with("job_"));
    let capabilities = r#"["agent.delegate","cost.budget","net.fetch","tool.call"]"#;
    assert_eq!(of("arcp.lease.capabilities").as_deref(), Some(capabilities));
    assert_eq!(of("arcp.budget.remaining").as_deref(), Some(r#"["USD:5.00"]"#));
    assert_eq!(of("arcp.final_status").as_deref(), Some("success"));
    assert_eq!(attribute(&think, "gen_ai.operation.name").as_deref(), Some("execute_tool"));
    assert_eq!(attribute(&think, "gen_ai.tool.name").as_deref(), Some("think"));
    for job in &jobs {
        let linked: Vec<_> = job.links.iter().map(|link| link.span_context.span_id()).collect();
        assert_eq!(linked, [session.span_context.span_id()]);
    }
    let said = |job: &opentelemetry_sdk::trace::SpanData| -> Vec<String> {
        let kind = Key::from_static_str("arcp.event.kind");
        let kinds = job.events.iter().flat_map(|event| event.attributes.iter().filter(|one| one.key == kind));
        kinds.map(|kind| kind.value.to_string()).collect()
    };
    assert_eq!(said(&jobs[2]), ["tool_call", "tool_result", "tool_call", "tool_result"]);
    assert_eq!(said(&jobs[0])[0], "delegate");
}

#[tokio::test]
async fn refusals_and_failures_are_told_by_their_codes() {
    let traced = Traced::new();
    let fail = agent_fn(async |ctx: JobContext, (): ()| {
        let tool = async { Ok::<_, AgentError>(()) };
        let denied = ctx.call_tool("forbidden", &(), tool).await.unwrap_err();
        assert!(denied.denied().is_some());
        Err::<(), _>(AgentError::new("X_FAILED", "secret reasons"))
    });
    let wait = agent_fn(async |ctx: JobContext, (): ()| {
        ctx.stopped().await;
        Ok::<_, AgentError>(())
    });
    let runtime = traced.builder().agent("fail@1.0.0", fail).agent("wait@1.0.0", wait).build().unwrap();
    let client = connect(&runtime).await.unwrap();
    client.submit("fail").await.unwrap().result::<()>().await.unwrap_err();
    let mut cancelled = client.submit("wait").await.unwrap();
    cancelled.cancel().await.unwrap();
    cancelled.result::<()>().await.unwrap_err();

    let tool = traced.span("execute_tool forbidden");
    assert_eq!(tool.status, Status::error("PERMISSION_DENIED"));
    assert_eq!(attribute(&tool, "error.type").as_deref(), Some("PERMISSION_DENIED"));
    let job = traced.span("invoke_agent fail");
    is_child(&tool, &job);
    is_root(&job);
    assert_eq!(job.status, Status::error("X_FAILED"));
    assert_eq!(attribute(&job, "arcp.final_status").as_deref(), Some("error"));
    let job = traced.span("invoke_agent wait");
    assert_eq!(job.status, Status::Unset);
    assert_eq!(attribute(&job, "error.type").as_deref(), Some("CANCELLED"));
    assert_eq!(attribute(&job, "arcp.final_status").as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn what_is_not_recorded_is_passed_on_all_the_same() {
    let traced = Traced::sampled(Sampler::ParentBased(Box::new(Sampler::AlwaysOff)));
    let runtime = family(&traced);
    let (base, mut heads) = web().await;
    let client = connect(&runtime).await.unwrap();
    let mut job = client.submit("parent").input(&format!("{base}/x")).lease(lease(&base)).await.unwrap();
    let trace_id = job.accepted().trace_id.unwrap();
    assert_eq!(job.result::<Value>().await.unwrap(), 7);
    let head = heads.recv().await.unwrap();
    let parent = head.iter().find_map(|line| line.strip_prefix("traceparent: ")).unwrap();
    let parent: TraceContext = parent.parse().unwrap();
    assert_eq!((parent.trace_id, parent.sampled), (trace_id, false));

    // A submitter that records has its jobs recorded.
    let context = TraceContext::new(PARENT, Some("a=b".to_owned())).unwrap();
    let submit = client.submit("parent").input(&format!("{base}/x")).lease(lease(&base)).trace(context);
    job = submit.await.unwrap();
    assert_eq!(job.result::<Value>().await.unwrap(), 7);
    let head = heads.recv().await.unwrap();
    assert!(head.contains(&"tracestate: a=b".to_owned()), "{head:?}");
    let job = traced.span("invoke_agent parent");
    assert_eq!(job.span_context.trace_id().to_string(), TRACE);
    assert_eq!(job.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert!(traced.spans().iter().all(|span| span.span_context.trace_id().to_string() == TRACE));
}

#[tokio::test]
async fn without_a_tracer_the_context_of_the_submit_is_passed_on() {
    let traced = Traced::new();
    let fetch = agent_fn(async |ctx: JobContext, url: String| {
        let response = ctx.http().get(url.as_str()).header("tracestate", "mine=1").await?;
        Ok::<_, AgentError>(response.status().as_u16())
    });
    let own = agent_fn(async |ctx: JobContext, url: String| {
        let response = ctx.http().get(url.as_str()).header("traceparent", "my-own").await?;
        Ok::<_, AgentError>(response.status().as_u16())
    });
    let tokens = arcp_runtime::StaticTokens::new().token("token-canary", "alice");
    let builder = Runtime::builder().authenticator(tokens).agent("fetch@1.0.0", fetch);
    let runtime = builder.agent("own@1.0.0", own).build().unwrap();
    let (base, mut heads) = web().await;
    let client = connect(&runtime).await.unwrap();
    let url = format!("{base}/x");
    let context = TraceContext::new(PARENT, None).unwrap();
    let submit = |agent| client.submit(agent).input(&url).lease(lease(&base));
    assert_eq!(submit("fetch").trace(context.clone()).await.unwrap().result::<u16>().await.unwrap(), 200);
    let head = heads.recv().await.unwrap();
    assert!(head.contains(&format!("traceparent: {PARENT}")), "{head:?}");
    assert!(
        !head.iter().any(|line| line.starts_with("tracestate")),
        "the agent's state is not that parent's"
    );
    assert_eq!(submit("own").trace(context).await.unwrap().result::<u16>().await.unwrap(), 200);
    assert!(heads.recv().await.unwrap().contains(&"traceparent: my-own".to_owned()));
    assert_eq!(submit("fetch").await.unwrap().result::<u16>().await.unwrap(), 200);
    assert!(!heads.recv().await.unwrap().iter().any(|line| line.starts_with("traceparent")));
    assert!(traced.spans().is_empty());
}

/// A runtime that has its port to itself reads the headers too.
#[tokio::test]
async fn a_session_is_in_the_trace_of_the_request_that_a_listener_took() {
    let traced = Traced::new();
    let runtime = traced.builder().build().unwrap();
    let listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap();
    let url = format!("ws://{}", listener.local_addr());
    let serving = tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });
    let connector = WsConnector::new(&url).unwrap();
    let connector = connector.with_header("traceparent".parse().unwrap(), PARENT.parse().unwrap());
    arcp_client::Client::connect(connector, "token-canary").await.unwrap().close().await;
    runtime.shutdown().await;
    serving.await.unwrap().unwrap();
    let session = traced.span("arcp.session");
    assert_eq!(session.span_context.trace_id().to_string(), TRACE);
    assert_eq!(session.parent_span_id.to_string(), PARENT[36..52]);
}
