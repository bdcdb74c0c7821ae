//! Accepting links on a port of one's own: who waits for whom. What happens to one connection until
//! it is a link is `listener/upgrade.rs`.

mod upgrade;

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use arcp_transport::{BoxFuture, BoxTransport, Listener, Peer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use self::upgrade::Upgrade;
use crate::WsConfig;

/// The first pause after a failed accept; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Accepts WebSocket links on a TCP port, at one path.
///
/// The TLS and WebSocket handshakes of many connections run side by side, so one that never finishes
/// holds up no other: it is dropped after 10 seconds. Up to 256 run at a time; while so
/// many do, further connections wait in the backlog of the operating system.
///
/// A request for another path is answered 404, one that is no upgrade with what
/// [`handshake::Refusal`](crate::handshake::Refusal) says. All sockets have `TCP_NODELAY`.
///
/// New connections are taken only while somebody waits in [`accept`](Listener::accept). Dropping the
/// listener closes the port and the connections whose handshake is under way; accepted links live on.
pub struct WsListener {
    tcp: TcpListener,
    address: SocketAddr,
    upgrade: Upgrade,
    handshake_timeout: Duration,
    max_handshakes: usize,
    handshakes: JoinSet<Option<(BoxTransport, Peer)>>,
    /// How long accepting rests, and how long it rested last.
    resting: Option<Pin<Box<Sleep>>>,
    pause: Duration,
}

impl WsListener {
    /// Listens at an address, for links to exactly this path (`/arcp` by custom). Port 0 lets the
    /// system choose; see [`local_addr`](Self::local_addr).
    ///
    /// # Errors
    ///
    /// What the operating system says, such as that the port is taken; invalid input for a path that
    /// does not start with a slash, since no request could match it.
    pub async fn bind(address: impl ToSocketAddrs, path: &str) -> io::Result<Self> {
        if !path.starts_with('/') {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "path has to start with a slash"));
        }
        let tcp = TcpListener::bind(address).await?;
        Ok(Self {
            address: tcp.local_addr()?,
            tcp,
            upgrade: Upgrade { path: path.into(), tls: None, config: WsConfig::server() },
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: 256,
            handshakes: JoinSet::new(),
            resting: None,
            pause: MIN_PAUSE,
        })
    }

    /// Speaks TLS on this port, and nothing else.
    pub fn with_tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.upgrade.tls = Some(TlsAcceptor::from(config));
        self
    }

    /// Replaces the limits of the links. [`WsConfig::server`] by default.
    pub fn with_config(mut self, config: WsConfig) -> Self {
        self.upgrade.config = config;
        self
    }

    /// Replaces the time that TLS and WebSocket handshake may take together, 10 seconds by default.
    pub fn with_handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Replaces how many handshakes may be under way, 256 by default, one at least. Finished ones count until
    /// they are accepted.
    pub fn with_max_handshakes(mut self, max: usize) -> Self {
        self.max_handshakes = max.max(1);
        self
    }

    /// The address that is listened at, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<(BoxTransport, Peer)> {
        loop {
            match self.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Some(link)))) => return Poll::Ready(link),
                Poll::Ready(Some(_)) => continue,
                Poll::Ready(None) | Poll::Pending => {}
            }
            if self.handshakes.len() >= self.max_handshakes {
                return Poll::Pending;
            }
            if let Some(rest) = &mut self.resting {
                ready!(rest.as_mut().poll(cx));
                self.resting = None;
            }
            match ready!(self.tcp.poll_accept(cx)) {
                Ok((stream, address)) => {
                    self.pause = MIN_PAUSE;
                    self.start(stream, address);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, pause = ?self.pause, "cannot accept connections, will try again");
                    self.resting = Some(Box::pin(sleep(self.pause)));
                    self.pause = (self.pause * 2).min(MAX_PAUSE);
                }
            }
        }
    }

    fn start(&mut self, stream: TcpStream, address: SocketAddr) {
        let upgrade = self.upgrade.clone();
        let limit = self.handshake_timeout;
        self.handshakes.spawn(async move {
            match timeout(limit, upgrade.run(stream, address)).await {
                Ok(Ok(link)) => Some(link),
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "connection did not become a link");
                    None
                }
                Err(_) => {
                    tracing::debug!(%address, ?limit, "handshake was not finished in time");
                    None
                }
            }
        });
    }
}

/// Whether a failed accept is only about the connection that it would have accepted. Everything else
/// (no file descriptors, no memory) passes with time, and would spin until then.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

impl Listener for WsListener {
    /// The next link.
    ///
    /// [`Peer::secure`] is true over TLS, and over loopback unless the request says that a proxy has handed it on
    /// ([`handshake::is_forwarded`](crate::handshake::is_forwarded)): one on this machine says nothing about the way to it.
    ///
    /// # Errors
    ///
    /// None: a failed handshake is logged and forgotten, and a shortage of file descriptors
    /// or memory is waited out, with pauses of 50 milliseconds to a second.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxTransport, Peer)>> {
        Box::pin(async { Ok(std::future::poll_fn(|cx| self.poll_accept(cx)).await) })
    }
}

impl fmt::Debug for WsListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsListener")
            .field("address", &self.address)
            .field("path", &self.upgrade.path)
            .field("tls", &self.upgrade.tls.is_some())
            .field("handshakes", &self.handshakes.len())
            .field("resting", &self.resting.is_some())
            .finish_non_exhaustive()
    }
}
