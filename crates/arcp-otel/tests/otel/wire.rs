//! Trace contexts as they are on the wire, with a client made by hand.

use arcp_client::proto::TraceContext;
use arcp_runtime::{AgentError, JobContext, Runtime, Visitor, agent_fn};
use arcp_transport::memory::{self, MemoryTransport};
use arcp_transport::{Frame, Peer};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};

use crate::support::{Traced, is_root};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const EXTENSION: &str = "x-vendor.opentelemetry.tracecontext";

async fn says(link: &mut MemoryTransport, kind: &str, rest: Value) {
    let mut envelope = json!({ "arcp": "1.1", "id": kind, "type": kind });
    envelope.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    link.send(Frame::text(envelope.to_string())).await.unwrap();
}

/// The next message of this type.
async fn hears(link: &mut MemoryTransport, kind: &str) -> Value {
    loop {
        let Frame::Text(text) = link.next().await.unwrap().unwrap() else { panic!("no text before {kind}") };
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["type"] == kind {
            return message;
        }
    }
}

async fn greets(link: &mut MemoryTransport, resume: Option<&Value>) -> Value {
    let auth = json!({ "scheme": "bearer", "token": "token-canary" });
    let mut payload = json!({ "auth": auth, "capabilities": { "features": ["subscribe"] } });
    if let Some(welcome) = resume {
        payload["resume"] = json!({
            "session_id": welcome["session_id"],
            "resume_token": welcome["payload"]["resume_token"],
            "last_event_seq": 0,
        });
    }
    says(link, "session.hello", json!({ "payload": payload })).await;
    hears(link, "session.welcome").await
}

fn runtime(traced: &Traced) -> Runtime {
    let echo = agent_fn(async |ctx: JobContext, (): ()| {
        ctx.info("hi").await?;
        Ok::<_, AgentError>(ctx.trace_context().map(ToString::to_string))
    });
    traced.builder().agent("echo@1.0.0", echo).build().unwrap()
}

#[tokio::test]
async fn a_session_continues_the_trace_of_its_connection() {
    let traced = Traced::new();
    let runtime = runtime(&traced);
    let (mut link, theirs) = memory::pair(64);
    let context = TraceContext::new(PARENT, None).unwrap();
    tokio::spawn(runtime.serve(Box::pin(theirs), Visitor::new(Peer::LOCAL).within_trace(context)));
    let welcome = greets(&mut link, None).await;
    drop(link);
    let (mut link, theirs) = memory::pair(64);
    tokio::spawn(runtime.serve(Box::pin(theirs), Peer::LOCAL));
    greets(&mut link, Some(&welcome)).await;
    assert!(traced.spans().is_empty(), "it goes on");
    drop(link);
    runtime.shutdown().await;
    let session = traced.span("arcp.session");
    assert_eq!(session.parent_span_id.to_string(), "00f067aa0ba902b7");
    assert_eq!(session.span_context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    let told: Vec<_> = session.events.iter().map(|event| event.name.as_ref()).collect();
    assert!(told.contains(&"resumed"), "{told:?}");
}

#[tokio::test]
async fn a_job_says_where_it_stands_when_it_begins_and_when_it_ends() {
    let traced = Traced::new();
    let runtime = runtime(&traced);
    let (mut link, theirs) = memory::pair(64);
    tokio::spawn(runtime.serve(Box::pin(theirs), Peer::LOCAL));
    greets(&mut link, None).await;
    let cases = [
        // What is submitted with a whole context continues it.
        (json!({ "extensions": { EXTENSION: { "traceparent": PARENT } } }), Some(&PARENT[3..35]), true),
        // With the id of a trace alone it is the first span of that trace.
        (json!({ "trace_id": TRACE }), Some(TRACE), false),
        // With nothing it is the first of a trace of its own.
        (json!({}), None, false),
    ];
    let mut last = Value::Null;
    for (mut submit, expected, has_parent) in cases {
        submit["payload"] = json!({ "agent": "echo" });
        says(&mut link, "job.submit", submit).await;
        let accepted = hears(&mut link, "job.accepted").await;
        let event = hears(&mut link, "job.event").await;
        let result = hears(&mut link, "job.result").await;
        let parent = accepted["extensions"][EXTENSION]["traceparent"].as_str().unwrap().to_owned();
        let context: TraceContext = parent.parse().unwrap();
        let trace_id = context.trace_id.to_string();
        assert_eq!(accepted["trace_id"], trace_id.as_str());
        assert_eq!(accepted["payload"]["trace_id"], trace_id.as_str());
        assert!(expected.is_none_or(|expected| expected == trace_id), "{trace_id}");
        assert_eq!((&event["trace_id"], event.get("extensions")), (&json!(trace_id), None));
        assert_eq!(result["extensions"], accepted["extensions"]);
        assert_eq!(result["payload"]["result"], parent.as_str(), "the agent knows it too");
        let span = traced.spans().into_iter().next_back().unwrap();
        assert_eq!(span.span_context.trace_id().to_string(), trace_id);
        assert_eq!(format!("00-{trace_id}-{}-01", span.span_context.span_id()), parent);
        if has_parent {
            assert_eq!(span.parent_span_id.to_string(), "00f067aa0ba902b7");
        } else {
            is_root(&span);
        }
        last = accepted;
    }
    says(&mut link, "job.subscribe", json!({ "payload": { "job_id": last["job_id"] } })).await;
    let subscribed = hears(&mut link, "job.subscribed").await;
    assert_eq!(subscribed["extensions"][EXTENSION], last["extensions"][EXTENSION]);
}
