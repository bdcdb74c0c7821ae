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

use super::life::Leash;
use crate::StdioTransport;

/// Frames pass through as they are; only closing is about the child as well.
pub(super) struct ChildLink {
    pipes: StdioTransport<ChildStdout, ChildStdin>,
    leash: Leash,
    grace: Duration,
    /// When the child is killed; since closing began.
    deadline: Option<Pin<Box<Sleep>>>,
    /// How closing the pipes ended.
    closed: Option<Result<(), TransportError>>,
}

impl ChildLink {
    pub(super) fn new(pipes: StdioTransport<ChildStdout, ChildStdin>, leash: Leash, grace: Duration) -> Self {
        Self { pipes, leash, grace, deadline: None, closed: None }
    }
}

impl Stream for ChildLink {
    type Item = Result<Frame, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.pipes).poll_next(cx)
    }
}

impl Sink<Frame> for ChildLink {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.pipes).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        Pin::new(&mut self.pipes).start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Pin::new(&mut self.pipes).poll_flush(cx)
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
        ready!(this.leash.poll_reaped(cx));
        Poll::Ready(this.closed.replace(Ok(())).unwrap_or(Ok(())))
    }
}
