//! The link to a child: the pipes, and the child that is held at their other end.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use arcp_transport::{Frame, TransportError};
use futures_core::Stream;
use futures_sink::Sink;
use tokio::{
    process::{ChildStdin, ChildStdout},
    time::{Sleep, sleep},
};

use super::life::{Half, Leash};
use crate::StdioTransport;

/// How long the end of the pipes is kept back while the child has not exited.
const LAST_WORDS: Duration = Duration::from_secs(1);

type Pipes = StdioTransport<ChildStdout, ChildStdin>;

/// Frames pass through as they are; only the end is about the child as well.
pub(super) struct ChildLink {
    pipes: Pipes,
    leash: Leash,
    grace: Duration,
    /// What ended reading or writing, while it is kept back.
    last: Option<Option<Result<Frame, TransportError>>>,
    failed: Option<TransportError>,
    reading: LastWords,
    writing: LastWords,
    /// When the child is killed; since closing began.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How closing the pipes ended.
    closed: Option<Result<(), TransportError>>,
}

/// Waits until the last words of the child are in the log: whoever learns that the link has ended may exit, and they say why it has.
#[derive(Default)]
struct LastWords {
    are_logged: bool,
    /// When it is told whatever the child does.
    patience: Option<Pin<Box<Sleep>>>,
}

impl LastWords {
    fn poll(&mut self, leash: &mut Leash, half: Half, cx: &mut Context<'_>) -> Poll<()> {
        if !self.are_logged {
            let patience = self.patience.get_or_insert_with(|| Box::pin(sleep(LAST_WORDS)));
            if leash.poll_reaped(half, cx).is_pending() {
                ready!(patience.as_mut().poll(cx));
            }
            self.are_logged = true;
        }
        Poll::Ready(())
    }
}

impl ChildLink {
    pub(super) fn new(pipes: Pipes, leash: Leash, grace: Duration) -> Self {
        Self {
            pipes,
            leash,
            grace,
            last: None,
            failed: None,
            reading: LastWords::default(),
            writing: LastWords::default(),
            deadline: None,
            closed: None,
        }
    }

    fn poll_sink(
        &mut self,
        poll: impl FnOnce(Pin<&mut Pipes>, &mut Context<'_>) -> Poll<Result<(), TransportError>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransportError>> {
        if self.failed.is_none() {
            match ready!(poll(Pin::new(&mut self.pipes), cx)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(error) => self.failed = Some(error),
            }
        }
        ready!(self.writing.poll(&mut self.leash, Half::Writing, cx));
        Poll::Ready(Err(self.failed.take().unwrap_or(TransportError::Closed)))
    }
}

impl Stream for ChildLink {
    type Item = Result<Frame, TransportError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.last.is_none() {
            match ready!(Pin::new(&mut this.pipes).poll_next(cx)) {
                Some(Ok(frame @ (Frame::Text(_) | Frame::Binary(_)))) => return Poll::Ready(Some(Ok(frame))),
                last => this.last = Some(last),
            }
        }
        ready!(this.reading.poll(&mut this.leash, Half::Reading, cx));
        Poll::Ready(this.last.take().flatten())
    }
}

impl Sink<Frame> for ChildLink {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_sink(Pipes::poll_ready, cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        Pin::new(&mut self.pipes).start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_sink(Pipes::poll_flush, cx)
    }

    /// Ends with the child and not with its pipes, which what it has started may hold open.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        let this = self.get_mut();
        if this.closed.is_none()
            && let Poll::Ready(closed) = Pin::new(&mut this.pipes).poll_close(cx)
        {
            this.closed = Some(closed);
        }
        let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(this.grace)));
        if this.leash.is_held() && deadline.as_mut().poll(cx).is_ready() {
            tracing::debug!(target: "arcp::child", grace = ?this.grace, "child does not exit, it is killed");
            this.leash.kill();
        }
        ready!(this.leash.poll_reaped(Half::Writing, cx));
        Poll::Ready(this.closed.replace(Ok(())).unwrap_or(Ok(())))
    }
}
