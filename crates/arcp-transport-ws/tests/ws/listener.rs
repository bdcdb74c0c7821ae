//! Accepting: who waits for whom, and what a listener survives.

use std::{fs::File, process::Command, time::Duration};

use arcp_transport::{Connector, Frame, Listener};
use arcp_transport_ws::{WsConfig, WsConnector, WsListener};
use futures_util::SinkExt;
use http::{HeaderName, HeaderValue, request::Parts};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    frame, listen, once,
    raw::{RawClient, UPGRADE, exchange},
};

#[tokio::test]
async fn a_path_that_could_never_match_is_refused() {
    let error = WsListener::bind("127.0.0.1:0", "arcp").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn idle_connections_hold_up_nobody() {
    let (mut listener, url) = listen(WsConfig::server()).await;
    let mut idle = Vec::new();
    for _ in 0..20 {
        idle.push(TcpStream::connect(listener.local_addr()).await.unwrap());
    }
    idle[0].write_all(&UPGRADE.as_bytes()[..30]).await.unwrap();

    let connector = WsConnector::new(&url).unwrap();
    let (client, accepted) = tokio::join!(connector.connect(), listener.accept());
    let (mut server, peer) = accepted.unwrap();
    assert!(peer.secure, "loopback");
    assert!(peer.address.unwrap().ip().is_loopback());
    client.unwrap().send(Frame::text("{}")).await.unwrap();
    assert_eq!(frame(&mut server).await, Frame::text("{}"));
}

/// Who can read the way from a client to a proxy on this machine, nobody here knows.
#[tokio::test]
async fn what_a_proxy_hands_on_is_not_secure() {
    let (mut listener, url) = listen(WsConfig::server()).await;
    for (name, value, secure) in [
        ("x-tenant", "a", true),
        ("forwarded", "for=192.0.2.7;proto=https", false),
        ("x-forwarded-for", "127.0.0.1", false),
        ("x-real-ip", "127.0.0.1", false),
        ("via", "1.1 proxy", false),
    ] {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        let connector = WsConnector::new(&url).unwrap().with_header(name.clone(), value);
        let (client, accepted) = tokio::join!(connector.connect(), listener.accept());
        client.unwrap();
        assert_eq!(accepted.unwrap().1.secure, secure, "{name}");
    }
}

#[tokio::test]
async fn handshakes_are_bounded_and_an_idle_one_makes_room_in_the_end() {
    let (listener, url) = listen(WsConfig::server()).await;
    let mut listener = listener.with_max_handshakes(1).with_handshake_timeout(Duration::from_millis(20));
    let _idle = TcpStream::connect(listener.local_addr()).await.unwrap();
    let connector = WsConnector::new(&url).unwrap();
    let connecting = tokio::spawn(async move {
        // On a busy machine an honest handshake may miss so short a deadline, too.
        while connector.connect().await.is_err() {}
    });
    listener.accept().await.unwrap();
    connecting.abort();
}

/// A connection that has become a link counts among those of its address for as long as somebody has its request.
#[tokio::test]
async fn one_address_cannot_take_every_place() {
    let (listener, _) = listen(WsConfig::server()).await;
    let mut listener = listener.with_max_per_address(Some(2));
    let address = listener.local_addr();
    let (_open, arrival) = tokio::join!(RawClient::connect(address, b""), listener.accept_arrival());
    let (link, request) = (arrival.as_ref().unwrap().peer, arrival.unwrap().request);
    assert!(request.as_ref().unwrap().downcast_ref::<Parts>().is_some() && link.secure);
    let mut idle = TcpStream::connect(address).await.unwrap();
    let (mut more, mut byte) = (TcpStream::connect(address).await.unwrap(), [0]);
    tokio::select! {
        read = more.read(&mut byte) => assert!(matches!(read, Ok(0) | Err(_)), "it is closed"),
        _ = listener.accept() => panic!("nobody has asked for a link"),
    }
    drop(request);
    idle.write_all(UPGRADE.as_bytes()).await.unwrap();
    listener.accept().await.unwrap();
    let (_open, accepted) = tokio::join!(RawClient::connect(address, b""), listener.accept());
    accepted.unwrap();
}

/// No web page reaches a runtime through its visitor's browser.
#[tokio::test]
async fn pages_are_let_in_by_name() {
    let (listener, _) = listen(WsConfig::server()).await;
    let mut listener = listener.with_allowed_origin("https://console.example/");
    let address = listener.local_addr();
    let serving = tokio::spawn(async move {
        let link = listener.accept().await.unwrap();
        let _ = listener.accept().await; // goes on to answer
        drop(link);
    });
    for origin in ["https://evil.example", "null", "https://console.example.evil.example"] {
        let request = UPGRADE.replacen("\r\n", &format!("\r\nOrigin: {origin}\r\n"), 1);
        let answer = exchange(address, &request).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = UPGRADE.replacen("\r\n", "\r\nOrigin: https://Console.example\r\n", 1);
    client.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 13];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101 ");
    serving.abort();
}

#[tokio::test]
async fn an_arrival_has_the_trace_that_its_request_names() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let (mut listener, _) = listen(WsConfig::server()).await;
    for (headers, expected) in [
        (String::new(), None),
        (format!("traceparent: {PARENT}\r\n"), Some((PARENT, None))),
        (format!("Traceparent: {PARENT}\r\nTracestate: a=b\r\n"), Some((PARENT, Some("a=b")))),
        (format!("traceparent: {PARENT}\r\ntraceparent: {PARENT}\r\n"), None),
    ] {
        let mut client = TcpStream::connect(listener.local_addr()).await.unwrap();
        let request = UPGRADE.replacen("\r\n\r\n", &format!("\r\n{headers}\r\n"), 1);
        client.write_all(request.as_bytes()).await.unwrap();
        let trace = listener.accept_arrival().await.unwrap().trace;
        let trace = trace.as_ref().map(|trace| (trace.traceparent.as_str(), trace.tracestate.as_deref()));
        assert_eq!(trace, expected, "{headers:?}");
    }
}

