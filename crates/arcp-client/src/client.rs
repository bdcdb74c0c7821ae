//! The handle of a session, and how to get one.

use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::time::Duration;

use arcp_core::client::{Backoff, Config, Loss, Opened, ResumeState};
use arcp_proto::session::Peer;
use arcp_proto::{BearerToken, Features, JobId, TraceContext};
use arcp_transport::Connector;
use futures_util::future::BoxFuture;

use crate::driver::{self, Commands, CurrentTrace, Tokens};
use crate::error::{ConnectError, RequestError};
use crate::observe::{List, Subscribe};
use crate::submit::Submit;

/// A streamed result of which more is not kept, if nothing is said: as much as a runtime sends by default.
const MAX_RESULT_BYTES: usize = 256 << 20;

/// A client with an open session. Cheap to clone; all clones are the same session.
///
/// The session is closed when the last clone and the last of its [`Job`](crate::Job)s are dropped, or by
/// [`Client::close`]. Jobs run on at the runtime either way.
#[derive(Clone)]
pub struct Client {
    commands: Commands,
}

/// Opens a session with the runtime at a `ws://` or `wss://` URL (§6.2). The default path is `/arcp`.
///
/// `wss://` trusts the system's roots. For more say, use [`Client::connect`] with a connector of your own.
///
/// # Errors
/// When the URL is none, the runtime cannot be reached, or it refuses the token. Dropping the future gives up.
#[cfg(feature = "ws")]
pub async fn connect(url: impl AsRef<str>, token: impl Into<BearerToken>) -> Result<Client, ConnectError> {
    let connector = arcp_transport_ws::WsConnector::new(url.as_ref())?;
    Client::connect(connector, token).await
}

impl Client {
    /// Opens a session over a connector's transport. Await what it returns, or set it up first.
    pub fn connect(connector: impl Connector, token: impl Into<BearerToken>) -> Connect {
        let identity = Peer { name: "arcp-client".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
        let mut config = Config::new(identity, token.into());
        config.reconnect = Some(Backoff::default());
        Connect {
            connector: Arc::new(connector),
            config,
            tokens: None,
            max_result_bytes: MAX_RESULT_BYTES,
            trace: None,
        }
    }

    /// What the runtime said of itself and of the session: its id, features and agents. After [`State::Renewed`] it is what was
    /// said of the session that is open now.
    pub fn opened(&self) -> Arc<Opened> {
        self.commands.opened()
    }

    /// Starts a submit to an agent, `name` or `name@version` (§7.5). Await what it returns, or set it up first.
    pub fn submit(&self, agent: impl AsRef<str>) -> Submit {
        Submit::new(self.commands.clone(), agent.as_ref())
    }

    /// Starts a listing of the jobs that may be seen (§6.6).
    pub fn jobs(&self) -> List {
        List::new(self.commands.clone())
    }

    /// Starts a subscription to a job that another session submitted, or this one (§7.6). Await what it returns, or set it up
    /// first.
    pub fn subscribe(&self, job_id: &JobId) -> Subscribe {
        Subscribe::new(self.commands.clone(), job_id.clone())
    }

    /// Cancels a job of this session by its id (§7.4), such as one that an earlier process submitted in it.
    ///
    /// # Errors
    /// When the runtime refuses, does not answer in time, or the session has ended.
    pub async fn cancel(&self, job_id: &JobId) -> Result<(), RequestError> {
        self.commands.cancel(job_id.clone(), None).await
    }

    /// The same, with a reason that the runtime passes on.
    ///
    /// # Errors
    /// As [`Client::cancel`].
    pub async fn cancel_because(
        &self,
        job_id: &JobId,
        reason: impl Into<String>,
    ) -> Result<(), RequestError> {
        self.commands.cancel(job_id.clone(), Some(reason.into())).await
    }

    /// How the connection is, now and whenever that changes.
    pub fn state(&self) -> tokio::sync::watch::Receiver<State> {
        self.commands.state()
    }

    /// What a process saves to resume this session in another: see [`Connect::resume`]. `None` if the runtime does not resume
    /// sessions, or this one has ended. It is a secret, and good until the session is resumed next.
    pub async fn resume_state(&self) -> Option<ResumeState> {
        self.commands.resume_state().await
    }

    /// Closes the session in order (§6.7) and waits until that is done, half a second or so at most against a runtime
    /// that does not answer. Jobs run on at the runtime; [`Job`](crate::Job)s of this session end here.
    pub async fn close(self) {
        self.commands.close(None).await;
    }
}

/// How the connection of a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// It is there.
    Connected,
    /// It was lost, and is being made again. Nothing is lost: what is asked now waits, what happens at the runtime is kept.
    Reconnecting,
    /// The runtime no longer keeps the session that was lost, or could not be reached for as long as it keeps it. Another is
    /// being opened.
    Renewing,
    /// Another session is open in its place. The [`Job`](crate::Job)s of the one before go on as subscriptions, from where they
    /// were: [`Job::has_missed`](crate::Job::has_missed) says whether some of a job's events were no longer kept. They can no
    /// longer be cancelled: that takes the session that submitted them (§7.4). A connection that is lost and made again after
    /// this is `Connected`.
    Renewed,
    /// The session is over.
    Ended(Loss),
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("opened", &self.opened()).finish_non_exhaustive()
    }
}

