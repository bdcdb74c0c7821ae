//! How a link ends: who says what, and that the peer gets to read it.

use arcp_transport::{CloseCode, Frame, TransportError};
use arcp_transport_stdio::StdioConfig;
use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;

use crate::{Link, closed, error, frame, numbered, once, over, pair, raw_link, raw_pair};

/// Reads to the end and closes, as a peer with manners; returns what it read.
async fn follow(mut link: Link) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(frame) = link.next().await {
        frames.push(frame.unwrap());
    }
    link.close().await.unwrap();
    frames
}

#[tokio::test]
async fn either_end_can_close_and_the_frames_before_it_arrive() {
    for capacity in [1, 1024] {
        let (mut closer, other) = pair(capacity);
        let other = tokio::spawn(follow(other));
        closer.feed(Frame::text("last words")).await.unwrap();
        closer.send(Frame::close(CloseCode::RESUMED_ELSEWHERE, "resumed elsewhere")).await.unwrap();
        assert!(matches!(closer.send(Frame::text("too late")).await, Err(TransportError::Closed)));
        assert_eq!(frame(&mut closer).await, closed(), "the answer");
        assert!(closer.next().await.is_none());
        assert!(closer.next().await.is_none(), "the end is the end");
        closer.close().await.unwrap();
        closer.close().await.unwrap();
        assert_eq!(other.await.unwrap(), [Frame::text("last words"), closed()]);
    }
}

#[tokio::test]
async fn nothing_can_be_sent_after_ones_own_close_but_the_other_end_has_the_last_word() {
    let (mut client, mut server) = pair(1024);
    client.send(Frame::close(CloseCode::NORMAL, "")).await.unwrap();
    assert!(matches!(client.feed(numbered(0)).await, Err(TransportError::Closed)));

    assert_eq!(frame(&mut server).await, closed());
    server.send(numbered(0)).await.unwrap();
    assert_eq!(frame(&mut client).await, numbered(0));
    assert!(server.next().await.is_none(), "reading on is the answer");
    assert!(matches!(server.feed(numbered(1)).await, Err(TransportError::Closed)));
}

#[tokio::test]
async fn closing_waits_for_the_answer_and_discards_what_comes_before_it() {
    let (mut client, mut server) = pair(64);
    server.send(numbered(0)).await.unwrap();
    assert!(once(client.close()).is_none(), "the peer has not answered");

    assert_eq!(frame(&mut server).await, closed());
    assert!(once(client.close()).is_none(), "the peer has read, and not answered");
    assert!(server.next().await.is_none(), "reading on is the answer");
    once(client.close()).expect("the peer has answered").unwrap();
    assert!(client.next().await.is_none());
}

#[tokio::test]
async fn an_end_is_answered_by_closing_alone() {
    let (mut raw, mut link) = raw_link(64, StdioConfig::server());
    link.feed(Frame::text("an answer")).await.unwrap();
    raw.writer.shutdown().await.unwrap();
    assert_eq!(frame(&mut link).await, closed());
    link.close().await.unwrap();
    assert_eq!(raw.rest().await, "an answer\n", "a client that has nothing to say may still listen");
}

#[tokio::test]
async fn an_end_is_answered_by_reading_on_alone() {
    let (mut raw, mut link) = raw_link(1, StdioConfig::server());
    link.feed(Frame::text("an answer")).await.unwrap();
    raw.writer.shutdown().await.unwrap();
    assert_eq!(frame(&mut link).await, closed());
    let reading = tokio::spawn(async move { link.next().await.is_none() });
    assert_eq!(raw.rest().await, "an answer\n");
    assert!(reading.await.unwrap());
}

#[tokio::test]
async fn both_ends_may_close_at_once() {
    let (mut client, mut server) = pair(1);
    client.feed(numbered(0)).await.unwrap();
    server.feed(numbered(1)).await.unwrap();
    let (left, right) = tokio::join!(client.close(), server.close());
    left.and(right).unwrap();
}

#[tokio::test]
async fn closing_gets_through_to_a_peer_who_reads_only_after_writing() {
    let (mut client, mut server) = pair(64);
    // Both directions are full, and neither end reads.
    let block = Frame::text("b".repeat(1024));
    for link in [&mut client, &mut server] {
        while let Some(fed) = once(link.feed(block.clone())) {
            fed.unwrap();
        }
    }
    let closing = tokio::spawn(async move { server.close().await });
    client.flush().await.unwrap();
    let frames = follow(client).await;
    assert_eq!(frames.last(), Some(&closed()));
    closing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_client_that_still_sends_a_line_too_long_learns_why_it_is_closed() {
    const LIMIT: usize = 1024;
    let (left, right) = raw_pair(64);
    let mut client = over(left, StdioConfig::client());
    let mut server = over(right, StdioConfig { max_frame_bytes: LIMIT, ..StdioConfig::server() });
    let refusal = Frame::text(r#"{"type":"session.error"}"#);
    let runtime = tokio::spawn({
        let refusal = refusal.clone();
        async move {
            let refused = error(&mut server).await;
            assert!(matches!(refused, TransportError::FrameTooLarge { limit: LIMIT }), "{refused:?}");
            assert!(server.next().await.is_none());
            server.feed(refusal).await.unwrap();
            server.feed(Frame::close(CloseCode::TOO_LARGE, "")).await.unwrap();
            server.close().await.unwrap();
        }
    });
    // More than the pipe holds, so this ends only if the runtime goes on reading.
    client.send(Frame::text("x".repeat(1 << 20))).await.unwrap();
    assert_eq!(frame(&mut client).await, refusal);
    assert_eq!(frame(&mut client).await, closed());
    assert!(client.next().await.is_none());
    client.close().await.unwrap();
    runtime.await.unwrap();
}

#[tokio::test]
async fn an_end_within_a_line_is_a_cut() {
    let (mut raw, mut link) = raw_link(64, StdioConfig::server());
    raw.writer.write_all(b"{\"whole\":1}\n{\"half\":").await.unwrap();
    drop(raw);
    assert_eq!(frame(&mut link).await, Frame::text(r#"{"whole":1}"#));
    assert_eq!(frame(&mut link).await, Frame::text(r#"{"half":"#));
    assert!(link.next().await.is_none(), "and no close frame");
    assert!(matches!(link.send(numbered(0)).await, Err(TransportError::Closed)));
    link.close().await.unwrap();
}

#[tokio::test]
async fn dropping_one_end_ends_the_other() {
    let (mut client, mut server) = pair(64);
    server.send(numbered(0)).await.unwrap();
    server.feed(numbered(1)).await.unwrap();
    drop(server);
    assert_eq!(frame(&mut client).await, numbered(0), "what was flushed still arrives");
    assert_eq!(frame(&mut client).await, closed(), "what was not does not");
    assert!(client.next().await.is_none());
    assert!(matches!(client.send(numbered(0)).await, Err(TransportError::Closed)));
    client.close().await.unwrap();
}

#[tokio::test]
async fn closing_a_link_whose_peer_has_gone_is_no_error() {
    let (mut client, server) = pair(64);
    client.feed(numbered(0)).await.unwrap();
    drop(server);
    client.close().await.unwrap();
}
