//! Order and back-pressure of a link in memory.

use arcp_transport::{Frame, TransportError, memory};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};

use crate::{numbered, once};

#[tokio::test]
async fn frames_arrive_in_order_in_both_directions() {
    let (mut left, mut right) = memory::pair(8);
    for number in 0..8 {
        left.feed(numbered(number)).await.unwrap();
        right.feed(numbered(100 + number)).await.unwrap();
    }
    for number in 0..8 {
        assert_eq!(right.next().await.unwrap().unwrap(), numbered(number));
        assert_eq!(left.next().await.unwrap().unwrap(), numbered(100 + number));
    }
    let binary = Frame::Binary(Bytes::from_static(&[0xff]));
    left.send(binary.clone()).await.unwrap();
    assert_eq!(right.next().await.unwrap().unwrap(), binary);
}

#[tokio::test]
async fn exactly_the_capacity_fits_and_reading_makes_room() {
    for capacity in [1, 2, 7] {
        let (mut left, mut right) = memory::pair(capacity);
        for number in 0..capacity {
            once(left.send(numbered(number))).expect("there is room").unwrap();
        }
        assert!(once(left.feed(numbered(capacity))).is_none(), "{capacity} frames are the bound");
        assert!(once(left.flush()).is_some(), "what was taken has already left");

        right.next().await.unwrap().unwrap();
        once(left.feed(numbered(capacity))).expect("one was read").unwrap();
        assert!(once(left.feed(numbered(capacity + 1))).is_none());
    }
}

#[tokio::test]
async fn a_waiting_writer_is_woken() {
    let (mut left, mut right) = memory::pair(1);
    let writer = tokio::spawn(async move {
        for number in 0..100 {
            left.send(numbered(number)).await.unwrap();
        }
    });
    for number in 0..100 {
        assert_eq!(right.next().await.unwrap().unwrap(), numbered(number));
    }
    assert!(right.next().await.is_none());
    writer.await.unwrap();
}

#[tokio::test]
async fn no_capacity_means_one() {
    let (mut left, _right) = memory::pair(0);
    once(left.send(numbered(0))).unwrap().unwrap();
    assert!(once(left.send(numbered(1))).is_none());
}

#[tokio::test]
async fn a_writer_whose_reader_goes_is_told() {
    let (mut left, right) = memory::pair(1);
    left.send(numbered(0)).await.unwrap();
    let waiting = tokio::spawn(async move { left.send(numbered(1)).await });
    tokio::task::yield_now().await;
    drop(right);
    assert!(matches!(waiting.await.unwrap(), Err(TransportError::Closed)));
}
