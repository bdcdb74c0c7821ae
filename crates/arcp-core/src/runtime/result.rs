//! Results that agents stream (§8.4): one stream a job, in order, within its caps, and never beside an inline result.

use std::sync::Arc;

use arcp_proto::event::{ChunkEncoding, EventKind};
use arcp_proto::job::{FinalStatus, JobError, JobResult};
use arcp_proto::{ErrorCode, ErrorPayload, Json, MessageType, Payload, ResultId};

use super::job::{EmitError, Flow};
use super::log::{Draft, Entry};
use super::{JobKey, Limits, Runtime};
use crate::quirks::{self, Quirk};
use crate::time::Now;

/// A result that is being streamed.
pub(super) struct ResultStream {
    result_id: ResultId,
    encoding: ChunkEncoding,
    bytes: usize,
    /// The summary, once the last chunk is out.
    finished: Option<Option<String>>,
    /// Whether it went over its cap: then the job can end in nothing but an error.
    too_large: bool,
    /// The result so far, while it is small enough to be sent inline to a session that cannot take chunks, now or later.
    inline: Option<Vec<u8>>,
}

/// How a job with a streamed result ends, and how that is put to a session that was not sent the chunks.
pub(super) struct StreamedEnd {
    pub(super) streamed: Json,
    pub(super) plain: (MessageType, Json),
}

/// How large a chunk of a streamed result may be, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Its data, decoded.
    pub data: usize,
    /// The payload of its event, as JSON.
    pub payload: usize,
}

/// What the envelope of an event takes besides its payload, at most.
const ENVELOPE: usize = 1 << 10;

impl Runtime {
    /// How large the chunks of a job's result are to be: as large as the limits allow, or as its submitter can take.
    pub fn chunk_limits(&self, job_key: JobKey) -> ChunkLimits {
        let Limits { chunk_bytes, payload_bytes, .. } = self.config.limits;
        let submitter = self.jobs.get(&job_key).and_then(|job| self.sessions.by_key(job.owner));
        if submitter.is_some_and(|session| session.head.quirks.contains(Quirk::SmallChunks)) {
            let payload = payload_bytes.min(quirks::SMALL_MESSAGE - ENVELOPE);
            return ChunkLimits { data: chunk_bytes.min(quirks::SMALL_CHUNK), payload };
        }
        ChunkLimits { data: chunk_bytes, payload: payload_bytes }
    }

    /// Begins to stream the result of a job.
    ///
    /// # Errors
    /// When the job has ended, or streams a result already.
    pub fn begin_result(
        &mut self,
        now: Now,
        job_key: JobKey,
        encoding: ChunkEncoding,
    ) -> Result<ResultId, EmitError> {
        let job = self.jobs.get(&job_key).filter(|job| !job.has_ended()).ok_or(EmitError::Ended)?;
        if job.result.is_some() {
            return Err(EmitError::AlreadyStreaming);
        }
        let result_id = ResultId::from_ulid(self.ids.ulid(now));
        let stream = ResultStream {
            result_id: result_id.clone(),
            encoding,
            bytes: 0,
            finished: None,
            too_large: false,
            inline: Some(Vec::new()),
        };
        if let Some(job) = self.jobs.get_mut(&job_key) {
            job.result = Some(stream);
        }
        Ok(result_id)
    }

