//! How keys are fetched: from which URLs, at which addresses, how long it may take and how much it may be.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arcp_runtime::http::address::{Reach, reach};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, StatusCode, redirect, retry};
use serde::Deserialize;
use url::{Host, Url};

use crate::cache::{Fetch, FetchError};
use crate::key::KeySet;

/// How long a fetch may take, with the discovery that comes before it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

/// The longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// A URL that nothing is fetched from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// No URL, or one with a user, a password or a fragment.
    #[error("not a plain https URL")]
    Malformed,
    /// Anybody in between could say what the keys are.
    #[error("not https: plain http is for this machine alone, where private networks are allowed")]
    PlainHttp,
    /// An address of a private network or of this machine, which was not allowed, or one that is no host's.
    #[error("leads to an address that may not be reached")]
    Unreachable,
}

/// Where keys may be fetched from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Policy {
    /// Private networks and this machine too.
    pub(crate) private: bool,
}

impl Policy {
    fn allows(self, address: IpAddr) -> bool {
        match reach(address) {
            Reach::Public => true,
            Reach::Private => self.private,
            Reach::Special => false,
        }
    }

    /// Reads a URL that something may be fetched from, as far as it can be told without a resolver.
    pub(crate) fn url(self, text: &str) -> Result<Url, UrlError> {
        let url = Url::parse(text).map_err(|_| UrlError::Malformed)?;
        let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        let (address, here) = match url.host() {
            Some(Host::Ipv4(address)) => (Some(IpAddr::V4(address)), address.is_loopback()),
            Some(Host::Ipv6(address)) => (Some(IpAddr::V6(address)), address.is_loopback()),
            Some(Host::Domain(name)) => (None, name == "localhost"),
            None => return Err(UrlError::Malformed),
        };
        match url.scheme() {
            "https" if plain => {}
            "http" if plain && here && self.private => {}
            "http" if plain => return Err(UrlError::PlainHttp),
            _ => return Err(UrlError::Malformed),
        }
        if address.is_some_and(|address| !self.allows(address)) {
            return Err(UrlError::Unreachable);
        }
        Ok(url)
    }
}

/// Resolves names, and leaves out what may not be reached. The connection goes to what is left.
struct Resolver(Policy);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let reachable: Vec<SocketAddr> = found.filter(|address| policy.allows(address.ip())).collect();
            if reachable.is_empty() {
                return Err(UrlError::Unreachable.into());
            }
            Ok(Box::new(reachable.into_iter()) as Addrs)
        })
    }
}

/// What says where the keys are.
#[derive(Debug)]
pub(crate) enum Source {
    /// They are at this URL.
    Jwks(Url),
    /// This document of the issuer tells.
    Discovery { document: Url, issuer: String },
}

/// An issuer in the web.
#[derive(Debug)]
pub(crate) struct Web {
    client: Client,
    policy: Policy,
    source: Source,
}

/// What came was not what was asked for.
#[derive(Debug, thiserror::Error)]
enum Answer {
    #[error("{0}: status {1}")]
    Status(Url, StatusCode),
    #[error("{0}: more than {MAX_ANSWER} bytes")]
    TooLong(Url),
    #[error("{0}: not a JWKS")]
    NotKeys(Url),
    #[error("{0}: not the configuration of this issuer")]
    NotTheIssuer(Url),
    #[error("{0}: names as jwks_uri what nothing is fetched from: {1}")]
    JwksUri(Url, UrlError),
    #[error("{0}: no answer: {1}")]
    Nothing(Url, String),
    #[error("no answer within {} s", TIMEOUT.as_secs())]
    Late,
}

