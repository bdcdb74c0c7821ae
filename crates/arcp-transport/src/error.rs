//! What can go wrong on an open link. What can go wrong while opening one is in `connect.rs`.

use std::{error::Error, io};

/// A cause that another crate named.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A link failed, or its peer sent what cannot be a frame.
///
/// After an error from the stream the stream is over. After [`FrameTooLarge`](Self::FrameTooLarge),
/// [`NotUtf8`](Self::NotUtf8) and [`Protocol`](Self::Protocol) the link still takes frames *to* the
/// peer, so that it can be told and the link closed cleanly.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// A frame was longer than the link takes. Its contents were thrown away.
    #[error("frame exceeds the limit of {limit} bytes")]
    FrameTooLarge {
        /// The limit, in bytes of payload.
        limit: usize,
    },
    /// A text frame was not UTF-8.
    #[error("text frame is not UTF-8")]
    NotUtf8,
    /// The peer broke the rules of the link itself, for example the framing of WebSocket.
    #[error("peer broke the protocol of the link")]
    Protocol(#[source] BoxError),
    /// The operating system reports a failure of the link.
    #[error("link failed")]
    Io(#[from] io::Error),
    /// A frame was to be sent after one end had closed the link. The frame was not sent.
    #[error("link is closed")]
    Closed,
}