#[tokio::test]
async fn many_clients_at_once() {
    const CLIENTS: usize = 100;
    let (mut listener, url) = listen(WsConfig::server()).await;
    let connector = WsConnector::new(&url).unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let connector = connector.clone();
            tokio::spawn(async move {
                let mut client = connector.connect().await.unwrap();
                client.send(Frame::text(number.to_string())).await.unwrap();
                client
            })
        })
        .collect();
    let mut seen = Vec::new();
    for _ in 0..CLIENTS {
        let (mut server, _) = listener.accept().await.unwrap();
        let Frame::Text(number) = frame(&mut server).await else { panic!("text was sent") };
        seen.push(number.parse::<usize>().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..CLIENTS).collect::<Vec<_>>());
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_dropped_accept_loses_nothing() {
    let (mut listener, url) = listen(WsConfig::server()).await;
    let connecting = tokio::spawn(async move { WsConnector::new(&url).unwrap().connect().await });
    while !connecting.is_finished() {
        // Each of these futures is dropped wherever it happens to be, but one is not ready again.
        if let Some(accepted) = once(listener.accept()) {
            accepted.unwrap();
            connecting.await.unwrap().unwrap();
            return;
        }
        tokio::task::yield_now().await;
    }
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn dropping_the_listener_keeps_accepted_links() {
    let (mut listener, url) = listen(WsConfig::server()).await;
    let connector = WsConnector::new(&url).unwrap();
    let (client, accepted) = tokio::join!(connector.connect(), listener.accept());
    drop(listener);
    let (mut server, _) = accepted.unwrap();
    client.unwrap().send(Frame::text("{}")).await.unwrap();
    assert_eq!(frame(&mut server).await, Frame::text("{}"));
    connector.connect().await.err().expect("the port is closed");
}

/// Set in the process that has few file descriptors.
const FEW_DESCRIPTORS: &str = "ARCP_TEST_FEW_DESCRIPTORS";

/// Needs a process of its own, as it takes every file descriptor: runs itself again in one.
#[test]
fn a_shortage_of_file_descriptors_is_waited_out() {
    if std::env::var_os(FEW_DESCRIPTORS).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        return runtime.block_on(without_file_descriptors());
    }
    let script =
        r#"ulimit -n 64 && exec "$0" --exact listener::a_shortage_of_file_descriptors_is_waited_out"#;
    let output = Command::new("sh")
        .args(["-c", script])
        .arg(std::env::current_exe().unwrap())
        .env(FEW_DESCRIPTORS, "1")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && shown.contains("1 passed"), "{shown}");
}

async fn without_file_descriptors() {
    let (mut listener, _) = listen(WsConfig::server()).await;
    let mut client = TcpStream::connect(listener.local_addr()).await.unwrap();
    let taken: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    while !format!("{listener:?}").contains("resting: true") {
        assert!(once(listener.accept()).is_none());
        tokio::task::yield_now().await;
    }
    drop(taken);
    client.write_all(UPGRADE.as_bytes()).await.unwrap();
    listener.accept().await.unwrap();
}
