//! Lines of a pipe: what is read does not depend on how the bytes were cut, and is what the bytes say as a whole.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use arcp_transport::{CloseCode, Frame, TransportError};
use arcp_transport_stdio::{StdioConfig, StdioTransport};
use futures_core::Stream;

use crate::pieces::{Pieces, Sizes, Taker};

/// The longest line, how many cuts there are, the cuts, and the bytes.
pub fn stdio_framing(data: &[u8]) {
    let [limit, cuts, rest @ ..] = data else { return };
    let limit = usize::from(*limit);
    let (sizes, bytes) = rest.split_at(rest.len().min(usize::from(cuts % 16)));
    let sizes: Vec<_> = sizes.iter().map(|size| usize::from(*size)).chain([7]).collect();
    let expected = by_hand(bytes, limit);
    for sizes in [sizes, vec![1], vec![usize::MAX]] {
        let said = read(bytes, sizes, limit);
        assert_eq!(said, expected, "{:?}", String::from_utf8_lossy(bytes));
    }
    written(&expected);
}

/// What a reader comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Line(String),
    /// The end, behind a whole line.
    Closed,
    TooLarge,
    NotUtf8,
}

/// What the bytes are: line by line, until one is no frame.
fn by_hand(bytes: &[u8], limit: usize) -> Vec<Said> {
    let mut said = Vec::new();
    let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
    let last = lines.pop().unwrap_or_default();
    for (line, whole) in lines.into_iter().map(|line| (line, true)).chain([(last, false)]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let blank = line.iter().all(u8::is_ascii_whitespace);
        let outcome = match std::str::from_utf8(line) {
            _ if line.len() > limit => Said::TooLarge,
            _ if blank && whole => continue,
            _ if blank => Said::Closed,
            Ok(text) => Said::Line(text.to_owned()),
            Err(_) => Said::NotUtf8,
        };
        let broken = matches!(outcome, Said::TooLarge | Said::NotUtf8);
        said.push(outcome);
        if broken {
            break;
        }
    }
    said
}

fn read(bytes: &[u8], sizes: Vec<usize>, limit: usize) -> Vec<Said> {
    let waits = sizes.len();
    let config = StdioConfig { max_frame_bytes: limit, ..StdioConfig::server() };
    let mut link = StdioTransport::new(Pieces::new(bytes, sizes), tokio::io::empty(), config);
    let mut cx = Context::from_waker(Waker::noop());
    let mut said = Vec::new();
    // Before each read it may be waited as often as there are sizes, and each line is one more answer.
    for _ in 0..=(bytes.len() + 2) * (waits + 1) + 2 {
        match Pin::new(&mut link).poll_next(&mut cx) {
            Poll::Pending => {}
            Poll::Ready(None) => return said,
            Poll::Ready(Some(Ok(Frame::Text(text)))) => said.push(Said::Line(text.to_string())),
            Poll::Ready(Some(Ok(Frame::Close(close)))) => {
                assert_eq!(close.code, CloseCode::NO_STATUS);
                said.push(Said::Closed);
            }
            Poll::Ready(Some(Err(TransportError::FrameTooLarge { .. }))) => said.push(Said::TooLarge),
            Poll::Ready(Some(Err(TransportError::NotUtf8))) => said.push(Said::NotUtf8),
            Poll::Ready(Some(other)) => panic!("{other:?}"),
        }
    }
    panic!("the end does not come: {said:?}");
}

/// What was read can be written, if it has no line break within, and is read as the same again.
fn written(said: &[Said]) {
    let lines = said.iter().filter_map(|said| match said {
        Said::Line(line) if !line.contains(['\r', '\n']) => Some(line.clone()),
        _ => None,
    });
    let lines: Vec<_> = lines.collect();
    let mut taker = Taker { taken: Vec::new(), sizes: Sizes::new([3]) };
    {
        let mut link = StdioTransport::new(tokio::io::empty(), &mut taker, StdioConfig::server());
        let mut cx = Context::from_waker(Waker::noop());
        use futures_sink::Sink;
        for line in &lines {
            while Pin::new(&mut link).poll_ready(&mut cx).is_pending() {}
            Pin::new(&mut link).start_send(Frame::text(line.clone())).expect("a line can be sent");
        }
        while Pin::new(&mut link).poll_close(&mut cx).is_pending() {}
    }
    let expected = lines.into_iter().map(Said::Line).chain([Said::Closed]);
    assert_eq!(by_hand(&taker.taken, usize::MAX), expected.collect::<Vec<_>>());
}
