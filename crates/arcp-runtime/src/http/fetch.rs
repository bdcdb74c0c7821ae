//! One request with its redirects: each is authorized before anything is sent for it.

use std::error::Error;
use std::fmt::Write;
use std::net::IpAddr;

use arcp_core::lease::Denied;
use arcp_proto::{ErrorCode, TraceContext, namespace};
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode, Url};

use super::address::{self, Rule};
use super::client::{Clients, Unreachable};
use super::{HTTP_FAILED, Response, TOO_LARGE, TOO_MANY_REDIRECTS};
use crate::agent_error::AgentError;
use crate::context::JobContext;
use crate::operation::OperationError;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 10;

/// Headers that say how a message is sent, or whom it is for: with them a request could be another one to its server than the one
/// that was authorized.
const RESERVED: [HeaderName; 9] = [
    header::HOST,
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
];

/// The headers of W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Headers of a body.
const OF_BODY: [HeaderName; 4] =
    [header::CONTENT_TYPE, header::CONTENT_ENCODING, header::CONTENT_LANGUAGE, header::CONTENT_LOCATION];

/// A request as it is sent next.
pub(super) struct Message {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) max_bytes: usize,
}

impl Message {
    /// Sends it, follows redirects, reads the body of the last response.
    pub(super) async fn fetch(
        mut self,
        ctx: &JobContext,
        url: &str,
        trace: Option<TraceContext>,
    ) -> Result<Response, OperationError> {
        if self.method == Method::CONNECT {
            return Err(invalid("method CONNECT opens a tunnel"));
        }
        if let Some(name) = RESERVED.iter().find(|name| self.headers.contains_key(*name)) {
            return Err(invalid(format!("header {name} is not the agent's to set")));
        }
        self.continue_trace(trace);
        let clients = ctx.driver().http().await.map_err(failed)?;
        let mut hop = Hop::authorize(ctx, url)?;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(clients, &hop).await?;
            let Some(location) = redirect(&response) else {
                return self.read(hop, response).await;
            };
            let location = location.map_err(failed)?;
            let next = hop.next(ctx, &location)?;
            self.redirect(response.status(), hop.url.origin() == next.url.origin());
            hop = next;
        }
        let text = format!("more than {MAX_REDIRECTS} redirects");
        Err(OperationError::Failed(AgentError::new(TOO_MANY_REDIRECTS, text)))
    }

    /// Tells whoever is asked which trace this belongs to.
    fn continue_trace(&mut self, trace: Option<TraceContext>) {
        let Some(trace) = trace.filter(|_| !self.headers.contains_key(TRACEPARENT)) else { return };
        if let Ok(parent) = HeaderValue::try_from(trace.to_string()) {
            self.headers.insert(TRACEPARENT, parent);
            self.headers.remove(TRACESTATE);
            if let Some(Ok(state)) = trace.tracestate.map(HeaderValue::try_from) {
                self.headers.insert(TRACESTATE, state);
            }
        }
    }

    async fn send(&self, clients: &Clients, hop: &Hop) -> Result<reqwest::Response, OperationError> {
        if let (Some(error), "https") = (&clients.no_tls, hop.url.scheme()) {
            return Err(failed(format!("no certificate authority is trusted here: {error}")));
        }
        let request = clients.by(hop.rule).request(self.method.clone(), hop.url.clone());
        let mut request = request.headers(self.headers.clone());
        if !self.body.is_empty() {
            request = request.body(self.body.clone());
        }
        request.send().await.map_err(|error| hop.failed(error))
    }

    /// What is sent on to where a response leads.
    fn redirect(&mut self, status: StatusCode, same_origin: bool) {
        let to_get = match status {
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            _ => false,
        };
        if to_get {
            self.method = Method::GET;
            self.body.clear();
            OF_BODY.iter().for_each(|name| drop(self.headers.remove(name)));
        }
        if !same_origin {
            // What tells who is asking was meant for who was asked.
            let tells = |name: &HeaderName| *name == header::AUTHORIZATION || *name == header::COOKIE;
            let secret: Vec<HeaderName> = self
                .headers
                .iter()
                .filter(|(name, value)| tells(name) || value.is_sensitive())
                .map(|(name, _)| name.clone())
                .collect();
            secret.iter().for_each(|name| drop(self.headers.remove(name)));
        }
    }

    async fn read(&self, hop: Hop, mut response: reqwest::Response) -> Result<Response, OperationError> {
        let too_large = || {
            let text = format!("response has more than {} bytes", self.max_bytes);
            OperationError::Failed(AgentError::new(TOO_LARGE, text))
        };
        let announced = response.content_length().unwrap_or(0);
        if announced > self.max_bytes as u64 {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| hop.failed(error))? {
            if body.len() + chunk.len() > self.max_bytes {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(Response { status, headers, url: hop.url, body })
    }
}

/// A place that was authorized.
struct Hop {
    url: Url,
    rule: Rule,
}

impl Hop {
    fn authorize(ctx: &JobContext, url: &str) -> Result<Self, Denied> {
        // What is sent is what a URL parser makes of the canonical form, so that is what must be granted.
        let read = |text: &str| Url::parse(text).map_err(|_| denied("not a URL"));
        let url = read(ctx.granted(namespace::NET_FETCH, url)?.target().canonical())?;
        let granted = ctx.granted(namespace::NET_FETCH, url.as_str())?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none();
        if !plain || read(granted.target().canonical())? != url {
            return Err(denied("a URL that can be read in more than one way"));
        }
        let host = url.host_str().unwrap_or_default();
        let named = granted.grants().iter().any(|grant| address::names_host(grant, host));
        let rule = if named { Rule::Named } else { Rule::Public };
        // No name is resolved for an address, and one that a grant names is granted whatever it is.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        if literal.is_ok_and(|address| !named && !rule.allows(address)) {
            return Err(denied(format!("{host} is no public address, and no grant names it")));
        }
        Ok(Self { url, rule })
    }

    /// Where a response leads. The refusal names it, since nobody has asked for it.
    fn next(&self, ctx: &JobContext, location: &str) -> Result<Self, Denied> {
        let next = self.url.join(location).map_err(|_| denied("a redirect to what is no URL"))?;
        Self::authorize(ctx, next.as_str()).map_err(|refusal| match refusal {
            Denied::BadTarget { problem, .. } => {
                denied(format!("a redirect to {}: {problem}", shown(next.as_str())))
            }
            refusal => refusal,
        })
    }

    fn failed(&self, error: reqwest::Error) -> OperationError {
        let error = error.without_url();
        let mut text = String::new();
        let mut next: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = next {
            if error.is::<Unreachable>() {
                let host = self.url.host_str().unwrap_or_default();
                return match self.rule {
                    Rule::Public => {
                        denied(format!("{host} leads to no public address, and no grant names it"))
                    }
                    Rule::Named => denied(format!("{host} leads to addresses that no name may lead to")),
                }
                .into();
            }
            let _ = write!(text, "{}{error}", if text.is_empty() { "" } else { ": " });
            next = error.source();
        }
        failed(text)
    }
}

/// Where a response says that what was asked for is, if it does.
fn redirect(response: &reqwest::Response) -> Option<Result<String, &'static str>> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = response.headers().get(header::LOCATION)?;
    Some(location.to_str().map(str::to_owned).map_err(|_| "location of a redirect is not readable"))
}

/// A URL as others may see it: with nothing in it that may be a secret.
pub(super) fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "not a URL".to_owned() };
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return format!("{}:", url.scheme());
    }
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

fn denied(problem: impl Into<String>) -> Denied {
    Denied::BadTarget { capability: namespace::NET_FETCH.to_owned(), problem: problem.into() }
}

fn invalid(text: impl Into<String>) -> OperationError {
    OperationError::Failed(AgentError::new(ErrorCode::InvalidRequest, text))
}

fn failed(text: impl Into<String>) -> OperationError {
    OperationError::Failed(AgentError::new(HTTP_FAILED, text))
}
