//! The task that drives a session: commands and frames in, frames and events out, over one link after the other.

mod commands;
mod deliveries;
mod link;

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use arcp_core::client::{Config, Event as CoreEvent, Loss, Opened, RequestKey, Session};
use arcp_core::{Drawn, Incoming, Now, Origin};
use arcp_proto::job::{Accepted, Subscribed};
use arcp_proto::session::Jobs;
use arcp_proto::{JobId, Reader};
use arcp_transport::{BoxTransport, Connector, Frame, TransportError};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use self::commands::{Command, Reply};
pub(crate) use self::commands::{Commands, CurrentTrace};
use self::deliveries::Deliveries;
pub(crate) use self::deliveries::{Delivery, Inbox};
pub(crate) use self::link::Tokens;
use self::link::{Happened, Link};
use crate::client::State;
use crate::error::{ConnectError, RequestError};

/// Commands that wait for the driver; who sends one more waits.
const COMMANDS: usize = 64;
/// What is taken from the link at a time, before it is handed over to the applications.
const BATCH: usize = 64;
/// How long somebody who closes the session waits for the link to be closed.
const CLOSE_PATIENCE: Duration = Duration::from_millis(250);

/// Opens a session over a transport and leaves a task that drives it.
pub(crate) async fn open(
    (connector, tokens): (Arc<dyn Connector>, Option<Tokens>),
    transport: BoxTransport,
    config: Config,
    max_result_bytes: usize,
    trace: Option<CurrentTrace>,
) -> Result<Commands, ConnectError> {
    let (sender, receiver) = mpsc::channel(COMMANDS);
    let (state, watched) = watch::channel(State::Connected);
    let (loss, opened) = (Arc::default(), Arc::default());
    let commands = Commands { sender, loss, state: watched, opened, max_result_bytes, trace };
    let (opened, open) = oneshot::channel();
    let driver = Driver {
        machine: Session::new(config, Box::new(Drawn::from(random))),
        origin: Origin::new(Instant::now().into_std()),
        link: Link::new(connector, tokens, transport),
        reader: Reader::default(),
        commands: receiver,
        handles_gone: false,
        loss: Arc::clone(&commands.loss),
        state,
        opened: Arc::clone(&commands.opened),
        opening: Some(opened),
        asked: HashMap::new(),
        closes: Vec::new(),
        deliveries: Deliveries::default(),
        ended: false,
    };
    tokio::spawn(driver.run());
    match open.await {
        Ok(Ok(())) => Ok(commands),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ConnectError::Lost(commands.loss())),
    }
}

/// # Panics
/// When the operating system has no random bytes to give.
fn random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the operating system gives random bytes");
}

/// # Panics
/// As [`random`].
pub(crate) fn random_bits() -> u128 {
    let mut bytes = [0; 16];
    random(&mut bytes);
    u128::from_le_bytes(bytes)
}

struct Driver {
    machine: Session,
    origin: Origin,
    link: Link,
    reader: Reader,
    commands: mpsc::Receiver<Command>,
    /// Whether nobody can give a command any more.
    handles_gone: bool,
    loss: Arc<OnceLock<Loss>>,
    state: watch::Sender<State>,
    opened: Arc<RwLock<Arc<Opened>>>,
    /// Who waits for the session to open.
    opening: Option<oneshot::Sender<Result<(), ConnectError>>>,
    /// Who waits for an answer.
    asked: HashMap<RequestKey, Asked>,
    /// Who waits for the session to be closed.
    closes: Vec<oneshot::Sender<()>>,
    deliveries: Deliveries,
    ended: bool,
}

enum Asked {
    Submit(Reply<(Box<Accepted>, Inbox)>),
    Subscribe(JobId, Reply<(Box<Subscribed>, Inbox)>),
    List(Reply<Box<Jobs>>),
    Cancel(Reply<()>),
}

