//! Whom every command that talks to a runtime over `wss://` trusts, and what certificate it shows.

use std::path::PathBuf;
use std::sync::Once;

use arcp::ws::WsConnector;
use arcp::ws::tls::{self, Identity};

use crate::exit::{self, Failure};
use crate::log::Voice;
use crate::secrets;

#[derive(clap::Args)]
pub(crate) struct Trust {
    /// Trust the certificate authorities in this file, in PEM, rather than those that this machine trusts. For wss://.
    #[arg(long, value_name = "FILE", env = "ARCP_CA")]
    ca: Option<PathBuf>,

    /// Show the runtime the certificate in this file, in PEM: first the client's, then those that sign it. Where the runtime lets it
    /// stand for a token, no token is needed.
    #[arg(long, value_name = "FILE", env = "ARCP_CLIENT_CERT", requires = "client_key")]
    client_cert: Option<PathBuf>,

    /// The private key of that certificate, in PEM and not encrypted.
    #[arg(long, value_name = "FILE", env = "ARCP_CLIENT_KEY", requires = "client_cert")]
    client_key: Option<PathBuf>,
}

impl Trust {
    /// The way to a runtime, with its own authorities and certificate if there are any.
    pub(crate) fn connector(&self, url: &str) -> Result<WsConnector, Failure> {
        let connector = WsConnector::new(url).map_err(Failure::usage)?;
        let identity = match (&self.client_cert, &self.client_key) {
            (Some(certificates), Some(key)) => Some(Identity { certificates, key }),
            _ => None,
        };
        if let Some(key) = &self.client_key {
            // A screen may be drawn when another connection is made.
            static SAID: Once = Once::new();
            SAID.call_once(|| secrets::warning(key).iter().for_each(|warning| Voice::Command.warn(warning)));
        }
        if self.ca.is_none() && identity.is_none() {
            return Ok(connector);
        }
        if !connector.url().starts_with("wss:") {
            return Err(Failure::usage("--ca and --client-cert are for wss://, and the URL is ws://"));
        }
        let config = tls::client(self.ca.as_deref(), identity);
        Ok(connector.with_tls_config(config.map_err(|error| Failure::new(exit::USAGE, error))?))
    }

    /// What to send for a token where there is none: the protocol has one in every hello, and where a certificate stands for it,
    /// any will do.
    pub(crate) fn instead_of_a_token(&self) -> Option<&'static str> {
        self.client_cert.as_ref().map(|_| "certificate")
    }
}
