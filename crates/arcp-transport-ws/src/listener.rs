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

use arcp_transport::{Arrival, BoxFuture, BoxTransport, Listener, Peer};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream, ToSocketAddrs},
    task::JoinSet,
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

use self::upgrade::Upgrade;
use crate::{
    WsConfig,
    door::{Origins, Shares, is_of_one_connection},
};

/// The first pause after a failed accept; it doubles up to [`MAX_PAUSE`].
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

const MAX_HANDSHAKES: usize = 1_024;

/// Accepts WebSocket links on a TCP port, at one path.
///
/// The TLS and WebSocket handshakes of many connections run side by side, so one that never finishes
/// holds up no other: it is dropped after 10 seconds. Up to 1,024 run at a time; while so
/// many do, further connections wait in the backlog of the operating system. One address has a quarter of them at most:
/// see [`with_max_per_address`](Self::with_max_per_address).
///
/// A request for another path is answered 404, one that is no upgrade with what
/// [`handshake::Refusal`](crate::handshake::Refusal) says. All sockets have `TCP_NODELAY`.
///
/// A runtime that serves it shows the `http::request::Parts` of each upgrade to its authenticator, and continues the trace that
/// their headers name.
///
/// New connections are taken only while somebody waits in [`accept`](Listener::accept). Dropping the
/// listener closes the port and the connections whose handshake is under way; accepted links live on.
pub struct WsListener {
    tcp: TcpListener,
    address: SocketAddr,
    upgrade: Upgrade,
    handshake_timeout: Duration,
    max_handshakes: usize,
    /// As many as were said, or any number; `None` if nothing was said.
    per_address: Option<Option<usize>>,
    shares: Arc<Shares>,
    handshakes: JoinSet<Option<Arrival>>,
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
            upgrade: Upgrade {
                path: path.into(),
                tls: None,
                config: WsConfig::server(),
                origins: Origins::default(),
            },
            handshake_timeout: Duration::from_secs(10),
            max_handshakes: MAX_HANDSHAKES,
            per_address: None,
            shares: Shares::new(Some(Shares::default_limit(MAX_HANDSHAKES))),
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

    /// Lets web pages of this origin in, such as `https://console.example.com`. Without it, whatever has an `Origin` is answered 403, so
    /// that no page can reach a runtime through its visitor's browser.
    pub fn with_allowed_origin(mut self, origin: impl AsRef<str>) -> Self {
        self.upgrade.origins.allow(origin);
        self
    }

    /// Replaces the time that TLS and WebSocket handshake may take together, 10 seconds by default.
    pub fn with_handshake_timeout(mut self, limit: Duration) -> Self {
        self.handshake_timeout = limit;
        self
    }

    /// Replaces how many handshakes may be under way, 1,024 by default, one at least. Finished ones count until
    /// they are accepted.
    pub fn with_max_handshakes(mut self, max: usize) -> Self {
        self.max_handshakes = max.max(1);
        self.share_out()
    }

    /// Replaces how many connections one address may have that have not opened a session: 256 by default, or a quarter of
    /// [`with_max_handshakes`](Self::with_max_handshakes) if that is less; any number if `None`. Further ones are closed at once.
    /// A /64 of IPv6 counts as one address. Where all clients come through one proxy, they have one address.
    ///
    /// Who takes links by [`accept`](Listener::accept), and not by [`accept_arrival`](Listener::accept_arrival) as a
    /// runtime does, has them counted until then.
    pub fn with_max_per_address(mut self, max: Option<usize>) -> Self {
        self.per_address = Some(max);
        self.share_out()
    }

    fn share_out(mut self) -> Self {
        let quarter = Shares::default_limit(self.max_handshakes);
        self.shares = Shares::new(self.per_address.unwrap_or(Some(quarter)));
        self
    }

    /// The address that is listened at, with the port that the system chose.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Arrival> {
        loop {
            match self.handshakes.poll_join_next(cx) {
                Poll::Ready(Some(Ok(Some(arrival)))) => return Poll::Ready(arrival),
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
        let Some(share) = self.shares.admit(address) else { return };
        let upgrade = self.upgrade.clone();
        let limit = self.handshake_timeout;
        self.handshakes.spawn(async move {
            match timeout(limit, upgrade.run(stream, address, share)).await {
                Ok(Ok(arrival)) => Some(arrival),
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
        Box::pin(async {
            let Arrival { link, peer, .. } = self.accept_arrival().await?;
            Ok((link, peer))
        })
    }

    /// The next link, with the `http::request::Parts` that it was asked for with. As long as these are there, it counts among those
    /// of its address.
    ///
    /// # Errors
    ///
    /// None, as above.
    fn accept_arrival(&mut self) -> BoxFuture<'_, io::Result<Arrival>> {
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
