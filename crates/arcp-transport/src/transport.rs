//! The contract of a link, and the aliases that make it easy to hold. No link lives here.

use std::pin::Pin;

use futures_core::Stream;
use futures_sink::Sink;

use crate::{Frame, TransportError};

/// A future on the heap that may borrow for `'a`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Any transport, owned.
pub type BoxTransport = Pin<Box<dyn Transport>>;

/// One link between a client and a runtime: frames come from the `Stream` and go to the `Sink`.
///
/// Every type with the four bounds is a `Transport`; there is nothing to implement. What it must keep:
///
/// **Reading.** Frames come in the order in which they were sent, each one whole. [`Frame::Close`] is
/// the peer's close frame, and `None` follows it. `None` without a close frame before it means that
/// the link was cut. An `Err` is followed by `None`. What the link needs for itself, such as the
/// answer to a WebSocket ping, is done while the stream is polled, without anybody writing.
///
/// **Writing.** `feed` many, then `flush`: flushing is what costs. A frame is only sure to leave after
/// a flush. `poll_ready` is the back-pressure: while the peer does not read, it stays pending, and the
/// link holds a bounded number of bytes or frames. After one's own close, sending
/// gives [`TransportError::Closed`]; after the peer's it does so too, or, over pipes, still reaches a
/// peer that reads.
///
/// **Closing.** Sending [`Frame::Close`] starts the closing handshake, and `close()` completes it:
/// it throws away what the peer still sends and ends when the peer has answered or has gone.
/// `close()` without a close frame before it sends
/// [`CloseCode::NORMAL`](crate::CloseCode::NORMAL). It waits for the peer, so bound it with a
/// deadline of your own. After the peer's close frame the answer is sent by reading on to `None`, or
/// by `close()`.
///
/// **Dropping** cuts the link at once, without a close frame. Dropping a future of `next`, `feed`,
/// `flush` or `close` that is not ready loses no frame but the one that `feed` still holds.
///
/// ```
/// use arcp_transport::{BoxTransport, CloseCode, Frame, TransportError};
/// use futures_util::SinkExt;
///
/// async fn refuse(mut link: BoxTransport) -> Result<(), TransportError> {
///     link.feed(Frame::text(r#"{"type":"session.error"}"#)).await?;
///     link.feed(Frame::close(CloseCode::POLICY_VIOLATION, "unauthenticated")).await?;
///     link.close().await
/// }
/// ```
pub trait Transport:
    Stream<Item = Result<Frame, TransportError>> + Sink<Frame, Error = TransportError> + Send
{
}

impl<T> Transport for T where
    T: Stream<Item = Result<Frame, TransportError>> + Sink<Frame, Error = TransportError> + Send + ?Sized
{
}
