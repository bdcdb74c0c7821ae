//! Host AI agents behind the Agent Runtime Control Protocol (ARCP) v1.1.
//!
//! An [`Agent`] is a plain async function of a [`JobContext`] and a typed input. A [`Runtime`] hosts any number of
//! them, and serves any number of connections:
//!
//! ```
//! use arcp_runtime::{JobContext, Runtime, StaticTokens, agent_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), arcp_runtime::BuildError> {
//! let runtime = Runtime::builder()
//!     .authenticator(StaticTokens::new().token("s3cret", "alice"))
//!     .agent(
//!         "shout@1.0.0",
//!         agent_fn(async |ctx: JobContext, input: String| {
//!             ctx.info(format!("shouting {} letters", input.len())).await?;
//!             Ok(input.to_uppercase())
//!         }),
//!     )
//!     .build()?;
//! # drop(runtime);
//! # Ok(())
//! # }
//! ```
//!
//! Give [`Runtime::serve`] a transport for each connection, or let `arcp-axum` do it.
//!
//! An agent that reads files or fetches URLs by way of `JobContext::fs` and, with the feature `http`, `JobContext::http`
//! keeps to its job's lease (§9.3), and its clients are told of what it does.
//!
//! With the feature `schema`, `RuntimeBuilder::typed_agent` shows clients the JSON Schema of an input, and has inputs checked before
//! they become jobs.
//!
//! What the protocol demands is decided in `arcp-core`, by a machine without I/O. This crate owns that machine and does
//! what it asks: it reads and writes frames, runs agents as supervised tasks, keeps time, and commits what must be kept
//! to a [`Store`] before anybody is told of it.

mod agent;
mod agent_error;
mod authenticator;
mod builder;
mod clock;
mod connection;
mod context;
pub mod credentials;
mod delegate;
mod driver;
#[cfg(all(feature = "fs", unix))]
pub mod fs;
#[cfg(feature = "http")]
pub mod http;
mod inbound;
#[cfg(feature = "schema")]
mod input;
mod job;
mod operation;
mod rates;
mod result;
mod runtime;
mod said;
pub mod store;
mod visitor;
mod within;

pub use agent::{Agent, FnAgent, RestartPolicy, agent_fn};
pub use agent_error::AgentError;
pub use arcp_core::lease::{Ceiling, Denied, ModelPolicy};
pub use arcp_core::quirks::{Quirk, QuirkPolicy, Quirks};
pub use arcp_core::runtime::{
    AuthenticationError, CredentialTally, Limits, Refused, ResolvedAgent, StopCause, Tally, Tracer,
};
pub use arcp_core::{Caller, Observation, ObservationPolicy, Principal, SamePrincipal};
pub use arcp_proto as proto;
pub use authenticator::{Authenticator, StaticTokens};
pub use builder::{Authenticated, BuildError, Dangerous, RuntimeBuilder, Unauthenticated};
pub use context::{EmitError, JobContext, Stopped};
pub use delegate::{Child, ChildEnd, ChildError, Delegate, DelegateError};
pub use operation::{OperationError, Reserved};
pub use rates::{Rate, RateError, RateLimits};
pub use result::ResultWriter;
pub use runtime::{Health, Runtime};
#[cfg(feature = "schema")]
pub use schemars;
pub use store::{MemoryStore, Store, StoreError};
pub use visitor::Visitor;
