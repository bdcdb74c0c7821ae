//! What TLS tells of a client. Where certificates are read from, and which are trusted, is in `arcp-transport-ws`.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer, X509Certificate};

/// That a request has come over TLS, and with which certificates. [`Server`](crate::Server) puts one among the extensions of each request
/// that has; whoever serves TLS otherwise can do the same, and then the peer is secure.
#[derive(Clone)]
pub struct TlsPeer {
    certificates: Arc<[CertificateDer<'static>]>,
}

impl TlsPeer {
    /// A peer that has shown this chain, its own certificate first, and has proven that it is its own; an empty one if it has
    /// shown none.
    pub fn new(certificates: impl Into<Arc<[CertificateDer<'static>]>>) -> Self {
        Self { certificates: certificates.into() }
    }

    /// The chain, the peer's own certificate first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certificates
    }

    /// The common name in the subject of the peer's certificate; `None` if there is no certificate, or not one such name
    /// exactly, or if it is empty or not one line of text.
    pub fn common_name(&self) -> Option<String> {
        let (_, certificate) = X509Certificate::from_der(self.certificates.first()?).ok()?;
        let mut names = certificate.subject().iter_common_name();
        let (name, None) = (names.next()?.as_str().ok()?, names.next()) else { return None };
        let is_a_name = !name.trim().is_empty() && !name.contains(char::is_control);
        is_a_name.then(|| name.to_owned())
    }
}

impl fmt::Debug for TlsPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPeer").field("common_name", &self.common_name()).finish_non_exhaustive()
    }
}

/// What a server shows and whom it trusts, which can be replaced while it serves. Clones are the same.
#[derive(Clone)]
pub struct TlsSettings(Arc<RwLock<Arc<ServerConfig>>>);

impl TlsSettings {
    /// Settings that are these until they are replaced.
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(Arc::new(RwLock::new(config)))
    }

    /// Replaces the settings, for connections that are accepted from now on.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsSettings").finish_non_exhaustive()
    }
}
