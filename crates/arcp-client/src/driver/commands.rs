//! The way from the handles of a session to its driver.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use arcp_core::client::{Loss, Opened, ResumeState};
use arcp_proto::job::{Accepted, Submit, Subscribe, Subscribed};
use arcp_proto::session::{Jobs, ListJobs};
use arcp_proto::{JobId, TraceContext};
use tokio::sync::{mpsc, oneshot, watch};

use super::deliveries::Inbox;
use crate::client::State;
use crate::error::RequestError;

pub(super) type Reply<T> = oneshot::Sender<Result<T, RequestError>>;

pub(super) enum Command {
    Submit {
        submit: Box<Submit>,
        trace: Option<TraceContext>,
        reply: Reply<(Box<Accepted>, Inbox)>,
    },
    Subscribe {
        subscribe: Subscribe,
        reply: Reply<(Box<Subscribed>, Inbox)>,
    },
    Unsubscribe {
        job_id: JobId,
    },
    List {
        list: Box<ListJobs>,
        reply: Reply<Box<Jobs>>,
    },
    Cancel {
        job_id: JobId,
        reason: Option<String>,
        reply: Reply<()>,
    },
    ResumeState {
        reply: oneshot::Sender<Option<ResumeState>>,
    },
    /// `done` is dropped when the session is closed.
    Close {
        reason: Option<String>,
        done: oneshot::Sender<()>,
    },
}

/// The way to the driver, which all handles of a session share.
#[derive(Clone)]
pub(crate) struct Commands {
    pub(super) sender: mpsc::Sender<Command>,
    pub(super) loss: Arc<OnceLock<Loss>>,
    pub(super) state: watch::Receiver<State>,
    pub(super) opened: Arc<RwLock<Arc<Opened>>>,
    pub(super) max_result_bytes: usize,
    pub(super) trace: Option<CurrentTrace>,
}

/// Tells which trace whoever asks is in.
pub(crate) type CurrentTrace = Arc<dyn Fn() -> Option<TraceContext> + Send + Sync>;

impl Commands {
    pub(crate) async fn submit(
        &self,
        submit: Submit,
        trace: Option<TraceContext>,
    ) -> Result<(Box<Accepted>, Inbox), RequestError> {
        self.ask(|reply| Command::Submit { submit: Box::new(submit), trace, reply }).await
    }

    pub(crate) async fn subscribe(
        &self,
        subscribe: Subscribe,
    ) -> Result<(Box<Subscribed>, Inbox), RequestError> {
        self.ask(|reply| Command::Subscribe { subscribe, reply }).await
    }

    /// Ends a subscription when there is room to say so; at the latest the end of the session ends it.
    pub(crate) fn unsubscribe(&self, job_id: JobId) {
        let _ = self.sender.try_send(Command::Unsubscribe { job_id });
    }

    pub(crate) async fn list(&self, list: ListJobs) -> Result<Box<Jobs>, RequestError> {
        self.ask(|reply| Command::List { list: Box::new(list), reply }).await
    }

    pub(crate) async fn cancel(&self, job_id: JobId, reason: Option<String>) -> Result<(), RequestError> {
        self.ask(|reply| Command::Cancel { job_id, reason, reply }).await
    }

    pub(crate) async fn resume_state(&self) -> Option<ResumeState> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(Command::ResumeState { reply }).await.ok()?;
        answer.await.ok()?
    }

    pub(crate) async fn close(&self, reason: Option<String>) {
        let (done, closed) = oneshot::channel();
        // If the driver is gone already, so is the session.
        let _ = self.sender.send(Command::Close { reason, done }).await;
        let _ = closed.await;
    }

    pub(crate) fn opened(&self) -> Arc<Opened> {
        Arc::clone(&self.opened.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How large a result may be that is put together in memory.
    pub(crate) fn max_result_bytes(&self) -> usize {
        self.max_result_bytes
    }

    /// Which trace whoever asks is in, if anybody can tell.
    pub(crate) fn current_trace(&self) -> Option<TraceContext> {
        self.trace.as_ref().and_then(|trace| trace())
    }

    pub(crate) fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        let ended = || RequestError::SessionEnded(self.loss());
        self.sender.send(command(reply)).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }

    /// Why the session has ended; asked only once it has.
    pub(crate) fn loss(&self) -> Loss {
        self.loss.get().copied().unwrap_or(Loss::ConnectionLost)
    }
}
