//! What is read: where lines end, which are frames, and which are refused.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use arcp_transport::{Frame, TransportError};
use arcp_transport_stdio::{StdioConfig, StdioTransport};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncWriteExt, empty};

use crate::{
    closed, error, frame, once,
    pieces::{Broken, Endless, Pieces},
    raw_link,
};

const LIMIT: usize = 1000;

fn strict() -> StdioConfig {
    StdioConfig { max_frame_bytes: LIMIT, ..StdioConfig::server() }
}

/// What a link makes of bytes that are read in pieces of these sizes.
async fn read(bytes: &[u8], sizes: &[usize], config: StdioConfig) -> Vec<Result<Frame, TransportError>> {
    let link = StdioTransport::new(Pieces::new(bytes, sizes), empty(), config);
    link.collect().await
}

#[tokio::test]
async fn each_line_that_is_not_blank_is_a_frame() {
    for (bytes, texts, ends_in_order) in [
        ("a\nb\n", &["a", "b"][..], true),
        ("a\r\nb\r\n", &["a", "b"], true),
        ("a\nb", &["a", "b"], false),
        ("a\nb\r", &["a", "b"], false),
        ("\n \n\t\r\n\r\na\n\n", &["a"], true),
        ("a\n \t\r", &["a"], true),
        (" a \n", &[" a "], true),
        ("a\rb\n\rc\r\r\n", &["a\rb", "\rc\r"], true),
        ("é\u{2028}\u{1f600}\n", &["é\u{2028}\u{1f600}"], true),
        ("\n\n\n", &[], true),
        ("", &[], true),
    ] {
        for sizes in [&[1][..], &[2, 1], &[3, 0], &[usize::MAX]] {
            let mut expected: Vec<_> = texts.iter().map(|text| Frame::text(*text)).collect();
            expected.extend(ends_in_order.then(closed));
            let frames = read(bytes.as_bytes(), sizes, strict()).await;
            let frames: Vec<_> = frames.into_iter().map(Result::unwrap).collect();
            assert_eq!(frames, expected, "{bytes:?} in {sizes:?}");
        }
    }
}

#[tokio::test]
async fn a_line_of_the_limit_passes_and_one_byte_more_is_refused() {
    for end in ["\n", "\r\n", "\r", ""] {
        for sizes in [&[1][..], &[7], &[LIMIT], &[LIMIT + 1], &[usize::MAX]] {
            let longest = format!("{}{end}", "x".repeat(LIMIT));
            let frames = read(longest.as_bytes(), sizes, strict()).await;
            let Ok(Frame::Text(text)) = &frames[0] else { panic!("{end:?} {sizes:?}: {frames:?}") };
            assert_eq!(text.len(), LIMIT);

            let longer = format!("x{longest}");
            let frames = read(longer.as_bytes(), sizes, strict()).await;
            let refused = matches!(frames[..], [Err(TransportError::FrameTooLarge { limit: LIMIT })]);
            assert!(refused, "{end:?} in {sizes:?}: {frames:?}");
        }
    }
}

#[tokio::test]
async fn a_line_too_long_is_refused_before_it_has_come_whole() {
    let read = Arc::new(AtomicUsize::new(0));
    let mut link = StdioTransport::new(Endless(Arc::clone(&read)), empty(), strict());
    assert!(matches!(error(&mut link).await, TransportError::FrameTooLarge { limit: LIMIT }));
    assert!(link.next().await.is_none());
    assert_eq!(read.load(Ordering::Relaxed), 2 * LIMIT, "the piece that was too much, and no more");
}

#[tokio::test]
async fn blank_lines_are_limited_too() {
    let frames = read(" ".repeat(LIMIT + 1).as_bytes(), &[usize::MAX], strict()).await;
    assert!(matches!(frames[..], [Err(TransportError::FrameTooLarge { limit: LIMIT })]));
}

#[tokio::test]
async fn lines_of_eight_mebibytes_pass() {
    const LENGTH: usize = 8 << 20;
    let config = StdioConfig { max_frame_bytes: LENGTH, max_write_buffer_bytes: LENGTH + 1 };
    let (mut raw, mut link) = raw_link(64 * 1024, config);
    let writing = tokio::spawn(async move {
        for letter in ["a", "b"] {
            raw.writer.write_all(letter.repeat(LENGTH).as_bytes()).await.unwrap();
            raw.writer.write_all(b"\nshort\n").await.unwrap();
        }
    });
    for letter in ["a", "b"] {
        assert_eq!(frame(&mut link).await, Frame::text(letter.repeat(LENGTH)));
        assert_eq!(frame(&mut link).await, Frame::text("short"));
    }
    writing.await.unwrap();
}

/// With a look at everything that has come before for each byte this would take minutes.
#[tokio::test]
async fn a_long_line_may_come_byte_by_byte() {
    const LENGTH: usize = 1 << 20;
    let bytes = ["x".repeat(LENGTH), "y".to_owned()].join("\n");
    let frames = read(bytes.as_bytes(), &[1], StdioConfig::server()).await;
    let lengths: Vec<_> = frames.iter().map(|frame| format!("{:?}", frame.as_ref().unwrap())).collect();
    assert_eq!(lengths, [format!("Text({LENGTH} bytes)"), "Text(1 bytes)".to_owned()]);
}

#[tokio::test]
async fn text_that_is_not_utf8_ends_the_stream_and_can_be_answered() {
    let (mut raw, mut link) = raw_link(64, strict());
    raw.writer.write_all(b"a\n\xff\xfe\nb\n").await.unwrap();
    assert_eq!(frame(&mut link).await, Frame::text("a"));
    assert!(matches!(error(&mut link).await, TransportError::NotUtf8));
    assert!(link.next().await.is_none());
    link.send(Frame::text("no")).await.unwrap();

    let closing = tokio::spawn(async move { link.close().await });
    assert_eq!(raw.rest().await, "no\n");
    drop(raw);
    closing.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_character_cut_off_by_the_end_is_not_utf8() {
    let frames = read(&"aé".as_bytes()[..2], &[1], strict()).await;
    assert!(matches!(frames[..], [Err(TransportError::NotUtf8)]));
}

#[tokio::test]
async fn a_reader_that_fails_ends_the_stream() {
    let mut link = StdioTransport::new(Broken, empty(), strict());
    assert!(matches!(error(&mut link).await, TransportError::Io(_)));
    assert!(link.next().await.is_none());
    link.close().await.unwrap();
}

#[tokio::test]
async fn reading_that_is_given_up_loses_nothing() {
    let (mut raw, mut link) = raw_link(64, strict());
    for piece in ["{\"a\":", " 1", "}", "\r"] {
        raw.writer.write_all(piece.as_bytes()).await.unwrap();
        assert!(once(link.next()).is_none(), "{piece}");
    }
    raw.writer.write_all(b"\n{").await.unwrap();
    assert_eq!(once(link.next()).unwrap().unwrap().unwrap(), Frame::text(r#"{"a": 1}"#));
    assert!(once(link.next()).is_none());
    raw.writer.write_all(b"}\n").await.unwrap();
    assert_eq!(frame(&mut link).await, Frame::text("{}"));
}
