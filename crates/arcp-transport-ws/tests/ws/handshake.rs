//! The server's half of the handshake: first as functions, then over a socket.

use std::net::SocketAddr;

use arcp_transport::Listener;
use arcp_transport_ws::{
    WsConfig,
    handshake::{self, Refusal},
};
use http::{Method, Request, StatusCode, Version};

use crate::{
    listen,
    raw::{self, UPGRADE},
};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const GOOD: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
];

/// The good request, with the lines of one header replaced.
fn request(name: &str, lines: &[&str]) -> Request<()> {
    let mut request = Request::get("/arcp");
    for (header, value) in GOOD.into_iter().filter(|(header, _)| *header != name) {
        request = request.header(header, value);
    }
    for line in lines {
        request = request.header(name, *line);
    }
    request.body(()).unwrap()
}

#[test]
fn a_good_request_gets_the_accept_key() {
    let response = handshake::accept(&request("", &[])).unwrap();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers();
    assert_eq!(headers["Connection"], "Upgrade");
    assert_eq!(headers["Upgrade"], "websocket");
    assert_eq!(headers["Sec-WebSocket-Accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert!(!headers.contains_key("Sec-WebSocket-Protocol"));
}

#[test]
fn headers_are_lists_of_tokens_in_any_case() {
    for (name, lines) in [
        ("Connection", &["keep-alive, Upgrade"][..]),
        ("Connection", &["keep-alive", "UPGRADE"]),
        ("Upgrade", &["WebSocket"]),
        ("Upgrade", &["h2c, websocket"]),
    ] {
        assert!(handshake::accept(&request(name, lines)).is_ok(), "{name}: {lines:?}");
    }
}

#[test]
fn bad_requests_are_refused_by_name() {
    for (name, lines, refusal) in [
        ("Connection", &[][..], Refusal::NotAnUpgrade),
        ("Connection", &["keep-alive"], Refusal::NotAnUpgrade),
        ("Upgrade", &[], Refusal::NotAnUpgrade),
        ("Upgrade", &["websockets"], Refusal::NotAnUpgrade),
        ("Sec-WebSocket-Version", &[], Refusal::WebSocketVersion),
        ("Sec-WebSocket-Version", &["8"], Refusal::WebSocketVersion),
        ("Sec-WebSocket-Version", &["13", "8"], Refusal::WebSocketVersion),
        ("Sec-WebSocket-Key", &[], Refusal::Key),
        ("Sec-WebSocket-Key", &[""], Refusal::Key),
        ("Sec-WebSocket-Key", &[KEY, KEY], Refusal::Key),
        // 15 and 17 bytes, no padding, a foreign digit, bits beyond the 16th byte.
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25j"], Refusal::Key),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZWU="], Refusal::Key),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZQ"], Refusal::Key),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25-ZQ=="], Refusal::Key),
        ("Sec-WebSocket-Key", &["dGhlIHNhbXBsZSBub25jZR=="], Refusal::Key),
    ] {
        assert_eq!(handshake::accept(&request(name, lines)).unwrap_err(), refusal, "{name}: {lines:?}");
    }

    let mut post = request("", &[]);
    *post.method_mut() = Method::POST;
    assert_eq!(handshake::accept(&post).unwrap_err(), Refusal::Method);
    for version in [Version::HTTP_10, Version::HTTP_2] {
        let mut other = request("", &[]);
        *other.version_mut() = version;
        assert_eq!(handshake::accept(&other).unwrap_err(), Refusal::HttpVersion);
    }
}

#[test]
fn a_refusal_knows_its_response() {
    for (refusal, status) in [
        (Refusal::Method, 405),
        (Refusal::HttpVersion, 400),
        (Refusal::NotAnUpgrade, 426),
        (Refusal::WebSocketVersion, 426),
        (Refusal::Key, 400),
    ] {
        let response = refusal.response();
        assert_eq!(response.status(), status);
        assert_eq!(response.status(), refusal.status());
        assert_eq!(response.headers().get("Allow").is_some(), status == 405);
        let version = response.headers().get("Sec-WebSocket-Version");
        assert_eq!(version.map(|value| value.as_bytes()), (status == 426).then_some(&b"13"[..]));
    }
}

#[test]
fn the_subprotocol_is_echoed_when_offered() {
    for (lines, chosen) in [
        (&["arcp"][..], Some("arcp")),
        (&["arcp.v1"], Some("arcp.v1")),
        (&["arcp, arcp.v1"], Some("arcp.v1")),
        (&["arcp", "chat,arcp.v1"], Some("arcp.v1")),
        (&["ARCP.V1"], None),
        (&["mqtt"], None),
    ] {
        let response = handshake::accept(&request("Sec-WebSocket-Protocol", lines)).unwrap();
        let echoed = response.headers().get("Sec-WebSocket-Protocol").map(|value| value.to_str().unwrap());
        assert_eq!(echoed, chosen, "{lines:?}");
    }
}

/// A listener that only ever refuses.
async fn refusing() -> SocketAddr {
    let (mut listener, _) = listen(WsConfig::server()).await;
    let address = listener.local_addr();
    tokio::spawn(async move { listener.accept().await });
    address
}

#[tokio::test]
async fn a_listener_answers_what_it_refuses() {
    let address = refusing().await;
    for (request, status) in [
        (UPGRADE.replace("/arcp ", "/arcp/ "), "404 Not Found"),
        (UPGRADE.replace("/arcp ", "/ "), "404 Not Found"),
        (UPGRADE.replace("GET", "POST"), "405 Method Not Allowed"),
        (UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), "400 Bad Request"),
        (UPGRADE.replace("Upgrade: websocket\r\n", ""), "426 Upgrade Required"),
        (UPGRADE.replace("Version: 13", "Version: 12"), "426 Upgrade Required"),
        (UPGRADE.replace(KEY, "short"), "400 Bad Request"),
        ("\x16\x03\x01 this is no HTTP\r\n\r\n".to_owned(), "400 Bad Request"),
        (
            format!("GET /arcp HTTP/1.1\r\nX: {}", "x".repeat(16 * 1024)),
            "431 Request Header Fields Too Large",
        ),
    ] {
        let answer = raw::exchange(address, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole head");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{request}\n{answer}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert_eq!(head.contains("sec-websocket-version: 13"), status.starts_with("426"), "{head}");
    }
}
