//! A job as somebody sees it who submitted it or subscribed to it: a stream of events and one outcome.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use arcp_core::client::JobEnd;
use arcp_proto::event::{BUDGET_REMAINING, Body, ChunkEncoding, Metric, Status, to_base64};
use arcp_proto::job::{Accepted, JobResult, JobStatus, Subscribed};
use arcp_proto::{Budget, Credential, DelegateId, JobId, Json, ResultId};
use futures_core::Stream;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::driver::{Commands, Delivery, Inbox};
use crate::error::{JobError, RequestError};
use crate::event::Event;
use crate::result::ResultStream;

/// A job that was accepted or subscribed to. As a `Stream` it yields its events, each once, also over lost connections;
/// the stream ends when the job does.
///
/// **Take the events, or drop the job.** Up to 1,024 of them wait here; beyond that the whole session is not read until
/// some are taken, and in the end the agent waits too. [`Job::result`] takes what is left.
///
/// Dropping a job does not cancel it (§7.4): it runs on at the runtime. Dropping one that was subscribed to ends the
/// subscription.
pub struct Job {
    accepted: Box<Accepted>,
    /// What was said of a job that was subscribed to.
    subscribed: Option<Box<Subscribed>>,
    inbox: Inbox,
    streamed: Streamed,
    budget: Budget,
    end: Option<JobEnd>,
    missed: bool,
    commands: Commands,
}

/// A streamed result, put together from the chunks that have gone by.
struct Streamed {
    /// How large it may be.
    limit: usize,
    /// Whether it is larger.
    too_large: bool,
    result_id: Option<ResultId>,
    bytes: Vec<u8>,
    encoding: Option<ChunkEncoding>,
    chunks: u64,
    /// Whether a chunk was missing, or was not what its encoding says.
    broken: bool,
    /// Whether somebody else takes the chunks: then they are not kept here.
    passed_on: bool,
}

impl Job {
    pub(crate) fn submitted(accepted: Box<Accepted>, inbox: Inbox, commands: Commands) -> Self {
        Self::new(accepted, None, inbox, commands)
    }

    pub(crate) fn observed(subscribed: Box<Subscribed>, inbox: Inbox, commands: Commands) -> Self {
        let Subscribed { job_id, agent, lease, lease_constraints, budget, parent_job_id, trace_id, .. } =
            (*subscribed).clone();
        let accepted = Accepted {
            job_id,
            agent,
            lease,
            lease_constraints,
            budget,
            credentials: subscribed.credentials.clone(),
            accepted_at: None,
            trace_id,
            parent_job_id,
            delegate_id: None,
            request_id: None,
        };
        Self::new(Box::new(accepted), Some(subscribed), inbox, commands)
    }

    fn new(
        accepted: Box<Accepted>,
        subscribed: Option<Box<Subscribed>>,
        inbox: Inbox,
        commands: Commands,
    ) -> Self {
        Self {
            budget: accepted.budget.clone().unwrap_or_default(),
            accepted,
            subscribed,
            inbox,
            streamed: Streamed::new(commands.max_result_bytes()),
            end: None,
            missed: false,
            commands,
        }
    }

    /// Takes from an event what it says of the job as a whole.
    fn note(&mut self, event: &Event) {
        self.streamed.take(event);
        match &event.body {
            Body::Metric(Metric { name, value, unit: Some(unit), .. }) if name == BUDGET_REMAINING => {
                if let (Ok(currency), Ok(amount)) = (unit.parse(), value.to_amount()) {
                    self.budget.set(currency, amount);
                }
            }
            Body::Status(Status { id: Some(id), value: Some(value), .. }) => {
                let rotated = self.accepted.credentials.iter_mut().find(|credential| credential.id == *id);
                if let Some(credential) = rotated {
                    credential.value.clone_from(value);
                }
            }
            _ => {}
        }
    }

    /// The job.
    pub fn id(&self) -> &JobId {
        &self.accepted.job_id
    }

