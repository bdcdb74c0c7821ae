//! placeholder
mod context;
mod ids;
mod job;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod prometheus;
mod tracer;

pub use context::{current, headers, remote, trace_context};
pub use ids::TraceIds;
pub use metrics::RuntimeMetrics;
#[cfg(feature = "otlp")]
pub use otlp::{Exporting, Otlp, OtlpError};
pub use prometheus::PROMETHEUS_TEXT;
pub use tracer::RuntimeTracer;
