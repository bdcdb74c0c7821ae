//! A streamed result as it comes (§8.4), for results that need not or cannot be held in memory as a whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arcp_core::client::JobEnd;
use arcp_proto::ResultId;
use arcp_proto::event::Body;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::AsyncRead;
use tokio_util::io::StreamReader;

use crate::error::JobError;
use crate::job::Job;

/// The pieces of a job's result, decoded and in order; get it from [`Job::result_stream`].
///
/// A result that came inline is one piece, its JSON text. The stream ends after the last piece; a job that ends without a
/// result, a piece that is missing or broken, and a session that ends first are an error, which is the last item. Other
/// events of the job are let go.
///
/// An agent that is run again after a restart of its runtime begins its result anew. If pieces of the earlier one were given by
/// then, that is [`JobError::BegunAnew`]; subscribe to the job again for the whole of the new one.
pub struct ResultStream {
    job: Job,
    /// Which result it is: an agent that is run again begins another one.
    result_id: Option<ResultId>,
    next_chunk: u64,
    bytes: u64,
    done: bool,
}

impl ResultStream {
    pub(crate) fn new(job: Job) -> Self {
        Self { job, result_id: None, next_chunk: 0, bytes: 0, done: false }
    }

    /// The result as something to read from. What ends the stream early is an error of reading.
    pub fn into_async_read(self) -> impl AsyncRead + Send + Unpin {
        StreamReader::new(self.map_err(io::Error::other))
    }

    /// What the end of the job makes of it.
    fn finish(&self) -> Option<Result<Bytes, JobError>> {
        match self.job.end() {
            Some(JobEnd::Success(result)) => match (&result.result, &result.result_id) {
                (None, Some(_)) => {
                    let whole = result.result_size.is_none_or(|size| size == self.bytes);
                    (!whole).then_some(Err(JobError::Incomplete))
                }
                (inline, _) => {
                    let text = inline.clone().unwrap_or_default().into_text();
                    Some(Ok(Bytes::copy_from_slice(text.as_bytes())))
                }
            },
            Some(JobEnd::Failure(error)) => Some(Err(JobError::from_wire(error.clone()))),
            Some(JobEnd::Unreadable(error)) => Some(Err(JobError::Result(error.clone()))),
            Some(JobEnd::Lost(error)) => Some(Err(JobError::Lost(error.clone()))),
            _ => Some(Err(self.job.lost())),
        }
    }
}

impl Stream for ResultStream {
    type Item = Result<Bytes, JobError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while !self.done {
            let Some(event) = ready!(self.job.poll_next_unpin(cx)) else {
                self.done = true;
                return Poll::Ready(self.finish());
            };
            let Body::ResultChunk(chunk) = &event.body else { continue };
            if self.result_id.as_ref() != Some(&chunk.result_id) {
                if self.bytes > 0 {
                    self.done = true;
                    return Poll::Ready(Some(Err(JobError::BegunAnew)));
                }
                let result_id = chunk.result_id.clone();
                (self.result_id, self.next_chunk) = (Some(result_id), 0);
            }
            let data = chunk.decode().ok().filter(|_| chunk.chunk_seq == self.next_chunk);
            let Some(data) = data else {
                self.done = true;
                return Poll::Ready(Some(Err(JobError::Incomplete)));
            };
            self.next_chunk += 1;
            self.bytes += data.len() as u64;
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(data.into())));
            }
        }
        Poll::Ready(None)
    }
}

impl std::fmt::Debug for ResultStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResultStream")
            .field("job", &self.job)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}