impl Asked {
    // If nobody waits any more, nobody is told.
    fn fail(self, error: RequestError) {
        match self {
            Self::Submit(reply) => drop(reply.send(Err(error))),
            Self::Subscribe(_, reply) => drop(reply.send(Err(error))),
            Self::List(reply) => drop(reply.send(Err(error))),
            Self::Cancel(reply) => drop(reply.send(Err(error))),
        }
    }
}

impl Driver {
    fn now(&self) -> Now {
        self.origin.now(Instant::now().into_std(), SystemTime::now())
    }

    async fn run(mut self) {
        let now = self.now();
        self.machine.handle_connected(now);
        self.drain();
        while !self.ended {
            self.turn().await;
            self.drain();
        }
        self.leave().await;
    }

    /// Waits for one thing to happen and tells the machine.
    async fn turn(&mut self) {
        let timeout = self.machine.poll_timeout().and_then(|at| self.origin.when(at)).map(Instant::from_std);
        let deadline = timeout.unwrap_or_else(Instant::now);
        enum Turn {
            Link(Happened),
            Command(Option<Command>),
            Room,
            Timeout,
        }
        let now = self.now();
        // What opens a session is read, whatever waits of what it has brought.
        let reads = self.deliveries.is_idle() || self.machine.features().is_none();
        self.machine.handle_reading(now, reads);
        let turn = {
            let Self { link, commands, deliveries, handles_gone, .. } = self;
            let delivered = deliveries.is_idle();
            tokio::select! {
                happened = poll_fn(|cx| link.poll(reads, cx)) => Turn::Link(happened),
                command = commands.recv(), if !*handles_gone => Turn::Command(command),
                () = deliveries.room(), if !delivered => Turn::Room,
                () = tokio::time::sleep_until(deadline), if timeout.is_some() => Turn::Timeout,
            }
        };
        let now = self.now();
        match turn {
            Turn::Link(happened) => {
                self.handle_link(now, happened);
                self.read_on(now, reads).await;
            }
            Turn::Command(command) => {
                self.handle_command(now, command);
                // What others ask at the same time goes out together.
                for _ in 1..BATCH {
                    self.follow();
                    if self.ended {
                        return;
                    }
                    let Ok(command) = self.commands.try_recv() else { break };
                    self.handle_command(now, Some(command));
                }
            }
            Turn::Timeout => self.machine.handle_timeout(now),
            Turn::Room => {}
        }
    }

    /// Takes what else has come already, before anything is handed over.
    async fn read_on(&mut self, now: Now, reads: bool) {
        for _ in 1..BATCH {
            self.follow();
            if self.ended {
                return;
            }
            let link = &mut self.link;
            let polled = poll_fn(|cx| Poll::Ready(link.poll(reads, cx))).await;
            let Poll::Ready(happened) = polled else { return };
            self.handle_link(now, happened);
        }
    }

    fn handle_link(&mut self, now: Now, happened: Happened) {
        match happened {
            Happened::Connected(token) => {
                if let Some(token) = token {
                    self.machine.set_token(token);
                }
                self.machine.handle_connected(now);
            }
            Happened::NotConnected => self.machine.handle_connect_failed(now),
            Happened::Written => {}
            Happened::Frame(Some(Ok(Frame::Text(text)))) => {
                self.machine.handle_frame(now, Incoming::read(&mut self.reader, text));
            }
            Happened::Frame(Some(Ok(Frame::Binary(bytes)))) => {
                self.machine.handle_frame(now, Incoming::binary(bytes.len()));
            }
            Happened::Frame(Some(Err(TransportError::FrameTooLarge { limit }))) => {
                tracing::warn!(limit, "runtime sent a frame larger than is read");
                self.machine.handle_oversized_frame();
            }
            Happened::Frame(end) => {
                match end {
                    Some(Ok(frame)) => tracing::debug!(?frame, "runtime closes the connection"),
                    Some(Err(error)) => tracing::debug!(%error, "connection failed"),
                    None => tracing::debug!("connection is cut"),
                }
                self.machine.handle_disconnected(now);
            }
        }
    }

