//! Who reaches `arcp serve`, before anybody knows them: TLS, client certificates, limits for each address; and how often those
//! may ask whom it knows. Who they are is in `jwt.rs`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arcp::axum::{Server, TlsPeer, TlsSettings};
use arcp::proto::BearerToken;
use arcp::runtime::{AuthenticationError, Authenticator, Caller, Principal, Rate, RateLimits, Visitor};
use arcp::ws::tls::{self, Identity, ServerConfig};
use axum::http::request::Parts;

use crate::exit::{self, Failure};
use crate::jwt::Tokens;

#[derive(clap::Args)]
pub(crate) struct Edge {
    /// Speak TLS, with the certificate in this file, in PEM: first the server's, then those that sign it. SIGHUP has it and the
    /// other files of TLS read again, for connections from then on. Each is a regular file of 1 MiB at most.
    #[arg(long, value_name = "FILE", requires = "tls_key", conflicts_with = "stdio")]
    tls_cert: Option<PathBuf>,

    /// The private key of that certificate, in PEM and not encrypted.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Let in only clients that show a certificate of one of the authorities in this file, in PEM. They need a token as well, if
    /// --client-cert-principal does not say otherwise. Revoked certificates are not known: give out ones that expire soon.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    client_ca: Option<PathBuf>,

    /// Let a client's certificate stand for a token: the principal is the common name in its subject, and the token that the client
    /// sends is not looked at. Whoever the authorities of --client-ca certify can get in, with the name that they certify.
    #[arg(long, requires = "client_ca", conflicts_with_all = ["token", "token_file", "dev_token", "jwt_issuer"])]
    client_cert_principal: bool,

    /// Connections that speak HTTP, or TLS and nothing yet, at a time; others wait.
    #[arg(long, value_name = "N", default_value_t = 1_024, value_parser = crate::serve::at_least_one)]
    max_connections: usize,

    /// Connections of one address that have not opened a session; others are closed at once. A /64 of IPv6 is one address. 256 if nothing
    /// is said, or a quarter of --max-connections if that is less; any number with --behind-tls, where all clients may have the
    /// address of what is in front.
    #[arg(long, value_name = "N", value_parser = crate::serve::at_least_one)]
    max_connections_per_address: Option<usize>,

    /// How often a principal may have another job: 20/s, 600/min or 5000/h, or with a burst 20/s:100. A submit that comes too soon is
    /// refused with INTERNAL_ERROR and told when to try again. One that is refused for any other reason does not count, nor does a repeat
    /// under its idempotency key. Any number by default.
    #[arg(long, value_name = "RATE")]
    submit_rate: Option<Rate>,

    /// How often a principal may send a message, over all of its sessions. What comes too soon waits, but for signs of life,
    /// acknowledgements and cancels, of which a connection may carry 100 in a second. Any number by default.
    #[arg(long, value_name = "RATE")]
    message_rate: Option<Rate>,
}

impl Edge {
    /// Whether anybody may get in without a token.
    pub(crate) fn lets_certificates_in(&self) -> bool {
        self.client_cert_principal
    }

    /// The file that holds the private key, if there is one.
    pub(crate) fn tls_key(&self) -> Option<&Path> {
        self.tls_key.as_deref()
    }

    /// How often a principal may ask.
    pub(crate) fn rates(&self) -> RateLimits {
        let mut rates = RateLimits::none();
        (rates.submits, rates.messages) = (self.submit_rate, self.message_rate);
        rates
    }

    /// Who gets in: holders of tokens, or of certificates.
    pub(crate) fn callers(&self, tokens: Tokens) -> Callers {
        Callers { tokens, by_certificate: self.client_cert_principal }
    }

    /// What the files of TLS say, if there is to be TLS.
    pub(crate) async fn tls(&self) -> Result<Option<Tls>, Failure> {
        let (Some(certificates), Some(key)) = (self.tls_cert.clone(), self.tls_key.clone()) else {
            return Ok(None);
        };
        let files = Files { certificates, key, client_ca: self.client_ca.clone() };
        let settings = files.read().await.map_err(|error| Failure::new(exit::USAGE, error))?;
        Ok(Some(Tls { files, settings: TlsSettings::new(settings) }))
    }

    /// A server with these limits.
    pub(crate) fn apply(&self, server: Server, behind_tls: bool, handshake_timeout: Duration) -> Server {
        let server = server.max_connections(self.max_connections).handshake_timeout(handshake_timeout);
        match self.max_connections_per_address {
            None if !behind_tls => server,
            limit => server.max_connections_per_address(limit),
        }
    }
}

/// The files of TLS, and what they said when they were last good.
pub(crate) struct Tls {
    files: Files,
    settings: TlsSettings,
}

#[derive(Clone)]
struct Files {
    certificates: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
}

impl Files {
    /// Reads them where others do not wait for that.
    async fn read(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let Self { certificates, key, client_ca } = self.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let identity = Identity { certificates: &certificates, key: &key };
            tls::server(identity, client_ca.as_deref())
        });
        Ok(reading.await??)
    }
}

impl Tls {
    pub(crate) fn settings(&self) -> TlsSettings {
        self.settings.clone()
    }

    /// Reads the files again. What is not good is said and changes nothing.
    pub(crate) async fn read_again(&self) {
        match self.files.read().await {
            Ok(settings) => {
                self.settings.replace(settings);
                tracing::info!("the files of TLS were read again, and hold for new connections");
            }
            Err(error) => tracing::error!(%error, "the files of TLS stay as they were"),
        }
    }
}

/// Where the runtime is.
pub(crate) fn url(address: SocketAddr, tls: bool) -> String {
    format!("{}://{address}/arcp", if tls { "wss" } else { "ws" })
}

/// Holders of tokens, or of certificates instead.
pub(crate) struct Callers {
    tokens: Tokens,
    by_certificate: bool,
}

impl Authenticator for Callers {
    async fn authenticate(&self, token: &BearerToken) -> Result<Caller, AuthenticationError> {
        match self.by_certificate {
            true => Err(AuthenticationError::Invalid), // nobody has shown one
            false => self.tokens.authenticate(token).await,
        }
    }

    async fn authenticate_visitor(
        &self,
        token: &BearerToken,
        visitor: &Visitor,
    ) -> Result<Caller, AuthenticationError> {
        if !self.by_certificate {
            return self.tokens.authenticate(token).await;
        }
        let tls = visitor.request::<Parts>().and_then(|request| request.extensions.get::<TlsPeer>());
        let name = tls.and_then(TlsPeer::common_name);
        if name.is_none() {
            tracing::info!(
                "a client certificate names no principal: its subject must have one common name, without white space around it or hidden characters"
            );
        }
        name.map(|name| Principal::new(name).into()).ok_or(AuthenticationError::Invalid)
    }
}
