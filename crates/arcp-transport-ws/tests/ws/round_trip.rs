//! Frames there and back: order, batches, sizes, pings, and what a peer who does not read costs.

use arcp_transport::{BoxTransport, Frame, Listener};
use arcp_transport_ws::{WsConfig, WsTransport};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use crate::{
    default_link, frame, listen, once,
    raw::{self, RawClient},
};

#[tokio::test]
async fn text_and_binary_pass_both_ways() {
    let (mut client, mut server) = default_link().await;
    for sent in [Frame::text("{\"häl\":\"lo\"}"), Frame::text(""), Frame::Binary(Bytes::from_static(&[0xff]))]
    {
        client.send(sent.clone()).await.unwrap();
        assert_eq!(frame(&mut server).await, sent);
        server.send(sent.clone()).await.unwrap();
        assert_eq!(frame(&mut client).await, sent);
    }
}

#[tokio::test]
async fn many_frames_fed_and_flushed_once_arrive_in_order() {
    const COUNT: usize = 5_000;
    let (mut client, mut server) = default_link().await;
    let sending = tokio::spawn(async move {
        for number in 0..COUNT {
            server.feed(Frame::text(format!("{number:0300}"))).await.unwrap();
        }
        server.flush().await.unwrap();
        server
    });
    for number in 0..COUNT {
        assert_eq!(frame(&mut client).await, Frame::text(format!("{number:0300}")));
    }
    sending.await.unwrap();
}

#[tokio::test]
async fn a_long_frame_passes_in_each_direction() {
    let (mut client, mut server) = default_link().await;
    let up = Frame::text("u".repeat(1024 * 1024));
    let down = Frame::text("d".repeat(3 * 1024 * 1024));
    let echo = tokio::spawn({
        let down = down.clone();
        async move {
            let up = frame(&mut server).await;
            server.send(down).await.unwrap();
            up
        }
    });
    client.send(up.clone()).await.unwrap();
    assert_eq!(frame(&mut client).await, down);
    assert_eq!(echo.await.unwrap(), up);
}

#[tokio::test]
async fn a_ping_is_answered_while_the_link_is_only_read() {
    let (mut listener, _) = listen(WsConfig::server()).await;
    let connecting = RawClient::connect(listener.local_addr(), b"");
    let (mut client, accepted) = tokio::join!(connecting, listener.accept());
    let (mut server, _) = accepted.unwrap();
    let reading = tokio::spawn(async move { server.next().await.unwrap().unwrap() });

    for payload in [&b"one"[..], b"", b"three"] {
        client.send(&raw::frame(raw::PING, payload)).await;
        assert_eq!(client.receive().await, (raw::PONG, payload.to_vec()));
    }
    client.send(&raw::frame(raw::TEXT, b"{}")).await;
    assert_eq!(reading.await.unwrap(), Frame::text("{}"));
}

#[tokio::test]
async fn what_is_sent_along_with_the_handshake_is_not_lost() {
    let (mut listener, _) = listen(WsConfig::server()).await;
    let early = [raw::frame(raw::TEXT, b"first"), raw::frame(raw::TEXT, b"second")].concat();
    let (_client, accepted) =
        tokio::join!(RawClient::connect(listener.local_addr(), &early), listener.accept());
    let (mut server, _) = accepted.unwrap();
    assert_eq!(frame(&mut server).await, Frame::text("first"));
    assert_eq!(frame(&mut server).await, Frame::text("second"));
}

#[tokio::test]
async fn any_stream_will_do() {
    let (left, right) = tokio::io::duplex(256);
    let client = WsTransport::client(left, WsConfig::client()).await;
    let server = WsTransport::server(right, WsConfig::server()).await;
    let (mut client, mut server): (BoxTransport, BoxTransport) = (Box::pin(client), Box::pin(server));
    let sent = Frame::text("x".repeat(10_000));
    let (_, received) = tokio::join!(client.send(sent.clone()), frame(&mut server));
    assert_eq!(received, sent);
    let (left, right) = tokio::join!(client.close(), server.close());
    left.and(right).unwrap();
}

#[tokio::test]
async fn a_peer_who_does_not_read_holds_up_the_writer() {
    let (mut client, mut server) = default_link().await;
    let block = Frame::text("b".repeat(64 * 1024));
    let mut sent = 0;
    while let Some(fed) = once(server.feed(block.clone())) {
        fed.unwrap();
        sent += 1;
        assert!(sent < 2_000, "125 MiB is more than any socket buffer");
        tokio::task::yield_now().await;
    }

    let flushing = tokio::spawn(async move {
        server.flush().await.unwrap();
        server
    });
    for _ in 0..sent {
        assert_eq!(frame(&mut client).await, block);
    }
    let mut server = flushing.await.unwrap();
    server.send(Frame::text("after")).await.unwrap();
    assert_eq!(frame(&mut client).await, Frame::text("after"));
}

#[tokio::test]
async fn pongs_that_fill_the_write_buffer_lose_no_frame() {
    const BUFFER: usize = 4096;
    let small = WsConfig { write_buffer_bytes: 0, max_write_buffer_bytes: BUFFER, ..WsConfig::server() };
    let (near, far) = tokio::io::duplex(1024);
    let mut client = RawClient { stream: near };
    let mut server = WsTransport::server(far, small).await;

    // Nobody takes the pongs: they fill the pipe, then the buffer, and then only the last one is kept.
    for _ in 0..100 {
        client.send(&raw::frame(raw::PING, &[b'p'; 100])).await;
        assert!(once(server.next()).is_none());
    }
    let block = Frame::text("b".repeat(BUFFER / 2));
    once(server.feed(block.clone())).expect("one frame is kept aside").unwrap();
    assert!(once(server.feed(block)).is_none(), "but not two");

    let closing = tokio::spawn(async move { server.close().await });
    let mut received = Vec::new();
    loop {
        match client.receive().await {
            (raw::PONG, _) => {}
            (raw::CLOSE, _) => break,
            (opcode, payload) => received.push((opcode, payload.len())),
        }
    }
    assert_eq!(received, [(raw::TEXT, BUFFER / 2)]);
    drop(client);
    closing.await.unwrap().unwrap();
}
