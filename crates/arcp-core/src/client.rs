//! One session as its client sees it.

mod close;
mod config;
mod event;
mod handshake;
mod heartbeat;
mod jobs;
mod observe;
mod place;
mod renew;
mod requests;
mod resume;
mod unreadable;

use std::collections::VecDeque;

use arcp_proto::session::{Error, Pong};
use arcp_proto::{
    BearerToken, ByteString, Envelope, ErrorCode, Features, JobId, Message, MessageId, Payload, SessionId,
};

pub use config::{Config, implemented_features};
pub use event::{Event, JobEnd, Loss, Opened, RequestKey};
pub use place::Audience;
pub use resume::{Backoff, ResumeState};

use self::heartbeat::Pulse;
use self::jobs::Jobs;
use self::requests::Requests;
use self::resume::{Away, Standing};
use crate::incoming::{Incoming, Received};
use crate::random::{Ids, Random};
use crate::time::{Instant, Now};

/// The client's side of ARCP, without I/O: one session, over one connection after the other.
///
/// # Contract
///
/// Tell it what happened with `handle_*`, what to do with commands ([`submit`](Self::submit), [`cancel`](Self::cancel),
/// [`close`](Self::close)), and after **every** one of these take [`poll_transmit`](Self::poll_transmit) and
/// [`poll_event`](Self::poll_event) until they are empty, and arm one timer for [`poll_timeout`](Self::poll_timeout).
///
/// A request made before the session is open waits for it. Every request is answered by exactly one event: accepted,
/// acknowledged, refused, answered unreadably, timed out, or the end of the session ([`Event::Ended`]), which answers all that are open.
pub struct Session {
    config: Config,
    ids: Ids,
    phase: Phase,
    standing: Standing,
    pulse: Pulse,
    requests: Requests,
    jobs: Jobs,
    /// Subscriptions that are to be ended once there is a connection.
    unsubscribes: Vec<JobId>,
    out: VecDeque<Transmit>,
    events: VecDeque<Event>,
}

/// Something to write to the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Transmit {
    /// A frame.
    Frame(ByteString),
    /// Close the connection in order, as WebSocket's 1000. Nothing follows.
    Close,
}

enum Phase {
    /// Not connected yet.
    Idle,
    /// The hello is out; with `away`, to resume.
    Opening { deadline: Instant, away: Option<Away> },
    /// The session is open.
    Open,
    /// The connection was lost; a new one is made at `dial_at`, or is being made.
    Away { away: Away, dial_at: Option<Instant> },
    /// The close is out.
    Closing { deadline: Instant, reason: Option<String> },
    /// It is over.
    Ended,
}

impl Session {
    /// A session that is not connected yet.
    pub fn new(config: Config, random: Box<dyn Random>) -> Self {
        let resume = config.resume.clone();
        let mut session = Self {
            config,
            ids: Ids::new(random),
            phase: Phase::Idle,
            standing: Standing::default(),
            pulse: Pulse::default(),
            requests: Requests::default(),
            jobs: Jobs::default(),
            unsubscribes: Vec::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
        };
        if let Some(state) = resume {
            session.restore(state);
        }
        session
    }

    /// What both sides can do; `None` until the session is open.
    pub fn features(&self) -> Option<&Features> {
        matches!(self.phase, Phase::Open).then_some(&self.standing.features)
    }

    /// The last number in sequence that has come (§8.3); 0 before the first.
    pub fn last_event_seq(&self) -> u64 {
        self.standing.last_event_seq
    }

    /// The token of the hellos that follow, in place of the one before: that may no longer be good.
    pub fn set_token(&mut self, token: BearerToken) {
        self.config.token = token;
    }

    /// The transport is connected: the client introduces itself.
    pub fn handle_connected(&mut self, now: Now) {
        self.introduce(now);
    }

    /// A frame has come in.
    pub fn handle_frame(&mut self, now: Now, incoming: Incoming) {
        self.pulse.heard = now.monotonic;
        let received = match incoming.0 {
            Ok(received) => received,
            Err(bad) => {
                // One bad frame is no reason to give up a session.
                tracing::warn!(reason = %bad.reason, "frame of the runtime cannot be read");
                return self.handle_no_envelope(now, bad.frame);
            }
        };
        match self.phase {
            Phase::Opening { .. } => self.handle_answer_to_hello(now, received),
            Phase::Open | Phase::Closing { .. } => self.handle_message(now, received),
            Phase::Idle | Phase::Away { .. } | Phase::Ended => {}
        }
    }

    /// The connection is gone. If the session can be resumed, [`Event::Connect`] asks for another in a while.
    pub fn handle_disconnected(&mut self, now: Now) {
        match self.phase {
            Phase::Closing { .. } => self.end(Loss::Closed),
            Phase::Idle | Phase::Opening { away: None, .. } => self.end(Loss::BeforeWelcome),
            Phase::Open | Phase::Opening { away: Some(_), .. } => self.lose(now, Loss::ConnectionLost),
            Phase::Away { .. } | Phase::Ended => {}
        }
    }

    /// A frame was too large to be read. The runtime would send it again after every resume: the session is over.
    pub fn handle_oversized_frame(&mut self) {
        self.out.push_back(Transmit::Close);
        self.end(Loss::FrameTooLarge);
    }

