//! Frames that are refused, and that the peer can be told so.

use arcp_transport::{CloseCode, Frame, Listener, TransportError};
use arcp_transport_ws::WsConfig;
use futures_util::{SinkExt, StreamExt};

use crate::{
    default_link, error, frame, link, listen,
    raw::{self, RawClient},
    send_and_close,
};

const LIMIT: usize = 64 * 1024;

fn strict() -> WsConfig {
    WsConfig { max_frame_bytes: LIMIT, ..WsConfig::server() }
}

async fn raw_link(config: WsConfig) -> (RawClient, arcp_transport::BoxTransport) {
    let (mut listener, _) = listen(config).await;
    let connecting = RawClient::connect(listener.local_addr(), b"");
    let (client, accepted) = tokio::join!(connecting, listener.accept());
    (client, accepted.unwrap().0)
}

#[tokio::test]
async fn a_frame_of_the_limit_passes() {
    let (mut client, mut server) = link(WsConfig::client(), strict()).await;
    let sent = Frame::text("x".repeat(LIMIT));
    client.send(sent.clone()).await.unwrap();
    assert_eq!(frame(&mut server).await, sent);
}

#[tokio::test]
async fn a_client_that_still_sends_a_frame_too_large_learns_why_it_is_closed() {
    let (mut client, mut server) = link(WsConfig::client(), strict()).await;
    let refusal = Frame::text(r#"{"type":"session.error"}"#);
    let close = Frame::close(CloseCode::TOO_LARGE, "frame too large");
    let runtime = tokio::spawn({
        let (refusal, close) = (refusal.clone(), close.clone());
        async move {
            let refused = error(&mut server).await;
            assert!(matches!(refused, TransportError::FrameTooLarge { limit: LIMIT }), "{refused:?}");
            assert!(server.next().await.is_none());
            send_and_close(&mut server, [refusal, close]).await;
        }
    });

    // More than the sockets hold, so this ends only if the runtime goes on reading.
    client.send(Frame::text("x".repeat(12 * 1024 * 1024))).await.unwrap();
    assert_eq!(frame(&mut client).await, refusal);
    assert_eq!(frame(&mut client).await, close);
    assert!(client.next().await.is_none());
    client.close().await.unwrap();
    runtime.await.unwrap();
}

#[tokio::test]
async fn a_runtime_that_sends_a_frame_too_large_is_told() {
    let (mut client, mut server) =
        link(WsConfig { max_frame_bytes: LIMIT, ..WsConfig::client() }, WsConfig::server()).await;
    let runtime = tokio::spawn(async move {
        server.send(Frame::text("x".repeat(LIMIT + 1))).await.unwrap();
        let close = frame(&mut server).await;
        server.close().await.unwrap();
        close
    });
    assert!(matches!(error(&mut client).await, TransportError::FrameTooLarge { limit: LIMIT }));
    let close = Frame::close(CloseCode::TOO_LARGE, "");
    send_and_close(&mut client, [close.clone()]).await;
    assert_eq!(runtime.await.unwrap(), close);
}

#[tokio::test]
async fn fragments_count_together() {
    let (mut client, mut server) = raw_link(strict()).await;
    let half = vec![b'x'; LIMIT / 2];
    client.send(&raw::frame(raw::TEXT | raw::CONTINUED, &half)).await;
    client.send(&raw::frame(raw::CONTINUED, &half)).await;
    client.send(&raw::frame(raw::CONTINUED, b"x")).await;
    assert!(matches!(error(&mut server).await, TransportError::FrameTooLarge { limit: LIMIT }));
}

#[tokio::test]
async fn text_that_is_not_utf8_is_answered() {
    let (mut client, mut server) = raw_link(strict()).await;
    client.send(&raw::frame(raw::TEXT, b"\xff\xfe")).await;
    assert!(matches!(error(&mut server).await, TransportError::NotUtf8));
    let runtime = tokio::spawn(async move {
        send_and_close(&mut server, [Frame::text("no"), Frame::close(CloseCode::INVALID_DATA, "")]).await;
    });
    assert_eq!(client.receive().await, (raw::TEXT, b"no".to_vec()));
    assert_eq!(client.receive_close().await, 1007);
    drop(client);
    runtime.await.unwrap();
}

#[tokio::test]
async fn broken_framing_is_answered() {
    let (mut client, mut server) = raw_link(strict()).await;
    let mut unmasked = raw::frame(raw::TEXT, b"");
    unmasked[1] &= 0x7f;
    client.send(&unmasked).await;
    assert!(matches!(error(&mut server).await, TransportError::Protocol(_)));
    let runtime = tokio::spawn(async move {
        send_and_close(&mut server, [Frame::close(CloseCode::PROTOCOL_ERROR, "")]).await;
    });
    assert_eq!(client.receive_close().await, 1002);
    drop(client);
    runtime.await.unwrap();
}

#[tokio::test]
async fn a_frame_too_long_to_send_is_refused_here_and_harms_nothing() {
    let small = WsConfig { write_buffer_bytes: 1024, max_write_buffer_bytes: 2048, ..WsConfig::server() };
    let (mut client, mut server) = link(WsConfig::client(), small).await;
    let longest = 2048 - 14;
    let refused = server.send(Frame::text("x".repeat(longest + 1))).await.unwrap_err();
    assert!(matches!(refused, TransportError::FrameTooLarge { limit } if limit == longest));
    for _ in 0..3 {
        server.feed(Frame::text("x".repeat(longest))).await.unwrap();
    }
    server.flush().await.unwrap();
    for _ in 0..3 {
        assert_eq!(frame(&mut client).await, Frame::text("x".repeat(longest)));
    }
}

#[tokio::test]
async fn limits_that_contradict_each_other_still_make_a_link() {
    for (write_buffer_bytes, max_write_buffer_bytes) in [(0, 0), (4096, 1), (usize::MAX, usize::MAX)] {
        let odd = WsConfig {
            read_buffer_bytes: 0,
            write_buffer_bytes,
            max_write_buffer_bytes,
            ..WsConfig::server()
        };
        let (mut client, mut server) = link(odd, odd).await;
        client.send(Frame::text("{}")).await.unwrap();
        assert_eq!(frame(&mut server).await, Frame::text("{}"));
        server.send(Frame::text("{}")).await.unwrap();
        assert_eq!(frame(&mut client).await, Frame::text("{}"));
    }
}

#[tokio::test]
async fn debug_shows_no_contents() {
    let (mut client, mut server) = default_link().await;
    client.send(Frame::text("tok_secret")).await.unwrap();
    let shown = format!("{:?}", frame(&mut server).await);
    assert_eq!(shown, "Text(10 bytes)");
}