    /// What the runtime granted: the resolved agent, the effective lease, the trace (§7.1).
    pub fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Where a job that was subscribed to stood then (§7.6); `None` for one that was submitted.
    pub fn status_when_subscribed(&self) -> Option<&JobStatus> {
        self.subscribed.as_ref().map(|subscribed| &subscribed.current_status)
    }

    /// What is left of the job's budget (§9.6), as far as its events have been taken; empty if it has none, or the session has not
    /// negotiated `cost.budget`.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// The jobs that it has delegated to so far (§10). Each can be followed with
    /// [`Client::subscribe`](crate::Client::subscribe), from its first event if it is asked for with its history.
    pub fn children(&self) -> Vec<Accepted> {
        self.inbox.children().borrow().clone()
    }

    /// Waits until a delegation that a `delegate` event has told of is accepted. `None` if the job has ended without that, as
    /// it may after a refusal, which a `tool_result` tells. Takes no events, and does not borrow the job.
    pub fn child(&self, delegate_id: &DelegateId) -> impl Future<Output = Option<Accepted>> + Send + use<> {
        let (mut children, delegate_id) = (self.inbox.children(), delegate_id.clone());
        async move {
            let is_it = |child: &Accepted| child.delegate_id.as_ref() == Some(&delegate_id);
            let found = children.wait_for(|children| children.iter().any(is_it)).await.ok()?;
            found.iter().find(|child| is_it(child)).cloned()
        }
    }

    /// The credentials that were provisioned for the job (§9.8), as far as its events have been taken: a rotation replaces the
    /// value. They are secrets, and die with the job.
    pub fn credentials(&self) -> &[Credential] {
        &self.accepted.credentials
    }

    /// Whether events before or between those that were taken are missing here, because the runtime no longer kept them: the
    /// history that was asked for is longer than what is kept, or this client was too slow or too long away.
    pub fn has_missed(&self) -> bool {
        self.missed
    }

    /// Cancels the job (§7.4) and waits until the runtime has acknowledged it. The outcome, `Cancelled` unless the job was
    /// faster, comes from [`Job::result`].
    ///
    /// # Errors
    /// When the runtime refuses, as it does to all but the session that submitted the job, does not answer in time, or the
    /// session has ended. The answer comes after the events before it: it is not seen while those are not taken.
    pub async fn cancel(&self) -> Result<(), RequestError> {
        self.commands.cancel(self.id().clone(), None).await
    }

    /// The same, with a reason that the runtime passes on.
    ///
    /// # Errors
    /// As [`Job::cancel`].
    pub async fn cancel_because(&self, reason: impl Into<String>) -> Result<(), RequestError> {
        self.commands.cancel(self.id().clone(), Some(reason.into())).await
    }

    /// Waits for the end of the job and decodes its result; events that were not taken are let go.
    ///
    /// A result that was streamed as text is a JSON string, one that was streamed as bytes a string of their base64;
    /// [`Job::result_bytes`] gives either as it is. Dropping the future is safe: it can be called again.
    ///
    /// # Errors
    /// When the job ended without a result, or with one that is no `T`, or the session ended first.
    pub async fn result<T: DeserializeOwned>(&mut self) -> Result<T, JobError> {
        self.result_json().await?.decode().map_err(JobError::Result)
    }

    /// The same, with the result as it came. `null` where the runtime sent none.
    ///
    /// # Errors
    /// As [`Job::result`], but for one that is no `T`.
    pub async fn result_json(&mut self) -> Result<Json, JobError> {
        let result = self.finished().await?;
        if let (None, Some(_)) = (&result.result, &result.result_id) {
            let bytes = self.streamed.whole(&result)?;
            let text = match std::str::from_utf8(bytes) {
                Ok(text) if self.streamed.encoding == Some(ChunkEncoding::Utf8) => Json::encode(text),
                _ => Json::encode(&to_base64(bytes)),
            };
            return Ok(text.unwrap_or_default());
        }
        Ok(result.result.unwrap_or_default())
    }

