//! HTTP under the lease of a job (§9.2): `net.fetch`.
//!
//! Every request is authorized before a connection is made for it, and so is every redirect: who is granted a place is not
//! granted where it leads. Redirects are followed up to ten times; credentials do not follow to another origin.
//!
//! A grant by wildcard is one of public places. Names are resolved here, and what they lead to is looked at before it is
//! connected to: an address of a private network or of this machine is refused unless a grant names the host as it is, as
//! `http://localhost:8080/**` and `https://wiki.internal/**` do. Link-local addresses, where clouds tell machines their secrets, and
//! others that are no host's are refused to every name: a grant must name the address itself, as in `http://169.254.169.254/**`.
//!
//! A job that stands in a trace says so to whom it asks (§11): requests have a `traceparent` and, where there is one, a `tracestate`,
//! unless the agent has set a `traceparent` itself.
//!
//! Requests go where they say, by HTTP/1.1. Proxies of the environment are not used, since they would resolve the names; each
//! request has a connection of its own, since one that is used again would not be checked again; there are no cookies, and bodies
//! are not decompressed, so that their limit is one.

pub mod address;
mod client;
mod fetch;

use std::future::IntoFuture;
use std::time::Duration;

use arcp_proto::{CallId, ErrorCode, Json, namespace};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
pub use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::agent_error::AgentError;
use crate::context::JobContext;
use crate::operation::OperationError;
pub(crate) use client::Clients;
use fetch::{Message, shown};

/// The code in which a request fails that had no response, or half of one.
pub const HTTP_FAILED: &str = "HTTP_FAILED";
/// The code in which a request fails that took longer than it may.
pub const HTTP_TIMEOUT: &str = "HTTP_TIMEOUT";
/// The code in which a request fails that is redirected again and again.
pub const TOO_MANY_REDIRECTS: &str = "TOO_MANY_REDIRECTS";
/// The code in which a request fails whose response is longer than it may be.
pub const TOO_LARGE: &str = "TOO_LARGE";

/// What is read of a response at most, if nothing is said.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long a request may take with all that it is redirected to, if nothing is said.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The web as a job may use it; see [`JobContext::http`].
#[derive(Clone, Copy, Debug)]
pub struct Http<'a> {
    ctx: &'a JobContext,
}

/// A request about to be made; await it.
///
/// Then `tool_call` is emitted with the method and the URL, without its query, and `tool_result` with the status and the size of the
/// body; headers and bodies are not told. A refusal is told likewise. Dropping the future closes the connection, what
/// was sent was sent, and there is no `tool_result`.
///
/// It must be awaited in a tokio runtime, in which agents are.
///
/// # Errors
/// [`OperationError::Denied`] when the lease does not allow the request or what it is redirected to, which it then names;
/// [`OperationError::Failed`] with a code of [this module](self) otherwise, or with `INVALID_REQUEST` for what is no request. A
/// response is no error, whatever its status is.
#[must_use = "nothing is requested until this is awaited"]
pub struct Request<'a> {
    ctx: &'a JobContext,
    url: String,
    message: Message,
    timeout: Duration,
    /// What was wrong with what it was made of.
    wrong: Option<String>,
}

/// A response, with all of its body.
#[derive(Clone, Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    url: reqwest::Url,
    body: Vec<u8>,
}

impl JobContext {
    /// The web as far as the job's lease grants it (§9.2).
    pub fn http(&self) -> Http<'_> {
        Http { ctx: self }
    }
}

impl<'a> Http<'a> {
    /// A request for a URL with `GET`.
    pub fn get(&self, url: impl Into<String>) -> Request<'a> {
        self.request(Method::GET, url)
    }

    /// A request with any method but `CONNECT`.
    pub fn request(&self, method: Method, url: impl Into<String>) -> Request<'a> {
        let (headers, body) = (HeaderMap::new(), Vec::new());
        let message = Message { method, headers, body, max_bytes: MAX_BYTES };
        Request { ctx: self.ctx, url: url.into(), message, timeout: TIMEOUT, wrong: None }
    }
}

impl Request<'_> {
    /// Adds a header. `Authorization`, `Cookie` and values that are marked as sensitive are not sent on to another origin.
    ///
    /// Those that say how a message is sent or whom it is for, such as `Host`, are not the agent's to set: the request fails
    /// in `INVALID_REQUEST`.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        match (name.try_into(), value.try_into()) {
            (Ok(name), Ok(value)) => drop(self.message.headers.append(name, value)),
            _ => self.wrong = Some("not a header".to_owned()),
        }
        self
    }

    /// Adds headers; see [`header`](Self::header).
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.message.headers.extend(headers);
        self
    }

    /// What is sent.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.message.body = body.into();
        self
    }

    /// What is sent, as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, body: &T) -> Self {
        match serde_json::to_vec(body) {
            Ok(body) => self.message.body = body,
            Err(error) => self.wrong = Some(format!("body cannot be encoded: {error}")),
        }
        let json = HeaderValue::from_static("application/json");
        self.message.headers.insert(header::CONTENT_TYPE, json);
        self
    }

    /// How long it may take with all that it is redirected to and the body of the response; 30 s if nothing is said.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes the body of the response may have; 16 MiB if nothing is said.
    pub fn max_bytes(mut self, max_bytes: usize) -> Self {
        self.message.max_bytes = max_bytes;
        self
    }

    async fn send(self) -> Result<Response, OperationError> {
        let Self { ctx, url, message, timeout, wrong } = self;
        let args = Json::from(json!({ "method": message.method.as_str(), "target": shown(&url) }));
        let fetch = async |target: String, call_id: &CallId| {
            if let Some(wrong) = wrong {
                return Err(OperationError::Failed(AgentError::new(ErrorCode::InvalidRequest, wrong)));
            }
            let trace = ctx.tool_trace(call_id);
            tokio::time::timeout(timeout, message.fetch(ctx, &target, trace)).await.unwrap_or_else(|_| {
                let text = format!("no response within {timeout:?}");
                Err(OperationError::Failed(AgentError::new(HTTP_TIMEOUT, text)))
            })
        };
        let told = |response: &Response| {
            let (status, bytes) = (response.status.as_u16(), response.body.len());
            Json::from(json!({ "ok": true, "status": status, "bytes": bytes }))
        };
        ctx.operate(namespace::NET_FETCH, &url, namespace::NET_FETCH, args, fetch, told).await
    }
}

impl<'a> IntoFuture for Request<'a> {
    type Output = Result<Response, OperationError>;
    type IntoFuture = BoxFuture<'a, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Where the response came from: the URL that was asked for, or the last one that it was redirected to.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body, to keep.
    pub fn into_bytes(self) -> Vec<u8> {
        self.body
    }

    /// The body as text.
    ///
    /// # Errors
    /// When it is not UTF-8, whatever the headers say.
    pub fn text(&self) -> Result<&str, std::str::Utf8Error> {
        std::str::from_utf8(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is no `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}
