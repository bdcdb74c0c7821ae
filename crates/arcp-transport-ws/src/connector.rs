//! Opening links to a URL: the options, and the order of the steps. The URL is read in
//! `connector/address.rs`, TCP is opened in `connector/tcp.rs`, TLS configured in `tls.rs`.

mod address;
mod opening;
mod tcp;

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use arcp_transport::{BoxFuture, BoxTransport, ConnectError, Connector};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::{
    client_async_with_config,
    tungstenite::{self, handshake::client::generate_key, protocol::Role},
};

use self::{address::Address, opening::Opening};
use crate::{WsConfig, WsTransport, tls};

/// Opens WebSocket links to one runtime.
///
/// Every address that the host name has is tried, with `TCP_NODELAY`. An attempt, from the look-up of
/// the name to the upgraded link, takes at most 10 seconds unless
/// [told otherwise](Self::with_timeout). Redirects and proxies are not followed. Clones share the TLS
/// configuration.
///
/// `Debug` and the errors show neither the query of the URL nor the values of extra headers.
///
/// ```
/// use std::time::Duration;
/// use arcp_transport_ws::WsConnector;
///
/// # fn main() -> Result<(), arcp_transport::ConnectError> {
/// let connector = WsConnector::new("wss://agents.example")?.with_timeout(Duration::from_secs(3));
/// assert_eq!(connector.url(), "wss://agents.example/arcp");
///
/// let error = WsConnector::new("http://agents.example").unwrap_err();
/// assert_eq!(error.to_string(), "bad runtime URL: its scheme is `http`: use ws:// or wss://");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WsConnector {
    address: Address,
    config: WsConfig,
    headers: HeaderMap,
    timeout: Duration,
    /// Filled by the first link that needs it, or by the user.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl WsConnector {
    /// A connector to `ws://host[:port][/path]` or `wss://…`. Without a path, or with the path `/`, it
    /// is `/arcp`. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`ConnectError::BadUrl`] for another scheme, a user name or password, a fragment, or a text
    /// that is no URL.
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        Ok(Self {
            address: Address::parse(url)?,
            config: WsConfig::client(),
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
            tls: Arc::default(),
        })
    }

    /// Replaces the limits of the links. [`WsConfig::client`] by default.
    pub fn with_config(mut self, config: WsConfig) -> Self {
        self.config = config;
        self
    }

    /// Replaces the time that one attempt may take, 10 seconds by default.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds a header to the upgrade request, for a proxy in front of the runtime, say. The headers of
    /// the handshake itself stay as they are.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Replaces the TLS configuration, to trust a private certificate authority or to show a client
    /// certificate. By default it is [`tls::system_roots`], made when the first link needs it.
    pub fn with_tls_config(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Arc::new(OnceLock::from(config));
        self
    }

    /// Where the links go: scheme, host, port unless it is the scheme's own, and path.
    pub fn url(&self) -> &str {
        &self.address.shown
    }

    async fn open(&self) -> Result<BoxTransport, ConnectError> {
        let stream = tcp::connect(&self.address, self.timeout).await?;
        let Some(name) = &self.address.tls_name else { return self.upgrade(stream).await };
        let connector = TlsConnector::from(self.tls_config().await?);
        let stream = connector
            .connect(name.clone(), stream)
            .await
            .map_err(|source| tls::handshake_failed(&self.address.target(), source))?;
        self.upgrade(stream).await
    }

    async fn tls_config(&self) -> Result<Arc<ClientConfig>, ConnectError> {
        if let Some(config) = self.tls.get() {
            return Ok(config.clone());
        }
        let no_roots = |source| tls::no_roots(&self.address.target(), source);
        let config = match tokio::task::spawn_blocking(tls::system_roots).await {
            Ok(config) => config.map_err(no_roots)?,
            Err(stopped) => return Err(no_roots(rustls::Error::General(stopped.to_string()))),
        };
        Ok(self.tls.get_or_init(|| config).clone())
    }

    async fn upgrade<S>(&self, stream: S) -> Result<BoxTransport, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = Some(self.config.to_tungstenite());
        match client_async_with_config(self.request(), Opening::new(stream), config).await {
            Ok((socket, _)) => {
                let (stream, read) = socket.into_inner().into_parts();
                Ok(Box::pin(WsTransport::over(stream, read, Role::Client, self.config).await))
            }
            Err(tungstenite::Error::Http(response)) => Err(ConnectError::Refused {
                target: self.address.shown.clone(),
                status: response.status().as_u16(),
            }),
            Err(tungstenite::Error::Io(source)) if tls::is_refusal(&source) => {
                Err(tls::handshake_failed(&self.address.target(), source))
            }
            Err(tungstenite::Error::Io(source)) => {
                Err(ConnectError::Unreachable { target: self.address.target(), source })
            }
            Err(source) => {
                Err(ConnectError::Handshake { target: self.address.shown.clone(), source: source.into() })
            }
        }
    }

    fn request(&self) -> Request<()> {
        let mut request = Request::new(());
        *request.uri_mut() = self.address.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.address.authority.clone());
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        if let Ok(key) = HeaderValue::try_from(generate_key()) {
            headers.insert(header::SEC_WEBSOCKET_KEY, key);
        }
        request
    }
}

impl Connector for WsConnector {
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>> {
        Box::pin(async {
            match timeout(self.timeout, self.open()).await {
                Ok(opened) => opened,
                Err(_) => Err(ConnectError::Timeout { target: self.address.target(), after: self.timeout }),
            }
        })
    }
}

impl fmt::Debug for WsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WsConnector")
            .field("url", &self.address.shown)
            .field("headers", &self.headers.keys().map(HeaderName::as_str).collect::<Vec<_>>())
            .field("timeout", &self.timeout)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
