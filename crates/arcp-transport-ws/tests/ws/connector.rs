//! What a client is told: about its URL, and about what it finds there.

use std::{error::Error, time::Duration};

use arcp_transport::{ConnectError, Connector, Frame, Listener, UrlProblem};
use arcp_transport_ws::{WsConfig, WsConnector};
use futures_util::SinkExt;
use http::{HeaderName, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{frame, listen};

fn problem(url: &str) -> UrlProblem {
    match WsConnector::new(url) {
        Err(ConnectError::BadUrl { problem }) => problem,
        other => panic!("{url}: {other:?}"),
    }
}

/// An HTTP server that gives one answer; returns its URL, and the request.
async fn answering(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", server.local_addr().unwrap());
    let request = tokio::spawn(async move {
        let (mut stream, _) = server.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(request).unwrap()
    });
    (url, request)
}

async fn refusal(url: &str) -> ConnectError {
    WsConnector::new(url).unwrap().connect().await.err().expect("no link")
}

#[test]
fn the_path_is_arcp_unless_there_is_one() {
    for (given, used) in [
        ("ws://localhost:7777", "ws://localhost:7777/arcp"),
        ("ws://localhost:7777/", "ws://localhost:7777/arcp"),
        ("ws://localhost:7777/agents", "ws://localhost:7777/agents"),
        ("wss://agents.example:443/a/b", "wss://agents.example/a/b"),
        ("WSS://Agents.Example", "wss://agents.example/arcp"),
        ("ws://[::1]/?region=eu", "ws://[::1]/arcp"),
    ] {
        assert_eq!(WsConnector::new(given).unwrap().url(), used);
    }
}

#[test]
fn bad_urls_are_told_apart_and_never_repeated() {
    assert!(matches!(problem("http://localhost"), UrlProblem::Scheme(scheme) if &*scheme == "http"));
    assert!(matches!(problem("localhost:7777"), UrlProblem::Scheme(_)));
    assert!(matches!(problem("127.0.0.1"), UrlProblem::Unparsable(_)));
    assert!(matches!(problem(""), UrlProblem::Unparsable(_)));
    assert!(matches!(problem("ws://"), UrlProblem::Unparsable(_)));
    assert!(matches!(problem("ws://localhost/#top"), UrlProblem::Fragment));
    for url in ["ws://user:hunter2@localhost", "ws://hunter2@localhost", "ws://:hunter2@localhost"] {
        let error = WsConnector::new(url).unwrap_err();
        assert!(matches!(error, ConnectError::BadUrl { problem: UrlProblem::UserInfo }));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}

#[test]
fn debug_shows_neither_header_values_nor_the_query() {
    let connector = WsConnector::new("wss://agents.example/arcp?key=hunter2")
        .unwrap()
        .with_header(HeaderName::from_static("x-api-key"), HeaderValue::from_static("hunter2"));
    let shown = format!("{connector:?}");
    assert!(shown.contains("x-api-key") && !shown.contains("hunter2"), "{shown}");
}

#[tokio::test]
async fn a_host_name_with_several_addresses_is_tried_until_one_answers() {
    let (mut listener, _) = listen(WsConfig::server()).await;
    // `localhost` is ::1 as well on many machines, and nothing listens there.
    let url = format!("ws://localhost:{}", listener.local_addr().port());
    let connector = WsConnector::new(&url).unwrap();
    let (client, server) = tokio::join!(connector.connect(), listener.accept());
    client.unwrap().send(Frame::text("{}")).await.unwrap();
    assert_eq!(frame(&mut server.unwrap().0).await, Frame::text("{}"));
}

#[tokio::test]
async fn nobody_there() {
    let (listener, url) = listen(WsConfig::server()).await;
    let address = listener.local_addr();
    drop(listener);
    let error = refusal(&url).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }) && error.is_transient());
    assert_eq!(error.to_string(), format!("connection to {address} refused: is the runtime running there?"));
    assert!(error.source().is_some());
}

#[tokio::test]
async fn an_http_refusal_keeps_its_status() {
    for (answer, status, transient, advice) in [
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", 401, false, "credentials"),
        ("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, false, "credentials"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", 404, false, "path"),
        ("HTTP/1.1 301 Moved Permanently\r\nLocation: /\r\n\r\n", 301, false, "redirects"),
        ("HTTP/1.1 200 OK\r\n\r\n", 200, false, "log"),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", 503, true, "later"),
    ] {
        let (url, _) = answering(answer).await;
        let error = refusal(&format!("{url}/arcp?key=hunter2")).await;
        assert!(matches!(error, ConnectError::Refused { status: given, .. } if given == status), "{error:?}");
        assert_eq!(error.is_transient(), transient);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{url}/arcp answered HTTP {status}: ")), "{text}");
        assert!(text.contains(advice), "{text}");
    }
}

#[tokio::test]
async fn something_else_answers() {
    for answer in ["SSH-2.0-OpenSSH_9.9\r\n\r\n", "HTTP/1.1 101 Switching Protocols\r\n\r\n", ""] {
        let (url, _) = answering(answer).await;
        let error = refusal(&url).await;
        assert!(matches!(error, ConnectError::Handshake { .. }), "{answer}: {error:?}");
        assert!(error.source().is_some());
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_times_out() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap();
    let limit = Duration::from_millis(20);
    let connector = WsConnector::new(&format!("ws://{address}")).unwrap().with_timeout(limit);
    let error = connector.connect().await.err().unwrap();
    assert!(matches!(error, ConnectError::Timeout { after, .. } if after == limit));
    assert!(error.to_string().starts_with(&format!("no link to {address} within 20ms")), "{error}");
}

#[tokio::test]
async fn extra_headers_are_sent_and_cannot_break_the_handshake() {
    let (url, request) = answering("HTTP/1.1 403 Forbidden\r\n\r\n").await;
    let connector = WsConnector::new(&format!("{url}/agents?region=eu"))
        .unwrap()
        .with_header(HeaderName::from_static("x-team"), HeaderValue::from_static("blue"))
        .with_header(HeaderName::from_static("x-team"), HeaderValue::from_static("green"))
        .with_header(HeaderName::from_static("host"), HeaderValue::from_static("elsewhere"))
        .with_header(HeaderName::from_static("sec-websocket-key"), HeaderValue::from_static("short"));
    connector.connect().await.err().unwrap();

    let request = request.await.unwrap();
    assert!(request.starts_with("GET /agents?region=eu HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nHost: {}\r\n", url.trim_start_matches("ws://"))), "{request}");
    assert!(request.contains("\r\nx-team: blue\r\nx-team: green\r\n"), "{request}");
    assert!(!request.contains("elsewhere") && !request.contains("short"), "{request}");
}