impl Web {
    /// Calls nothing.
    pub(crate) fn new(policy: Policy, source: Source, roots: &[Certificate]) -> Result<Self, reqwest::Error> {
        let mut client = Client::builder()
            .dns_resolver(Arc::new(Resolver(policy)))
            .user_agent(concat!("arcp-jwt/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            // A proxy would resolve names without looking at what they lead to.
            .no_proxy()
            .http1_only()
            .pool_max_idle_per_host(0);
        if !roots.is_empty() {
            client = client.tls_certs_only(roots.iter().cloned());
        }
        Ok(Self { client: client.build()?, policy, source })
    }

    async fn keys(&self) -> Result<KeySet, Answer> {
        let discovered;
        let url = match &self.source {
            Source::Jwks(url) => url,
            Source::Discovery { document, issuer } => {
                discovered = self.discover(document, issuer).await?;
                &discovered
            }
        };
        KeySet::parse(&self.read(url).await?).ok_or_else(|| Answer::NotKeys(url.clone()))
    }

    async fn discover(&self, document: &Url, issuer: &str) -> Result<Url, Answer> {
        #[derive(Deserialize)]
        struct Configuration {
            issuer: String,
            jwks_uri: String,
        }
        let text = self.read(document).await?;
        let found = serde_json::from_slice(&text).ok();
        let Some(Configuration { jwks_uri, .. }) =
            found.filter(|found: &Configuration| found.issuer == issuer)
        else {
            return Err(Answer::NotTheIssuer(document.clone()));
        };
        self.policy.url(&jwks_uri).map_err(|error| Answer::JwksUri(document.clone(), error))
    }

    async fn read(&self, url: &Url) -> Result<Vec<u8>, Answer> {
        let nothing = |error: reqwest::Error| {
            let error = error.without_url();
            let causes =
                std::iter::successors(Some(&error as &(dyn Error + 'static)), |error| (*error).source());
            let text: Vec<String> = causes.map(ToString::to_string).collect();
            Answer::Nothing(url.clone(), text.join(": "))
        };
        let mut response = self.client.get(url.clone()).send().await.map_err(nothing)?;
        if response.status() != StatusCode::OK {
            return Err(Answer::Status(url.clone(), response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(nothing)? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(Answer::TooLong(url.clone()));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

impl Fetch for Web {
    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let keys = tokio::time::timeout(TIMEOUT, self.keys()).await;
        Ok(keys.unwrap_or(Err(Answer::Late))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_by_https_from_public_places() {
        let public = Policy::default();
        for good in ["https://id.example/jwks", "https://1.1.1.1/", "https://id.example:8443/a?b=c"] {
            assert!(public.url(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("", UrlError::Malformed),
            ("id.example", UrlError::Malformed),
            ("file:///etc/passwd", UrlError::Malformed),
            ("ftp://id.example/", UrlError::Malformed),
            ("https://user@id.example/", UrlError::Malformed),
            ("https://:pass@id.example/", UrlError::Malformed),
            ("https://id.example/#x", UrlError::Malformed),
            ("http://id.example/", UrlError::PlainHttp),
            ("http://127.0.0.1/", UrlError::PlainHttp),
            ("https://127.0.0.1/", UrlError::Unreachable),
            ("https://10.1.2.3/", UrlError::Unreachable),
            ("https://[::1]/", UrlError::Unreachable),
            ("https://[::ffff:169.254.169.254]/", UrlError::Unreachable),
            ("https://169.254.169.254/", UrlError::Unreachable),
            ("https://2852039166/", UrlError::Unreachable), // the same in decimal
        ] {
            assert_eq!(public.url(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn private_networks_may_be_allowed_and_what_is_no_hosts_may_not() {
        let private = Policy { private: true };
        for good in [
            "https://10.1.2.3/",
            "https://127.0.0.1/",
            "http://127.0.0.1:1/",
            "http://localhost/",
            "http://[::1]/",
        ] {
            assert!(private.url(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("http://10.1.2.3/", UrlError::PlainHttp),
            ("http://id.example/", UrlError::PlainHttp),
            ("https://169.254.169.254/", UrlError::Unreachable),
            ("https://0.0.0.0/", UrlError::Unreachable),
        ] {
            assert_eq!(private.url(bad), Err(why), "{bad}");
        }
    }
}
