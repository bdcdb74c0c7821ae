//! What goes out over a connection, encoded by whoever writes it.

use std::sync::Arc;

use arcp_proto::{
    ByteString, EnvelopeRef, Extensions, Json, MessageType, SessionId, Timestamp, ULID_LEN, Ulid,
};

use super::listing::Listing;
use super::log::{Entry, JobHead};
use super::replay::missed;
use crate::quirks::Quirks;

/// Something to write to a connection.
#[derive(Debug)]
pub enum Transmit {
    /// A frame.
    Frame(ByteString),
    /// A message of a job's log; encode it with [`Encoder::encode`], outside of any lock.
    Entry(NumberedEntry),
    /// A page of a listing; encode it with [`Listing::encode_some`], outside of any lock.
    Listing(Box<Listing>),
    /// Close the connection, in order, after everything before it. Nothing follows.
    Close(Close),
}

impl Transmit {
    /// What it takes up of what answers may, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Frame(frame) => frame.len(),
            Self::Listing(listing) => listing.bytes(),
            Self::Entry(_) | Self::Close(_) => 0,
        }
    }
}

/// Why a connection is closed, in WebSocket terms (RFC 6455 §7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Close {
    /// 1000: the session was closed.
    Normal,
    /// 1001: the runtime is going away.
    GoingAway,
    /// 1002: what came was no WebSocket frame.
    Protocol,
    /// 1007: a text frame was not UTF-8.
    InvalidData,
    /// 1008: the handshake was refused, or the peer speaks another protocol.
    Refused,
    /// 1008: the token that the peer was let in with is no longer good.
    Expired,
    /// 1009: a frame was larger than is read.
    TooLarge,
    /// 1011: the runtime cannot go on.
    Internal,
    /// 4408: the peer has gone silent.
    HeartbeatLost,
    /// 4409: the session was resumed over another connection.
    ResumedElsewhere,
    /// 4410: the session had carried nothing for long, and has made room for another of its principal.
    Idle,
}

impl Close {
    /// The WebSocket close code.
    pub fn code(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::InvalidData => 1007,
            Self::Refused | Self::Expired => 1008,
            Self::TooLarge => 1009,
            Self::Internal => 1011,
            Self::HeartbeatLost => 4408,
            Self::ResumedElsewhere => 4409,
            Self::Idle => 4410,
        }
    }

    /// The reason in words.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "session closed",
            Self::GoingAway => "runtime is shutting down",
            Self::Protocol => "protocol error",
            Self::InvalidData => "text is not UTF-8",
            Self::Refused => "refused",
            Self::Expired => "token expired",
            Self::TooLarge => "frame too large",
            Self::Internal => "runtime error",
            Self::HeartbeatLost => "heartbeat lost",
            Self::ResumedElsewhere => "session resumed elsewhere",
            Self::Idle => "idle session made room",
        }
    }
}

/// Why nothing more can be read from a connection, though it can still be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokenFrame {
    /// A frame was larger than is read.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A text frame was not UTF-8.
    NotUtf8,
    /// What came was no frame of the transport.
    Protocol,
}

impl BrokenFrame {
    pub(super) fn message(self) -> String {
        match self {
            Self::TooLarge { limit } => format!("frame is above the limit of {limit} bytes"),
            Self::NotUtf8 => "text frame is not UTF-8".to_owned(),
            Self::Protocol => "what came is no frame".to_owned(),
        }
    }

    pub(super) fn close(self) -> Close {
        match self {
            Self::TooLarge { .. } => Close::TooLarge,
            Self::NotUtf8 => Close::InvalidData,
            Self::Protocol => Close::Protocol,
        }
    }
}

/// A message of a job's log with the number that one session gave it.
#[derive(Debug)]
pub struct NumberedEntry {
    pub(super) session: Arc<SessionHead>,
    pub(super) event_seq: u64,
    pub(super) entry: Arc<Entry>,
}

/// What every numbered message of a session has in common.
#[derive(Debug)]
pub(super) struct SessionHead {
    pub(super) session_id: SessionId,
    /// Start of the count that makes envelope ids.
    pub(super) salt: u128,
    /// How its messages deviate from the draft.
    pub(super) quirks: Quirks,
}

impl SessionHead {
    /// That of the session with this name; `None` if no runtime gives such a name.
    pub(super) fn named(session_id: SessionId, quirks: Quirks) -> Option<Self> {
        let ulid = session_id.ulid()?;
        Some(Self { session_id, salt: ulid.random(), quirks })
    }
}