    fn handle_command(&mut self, now: Now, command: Option<Command>) {
        let (request, asked) = match command {
            Some(Command::Submit { submit, trace, reply }) => {
                (self.machine.submit(now, &submit, trace.as_ref()), Asked::Submit(reply))
            }
            Some(Command::Subscribe { subscribe, reply }) => {
                let asked = Asked::Subscribe(subscribe.job_id.clone(), reply);
                (self.machine.subscribe(now, &subscribe), asked)
            }
            Some(Command::List { list, reply }) => (self.machine.list_jobs(now, &list), Asked::List(reply)),
            Some(Command::Cancel { job_id, reason, reply }) => {
                (self.machine.cancel(now, job_id, reason), Asked::Cancel(reply))
            }
            Some(Command::Unsubscribe { job_id }) => {
                let is_it = |asked: &Asked| matches!(asked, Asked::Subscribe(wanted, _) if *wanted == job_id);
                if !self.asked.values().any(is_it) {
                    self.unsubscribe_if_unwanted(now, job_id);
                }
                return;
            }
            Some(Command::ResumeState { reply }) => return drop(reply.send(self.machine.resume_state())),
            Some(Command::Close { reason, done }) => {
                self.closes.push(done);
                return self.machine.close(now, reason);
            }
            None => {
                // Every handle is gone. Nobody will ask for anything any more.
                self.handles_gone = true;
                self.deliveries.forget();
                return self.machine.close(now, None);
            }
        };
        self.asked.insert(request, asked);
    }

    /// Does what the machine asks for.
    fn follow(&mut self) {
        loop {
            while let Some(transmit) = self.machine.poll_transmit() {
                self.link.send(transmit);
            }
            let Some(event) = self.machine.poll_event() else { break };
            self.react(event);
        }
    }

    /// Does what the machine asks for, and hands over what has come.
    fn drain(&mut self) {
        self.follow();
        if self.deliveries.has_early_children() && !self.awaits_acceptance() {
            self.deliveries.forget_early_children();
        }
        self.deliveries.hand_over();
    }

    /// Whether a submit was not answered yet.
    fn awaits_acceptance(&self) -> bool {
        self.asked.values().any(|asked| matches!(asked, Asked::Submit(_)))
    }

