//! The runtime's side of the protocol as one machine: connections, sessions, jobs and what ties them together.

mod ack;
mod admission;
mod agents;
mod answers;
mod append;
mod census;
mod config;
mod connection;
mod connections;
mod delegate;
mod drain;
mod event;
mod handshake;
mod heartbeat;
mod history;
mod idempotency;
mod input;
mod job;
mod lend;
mod listing;
mod log;
mod provision;
mod recovered;
mod replay;
mod requests;
mod restore;
mod result;
mod resume;
mod retention;
mod session;
mod sessions;
mod spans;
mod submit;
mod subscribe;
mod tally;
mod timers;
mod transmit;
mod write;
mod writes;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use arcp_proto::{ErrorCode, ErrorPayload, JobId, TraceContext, session as wire};

pub use admission::Admission;
pub use agents::{Agents, DuplicateAgent, ResolvedAgent};
#[doc(hidden)]
pub use census::Census;
pub use config::{Config, Limits, implemented_features};
pub use delegate::{Child, Delegation, NotDelegated};
pub use event::{Event, JobSpec, StopCause};
pub use handshake::AuthenticationError;
pub use input::InputContract;
pub(crate) use input::Verdict;
pub use job::{EmitError, Flow, Outcome};
pub use lend::{Constraint, NotConstrained};
pub use listing::Listing;
pub use log::{Draft, Entry, JobHead};
pub use recovered::{Image, Recovered, RecoveredJob, RecoveredSession};
pub use restore::RestoreError;
pub use result::ChunkLimits;
pub use spans::{JobSpan, SessionSpan, TracedEnd, TracedJob, TracedSession, Tracer};
pub use tally::{CredentialTally, Refused, Tally};
pub use transmit::{BrokenFrame, Close, Encoder, NumberedEntry, Transmit};
pub use write::{
    Batch, FollowRecord, ForgottenRecord, JobRecord, Logged, Rerun, SessionRecord, Shown, ViewRecord, Write,
};

use self::connection::{Connection, Phase};
use self::connections::Connections;
use self::idempotency::Keys;
use self::job::Job;
use self::lend::Borrowed;
use self::provision::Provision;
use self::session::Next;
use self::sessions::Sessions;
use self::timers::{Timer, Timers};
use self::writes::Writes;
use crate::incoming::Incoming;
use crate::principal::Principal;
use crate::quirks::PAUSE;
use crate::random::{Ids, Random};
use crate::time::{Instant, Now};

/// Names a connection towards the machine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionKey(u64);

/// Names a session towards the machine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct SessionKey(u64);

/// Names a job towards the machine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobKey(u64);

/// The runtime's side of ARCP, without I/O.
///
/// # Contract
///
/// The machine is told what happened with `handle_*`, told what to do with commands ([`emit`](Self::emit),
/// [`finish`](Self::finish), [`shut_down`](Self::shut_down)), and asked what to do next with `poll_*`. After **every**
/// `handle_*`, command or [`poll_transmit`](Self::poll_transmit) the driver
///
/// 1. takes [`poll_write`](Self::poll_write) until it is empty, commits the batches in order, and reports each with
///    [`handle_committed`](Self::handle_committed), now or later;
/// 2. takes [`poll_event`](Self::poll_event) until it is empty and does what the events ask;
/// 3. arms one timer for [`poll_timeout`](Self::poll_timeout), and calls [`handle_timeout`](Self::handle_timeout) when
///    it is due.
///
/// For each connection, [`Event::Transmit`] says that [`poll_transmit`](Self::poll_transmit) has something.
///
/// Architecture invariant: no clock, no randomness and no iteration over a hash map reaches the wire from here. The same
/// inputs give the same outputs.
pub struct Runtime {
    config: Config,
    ids: Ids,
    connections: Connections,
    /// Those that have not been let in yet.
    handshaking: BTreeSet<ConnectionKey>,
    sessions: Sessions,
    /// In the order in which they were accepted.
    jobs: BTreeMap<JobKey, Job>,
    job_ids: HashMap<JobId, JobKey>,
    /// Whose they are.
    jobs_of: BTreeMap<Principal, BTreeSet<JobKey>>,
    /// Jobs that are to be once they have their credentials.
    provisions: BTreeMap<JobKey, Provision>,
    /// What credentials may spend, or are to, of what those of other jobs might.
    borrowed: BTreeMap<JobKey, Borrowed>,
    /// Jobs that have ended, in the order of their ends, with when they are forgotten.
    finished: VecDeque<(Instant, JobKey)>,
    /// Jobs that have ended and whose logs are kept, in the order of their ends.
    history_of_ended: VecDeque<JobKey>,
    /// Payload in all logs that are kept.
    history_bytes: usize,
    /// Seals the cursors of listings.
    cursor_secret: u128,
    keys: Keys,
    timers: Timers,
    events: VecDeque<Event>,
    writes: Writes,
    next_key: u64,
    tally: Tally,
    /// Whether the store has no room for what is to be written.
    store_is_full: bool,
    /// Whether nothing new is taken on.
    draining: bool,
    shutting_down: bool,
}

