//! The server's half of the WebSocket handshake (RFC 6455, section 4.2), as pure functions on HTTP
//! messages: no I/O, no routing, no authentication.
//!
//! [`WsListener`](crate::WsListener) uses them, and so can any HTTP server: answer the request with
//! what [`accept`] returns, then give the upgraded stream to
//! [`WsTransport::server`](crate::WsTransport::server).
//!
//! ```
//! use arcp_transport_ws::handshake;
//! use http::{Request, StatusCode};
//!
//! let request = Request::get("/arcp")
//!     .header("Connection", "keep-alive, Upgrade")
//!     .header("Upgrade", "websocket")
//!     .header("Sec-WebSocket-Version", "13")
//!     .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
//!     .body(())
//!     .unwrap();
//! let response = handshake::accept(&request).unwrap();
//! assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
//! assert_eq!(response.headers()["Sec-WebSocket-Accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
//!
//! let refused = handshake::accept(&Request::get("/arcp").body(()).unwrap()).unwrap_err();
//! assert_eq!(refused.status(), StatusCode::UPGRADE_REQUIRED);
//! ```

use arcp_transport::TraceHeaders;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// The subprotocols that are echoed when offered, the preferred one first. None is required.
pub const SUBPROTOCOLS: [&str; 2] = ["arcp.v1", "arcp"];

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");
const VERSION_13: HeaderValue = HeaderValue::from_static("13");

/// Checks an upgrade request and makes the answer to it.
///
/// The answer is `101 Switching Protocols` with the accept key, and with the first of
/// [`SUBPROTOCOLS`] that the request offers. Path, origin and credentials are the caller's to check.
///
/// # Errors
///
/// [`Refusal`], which knows its own HTTP response.
pub fn accept<B>(request: &Request<B>) -> Result<Response<()>, Refusal> {
    let headers = request.headers();
    if request.method() != Method::GET {
        return Err(Refusal::Method);
    }
    if request.version() != Version::HTTP_11 {
        return Err(Refusal::HttpVersion);
    }
    if !lists(headers, header::CONNECTION, "upgrade") || !lists(headers, header::UPGRADE, "websocket") {
        return Err(Refusal::NotAnUpgrade);
    }
    if only(headers, header::SEC_WEBSOCKET_VERSION) != Some(&VERSION_13) {
        return Err(Refusal::WebSocketVersion);
    }
    let key = only(headers, header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes);
    let key = key.filter(|key| is_nonce(key)).ok_or(Refusal::Key)?;

    let accepted = HeaderValue::try_from(derive_accept_key(key)).map_err(|_| Refusal::Key)?;
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer = response.headers_mut();
    answer.insert(header::CONNECTION, UPGRADE);
    answer.insert(header::UPGRADE, WEBSOCKET);
    answer.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    if let Some(protocol) = subprotocol(headers) {
        answer.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Ok(response)
}

/// What a proxy adds to the requests that it hands on (RFC 9110, RFC 7239, and before those).
const OF_PROXIES: [&str; 7] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whether a request says that a proxy has handed it on.
///
/// One that comes from this machine may then have come from another one to the proxy, and nobody here can tell how. What the
/// headers say besides is not looked at: a client can write them, too. A proxy that adds none of them cannot be told from a client.
pub fn is_forwarded(headers: &HeaderMap) -> bool {
    OF_PROXIES.iter().any(|name| headers.contains_key(*name))
}

/// Why a request is not upgraded to a WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The method is not GET: 405.
    #[error("a WebSocket handshake is a GET request")]
    Method,
    /// The request is not HTTP/1.1: 400.
    #[error("a WebSocket handshake needs HTTP/1.1")]
    HttpVersion,
    /// `Connection: Upgrade` or `Upgrade: websocket` is missing: 426.
    #[error("this is a WebSocket endpoint: send Connection: Upgrade and Upgrade: websocket")]
    NotAnUpgrade,
    /// The WebSocket version is not 13: 426, naming the one that is spoken.
    #[error("Sec-WebSocket-Version has to be 13")]
    WebSocketVersion,
    /// The key is missing, repeated, or not 16 bytes of base64: 400.
    #[error("Sec-WebSocket-Key has to be 16 bytes in base64, once")]
    Key,
}

impl Refusal {
    /// The HTTP status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::HttpVersion | Self::Key => StatusCode::BAD_REQUEST,
            Self::NotAnUpgrade | Self::WebSocketVersion => StatusCode::UPGRADE_REQUIRED,
        }
    }

    /// The whole response, but for a body; the text of this error makes a good one.
    pub fn response(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        match self {
            Self::Method => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            Self::NotAnUpgrade | Self::WebSocketVersion => {
                headers.insert(header::CONNECTION, UPGRADE);
                headers.insert(header::UPGRADE, WEBSOCKET);
                headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION_13);
            }
            Self::HttpVersion | Self::Key => {}
        }
        response
    }
}

/// Which trace a request belongs to, by the headers of W3C Trace Context: none if it names several. Of several `tracestate`s the
/// first is enough. Whether they are good is not looked at.
pub fn trace_headers(headers: &HeaderMap) -> Option<TraceHeaders> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let traceparent = only(headers, HeaderName::from_static("traceparent")).and_then(text)?;
    Some(TraceHeaders { traceparent, tracestate: headers.get("tracestate").and_then(text) })
}

fn subprotocol(headers: &HeaderMap) -> Option<&'static str> {
    // Unlike the rest, names of subprotocols are case-sensitive.
    let offered = |protocol: &str| {
        tokens(headers, header::SEC_WEBSOCKET_PROTOCOL).any(|token| token == protocol.as_bytes())
    };
    SUBPROTOCOLS.into_iter().find(|protocol| offered(protocol))
}

/// Whether a header that is a list, perhaps over several lines, has this token.
fn lists(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    tokens(headers, name).any(|token| token.eq_ignore_ascii_case(wanted.as_bytes()))
}

fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

/// The value of a header that must not be repeated.
fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())
}

/// Whether this is 16 bytes in base64: 22 characters, of which the last has two bits left to carry
/// (so it is one of four), and two of padding.
fn is_nonce(key: &[u8]) -> bool {
    let Some((digits, b"==")) = key.split_at_checked(22) else { return false };
    digits.iter().all(|digit| digit.is_ascii_alphanumeric() || matches!(digit, b'+' | b'/'))
        && matches!(digits[21], b'A' | b'Q' | b'g' | b'w')
}
