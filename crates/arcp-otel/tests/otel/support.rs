//! A runtime that is traced, a client of it over memory, and the spans that came of it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use arcp_client::{Client, Connect};
use arcp_otel::{RuntimeTracer, TraceIds};
use arcp_runtime::{Authenticated, Runtime, RuntimeBuilder, StaticTokens};
use arcp_transport::memory;
use opentelemetry::trace::{SpanId, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, Value};
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// Where spans go.
pub(crate) struct Traced {
    pub(crate) provider: SdkTracerProvider,
    exporter: InMemorySpanExporter,
}

impl Traced {
    pub(crate) fn new() -> Self {
        Self::sampled(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)))
    }

    pub(crate) fn sampled(sampler: Sampler) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_id_generator(TraceIds::default())
            .with_sampler(sampler)
            .with_simple_exporter(exporter.clone())
            .build();
        Self { provider, exporter }
    }

    pub(crate) fn builder(&self) -> RuntimeBuilder<Authenticated> {
        let tokens = StaticTokens::new().token("token-canary", "alice");
        Runtime::builder().authenticator(tokens).tracer(RuntimeTracer::new(&self.provider))
    }

    /// The spans that have ended.
    pub(crate) fn spans(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    /// The one span of this name that has ended.
    #[track_caller]
    pub(crate) fn span(&self, name: &str) -> SpanData {
        let mut spans = self.spans();
        spans.retain(|span| span.name == name);
        assert_eq!(spans.len(), 1, "{name}: {:?}", self.spans());
        spans.remove(0)
    }

    /// Does something in a span of a client's own.
    pub(crate) async fn in_span<F: Future>(&self, name: &'static str, future: F) -> F::Output {
        let span = self.provider.tracer("client").start(name);
        let cx = Context::new().with_span(span);
        let output = Current(cx.clone(), Box::pin(future)).await;
        cx.span().end();
        output
    }
}

/// Polls a future within a context.
struct Current<F>(Context, Pin<Box<F>>);

impl<F: Future> Future for Current<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let _current = self.0.clone().attach();
        self.1.as_mut().poll(task)
    }
}

/// A client of a runtime, about to be connected.
pub(crate) fn connect(runtime: &Runtime) -> Connect {
    let (connector, listener) = memory::listener();
    let runtime = runtime.clone();
    tokio::spawn(async move { runtime.serve_all(listener).await });
    Client::connect(connector, "token-canary")
}

/// The value of an attribute, as text.
pub(crate) fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let mut found = span.attributes.iter().filter(|attribute| attribute.key.as_str() == key);
    let value = found.next().map(|attribute| text(&attribute.value));
    assert!(found.next().is_none(), "{key} is told twice");
    value
}

fn text(value: &Value) -> String {
    value.to_string()
}

#[track_caller]
pub(crate) fn is_child(child: &SpanData, parent: &SpanData) {
    assert_eq!(child.parent_span_id, parent.span_context.span_id(), "{} of {}", child.name, parent.name);
    assert_eq!(child.span_context.trace_id(), parent.span_context.trace_id());
    assert!(child.start_time >= parent.start_time && child.end_time >= child.start_time);
}

pub(crate) fn is_root(span: &SpanData) {
    assert_eq!(span.parent_span_id, SpanId::INVALID, "{}", span.name);
}

/// A server that answers one request after another with 200, and tells the heads of what it was asked.
pub(crate) async fn web() -> (String, tokio::sync::mpsc::UnboundedReceiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (told, heads) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut tcp = BufReader::new(tcp);
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if tcp.read_line(&mut line).await.unwrap() == 0 || line.trim().is_empty() {
                    break;
                }
                head.push(line.trim().to_owned());
            }
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await
                .unwrap();
            let _ = told.send(head);
        }
    });
    (base, heads)
}
