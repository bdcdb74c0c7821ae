//! The tracer of a runtime: spans of its sessions and jobs. What is in those of jobs is in `job.rs`.

use arcp_core::runtime::{JobSpan, SessionSpan, TracedJob, TracedSession, Tracer};
use arcp_proto::TraceContext;
use opentelemetry::trace::{
    Link, Span, SpanBuilder, SpanKind, TraceContextExt, Tracer as OtelTracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};

use crate::context::{of, span_context, trace_id};
use crate::ids::first_of;
use crate::job::Job;

/// Makes spans of what a runtime does: give it to `RuntimeBuilder::tracer`.
#[derive(Debug)]
pub struct RuntimeTracer<T>(T);

impl<T> RuntimeTracer<T> {
    /// A tracer that makes its spans with a provider. What is sampled, and where spans go, is the provider's to say; it had
    /// best have [`TraceIds`](crate::TraceIds).
    pub fn new<P: TracerProvider<Tracer = T>>(provider: &P) -> Self {
        Self(provider.tracer_with_scope(scope()))
    }
}

/// What spans and metrics of this crate are told apart by.
pub(crate) fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("arcp").with_version(env!("CARGO_PKG_VERSION")).build()
}

impl<T> Tracer for RuntimeTracer<T>
where
    T: OtelTracer + Clone + Send + Sync + 'static,
    T::Span: Send + Sync + 'static,
{
    fn session(&self, session: &TracedSession<'_>) -> Option<Box<dyn SessionSpan>> {
        let parent = session.parent.map_or_else(Context::new, crate::remote);
        let builder = SpanBuilder::from_name("arcp.session").with_kind(SpanKind::Server);
        let mut span = self.0.build_with_context(builder, &parent);
        if span.is_recording() {
            span.set_attribute(KeyValue::new("arcp.session_id", session.session_id.to_string()));
        }
        let context = of(span.span_context())?;
        Some(Box::new(Session { cx: Context::new().with_span(span), context }))
    }

    fn job(&self, job: &TracedJob<'_>) -> Option<Box<dyn JobSpan>> {
        let kind = if job.delegated { SpanKind::Internal } else { SpanKind::Server };
        let mut builder = SpanBuilder::from_name(format!("invoke_agent {}", job.agent.name)).with_kind(kind);
        if let Some(session) = &job.session {
            builder = builder.with_links(vec![Link::with_context(span_context(session, false))]);
        }
        let span = match job.parent {
            Some(parent) => {
                let parent = span_context(parent, !job.delegated);
                self.0.build_with_context(builder, &Context::new().with_remote_span_context(parent))
            }
            None => first_of(trace_id(job.trace_id), || self.0.build_with_context(builder, &Context::new())),
        };
        Some(Box::new(Job::new(self.0.clone(), span, job)?))
    }
}

struct Session {
    cx: Context,
    context: TraceContext,
}

impl SessionSpan for Session {
    fn context(&self) -> TraceContext {
        self.context.clone()
    }

    fn event(&self, name: &'static str) {
        self.cx.span().add_event(name, Vec::new());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.cx.span().end();
    }
}
