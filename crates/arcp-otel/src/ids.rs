//! Ids of traces and spans. A job that was submitted with nothing but the id of a trace is the first span of that trace, for which
//! the SDK has no word: its ids come from here.

use std::cell::Cell;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator};

thread_local! {
    static WANTED: Cell<Option<TraceId>> = const { Cell::new(None) };
}

/// Random ids but for the traces that submitters have named: for
/// [`TracerProviderBuilder::with_id_generator`](opentelemetry_sdk::trace::TracerProviderBuilder::with_id_generator). A job that is
/// submitted with a `trace_id` and without a context is in that trace then; with another generator its spans are in one of
/// their own.
#[derive(Clone, Debug, Default)]
pub struct TraceIds(RandomIdGenerator);

impl IdGenerator for TraceIds {
    fn new_trace_id(&self) -> TraceId {
        WANTED.take().unwrap_or_else(|| self.0.new_trace_id())
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// Begins a span that is the first of a trace, if its provider has [`TraceIds`].
pub(crate) fn first_of<T>(trace: TraceId, begin: impl FnOnce() -> T) -> T {
    WANTED.set(Some(trace));
    let begun = begin();
    WANTED.set(None);
    begun
}
