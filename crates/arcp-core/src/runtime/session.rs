//! A session: what it may use, and its own numbered view onto the jobs it follows (§6, §8.3).
//!
//! A session outlives its connections. Nothing here knows how frames get to anybody.

use std::collections::VecDeque;
use std::sync::Arc;

use arcp_proto::job::Accepted;
use arcp_proto::{Digest, Feature, Features, JobId, SessionId, Timestamp, Ulid};

use super::log::Entry;
use super::transmit::{NumberedEntry, SessionHead};
use super::{ConnectionKey, JobKey, Limits, SessionRecord, SessionSpan, Shown, ViewRecord};
use crate::lease::Ceiling;
use crate::principal::Principal;
use crate::quirks::Quirks;
use crate::time::{Instant, Now};

pub(super) struct Session {
    pub(super) head: Arc<SessionHead>,
    pub(super) principal: Principal,
    /// Its span, if it is traced. It ends with it.
    pub(super) span: Option<Box<dyn SessionSpan>>,
    /// What its jobs may ask for at most, by the token of its last handshake. It is not stored: nothing is submitted before
    /// another one.
    pub(super) ceiling: Option<Arc<Ceiling>>,
    pub(super) features: Features,
    /// The connection that carries it, while there is one.
    pub(super) connection: Option<ConnectionKey>,
    /// Since when there is none, and until when it can be resumed.
    pub(super) disconnected: Option<Disconnected>,
    /// The digest of the token that resumes it.
    pub(super) token: Digest,
    /// The token before that, until it is dead: the welcome with the new one may have been lost.
    pub(super) old_token: Option<OldToken>,
    /// Jobs that it submitted and that have not ended.
    pub(super) running: usize,
    /// Jobs whose messages it is sent.
    pub(super) following: Vec<JobKey>,
    /// Jobs whose agents wait until more has been sent.
    pub(super) waiting: Vec<JobKey>,
    /// Jobs whose logs it reads at its own pace.
    pub(super) behind: Vec<JobKey>,
    /// Acceptances of delegated jobs, which have no number, with that of the last message before them.
    pub(super) announced: Vec<(u64, Accepted)>,
    view: View,
    /// The highest number that the client says it has processed.
    acknowledged: u64,
    /// The lag that its jobs were last told of; 0 if it is below the threshold.
    told_lag: u64,
    /// Whether the store is still to be told of changes of the view.
    noted: bool,
}

/// A session without a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Disconnected {
    pub(super) at: Timestamp,
    pub(super) until: Instant,
    /// Until when it makes room for no other session: it was connected when the runtime died, and is about to come back.
    pub(super) spared_until: Option<Instant>,
}

/// The token before the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct OldToken {
    pub(super) digest: Digest,
    /// When the session was first resumed with it, since it was last heard of.
    pub(super) since: Instant,
    pub(super) until: Instant,
}

/// Numbered messages: some sent and kept for a resume, the rest still to be sent.
#[derive(Default)]
struct View {
    /// The number of the first entry that is kept.
    first: u64,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
    /// The number up to which everything has been handed to the connection.
    sent: u64,
    unsent_bytes: usize,
    /// The number up to which the store has been told what there is.
    written: u64,
    /// Batches that are not known to be committed, each with the first number that it holds.
    uncommitted: VecDeque<(u64, u64)>,
}

impl Session {
    pub(super) fn new(
        ulid: Ulid,
        principal: Principal,
        features: Features,
        quirks: Quirks,
        token: Digest,
    ) -> Self {
        let head = SessionHead { session_id: SessionId::from_ulid(ulid), salt: ulid.random(), quirks };
        Self::named(head, principal, features, token)
    }

    fn named(head: SessionHead, principal: Principal, features: Features, token: Digest) -> Self {
        Self {
            head: Arc::new(head),
            principal,
            span: None,
            ceiling: None,
            features,
            connection: None,
            disconnected: None,
            token,
            old_token: None,
            running: 0,
            following: Vec::new(),
            waiting: Vec::new(),
            behind: Vec::new(),
            announced: Vec::new(),
            view: View { first: 1, ..View::default() },
            acknowledged: 0,
            told_lag: 0,
            noted: false,
        }
    }

    /// A session as it was written down. Nothing of its view is known to have arrived.
    pub(super) fn restored(
        record: SessionRecord,
        first_seq: u64,
        view: Vec<Arc<Entry>>,
        acknowledged: u64,
    ) -> Option<Self> {
        let head = SessionHead::named(record.session_id, record.quirks)?;
        let mut session = Self::named(head, record.principal, record.features, record.resume_token);
        let bytes = view.iter().map(|entry| entry.payload.len()).sum();
        let last = first_seq + view.len() as u64 - 1;
        session.view = View {
            first: first_seq,
            entries: view.into(),
            bytes,
            sent: last,
            unsent_bytes: 0,
            written: last,
            uncommitted: VecDeque::new(),
        };
        session.acknowledged = acknowledged;
        Some(session)
    }

