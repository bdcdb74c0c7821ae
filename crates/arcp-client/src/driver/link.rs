//! The link of a session: up, being made, or down. Reading and writing it, polled in turn so that neither blocks the
//! other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arcp_core::client::Transmit;
use arcp_transport::{BoxTransport, CloseCode, CloseFrame, ConnectError, Connector, Frame, TransportError};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};

/// Frames that wait to be written; beyond it nothing is read, so that no peer makes us answer without end.
const UNWRITTEN: usize = 256;
/// How long the peer has to take its leave once the connection is being closed.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) struct Link {
    connector: Arc<dyn Connector>,
    state: State,
    out: VecDeque<Transmit>,
    unflushed: bool,
}

enum State {
    Up(BoxTransport),
    Dialing(BoxFuture<'static, Result<BoxTransport, ConnectError>>),
    Down,
}

/// Something that has happened to the link.
pub(super) enum Happened {
    /// A new connection is there.
    Connected,
    /// A new connection could not be made.
    NotConnected,
    /// A frame, an error, or the end.
    Frame(Option<Result<Frame, TransportError>>),
    /// Everything is written.
    Written,
}

impl Link {
    pub(super) fn new(connector: Arc<dyn Connector>, transport: BoxTransport) -> Self {
        Self { connector, state: State::Up(transport), out: VecDeque::new(), unflushed: false }
    }

    pub(super) fn send(&mut self, transmit: Transmit) {
        self.out.push_back(transmit);
    }

    /// Makes a new connection. The old one, if it still is, is left.
    pub(super) fn dial(&mut self) {
        self.leave();
        let connector = Arc::clone(&self.connector);
        self.state = State::Dialing(async move { connector.connect().await }.boxed());
    }

    /// Leaves the connection: what is still to be written has a little time, out of anybody's way.
    pub(super) fn leave(&mut self) {
        let left = self.hand_over();
        tokio::spawn(left.close());
    }

    /// Takes the connection and what is still to be written over it.
    pub(super) fn hand_over(&mut self) -> Leaving {
        let state = std::mem::replace(&mut self.state, State::Down);
        let out = std::mem::take(&mut self.out);
        let unflushed = std::mem::take(&mut self.unflushed);
        let transport = match state {
            State::Up(transport) => Some(transport),
            State::Dialing(_) | State::Down => None,
        };
        Leaving { transport, out, unflushed }
    }

    pub(super) fn poll(&mut self, reads: bool, cx: &mut Context<'_>) -> Poll<Happened> {
        match &mut self.state {
            State::Down => Poll::Pending,
            State::Dialing(dialing) => match ready!(dialing.poll_unpin(cx)) {
                Ok(transport) => {
                    self.state = State::Up(transport);
                    Poll::Ready(Happened::Connected)
                }
                Err(error) => {
                    tracing::debug!(%error, "runtime cannot be reached");
                    self.state = State::Down;
                    Poll::Ready(Happened::NotConnected)
                }
            },
            State::Up(transport) => {
                let has_output = !self.out.is_empty() || self.unflushed;
                if has_output
                    && let Poll::Ready(written) =
                        poll_write(transport, &mut self.out, &mut self.unflushed, cx)
                {
                    return Poll::Ready(
                        written
                            .map_or_else(|error| Happened::Frame(Some(Err(error))), |()| Happened::Written),
                    );
                }
                if !reads || self.out.len() >= UNWRITTEN {
                    return Poll::Pending;
                }
                let frame = ready!(transport.poll_next_unpin(cx));
                if frame.is_none() {
                    self.leave(); // it would say so again and again
                }
                Poll::Ready(Happened::Frame(frame))
            }
        }
    }
}

/// A connection that is being left.
pub(super) struct Leaving {
    transport: Option<BoxTransport>,
    out: VecDeque<Transmit>,
    unflushed: bool,
}

impl Leaving {
    /// Writes what is left and closes, so that the peer sees it; 5 s at most.
    pub(super) async fn close(self) {
        let Self { transport, mut out, mut unflushed } = self;
        let Some(mut transport) = transport else { return };
        let closing = async {
            let _ = std::future::poll_fn(|cx| poll_write(&mut transport, &mut out, &mut unflushed, cx)).await;
            let _ = transport.close().await;
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closing).await;
    }
}

/// Writes everything that is to be written and flushes. Losing interest half-way loses nothing.
fn poll_write(
    transport: &mut BoxTransport,
    out: &mut VecDeque<Transmit>,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), TransportError>> {
    let mut transport: Pin<&mut BoxTransport> = Pin::new(transport);
    while !out.is_empty() {
        ready!(transport.as_mut().poll_ready(cx))?;
        let frame = match out.pop_front() {
            Some(Transmit::Frame(text)) => Frame::Text(text),
            Some(Transmit::Close) => Frame::Close(CloseFrame::new(CloseCode::NORMAL, "")),
            None => break,
        };
        transport.as_mut().start_send(frame)?;
        *unflushed = true;
    }
    if *unflushed {
        ready!(transport.as_mut().poll_flush(cx))?;
        *unflushed = false;
    }
    Poll::Ready(Ok(()))
}
