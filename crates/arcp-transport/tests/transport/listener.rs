//! Connecting and accepting within one process, through the traits.

use std::{io, sync::Arc};

use arcp_transport::{ConnectError, Connector, Listener, Peer, memory};
use futures_util::{SinkExt, StreamExt};

use crate::{numbered, once};

#[tokio::test]
async fn each_connect_yields_a_fresh_link() {
    let (connector, listener) = memory::listener();
    let connector: Arc<dyn Connector> = Arc::new(connector);
    let mut listener: Box<dyn Listener> = Box::new(listener);

    for number in 0..3 {
        let mut client = connector.connect().await.unwrap();
        let (mut server, peer) = listener.accept().await.unwrap();
        assert_eq!(peer, Peer::LOCAL);
        client.send(numbered(number)).await.unwrap();
        assert_eq!(server.next().await.unwrap().unwrap(), numbered(number));
        drop(server);
        assert!(client.next().await.is_none());
    }
}

#[tokio::test]
async fn the_capacity_is_that_of_the_connector() {
    let (connector, _listener) = memory::listener();
    let mut client = connector.with_capacity(1).connect().await.unwrap();
    client.send(numbered(0)).await.unwrap();
    assert!(once(client.send(numbered(1))).is_none());
}

#[tokio::test]
async fn without_a_listener_the_connection_is_refused() {
    let (connector, listener) = memory::listener();
    let mut waiting = connector.connect().await.unwrap();
    drop(listener);
    assert!(waiting.next().await.is_none(), "nobody will accept it");

    let refused = connector.connect().await.err().unwrap();
    assert!(refused.is_transient());
    assert_eq!(
        refused.to_string(),
        "connection to the in-memory listener refused: is the runtime running there?"
    );
}

#[tokio::test]
async fn a_full_backlog_refuses_and_accepting_makes_room() {
    let (connector, mut listener) = memory::listener();
    let mut links = Vec::new();
    for _ in 0..memory::BACKLOG {
        links.push(connector.connect().await.unwrap());
    }
    let Err(ConnectError::Unreachable { source, .. }) = connector.connect().await else {
        panic!("the backlog has a bound")
    };
    assert_eq!(source.kind(), io::ErrorKind::WouldBlock);
    listener.accept().await.unwrap();
    connector.connect().await.unwrap();
}

#[tokio::test]
async fn a_dropped_accept_loses_nothing() {
    let (connector, mut listener) = memory::listener();
    assert!(once(listener.accept()).is_none());
    let _client = connector.connect().await.unwrap();
    listener.accept().await.unwrap();

    drop(connector);
    let over = listener.accept().await.err().unwrap();
    assert_eq!(over.kind(), io::ErrorKind::BrokenPipe);
}