    fn react(&mut self, event: CoreEvent) {
        match event {
            CoreEvent::Opened(opened) => {
                self.set_opened(opened);
                self.tell_opened(Ok(()));
            }
            CoreEvent::HandshakeRefused(error) => {
                tracing::debug!(%error, "runtime refuses the session");
                self.tell_opened(Err(ConnectError::Refused(error)));
            }
            CoreEvent::Disconnected => {
                self.link.leave();
                self.state.send_replace(State::Reconnecting);
            }
            CoreEvent::Connect => self.link.dial(),
            CoreEvent::Resumed => drop(self.state.send_replace(State::Connected)),
            CoreEvent::Lapsed(error) => {
                let reason = error.map_or_else(|| "its time is up".to_owned(), |error| error.to_string());
                tracing::warn!(reason, "session is gone, another is opened");
                self.state.send_replace(State::Renewing);
            }
            CoreEvent::Renewed(opened) => {
                self.set_opened(opened);
                self.deliveries.begin_again();
                self.state.send_replace(State::Renewed);
            }
            CoreEvent::Delegated(accepted) => {
                let may_be_early = self.awaits_acceptance();
                self.deliveries.child(*accepted, may_be_early);
            }
            CoreEvent::Missed { job_id, audience } => self.deliveries.miss(&job_id, &audience),
            CoreEvent::AcknowledgeDue => {
                let taken = self.deliveries.taken(self.machine.last_event_seq());
                let now = self.now();
                self.machine.acknowledge(now, taken);
            }
            CoreEvent::Accepted { request, accepted } => {
                let Some(Asked::Submit(reply)) = self.asked.remove(&request) else { return };
                let (followed, inbox) = Deliveries::queue();
                let job_id = accepted.job_id.clone();
                if reply.send(Ok((accepted, inbox))).is_ok() {
                    self.deliveries.follow(job_id, request, followed);
                }
            }
            CoreEvent::Subscribed { request, subscribed } => {
                let Some(Asked::Subscribe(_, reply)) = self.asked.remove(&request) else { return };
                let (followed, inbox) = Deliveries::queue();
                let job_id = subscribed.job_id.clone();
                if reply.send(Ok((subscribed, inbox))).is_ok() {
                    self.deliveries.follow(job_id, request, followed);
                } else {
                    let now = self.now();
                    self.unsubscribe_if_unwanted(now, job_id);
                }
            }
            CoreEvent::Jobs { request, page } => {
                if let Some(Asked::List(reply)) = self.asked.remove(&request) {
                    let _ = reply.send(Ok(page));
                }
            }
            CoreEvent::CancelAcknowledged { request } => {
                if let Some(Asked::Cancel(reply)) = self.asked.remove(&request) {
                    let _ = reply.send(Ok(()));
                }
            }
            CoreEvent::Refused { request, error } => self.fail(request, RequestError::Refused(error)),
            CoreEvent::NotOffered { request, feature } => {
                self.fail(request, RequestError::NotOffered(feature))
            }
            CoreEvent::Unreadable { request, error } => self.fail(request, RequestError::Unreadable(error)),
            CoreEvent::TimedOut { request } => self.fail(request, RequestError::TimedOut),
            CoreEvent::Interrupted { request } => self.fail(request, RequestError::Interrupted),
            CoreEvent::Job { job_id, event_seq, event, audience } => {
                self.deliveries.event(&job_id, event_seq, event, &audience);
            }
            CoreEvent::JobEnded { job_id, end } => self.deliveries.end(&job_id, &end),
            CoreEvent::Ended(loss) => self.end(loss),
            other => tracing::error!(?other, "event of the machine is not known to its driver"),
        }
    }

    fn end(&mut self, loss: Loss) {
        self.loss.get_or_init(|| loss);
        self.ended = true;
        self.state.send_replace(State::Ended(loss));
        self.tell_opened(Err(ConnectError::Lost(loss)));
        for (_, asked) in self.asked.drain() {
            asked.fail(RequestError::SessionEnded(loss));
        }
    }

    /// Ends a subscription that nobody here follows any more.
    fn unsubscribe_if_unwanted(&mut self, now: Now, job_id: JobId) {
        if !self.deliveries.is_followed(&job_id) {
            self.machine.unsubscribe(now, job_id);
        }
    }

    fn set_opened(&mut self, opened: Opened) {
        *self.opened.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(opened);
    }

    fn tell_opened(&mut self, opened: Result<(), ConnectError>) {
        if let Some(sender) = self.opening.take() {
            // If nobody waits any more, the handles are gone too, and with them the session.
            let _ = sender.send(opened);
        }
    }

    fn fail(&mut self, request: RequestKey, error: RequestError) {
        if let Some(asked) = self.asked.remove(&request) {
            asked.fail(error);
        }
    }

    /// Delivers what has come, writes what is left and closes, so that the peer sees it.
    async fn leave(self) {
        let Self { mut link, commands, deliveries, closes, .. } = self;
        // Nobody waits any longer for an answer that cannot come, however long the rest takes.
        drop(commands);
        let closing = async {
            let mut closing = pin!(link.hand_over().close());
            if tokio::time::timeout(CLOSE_PATIENCE, closing.as_mut()).await.is_err() {
                drop(closes);
                closing.await;
            }
        };
        tokio::join!(closing, deliveries.finish());
    }
}
