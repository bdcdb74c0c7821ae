//! One link over two pipes as a [`Transport`](arcp_transport::Transport): what an end, an error and a
//! close come to. Lines are read in `transport/incoming.rs` and written in `transport/outgoing.rs`.

mod incoming;
mod outgoing;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use arcp_transport::{CloseCode, CloseFrame, Frame, TransportError};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::io::{AsyncRead, AsyncWrite};

use self::{
    incoming::{Incoming, Line},
    outgoing::Outgoing,
};
use crate::StdioConfig;

/// One link over a reader and a writer, such as two pipes; each line is a text frame.
///
/// **The end.** A pipe only ends, and says neither how nor why. An end behind a whole line is taken
/// for the peer's close frame, [`CloseCode::NO_STATUS`], since that is what a peer leaves behind that
/// closes in order; one that was killed between two lines cannot be told from it. So a runtime writes
/// out what it has begun to send to a client that only closed its own half. An end within a
/// line is a cut: what has come of the line is a frame, unless it is blank, and `None` follows.
///
/// **Sending.** [`Frame::Close`] ends our half: flushing it shuts the writer down and drops it. The code and
/// the reason go nowhere, so say before it, in an envelope, what the peer has to know. A text that
/// contains `\n` or `\r` or is blank cannot be a line, and a binary frame cannot be one either: these
/// are [`TransportError::Protocol`], nothing of them is sent, and the link goes on. JSON on one line
/// contains neither. A peer that has closed its reading end makes sending [`TransportError::Closed`].
///
/// **After an error.** After a line that is too long or not UTF-8 the stream ends, but frames can
/// still be sent, and reach a peer that is still busy sending, because `close()` goes on reading (and
/// throwing away) until the peer has closed its half.
///
/// Dropping the link drops the reader and the writer, and what was not flushed with them.
///
/// ```
/// use arcp_transport::{Frame, TransportError};
/// use arcp_transport_stdio::{StdioConfig, StdioTransport};
/// use futures_util::{SinkExt, StreamExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), TransportError> {
/// let input: &[u8] = b"{\"first\":1}\r\n\n{\"second\":2}";
/// let mut output = Vec::new();
/// let mut link = StdioTransport::new(input, &mut output, StdioConfig::server());
/// assert_eq!(link.next().await.unwrap()?, Frame::text(r#"{"first":1}"#));
/// link.send(Frame::text("{}")).await?;
/// assert_eq!(link.next().await.unwrap()?, Frame::text(r#"{"second":2}"#));
/// assert!(link.next().await.is_none());
/// drop(link);
/// assert_eq!(output, b"{}\n");
/// # Ok(())
/// # }
/// ```
pub struct StdioTransport<R, W> {
    incoming: Incoming<R>,
    outgoing: Outgoing<W>,
    reading: Reading,
    /// Whether the peer sees it when our half ends, and can answer.
    is_seen_to_close: bool,
}

/// Where the incoming half is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    /// Frames may come.
    Open,
    /// The last thing read was no frame. What follows cannot be told from noise.
    Broken,
    /// The peer has ended it in order, and our half is still to end.
    Closed,
    /// Nothing will come.
    Ended,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> StdioTransport<R, W> {
    /// A link that reads from one pipe and writes to another. Takes 64 KiB for reading at once.
    pub fn new(reader: R, writer: W, config: StdioConfig) -> Self {
        Self {
            incoming: Incoming::new(reader, config.max_frame_bytes),
            outgoing: Outgoing::new(writer, config),
            reading: Reading::Open,
            is_seen_to_close: true,
        }
    }

    /// For a writer that is not closed by shutting it down and dropping it: `close()` does not wait for a
    /// peer that has not been told.
    #[cfg(feature = "server")]
    pub(crate) fn unseen_to_close(mut self) -> Self {
        self.is_seen_to_close = false;
        self
    }

    /// A peer that has ended its half in order may still read ours.
    fn is_closed(&self) -> bool {
        self.outgoing.is_closed() || self.reading == Reading::Ended
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame, TransportError>>> {
        match self.reading {
            Reading::Open => {}
            Reading::Broken | Reading::Ended => return Poll::Ready(None),
            Reading::Closed => {
                // Whether or not the peer still reads, there is nothing more to come.
                let _ = ready!(self.poll_shut(cx));
                self.reading = Reading::Ended;
                return Poll::Ready(None);
            }
        }
        let (frame, reading) = match ready!(self.incoming.poll_line(cx)) {
            Ok(Line::Whole(text)) => (Ok(Frame::Text(text)), Reading::Open),
            Ok(Line::Last(text)) => (Ok(Frame::Text(text)), Reading::Ended),
            Ok(Line::End) => (Ok(Frame::Close(CloseFrame::new(CloseCode::NO_STATUS, ""))), Reading::Closed),
            Err(error @ TransportError::Io(_)) => (Err(error), Reading::Ended),
            Err(error) => (Err(error), Reading::Broken),
        };
        self.reading = reading;
        Poll::Ready(Some(frame))
    }

    /// Ends our half behind what waits to be written.
    fn poll_shut(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.outgoing.close();
        self.outgoing.poll_flush(cx)
    }

    /// Reads and forgets until the peer's half has ended.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while ready!(self.poll_frame(cx)).is_some() {}
        if self.reading == Reading::Broken {
            ready!(self.incoming.poll_discard(cx));
            self.reading = Reading::Ended;
        }
        Poll::Ready(())
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Stream for StdioTransport<R, W> {
    type Item = Result<Frame, TransportError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_frame(cx)
    }
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Sink<Frame> for StdioTransport<R, W> {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        if self.is_closed() {
            return Poll::Ready(Err(TransportError::Closed));
        }
        self.outgoing.poll_room(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        if self.is_closed() {
            return Err(TransportError::Closed);
        }
        match frame {
            Frame::Text(text) => self.outgoing.push(&text),
            Frame::Binary(_) => Err(TransportError::Protocol("a binary frame is no line".into())),
            Frame::Close(_) => {
                self.outgoing.close();
                Ok(())
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.outgoing.poll_flush(cx)
    }

    /// Fails only while what was fed is being written, and not because the peer has gone.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let this = self.get_mut();
        let shut = this.poll_shut(cx);
        if shut.is_pending() {
            // A peer that waits for us to read will not read either.
            let _ = this.poll_discard(cx);
        }
        match ready!(shut) {
            Ok(()) | Err(TransportError::Closed) if this.is_seen_to_close => ready!(this.poll_discard(cx)),
            Ok(()) | Err(TransportError::Closed) => this.reading = Reading::Ended,
            Err(error) => {
                this.reading = Reading::Ended;
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<R, W> fmt::Debug for StdioTransport<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdioTransport").field("reading", &self.reading).finish_non_exhaustive()
    }
}
