//! Any frames, however they are cut.

use arcp_transport::{Frame, TransportError};
use arcp_transport_stdio::{StdioConfig, StdioTransport};
use futures_util::{SinkExt, StreamExt};
use proptest::{collection::vec, prelude::*};
use tokio::io::empty;

use crate::{
    closed,
    pieces::{Pieces, Sizes, Taker},
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// A text that can be a line.
fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\r\n]{0,40}[!-~][^\r\n]{0,40}",
        ("[!-~é]", 0..20_000_usize).prop_map(|(letter, count)| letter.repeat(count + 1)),
    ]
}

/// How much is read or written at a time.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![1 => 0..4_usize, 3 => 0..100_000_usize];
    vec(size, 1..8).prop_filter("some must be above 0", |sizes| sizes.iter().any(|size| *size > 0))
}

/// What may stand between two lines.
fn end() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n"), Just("\n \t\r\n")]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn frames_arrive_whole_and_in_order(
        lines in vec(line(), 0..20),
        taken in sizes(),
        given in sizes(),
        flushes in vec(any::<bool>(), 20),
    ) {
        block_on(async {
            let mut taker = Taker { taken: Vec::new(), sizes: Sizes::new(taken) };
            let mut sender = StdioTransport::new(empty(), &mut taker, StdioConfig::server());
            for (line, flush) in lines.iter().zip(flushes) {
                sender.feed(Frame::text(line.clone())).await.unwrap();
                if flush {
                    sender.flush().await.unwrap();
                }
            }
            sender.close().await.unwrap();
            drop(sender);

            let pieces = Pieces::new(taker.taken, given);
            let receiver = StdioTransport::new(pieces, empty(), StdioConfig::server());
            let received: Vec<_> = receiver.map(Result::unwrap).collect().await;
            let sent: Vec<_> = lines.into_iter().map(Frame::text).chain([closed()]).collect();
            assert_eq!(received, sent);
        });
    }

    #[test]
    fn lines_are_told_apart_whatever_ends_them(
        lines in vec((line(), end()), 0..20),
        given in sizes(),
    ) {
        block_on(async {
            let bytes: String = lines.iter().flat_map(|(line, end)| [line, *end]).collect();
            let receiver = StdioTransport::new(Pieces::new(bytes, given), empty(), StdioConfig::server());
            let received: Vec<_> = receiver.map(Result::unwrap).collect().await;
            let sent = lines.into_iter().map(|(line, _)| Frame::text(line));
            let sent: Vec<_> = sent.chain([closed()]).collect();
            assert_eq!(received, sent);
        });
    }

    #[test]
    fn any_bytes_are_frames_and_then_one_end(
        bytes in vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
        given in sizes(),
    ) {
        let config = StdioConfig { max_frame_bytes: 20, ..StdioConfig::server() };
        let link = StdioTransport::new(Pieces::new(bytes, given), empty(), config);
        let items: Vec<_> = block_on(link.collect());
        for (index, item) in items.iter().enumerate() {
            match item {
                Ok(Frame::Text(text)) => assert!(text.len() <= 20 && !text.contains('\n')),
                Ok(Frame::Close(_)) | Err(TransportError::FrameTooLarge { .. } | TransportError::NotUtf8) => {
                    assert_eq!(index, items.len() - 1);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}
