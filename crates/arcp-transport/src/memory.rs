//! Links within one process: two ends made together, or a connector with its listener.
//!
//! They keep the whole contract of [`Transport`](crate::Transport), close frames and back-pressure
//! included, and need no async runtime. They lose, delay and reorder nothing.

mod listener;

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_channel::{mpsc, oneshot};
use futures_core::Stream;
use futures_sink::Sink;

pub use listener::{BACKLOG, CAPACITY, MemoryConnector, MemoryListener, listener};

use crate::{CloseCode, CloseFrame, Frame, TransportError};

/// Two ends of one link. Each direction holds up to `capacity` frames (at least one) that the other
/// end has not read; then `poll_ready` waits for it. A close frame takes no room.
pub fn pair(capacity: usize) -> (MemoryTransport, MemoryTransport) {
    let (left_out, right_in) = direction(capacity);
    let (right_out, left_in) = direction(capacity);
    (MemoryTransport::new(left_out, left_in), MemoryTransport::new(right_out, right_in))
}

/// One end of a link within this process. Made by [`pair`] and by [`listener`].
///
/// A frame is with the other end as soon as it is fed; flushing does nothing. Dropping one end ends
/// the other's stream, after the frames that are already on their way.
pub struct MemoryTransport {
    out: Option<Outgoing>,
    incoming: Incoming,
}

/// The close frame has a slot of its own, so that `close()` and the answer to the peer's close frame
/// never wait for a full queue. It is read only after the queue, so that it overtakes nothing.
struct Outgoing {
    frames: mpsc::Sender<Frame>,
    close: oneshot::Sender<CloseFrame>,
}

struct Incoming {
    frames: mpsc::Receiver<Frame>,
    /// `None` once the end of the stream has been reached.
    close: Option<oneshot::Receiver<CloseFrame>>,
}

fn direction(capacity: usize) -> (Outgoing, Incoming) {
    // The channel adds one slot for its only sender.
    let (frames_out, frames_in) = mpsc::channel(capacity.saturating_sub(1));
    let (close_out, close_in) = oneshot::channel();
    (Outgoing { frames: frames_out, close: close_out }, Incoming { frames: frames_in, close: Some(close_in) })
}

impl MemoryTransport {
    fn new(out: Outgoing, incoming: Incoming) -> Self {
        Self { out: Some(out), incoming }
    }

    /// Whether the other end has been dropped or will read no more.
    fn is_abandoned(&self) -> bool {
        self.out.as_ref().is_none_or(|out| out.frames.is_closed())
    }

    fn send_close(&mut self, close: CloseFrame) {
        if let Some(out) = self.out.take() {
            // Refused only when the other end is gone, and then there is nobody to tell.
            let _ = out.close.send(close);
        }
    }
}

impl Stream for MemoryTransport {
    type Item = Result<Frame, TransportError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some(close) = &mut this.incoming.close else { return Poll::Ready(None) };
        if let Some(frame) = ready!(Pin::new(&mut this.incoming.frames).poll_next(cx)) {
            return Poll::Ready(Some(Ok(frame)));
        }
        let closed = ready!(Pin::new(close).poll(cx));
        this.incoming.close = None;
        Poll::Ready(closed.ok().map(|close| {
            // As WebSocket does: the answer to a close frame is the same close frame.
            this.send_close(close.clone());
            Ok(Frame::Close(close))
        }))
    }
}

impl Sink<Frame> for MemoryTransport {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        match &mut self.out {
            Some(out) => out.frames.poll_ready(cx).map_err(|_| TransportError::Closed),
            None => Poll::Ready(Err(TransportError::Closed)),
        }
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        if self.is_abandoned() {
            return Err(TransportError::Closed);
        }
        match (frame, &mut self.out) {
            (Frame::Close(close), _) => self.send_close(close),
            (frame, Some(out)) => out.frames.start_send(frame).map_err(|_| TransportError::Closed)?,
            (_, None) => return Err(TransportError::Closed),
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.send_close(CloseFrame::new(CloseCode::NORMAL, ""));
        while ready!(self.as_mut().poll_next(cx)).is_some() {}
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for MemoryTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTransport")
            .field("writable", &!self.is_abandoned())
            .field("readable", &self.incoming.close.is_some())
            .finish()
    }
}
