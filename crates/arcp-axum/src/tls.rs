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
    /// exactly, or if nobody could be called so: if it is empty, has white space around it, or a character in it that is not
    /// seen, or changes how others are read. Two names that look the same would be two principals.
    pub fn common_name(&self) -> Option<String> {
        let (_, certificate) = X509Certificate::from_der(self.certificates.first()?).ok()?;
        let mut names = certificate.subject().iter_common_name();
        let (name, None) = (names.next()?.as_str().ok()?, names.next()) else { return None };
        is_a_name(name).then(|| name.to_owned())
    }
}

fn is_a_name(name: &str) -> bool {
    !name.is_empty() && name.trim() == name && !name.contains(|c: char| c.is_control() || is_hidden(c))
}

/// Whether a character is not seen, or changes how others are read.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
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

#[cfg(test)]
mod tests {
    use super::is_a_name;

    #[test]
    fn a_name_is_what_it_looks_like() {
        for good in ["bob", "Ada Lovelace", "ci@example.com", "jürgen", "\u{5d0}"] {
            assert!(is_a_name(good), "{good}");
        }
        for bad in [
            "",
            " ",
            " bob",
            "bob ",
            "bob\u{a0}",
            "bob\n",
            "b\0ob",
            "b\u{9b}ob",
            "b\u{200b}ob",
            "\u{202e}bob",
        ] {
            assert!(!is_a_name(bad), "{bad:?}");
        }
    }
}
