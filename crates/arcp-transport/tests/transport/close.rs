//! How a link in memory ends.

use arcp_transport::{CloseCode, Frame, TransportError, memory};
use futures_util::{SinkExt, StreamExt};

use crate::{numbered, once};

#[tokio::test]
async fn a_close_frame_follows_the_frames_before_it_and_ends_both_streams() {
    let (mut left, mut right) = memory::pair(2);
    left.send(numbered(0)).await.unwrap();
    let close = Frame::close(CloseCode::RESUMED_ELSEWHERE, "session resumed elsewhere");
    left.send(close.clone()).await.unwrap();

    assert_eq!(right.next().await.unwrap().unwrap(), numbered(0));
    assert_eq!(right.next().await.unwrap().unwrap(), close);
    assert!(right.next().await.is_none());
    assert!(right.next().await.is_none(), "the end is the end");

    assert_eq!(left.next().await.unwrap().unwrap(), close, "the answer is the same close frame");
    assert!(left.next().await.is_none());
    left.close().await.unwrap();
    right.close().await.unwrap();
}

#[tokio::test]
async fn nothing_can_be_sent_once_either_end_has_closed() {
    let (mut left, mut right) = memory::pair(2);
    left.send(Frame::close(CloseCode::NORMAL, "")).await.unwrap();
    assert!(matches!(left.send(numbered(0)).await, Err(TransportError::Closed)));

    right.next().await.unwrap().unwrap();
    assert!(matches!(right.send(numbered(0)).await, Err(TransportError::Closed)));
}

#[tokio::test]
async fn closing_waits_for_the_answer_and_discards_what_comes_before_it() {
    let (mut left, mut right) = memory::pair(2);
    right.send(numbered(0)).await.unwrap();
    assert!(once(left.close()).is_none(), "the peer has not answered");

    assert_eq!(right.next().await.unwrap().unwrap(), Frame::close(CloseCode::NORMAL, ""));
    once(left.close()).expect("the peer has answered").unwrap();
    assert!(left.next().await.is_none());
}

#[tokio::test]
async fn closing_does_not_wait_for_room() {
    let (mut left, mut right) = memory::pair(1);
    left.send(numbered(0)).await.unwrap();
    assert!(once(left.close()).is_none());
    assert_eq!(right.next().await.unwrap().unwrap(), numbered(0));
    assert_eq!(right.next().await.unwrap().unwrap(), Frame::close(CloseCode::NORMAL, ""));
}

#[tokio::test]
async fn dropping_one_end_ends_the_other_without_a_close_frame() {
    let (mut left, right) = memory::pair(2);
    assert!(once(left.next()).is_none());
    drop(right);
    assert!(left.next().await.is_none());
    assert!(matches!(left.send(numbered(0)).await, Err(TransportError::Closed)));
    left.close().await.unwrap();
}

#[tokio::test]
async fn what_was_sent_before_the_drop_still_arrives() {
    let (mut left, mut right) = memory::pair(2);
    right.send(numbered(0)).await.unwrap();
    drop(right);
    assert_eq!(left.next().await.unwrap().unwrap(), numbered(0));
    assert!(left.next().await.is_none());
}