impl Runtime {
    /// A runtime with no connection and no session.
    pub fn new(config: Config, mut random: Box<dyn Random>) -> Self {
        let cursor_secret = random.random();
        Self {
            config,
            ids: Ids::new(random),
            connections: Connections::default(),
            handshaking: BTreeSet::new(),
            sessions: Sessions::default(),
            jobs: BTreeMap::new(),
            job_ids: HashMap::new(),
            jobs_of: BTreeMap::new(),
            provisions: BTreeMap::new(),
            borrowed: BTreeMap::new(),
            finished: VecDeque::new(),
            history_of_ended: VecDeque::new(),
            history_bytes: 0,
            cursor_secret,
            keys: Keys::default(),
            timers: Timers::default(),
            events: VecDeque::new(),
            writes: Writes::new(),
            next_key: 0,
            tally: Tally::default(),
            store_is_full: false,
            draining: false,
            shutting_down: false,
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether frames of a connection should be read now. Once this is false, [`Event::Read`] says when it is not.
    pub fn wants_frames(&mut self, connection_key: ConnectionKey) -> bool {
        let stored = self.stored();
        let Some(connection) = self.connections.by_key_mut(connection_key) else { return false };
        let wants = match connection.phase {
            Phase::Hello | Phase::Open(_) => {
                !connection.is_closing() && connection.takes_requests(&self.config.limits, stored)
            }
            Phase::Authenticating(_) | Phase::Closing => false,
        };
        connection.read_paused = !wants;
        wants
    }

    /// How far the store is, for who waits until it has caught up. It does not while it is full, and then signs of life are read on.
    fn stored(&self) -> u64 {
        if self.store_is_full { u64::MAX } else { self.writes.committed() }
    }

    /// A peer has connected. It has the handshake timeout to introduce itself.
    ///
    /// A connection is `secure` if nobody between its ends can read it: it is encrypted, or never leaves this machine. No value
    /// of a credential is sent over any other (§14): what is opened over it does not have the feature, and a session that has
    /// it is not resumed over it.
    pub fn handle_connected(&mut self, now: Now, secure: bool) -> ConnectionKey {
        let key = ConnectionKey(self.next_key());
        let deadline = now.monotonic + self.config.limits.handshake_timeout;
        self.connections
            .insert(key, Connection::new(now.monotonic, deadline, secure || self.config.behind_tls));
        self.timers.set(deadline, Timer::Handshake(key));
        if self.shutting_down {
            self.close(key, Close::GoingAway);
        } else if self.handshaking.len() >= self.config.limits.handshakes {
            let message = "too many connections have not introduced themselves yet";
            let error = ErrorPayload::new(ErrorCode::InternalError, message);
            self.refuse_handshake(now, key, error, None);
        } else {
            self.handshaking.insert(key);
        }
        key
    }

    /// The request that has brought a connection about belonged to this trace, and so does the session that it opens.
    pub fn handle_trace(&mut self, connection_key: ConnectionKey, context: TraceContext) {
        if let Some(connection) = self.connections.by_key_mut(connection_key) {
            connection.trace = Some(Box::new(context));
        }
    }

    /// A frame has come in. For a connection that is gone or closing this does nothing.
    pub fn handle_frame(&mut self, now: Now, connection_key: ConnectionKey, incoming: Incoming) {
        // Whom nothing more is said to, nothing more is done for: a request without an answer helps nobody.
        let connection = self.connections.by_key_mut(connection_key);
        if connection.as_ref().is_some_and(|connection| connection.has_expired(now)) {
            return self.expire_token(now, connection_key);
        }
        let connection = connection.filter(|connection| !connection.is_closing()).map(|connection| {
            connection.heard = now.monotonic;
            &connection.phase
        });
        match connection {
            Some(Phase::Hello) => self.introduce(now, connection_key, incoming),
            Some(Phase::Open(session)) => {
                let session = *session;
                self.request(now, connection_key, session, incoming);
            }
            Some(Phase::Authenticating(introduction)) => {
                let request_id = Some(introduction.request_id.clone());
                let message = "session.hello must be answered before anything else is said";
                let error = ErrorPayload::new(ErrorCode::InvalidRequest, message);
                self.refuse_handshake(now, connection_key, error, request_id);
            }
            Some(Phase::Closing) | None => {}
        }
    }

    /// Whether frames of a connection are read, as far as its driver has a say in it. While they are not, such as when their peer
    /// has sent more than it may at a time, its silence says nothing of it.
    pub fn handle_reading(&mut self, now: Now, connection_key: ConnectionKey, reads: bool) {
        let Some(connection) = self.connections.by_key_mut(connection_key) else { return };
        if connection.unread && reads {
            connection.heard = now.monotonic;
        }
        connection.unread = !reads;
    }

    /// Whose session a connection carries, once it is open.
    pub fn principal_of(&self, connection_key: ConnectionKey) -> Option<&Principal> {
        let session = self.connections.by_key(connection_key)?.session()?;
        self.sessions.by_key(session).map(|session| &session.principal)
    }

    /// A frame could not be read, and nothing after it can be. The peer is told, and the connection closed; its session
    /// can be resumed.
    pub fn handle_broken_frame(&mut self, now: Now, connection_key: ConnectionKey, broken: BrokenFrame) {
        let Some(connection) = self.connections.by_key(connection_key) else { return };
        let session = connection.session();
        let session_id = session.and_then(|session| self.session_id(session));
        let error = ErrorPayload::new(ErrorCode::InvalidRequest, broken.message());
        let error = wire::Error { error, request_id: None, job_id: None };
        self.answer_error(now, connection_key, session_id, error);
        match session {
            Some(session) => self.close_session(now, connection_key, session, broken.close()),
            None => self.close(connection_key, broken.close()),
        }
    }

    /// The peer has said its last, and may still listen: the connection is closed once what was asked is answered. Its session can be
    /// resumed.
    pub fn handle_leaving(&mut self, now: Now, connection_key: ConnectionKey) {
        let Some(connection) = self.connections.by_key(connection_key) else { return };
        match connection.session() {
            Some(session) => self.close_session(now, connection_key, session, Close::Normal),
            None => self.close(connection_key, Close::Normal),
        }
    }

    /// A connection is gone. Its session goes on and can be resumed within the window (§6.3).
    pub fn handle_disconnected(&mut self, now: Now, connection_key: ConnectionKey) {
        let Some(connection) = self.connections.remove(connection_key) else { return };
        self.handshaking.remove(&connection_key);
        self.timers.clear(connection.handshake_deadline, Timer::Handshake(connection_key));
        if let Some(beat) = connection.beat {
            self.timers.clear(beat, Timer::Heartbeat(connection_key));
        }
        if let Some((at, _)) = connection.expires {
            self.timers.clear(at, Timer::Token(connection_key));
        }
        if let Some(session) = connection.session() {
            self.disconnect_session(now, session, connection_key);
        }
    }

    /// A timer is due. Calling this early or twice does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.monotonic) {
            match timer {
                Timer::Handshake(connection) => self.handshake_is_late(now, connection),
                Timer::Heartbeat(connection) => self.heartbeat(now, connection),
                Timer::Token(connection) => self.expire_token(now, connection),
                Timer::Pause(connection) => self.connections.wake(connection, &mut self.events),
                Timer::ResumeWindow(session) => self.window_is_over(now, session),
                Timer::OldToken(session) => self.drop_old_token(session, Some(now.monotonic)),
                Timer::MaxRuntime(job) => self.stop(now, job, StopCause::TimedOut, None),
                Timer::LeaseExpiry(job) => self.stop(now, job, StopCause::LeaseExpired, None),
                Timer::Grace(job) => self.grace_is_over(now, job),
                Timer::Loan(job) => self.loan_is_late(now, job),
                Timer::OldestKey => self.forget_keys(now.monotonic),
                Timer::OldestJob => self.forget_old_jobs(now.monotonic),
            }
        }
    }

