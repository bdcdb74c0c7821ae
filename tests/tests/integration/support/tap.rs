//! A tap on the link of the real client: everything that it and its runtime say is held to `schema.rs` and `watch.rs`.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use arcp_transport::{BoxFuture, BoxTransport, ConnectError, Connector, Frame, TransportError};
use futures_util::{Sink, Stream};

use super::watch::Watch;

/// What was wrong with the frames of any number of clients.
type Notes = Arc<Mutex<Vec<String>>>;

/// Listens to clients, and fails its test when it is dropped and something was wrong.
#[derive(Default)]
pub(crate) struct Wrongs(Notes);

impl Wrongs {
    /// A connector whose links are listened to.
    pub(crate) fn tap<C: Connector>(&self, connector: C) -> Tap<C> {
        Tap { connector, watch: Arc::default(), notes: Arc::clone(&self.0) }
    }
}

impl Drop for Wrongs {
    fn drop(&mut self) {
        let wrongs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::thread::panicking() {
            assert!(wrongs.is_empty(), "{}", wrongs.join("\n\n"));
        }
    }
}

pub(crate) struct Tap<C> {
    connector: C,
    watch: Arc<Mutex<Watch>>,
    notes: Notes,
}

impl<C: Connector> Connector for Tap<C> {
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>> {
        Box::pin(async move {
            let link = self.connector.connect().await?;
            self.watch.lock().unwrap_or_else(PoisonError::into_inner).reconnected();
            let (watch, notes) = (Arc::clone(&self.watch), Arc::clone(&self.notes));
            Ok(Box::pin(Tapped { link, watch, notes }) as BoxTransport)
        })
    }
}

struct Tapped {
    link: BoxTransport,
    watch: Arc<Mutex<Watch>>,
    notes: Notes,
}

impl Tapped {
    fn note(&self, side: &str, broken: &str) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{side}: {broken}"));
    }
}

impl Stream for Tapped {
    type Item = Result<Frame, TransportError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.link.as_mut().poll_next(cx));
        if let Some(Ok(Frame::Text(frame))) = &item {
            let heard = self.watch.lock().unwrap_or_else(PoisonError::into_inner).received(frame);
            if let Err(broken) = heard {
                self.note("runtime", &broken);
            }
        }
        Poll::Ready(item)
    }
}

impl Sink<Frame> for Tapped {
    type Error = TransportError;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.link.as_mut().poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), TransportError> {
        if let Frame::Text(frame) = &frame {
            let said = self.watch.lock().unwrap_or_else(PoisonError::into_inner).sent(frame);
            if let Err(broken) = said {
                self.note("client", &broken);
            }
        }
        self.link.as_mut().start_send(frame)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.link.as_mut().poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.link.as_mut().poll_close(cx)
    }
}
