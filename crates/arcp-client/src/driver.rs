//! The task that drives a session: commands and frames in, frames and events out.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use arcp_core::client::{Config, Event as CoreEvent, JobEnd, Loss, Opened, RequestKey, Session, Transmit};
use arcp_core::{Incoming, Now, Origin};
use arcp_proto::job::{Accepted, Submit};
use arcp_proto::{JobId, TraceContext};
use arcp_transport::{BoxTransport, CloseCode, CloseFrame, Frame, TransportError};
use futures_util::future::{join_all, select_all};
use futures_util::{Sink, SinkExt, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::error::{ConnectError, RequestError};
use crate::event::Event;
use crate::job::Job;

/// Commands that wait for the driver; who sends one more waits.
const COMMANDS: usize = 64;
/// Events that wait for one job's application.
const DELIVERIES: usize = 1_024;
/// Frames that wait to be written; beyond it nothing is read, so that no peer makes us answer without end.
const UNWRITTEN: usize = 256;
/// How long the peer has to take its leave once the connection is being closed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of that somebody waits for who closes the session.
const CLOSE_PATIENCE: Duration = Duration::from_millis(250);

/// What a job is told.
pub(crate) enum Delivery {
    Event(Event),
    End(JobEnd),
}

enum Command {
    Submit {
        submit: Box<Submit>,
        trace: Option<TraceContext>,
        reply: oneshot::Sender<Result<Granted, RequestError>>,
    },
    Cancel {
        job_id: JobId,
        reason: Option<String>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    Close {
        reason: Option<String>,
        /// Dropped when the session is closed.
        done: oneshot::Sender<()>,
    },
}

/// What becomes a [`Job`].
struct Granted {
    accepted: Box<Accepted>,
    deliveries: mpsc::Receiver<Delivery>,
}

/// The way to the driver, which all handles of a session share.
#[derive(Clone)]
pub(crate) struct Commands {
    sender: mpsc::Sender<Command>,
    loss: Arc<OnceLock<Loss>>,
}

impl Commands {
    pub(crate) async fn submit(
        &self,
        submit: Submit,
        trace: Option<TraceContext>,
    ) -> Result<Job, RequestError> {
        let (reply, answer) = oneshot::channel();
        let granted = self.ask(Command::Submit { submit: Box::new(submit), trace, reply }, answer).await?;
        Ok(Job::new(granted.accepted, granted.deliveries, self.clone()))
    }

    pub(crate) async fn cancel(&self, job_id: JobId, reason: Option<String>) -> Result<(), RequestError> {
        let (reply, answer) = oneshot::channel();
        self.ask(Command::Cancel { job_id, reason, reply }, answer).await
    }

    pub(crate) async fn close(&self, reason: Option<String>) {
        let (done, closed) = oneshot::channel();
        // If the driver is gone already, so is the session.
        let _ = self.sender.send(Command::Close { reason, done }).await;
        let _ = closed.await;
    }

    async fn ask<T>(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let ended = |_| RequestError::SessionEnded(self.loss());
        self.sender.send(command).await.map_err(|_| RequestError::SessionEnded(self.loss()))?;
        answer.await.map_err(ended)?
    }

    /// Why the session has ended; asked only once it has.
    pub(crate) fn loss(&self) -> Loss {
        self.loss.get().copied().unwrap_or(Loss::ConnectionLost)
    }
}

/// Opens a session over a transport and leaves a task that drives it.
pub(crate) async fn open(
    transport: BoxTransport,
    config: Config,
) -> Result<(Commands, Opened), ConnectError> {
    let (sender, receiver) = mpsc::channel(COMMANDS);
    let commands = Commands { sender, loss: Arc::default() };
    let (opened, open) = oneshot::channel();
    let driver = Driver {
        machine: Session::new(config, Box::new(random)),
        origin: Origin::new(Instant::now().into_std()),
        transport,
        commands: receiver,
        handles_gone: false,
        loss: Arc::clone(&commands.loss),
        opened: Some(opened),
        submits: HashMap::new(),
        cancels: HashMap::new(),
        closes: Vec::new(),
        jobs: HashMap::new(),
        undelivered: VecDeque::new(),
        out: VecDeque::new(),
        unflushed: false,
        ended: false,
    };
    tokio::spawn(driver.run());
    match open.await {
        Ok(Ok(opened)) => Ok((commands, opened)),
        Ok(Err(error)) => Err(error),
        Err(_) => Err(ConnectError::Lost(commands.loss())),
    }
}

/// # Panics
/// When the operating system has no random bytes to give.
fn random() -> u128 {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    u128::from_le_bytes(bytes)
}

struct Driver {
    machine: Session,
    origin: Origin,
    transport: BoxTransport,
    commands: mpsc::Receiver<Command>,
    /// Whether nobody can give a command any more.
    handles_gone: bool,
    loss: Arc<OnceLock<Loss>>,
    opened: Option<oneshot::Sender<Result<Opened, ConnectError>>>,
    submits: HashMap<RequestKey, oneshot::Sender<Result<Granted, RequestError>>>,
    cancels: HashMap<RequestKey, oneshot::Sender<Result<(), RequestError>>>,
    /// Who waits for the session to be closed.
    closes: Vec<oneshot::Sender<()>>,
    /// Who follows a job: more than one, where two submits with one key are one job.
    jobs: HashMap<JobId, Vec<mpsc::Sender<Delivery>>>,
    /// What waits for room in a job's queue. While anything does, nothing is read.
    undelivered: Undelivered,
    out: VecDeque<Transmit>,
    unflushed: bool,
    ended: bool,
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
        let handles_gone = self.handles_gone;
        let has_output = !self.out.is_empty() || self.unflushed;
        let Self { transport, commands, undelivered, out, unflushed, .. } = self;
        let delivered = undelivered.is_empty();
        let reads = delivered && out.len() < UNWRITTEN;
        enum Turn {
            Frame(Option<Result<Frame, TransportError>>),
            Command(Option<Command>),
            Room,
            Timeout,
            Written(Result<(), TransportError>),
        }
        let turn = {
            // One borrow of the transport for reading and writing: polled in turn, neither blocks the other.
            let io = poll_fn(|cx| {
                if has_output && let Poll::Ready(written) = poll_write(transport, out, unflushed, cx) {
                    return Poll::Ready(Turn::Written(written));
                }
                if reads && let Poll::Ready(frame) = transport.poll_next_unpin(cx) {
                    return Poll::Ready(Turn::Frame(frame));
                }
                Poll::Pending
            });
            tokio::select! {
                turn = io => turn,
                command = commands.recv(), if !handles_gone => Turn::Command(command),
                () = room(undelivered), if !delivered => Turn::Room,
                () = tokio::time::sleep_until(deadline), if timeout.is_some() => Turn::Timeout,
            }
        };
        let now = self.now();
        match turn {
            Turn::Frame(Some(Ok(Frame::Text(text)))) => self.machine.handle_frame(now, Incoming::text(text)),
            Turn::Frame(Some(Ok(Frame::Binary(bytes)))) => {
                self.machine.handle_frame(now, Incoming::binary(bytes.len()))
            }
            Turn::Frame(Some(Ok(Frame::Close(close)))) => {
                tracing::debug!(?close, "runtime closes the connection");
                self.machine.handle_disconnected();
            }
            Turn::Frame(Some(Err(error))) | Turn::Written(Err(error)) => {
                tracing::debug!(%error, "connection failed");
                self.machine.handle_disconnected();
            }
            Turn::Frame(None) => self.machine.handle_disconnected(),
            Turn::Command(command) => self.handle_command(now, command),
            Turn::Timeout => self.machine.handle_timeout(now),
            Turn::Room | Turn::Written(Ok(())) => {}
        }
    }

    fn handle_command(&mut self, now: Now, command: Option<Command>) {
        match command {
            Some(Command::Submit { submit, trace, reply }) => {
                let request = self.machine.submit(now, &submit, trace.as_ref());
                self.submits.insert(request, reply);
            }
            Some(Command::Cancel { job_id, reason, reply }) => {
                let request = self.machine.cancel(now, job_id, reason);
                self.cancels.insert(request, reply);
            }
            Some(Command::Close { reason, done }) => {
                self.closes.push(done);
                self.machine.close(now, reason);
            }
            None => {
                // Every handle is gone. Nobody will ask for anything any more.
                self.handles_gone = true;
                self.machine.close(now, None);
                self.undelivered.clear();
            }
        }
    }

    /// Does what the machine asks for.
    fn drain(&mut self) {
        while let Some(transmit) = self.machine.poll_transmit() {
            self.out.push_back(transmit);
        }
        while let Some(event) = self.machine.poll_event() {
            self.react(event);
        }
        let mut blocked = VecDeque::new();
        for (sender, delivery) in self.undelivered.drain(..) {
            if is_blocked(&blocked, &sender) {
                blocked.push_back((sender, delivery));
                continue;
            }
            if let Err(mpsc::error::TrySendError::Full(delivery)) = sender.try_send(delivery) {
                blocked.push_back((sender, delivery));
            }
        }
        self.undelivered = blocked;
    }

    fn react(&mut self, event: CoreEvent) {
        match event {
            CoreEvent::Opened(opened) => self.tell_opened(Ok(opened)),
            CoreEvent::HandshakeRefused(error) => self.tell_opened(Err(ConnectError::Refused(error))),
            CoreEvent::Accepted { request, accepted } => {
                let (sender, deliveries) = mpsc::channel(DELIVERIES);
                let job_id = accepted.job_id.clone();
                let Some(reply) = self.submits.remove(&request) else { return };
                if reply.send(Ok(Granted { accepted, deliveries })).is_ok() {
                    self.jobs.entry(job_id).or_default().push(sender);
                }
            }
            CoreEvent::CancelAcknowledged { request } => self.answer_cancel(request, Ok(())),
            CoreEvent::Refused { request, error } => {
                self.fail(request, || RequestError::Refused(error.clone()))
            }
            CoreEvent::TimedOut { request } => self.fail(request, || RequestError::TimedOut),
            CoreEvent::Job { job_id, event_seq, event } => {
                let senders = self.jobs.get(&job_id).map(Vec::as_slice).unwrap_or_default();
                if let Some((last, others)) = senders.split_last() {
                    let event = Event::new(event_seq, event);
                    for other in others {
                        self.undelivered.push_back((other.clone(), Delivery::Event(event.clone())));
                    }
                    self.undelivered.push_back((last.clone(), Delivery::Event(event)));
                }
            }
            CoreEvent::JobEnded { job_id, end } => {
                for sender in self.jobs.remove(&job_id).unwrap_or_default() {
                    self.undelivered.push_back((sender, Delivery::End(end.clone())));
                }
            }
            CoreEvent::Ended(loss) => {
                self.loss.get_or_init(|| loss);
                self.ended = true;
                self.tell_opened(Err(ConnectError::Lost(loss)));
                for (_, reply) in self.submits.drain() {
                    let _ = reply.send(Err(RequestError::SessionEnded(loss)));
                }
                for (_, reply) in self.cancels.drain() {
                    let _ = reply.send(Err(RequestError::SessionEnded(loss)));
                }
            }
            other => tracing::error!(?other, "event of the machine is not known to its driver"),
        }
    }

    fn tell_opened(&mut self, opened: Result<Opened, ConnectError>) {
        if let Some(sender) = self.opened.take() {
            // If nobody waits any more, the handles are gone too, and with them the session.
            let _ = sender.send(opened);
        }
    }

    fn fail(&mut self, request: RequestKey, error: impl Fn() -> RequestError) {
        if let Some(reply) = self.submits.remove(&request) {
            let _ = reply.send(Err(error()));
        }
        self.answer_cancel(request, Err(error()));
    }

    fn answer_cancel(&mut self, request: RequestKey, answer: Result<(), RequestError>) {
        if let Some(reply) = self.cancels.remove(&request) {
            let _ = reply.send(answer);
        }
    }

    /// Delivers what has come, writes what is left and closes, so that the peer sees it.
    async fn leave(self) {
        let Self { mut transport, mut out, mut unflushed, commands, jobs, undelivered, closes, .. } = self;
        // Nobody waits any longer for an answer that cannot come, however long the rest takes.
        drop((commands, jobs));
        let closing = async move {
            let _ = poll_fn(|cx| poll_write(&mut transport, &mut out, &mut unflushed, cx)).await;
            let _ = transport.close().await;
        };
        let closing = async {
            let mut closing = pin!(tokio::time::timeout(CLOSE_TIMEOUT, closing));
            if tokio::time::timeout(CLOSE_PATIENCE, closing.as_mut()).await.is_err() {
                drop(closes);
                let _ = closing.await;
            }
        };
        tokio::join!(closing, deliver(undelivered));
    }
}

type Undelivered = VecDeque<(mpsc::Sender<Delivery>, Delivery)>;

/// Whether something for this job waits already.
fn is_blocked(undelivered: &Undelivered, sender: &mpsc::Sender<Delivery>) -> bool {
    undelivered.iter().any(|(other, _)| other.same_channel(sender))
}

/// Delivers what is left. Whoever takes nothing holds up nobody else.
async fn deliver(undelivered: Undelivered) {
    let mut queues: Vec<(mpsc::Sender<Delivery>, Vec<Delivery>)> = Vec::new();
    for (sender, delivery) in undelivered {
        match queues.iter_mut().find(|(other, _)| other.same_channel(&sender)) {
            Some((_, queue)) => queue.push(delivery),
            None => queues.push((sender, vec![delivery])),
        }
    }
    let deliveries = queues.into_iter().map(|(sender, queue)| async move {
        for delivery in queue {
            if sender.send(delivery).await.is_err() {
                return;
            }
        }
    });
    join_all(deliveries).await;
}

/// Waits until one of the queues that are in the way has room, or its job is gone.
async fn room(undelivered: &Undelivered) {
    let senders = undelivered.iter().map(|(sender, _)| Box::pin(sender.reserve()));
    // Room or a closed queue: either way the next try gets on.
    drop(select_all(senders).await);
}

/// Writes everything that is to be written and flushes. Losing interest half-way loses nothing.
fn poll_write(
    transport: &mut BoxTransport,
    out: &mut VecDeque<Transmit>,
    unflushed: &mut bool,
    cx: &mut Context<'_>,
) -> Poll<Result<(), TransportError>> {
    let mut transport: Pin<&mut BoxTransport> = Pin::new(transport);
    while !out.is_empty() {
        ready!(transport.as_mut().poll_ready(cx))?;
        let frame = match out.pop_front() {
            Some(Transmit::Frame(text)) => Frame::Text(text),
            Some(Transmit::Close) => Frame::Close(CloseFrame::new(CloseCode::NORMAL, "")),
            None => break,
        };
        transport.as_mut().start_send(frame)?;
        *unflushed = true;
    }
    if *unflushed {
        ready!(transport.as_mut().poll_flush(cx))?;
        *unflushed = false;
    }
    Poll::Ready(Ok(()))
}
