//! A router over TCP, with TLS or without, for peers that nobody knows yet: with deadlines, bounds, and no delay.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arcp_transport_ws::door::{Share, Shares, is_of_one_connection};
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::{TlsPeer, TlsSettings};

/// How many connections may be in HTTP at a time.
const CONNECTIONS: usize = 1_024;
/// The longest head of a request, in bytes. Browsers and proxies stay below 8 KiB; a runtime keeps it until the session is open.
const MAX_HEAD: usize = 16 << 10;
/// How long to wait before accepting again when the process has no file descriptor left.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);
/// How long requests in progress may take once the server is shutting down.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// What somebody is told who speaks HTTP without TLS where TLS is spoken.
const PLAINTEXT: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain\r\n\
    content-length: 57\r\n\r\nthis port speaks TLS: use wss:// or https:// to reach it\n";

/// Serves a router over TCP, with TLS or without.
///
/// A TLS handshake must be done within 10 s, and a request head, of 16 KiB at most, must come within 10 s
/// ([`handshake_timeout`](Self::handshake_timeout)). No more than [`max_connections`](Self::max_connections) that have not been upgraded are served at a time; further ones wait to
/// be accepted. No more than [`max_connections_per_address`](Self::max_connections_per_address) of one address are served that
/// nobody has introduced yet; further ones are closed at once. A request can be asked for its
/// [`ConnectInfo<SocketAddr>`](axum::extract::ConnectInfo), and, over TLS, for its [`TlsPeer`](crate::TlsPeer) as an
/// [`Extension`](axum::Extension).
pub struct Server {
    listener: TcpListener,
    tls: Option<TlsSettings>,
    max_connections: usize,
    /// As many as were said, or any number; `None` if nothing was said.
    per_address: Option<Option<usize>>,
    handshake_timeout: Duration,
}

impl Server {
    /// Listens at an address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn bind(address: impl ToSocketAddrs) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(address).await?,
            tls: None,
            max_connections: CONNECTIONS,
            per_address: None,
            handshake_timeout: Duration::from_secs(10),
        })
    }

    /// Speaks TLS, and nothing else. `http/1.1` is the protocol that the settings have to offer, if they offer any.
    #[must_use]
    pub fn tls(mut self, settings: TlsSettings) -> Self {
        self.tls = Some(settings);
        self
    }

    /// How many connections may be in HTTP at a time; 1,024 if nothing is said. Connections that speak ARCP do not count.
    #[must_use]
    pub fn max_connections(mut self, limit: usize) -> Self {
        self.max_connections = limit.max(1);
        self
    }

    /// How many connections one address may have that are in HTTP, or speak ARCP and have not opened a session; 256 if nothing is
    /// said, or a quarter of [`max_connections`](Self::max_connections) if that is less; any number if `None`. A /64 of IPv6 counts
    /// as one address. Where all clients come through one proxy, they have one address.
    #[must_use]
    pub fn max_connections_per_address(mut self, limit: Option<usize>) -> Self {
        self.per_address = Some(limit);
        self
    }

    /// How long a TLS handshake may take, and then the head of a request; 10 s if nothing is said.
    #[must_use]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
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
        let shares = Shares::new(
            self.per_address.unwrap_or_else(|| Some(Shares::default_limit(self.max_connections))),
        );
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
                    let Some(share) = shares.admit(address) else { continue };
                    let connection = Connection {
                        tcp,
                        address,
                        share,
                        tls: self.tls.as_ref().map(TlsSettings::acceptor),
                        handshake_timeout: self.handshake_timeout,
                        stopping: stopping.clone(),
                    };
                    let serving = connection.serve(router.clone());
                    let over = over.clone();
                    tasks.spawn(async move {
                        over.run_until_cancelled(serving).await;
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

/// One connection that was accepted.
struct Connection {
    tcp: TcpStream,
    address: SocketAddr,
    share: Share,
    tls: Option<TlsAcceptor>,
    handshake_timeout: Duration,
    stopping: CancellationToken,
}

impl Connection {
    async fn serve(mut self, router: Router) {
        // Small frames go out at once; without this an answer can take 40 ms.
        if let Err(error) = self.tcp.set_nodelay(true) {
            tracing::debug!(%error, "connection went away while it was accepted");
            return;
        }
        let Some(tls) = self.tls.take() else {
            let Self { tcp, address, share, handshake_timeout, stopping, .. } = self;
            return serve_http(tcp, router, (address, share, None), handshake_timeout, stopping).await;
        };
        let Self { tcp, address, share, handshake_timeout, stopping, .. } = self;
        let shaken = tokio::time::timeout(handshake_timeout, shake_hands(tls, tcp));
        let shaken = tokio::select! {
            shaken = shaken => shaken,
            () = stopping.cancelled() => return,
        };
        match shaken {
            Ok(Ok((stream, peer))) => {
                serve_http(stream, router, (address, share, Some(peer)), handshake_timeout, stopping).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, %address, "TLS handshake failed"),
            Err(_) => tracing::debug!(%address, "TLS handshake was not done in time"),
        }
    }
}

/// Ends a connection once the peer has. One with unread bytes would be reset, and what was said last may be lost with it.
async fn leave(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    tokio::io::copy(&mut tcp, &mut tokio::io::sink()).await.map(drop)
}

async fn shake_hands(tls: TlsAcceptor, mut tcp: TcpStream) -> io::Result<(TlsStream<TcpStream>, TlsPeer)> {
    // The first byte of a handshake is 22. Who speaks HTTP, in letters, could make nothing of an alert.
    let mut first = [0];
    if tcp.peek(&mut first).await? == 1 && first[0].is_ascii_alphabetic() {
        tcp.write_all(PLAINTEXT).await?;
        leave(tcp).await?;
        return Err(io::Error::new(io::ErrorKind::InvalidData, "there is no TLS"));
    }
    let stream = match tls.accept(tcp).into_fallible().await {
        Ok(stream) => stream,
        Err((error, tcp)) => {
            let _ = leave(tcp).await; // with the alert that says why
            return Err(error);
        }
    };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let peer = TlsPeer::new(certificates.to_vec());
    Ok((stream, peer))
}

async fn serve_http<S>(
    stream: S,
    router: Router,
    (address, share, tls): (SocketAddr, Share, Option<TlsPeer>),
    header_timeout: Duration,
    stopping: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: http::Request<Incoming>| {
        let mut request = request.map(Body::new);
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(address));
        if let Some(tls) = &tls {
            extensions.insert(tls.clone());
        }
        extensions.insert(share.clone());
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    // Who asks for this and that, and never for a session, holds a place for as long as one request may take, and no longer.
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = async { tokio::select! { () = stopping.cancelled() => {}, () = tokio::time::sleep(header_timeout) => {} } } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, %address, "HTTP connection ended");
    }
}
