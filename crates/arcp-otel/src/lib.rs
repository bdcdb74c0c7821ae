//! ARCP in OpenTelemetry: runtimes as spans and metrics, and one trace from whoever submits a job to the tools of the last job that
//! it leads to (§11).
//!
//! ```
//! use arcp_otel::{RuntimeMetrics, RuntimeTracer, TraceIds};
//! use arcp_runtime::{AgentError, JobContext, Runtime, StaticTokens, agent_fn};
//! use opentelemetry::metrics::MeterProvider;
//! use opentelemetry_sdk::metrics::SdkMeterProvider;
//! use opentelemetry_sdk::trace::SdkTracerProvider;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), arcp_runtime::BuildError> {
//! // Where spans go, and which are recorded, is said here.
//! let spans = SdkTracerProvider::builder().with_id_generator(TraceIds::default()).build();
//! let numbers = SdkMeterProvider::builder().build();
//!
//! let echo = agent_fn(async |_: JobContext, input: String| Ok::<_, AgentError>(input));
//! let runtime = Runtime::builder()
//!     .authenticator(StaticTokens::new().token("s3cret", "alice"))
//!     .agent("echo@1.0.0", echo)
//!     .tracer(RuntimeTracer::new(&spans))
//!     .build()?;
//!
//! let measured = runtime.clone();
//! let metrics = RuntimeMetrics::new(move || measured.tally());
//! metrics.observe_with(&numbers.meter("agents"));
//! assert!(metrics.prometheus().contains("arcp_jobs_running 0\n"));
//! # Ok(())
//! # }
//! ```
#![cfg_attr(
    feature = "otlp",
    doc = "
With the feature `otlp`, providers that export to a collector are made in one go:

```
use arcp_otel::Otlp;

# fn main() -> Result<(), arcp_otel::OtlpError> {
let exporting = Otlp::new(\"http://127.0.0.1:4318\").sample(0.01).start()?;
let tracer = exporting.tracer(); // for `RuntimeBuilder::tracer`
let meter = exporting.meter(); // for `RuntimeMetrics::observe_with`
# drop((tracer, meter));
exporting.shutdown(std::time::Duration::from_secs(1));
# Ok(())
# }
```
"
)]
//! A client has its jobs continue the trace of whoever submits them:
//!
//! ```no_run
//! # async fn example(connector: impl arcp_transport::Connector) -> Result<(), Box<dyn std::error::Error>> {
//! let client = arcp_client::Client::connect(connector, "s3cret").trace(arcp_otel::current).await?;
//! let job = client.submit("echo").input("hello").await?; // part of the span that is current here
//! # drop(job);
//! # Ok(())
//! # }
//! ```
//!
//! # Spans
//!
//! | span | kind | begins and ends with | attributes |
//! | --- | --- | --- | --- |
//! | `arcp.session` | server | the session, over all its connections; at the latest with the runtime | `arcp.session_id` |
//! | `invoke_agent NAME` | server; internal if delegated | the job, from its order on | `gen_ai.operation.name`, `gen_ai.provider.name`, `gen_ai.agent.name`, `arcp.agent`, `arcp.session_id`, `arcp.job_id`, `arcp.lease.capabilities`, `arcp.lease.expires_at`; at its end `arcp.final_status`, `arcp.budget.remaining`, `error.type` |
//! | `execute_tool NAME` | internal | `tool_call` and its `tool_result` | `gen_ai.operation.name`, `gen_ai.tool.name`, `gen_ai.tool.call.id`, `error.type` |
//!
//! A session is part of the trace that the request for its connection names in its headers. A job is part of what it was submitted
//! within, and linked with its session; one that was delegated is part of the job above it. Without a context it is the first
//! span of its trace. Its events are events of its span, `arcp.event` with `arcp.event.kind` and `arcp.event.index`, its place
//! in the job's log; resumes and disconnects are events of the session's.
//!
//! While an agent runs, its span is the current one, and that of the tool while a tool runs: spans that they begin are part of it,
//! and [`current`] and [`headers`] tell others. Requests of `JobContext::http` carry a `traceparent`. To clients the context of a job
//! goes with `job.accepted`, `job.subscribed` and its last message, in `extensions`; its other messages have the `trace_id`.
//!
//! # What is never told
//!
//! Tokens, credentials, inputs, results, what events say, what tools are given, patterns of leases, messages of errors, and
//! principals. What agents and clients choose themselves, such as the names of tools and the codes of errors, is in spans, 128 bytes of
//! it at most, and in metrics only where there are few of it: no metric has the name of a job, a session or a principal.
//!
//! # What it costs
//!
//! A span that is not recorded costs its ids. The runtime counts for metrics whether anybody looks or not; who looks takes a lock for
//! as long as it takes to visit each session once. Spans begin and end under that lock: give a provider a batch processor,
//! not one that exports at once.

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
