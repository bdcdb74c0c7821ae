//! Order, batches, back-pressure, and futures that are dropped half-way.

use arcp_transport::Frame;
use arcp_transport_stdio::{StdioConfig, StdioTransport};
use futures_util::{SinkExt, StreamExt};
use tokio::io::empty;

use crate::{
    Link, closed, frame, numbered, once, pair,
    pieces::{Sizes, Taker},
    raw_link,
};

/// What a link gathers before it writes.
const GATHERED: usize = 32 * 1024;

#[tokio::test]
async fn frames_arrive_in_order_in_both_directions() {
    for capacity in [1, 2, 7, 64 * 1024] {
        let (mut client, mut server) = pair(capacity);
        let echo = tokio::spawn(async move {
            for _ in 0..100 {
                let echoed = frame(&mut server).await;
                server.send(echoed).await.unwrap();
            }
            server
        });
        for number in 0..100 {
            client.send(numbered(number)).await.unwrap();
            assert_eq!(frame(&mut client).await, numbered(number));
        }
        echo.await.unwrap();
    }
}

#[tokio::test]
async fn many_frames_fed_and_flushed_once_arrive_in_order() {
    const COUNT: usize = 500;
    for capacity in [1, 100, 64 * 1024] {
        let (mut client, mut server) = pair(capacity);
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
}

/// Feeds until there is no room, and tells how many were taken.
fn fill(link: &mut Link, frame: &Frame) -> usize {
    let mut taken = 0;
    while let Some(fed) = once(link.feed(frame.clone())) {
        fed.unwrap();
        taken += 1;
        assert!(taken < 10_000, "there is a bound");
    }
    taken
}

#[tokio::test]
async fn a_peer_who_does_not_read_holds_up_the_writer() {
    for (length, capacity) in [(100, 1), (100, 64), (1000, 4096), (GATHERED, 64), (1 << 20, 64 * 1024)] {
        let (mut client, mut server) = pair(capacity);
        let block = Frame::text("b".repeat(length));
        let taken = fill(&mut server, &block);
        let bytes = taken * (length + 1);
        assert!(bytes >= GATHERED, "{length}: {bytes} are few");
        assert!(bytes <= GATHERED + length + 1 + capacity, "{length}: {bytes} are many");

        let flushing = tokio::spawn(async move {
            server.flush().await.unwrap();
            server
        });
        for _ in 0..taken {
            assert_eq!(frame(&mut client).await, block);
        }
        let mut server = flushing.await.unwrap();
        let (sent, received) = tokio::join!(server.send(Frame::text("after")), frame(&mut client));
        sent.unwrap();
        assert_eq!(received, Frame::text("after"));
    }
}

#[tokio::test]
async fn a_small_write_buffer_holds_less() {
    let small = StdioConfig { max_write_buffer_bytes: 10, ..StdioConfig::server() };
    let (_raw, mut link) = raw_link(1, small);
    assert_eq!(fill(&mut link, &Frame::text("1234")), 3, "ten bytes wait, and one has gone");
}

#[tokio::test]
async fn a_waiting_writer_is_woken() {
    let (mut client, mut server) = pair(1);
    let block = Frame::text("b".repeat(GATHERED));
    let writer = tokio::spawn({
        let block = block.clone();
        async move {
            for _ in 0..5 {
                server.feed(block.clone()).await.unwrap();
            }
            server.close().await.unwrap();
        }
    });
    for _ in 0..5 {
        assert_eq!(frame(&mut client).await, block);
    }
    assert_eq!(frame(&mut client).await, closed());
    assert!(client.next().await.is_none());
    writer.await.unwrap();
}

#[tokio::test]
async fn writing_that_is_given_up_loses_nothing() {
    let (mut client, mut server) = pair(3);
    let mut received = Vec::new();
    for number in 0..100 {
        // Each of these futures is dropped wherever it happens to be.
        once(client.feed(numbered(number))).expect("there is room").unwrap();
        let _ = once(client.flush());
        received.extend(once(server.next()).flatten().map(Result::unwrap));
    }
    assert!(received.len() < 100, "some futures were dropped half-way");
    let closing = tokio::spawn(async move { client.close().await });
    received.extend(server.map(Result::unwrap).collect::<Vec<_>>().await);
    closing.await.unwrap().unwrap();
    let sent: Vec<_> = (0..100).map(numbered).chain([closed()]).collect();
    assert_eq!(received, sent);
}

#[tokio::test]
async fn a_buffer_that_was_written_in_part_is_added_to() {
    let mut taker = Taker { taken: Vec::new(), sizes: Sizes::new([5, 0, 0]) };
    let mut link = StdioTransport::new(empty(), &mut taker, StdioConfig::server());
    let mut expected = String::new();
    for number in 0..500 {
        let text = format!("frame {number}");
        once(link.feed(Frame::text(text.clone()))).expect("there is room").unwrap();
        let _ = once(link.flush());
        expected = expected + &text + "\n";
    }
    link.flush().await.unwrap();
    drop(link);
    assert_eq!(String::from_utf8(taker.taken).unwrap(), expected);
}