impl NumberedEntry {
    /// An entry with the number that a session with these quirks gave it, all read from a store; `None` if no runtime gives
    /// sessions such a name.
    pub fn stored(session_id: SessionId, quirks: Quirks, event_seq: u64, entry: Arc<Entry>) -> Option<Self> {
        Some(Self { session: Arc::new(SessionHead::named(session_id, quirks)?), event_seq, entry })
    }

    /// The same for what a session was shown in place of the entries before a place, which were no longer kept.
    pub fn stored_gap(
        session_id: SessionId,
        event_seq: u64,
        job: &Arc<JobHead>,
        next_index: u64,
        ts: Timestamp,
    ) -> Option<Self> {
        Self::stored(session_id, Quirks::NONE, event_seq, missed(ts, job, next_index)?)
    }

    /// Encodes the envelope around the shared payload.
    ///
    /// The same entry of the same session gives the same bytes whenever it is encoded, its `id` included: a replay
    /// is a repetition (§6.3).
    pub fn encode(&self) -> ByteString {
        let Self { session, entry, .. } = self;
        let instead = session.quirks.instead(&entry.message_type, &entry.payload);
        let (message_type, payload) =
            instead.as_ref().map_or((&entry.message_type, &entry.payload), |(kind, json)| (kind, json));
        // Events are many, and what came before them has said it.
        let extensions = match entry.message_type {
            MessageType::JobEvent => Extensions::default(),
            _ => entry.job.extensions(),
        };
        let mut id = [0; ULID_LEN];
        self.envelope(self.id(&mut id), message_type, &extensions, payload).encode()
    }

    fn envelope<'a>(
        &'a self,
        id: &'a str,
        message_type: &'a MessageType,
        extensions: &'a Extensions,
        payload: &'a Json,
    ) -> EnvelopeRef<'a> {
        EnvelopeRef {
            id,
            message_type,
            session_id: Some(&self.session.session_id),
            trace_id: Some(self.entry.job.trace_id),
            job_id: Some(&self.entry.job.job_id),
            event_seq: Some(self.event_seq),
            extensions,
            payload,
        }
    }

    fn id<'a>(&self, place: &'a mut [u8; ULID_LEN]) -> &'a str {
        let millis = u64::try_from(self.entry.ts.as_millis()).unwrap_or(0);
        let salted = self.session.salt.wrapping_add(u128::from(self.event_seq));
        Ulid::from_parts(millis, salted).array_to_str(place)
    }
}

/// Encodes the messages that go out over one connection: as [`NumberedEntry::encode`] does, and faster, since what the events of a
/// job have in common is encoded once.
#[derive(Debug, Default)]
pub struct Encoder {
    jobs: Vec<Common>,
    /// The place of the one that is forgotten next.
    oldest: usize,
}

/// Jobs of which it is remembered what their events have in common.
const JOBS: usize = 4;

#[derive(Debug)]
struct Common {
    session: Arc<SessionHead>,
    job: Arc<JobHead>,
    text: String,
}

impl Encoder {
    /// Encodes a message.
    pub fn encode(&mut self, numbered: &NumberedEntry) -> ByteString {
        let NumberedEntry { session, event_seq, entry } = numbered;
        if entry.message_type != MessageType::JobEvent || session.quirks != Quirks::NONE {
            return numbered.encode();
        }
        let is_its =
            |common: &&Common| Arc::ptr_eq(&common.job, &entry.job) && Arc::ptr_eq(&common.session, session);
        let mut id = [0; ULID_LEN];
        let id = numbered.id(&mut id);
        if let Some(common) = self.jobs.iter().find(is_its) {
            return EnvelopeRef::numbered(id, &common.text, *event_seq, &entry.payload);
        }
        let extensions = Extensions::default();
        let text = numbered.envelope(id, &entry.message_type, &extensions, &entry.payload).common();
        let frame = EnvelopeRef::numbered(id, &text, *event_seq, &entry.payload);
        let common = Common { session: Arc::clone(session), job: Arc::clone(&entry.job), text };
        match self.jobs.get_mut(self.oldest) {
            Some(place) => *place = common,
            None => self.jobs.push(common),
        }
        self.oldest = (self.oldest + 1) % JOBS;
        frame
    }
}
