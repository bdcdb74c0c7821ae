//! A connector that finds the runtime wherever it is now, shows what goes over its connections, and loses some of it.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use arcp::transport::{BoxFuture, BoxTransport, ConnectError, Connector, Frame, TransportError};
use arcp::ws::WsConnector;
use futures_util::{Sink, Stream};
use tokio::sync::watch;

use crate::random::Random;
use crate::wire::Wire;
use crate::world::lock;

pub(crate) struct Tap {
    pub(crate) address: watch::Receiver<Option<String>>,
    pub(crate) wire: Arc<Wire>,
    pub(crate) losses: Losses,
}

/// How a client loses what was sent to it.
pub(crate) struct Losses {
    /// Whether it ever does.
    pub(crate) any: bool,
    pub(crate) random: Mutex<Random>,
    pub(crate) closing: watch::Receiver<bool>,
}

impl Connector for Tap {
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>> {
        Box::pin(async move {
            let mut address = self.address.clone();
            // If the life is over it cannot matter where.
            let url =
                address.wait_for(Option::is_some).await.ok().and_then(|url| url.clone()).unwrap_or_default();
            let transport = WsConnector::new(&url)?.connect().await?;
            self.wire.connected();
            let wire = Arc::clone(&self.wire);
            let (delivered, lost) = self.losses.draw();
            let mut closing = self.losses.closing.clone();
            let closing = async move { drop(closing.wait_for(|closing| *closing).await) };
            let tapped = Tapped { transport, wire, delivered, lost, closing: Box::pin(closing) };
            let tapped: BoxTransport = Box::pin(tapped);
            Ok(tapped)
        })
    }
}

impl Losses {
    /// How many frames of a connection come through, and how many are then lost before it is cut.
    fn draw(&self) -> (u64, u64) {
        let mut random = lock(&self.random);
        match random.within(0, 99) {
            _ if !self.any => (u64::MAX, 0),
            0..=4 => (0, 1), // the welcome
            5..=44 => (random.within(2, 120), random.within(1, 60)),
            _ => (u64::MAX, 0),
        }
    }
}

struct Tapped {
    transport: BoxTransport,
    wire: Arc<Wire>,
    /// Frames that still come through.
    delivered: u64,
    /// Frames that are lost before the connection is cut.
    lost: u64,
    /// Then nothing is lost any more.
    closing: BoxFuture<'static, ()>,
}

impl Stream for Tapped {
    type Item = Result<Frame, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if self.delivered == 0 && (self.lost == 0 || self.closing.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(None);
            }
            let polled = self.transport.as_mut().poll_next(cx);
            let Poll::Ready(Some(Ok(Frame::Text(text)))) = &polled else { return polled };
            let comes_through = self.delivered > 0;
            self.wire.heard(text, comes_through);
            if comes_through {
                self.delivered -= 1;
                return polled;
            }
            self.lost -= 1;
        }
    }
}

impl Sink<Frame> for Tapped {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.transport.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        if let Frame::Text(text) = &frame {
            self.wire.said(text);
        }
        self.transport.as_mut().start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.transport.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.transport.as_mut().poll_close(cx)
    }
}
