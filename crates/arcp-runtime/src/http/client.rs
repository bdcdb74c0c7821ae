//! What requests are made with: name resolution that leaves out what may not be reached, and TLS.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, retry};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::runtime::Handle;

use super::address::Rule;

/// The clients of a runtime, one a rule, so that none has a connection that another rule would not allow.
pub(crate) struct Clients {
    public: Client,
    named: Client,
    /// Why there is no TLS.
    pub(super) no_tls: Option<String>,
}

/// A name leads to nothing but addresses that may not be reached.
#[derive(Debug, thiserror::Error)]
#[error("host leads to no address that may be reached")]
pub(super) struct Unreachable;

/// Resolves names, and leaves out what the rule does not allow. The connection goes to what is left: no name is resolved twice.
struct Resolver(Rule);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (reachable, others): (Vec<SocketAddr>, Vec<_>) =
                found.partition(|address| rule.allows(address.ip()));
            if reachable.is_empty() && !others.is_empty() {
                return Err(Box::new(Unreachable) as Box<dyn Error + Send + Sync>);
            }
            Ok(Box::new(reachable.into_iter()) as Addrs)
        })
    }
}

impl Clients {
    /// Makes them where it may block, since the system's certificate authorities are read.
    pub(crate) async fn start(executor: &Handle) -> Result<Self, String> {
        match executor.spawn_blocking(Self::new).await {
            Ok(clients) => clients.map_err(|error| format!("no client can be made: {error}")),
            Err(_) => Err("no client can be made".to_owned()),
        }
    }

    fn new() -> Result<Self, Box<dyn Error + Send + Sync>> {
        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
        };
        let (tls, no_tls) = match builder()?.with_platform_verifier() {
            Ok(builder) => (builder.with_no_client_auth(), None),
            Err(error) => {
                // What is not encrypted works without.
                let nobody = builder()?.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
                (nobody, Some(error.to_string()))
            }
        };
        Ok(Self { no_tls, ..Self::with(&tls)? })
    }

    fn with(tls: &ClientConfig) -> reqwest::Result<Self> {
        let client = |rule| {
            Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .dns_resolver(Arc::new(Resolver(rule)))
                .user_agent(concat!("arcp-runtime/", env!("CARGO_PKG_VERSION")))
                .redirect(Policy::none())
                .retry(retry::never())
                .referer(false)
                .no_proxy()
                .http1_only()
                // A connection that is used again would not have been checked again.
                .pool_max_idle_per_host(0)
                .build()
        };
        Ok(Self { public: client(Rule::Public)?, named: client(Rule::Named)?, no_tls: None })
    }

    pub(super) fn by(&self, rule: Rule) -> &Client {
        match rule {
            Rule::Public => &self.public,
            Rule::Named => &self.named,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    #[tokio::test]
    async fn a_name_of_this_machine_is_reached_only_if_it_was_granted_as_it_is() {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = || Arc::new(aws_lc_rs::default_provider());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let server =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let server = server.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(server)).accept(stream).await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
            stream.shutdown().await.unwrap();
        });

        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let tls =
            ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let clients = Clients::with(&tls.with_root_certificates(roots).with_no_client_auth()).unwrap();
        let error = clients.by(Rule::Public).get(&url).send().await.unwrap_err();
        let causes = std::iter::successors(Some(&error as &(dyn Error + 'static)), |error| (*error).source());
        assert!(causes.into_iter().any(|error| error.is::<Unreachable>()), "{error:?}");
        let response = clients.by(Rule::Named).get(&url).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "hello");
        serving.await.unwrap();
    }
}