    /// Emits the next chunk of a job's result; with `last` the stream ends, and the summary in it goes into `job.result`.
    ///
    /// `draft` is the event of kind `result_chunk`, encoded by the caller outside of any lock, and `data` what it carries,
    /// decoded.
    ///
    /// # Errors
    /// When the job has ended, the stream was not begun or is over, or a cap is exceeded: then the job can end in nothing
    /// but `INTERNAL_ERROR` (§14).
    pub fn emit_chunk(
        &mut self,
        now: Now,
        job_key: JobKey,
        draft: Draft,
        data: &[u8],
        last: Option<Option<String>>,
    ) -> Result<Flow, EmitError> {
        self.writable(now, job_key)?;
        let limits = &self.config.limits;
        let job = self.jobs.get_mut(&job_key).ok_or(EmitError::Ended)?;
        let stream = job.result.as_mut().filter(|stream| stream.finished.is_none());
        let stream =
            stream.filter(|_| draft.kind == EventKind::ResultChunk).ok_or(EmitError::NotStreaming)?;
        let total = stream.bytes.saturating_add(data.len());
        let sizes = [
            (data.len(), limits.chunk_bytes),
            (total, limits.result_bytes),
            (draft.payload.len(), limits.payload_bytes),
        ];
        if let Some((bytes, limit)) = sizes.into_iter().find(|(bytes, limit)| bytes > limit) {
            stream.too_large = true;
            return Err(EmitError::TooLarge { bytes, limit });
        }
        stream.bytes = total;
        stream.finished = last;
        match &mut stream.inline {
            Some(inline) if total <= limits.payload_bytes => inline.extend_from_slice(data),
            inline => *inline = None,
        }
        self.append_event(job_key, draft);
        self.tell_lag(now, job_key);
        Ok(self.flow(job_key))
    }

    /// How a job ends whose agent came to an end without an error, if it has streamed its result.
    pub(super) fn streamed_end(
        &self,
        now: Now,
        job_key: JobKey,
        returned: &Json,
    ) -> Option<Result<StreamedEnd, ErrorPayload>> {
        let stream = self.jobs.get(&job_key)?.result.as_ref()?;
        let fault = |message: &str| Some(Err(ErrorPayload::new(ErrorCode::InternalError, message)));
        if stream.too_large {
            return fault("streamed result is above its limit");
        }
        let Some(summary) = &stream.finished else {
            return fault("agent ended before the result that it streams did");
        };
        if !returned.is_null() {
            return fault("agent returned a result beside the one that it streamed");
        }
        let result = JobResult {
            final_status: FinalStatus::Success,
            result: None,
            result_id: Some(stream.result_id.clone()),
            result_size: Some(stream.bytes as u64),
            summary: summary.clone(),
            completed_at: Some(now.wall),
        };
        let plain = self.plain_end(now, stream, summary.clone());
        Some(Ok(StreamedEnd { streamed: result.to_json(), plain }))
    }

    /// The end as a session sees it that was not sent the chunks: the result inline, if it is small enough.
    fn plain_end(&self, now: Now, stream: &ResultStream, summary: Option<String>) -> (MessageType, Json) {
        let inline = stream.inline.as_ref().and_then(|bytes| match std::str::from_utf8(bytes) {
            Ok(text) if stream.encoding == ChunkEncoding::Utf8 => Json::encode(text).ok(),
            _ => Json::encode(&arcp_proto::event::to_base64(bytes)).ok(),
        });
        match inline.filter(|inline| inline.len() <= self.config.limits.payload_bytes) {
            Some(inline) => {
                let result = JobResult {
                    final_status: FinalStatus::Success,
                    result: Some(inline),
                    result_id: None,
                    result_size: None,
                    summary,
                    completed_at: Some(now.wall),
                };
                (MessageType::JobResult, result.to_json())
            }
            None => {
                let message = format!(
                    "result of {} bytes was streamed, and feature result_chunk was not negotiated",
                    stream.bytes
                );
                let error = ErrorPayload::new(ErrorCode::InternalError, message);
                let completed_at = Some(now.wall);
                (
                    MessageType::JobError,
                    JobError { final_status: FinalStatus::Error, error, completed_at }.to_json(),
                )
            }
        }
    }
}

impl Entry {
    /// The same place in the log with another message, for sessions that were not sent the chunks.
    pub(super) fn instead(&self, (message_type, payload): (MessageType, Json)) -> Arc<Self> {
        Arc::new(Self {
            job: Arc::clone(&self.job),
            index: self.index,
            message_type,
            kind: None,
            feature: None,
            ts: self.ts,
            payload,
            plain: None,
            gap: false,
        })
    }
}
