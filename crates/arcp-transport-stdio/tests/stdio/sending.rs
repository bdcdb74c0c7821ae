//! What is sent, and what cannot be.

use arcp_transport::{Frame, TransportError};
use arcp_transport_stdio::{StdioConfig, StdioTransport};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::empty;

use crate::{closed, frame, once, pair, pieces::Broken, raw_link};

#[tokio::test]
async fn each_frame_is_a_line() {
    let (mut raw, mut link) = raw_link(64, StdioConfig::server());
    link.feed(Frame::text(r#"{"a":"\n"}"#)).await.unwrap();
    link.feed(Frame::text("é")).await.unwrap();
    link.send(Frame::close(arcp_transport::CloseCode::NORMAL, "said to nobody")).await.unwrap();
    assert_eq!(raw.rest().await, "{\"a\":\"\\n\"}\né\n");
}

#[tokio::test]
async fn what_is_no_line_is_refused_here_and_harms_nothing() {
    let (mut raw, mut link) = raw_link(64, StdioConfig::server());
    link.feed(Frame::text("before")).await.unwrap();
    for refused in ["a\nb", "a\r\nb", "a\n", "\r", "a\rb", "", " ", "\t"] {
        let error = link.feed(Frame::text(refused)).await.unwrap_err();
        assert!(matches!(error, TransportError::Protocol(_)), "{refused:?}: {error:?}");
    }
    let error = link.feed(Frame::Binary(Bytes::from_static(b"{}"))).await.unwrap_err();
    assert!(matches!(error, TransportError::Protocol(_)), "{error:?}");
    link.send(Frame::text("after")).await.unwrap();
    drop(link);
    assert_eq!(raw.rest().await, "before\nafter\n");
}

#[tokio::test]
async fn a_frame_too_long_to_send_is_refused_here_and_harms_nothing() {
    let small = StdioConfig { max_write_buffer_bytes: 100, ..StdioConfig::server() };
    let (mut raw, mut link) = raw_link(1000, small);
    let refused = link.send(Frame::text("x".repeat(100))).await.unwrap_err();
    assert!(matches!(refused, TransportError::FrameTooLarge { limit: 99 }), "{refused:?}");
    for _ in 0..3 {
        link.feed(Frame::text("x".repeat(99))).await.unwrap();
    }
    link.flush().await.unwrap();
    drop(link);
    let line = format!("{}\n", "x".repeat(99));
    assert_eq!(raw.rest().await, line.repeat(3));
}

#[tokio::test]
async fn a_link_that_may_send_nothing_refuses_everything() {
    for max_write_buffer_bytes in [0, 1] {
        let none = StdioConfig { max_write_buffer_bytes, ..StdioConfig::server() };
        let (_raw, mut link) = raw_link(64, none);
        let refused = link.send(Frame::text("x")).await.unwrap_err();
        assert!(matches!(refused, TransportError::FrameTooLarge { limit: 0 }), "{refused:?}");
        link.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_frame_is_only_sure_to_leave_with_a_flush() {
    let (mut client, mut server) = pair(64);
    client.feed(Frame::text("{}")).await.unwrap();
    assert!(once(server.next()).is_none());
    client.flush().await.unwrap();
    assert_eq!(frame(&mut server).await, Frame::text("{}"));
}

#[tokio::test]
async fn a_peer_that_reads_no_more_has_closed_the_link() {
    let (raw, mut link) = raw_link(64, StdioConfig::server());
    drop(raw.reader);
    assert!(matches!(link.send(Frame::text("{}")).await, Err(TransportError::Closed)));
    assert!(matches!(link.send(Frame::text("{}")).await, Err(TransportError::Closed)));
    assert!(matches!(link.flush().await, Err(TransportError::Closed)));
    drop(raw.writer);
    assert_eq!(frame(&mut link).await, closed());
    link.close().await.unwrap();
}

#[tokio::test]
async fn a_writer_that_fails_is_told_once() {
    let mut link = StdioTransport::new(empty(), Broken, StdioConfig::server());
    link.feed(Frame::text("{}")).await.unwrap();
    let error = link.flush().await.unwrap_err();
    assert!(matches!(&error, TransportError::Io(error) if error.kind() == std::io::ErrorKind::StorageFull));
    assert!(matches!(link.flush().await, Err(TransportError::Closed)));
    assert!(matches!(link.feed(Frame::text("{}")).await, Err(TransportError::Closed)));
    link.close().await.unwrap();

    let mut link = StdioTransport::new(empty(), Broken, StdioConfig::server());
    link.feed(Frame::text("{}")).await.unwrap();
    assert!(matches!(link.close().await, Err(TransportError::Io(_))), "what was fed is lost");
    link.close().await.unwrap();
}

#[tokio::test]
async fn debug_shows_no_contents() {
    let (mut client, mut server) = pair(64);
    client.feed(Frame::text("tok_secret")).await.unwrap();
    assert_eq!(format!("{client:?}"), "StdioTransport { reading: Open, .. }");
    client.flush().await.unwrap();
    assert_eq!(format!("{:?}", frame(&mut server).await), "Text(10 bytes)");
}
