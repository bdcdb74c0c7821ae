//! Accepting: who waits for whom, and what a listener survives.

use std::{fs::File, process::Command, time::Duration};

use arcp_transport::{Connector, Frame, Listener};
use arcp_transport_ws::{WsConfig, WsConnector, WsListener};
use futures_util::SinkExt;
use http::{HeaderName, HeaderValue};
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{frame, listen, once, raw::UPGRADE};

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
