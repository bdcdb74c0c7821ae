//! A runtime behind axum on a free port, and the agents that tests can hold and let go.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arcp_axum::{Mount, Server};
use arcp_client::{Client, Connect, Event, Job};
use arcp_runtime::proto::event::Body;
use arcp_runtime::{
    AgentError, Authenticated, JobContext, Limits, Runtime, RuntimeBuilder, StaticTokens, agent_fn,
};
use arcp_testing::with_fixtures;
use futures_util::StreamExt;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::Wrongs;

/// The token of a principal. Long and odd, so that it is found wherever it leaks.
pub(crate) fn token(principal: &str) -> String {
    format!("tok-canary-9f2c-{principal}")
}

/// What the agents of a host share with its test.
#[derive(Clone)]
pub(crate) struct Stage {
    /// Each permit lets one `gated` job go on to its end.
    pub(crate) gate: Arc<Semaphore>,
    /// Events that `flood` jobs have emitted.
    pub(crate) emitted: Arc<AtomicU64>,
}

impl Stage {
    fn new() -> Self {
        Self { gate: Arc::new(Semaphore::new(0)), emitted: Arc::default() }
    }

    /// Adds `gated`, which waits for the test and returns `"through"`, and `flood`, which emits what it is given until it
    /// has done so `n` times.
    fn add_to(&self, builder: RuntimeBuilder<Authenticated>) -> RuntimeBuilder<Authenticated> {
        let Self { gate, emitted } = self.clone();
        let gated = agent_fn(move |ctx: JobContext, _: Value| {
            let gate = Arc::clone(&gate);
            async move {
                ctx.status("waiting").await?;
                let permit = ctx.until_stopped(gate.acquire()).await??;
                permit.forget();
                ctx.status("leaving").await?;
                Ok::<_, AgentError>("through")
            }
        });
        let flood = agent_fn(move |ctx: JobContext, (n, text): (u64, String)| {
            let emitted = Arc::clone(&emitted);
            async move {
                for _ in 0..n {
                    ctx.info(text.as_str()).await?;
                    emitted.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, AgentError>(n)
            }
        });
        builder.agent("gated@1.0.0", gated).agent("flood@1.0.0", flood)
    }

    /// Lets so many `gated` jobs go on.
    pub(crate) fn open(&self, jobs: usize) {
        self.gate.add_permits(jobs);
    }
}

/// A runtime with the fixtures and the agents of a [`Stage`].
pub(crate) fn runtime(limits: Limits) -> (Runtime, Stage) {
    let tokens = ["alice", "bob", "carol"]
        .into_iter()
        .fold(StaticTokens::new(), |tokens, principal| tokens.token(token(principal), principal));
    let stage = Stage::new();
    let builder = Runtime::builder().authenticator(tokens).limits(limits);
    let runtime = stage.add_to(with_fixtures(builder)).build().unwrap();
    (runtime, stage)
}

/// A runtime that listens. Dropping it ends both.
pub(crate) struct Host {
    pub(crate) runtime: Runtime,
    pub(crate) address: SocketAddr,
    pub(crate) stage: Stage,
    server: AbortHandle,
    wrongs: Wrongs,
}

impl Host {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default(), |mount| mount).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> Self {
        Self::with(limits, |mount| mount).await
    }

    pub(crate) async fn with(limits: Limits, mount: impl FnOnce(Mount) -> Mount) -> Self {
        let (runtime, stage) = runtime(limits);
        let route = mount(Mount::new(runtime.clone())).into_route();
        let server = Server::bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr().unwrap();
        let router = axum::Router::new().route("/arcp", route);
        let server = tokio::spawn(server.serve(router, std::future::pending())).abort_handle();
        Self { runtime, address, stage, server, wrongs: Wrongs::default() }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}", self.address)
    }

    pub(crate) async fn client(&self, principal: &str) -> Client {
        self.connect(&self.url(), principal).await.unwrap()
    }

    /// A client whose session ends with its connection.
    pub(crate) async fn fragile_client(&self, principal: &str) -> Client {
        self.connect(&self.url(), principal).without_reconnect().await.unwrap()
    }

    /// A client, by whatever way to this host, whose every word is held to the protocol, and its runtime's too.
    pub(crate) fn connect(&self, url: &str, principal: &str) -> Connect {
        let connector = arcp_client::ws::WsConnector::new(url).unwrap();
        Client::connect(self.wrongs.tap(connector), token(principal))
    }
}

/// A client whose session ends with its connection.
pub(crate) async fn fragile_client(url: &str, principal: &str) -> Client {
    let connector = arcp_client::ws::WsConnector::new(url).unwrap();
    Client::connect(connector, token(principal)).without_reconnect().await.unwrap()
}

/// A client of a runtime in this process, over a link in memory.
pub(crate) async fn memory_client(runtime: &Runtime, principal: &str) -> Client {
    let (connector, listener) = arcp_transport::memory::listener();
    let runtime = runtime.clone();
    tokio::spawn(async move { runtime.serve_all(listener).await });
    Client::connect(connector, token(principal)).await.unwrap()
}

impl Drop for Host {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A session with a running job, opened before something bad happens to somebody else.
pub(crate) struct Neighbour {
    client: Client,
    job: Job,
}

impl Neighbour {
    pub(crate) async fn of(host: &Host) -> Self {
        let client = host.client("carol").await;
        let mut job = client.submit("gated").await.unwrap();
        assert_eq!(phase(&next(&mut job).await), "waiting");
        Self { client, job }
    }

    /// Goes on undisturbed, and ends well.
    pub(crate) async fn ends_well(mut self, host: &Host) {
        host.stage.open(1);
        assert_eq!(phase(&next(&mut self.job).await), "leaving");
        assert_eq!(self.job.result::<String>().await.unwrap(), "through");
        let mut echo = self.client.submit("echo").input(&1).await.unwrap();
        assert_eq!(echo.result::<Value>().await.unwrap()["echoed"], 1);
        self.client.close().await;
    }
}

pub(crate) async fn next(job: &mut Job) -> Event {
    job.next().await.expect("the job goes on")
}

pub(crate) fn phase(event: &Event) -> &str {
    match &event.body {
        Body::Status(status) => &status.phase,
        other => panic!("not a status: {other:?}"),
    }
}
