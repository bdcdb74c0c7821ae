//! Closing a WebSocket link so that the peer learns why. Reading and writing are in `transport.rs`.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use arcp_transport::{CloseCode, CloseFrame, TransportError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Reading, WsTransport, convert};

/// How far `poll_close` has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closing {
    /// What was fed, and a close frame behind it, is being written.
    Sending,
    /// The peer's close frame, or the end of its stream, is awaited.
    Answer,
    /// Our half of the connection is being ended.
    Shutdown,
    /// The end of the peer's half is awaited, so that the connection is not reset.
    Linger,
    /// Nothing is left to do.
    Done,
}

impl<S: AsyncRead + AsyncWrite + Unpin> WsTransport<S> {
    /// Fails only while our last frames are being written: once they are out, a peer that ends the
    /// connection in whatever way it likes has closed it.
    pub(super) fn poll_closed(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        loop {
            self.closing = match self.closing {
                Closing::Sending => {
                    self.queue_close();
                    let written = self.poll_written(cx);
                    if written.is_pending() {
                        // A peer that waits for us to read will not read either.
                        let _ = self.poll_discard(cx);
                    }
                    match ready!(written) {
                        // What was written was a frame that had waited for room.
                        Ok(()) if !self.sent_close && !self.received_close => Closing::Sending,
                        Ok(()) | Err(TransportError::Closed) => Closing::Answer,
                        Err(error) => {
                            self.closing = Closing::Done;
                            return Poll::Ready(Err(error));
                        }
                    }
                }
                Closing::Answer => {
                    if self.reading == Reading::Open {
                        ready!(self.poll_discard_frames(cx));
                    }
                    Closing::Shutdown
                }
                Closing::Shutdown => {
                    // Refused only when the connection is gone already.
                    let _ = ready!(Pin::new(self.socket.get_mut()).poll_shutdown(cx));
                    Closing::Linger
                }
                Closing::Linger => {
                    ready!(self.poll_discard_bytes(cx));
                    Closing::Done
                }
                Closing::Done => return Poll::Ready(Ok(())),
            };
        }
    }

    fn queue_close(&mut self) {
        if !self.sent_close && !self.received_close && self.unsent.is_none() {
            self.sent_close = true;
            self.unsent = Some(convert::sent_close(CloseFrame::new(CloseCode::NORMAL, "")));
        }
    }

    /// Reads and forgets until the peer's half has ended.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_discard_frames(cx));
        self.poll_discard_bytes(cx)
    }

    fn poll_discard_frames(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while ready!(self.poll_frame(cx)).is_some() {}
        Poll::Ready(())
    }

    /// Past a broken frame there are no frames to be made out, only bytes.
    fn poll_discard_bytes(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut scratch = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(self.socket.get_mut()).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                self.reading = Reading::Ended;
                return Poll::Ready(());
            }
        }
    }
}
