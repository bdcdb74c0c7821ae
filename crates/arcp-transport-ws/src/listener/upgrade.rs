//! One accepted connection on its way to becoming a link: TLS, the request, the answer. What makes a
//! request good is `handshake.rs`; deadlines are the listener's.

use std::{io, net::SocketAddr, sync::Arc};

use arcp_transport::{Arrival, BoxTransport, Peer};
use http::{HeaderValue, Response, StatusCode, header};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::tungstenite::{
    Error,
    error::ProtocolError,
    handshake::{machine::TryParse, server::Request},
    protocol::Role,
};

use crate::{
    WsConfig, WsTransport,
    door::{FOREIGN_PAGE, Origins, Share},
    handshake::{self, Refusal},
};

/// The longest request head, in bytes. Browsers and proxies stay below 8 KiB.
const MAX_HEAD: usize = 16 * 1024;

const HEAD_END: &[u8] = b"\r\n\r\n";

/// What every connection of a listener goes through.
#[derive(Clone)]
pub(super) struct Upgrade {
    pub(super) path: Arc<str>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) config: WsConfig,
    pub(super) origins: Origins,
}

impl Upgrade {
    pub(super) async fn run(self, tcp: TcpStream, address: SocketAddr, share: Share) -> io::Result<Arrival> {
        // Else a frame may wait 40 ms for the acknowledgement of the one before it.
        tcp.set_nodelay(true)?;
        let (link, request) = match &self.tls {
            Some(tls) => self.http(tls.accept(tcp).await?).await?,
            None => self.http(tcp).await?,
        };
        let is_near =
            address.ip().to_canonical().is_loopback() && !handshake::is_forwarded(request.headers());
        let secure = self.tls.is_some() || is_near;
        let trace = handshake::trace_headers(request.headers());
        let (mut request, ()) = request.into_parts();
        request.extensions.insert(share);
        let arrival = Arrival::new(link, Peer { address: Some(address), secure });
        Ok(arrival.with_request(request).within_trace(trace))
    }

    async fn http<S>(&self, mut stream: S) -> io::Result<(BoxTransport, Request)>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (request, behind) = match read_request(&mut stream).await? {
            Ok(read) => read,
            Err(response) => return refuse(stream, response, "this is no HTTP/1.1 request").await,
        };
        if request.uri().path() != &*self.path {
            return refuse(stream, empty(StatusCode::NOT_FOUND), "there is nothing at this path").await;
        }
        if !self.origins.admit(request.headers()) {
            return refuse(stream, empty(StatusCode::FORBIDDEN), FOREIGN_PAGE).await;
        }
        let response = match handshake::accept(&request) {
            Ok(response) => response,
            Err(refusal) => return refuse(stream, refusal.response(), &refusal.to_string()).await,
        };
        stream.write_all(&head(&response)).await?;
        stream.flush().await?;
        Ok((Box::pin(WsTransport::over(stream, behind, Role::Server, self.config).await), request))
    }
}

/// The request, and the bytes behind it that were read along; or how to refuse what was sent.
async fn read_request<S>(stream: &mut S) -> io::Result<Result<(Request, Vec<u8>), Response<()>>>
where
    S: AsyncRead + Unpin,
{
    let mut read = Vec::with_capacity(1024);
    loop {
        let known = read.len();
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A client that speaks TLS to this port would wait for an answer, and we for two line ends.
        if !read[0].is_ascii_alphabetic() {
            return Ok(Err(empty(StatusCode::BAD_REQUEST)));
        }
        // Parsed once, when its end is there, and not as often as a dribbling client likes.
        let fresh = &read[known.saturating_sub(HEAD_END.len() - 1)..];
        if !fresh.windows(HEAD_END.len()).any(|window| window == HEAD_END) {
            if read.len() < MAX_HEAD {
                continue;
            }
            return Ok(Err(empty(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)));
        }
        return Ok(match Request::try_parse(&read) {
            Ok(Some((length, request))) => {
                let behind = read.split_off(length);
                Ok((request, behind))
            }
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => Err(Refusal::Method.response()),
            Ok(None) | Err(_) => Err(empty(StatusCode::BAD_REQUEST)),
        });
    }
}

/// Answers, and waits for the client to close: a connection with unread bytes is reset when
/// it is dropped, and the answer may be lost with it.
async fn refuse<S, T>(mut stream: S, mut response: Response<()>, reason: &str) -> io::Result<T>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let body = format!("{reason}\n");
    let headers = response.headers_mut();
    headers.append(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let answer = [head(&response), body.into_bytes()].concat();
    stream.write_all(&answer).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Err(io::Error::new(io::ErrorKind::InvalidData, format!("{reason} ({})", response.status())))
}

fn empty(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response
}

fn head(response: &Response<()>) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}
