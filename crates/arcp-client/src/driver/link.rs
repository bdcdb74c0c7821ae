//! The link of a session: up, being made, or down. Reading and writing it, polled in turn so that neither blocks the
//! other.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arcp_core::client::Transmit;
use arcp_proto::BearerToken;
use arcp_transport::{BoxTransport, CloseCode, CloseFrame, ConnectError, Connector, Frame, TransportError};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};

/// Frames that wait to be written; beyond it nothing is read, so that no peer makes us answer without end.
const UNWRITTEN: usize = 256;
/// How long whoever has the tokens may take; then it is asked again later.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the peer has to take its leave once the connection is being closed.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Asks whoever has them for a token; what went wrong is said in words.
pub(crate) type Tokens = Arc<dyn Fn() -> BoxFuture<'static, Result<BearerToken, String>> + Send + Sync>;

pub(super) struct Link {
    connector: Arc<dyn Connector>,
    /// Where tokens come from after the first.
    tokens: Option<Tokens>,
    state: State,
    out: VecDeque<Transmit>,
    unflushed: bool,
}

enum State {
    Up(BoxTransport),
    Dialing(BoxFuture<'static, Result<Dialed, NotDialed>>),
    Down,
}

/// A new connection, with the token to introduce oneself with if that is another one.
type Dialed = (BoxTransport, Option<BearerToken>);

/// Why there is none.
#[derive(Debug, thiserror::Error)]
enum NotDialed {
    #[error("runtime cannot be reached: {0}")]
    Transport(#[from] ConnectError),
    #[error("no token is to be had: {0}")]
    Token(String),
    #[error("no token was there within {TOKEN_TIMEOUT:?}")]
    LateToken,
}

/// Something that has happened to the link.
pub(super) enum Happened {
    /// A new connection is there, and perhaps a new token.
    Connected(Option<BearerToken>),
    /// A new connection could not be made.
    NotConnected,
    /// A frame, an error, or the end.
    Frame(Option<Result<Frame, TransportError>>),
    /// Everything is written.
    Written,
}

impl Link {
    pub(super) fn new(
        connector: Arc<dyn Connector>,
        tokens: Option<Tokens>,
        transport: BoxTransport,
    ) -> Self {
        Self { connector, tokens, state: State::Up(transport), out: VecDeque::new(), unflushed: false }
    }

    pub(super) fn send(&mut self, transmit: Transmit) {
        self.out.push_back(transmit);
    }

    /// Makes a new connection. The old one, if it still is, is left.
    pub(super) fn dial(&mut self) {
        self.leave();
        let (connector, tokens) = (Arc::clone(&self.connector), self.tokens.clone());
        let dialing = async move {
            let token = match tokens {
                Some(ask) => {
                    let token = tokio::time::timeout(TOKEN_TIMEOUT, ask()).await;
                    Some(token.map_err(|_| NotDialed::LateToken)?.map_err(NotDialed::Token)?)
                }
                None => None,
            };
            Ok((connector.connect().await?, token))
        };
        self.state = State::Dialing(dialing.boxed());
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
                Ok((transport, token)) => {
                    self.state = State::Up(transport);
                    Poll::Ready(Happened::Connected(token))
                }
                Err(error) => {
                    tracing::debug!(%error, "connection cannot be made again");
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
