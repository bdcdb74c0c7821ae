//! Opening links within one process through the [`Connector`] and [`Listener`] traits. The links
//! themselves are in `memory.rs`.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use futures_channel::mpsc;
use futures_core::Stream;

use super::{MemoryTransport, pair};
use crate::{BoxFuture, BoxTransport, ConnectError, Connector, Listener, Peer};

/// Frames that a link made by a [`MemoryConnector`] holds in each direction, unless told otherwise.
pub const CAPACITY: usize = 64;

/// Links that may wait for a [`MemoryListener`] to accept them; the next one is refused.
pub const BACKLOG: usize = 128;

const TARGET: &str = "the in-memory listener";

/// A connector and the listener that it connects to.
pub fn listener() -> (MemoryConnector, MemoryListener) {
    // The channel adds one slot for its only sender.
    let (arriving, accepting) = mpsc::channel(BACKLOG - 1);
    (
        MemoryConnector { arriving: Arc::new(Mutex::new(arriving)), capacity: CAPACITY },
        MemoryListener { accepting },
    )
}

/// Opens links to a [`MemoryListener`] in this process.
///
/// `connect` does not wait for the other end to accept. Clones connect to the same listener.
///
/// # Errors
///
/// [`ConnectError::Unreachable`] when the listener has been dropped (connection refused), or when
/// [`BACKLOG`] links are waiting there (would block).
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    arriving: Arc<Mutex<mpsc::Sender<MemoryTransport>>>,
    capacity: usize,
}

impl MemoryConnector {
    /// Sets how many frames each direction of a link holds (see [`pair`]).
    pub fn with_capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    fn open(&self) -> io::Result<MemoryTransport> {
        let (ours, theirs) = pair(self.capacity);
        let mut arriving = self.arriving.lock().unwrap_or_else(PoisonError::into_inner);
        arriving.try_send(theirs).map_err(|refused| match refused.is_full() {
            true => io::ErrorKind::WouldBlock,
            false => io::ErrorKind::ConnectionRefused,
        })?;
        Ok(ours)
    }
}

impl Connector for MemoryConnector {
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>> {
        Box::pin(async {
            match self.open() {
                Ok(transport) => Ok(Box::pin(transport) as BoxTransport),
                Err(source) => Err(ConnectError::Unreachable { target: TARGET.into(), source }),
            }
        })
    }
}

/// Accepts the links of its [`MemoryConnector`]s. Dropping it refuses those that still wait.
#[derive(Debug)]
pub struct MemoryListener {
    accepting: mpsc::Receiver<MemoryTransport>,
}

impl Listener for MemoryListener {
    /// The next link.
    ///
    /// # Errors
    ///
    /// Broken pipe, once every connector has been dropped.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxTransport, Peer)>> {
        Box::pin(async {
            let arrived = std::future::poll_fn(|cx| std::pin::Pin::new(&mut self.accepting).poll_next(cx));
            match arrived.await {
                Some(transport) => Ok((Box::pin(transport) as BoxTransport, Peer::LOCAL)),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            }
        })
    }
}
