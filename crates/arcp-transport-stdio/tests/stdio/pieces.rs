//! Readers and writers that do a little at a time, and tell how much they did.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is done at a time, over and over. 0 is to wait once.
pub(crate) struct Sizes {
    sizes: Vec<usize>,
    next: usize,
}

impl Sizes {
    /// At least one of them must be above 0.
    pub(crate) fn new(sizes: impl Into<Vec<usize>>) -> Self {
        Self { sizes: sizes.into(), next: 0 }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let size = self.sizes[self.next];
        self.next = (self.next + 1) % self.sizes.len();
        if size == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(size)
    }
}

/// Yields the bytes in pieces of these sizes, and then ends.
pub(crate) struct Pieces {
    pub(crate) bytes: Vec<u8>,
    pub(crate) read: usize,
    pub(crate) sizes: Sizes,
}

impl Pieces {
    pub(crate) fn new(bytes: impl Into<Vec<u8>>, sizes: impl Into<Vec<usize>>) -> Self {
        Self { bytes: bytes.into(), read: 0, sizes: Sizes::new(sizes) }
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Poll::Ready(size) = self.sizes.poll(cx) else { return Poll::Pending };
        let size = size.min(buffer.remaining()).min(self.bytes.len() - self.read);
        buffer.put_slice(&self.bytes[self.read..self.read + size]);
        self.read += size;
        Poll::Ready(Ok(()))
    }
}

/// Takes pieces of these sizes.
pub(crate) struct Taker {
    pub(crate) taken: Vec<u8>,
    pub(crate) sizes: Sizes,
}

impl AsyncWrite for &mut Taker {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let Poll::Ready(size) = self.sizes.poll(cx) else { return Poll::Pending };
        let size = size.min(data.len());
        self.taken.extend_from_slice(&data[..size]);
        Poll::Ready(Ok(size))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Never ends a line, and counts what was read of it.
pub(crate) struct Endless(pub(crate) Arc<AtomicUsize>);

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = buffer.remaining().min(1000);
        buffer.put_slice(&[b'x'; 1000][..size]);
        self.0.fetch_add(size, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

/// Fails whatever it is asked.
pub(crate) struct Broken;

impl AsyncRead for Broken {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()))
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::StorageFull.into()))
    }
}
