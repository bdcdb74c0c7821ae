//! Listing jobs (§6.6): newest first, in pages whose cursors stay good while new jobs come.

use std::collections::BinaryHeap;
use std::iter;
use std::sync::Arc;
use std::vec;

use arcp_proto::job::{Accepted, JobStatus};
use arcp_proto::session::{JobEntry, JobFilter, JobsEncoder, ListJobs};
use arcp_proto::{
    ByteString, Digest, EncodeError, Envelope, ErrorCode, ErrorPayload, Feature, MessageId, MessageType,
    SessionId, Timestamp,
};

use super::job::Job;
use super::requests::Request;
use super::{JobKey, Runtime, Transmit};
use crate::observation::Observation;
use crate::principal::Principal;
use crate::time::Now;

/// Jobs on a page if the request does not say.
const DEFAULT_LIMIT: u64 = 100;
/// Jobs on a page at most.
const MAX_LIMIT: u64 = 1_000;
/// Jobs of a page that are encoded at a time.
const AT_A_TIME: usize = 32;
/// What an entry of a page is on the wire, about.
const ENTRY_BYTES: usize = 320;
/// Jobs that are looked at for one page. Where a filter passes few of more, pages have less than they might, and say where to go on.
const MAX_LOOKED_AT: usize = 10_000;

/// A page of a listing. Of a thousand jobs it is large, and nobody else waits until it is encoded.
#[derive(Debug)]
pub struct Listing {
    id: MessageId,
    session_id: Option<SessionId>,
    request_id: Option<MessageId>,
    jobs: vec::IntoIter<Listed>,
    next_cursor: Option<String>,
    /// What is encoded of it.
    encoder: Option<JobsEncoder>,
}

/// A job as it stood when it was listed.
#[derive(Debug)]
struct Listed {
    accepted: Arc<Accepted>,
    status: JobStatus,
    last_event_seq: u64,
}

impl Listing {
    /// Encodes up to 32 more of its jobs, and gives the message once there are no more. Between two calls others may have their turn.
    ///
    /// # Errors
    /// When a job cannot be encoded; then there is no message.
    pub fn encode_some(&mut self) -> Result<Option<ByteString>, EncodeError> {
        let mut encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => JobsEncoder::new(self.request_id.as_ref())?,
        };
        for job in self.jobs.by_ref().take(AT_A_TIME) {
            encoder.push(&job.into_entry())?;
        }
        if self.jobs.len() > 0 {
            self.encoder = Some(encoder);
            return Ok(None);
        }
        let payload = encoder.finish(self.next_cursor.as_deref())?;
        let mut envelope = Envelope::with_payload(self.id.clone(), MessageType::SessionJobs, payload);
        envelope.session_id.clone_from(&self.session_id);
        Ok(Some(envelope.encode()))
    }

    /// Encodes the message at once.
    ///
    /// # Errors
    /// As [`encode_some`](Self::encode_some).
    pub fn encode(mut self) -> Result<ByteString, EncodeError> {
        loop {
            if let Some(frame) = self.encode_some()? {
                return Ok(frame);
            }
        }
    }

    /// What it will be, about: whoever asks for large pages and takes none is not asked what else it wants.
    pub(super) fn bytes(&self) -> usize {
        self.jobs.len() * ENTRY_BYTES
    }
}

impl Listed {
    fn of(job: &Job) -> Self {
        let accepted = Arc::clone(&job.accepted);
        Self { accepted, status: job.status(), last_event_seq: job.log.last_owner_seq() }
    }

    fn into_entry(self) -> JobEntry {
        let Self { accepted, status, last_event_seq } = self;
        JobEntry {
            job_id: accepted.job_id.clone(),
            agent: accepted.agent.clone().unwrap_or_default(),
            status,
            lease: accepted.lease.clone(),
            parent_job_id: accepted.parent_job_id.clone(),
            created_at: created_at(&accepted),
            trace_id: accepted.trace_id,
            last_event_seq,
        }
    }
}

impl Runtime {
    pub(super) fn list_jobs(&mut self, now: Now, request: &Request, list: ListJobs) {
        if !self.negotiated(request.session, &Feature::ListJobs) {
            return self.refuse_unnegotiated(now, request, &Feature::ListJobs);
        }
        match self.page(request, list) {
            Ok((jobs, next_cursor)) => {
                let listing = Listing {
                    id: MessageId::from_ulid(self.ids.ulid(now)),
                    session_id: self.session_id(request.session),
                    request_id: request.id.clone(),
                    jobs: jobs.into_iter(),
                    next_cursor,
                    encoder: None,
                };
                let (listing, place) = (Transmit::Listing(Box::new(listing)), (self.writes.settled_at(), 0));
                self.connections.answer(request.connection, listing, place, false, &mut self.events);
            }
            Err(message) => {
                self.refuse(now, request, ErrorPayload::new(ErrorCode::InvalidRequest, message), None);
            }
        }
    }

