//! What carries ARCP envelopes between a client and a runtime (§4).
//!
//! An ARCP session does not care whether its envelopes travel over a WebSocket, a pipe or a queue in
//! memory. It needs three things, and this crate is those three traits:
//!
//! | trait | it is | made by |
//! | --- | --- | --- |
//! | [`Transport`] | one link: a `Stream` of [`Frame`]s from the peer, a `Sink` of frames to it | the two below |
//! | [`Connector`] | how a client opens a link, again and again | `arcp-transport-ws`, `arcp-transport-stdio`, [`memory`], you |
//! | [`Listener`] | where a runtime takes links from | `arcp-transport-ws`, `arcp-transport-stdio`, [`memory`], you |
//!
//! A [`Frame`] is one envelope, not yet decoded. Nothing here reads JSON, keeps time, or knows an
//! async runtime: deadlines belong to whoever drives the link, and a frame that is no envelope is
//! handed up to the protocol, which refuses it.
//!
//! [`memory`] has both ends of a link in one process, for tests and for embedding a runtime:
//!
//! ```
//! use arcp_transport::{Frame, memory};
//! use futures_util::{SinkExt, StreamExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), arcp_transport::TransportError> {
//! let (mut client, mut runtime) = memory::pair(16);
//!
//! client.send(Frame::text(r#"{"arcp":"1.1"}"#)).await?;
//! let Some(Ok(Frame::Text(envelope))) = runtime.next().await else { panic!("the link ended") };
//! assert_eq!(envelope, r#"{"arcp":"1.1"}"#);
//!
//! drop(client);
//! assert!(runtime.next().await.is_none());
//! # Ok(())
//! # }
//! ```
//!
//! **Architecture invariant:** this crate depends on no async runtime, no serialisation and no TLS,
//! so that everything else can depend on it.

mod connect;
mod error;
mod frame;
mod listen;
pub mod memory;
mod transport;

pub use connect::{ConnectError, Connector, UrlProblem};
pub use error::{BoxError, TransportError};
pub use frame::{CloseCode, CloseFrame, Frame};
pub use listen::{Arrival, Listener, Peer, TraceHeaders};
pub use transport::{BoxFuture, BoxTransport, Transport};