/// A session about to be opened; await it.
#[must_use = "nothing is connected until this is awaited"]
pub struct Connect {
    connector: Arc<dyn Connector>,
    config: Config,
    tokens: Option<Tokens>,
    max_result_bytes: usize,
    trace: Option<CurrentTrace>,
}

impl Connect {
    /// What this client calls itself.
    pub fn identity(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.config.identity = Peer { name: name.into(), version: version.into() };
        self
    }

    /// Asks for these features only (§6.2).
    pub fn features(mut self, features: Features) -> Self {
        self.config.features = features;
        self
    }

    /// How long to wait for the runtime's welcome; 10 s if nothing is said.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.config.handshake_timeout = timeout;
        self
    }

    /// How long to wait for the answer to a request; 30 s if nothing is said.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.config.request_timeout = timeout;
        self
    }

    /// How large a streamed result may be, decoded, that is put together in memory; 256 MiB if nothing is said. One above it is
    /// [`JobError::TooLarge`](crate::JobError::TooLarge), unless it is read as a [`Job::result_stream`](crate::Job::result_stream).
    pub fn max_result_bytes(mut self, limit: usize) -> Self {
        self.max_result_bytes = limit;
        self
    }

    /// How to come back after the connection was lost: after 100 ms at first, 10 s at last, and for 15 minutes, if nothing is
    /// said; later where the runtime wants it, see [`Backoff`].
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.config.reconnect = Some(backoff);
        self
    }

    /// Has a token asked for each time that the connection is made again, in place of the one before: for tokens that expire, as
    /// JWTs do. A runtime closes the connection that it has let in with one at its end, and the session is then resumed with the
    /// next. An error is logged and asked about again later, as is an answer that is not there within 30 s. Without this
    /// the first token is shown again, and a session whose token has expired ends with [`Loss::Refused`] when its connection
    /// does.
    ///
    /// It must be the same principal's: nobody else may resume the session.
    pub fn renew_token<F, T, E>(mut self, ask: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<BearerToken>,
        E: std::fmt::Display,
    {
        self.tokens = Some(Arc::new(move || {
            let asked = ask();
            Box::pin(async { asked.await.map(Into::into).map_err(|error| error.to_string()) })
        }));
        self
    }

    /// Ends the session when the connection is lost.
    pub fn without_reconnect(mut self) -> Self {
        self.config.reconnect = None;
        self
    }

    /// Has whoever submits asked, at [`Client::submit`], which trace it is in, so that its job continues that (§11): for OpenTelemetry,
    /// `.trace(arcp_otel::current)`. [`Submit::trace`] is heard first.
    pub fn trace(mut self, current: impl Fn() -> Option<TraceContext> + Send + Sync + 'static) -> Self {
        self.trace = Some(Arc::new(current));
        self
    }

    /// Resumes the session that another process has left, instead of opening a new one (§6.3). Jobs of that session are not
    /// given back as [`Job`](crate::Job)s: [`Client::subscribe`] to them, or [`Client::cancel`] them.
    pub fn resume(mut self, state: ResumeState) -> Self {
        self.config.resume = Some(state);
        self
    }

    async fn open(self) -> Result<Client, ConnectError> {
        let transport = self.connector.connect().await?;
        let commands = driver::open(
            (self.connector, self.tokens),
            transport,
            self.config,
            self.max_result_bytes,
            self.trace,
        )
        .await?;
        Ok(Client { commands })
    }
}

impl IntoFuture for Connect {
    type Output = Result<Client, ConnectError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        fn boxed<F: Future + Send + 'static>(future: F) -> BoxFuture<'static, F::Output> {
            Box::pin(future)
        }
        boxed(self.open())
    }
}
