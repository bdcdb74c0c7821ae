//! A future that runs as what belongs to a job's span, so that whatever is traced in it is part of the job's trace.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arcp_core::runtime::JobSpan;
use arcp_proto::CallId;

/// Polls a future within the span of a job, or within that of a tool that it calls. Without a span it is the future.
pub(crate) struct Within<F> {
    span: Option<Arc<dyn JobSpan>>,
    call_id: Option<CallId>,
    future: F,
}

impl<F: Future + Unpin> Within<F> {
    pub(crate) fn new(span: Option<Arc<dyn JobSpan>>, call_id: Option<CallId>, future: F) -> Self {
        Self { span, call_id, future }
    }
}

impl<F: Future + Unpin> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { span, call_id, future } = &mut *self;
        let Some(span) = span else { return Pin::new(future).poll(cx) };
        let mut polled = Poll::Pending;
        span.within(call_id.as_ref(), &mut || polled = Pin::new(&mut *future).poll(cx));
        polled
    }
}
