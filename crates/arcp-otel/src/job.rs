//! The span of a job, and those of the tools that it calls, by the semantic conventions for generative AI. Nothing of what a job is
//! given, says or comes to is in them: names, ids, kinds and codes are.

use std::sync::{Mutex, MutexGuard, PoisonError};

use arcp_core::runtime::{JobSpan, TracedEnd, TracedJob};
use arcp_proto::event::{EventKind, ToolCall, ToolOutcome, ToolResult};
use arcp_proto::job::FinalStatus;
use arcp_proto::{CallId, TraceContext};
use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};

use crate::context::of;

/// Calls of tools of one job that may be without an answer; of further ones the oldest is given up.
const OPEN_CALLS: usize = 256;

/// The longest word that is taken from what agents and clients say, in bytes.
const LONGEST_WORD: usize = 128;

const OPERATION: &str = "gen_ai.operation.name";
const ERROR: &str = "error.type";

pub(crate) struct Job<T> {
    tracer: T,
    cx: Context,
    context: TraceContext,
    recording: bool,
    /// Tools that have not answered.
    calls: Mutex<Vec<(CallId, Context)>>,
}

impl<T: Tracer> Job<T>
where
    T::Span: Send + Sync + 'static,
{
    /// `None` if the provider of the tracer does not trace at all, and has no ids for its spans.
    pub(crate) fn new(tracer: T, mut span: T::Span, job: &TracedJob<'_>) -> Option<Self> {
        let recording = span.is_recording();
        if recording {
            span.set_attributes(attributes(job));
        }
        let context = of(span.span_context())?;
        let calls = Mutex::default();
        Some(Self { tracer, cx: Context::new().with_span(span), context, recording, calls })
    }

    fn calls(&self) -> MutexGuard<'_, Vec<(CallId, Context)>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, call_id: &CallId) -> Option<Context> {
        self.calls().iter().find(|(id, _)| id == call_id).map(|(_, cx)| cx.clone())
    }
}

fn attributes(job: &TracedJob<'_>) -> Vec<KeyValue> {
    let capabilities: Vec<StringValue> =
        job.lease.iter().map(|(capability, _)| word(capability).into()).collect();
    let mut attributes = vec![
        KeyValue::new(OPERATION, "invoke_agent"),
        KeyValue::new("gen_ai.provider.name", "arcp"),
        KeyValue::new("gen_ai.agent.name", job.agent.name.to_string()),
        KeyValue::new("arcp.agent", job.agent.to_string()),
        KeyValue::new("arcp.session_id", job.session_id.to_string()),
        KeyValue::new("arcp.job_id", job.job_id.to_string()),
        KeyValue::new("arcp.lease.capabilities", Value::Array(Array::String(capabilities))),
    ];
    if let Some(expires_at) = job.lease_constraints.expires_at {
        attributes.push(KeyValue::new("arcp.lease.expires_at", expires_at.to_string()));
    }
    attributes
}

/// What somebody else has chosen, no longer than it has to be.
fn word(text: &str) -> String {
    text.chars()
        .scan(0, |bytes, next| {
            *bytes += next.len_utf8();
            (*bytes <= LONGEST_WORD).then_some(next)
        })
        .collect()
}

impl<T> JobSpan for Job<T>
where
    T: Tracer + Send + Sync + 'static,
    T::Span: Send + Sync + 'static,
{
    fn context(&self) -> TraceContext {
        self.context.clone()
    }

    fn is_recording(&self) -> bool {
        self.recording
    }

    fn event(&self, kind: &EventKind, index: u64) {
        let index = i64::try_from(index).unwrap_or(i64::MAX);
        let attributes = vec![
            KeyValue::new("arcp.event.kind", word(kind.as_str())),
            KeyValue::new("arcp.event.index", index),
        ];
        self.cx.span().add_event("arcp.event", attributes);
    }

    fn tool_call(&self, call: &ToolCall) {
        let tool = word(&call.tool);
        let builder = SpanBuilder::from_name(format!("execute_tool {tool}")).with_kind(SpanKind::Internal);
        let mut span = self.tracer.build_with_context(builder, &self.cx);
        span.set_attributes([
            KeyValue::new(OPERATION, "execute_tool"),
            KeyValue::new("gen_ai.tool.name", tool),
            KeyValue::new("gen_ai.tool.call.id", word(call.call_id.as_str())),
        ]);
        let mut calls = self.calls();
        if calls.len() >= OPEN_CALLS {
            calls.remove(0);
        }
        calls.push((call.call_id.clone(), Context::new().with_span(span)));
    }

    fn tool_result(&self, result: &ToolResult) {
        let mut calls = self.calls();
        let Some(place) = calls.iter().position(|(id, _)| *id == result.call_id) else { return };
        let (_, cx) = calls.remove(place);
        drop(calls);
        let span = cx.span();
        if let ToolOutcome::Error(error) = &result.outcome {
            let code = word(error.code.as_str());
            span.set_attribute(KeyValue::new(ERROR, code.clone()));
            span.set_status(Status::error(code));
        }
        span.end();
    }

    fn tool_context(&self, call_id: &CallId) -> TraceContext {
        let call = self.call(call_id);
        call.and_then(|cx| of(cx.span().span_context())).unwrap_or_else(|| self.context())
    }

    fn within(&self, call_id: Option<&CallId>, run: &mut dyn FnMut()) {
        let cx = call_id.filter(|_| self.recording).and_then(|call_id| self.call(call_id));
        let _current = cx.unwrap_or_else(|| self.cx.clone()).attach();
        run();
    }

    fn end(&self, end: &TracedEnd<'_>) {
        let span = self.cx.span();
        span.set_attribute(KeyValue::new("arcp.final_status", word(end.status.as_str())));
        if !end.remaining.is_empty() {
            let remaining =
                end.remaining.iter().map(|(currency, amount)| format!("{currency}:{amount}").into());
            let remaining = Value::Array(Array::String(remaining.collect()));
            span.set_attribute(KeyValue::new("arcp.budget.remaining", remaining));
        }
        if let Some(code) = end.code {
            let code = word(code.as_str());
            span.set_attribute(KeyValue::new(ERROR, code.clone()));
            // That a client has changed its mind is no fault.
            if *end.status != FinalStatus::Cancelled {
                span.set_status(Status::error(code));
            }
        }
        // Tools that have not answered never will.
        for (_, cx) in self.calls().drain(..) {
            cx.span().end();
        }
        span.end();
    }
}

impl<T> Drop for Job<T> {
    /// Of a job that has never been.
    fn drop(&mut self) {
        self.cx.span().end();
    }
}
