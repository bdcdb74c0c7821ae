//! One trace of OpenTelemetry, from the span in which a client submits to the tool of a job that its job delegates. Client and runtime are
//! in one process here; over a network it is the same. `Otlp` of `arcp-otel` sends spans to a collector in place of what prints them.
//!
//! ```sh
//! cargo run --example opentelemetry
//! ```
#![allow(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::sync::{Arc, Mutex, PoisonError};

use arcp::Client;
use arcp::otel::{RuntimeMetrics, RuntimeTracer, TraceIds, trace_context};
use arcp::proto::Lease;
use arcp::runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
use arcp::transport::memory;
use opentelemetry::Context;
use opentelemetry::trace::{SpanId, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(TraceIds::default())
        .with_batch_exporter(kept.clone())
        .build();

    let planner = agent_fn(async |ctx: JobContext, wishes: Vec<String>| {
        let lease = Lease::empty().grant("tool.call", "weigh");
        let mut child = ctx.delegate("shopper").input(&wishes).lease(lease).await?;
        Ok::<_, AgentError>(child.result::<usize>().await?)
    });
    let shopper = agent_fn(async |ctx: JobContext, wishes: Vec<String>| {
        let weight = async { Ok::<_, AgentError>(wishes.len()) };
        Ok::<_, AgentError>(ctx.call_tool("weigh", &wishes, weight).await?)
    });
    let runtime = Runtime::builder()
        .authenticator(StaticTokens::new().token("s3cret", "alice"))
        .agent("planner@1.0.0", planner)
        .agent("shopper@1.0.0", shopper)
        .tracer(RuntimeTracer::new(&provider))
        .build()?;
    let measured = runtime.clone();
    let metrics = RuntimeMetrics::new(move || measured.tally());
    let (connector, listener) = memory::listener();
    tokio::spawn({
        let runtime = runtime.clone();
        async move { runtime.serve_all(listener).await }
    });

    // A span of the client's own. A program that has its spans current says `Connect::trace(arcp::otel::current)`, once and for all.
    let client = Client::connect(connector, "s3cret").await?;
    let span = Context::new().with_span(provider.tracer("client").start("plan a party"));
    let lease = Lease::empty().grant("agent.delegate", "shopper").grant("tool.call", "weigh");
    let submit = client.submit("planner").input(&["cake", "candles"]).lease(lease);
    submit.trace(trace_context(&span)).await?.result::<usize>().await?;
    span.span().end();
    client.close().await;
    runtime.shutdown().await;
    provider.shutdown()?; // what the batch still has is exported

    let mut spans = kept.take();
    spans.retain(|span| span.name != "arcp.session"); // a trace of its own, to which jobs are linked
    let trace_id = spans.first().map(|span| span.span_context.trace_id());
    println!("one trace: {}", spans.iter().all(|span| Some(span.span_context.trace_id()) == trace_id));
    print_below(SpanId::INVALID, 0, &spans);
    for line in metrics.prometheus().lines().filter(|line| line.starts_with("arcp_jobs_ended_total")) {
        if !line.ends_with(" 0") {
            println!("{line}");
        }
    }
    Ok(())
}

/// Prints the spans that are part of this one, and what is part of those.
fn print_below(parent: SpanId, depth: usize, spans: &[SpanData]) {
    for span in spans.iter().filter(|span| span.parent_span_id == parent) {
        let kind = match span.span_kind {
            SpanKind::Server => "server",
            SpanKind::Internal => "internal",
            _ => "other",
        };
        let status = span.attributes.iter().find(|attribute| attribute.key.as_str() == "arcp.final_status");
        let status = status.map(|attribute| format!(" {}", attribute.value)).unwrap_or_default();
        println!("{:indent$}{} ({kind}){status}", "", span.name, indent = 2 * depth);
        print_below(span.span_context.span_id(), depth + 1, spans);
    }
}

/// An exporter that keeps spans, to be printed.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl Kept {
    fn take(&self) -> Vec<SpanData> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(batch);
        Ok(())
    }
}
