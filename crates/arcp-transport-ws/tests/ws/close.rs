//! How a link ends: who says what, and that the peer gets to read it.

use arcp_transport::{BoxTransport, CloseCode, Frame, Listener, TransportError};
use arcp_transport_ws::WsConfig;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;

use crate::{
    default_link, frame, listen, once,
    raw::{self, RawClient},
    send_and_close,
};

async fn raw_link() -> (RawClient, BoxTransport) {
    let (mut listener, _) = listen(WsConfig::server()).await;
    let connecting = RawClient::connect(listener.local_addr(), b"");
    let (client, accepted) = tokio::join!(connecting, listener.accept());
    (client, accepted.unwrap().0)
}

/// Reads to the end and closes, as a peer with manners; returns what it read.
async fn follow(mut link: BoxTransport) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = link.next().await {
        frames.push(frame.unwrap());
    }
    link.close().await.unwrap();
    frames
}

#[tokio::test]
async fn either_end_can_close_with_a_code_and_a_reason() {
    let close = Frame::close(CloseCode::RESUMED_ELSEWHERE, "session resumed elsewhere");
    for client_closes in [true, false] {
        let (client, server) = default_link().await;
        let (mut closer, other) = if client_closes { (client, server) } else { (server, client) };
        let other = tokio::spawn(follow(other));

        closer.feed(Frame::text("last words")).await.unwrap();
        closer.send(close.clone()).await.unwrap();
        assert!(matches!(closer.send(Frame::text("too late")).await, Err(TransportError::Closed)));
        assert_eq!(frame(&mut closer).await, close, "the answer");
        assert!(closer.next().await.is_none());
        closer.close().await.unwrap();
        closer.close().await.unwrap();
        assert_eq!(other.await.unwrap(), [Frame::text("last words"), close.clone()]);
    }
}

#[tokio::test]
async fn closing_without_a_code_is_normal() {
    for client_closes in [true, false] {
        let (client, server) = default_link().await;
        let (mut closer, other) = if client_closes { (client, server) } else { (server, client) };
        let other = tokio::spawn(follow(other));
        closer.close().await.unwrap();
        assert_eq!(other.await.unwrap(), [Frame::close(CloseCode::NORMAL, "")]);
    }
}

#[tokio::test]
async fn both_ends_may_close_at_once() {
    let (mut client, mut server) = default_link().await;
    let (left, right) = tokio::join!(
        send_and_close(&mut client, [Frame::close(CloseCode::NORMAL, "")]),
        send_and_close(&mut server, [Frame::close(CloseCode::GOING_AWAY, "")]),
    );
    let ((), ()) = (left, right);
}

#[tokio::test]
async fn a_close_frame_is_answered_by_closing_alone() {
    let (mut client, mut server) = raw_link().await;
    client.send(&raw::frame(raw::CLOSE, &1000_u16.to_be_bytes())).await;
    assert_eq!(frame(&mut server).await, Frame::close(CloseCode::NORMAL, ""));
    let closing = tokio::spawn(async move { server.close().await });
    assert_eq!(client.receive_close().await, 1000);
    drop(client);
    closing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_close_frame_is_answered_by_reading_on_alone() {
    let (mut client, mut server) = raw_link().await;
    client.send(&raw::frame(raw::CLOSE, &4000_u16.to_be_bytes())).await;
    assert_eq!(frame(&mut server).await, Frame::close(CloseCode(4000), ""));
    assert!(server.next().await.is_none());
    assert!(matches!(server.send(Frame::text("{}")).await, Err(TransportError::Closed)));
    drop(server);
    assert_eq!(client.receive_close().await, 4000);
}

#[tokio::test]
async fn a_peer_whose_frames_were_not_read_sees_an_end_and_no_reset() {
    let (mut client, mut server) = raw_link().await;
    for _ in 0..1_000 {
        client.send(&raw::frame(raw::TEXT, b"{}")).await;
    }
    let closing = tokio::spawn(async move {
        send_and_close(&mut server, [Frame::close(CloseCode::POLICY_VIOLATION, "no")]).await;
    });
    client.send(&raw::frame(raw::CLOSE, &1008_u16.to_be_bytes())).await;
    assert_eq!(client.receive_close().await, 1008);
    drop(client);
    closing.await.unwrap();
}

#[tokio::test]
async fn closing_gets_through_to_a_peer_who_reads_only_after_writing() {
    let (mut client, mut server) = default_link().await;
    // Both directions are full, and neither end reads.
    let block = Frame::text("b".repeat(64 * 1024));
    for link in [&mut client, &mut server] {
        while let Some(fed) = once(link.feed(block.clone())) {
            fed.unwrap();
            tokio::task::yield_now().await;
        }
    }
    let closing = tokio::spawn(async move { server.close().await });
    client.flush().await.unwrap();
    let frames = follow(client).await;
    assert_eq!(frames.last(), Some(&Frame::close(CloseCode::NORMAL, "")));
    closing.await.unwrap().unwrap();
}

#[tokio::test]
async fn closing_waits_for_a_silent_peer_as_long_as_the_driver_likes() {
    let (mut client, mut server) = raw_link().await;
    assert!(once(server.close()).is_none());
    assert_eq!(client.receive().await, (raw::CLOSE, 1000_u16.to_be_bytes().to_vec()));
    assert!(once(server.close()).is_none());
    drop(server);
}

#[tokio::test]
async fn a_cut_is_an_end_without_a_close_frame() {
    let (client, mut server) = raw_link().await;
    drop(client);
    assert!(server.next().await.is_none());
    assert!(server.next().await.is_none());

    let (mut client, mut server) = raw_link().await;
    client.send(&raw::frame(raw::TEXT, b"half a frame")[..9]).await;
    client.stream.shutdown().await.unwrap();
    assert!(server.next().await.is_none());
}

#[tokio::test]
async fn a_close_frame_without_a_code_has_none_both_ways() {
    let (mut client, mut server) = raw_link().await;
    client.send(&raw::frame(raw::CLOSE, b"")).await;
    assert_eq!(frame(&mut server).await, Frame::close(CloseCode::NO_STATUS, ""));

    let (mut client, mut server) = raw_link().await;
    server.send(Frame::close(CloseCode::NO_STATUS, "never shown")).await.unwrap();
    assert_eq!(client.receive().await, (raw::CLOSE, Vec::new()));
}

#[tokio::test]
async fn a_long_reason_is_cut_between_characters() {
    let (mut client, mut server) = default_link().await;
    let other = tokio::spawn(async move { frame(&mut server).await });
    client.send(Frame::close(CloseCode::INTERNAL, "ä".repeat(100))).await.unwrap();
    assert_eq!(other.await.unwrap(), Frame::close(CloseCode::INTERNAL, "ä".repeat(61)));
}
