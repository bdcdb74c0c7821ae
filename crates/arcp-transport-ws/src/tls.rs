//! TLS: the default configuration of clients, configurations that are read from files, and what a TLS failure means. Servers
//! bring their own `rustls::ServerConfig`, since only they know where their certificate is; [`server`] reads one.

mod files;

use std::{io, sync::Arc};

use arcp_transport::ConnectError;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt;

/// A client configuration that trusts the certificate authorities that this machine trusts, with TLS
/// 1.2 and 1.3. [`WsConnector`](crate::WsConnector) makes one by itself for its first `wss://` link.
///
/// Reads the system's store: some milliseconds of blocking I/O.
///
/// # Errors
///
/// When the machine trusts no certificate authority at all, as in a container without the package
/// `ca-certificates`.
pub fn system_roots() -> Result<Arc<ClientConfig>, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(feature = "server")]
pub use files::server;
pub use files::{FileError, FileProblem, Identity, client};
#[cfg(feature = "server")]
#[doc(no_inline)]
pub use rustls::ServerConfig;

/// No configuration for TLS could be made.
pub(crate) fn no_roots(target: &str, source: Error) -> ConnectError {
    ConnectError::Tls {
        target: target.into(),
        advice: "this machine trusts no certificate authority, install its ca-certificates",
        source: source.into(),
    }
}

/// Whether the peer has refused the TLS handshake. With TLS 1.3 that may come once the handshake is done on this side, as where the
/// certificate of a client is not good.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>());
    matches!(cause, Some(Error::AlertReceived(_)))
}

/// The TLS handshake failed.
pub(crate) fn handshake_failed(target: &str, source: io::Error) -> ConnectError {
    let advice = match source.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(certificate)) => match certificate {
            // The latter when the name of an authority is known here, but with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is not signed by a certificate authority that is trusted here"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "its certificate is for another host name, use the name in the certificate"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired, or the clock of this machine is wrong"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet, or the clock of this machine is wrong"
            }
            _ => "its certificate is not acceptable",
        },
        Some(Error::AlertReceived(AlertDescription::CertificateRequired)) => {
            "it asks for a client certificate, and none was shown"
        }
        Some(Error::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError,
        )) => "it does not accept the client certificate",
        Some(Error::InvalidMessage(_)) => "it does not speak TLS on that port, try ws://",
        _ => "check that it speaks TLS on that port, ws:// is without",
    };
    ConnectError::Tls { target: target.into(), advice, source: source.into() }
}