    /// A batch is written; what it speaks of may now be sent.
    pub fn handle_committed(&mut self, position: u64) {
        self.store_is_full = false;
        let waiting = self.writes.commit(position, self.config.limits.uncommitted_bytes);
        self.events.extend(waiting.into_iter().map(Event::Wake));
        self.connections.committed(&mut self.events);
    }

    /// Ends every job with `INTERNAL_ERROR`, which invites to try again, and closes every connection with 1001 once
    /// everything is sent. New connections are closed at once.
    pub fn shut_down(&mut self, now: Now) {
        self.shutting_down = true;
        self.end_all_jobs(now);
        self.refuse_all_orders(now);
        for connection in self.connections.keys() {
            self.close(connection, Close::GoingAway);
        }
        self.sessions.end_spans();
    }

    /// The next batch to write.
    pub fn poll_write(&mut self) -> Option<Batch> {
        self.write_changes();
        self.writes.take()
    }

    /// The next thing to do.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes up to `max` things to write to a connection into `out`. When it takes fewer, [`Event::Transmit`] will say
    /// when there is more. What is taken makes room, so that there may be events afterwards.
    pub fn poll_transmit(
        &mut self,
        now: Now,
        connection_key: ConnectionKey,
        max: usize,
        out: &mut Vec<Transmit>,
    ) {
        let connection = self.connections.by_key(connection_key);
        let reader = connection.filter(|connection| connection.reads_logs(now.monotonic));
        if let Some(session) = reader.and_then(Connection::session) {
            self.catch_up(now, session);
        }
        let (committed, stored) = (self.writes.committed(), self.stored());
        let limits = &self.config.limits;
        let Some(connection) = self.connections.by_key_mut(connection_key) else { return };
        if connection.closed {
            return;
        }
        let session = connection.session();
        let mut session = session.and_then(|key| self.sessions.by_key_mut(key));
        let mut taken = 0;
        let mut uncommitted = false;
        while taken < max {
            // Answers go first, and no numbered message overtakes one that was given before it. A few answers must not
            // overtake what was numbered before them either.
            match connection.answers.front() {
                Some(answer) if answer.position > committed => {
                    if let Some(life) = connection.take_life(self.store_is_full) {
                        out.push(life);
                        taken += 1;
                        continue;
                    }
                    uncommitted = true;
                    break;
                }
                Some(answer) if session.as_ref().is_none_or(|session| answer.after <= session.sent()) => {
                    if let Some(answer) = connection.answers.pop_front() {
                        connection.answer_bytes -= answer.transmit.bytes();
                        if answer.pause {
                            let until = now.monotonic + PAUSE;
                            connection.pauses -= 1;
                            connection.paused_until = Some(until);
                            self.timers.set(until, Timer::Pause(connection_key));
                        }
                        out.push(answer.transmit);
                        taken += 1;
                    }
                    continue;
                }
                _ => {}
            }
            match session.as_mut().map_or(Next::Nothing, |session| session.next_to_send(committed)) {
                Next::Entry(entry) => {
                    connection.carried = now.monotonic;
                    out.push(Transmit::Entry(entry));
                }
                Next::Uncommitted => {
                    if let Some(life) = connection.take_life(self.store_is_full) {
                        out.push(life);
                        taken += 1;
                        continue;
                    }
                    uncommitted = true;
                    break;
                }
                Next::Nothing => break,
            }
            taken += 1;
        }
        if connection.read_paused
            && matches!(connection.phase, Phase::Open(_))
            && connection.takes_requests(limits, stored)
        {
            connection.read_paused = false;
            self.events.push_back(Event::Read(connection_key));
        }
        let reads = session.as_ref().is_some_and(|session| !session.behind.is_empty());
        if let Some(session) = session
            && !session.waiting.is_empty()
            && session.has_room(limits)
        {
            let waiting = session.waiting.drain(..);
            self.events.extend(waiting.map(Event::Wake));
        }
        if taken > 0 {
            connection.greeted = true;
            connection.said = now.monotonic;
        }
        if taken == max {
            return; // there may be more; the driver asks again
        }
        if taken > 0 && !uncommitted && reads {
            return self.poll_transmit(now, connection_key, max - taken, out);
        }
        connection.woken = false;
        if uncommitted {
            self.connections.await_commit(connection_key);
        } else if let Some(close) = connection.close.take() {
            connection.closed = true;
            out.push(Transmit::Close(close));
        }
    }

    fn next_key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    /// Closes a connection once everything before is sent.
    fn close(&mut self, connection_key: ConnectionKey, close: Close) {
        if let Some(connection) = self.connections.by_key_mut(connection_key)
            && !connection.is_closing()
        {
            connection.close = Some(close);
            self.events.push_back(Event::Close(connection_key));
            if !matches!(connection.phase, Phase::Open(_)) {
                connection.phase = Phase::Closing;
            }
            self.connections.wake(connection_key, &mut self.events);
        }
    }
}