    /// A page, and where the next one begins.
    fn page(&self, request: &Request, list: ListJobs) -> Result<(Vec<Listed>, Option<String>), String> {
        let ListJobs { filter, limit, cursor } = list;
        let limit = limit.unwrap_or(DEFAULT_LIMIT);
        if !(1..=MAX_LIMIT).contains(&limit) {
            return Err(format!("payload.limit: not 1 to {MAX_LIMIT}"));
        }
        // A state that this version does not know may be one of several; alone it would match nothing and look like an answer.
        if let Some(word) = filter.status.first().filter(|_| !filter.status.iter().any(JobStatus::is_known)) {
            return Err(format!("payload.filter.status: {word:?} is no state of a job"));
        }
        let session = self.sessions.by_key(request.session).ok_or("session is gone")?;
        let observer = &session.principal;
        let before = match cursor {
            None => JobKey(u64::MAX),
            Some(cursor) => {
                self.job_at(observer, &cursor).ok_or("payload.cursor: not one of this runtime")?
            }
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut jobs = Vec::new();
        let (mut last, mut more) = (None, false);
        for (looked_at, job_key) in self.observable_jobs(observer, before).enumerate() {
            if looked_at == MAX_LOOKED_AT {
                more = true;
                break;
            }
            let Some(job) = self.jobs.get(&job_key) else { continue };
            let wanted = matches(job, &filter);
            if jobs.len() == limit {
                more = wanted;
                if more {
                    break;
                }
                continue;
            }
            last = Some(job_key);
            if wanted {
                jobs.push(Listed::of(job));
            }
        }
        let next_cursor = last.filter(|_| more).map(|last| self.cursor(observer, last));
        Ok((jobs, next_cursor))
    }

    /// The jobs that a principal may know of, newest first. Those of others are not looked at: how many there are costs nothing.
    fn observable_jobs<'a>(
        &'a self,
        observer: &'a Principal,
        before: JobKey,
    ) -> impl Iterator<Item = JobKey> + 'a {
        let visible = |owner: &Principal| self.observation(observer, owner) != Observation::Hidden;
        let owners = self.jobs_of.iter().filter(|(owner, _)| visible(owner));
        let mut rests: Vec<_> = owners.map(|(_, jobs)| jobs.range(..before).rev()).collect();
        let firsts = rests.iter_mut().enumerate().filter_map(|(index, rest)| Some((*rest.next()?, index)));
        let mut heap: BinaryHeap<(JobKey, usize)> = firsts.collect();
        iter::from_fn(move || {
            let (job_key, index) = heap.pop()?;
            heap.extend(rests.get_mut(index).and_then(Iterator::next).map(|next| (*next, index)));
            Some(job_key)
        })
    }

    /// Names a place in the listing of one principal; sealed, so that it tells nothing and cannot be made up.
    fn cursor(&self, observer: &Principal, job_key: JobKey) -> String {
        let seal = self.seal(observer, job_key);
        format!("{:x}-{seal}", job_key.0)
    }

    fn job_at(&self, observer: &Principal, cursor: &str) -> Option<JobKey> {
        let (key, _) = cursor.split_once('-')?;
        let job_key = JobKey(u64::from_str_radix(key, 16).ok()?);
        // Compared whole: a number can be written in many ways.
        (Digest::of(cursor) == Digest::of(&self.cursor(observer, job_key))).then_some(job_key)
    }

    fn seal(&self, observer: &Principal, job_key: JobKey) -> String {
        let digest = Digest::of(&format!("{:032x} {} {observer}", self.cursor_secret, job_key.0));
        digest.as_bytes()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn matches(job: &Job, filter: &JobFilter) -> bool {
    let status = filter.status.is_empty() || filter.status.contains(&job.status());
    let agent = filter.agent.as_ref().is_none_or(|wanted| {
        let agent = job.accepted.agent.as_deref().unwrap_or_default();
        agent == wanted || agent.split_once('@').is_some_and(|(name, _)| name == wanted)
    });
    let created = filter.created_after.is_none_or(|after| created_at(&job.accepted) > after);
    status && agent && created
}

/// When a job was asked for, which is what listings are in the order of. It is accepted later if it waits for credentials.
fn created_at(accepted: &Accepted) -> Timestamp {
    let millis = accepted.job_id.ulid().and_then(|ulid| i64::try_from(ulid.timestamp_ms()).ok());
    millis.map(Timestamp::from_millis).or(accepted.accepted_at).unwrap_or(Timestamp::UNIX_EPOCH)
}

impl Job {
    pub(super) fn status(&self) -> JobStatus {
        self.ended.clone().map_or(JobStatus::Running, JobStatus::from)
    }
}
