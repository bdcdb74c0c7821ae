//! Where a runtime takes links from. Who may open a session over one is not decided here.

use std::{any::Any, fmt, io, net::SocketAddr, sync::Arc};

use crate::{BoxFuture, BoxTransport};

/// Where links to a runtime arrive.
///
/// A listener hands over links that are ready for frames: whatever handshake the link has is done,
/// and one peer that dawdles over its handshake keeps no other from being accepted.
pub trait Listener: Send {
    /// The next link.
    ///
    /// Dropping the future loses no link: the next call goes on from there. A listener may stop
    /// taking links while nobody waits in `accept`.
    ///
    /// # Errors
    ///
    /// An error means that this listener will yield nothing more. Whatever passes by itself
    /// (a peer that gave up, a shortage of file descriptors) is waited out inside.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxTransport, Peer)>>;

    /// The same, with what the link came with. This is what a runtime asks; if nothing is said, it is
    /// [`accept`](Self::accept), and no more is known than the peer.
    ///
    /// # Errors
    ///
    /// Those of [`accept`](Self::accept).
    fn accept_arrival(&mut self) -> BoxFuture<'_, io::Result<Arrival>> {
        let accepting = self.accept();
        Box::pin(async {
            let (link, peer) = accepting.await?;
            Ok(Arrival::new(link, peer))
        })
    }
}

/// A link that has arrived, with what is known of it before anything is said over it.
#[non_exhaustive]
pub struct Arrival {
    /// The link.
    pub link: BoxTransport,
    /// Who is at its other end.
    pub peer: Peer,
    /// What it was asked for with. A runtime shows it to whoever decides on who comes in, and lets go of it once a session is
    /// open: it can hold what a link is to count for until then.
    pub request: Option<Arc<dyn Any + Send + Sync>>,
    /// The trace that it was asked for in (§11).
    pub trace: Option<TraceHeaders>,
}

impl Arrival {
    /// A link of which no more is known than its peer.
    pub fn new(link: BoxTransport, peer: Peer) -> Self {
        Self { link, peer, request: None, trace: None }
    }

    /// One that was asked for with a request.
    #[must_use]
    pub fn with_request<T: Send + Sync + 'static>(self, request: T) -> Self {
        Self { request: Some(Arc::new(request)), ..self }
    }

    /// One that was asked for within a trace.
    #[must_use]
    pub fn within_trace(self, trace: Option<TraceHeaders>) -> Self {
        Self { trace, ..self }
    }
}

impl fmt::Debug for Arrival {
    /// Shows nothing of a request, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The headers of W3C Trace Context, as they came: nobody has looked at what they say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceHeaders {
    /// `traceparent`.
    pub traceparent: String,
    /// `tracestate`.
    pub tracestate: Option<String>,
}

/// Who is at the other end of a link, as far as the link knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its network address, which may be that of a proxy; `None` where links have no addresses.
    pub address: Option<SocketAddr>,
    /// Whether nobody between the two ends can read the link: it is encrypted, or never leaves this
    /// machine. A runtime provisions credentials (§9.8) over nothing else.
    pub secure: bool,
}

impl Peer {
    /// A peer on this machine that is reached without the network: in this process, or over a pipe.
    pub const LOCAL: Self = Self { address: None, secure: true };
}