    pub(super) fn id(&self) -> &SessionId {
        &self.head.session_id
    }

    /// The number of the last message; 0 before the first.
    pub(super) fn head_seq(&self) -> u64 {
        self.view.first + self.view.entries.len() as u64 - 1
    }

    /// Remembers an acceptance for as long as a resume may begin before it.
    pub(super) fn announce(&mut self, announcement: (u64, Accepted)) {
        let floor = self.acknowledged.max(self.resumable_from());
        self.announced.retain(|(after, _)| *after >= floor);
        self.announced.push(announcement);
    }

    /// Payload of the messages that are kept, in bytes.
    pub(super) fn kept_bytes(&self) -> usize {
        self.view.bytes
    }

    /// Payload of the messages that are still to be sent, in bytes.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.view.unsent_bytes
    }

    /// How many messages its client has not acknowledged, if it acknowledges any.
    pub(super) fn unacknowledged(&self) -> Option<u64> {
        self.features.contains(&Feature::Ack).then(|| self.lag())
    }

    /// Tells its span, if it is traced.
    pub(super) fn trace(&self, event: &'static str) {
        if let Some(span) = &self.span {
            span.event(event);
        }
    }

    /// Forgets the oldest messages until no more than this is kept, but none that a live connection still has to carry.
    /// Returns whether there were any.
    pub(super) fn shrink(&mut self, bytes: usize) -> bool {
        let view = &mut self.view;
        let first = view.first;
        while view.bytes > bytes && (self.connection.is_none() || view.first <= view.sent) {
            view.forget_first();
        }
        view.first > first
    }

    /// Whether there is something that its connection has not taken.
    pub(super) fn has_unsent(&self) -> bool {
        self.view.sent < self.head_seq()
    }

    /// How many messages are kept.
    pub(super) fn kept(&self) -> usize {
        self.view.entries.len()
    }

    /// The number up to which everything has been handed to the connection.
    pub(super) fn sent(&self) -> u64 {
        self.view.sent
    }

    /// Whether messages of a job still wait to be sent.
    pub(super) fn has_unsent_of(&self, job_id: &JobId) -> bool {
        let sent = (self.view.sent + 1 - self.view.first) as usize;
        self.view.entries.iter().skip(sent).any(|entry| entry.job.job_id == *job_id)
    }

    /// The number after which a resume can still begin: everything later is kept.
    pub(super) fn resumable_from(&self) -> u64 {
        self.view.first - 1
    }

    /// Numbers a message, unless it needs a feature that this session does not have. Forgets the oldest messages
    /// beyond the limits, but none that a live connection still has to carry. Returns whether it was numbered.
    pub(super) fn push(&mut self, entry: &Arc<Entry>, position: u64, limits: &Limits) -> bool {
        if entry.feature.as_ref().is_some_and(|feature| !self.features.contains(feature)) {
            return false;
        }
        let entry = entry.as_sent_to(&self.features);
        let event_seq = self.head_seq() + 1;
        let view = &mut self.view;
        if view.uncommitted.back().is_none_or(|(batch, _)| *batch != position) {
            view.uncommitted.push_back((position, event_seq));
        }
        view.bytes += entry.payload.len();
        view.unsent_bytes += entry.payload.len();
        view.entries.push_back(Arc::clone(entry));
        while view.entries.len() > limits.buffer_events.max(1) || view.bytes > limits.buffer_bytes {
            if self.connection.is_some() && view.first > view.sent {
                break;
            }
            view.forget_first();
        }
        true
    }

    /// Whether agents have to wait before they emit more (§6.5): only ever while a connection is there to carry it.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.connection.is_some() && self.is_backlogged(limits)
    }

    /// Whether so much waits to be sent that what it watches is not to be added.
    pub(super) fn is_backlogged(&self, limits: &Limits) -> bool {
        let unsent = self.head_seq() - self.view.sent;
        unsent >= limits.send_window_events as u64 || self.view.unsent_bytes >= limits.send_window_bytes
    }

    /// Whether so much has been sent that waiting agents may go on.
    pub(super) fn has_room(&self, limits: &Limits) -> bool {
        let unsent = self.head_seq() - self.view.sent;
        self.connection.is_none()
            || (unsent * 2 <= limits.send_window_events as u64
                && self.view.unsent_bytes * 2 <= limits.send_window_bytes)
    }

    /// The next message to send, if it is committed; then it counts as sent.
    pub(super) fn next_to_send(&mut self, committed: u64) -> Next {
        let view = &mut self.view;
        let event_seq = view.sent + 1;
        let offset = (event_seq - view.first) as usize;
        let Some(entry) = view.entries.get(offset) else { return Next::Nothing };
        while view.uncommitted.front().is_some_and(|(batch, _)| *batch <= committed) {
            view.uncommitted.pop_front();
        }
        // Its number must be written, and not only the entry, which may be in the log for long.
        if view.uncommitted.front().is_some_and(|(_, first)| *first <= event_seq) {
            return Next::Uncommitted;
        }
        view.sent = event_seq;
        view.unsent_bytes -= entry.payload.len();
        Next::Entry(NumberedEntry { session: Arc::clone(&self.head), event_seq, entry: Arc::clone(entry) })
    }

    /// Forgets what the client has processed, but nothing that was not even sent.
    pub(super) fn acknowledge(&mut self, last_processed_seq: u64, threshold: u64) {
        let processed = last_processed_seq.min(self.view.sent);
        self.acknowledged = self.acknowledged.max(processed);
        self.view.forget_up_to(processed);
        if self.lag() < threshold {
            self.told_lag = 0;
        }
    }

    /// The lag, if it is to be told: it has passed the threshold, or grown by as much since it was last told.
    pub(super) fn lag_to_tell(&mut self, threshold: u64) -> Option<u64> {
        let lag = self.lag();
        let due =
            self.features.contains(&Feature::Ack) && lag >= self.told_lag.saturating_add(threshold.max(1));
        due.then(|| {
            self.told_lag = lag;
            lag
        })
    }

    fn lag(&self) -> u64 {
        self.head_seq() - self.acknowledged
    }

    /// Goes back to `last_event_seq`, which must be within what is kept: all later messages are to be sent again.
    pub(super) fn rewind(&mut self, last_event_seq: u64) {
        let view = &mut self.view;
        debug_assert!(last_event_seq + 1 >= view.first);
        view.sent = last_event_seq;
        let sent = (last_event_seq + 1 - view.first) as usize;
        view.unsent_bytes = view.entries.iter().skip(sent).map(|entry| entry.payload.len()).sum();
    }

    /// How it stands, as it is written down.
    pub(super) fn record(&self) -> SessionRecord {
        SessionRecord {
            session_id: self.id().clone(),
            principal: self.principal.clone(),
            features: self.features.clone(),
            quirks: self.head.quirks,
            resume_token: self.token,
            old_resume_token: self.old_token.map(|old| old.digest),
            disconnected_at: self.disconnected.map(|disconnected| disconnected.at),
        }
    }

    /// Notes that the view has changed. Returns whether that is news.
    pub(super) fn note(&mut self) -> bool {
        !std::mem::replace(&mut self.noted, true)
    }

    /// What the store is to be told of the view.
    pub(super) fn view_record(&mut self) -> ViewRecord {
        self.noted = false;
        let view = &mut self.view;
        let first_seq = view.first.max(view.written + 1);
        let mut shown: Vec<Shown> = Vec::new();
        for entry in view.entries.range((first_seq - view.first) as usize..) {
            let gap = entry.gap.then_some(entry.ts);
            match shown.last_mut() {
                Some(run)
                    if gap.is_none()
                        && run.gap.is_none()
                        && run.index + run.count == entry.index
                        && Arc::ptr_eq(&run.job, &entry.job) =>
                {
                    run.count += 1;
                }
                _ => shown.push(Shown { job: Arc::clone(&entry.job), index: entry.index, count: 1, gap }),
            }
        }
        view.written = view.first + view.entries.len() as u64 - 1;
        ViewRecord {
            session_id: self.head.session_id.clone(),
            kept_from: view.first,
            acknowledged: self.acknowledged,
            first_seq,
            shown,
        }
    }

    /// Whether `token` resumes this session now. Compares digests, in constant time.
    pub(super) fn accepts_token(&self, token: Digest, now: Now) -> bool {
        let old = self.old_token.is_some_and(|old| (old.digest == token) & (now.monotonic < old.until));
        (self.token == token) | old
    }
}

pub(super) enum Next {
    Entry(NumberedEntry),
    Uncommitted,
    Nothing,
}

/// Entries that are forgotten at a time.
const FORGOTTEN_TOGETHER: usize = 64;

impl View {
    /// Forgets what has been sent and processed.
    fn forget_up_to(&mut self, processed: u64) {
        let known = (processed + 1).saturating_sub(self.first);
        let mut rest = usize::try_from(known).unwrap_or(usize::MAX).min(self.entries.len());
        while rest > 0 {
            // Their sizes are read before any is let go of: what is in no cache then comes for many at once.
            let some = rest.min(FORGOTTEN_TOGETHER);
            self.bytes -= self.entries.range(..some).map(|entry| entry.payload.len()).sum::<usize>();
            self.entries.drain(..some);
            self.first += some as u64;
            rest -= some;
        }
    }

    fn forget_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.payload.len();
            if self.first > self.sent {
                self.unsent_bytes -= entry.payload.len();
                self.sent = self.first;
            }
            self.first += 1;
        }
    }
}
