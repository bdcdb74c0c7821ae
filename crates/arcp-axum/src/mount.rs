//! The route: from an HTTP request to a session's connection.

use std::net::SocketAddr;
use std::sync::Arc;

use arcp_runtime::proto::TraceContext;
use arcp_runtime::{Health, Runtime};
use arcp_transport::Peer;
use arcp_transport_ws::{WsConfig, WsTransport, handshake};
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any};
use http::{HeaderMap, StatusCode, header};
use hyper_util::rt::TokioIo;

/// A route that serves ARCP over WebSocket (§4), with the defaults of [`Mount`].
pub fn serve<S: Clone + Send + Sync + 'static>(runtime: Runtime) -> MethodRouter<S> {
    Mount::new(runtime).into_route()
}

/// A runtime about to be mounted in a router.
#[derive(Clone)]
pub struct Mount {
    runtime: Runtime,
    config: WsConfig,
    origins: Vec<String>,
}

impl Mount {
    /// A runtime that no browser may reach, with frames of up to 1 MiB.
    pub fn new(runtime: Runtime) -> Self {
        Self { runtime, config: WsConfig::server(), origins: Vec::new() }
    }

    /// Lets pages of this origin in, such as `https://console.example.com`. Compared as a whole, without regard to case.
    #[must_use]
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into().trim_end_matches('/').to_owned());
        self
    }

    /// The largest frame that is read, in bytes; a larger one is answered with `INVALID_REQUEST` and close 1009.
    #[must_use]
    pub fn max_frame_bytes(mut self, limit: usize) -> Self {
        self.config.max_frame_bytes = limit;
        self
    }

    /// The route.
    pub fn into_route<S: Clone + Send + Sync + 'static>(self) -> MethodRouter<S> {
        let mount = Arc::new(self);
        any(move |request: Request| {
            let mount = Arc::clone(&mount);
            async move { mount.upgrade(request) }
        })
    }

    fn upgrade(&self, mut request: Request) -> Response {
        if !self.allows(request.headers()) {
            return (StatusCode::FORBIDDEN, "this origin is not allowed to reach the runtime\n")
                .into_response();
        }
        if !matches!(
            self.runtime.health(),
            Health::Starting | Health::Ready | Health::Full | Health::Draining
        ) {
            let retry = [(header::RETRY_AFTER, "5")];
            return (StatusCode::SERVICE_UNAVAILABLE, retry, "the runtime takes no new connections\n")
                .into_response();
        }
        let response = match handshake::accept(&request) {
            Ok(response) => response,
            Err(refusal) => {
                let text = format!("{refusal}\n");
                return refusal.response().map(|()| Body::from(text));
            }
        };
        let (peer, trace) = (peer_of(&request), trace_of(request.headers()));
        let upgrade = hyper::upgrade::on(&mut request);
        let (runtime, config) = (self.runtime.clone(), self.config);
        tokio::spawn(async move {
            match upgrade.await {
                Ok(upgraded) => {
                    let transport = WsTransport::server(TokioIo::new(upgraded), config).await;
                    let serving = runtime.serve_traced(Box::pin(transport), peer, trace);
                    drop(runtime); // its owners decide how long it lives, not its clients
                    serving.await;
                }
                Err(error) => tracing::debug!(%error, "connection was lost before its upgrade"),
            }
        });
        response.map(|()| Body::empty())
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| {
            let origin = origin.to_str();
            origin.is_ok_and(|origin| self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin)))
        })
    }
}

/// Which trace a request belongs to, by the headers of W3C Trace Context: none if it names several. Of several `tracestate`s the
/// first is enough.
fn trace_of(headers: &HeaderMap) -> Option<TraceContext> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let alone = headers.get_all("traceparent").iter().count() == 1;
    TraceContext::new(text("traceparent").filter(|_| alone)?, text("tracestate").map(str::to_owned)).ok()
}

/// Who asks, as far as the server tells. Whether a request came over TLS no server does.
fn peer_of(request: &Request) -> Peer {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| *address);
    Peer { address, secure: address.is_some_and(|address| address.ip().to_canonical().is_loopback()) }
}
