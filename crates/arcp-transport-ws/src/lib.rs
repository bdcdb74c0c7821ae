//! ARCP over WebSocket (§4): text frames, one envelope each, over `ws://` and `wss://`.
//!
//! | you are | you want |
//! | --- | --- |
//! | a client | [`WsConnector`], which opens links to a URL |
//! | a runtime with a port of its own | [`WsListener`], which accepts them, with or without TLS |
//! | a runtime inside an HTTP server | [`handshake`] for the request, [`WsTransport::server`] for the upgraded stream |
//!
//! All three end in a [`WsTransport`], which is a [`Transport`](arcp_transport::Transport):
//!
//! ```
//! use arcp_transport::{Connector, Frame, Listener, TransportError};
//! use arcp_transport_ws::{WsConnector, WsListener};
//! use futures_util::{SinkExt, StreamExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut listener = WsListener::bind("127.0.0.1:0", "/arcp").await?;
//! let url = format!("ws://{}", listener.local_addr());
//! tokio::spawn(async move {
//!     let (mut client, peer) = listener.accept().await?;
//!     assert!(peer.secure, "loopback never leaves this machine");
//!     while let Some(Ok(frame @ Frame::Text(_))) = client.next().await {
//!         client.send(frame).await?;
//!     }
//!     client.close().await
//! });
//!
//! let mut runtime = WsConnector::new(&url)?.connect().await?;
//! runtime.send(Frame::text("{}")).await?;
//! assert_eq!(runtime.next().await.unwrap()?, Frame::text("{}"));
//! runtime.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Everything needs a tokio runtime with I/O and time enabled. What the frames say is not looked at
//! here; there is no compression, and no ping is sent: ARCP has heartbeats of its own (§6.4).
//!
//! # Logs
//!
//! The WebSocket library below writes whole frames into the `log` crate's records at level trace, bearer tokens included.
//! A program that forwards those records, as `tracing-subscriber` does with its default features, must keep the targets
//! `tungstenite` and `tokio_tungstenite` above trace. This project's own crates log no secret at any level.

mod config;
mod connector;
#[cfg(feature = "server")]
pub mod door;
#[cfg(feature = "server")]
pub mod handshake;
#[cfg(feature = "server")]
mod listener;
pub mod tls;
mod transport;

pub use config::WsConfig;
pub use connector::WsConnector;
#[cfg(feature = "server")]
pub use listener::WsListener;
pub use transport::WsTransport;
