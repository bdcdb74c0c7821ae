//! An upgrade that has been asked for and not been granted: what handlers of one's own extract.

use std::fmt;
use std::net::SocketAddr;

use arcp_runtime::proto::TraceContext;
use arcp_runtime::{Health, Runtime, Visitor};
use arcp_transport::Peer;
use arcp_transport_ws::door::{FOREIGN_PAGE, Origins};
use arcp_transport_ws::{WsConfig, WsTransport, handshake};
use axum::body::Body;
use axum::extract::{ConnectInfo, FromRequest, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;

use crate::TlsPeer;

/// A request for a WebSocket, as an extractor: for handlers that look at the request, or choose among runtimes, before one serves
/// it. It takes the whole request, and so comes last.
///
/// ```
/// use arcp_axum::Upgrade;
/// use arcp_runtime::Runtime;
/// use axum::extract::State;
/// use axum::http::{HeaderMap, StatusCode};
/// use axum::response::{IntoResponse, Response};
///
/// async fn sessions(State(runtime): State<Runtime>, headers: HeaderMap, upgrade: Upgrade) -> Response {
///     match headers.get("x-tenant") {
///         Some(_) => upgrade.serve(&runtime),
///         None => StatusCode::BAD_REQUEST.into_response(),
///     }
/// }
/// # let _ = sessions;
/// ```
///
/// Dropping it, or what [`serve`](Self::serve) returns, ends the matter.
pub struct Upgrade {
    parts: Parts,
    on_upgrade: OnUpgrade,
    response: http::Response<()>,
    options: Options,
}

/// Why a request asks for no WebSocket.
#[derive(Debug)]
pub struct NoUpgrade(handshake::Refusal);

impl IntoResponse for NoUpgrade {
    fn into_response(self) -> Response {
        let text = format!("{}\n", self.0);
        self.0.response().map(|()| Body::from(text))
    }
}

/// What a link may be, and from which pages.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) config: WsConfig,
    pub(crate) origins: Origins,
}

impl Options {
    pub(crate) fn new() -> Self {
        Self { config: WsConfig::server(), origins: Origins::default() }
    }

    /// Why nobody with such a request may reach the runtime, if it is so.
    pub(crate) fn refusal(&self, headers: &HeaderMap, runtime: &Runtime) -> Option<Response> {
        if !self.origins.admit(headers) {
            return Some((StatusCode::FORBIDDEN, format!("{FOREIGN_PAGE}\n")).into_response());
        }
        if !takes_connections(runtime) {
            let retry = [(header::RETRY_AFTER, "5")];
            let refusal = (StatusCode::SERVICE_UNAVAILABLE, retry, "the runtime takes no new connections\n");
            return Some(refusal.into_response());
        }
        None
    }
}

impl<S: Sync> FromRequest<S> for Upgrade {
    type Rejection = NoUpgrade;

    async fn from_request(request: Request, _: &S) -> Result<Self, NoUpgrade> {
        Self::of(request)
    }
}

impl Upgrade {
    pub(crate) fn of(mut request: Request) -> Result<Self, NoUpgrade> {
        let response = handshake::accept(&request).map_err(NoUpgrade)?;
        let on_upgrade = hyper::upgrade::on(&mut request);
        let (parts, _) = request.into_parts();
        Ok(Self { parts, on_upgrade, response, options: Options::new() })
    }

    /// Lets pages of this origin in, as [`Mount::allow_origin`](crate::Mount::allow_origin) does. Without it, whatever has an
    /// `Origin` is refused.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.options.origins.allow(origin.into());
        self
    }

    /// The largest frame that is read, in bytes: 1 MiB if nothing is said.
    #[must_use]
    pub fn max_frame_bytes(mut self, limit: usize) -> Self {
        self.options.config.max_frame_bytes = limit;
        self
    }

    pub(crate) fn with_options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// The request. An [`Authenticator`](arcp_runtime::Authenticator) sees the same as the
    /// [`request`](arcp_runtime::Visitor::request) of its visitor.
    pub fn request(&self) -> &Parts {
        &self.parts
    }

    /// The same, to add to its extensions what an authenticator is to know.
    pub fn request_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }

    /// Who asks, as far as the server tells: by [`ConnectInfo<SocketAddr>`], and by [`TlsPeer`] where TLS is spoken. Who is on this
    /// machine is secure without TLS, unless the request says that a proxy has handed it on
    /// ([`is_forwarded`](arcp_transport_ws::handshake::is_forwarded)): nobody knows then who can read the way to that.
    pub fn peer(&self) -> Peer {
        let extensions = &self.parts.extensions;
        let address = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
        let is_here = address.is_some_and(|address| address.ip().to_canonical().is_loopback());
        let stays_here = is_here && !handshake::is_forwarded(&self.parts.headers);
        Peer { address, secure: stays_here || extensions.get::<TlsPeer>().is_some() }
    }

    /// Has a runtime serve the connection, once this response is sent: 101, or why there will be none.
    pub fn serve(self, runtime: &Runtime) -> Response {
        let peer = self.peer();
        let Self { parts, on_upgrade, response, options } = self;
        if let Some(refusal) = options.refusal(&parts.headers, runtime) {
            return refusal;
        }
        let runtime = runtime.clone();
        tokio::spawn(async move {
            match on_upgrade.await {
                Ok(upgraded) => {
                    let transport = WsTransport::server(TokioIo::new(upgraded), options.config).await;
                    let trace = handshake::trace_headers(&parts.headers)
                        .and_then(|trace| TraceContext::new(&trace.traceparent, trace.tracestate).ok());
                    let visitor = Visitor::new(peer).with_request(parts).within_trace(trace);
                    let serving = runtime.serve(Box::pin(transport), visitor);
                    drop(runtime); // its owners decide how long it lives, not its clients
                    serving.await;
                }
                Err(error) => tracing::debug!(%error, "connection was lost before its upgrade"),
            }
        });
        response.map(|()| Body::empty())
    }
}

impl fmt::Debug for Upgrade {
    /// Shows nothing of the headers, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").field("peer", &self.peer()).finish_non_exhaustive()
    }
}

fn takes_connections(runtime: &Runtime) -> bool {
    matches!(runtime.health(), Health::Starting | Health::Ready | Health::Full | Health::Draining)
}
