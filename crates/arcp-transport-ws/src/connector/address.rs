//! Where a URL points: which ones are taken, and what is made of them. Nothing is looked up here.

use arcp_transport::UrlProblem;
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;
use url::{Host, Url};

/// The path of a URL that has none (§4).
const DEFAULT_PATH: &str = "/arcp";

/// A URL of a runtime, taken apart once.
#[derive(Clone)]
pub(super) struct Address {
    /// What to ask the server for. It has the query, so it is never shown.
    pub(super) uri: Uri,
    /// The `Host` header.
    pub(super) authority: HeaderValue,
    /// Without brackets around IPv6.
    pub(super) host: Box<str>,
    pub(super) port: u16,
    /// The name that the certificate has to have; `None` without TLS.
    pub(super) tls_name: Option<ServerName<'static>>,
    /// The URL as people may see it: without the query.
    pub(super) shown: Box<str>,
}

impl Address {
    pub(super) fn parse(text: &str) -> Result<Self, UrlProblem> {
        let mut url = Url::parse(text).map_err(unparsable)?;
        let secure = match url.scheme() {
            "ws" => false,
            "wss" => true,
            other => return Err(UrlProblem::Scheme(other.into())),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlProblem::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(UrlProblem::Fragment);
        }
        if url.path() == "/" {
            url.set_path(DEFAULT_PATH);
        }

        let (host, tls_name) = match url.host().ok_or(UrlProblem::NoHost)? {
            Host::Domain(name) => {
                // A certificate never has the dot that ends an absolute name.
                let name_on_certificate = name.strip_suffix('.').unwrap_or(name);
                let checked = secure.then(|| ServerName::try_from(name_on_certificate.to_owned()));
                (name.into(), checked.transpose().map_err(unparsable)?)
            }
            Host::Ipv4(ip) => (ip.to_string(), Some(ServerName::from(std::net::IpAddr::from(ip)))),
            Host::Ipv6(ip) => (ip.to_string(), Some(ServerName::from(std::net::IpAddr::from(ip)))),
        };
        let port = url.port_or_known_default().unwrap_or(if secure { 443 } else { 80 });
        let uri = Uri::try_from(url.as_str()).map_err(unparsable)?;
        let authority = uri.authority().ok_or(UrlProblem::NoHost)?;
        let authority = HeaderValue::try_from(authority.as_str()).map_err(unparsable)?;
        url.set_query(None);
        Ok(Self {
            uri,
            authority,
            host: host.into(),
            port,
            tls_name: tls_name.filter(|_| secure),
            shown: url.as_str().into(),
        })
    }

    /// Host and port, for error texts.
    pub(super) fn target(&self) -> Box<str> {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port).into(),
            false => format!("{}:{}", self.host, self.port).into(),
        }
    }
}

fn unparsable(error: impl std::error::Error + Send + Sync + 'static) -> UrlProblem {
    UrlProblem::Unparsable(Box::new(error))
}
