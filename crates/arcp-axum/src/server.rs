//! A router over TCP, for peers that nobody knows yet: with deadlines, a bound, and no delay.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

/// How long a peer may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait before accepting again when the process has no file descriptor left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How long requests in progress may take once the server is shutting down.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Serves a router over TCP.
///
/// A request head must come within 10 s. No more than [`max_connections`](Self::max_connections) that have not been upgraded
/// are served at a time; further ones wait to be accepted. A request can be asked for its
/// [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo).
pub struct Server {
    listener: TcpListener,
    max_connections: usize,
}

impl Server {
    /// Listens at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, max_connections: 1_024 })
    }

    /// How many connections may be in HTTP at a time; 1,024 if nothing is said. Connections that speak ARCP do not count.
    #[must_use]
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.max_connections = limit.max(1);
        self
    }

    /// The address that it listens at.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `shutdown` is done. Then nothing more is accepted, and requests in progress have 5 s before they are
    /// cut. Dropping the future cuts them at once.
    ///
    /// Connections that speak ARCP are the runtime's: see `Runtime::shutdown`.
    pub async fn serve(self, router: Router, shutdown: impl Future<Output = ()>) {
        let slots = Arc::new(Semaphore::new(self.max_connections));
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        let over = CancellationToken::new();
        let cut = over.clone().drop_guard();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = async {
                let slot = Arc::clone(&slots).acquire_owned().await;
                (slot, self.listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                accepted = accepted => accepted,
                () = &mut shutdown => break,
            };
            match accepted {
                Ok((tcp, address)) => {
                    let connection = serve_connection(tcp, address, router.clone(), stopping.clone());
                    let over = over.clone();
                    tasks.spawn(async move {
                        over.run_until_cancelled(connection).await;
                        drop(slot);
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted for now");
                    tokio::time::sleep(ACCEPT_BACKOFF).await;
                }
            }
        }
        stopping.cancel();
        tasks.close();
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, tasks.wait()).await;
        drop(cut);
    }
}

async fn serve_connection(tcp: TcpStream, address: SocketAddr, router: Router, stopping: CancellationToken) {
    // Small frames go out at once; without this an answer can take 40 ms.
    if let Err(error) = tcp.set_nodelay(true) {
        tracing::debug!(%error, "connection went away while it was accepted");
        return;
    }
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(address));
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(tcp), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stopping.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, %address, "HTTP connection ended");
    }
}

/// Whether it was the one connection that failed, and not accepting as such.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