    /// A timer is due. Calling this early or twice does no harm.
    pub fn handle_timeout(&mut self, now: Now) {
        match &self.phase {
            Phase::Opening { deadline, away } if *deadline <= now.monotonic => {
                let first = away.is_none();
                self.out.push_back(Transmit::Close);
                if first {
                    self.end(Loss::HandshakeTimeout);
                } else {
                    self.lose(now, Loss::HandshakeTimeout);
                }
            }
            Phase::Closing { deadline, .. } if *deadline <= now.monotonic => self.say_bye(now),
            _ => {}
        }
        self.time_out_requests(now);
        self.beat_if_due(now);
        self.ack_if_due(now);
        self.dial_if_due(now);
    }

    /// The next thing to write.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.out.pop_front()
    }

    /// The next thing to tell the application.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let own = match self.phase {
            Phase::Opening { deadline, .. } | Phase::Closing { deadline, .. } => Some(deadline),
            Phase::Away { away, dial_at } => Some(self.next_try(away, dial_at)),
            Phase::Idle | Phase::Open | Phase::Ended => None,
        };
        let all = [own, self.requests.next_deadline(), self.next_beat(), self.next_ack()];
        all.into_iter().flatten().min()
    }

    fn handle_message(&mut self, now: Now, received: Received) {
        let Received { envelope, message, .. } = received;
        let message = match message {
            Ok(message) => message,
            Err(error) => return self.handle_unreadable(now, &envelope, error),
        };
        if envelope.event_seq.is_some() {
            let foreign = envelope.job_id.as_ref().is_some_and(|job_id| self.is_foreign(job_id));
            if !self.in_sequence(now, envelope.event_seq, !foreign) {
                return;
            }
        } else if !matches!(message, Message::SessionPing(_) | Message::SessionPong(_)) {
            self.standing.replaying = false;
        }
        match message {
            Message::JobEvent(event) => self.handle_event(envelope, event),
            Message::JobResult(result) => self.handle_end(envelope, JobEnd::from(result)),
            Message::JobError(error) => self.handle_job_error(envelope, error),
            Message::JobAccepted(accepted) => {
                self.handle_accepted(now, accepted, envelope.extensions.next_index())
            }
            Message::JobCancelled(cancelled) => self.handle_cancelled(envelope.job_id, cancelled.request_id),
            Message::SessionError(error) => self.handle_error(now, error, envelope.job_id),
            Message::SessionJobs(page) => self.handle_jobs(page),
            Message::JobSubscribed(subscribed) => {
                self.handle_subscribed(now, subscribed, envelope.extensions.next_index())
            }
            Message::SessionPing(ping) => {
                let pong = Pong { ping_nonce: ping.nonce, received_at: Some(now.wall) };
                self.say(now, &pong, |_| {});
            }
            Message::SessionClosed(_) | Message::SessionBye(_) => self.handle_closed(),
            _ => tracing::debug!(message_type = %envelope.message_type, "message ignored"),
        }
        self.go_on();
    }

    /// Something was heard, and may have been an answer.
    fn go_on(&mut self) {
        if !self.requests.may_begin_jobs() {
            self.jobs.drop_early();
        }
        self.send_waiting();
    }

    /// Whether a job is followed as somebody else's, or is about to be: some runtimes replay it before they answer.
    fn is_foreign(&self, job_id: &JobId) -> bool {
        self.jobs.is_foreign(job_id).unwrap_or_else(|| self.requests.subscribes_to(job_id))
    }

    fn handle_error(&mut self, now: Now, error: Error, job_id: Option<JobId>) {
        let Error { error, request_id, job_id: inner_job_id } = error;
        let job_id = job_id.or(inner_job_id);
        let closing = matches!(self.phase, Phase::Closing { .. });
        let refused = match (&request_id, &job_id) {
            (Some(request_id), _) => self.requests.refused(request_id),
            (None, _) if closing => None,
            // What is said of a job that is known concerns that job, unless it stands in the way of a submit.
            (None, Some(job_id)) if error.code != ErrorCode::DuplicateKey && self.jobs.knows(job_id) => {
                self.requests.take_cancel(job_id)
            }
            (None, job_id) => self.requests.refused_unnamed(job_id.as_ref(), &error.code),
        };
        match refused {
            Some(Some(request)) => self.refuse(request, error),
            Some(None) => tracing::debug!(%error, "refusal of a request that had timed out"),
            None if closing => self.say_bye(now), // a runtime that does not know session.close
            None => tracing::debug!(%error, ?job_id, "session.error that answers no request"),
        }
    }

    /// Ends the session, once, and with it every open request.
    fn end(&mut self, loss: Loss) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        self.phase = Phase::Ended;
        self.requests.abandon();
        self.jobs = Jobs::default();
        self.events.push_back(Event::Ended(loss));
    }

    fn session_id(&self) -> Option<SessionId> {
        self.standing.session_id.clone()
    }

    fn envelope<P: Payload>(&mut self, now: Now, payload: &P) -> Envelope {
        let mut envelope = Envelope::new(MessageId::from_ulid(self.ids.ulid(now)), payload);
        envelope.session_id = self.session_id();
        envelope
    }

    fn say<P: Payload>(&mut self, now: Now, payload: &P, dress: impl FnOnce(&mut Envelope)) {
        let mut envelope = self.envelope(now, payload);
        dress(&mut envelope);
        self.pulse.said = now.monotonic;
        self.out.push_back(Transmit::Frame(envelope.encode()));
    }
}
