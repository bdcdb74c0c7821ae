//! Trace contexts, between what the protocol carries and what OpenTelemetry has, and as headers.

use std::str::FromStr;

use arcp_proto::TraceContext;
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};

/// What is to be told of the span that is current in this thread, for `Submit::trace` and `Connect::trace` of `arcp-client`; `None` if
/// there is none.
pub fn current() -> Option<TraceContext> {
    Context::map_current(|cx| of(cx.span().span_context()))
}

/// What is to be told of the span of an OpenTelemetry context; `None` if there is none.
pub fn trace_context(cx: &Context) -> Option<TraceContext> {
    of(cx.span().span_context())
}

/// An OpenTelemetry context in which spans continue a trace that came from elsewhere, as an agent has it in
/// `JobContext::trace_context`, say.
pub fn remote(context: &TraceContext) -> Context {
    Context::new().with_remote_span_context(span_context(context, true))
}

/// The headers of W3C Trace Context for the span that is current in this thread: for the request that opens a connection,
/// by `WsConnector::with_header`. Empty if there is none.
pub fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let Some(context) = current() else { return headers };
    let state = context.tracestate.as_deref().and_then(|state| HeaderValue::from_str(state).ok());
    let parent = HeaderValue::from_str(&context.to_string()).ok();
    let names = [HeaderName::from_static("traceparent"), HeaderName::from_static("tracestate")];
    headers.extend(names.into_iter().zip([parent, state]).filter_map(|(name, value)| Some((name, value?))));
    headers
}

pub(crate) fn of(span: &SpanContext) -> Option<TraceContext> {
    let trace_id = arcp_proto::TraceId::new(u128::from_be_bytes(span.trace_id().to_bytes()))?;
    let span_id = arcp_proto::SpanId::new(u64::from_be_bytes(span.span_id().to_bytes()))?;
    let state = span.trace_state().header();
    let tracestate = (!state.is_empty()).then_some(state);
    Some(TraceContext { trace_id, span_id, sampled: span.is_sampled(), tracestate })
}

pub(crate) fn span_context(context: &TraceContext, is_remote: bool) -> SpanContext {
    let state = context.tracestate.as_deref().and_then(|state| TraceState::from_str(state).ok());
    SpanContext::new(
        trace_id(context.trace_id),
        SpanId::from_bytes(context.span_id.value().to_be_bytes()),
        TraceFlags::default().with_sampled(context.sampled),
        is_remote,
        state.unwrap_or_default(),
    )
}

pub(crate) fn trace_id(id: arcp_proto::TraceId) -> TraceId {
    TraceId::from_bytes(id.value().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_survives_both_ways_with_its_state() {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::new(parent, Some("a=b,c=d".to_owned())).unwrap();
        assert_eq!(trace_context(&remote(&context)), Some(context.clone()));
        let _guard = remote(&context).attach();
        assert_eq!(current(), Some(context));
        let headers = headers();
        assert_eq!(headers["traceparent"], parent);
        assert_eq!(headers["tracestate"], "a=b,c=d");
    }

    #[test]
    fn nothing_is_told_where_there_is_no_span() {
        assert_eq!((current(), headers().len()), (None, 0));
    }
}
