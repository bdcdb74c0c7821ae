//! A client of the Agent Runtime Control Protocol (ARCP) v1.1: submit jobs, follow their events, await their results.
//!
//! ```no_run
//! use futures_util::StreamExt;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = arcp_client::connect("wss://agents.example.com/arcp", "s3cret").await?;
//! let mut job = client.submit("report").input(&"README.md").await?;
//! while let Some(event) = job.next().await {
//!     println!("{event}");
//! }
//! let report: String = job.result().await?;
//! # Ok(())
//! # }
//! ```
//!
//! A lost connection is made again by itself, and the session resumed: a [`Job`] yields each event once, whatever happens to
//! the link meanwhile. If the runtime no longer keeps the session, another is opened, and its jobs are followed from where they
//! were. [`Client::state`] tells of it.
//!
//! A [`Client`] is a handle, cheap to clone, on one session. A [`Job`] is a stream of typed [`Event`]s and has one outcome.
//! What the protocol demands is decided in `arcp-core`, by a machine without I/O that this crate drives.

mod client;
mod driver;
mod error;
mod event;
mod job;
mod observe;
mod result;
mod submit;

pub use arcp_core::client::{Backoff, Loss, Opened, ResumeState};
pub use arcp_proto as proto;
#[cfg(feature = "stdio")]
pub use arcp_transport_stdio as stdio;
#[cfg(feature = "ws")]
pub use arcp_transport_ws as ws;
#[cfg(feature = "ws")]
pub use client::connect;
pub use client::{Client, Connect, State};
pub use error::{ConnectError, JobError, RequestError};
pub use event::Event;
pub use job::Job;
pub use observe::{List, Subscribe};
pub use result::ResultStream;
pub use submit::Submit;