    /// Waits for the end of the job and gives a result that was streamed (§8.4), put together. One that came inline is given
    /// as its JSON text.
    ///
    /// # Errors
    /// As [`Job::result_json`].
    pub async fn result_bytes(&mut self) -> Result<Vec<u8>, JobError> {
        let result = self.finished().await?;
        match (&result.result, &result.result_id) {
            (None, Some(_)) => self.streamed.whole(&result).map(<[u8]>::to_vec),
            (inline, _) => Ok(inline.clone().unwrap_or_default().as_str().as_bytes().to_vec()),
        }
    }

    /// Gives the result piece by piece as it comes, without holding it in memory: for results that are large.
    pub fn result_stream(mut self) -> ResultStream {
        self.streamed.passed_on = true;
        ResultStream::new(self)
    }

    pub(crate) fn end(&self) -> Option<&JobEnd> {
        self.end.as_ref()
    }

    /// The error of a job whose session has ended.
    pub(crate) fn lost(&self) -> JobError {
        JobError::SessionEnded(self.commands.loss())
    }

    /// What `job.result` said of the result beside it: its summary, name and size. Only once the job has ended with one.
    pub fn outcome(&self) -> Option<&JobResult> {
        match &self.end {
            Some(JobEnd::Success(result)) => Some(result),
            _ => None,
        }
    }

    async fn finished(&mut self) -> Result<JobResult, JobError> {
        while self.next().await.is_some() {}
        match &self.end {
            Some(JobEnd::Success(result)) => Ok(result.clone()),
            Some(JobEnd::Failure(error)) => Err(JobError::from_wire(error.clone())),
            Some(JobEnd::Unreadable(error)) => Err(JobError::Result(error.clone())),
            Some(JobEnd::Lost(error)) => Err(JobError::Lost(error.clone())),
            _ => Err(self.lost()),
        }
    }
}

impl Streamed {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            too_large: false,
            result_id: None,
            bytes: Vec::new(),
            encoding: None,
            chunks: 0,
            broken: false,
            passed_on: false,
        }
    }

    fn take(&mut self, event: &Event) {
        let Body::ResultChunk(chunk) = &event.body else { return };
        if self.passed_on {
            return;
        }
        // An agent that is run again begins its result anew.
        if self.result_id.as_ref() != Some(&chunk.result_id) {
            *self = Self { result_id: Some(chunk.result_id.clone()), ..Self::new(self.limit) };
        }
        match chunk.decode() {
            Ok(_) if self.too_large => {}
            Ok(bytes) if chunk.chunk_seq == self.chunks => {
                self.too_large = bytes.len() > self.limit - self.bytes.len();
                if self.too_large {
                    self.bytes = Vec::new();
                } else {
                    self.bytes.extend_from_slice(&bytes);
                }
            }
            _ => self.broken = true,
        }
        self.chunks = chunk.chunk_seq.saturating_add(1);
        self.encoding = Some(chunk.encoding.clone());
    }

    /// The bytes, if all of them are there.
    fn whole(&self, result: &JobResult) -> Result<&[u8], JobError> {
        if self.too_large {
            return Err(JobError::TooLarge { limit: self.limit });
        }
        let complete = result.result_size.is_none_or(|size| size == self.bytes.len() as u64);
        if self.broken || !complete {
            return Err(JobError::Incomplete);
        }
        Ok(&self.bytes)
    }
}

impl Stream for Job {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        loop {
            match ready!(self.inbox.poll_next(cx)) {
                Some(Delivery::Event { event_seq, event, .. }) => {
                    let event = Event::new(event_seq, event);
                    self.note(&event);
                    return Poll::Ready(Some(event));
                }
                Some(Delivery::Missed) => self.missed = true,
                Some(Delivery::End(end)) => {
                    self.end = Some(end);
                    return Poll::Ready(None);
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if self.subscribed.is_some() && self.end.is_none() {
            self.inbox.close();
            self.commands.unsubscribe(self.id().clone());
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}
