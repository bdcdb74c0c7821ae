//! From frames to bytes: what waits to be written, and the end of our half. Who may still send is
//! decided in `transport.rs`.

use std::{
    io, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use arcp_transport::TransportError;
use memchr::memchr2;
use tokio::io::AsyncWrite;

use crate::StdioConfig;

/// What the buffer keeps of its memory once everything is written.
const KEPT: usize = 64 * 1024;

/// Writes lines.
pub(super) struct Outgoing<W> {
    writer: Writer<W>,
    buffer: Vec<u8>,
    /// So much of `buffer` has been written.
    written: usize,
    /// Nothing will be added to `buffer`; behind it our half ends.
    closing: bool,
    max_bytes: usize,
    gathered_bytes: usize,
}

enum Writer<W> {
    Open(W),
    /// Shut down and dropped, which is what closes a pipe.
    Shut,
    Failed,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    pub(super) fn new(writer: W, config: StdioConfig) -> Self {
        Self {
            writer: Writer::Open(writer),
            buffer: Vec::new(),
            written: 0,
            closing: false,
            max_bytes: config.max_sent_bytes(),
            gathered_bytes: config.gathered_bytes(),
        }
    }

    /// Whether no frame can be sent any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closing || !matches!(self.writer, Writer::Open(_))
    }

    /// Ends our half behind what waits, with the next flush.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Adds a line. Refused, it leaves everything as it was.
    pub(super) fn push(&mut self, text: &str) -> Result<(), TransportError> {
        if memchr2(b'\n', b'\r', text.as_bytes()).is_some() {
            return Err(TransportError::Protocol("a text with a line break is not one line".into()));
        }
        if text.bytes().all(|byte| byte.is_ascii_whitespace()) {
            return Err(TransportError::Protocol("a blank line is no frame".into()));
        }
        if text.len() > self.max_bytes {
            return Err(TransportError::FrameTooLarge { limit: self.max_bytes });
        }
        if self.written >= self.buffer.len() - self.written {
            self.buffer.drain(..mem::take(&mut self.written));
        }
        self.buffer.reserve(text.len() + 1);
        self.buffer.extend_from_slice(text.as_bytes());
        self.buffer.push(b'\n');
        Ok(())
    }

    /// Waits until there is room for one more line.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_write_down(cx, self.gathered_bytes - 1)
    }

    /// Writes everything. If our half is to end, it ends here.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        ready!(self.poll_write_down(cx, 0))?;
        let flushed = match &mut self.writer {
            Writer::Open(writer) => ready!(Pin::new(writer).poll_flush(cx)),
            Writer::Shut => return Poll::Ready(Ok(())),
            Writer::Failed => return Poll::Ready(Err(TransportError::Closed)),
        };
        flushed.map_err(|error| self.fail(error))?;
        if !self.closing {
            return Poll::Ready(Ok(()));
        }
        if let Writer::Open(writer) = &mut self.writer {
            ready!(Pin::new(writer).poll_shutdown(cx)).map_err(|error| self.fail(error))?;
            self.writer = Writer::Shut;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes until no more than so many bytes wait.
    fn poll_write_down(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<Result<(), TransportError>> {
        while self.buffer.len() - self.written > most {
            let Writer::Open(writer) = &mut self.writer else {
                return Poll::Ready(Err(TransportError::Closed));
            };
            match ready!(Pin::new(writer).poll_write(cx, &self.buffer[self.written..])) {
                Ok(0) => return Poll::Ready(Err(self.fail(io::ErrorKind::WriteZero.into()))),
                Ok(written) => self.written += written,
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
        if self.written == self.buffer.len() {
            self.written = 0;
            self.buffer.clear();
            self.buffer.shrink_to(KEPT);
        }
        Poll::Ready(Ok(()))
    }

    /// What is left to be written never will be.
    fn fail(&mut self, error: io::Error) -> TransportError {
        self.writer = Writer::Failed;
        self.buffer = Vec::new();
        self.written = 0;
        match error.kind() {
            // A pipe has no other way to say that its reader has closed it.
            io::ErrorKind::BrokenPipe => TransportError::Closed,
            _ => TransportError::Io(error),
        }
    }
}
