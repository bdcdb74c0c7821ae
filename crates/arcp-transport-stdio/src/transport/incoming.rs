//! From bytes to lines. What a line means is decided in `transport.rs`.

use std::{
    io, mem,
    ops::Range,
    pin::Pin,
    task::{Context, Poll, ready},
};

use arcp_transport::TransportError;
use bytes::Bytes;
use bytestring::ByteString;
use memchr::memchr;
use tokio::io::{AsyncRead, ReadBuf};

/// How much is read at a time: what a pipe holds on Linux.
const READ: usize = 64 * 1024;

/// Reads lines. Every byte is looked at once, and copied at most twice, however the reads cut them.
pub(super) struct Incoming<R> {
    reader: R,
    /// What was read last.
    buffer: Box<[u8]>,
    /// The part of `buffer` that has not been looked at.
    unread: Range<usize>,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    max_bytes: usize,
}

/// What comes next.
pub(super) enum Line {
    /// A line that is not blank, without its end.
    Whole(ByteString),
    /// What stood behind the last end of a line when the stream ended. Nothing follows.
    Last(ByteString),
    /// The stream has ended, at the end of a line.
    End,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(super) fn new(reader: R, max_bytes: usize) -> Self {
        let buffer = vec![0; READ].into_boxed_slice();
        Self { reader, buffer, unread: 0..0, partial: Vec::new(), max_bytes }
    }

    /// Not to be called again after the end or an error: what follows are not lines any more.
    pub(super) fn poll_line(&mut self, cx: &mut Context<'_>) -> Poll<Result<Line, TransportError>> {
        loop {
            if let Some(text) = self.next_line()? {
                return Poll::Ready(Ok(Line::Whole(text)));
            }
            if ready!(self.poll_read(cx))? == 0 {
                let last = text(mem::take(&mut self.partial))?;
                return Poll::Ready(Ok(last.map_or(Line::End, Line::Last)));
            }
        }
    }

    /// Reads and forgets until the stream has ended or failed.
    pub(super) fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.partial = Vec::new();
        while !matches!(ready!(self.poll_read(cx)), Ok(0) | Err(_)) {}
        Poll::Ready(())
    }

    /// The next line that ends in what has been read.
    fn next_line(&mut self) -> Result<Option<ByteString>, TransportError> {
        while !self.unread.is_empty() {
            let unread = &self.buffer[self.unread.clone()];
            let end = memchr(b'\n', unread);
            let piece = &unread[..end.unwrap_or(unread.len())];
            if !fits(&self.partial, piece, self.max_bytes) {
                self.partial = Vec::new();
                return Err(TransportError::FrameTooLarge { limit: self.max_bytes });
            }
            self.partial.extend_from_slice(piece);
            let Some(end) = end else {
                self.unread = 0..0;
                break;
            };
            self.unread.start += end + 1;
            if let Some(text) = text(mem::take(&mut self.partial))? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// Reads what is there; nothing at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(&mut self.reader).poll_read(cx, &mut buffer))?;
        self.unread = 0..buffer.filled().len();
        Poll::Ready(Ok(self.unread.len()))
    }
}

/// Whether what has come of a line is within the limit. A `\r` at its end is not counted: it may be
/// the first half of the line's.
fn fits(partial: &[u8], piece: &[u8], max_bytes: usize) -> bool {
    let last = piece.last().or(partial.last());
    partial.len() + piece.len() - usize::from(last == Some(&b'\r')) <= max_bytes
}

/// The text of a line without its `\n`; `None` if it is blank.
///
/// The text owns its memory, and no more than that: holding on to a short frame keeps alive nothing
/// that came along with it.
fn text(mut line: Vec<u8>) -> Result<Option<ByteString>, TransportError> {
    line.pop_if(|last| *last == b'\r');
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    line.shrink_to_fit();
    ByteString::try_from(Bytes::from(line)).map(Some).map_err(|_| TransportError::NotUtf8)
}
