//! The handle of a runtime.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arcp_core::Drawn;
use arcp_core::runtime::{Config, ResolvedAgent, Runtime as Machine, Tally};
#[cfg(doc)]
use arcp_transport::Peer;
use arcp_transport::{BoxTransport, Listener};
use tokio::task::AbortHandle;

use crate::agent::ErasedAgent;
use crate::builder::{RuntimeBuilder, Unauthenticated};
use crate::clock;
use crate::connection;
use crate::credentials::OutstandingCredentials;
use crate::driver::{Credentials, Door, Driver};
use crate::store::{Store, StoreError};
use crate::visitor::Visitor;

/// How long [`Runtime::shutdown`] waits for connections to be closed and agents to be gone.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// A runtime that hosts agents. Cheap to clone; all clones are the same runtime.
///
/// When the last clone is dropped its jobs end and its connections are closed, as by [`Runtime::shutdown`], but nobody
/// waits for it. Connections that are being served are no clones.
#[derive(Clone)]
pub struct Runtime(Arc<Owner>);

struct Owner {
    driver: Arc<Driver>,
    timer: AbortHandle,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.driver.shut_down();
        self.timer.abort();
    }
}

/// Whether a runtime can take work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// The store is being opened.
    Starting,
    /// It can.
    Ready,
    /// Its store has no room: until there is some, jobs that say anything end, and what would have to be written is refused.
    Full,
    /// It takes nothing new on, and stops once no job runs any more.
    Draining,
    /// It is shutting down.
    Stopping,
    /// Its store has failed; only a new runtime can help.
    Failed,
}

impl Runtime {
    /// Starts building a runtime.
    pub fn builder() -> RuntimeBuilder<Unauthenticated> {
        RuntimeBuilder::new()
    }

    pub(crate) fn start(
        config: Config,
        agents: HashMap<ResolvedAgent, Arc<dyn ErasedAgent>>,
        door: Door,
        store: Arc<dyn Store>,
        credentials: Option<Credentials>,
    ) -> Self {
        let inventory = config.agents.clone();
        let machine = Machine::new(config, Box::new(Drawn::from(clock::fill_random)));
        let driver = Driver::new(machine, inventory, agents, door, store, credentials);
        let opener = Arc::clone(&driver);
        tokio::spawn(async move { opener.open_store().await });
        if let Some(custody) = driver.custody() {
            let custody = Arc::clone(custody);
            driver.spawn(async move { custody.sweep().await });
        }
        let keeper = Arc::clone(&driver);
        let timer = tokio::spawn(async move { keeper.keep_time().await }).abort_handle();
        Self(Arc::new(Owner { driver, timer }))
    }

    /// Serves one connection until either side is through with it. Credentials are sent over it only if its peer is
    /// [`secure`](Peer::secure), or the runtime is [behind TLS](RuntimeBuilder::behind_tls). A [`Peer`] is a visitor of whom no
    /// more is known.
    ///
    /// The sessions and jobs that the connection carried live on when this returns, and when its future is dropped. The
    /// future does not keep the runtime alive.
    pub fn serve<V: Into<Visitor>>(
        &self,
        transport: BoxTransport,
        visitor: V,
    ) -> impl Future<Output = ()> + Send + use<V> {
        let driver = Arc::clone(&self.0.driver);
        let visitor = visitor.into();
        async move {
            let tasks = driver.tasks().clone();
            tasks.track_future(connection::serve(driver, transport, visitor)).await;
        }
    }

    /// Serves every connection of a listener, each in a task of its own, until the listener fails or the runtime is shut
    /// down.
    ///
    /// # Errors
    /// When the listener cannot accept any more.
    pub async fn serve_all(&self, mut listener: impl Listener) -> std::io::Result<()> {
        let mut health = self.0.driver.health().subscribe();
        loop {
            let stopped = health.wait_for(|health| matches!(health, Health::Stopping | Health::Failed));
            let accepted = tokio::select! {
                accepted = listener.accept_arrival() => accepted,
                _ = stopped => return Ok(()),
            };
            let (transport, visitor) = Visitor::arrived(accepted?);
            tracing::debug!(peer = ?visitor.peer(), "connection accepted");
            let driver = Arc::clone(&self.0.driver);
            self.0.driver.tasks().spawn(connection::serve(driver, transport, visitor));
        }
    }

    /// Whether the runtime can take work.
    pub fn health(&self) -> Health {
        *self.0.driver.health().borrow()
    }

    /// Waits until the store is open and the runtime has gone on from what is in it. Connections that are served before wait
    /// for the same.
    ///
    /// # Errors
    /// When the store has failed, or was opened and has failed since. The runtime is good for nothing then.
    pub async fn opened(&self) -> Result<(), Arc<StoreError>> {
        self.0.driver.opened().await;
        self.failure().map_or(Ok(()), Err)
    }

    /// Why the runtime has failed, if it has ([`Health::Failed`]).
    pub fn failure(&self) -> Option<Arc<StoreError>> {
        self.0.driver.failure()
    }

    /// Waits until the runtime is shutting down or has failed.
    pub async fn stopped(&self) -> Health {
        let mut health = self.0.driver.health().subscribe();
        let stopped = health.wait_for(|health| matches!(health, Health::Stopping | Health::Failed)).await;
        stopped.map_or(Health::Stopping, |health| *health)
    }

    /// How many provisioned credentials may be good at the upstream, for whoever watches over the runtime (§14).
    pub fn outstanding_credentials(&self) -> OutstandingCredentials {
        self.0.driver.custody().map(|custody| custody.counts()).unwrap_or_default()
    }

    /// What the runtime has counted since it began, and what it holds now: for metrics. It takes a look at every session, under the
    /// runtime's lock: ask once in a second or so.
    pub fn tally(&self) -> Tally {
        let mut tally = self.0.driver.with(|machine, _| machine.tally());
        let OutstandingCredentials { held, revoking, unrevocable, .. } = self.outstanding_credentials();
        tally.credentials.held = held as u64;
        tally.credentials.revoking = revoking as u64;
        tally.credentials.unrevocable = unrevocable as u64;
        tally
    }

    /// Takes no new sessions and no new jobs any more, tells those that run by a `status` event of phase `draining`, gives them
    /// `patience` to end, and then does [`shutdown`](Self::shutdown). Sessions can be resumed meanwhile. Returns what that does.
    ///
    /// When this future is dropped before its end, the runtime goes on to take nothing new.
    pub async fn drain(&self, patience: Duration) -> bool {
        let _ = tokio::time::timeout(patience, self.0.driver.drain()).await;
        self.shutdown().await
    }

    /// Ends every job with `INTERNAL_ERROR`, which invites clients to try again, sends what is still to be sent, closes
    /// every connection with 1001, has the store finish, and waits for all of that, 10 s at most. A connection is cut when it takes longer than
    /// 5 s; what credentials cannot be revoked meanwhile is left to the next run. Returns whether everything was gone by then; what is not is an agent that never yields.
    pub async fn shutdown(&self) -> bool {
        let driver = &self.0.driver;
        driver.shut_down();
        let gone = async {
            driver.tasks().wait().await;
            driver.close_store().await;
        };
        tokio::time::timeout(SHUTDOWN_TIMEOUT, gone).await.is_ok()
    }
}
