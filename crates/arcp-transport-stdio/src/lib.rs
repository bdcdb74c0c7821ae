//! ARCP over pipes (§4): one envelope a line, over the stdin and stdout of a process.
//!
//! | you are | you want |
//! | --- | --- |
//! | a client | [`ChildConnector`], which starts a runtime as a child process |
//! | a runtime that is started as a child | [`stdio`], on its own pipes, or [`StdioListener`] |
//! | on any other pair of pipes | [`StdioTransport::new`] |
//!
//! All three end in a [`StdioTransport`], or in something around one, which is a
//! [`Transport`](arcp_transport::Transport):
//!
//! ```
//! use arcp_transport::{Connector, Frame};
//! use arcp_transport_stdio::ChildConnector;
//! use futures_util::{SinkExt, StreamExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // What it reads it writes: the smallest peer that there is.
//! let mut peer = ChildConnector::new("cat").connect().await?;
//! peer.send(Frame::text(r#"{"arcp":"1.1"}"#)).await?;
//! assert_eq!(peer.next().await.unwrap()?, Frame::text(r#"{"arcp":"1.1"}"#));
//! peer.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Lines
//!
//! A line ends in `\n`. When reading, `\r\n` is accepted, blank lines are skipped, and what stands
//! behind the last `\n` when the stream ends is a line too. A line may be as long as a frame may be.
//! What it says is not looked at here.
//!
//! # What a pipe cannot say
//!
//! A pipe has no close frames, no binary frames, and no way to send a text with a line break in it or
//! one that is blank. [`StdioTransport`] says what becomes of each.

#[cfg(feature = "client")]
mod child;
mod config;
#[cfg(feature = "server")]
mod own;
mod transport;

#[cfg(feature = "client")]
pub use child::ChildConnector;
pub use config::StdioConfig;
#[cfg(feature = "server")]
pub use own::{StdioListener, stdio};
pub use transport::StdioTransport;
