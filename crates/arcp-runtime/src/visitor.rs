//! Who stands at the door: what is known of a connection before anything is said over it. Whether they may come in is for an
//! [`Authenticator`](crate::Authenticator).

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use arcp_proto::TraceContext;
use arcp_transport::{Arrival, BoxTransport, Peer};

/// A connection that has not been authenticated: its peer, and what it came with, such as the request that asked for it.
///
/// It is let go of once its session is open, or with its connection, and so can hold what a connection is to count for until
/// then.
#[derive(Clone)]
pub struct Visitor {
    peer: Peer,
    request: Option<Arc<dyn Any + Send + Sync>>,
    trace: Option<TraceContext>,
}

impl Visitor {
    /// Somebody of whom no more is known than the link knows.
    pub fn new(peer: Peer) -> Self {
        Self { peer, request: None, trace: None }
    }

    /// Somebody who came with a request. `arcp-axum` and `WsListener` give the `http::request::Parts` of the upgrade.
    #[must_use]
    pub fn with_request<T: Send + Sync + 'static>(self, request: T) -> Self {
        Self { request: Some(Arc::new(request)), ..self }
    }

    /// Somebody who came within a trace (§11), as the headers of a request say: the span of a session that is opened belongs to that.
    /// Jobs are in the traces that they are submitted in. `arcp-axum` and `WsListener` read the headers.
    #[must_use]
    pub fn within_trace(self, trace: impl Into<Option<TraceContext>>) -> Self {
        Self { trace: trace.into(), ..self }
    }

    /// Who has arrived at a listener, and over which link.
    pub(crate) fn arrived(arrival: Arrival) -> (BoxTransport, Self) {
        let Arrival { link, peer, request, trace, .. } = arrival;
        let trace = trace.and_then(|trace| TraceContext::new(&trace.traceparent, trace.tracestate).ok());
        (link, Self { peer, request, trace })
    }

    /// The trace that the connection was asked for in.
    pub(crate) fn trace(&self) -> Option<&TraceContext> {
        self.trace.as_ref()
    }

    /// Who is at the other end, as far as the link knows.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// What the connection came with, if that is a `T`.
    pub fn request<T: 'static>(&self) -> Option<&T> {
        self.request.as_deref()?.downcast_ref()
    }
}

impl From<Peer> for Visitor {
    fn from(peer: Peer) -> Self {
        Self::new(peer)
    }
}

impl fmt::Debug for Visitor {
    /// Shows nothing of a request, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Visitor").field("peer", &self.peer).finish_non_exhaustive()
    }
}
