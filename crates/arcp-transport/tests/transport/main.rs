//! The links of `arcp-transport`, used as clients and runtimes use them. One file a topic.

mod close;
mod flow;
mod listener;

use arcp_transport::Frame;
use futures_util::FutureExt;

/// What a future says if it is asked once: `None` means that it waits.
fn once<T>(future: impl Future<Output = T>) -> Option<T> {
    future.now_or_never()
}

fn numbered(number: usize) -> Frame {
    Frame::text(number.to_string())
}
