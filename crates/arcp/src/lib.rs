//! # ARCP for Rust
//!
//! The Agent Runtime Control Protocol (ARCP) v1.1, both sides of the wire: host AI agents, submit jobs to them, follow
//! what they do as one ordered stream of events, and get exactly one outcome. It does not say what an agent is (your code),
//! how tools are exposed (MCP) or where telemetry goes (OpenTelemetry): it is what stands around them.
//!
//! See a job run over a real WebSocket, which is cut half-way, on a real file; any UTF-8 text will do:
//!
//! ```sh
//! cargo run --release --example quickstart -- README.md
//! ```
//!
//! ![the quickstart: a runtime, a job, a connection that is cut, and the report on the file](docs/quickstart.svg)
//!
//! Run every check and every test:
//!
//! ```sh
//! cargo xtask test
//! ```
//!
//! ## A client
//!
//! ```no_run
//! use futures_util::StreamExt;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = arcp::connect("ws://127.0.0.1:7777", "s3cret").await?;
//! let mut job = client.submit("shout").input("hello").await?;
//! while let Some(event) = job.next().await {
//!     println!("{event}");
//! }
//! let loud: String = job.result().await?;
//! println!("{loud}");
//! # Ok(())
//! # }
//! ```
//!
//! ## An agent, hosted in axum
//!
//! ```no_run
//! use arcp::runtime::{JobContext, Runtime, StaticTokens, agent_fn};
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let shout = agent_fn(async |ctx: JobContext, input: String| {
//!     ctx.info(format!("shouting {} bytes", input.len())).await?;
//!     Ok(input.to_uppercase())
//! });
//! let tokens = StaticTokens::new().token("s3cret", "alice");
//! let runtime = Runtime::builder().authenticator(tokens).agent("shout@1.0.0", shout).build()?;
//! let app = axum::Router::new().route("/arcp", arcp::axum::serve(runtime));
//! axum::serve(tokio::net::TcpListener::bind("127.0.0.1:7777").await?, app).await?;
//! # Ok(())
//! # }
//! ```
//!
//! ## Guides
//!
//! | page | what it is about |
//! | --- | --- |
//! | [Getting started](docs/getting-started.md) | a runtime, an agent, a client, an input that is checked |
//! | [Sessions and resume](docs/sessions.md) | connections that are lost, clients and runtimes that are started again |
//! | [Jobs and events](docs/jobs-and-events.md) | what agents say, results, stopping, retries, looking at jobs |
//! | [Leases and budgets](docs/leases-and-budgets.md) | what a job may do, for how long, for how much |
//! | [Delegation](docs/delegation.md) | agents that have others work |
//! | [Credentials](docs/credentials.md) | keys of upstream services, one job's each |
//! | [Authentication](docs/auth.md) | tokens, JWTs, client certificates, who may see what |
//! | [Errors](docs/errors.md) | every code, and what helps |
//! | [Observability](docs/observability.md) | logs, health, traces and metrics in OpenTelemetry |
//! | [Deployment](docs/deployment.md) | TLS, stopping, limits, sizing, the store |
//! | [Security](docs/security.md) | what is defended, and what peers may cost each other |
//! | [Transports](docs/transports.md) | WebSocket, pipes, memory, your own |
//! | [Vendor extensions](docs/vendor-extensions.md) | events, capabilities and codes of your own |
//! | [Testing your agent](docs/testing.md) | in memory, on a paused clock, against a script |
//! | [Porting from the Python SDK](docs/porting-from-python.md) | side by side |
//! | [Driving the core](docs/driving-the-core.md) | the protocol without I/O |
//!
//! `examples/` has a short program for each thing that can be done: `cargo run --example cancel`, `mcp_tools`, `llm_agent` and others.
//!
//! ## The program
//!
//! ```sh
//! cargo run --release --package arcp-cli -- serve --fixtures --token s3cret=alice
//! ```
//!
//! Once that says where it listens, in another terminal:
//!
//! ```sh
//! ARCP_TOKEN=s3cret cargo run --release --package arcp-cli -- submit count --input '{"n": 3}'
//! ```
//!
//! Without a server, a client starts its own runtime and speaks with it over its pipes:
//!
//! ```sh
//! ARCP_TOKEN=s3cret target/release/arcp submit echo --input '"hi"' --stdio -- target/release/arcp serve --stdio --fixtures --token s3cret=me
//! ```
//!
//! What the runtime hosts is listed by `arcp agents`, and what runs there is shown by `arcp top`, live, as a tree: enter follows a job, and
//! `c` cancels one that `arcp submit --detach` has left.
//!
//! ![arcp top: jobs with progress, budgets, leases and their last events](docs/top.svg)
//!
//! Flags can be set in the environment and in `arcp.toml` too: [settings](docs/settings.md). `arcp completions SHELL` prints
//! completions, and `arcp man DIR` writes man pages.
//!
//! What the runtime has told anybody is kept in a file, `arcp.db` in your data directory or `--store FILE`: after a restart, also
//! one by `kill -9`, sessions are resumed where they were, and so are listings, histories and idempotency keys. What the file has is printed,
//! beside the runtime or after it:
//!
//! ```sh
//! cargo run --release --package arcp-cli -- replay
//! ```
//!
//! What a lease would allow can be asked before it is granted, without a runtime; this one is denied, with exit code 1:
//!
//! ```sh
//! echo '{"fs.read": ["/data/**"]}' | cargo run --release --package arcp-cli -- lease check - fs.read /data/../etc/passwd
//! ```
//!
//! Whether a runtime does what the protocol asks for is asked of it by cases, each with the section that says so; `--as-runtime` asks a
//! client. Against the one that was started above:
//!
//! ```sh
//! cargo run --release --package arcp-cli -- conformance --token s3cret
//! ```
//!
//! ## The crates
//!
//! This crate is a door to the others, one feature each; depend on those alone if you like.
//!
//! | feature | crate | what it is |
//! | --- | --- | --- |
//! | `client` (default) | `arcp-client` | open sessions, submit jobs, follow them |
//! | `ws` (default) | `arcp-transport-ws` | `ws://` and `wss://` for clients; with `ws-server` for runtimes without axum |
//! | `stdio` | `arcp-transport-stdio` | a runtime as a child process, over its pipes; with `stdio-server` for the runtime in it |
//! | `runtime` | `arcp-runtime` | host agents; with `http`, agents fetch URLs under their leases; with `schema`, inputs are checked before they are jobs |
//! | `axum` | `arcp-axum` | mount a runtime in an axum router; a server for that, with TLS and limits |
//! | `sqlite` | `arcp-store-sqlite` | a runtime that goes on after a restart: all that it has told anybody, in one file |
//! | `jwt` | `arcp-jwt` | let clients in by JWT, with keys that the issuer publishes; a token can cap what jobs may ask for |
//! | `litellm` | `arcp-litellm` | give jobs virtual keys of a LiteLLM proxy, bounded as their leases are |
//! | `otel` | `arcp-otel` | spans and metrics of runtimes in OpenTelemetry, traces from clients on; with `otlp`, exported to a collector |
//! | on its own | `arcp-conformance` | the conformance cases as data, and what plays them |
//! | always | `arcp-proto`, `arcp-transport` | the wire types, the traits of a link |
//!
//! `arcp-core` is below all of them: the protocol as state machines without I/O. What stands where, and why, is in
//! `ARCHITECTURE.md`; how to work on it, in `CONTRIBUTING.md`; what it defends itself against, in `docs/security.md`.
//!
//! ## What is there
//!
//! Sessions with authentication, by tokens that are configured, by JWT or by client certificates, feature negotiation, heartbeats and acknowledgements, resumed after a lost connection without
//! losing an event or repeating one, over restarts of the runtime too; clients that come back by themselves. Jobs with events of
//! every kind, inline and streamed results, errors, cancellation, time limits, idempotency and agent versions; listing them, and
//! subscribing to those of other sessions; agents whose inputs are checked against a JSON Schema before there is a job. Leases that are enforced at every operation, budgets that add up, delegation to other
//! agents, credentials of upstream services that are issued for one job and revoked with it. WebSocket with TLS, and the pipes of a
//! child process; limits for addresses and rates for principals. The published Python SDK works with it, from either side. `CONFORMANCE.md` is what the cases show of all this.
//!
//! Spans of sessions, jobs and tools, one trace from a submit to the tools of the last job that it leads to, and metrics, by
//! OpenTelemetry; `arcp serve --otlp URL` exports them, and `--metrics ADDR` answers Prometheus. A runtime offers in `session.welcome` what it can do, and refuses by name
//! what it cannot.
//!
//! Licensed under Apache-2.0.

#[cfg(doctest)]
mod guides;

pub use arcp_proto as proto;
pub use arcp_transport as transport;

#[cfg(feature = "axum")]
pub use arcp_axum as axum;
#[cfg(feature = "client")]
pub use arcp_client as client;
#[cfg(all(feature = "client", feature = "ws"))]
pub use arcp_client::connect;
#[cfg(feature = "client")]
pub use arcp_client::{Client, Event, Job};
#[cfg(feature = "jwt")]
pub use arcp_jwt as jwt;
#[cfg(feature = "litellm")]
pub use arcp_litellm as litellm;
#[cfg(feature = "otel")]
pub use arcp_otel as otel;
#[cfg(feature = "runtime")]
pub use arcp_runtime as runtime;
#[cfg(feature = "sqlite")]
pub use arcp_store_sqlite as sqlite;
#[cfg(feature = "stdio")]
pub use arcp_transport_stdio as stdio;
#[cfg(feature = "ws")]
pub use arcp_transport_ws as ws;
