//! Conformance cases of the Agent Runtime Control Protocol (ARCP) v1.1, as data, and what plays them against any runtime or client.
//!
//! A [`Case`] is numbered, is tied to a section of the draft, and is a list of steps: what a peer says, and what is due in return. The
//! cases that come with this crate are [`runtime_cases`] and [`client_cases`]; their texts are the YAML files in its directory
//! `cases`, which any other implementation can read. [`Level`] tells what the draft demands from what it leaves open and this
//! project has decided.
//!
//! [`test_runtime`] plays cases as a client. Most of them drive *fixture agents*, small agents such as `echo` and `count` whose
//! behaviour the case knows; against a runtime that does not host them, they are not run. [`test_client`] plays cases as a runtime, and
//! starts the client by a command. Nothing of this project's own types takes part: what comes is looked at as JSON.
//!
//! ```
//! use arcp_conformance::{Outcome, Target, runtime_cases, test_runtime};
//! use arcp_runtime::{Runtime, StaticTokens};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::builder().authenticator(StaticTokens::new().token("s3cret", "alice"));
//! let runtime = arcp_testing::with_fixtures(runtime).build()?;
//! let (connector, listener) = arcp_transport::memory::listener();
//! tokio::spawn({ let runtime = runtime.clone(); async move { runtime.serve_all(listener).await } });
//!
//! let cases: Vec<_> = runtime_cases().into_iter().filter(|case| case.id == "6.2-01").collect();
//! let run = test_runtime(&Target::new(connector, "s3cret"), &cases, 1, |_, _| ()).await?;
//! assert_eq!(run.outcomes[0].1, Outcome::Passed);
//! # Ok(())
//! # }
//! ```
//!
//! A failure says which step failed, what was due, what came, and which section says so. Tokens and credentials are not shown.

mod case;
mod cases;
mod failure;
mod pattern;
mod peer;
mod player;
mod program;
pub mod report;
mod suite;
mod target;
mod variables;

pub use case::{Action, BadCase, Case, Each, Hello, Level, Need, Resumes, Rises, Step, Times, Wait, read};
pub use cases::{client_cases, runtime_cases};
pub use failure::Failure;
pub use player::Outcome;
pub use program::ClientCommands;
pub use suite::{AT_A_TIME, Counts, Run, Untestable, test_client, test_runtime};
pub use target::{Survey, Target};

/// The features of the draft (§6.2).
pub const FEATURES: [&str; 11] = [
    "heartbeat",
    "ack",
    "list_jobs",
    "subscribe",
    "lease_expires_at",
    "cost.budget",
    "model.use",
    "provisioned_credentials",
    "progress",
    "result_chunk",
    "agent_versions",
];
