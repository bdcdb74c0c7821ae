//! `arcp serve`: a runtime over WebSocket, with health endpoints.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use arcp::axum::{Mount, Server};
use arcp::proto::BearerToken;
use arcp::runtime::{
    Authenticated, Health, Limits, ModelPolicy, Observation, ObservationPolicy, Principal, QuirkPolicy,
    Runtime, RuntimeBuilder, StaticTokens,
};
use arcp::stdio::{StdioConfig, stdio};
use arcp::transport::Peer;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use crate::edge::{self, Edge, Tls};
use crate::exit::{self, Failure};
use crate::gateway::{self, Gateway};
use crate::jwt::JwtArguments;
use crate::log::Voice;
use crate::secrets;
use crate::signals::{Hangups, Signals};
use crate::store::StoreArguments;
use crate::telemetry::{self, Telemetry, TelemetryArguments};

#[derive(clap::Args)]
pub(crate) struct Serve {
    /// Where to listen; port 0 takes a free one. The URL is printed on stderr when the runtime is ready.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7777")]
    listen: String,

    /// Serve one client over stdin and stdout instead, one envelope a line, and end when stdin does. What is told to it is kept in
    /// memory, if --store does not say otherwise.
    #[arg(long, conflicts_with_all = ["listen", "allow_origin", "behind_tls", "max_connections", "max_connections_per_address"])]
    stdio: bool,

    /// Let a principal in with a bearer token. Repeatable. Anybody on this machine can read it in the list of processes:
    /// prefer --token-file.
    #[arg(long, value_name = "TOKEN=PRINCIPAL")]
    token: Vec<String>,

    /// The same, from a file with one TOKEN=PRINCIPAL a line. Empty lines and lines that begin with # are skipped.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Make a token for the principal `dev` and print it.
    #[arg(long)]
    dev_token: bool,

    #[command(flatten)]
    jwt: JwtArguments,

    #[command(flatten)]
    edge: Edge,

    #[command(flatten)]
    store: StoreArguments,

    /// Host the fixture agents: echo, count, sleep, stubborn, progress, stream, kinds, operate, delegate, rotate, fail,
    /// typed, versioned, whoami.
    #[arg(long)]
    fixtures: bool,

    /// Which sessions are served with deviations from the protocol that published clients need: those of known ones (auto), none
    /// (off), or every session, with quirks of these names.
    #[arg(long, value_name = "auto|off|NAME,…", default_value = "auto")]
    quirks: QuirkPolicy,

    #[command(flatten)]
    gateway: Gateway,

    #[command(flatten)]
    telemetry: TelemetryArguments,

    /// Let the first principal observe the jobs of the second. Repeatable; nobody sees the jobs of others by default.
    #[arg(long, value_name = "PRINCIPAL=PRINCIPAL")]
    observe: Vec<String>,

    /// Let a job use no model that its lease does not name. Otherwise a lease that does not speak of models allows any.
    #[arg(long)]
    require_model_use: bool,

    /// Let pages of this browser origin in, such as https://console.example.com. Repeatable; none by default.
    #[arg(long, value_name = "ORIGIN")]
    allow_origin: Vec<String>,

    /// How often each side of a session shows life; a client that is silent for two of these is disconnected.
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    heartbeat_interval: u64,

    /// How many events a client may lag behind its acknowledgements before a status event of phase back_pressure says so.
    #[arg(long, value_name = "N", default_value_t = 16_384, value_parser = clap::value_parser!(u64).range(1..))]
    back_pressure_lag: u64,

    /// How long after a disconnect a session can be resumed.
    #[arg(long, value_name = "SECS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    resume_window: u64,

    /// How long a job is remembered after its end, with its log.
    #[arg(long, value_name = "SECS", default_value_t = 604_800, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    job_retention: u64,

    /// How long an idempotency key is remembered, with the job that it stands for.
    #[arg(long, value_name = "SECS", default_value_t = 86_400, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    idempotency_window: u64,

    /// Threads that serve connections and run agents; by default one for two processors, and four at most. One lock is behind all
    /// sessions, so that more are soon in each other's way. Files, the store and what agents compute aside have threads of their own.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    threads: Option<u16>,

    /// Events kept for the resume of one session.
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = at_least_one)]
    buffer_events: usize,

    /// Bytes of events kept for the resume of one session.
    #[arg(long, value_name = "N", default_value_t = 16 << 20, value_parser = at_least_one)]
    buffer_bytes: usize,

    /// Bytes of events kept for the resumes of all sessions together; beyond it those that keep most forget their oldest.
    #[arg(long, value_name = "N", default_value_t = 512 << 20, value_parser = at_least_one)]
    all_buffer_bytes: usize,

    /// Events of one job kept for those who subscribe later.
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = at_least_one)]
    history_events: usize,

    /// Bytes of events of all jobs together kept for those who subscribe later; beyond it jobs that have ended forget theirs first.
    #[arg(long, value_name = "N", default_value_t = 64 << 20, value_parser = at_least_one)]
    history_bytes: usize,

    /// The largest frame that is read.
    #[arg(long, value_name = "N", default_value_t = 1 << 20, value_parser = at_least_one)]
    max_frame_bytes: usize,

    /// One chunk of a streamed result, decoded.
    #[arg(long, value_name = "N", default_value_t = 512 << 10, value_parser = at_least_one)]
    max_chunk_bytes: usize,

    /// A whole streamed result, decoded.
    #[arg(long, value_name = "N", default_value_t = 256 << 20, value_parser = at_least_one)]
    max_result_bytes: usize,

    /// Sessions of one principal.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    max_sessions_per_principal: usize,

    /// How long a session may carry nothing but heartbeats before it makes room for another of its principal at that limit.
    #[arg(long, value_name = "SECS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..=31_536_000))]
    idle_after: u64,

    /// Jobs of one session that run at a time.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    max_jobs_per_session: usize,

    /// How long a connection has for a TLS handshake, for the head of its request, and then to introduce itself; each by itself.
    #[arg(long, value_name = "SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    handshake_timeout: u64,

    /// How long running jobs have to end after SIGTERM or SIGINT. Meanwhile nothing new is taken on; what runs longer ends in an
    /// error that invites to try again. A second signal stops at once.
    #[arg(long, value_name = "SECS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    drain: u64,

    /// How long an agent may ignore a cancellation before its task is aborted.
    #[arg(long, value_name = "SECS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    cancel_grace: u64,
}

impl Serve {
    /// How many threads serve connections and run agents.
    pub(crate) fn threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or((processors / 2).clamp(1, 4), usize::from)
    }
}

pub(crate) fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(number) => Ok(number),
        Err(_) => Err("not a whole number".to_owned()),
    }
}

pub(crate) async fn run(serve: Serve) -> Result<(), Failure> {
    let asked = Asked { signals: Signals::listen()?, hangups: Hangups::listen()? }; // before anybody is told that there is something to stop
    let telemetry = serve.telemetry.start()?;
    let outcome = host(serve, asked, &telemetry).await;
    telemetry.finish().await;
    outcome
}

async fn host(serve: Serve, asked: Asked, telemetry: &Telemetry) -> Result<(), Failure> {
    for path in [serve.token_file.as_deref(), serve.edge.tls_key()].into_iter().flatten() {
        secrets::warning(path).iter().for_each(|warning| Voice::Runtime.warn(warning));
    }
    let callers = serve.edge.callers(serve.jwt.add(tokens(&serve)?)?);
    let tls = serve.edge.tls().await?;
    let observers = observers(&serve.observe)?;
    let mut builder = Runtime::builder()
        .observation(observers)
        .identity("arcp", env!("CARGO_PKG_VERSION"))
        .authenticator(callers)
        .rate_limits(serve.edge.rates())
        .models(if serve.require_model_use { ModelPolicy::Required } else { ModelPolicy::Optional })
        .quirks(serve.quirks)
        .limits(limits(&serve));
    builder = telemetry.trace(builder);
    builder = serve.store.add(builder, serve.stdio)?;
    builder = gateway::add(builder, &serve.gateway)?;
    if serve.fixtures {
        builder = arcp_testing::with_fixtures(builder);
    } else {
        tracing::warn!("no agent is hosted: --fixtures hosts the fixture agents");
    }
    if serve.stdio {
        let runtime = open(builder).await?;
        telemetry.measure(&runtime);
        return serve_pipes(&serve, runtime, asked).await;
    }
    // First of all, for once the store is open it is known to everybody that the last runtime is no more.
    let server = Server::bind(serve.listen.as_str()).await;
    let server = server.with_context(|| format!("cannot listen at {}", serve.listen));
    let mut server = server.map_err(|error| Failure::new(exit::USAGE, error))?;
    let deadline = Duration::from_secs(serve.handshake_timeout);
    server = serve.edge.apply(server, serve.gateway.is_behind_tls(), deadline);
    let speaks_tls = tls.is_some();
    if let Some(tls) = &tls {
        server = server.tls(tls.settings());
    }
    let metrics_server = telemetry.listen().await?;
    let runtime = open(builder).await?;
    let metrics = telemetry.measure(&runtime);
    let address = server.local_addr()?;
    if !speaks_tls {
        serve.gateway.warn_of(address);
    }
    announce(&edge::url(address, speaks_tls))?;

    let (stopping, patience) = (runtime.clone(), Duration::from_secs(serve.drain));
    let stop = async move {
        stop_requested(&stopping, asked, tls).await;
        stopping.drain(patience).await
    };
    let (stopped, done) = tokio::sync::oneshot::channel();
    let stop = async move {
        let _ = stopped.send(stop.await); // the other end waits below
    };
    let router = telemetry.add(router(&serve, &runtime), &metrics).with_state(runtime.clone());
    tokio::select! {
        () = server.serve(router, stop) => {}
        () = telemetry::serve(metrics_server, metrics) => {}
    }
    end(&runtime, done.await.unwrap_or(true))
}

/// A runtime that has gone on from its store.
async fn open(builder: RuntimeBuilder<Authenticated>) -> Result<Runtime, Failure> {
    let runtime = builder.build().map_err(Failure::usage)?;
    runtime.opened().await.map_err(|error| Failure::new(exit::USAGE, anyhow::Error::new(error)))?;
    Ok(runtime)
}

/// Serves the client at the other end of this program's own pipes, until either goes.
async fn serve_pipes(serve: &Serve, runtime: Runtime, asked: Asked) -> Result<(), Failure> {
    let config = StdioConfig { max_frame_bytes: serve.max_frame_bytes, ..StdioConfig::server() };
    let client = runtime.serve(Box::pin(stdio(config)), Peer::LOCAL);
    let everything = tokio::select! {
        () = client => runtime.shutdown().await,
        () = stop_requested(&runtime, asked, None) => runtime.drain(Duration::from_secs(serve.drain)).await,
    };
    end(&runtime, everything)
}

/// How the program ends. What was left undone is said.
fn end(runtime: &Runtime, everything: bool) -> Result<(), Failure> {
    match runtime.failure() {
        Some(error) => Err(Failure::new(exit::JOB, anyhow::Error::new(error))),
        None if everything => Ok(()),
        None => Err(Failure::new(
            exit::JOB,
            anyhow::anyhow!(
                "not everything could be ended or written in time: what clients have seen is kept, what they have not may be lost"
            ),
        )),
    }
}

fn router(serve: &Serve, runtime: &Runtime) -> Router<Runtime> {
    let mut mount = Mount::new(runtime.clone()).max_frame_bytes(serve.max_frame_bytes);
    for origin in &serve.allow_origin {
        mount = mount.allow_origin(origin);
    }
    Router::new()
        .route("/arcp", mount.into_route())
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
}

async fn ready(State(runtime): State<Runtime>) -> (StatusCode, &'static str) {
    match runtime.health() {
        Health::Ready => (StatusCode::OK, "ready\n"),
        Health::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Health::Full => (StatusCode::SERVICE_UNAVAILABLE, "store is full\n"),
        Health::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Health::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "failed\n"),
    }
}

fn limits(serve: &Serve) -> Limits {
    let defaults = Limits::default();
    Limits {
        handshake_timeout: Duration::from_secs(serve.handshake_timeout),
        heartbeat_interval: Duration::from_secs(serve.heartbeat_interval),
        back_pressure_lag: serve.back_pressure_lag,
        resume_window: Duration::from_secs(serve.resume_window),
        job_retention: Duration::from_secs(serve.job_retention),
        idempotency_window: Duration::from_secs(serve.idempotency_window),
        sessions_per_principal: serve.max_sessions_per_principal,
        jobs_per_session: serve.max_jobs_per_session,
        buffer_events: serve.buffer_events,
        buffer_bytes: serve.buffer_bytes,
        all_buffer_bytes: serve.all_buffer_bytes,
        history_events: serve.history_events,
        history_bytes: serve.history_bytes,
        idle_after: Duration::from_secs(serve.idle_after),
        chunk_bytes: serve.max_chunk_bytes,
        result_bytes: serve.max_result_bytes,
        cancel_grace: Duration::from_secs(serve.cancel_grace),
        ..defaults
    }
}

/// Every token that lets somebody in. Errors never repeat one.
fn tokens(serve: &Serve) -> Result<StaticTokens, Failure> {
    let mut known = Known::default();
    for (index, text) in serve.token.iter().enumerate() {
        known.add(text, || format!("--token number {}", index + 1))?;
    }
    if let Some(path) = &serve.token_file {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
        let text = text.map_err(|error| Failure::new(exit::USAGE, error))?;
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                known.add(line, || format!("{}:{}", path.display(), index + 1))?;
            }
        }
    }
    let mut tokens = known.tokens;
    let mut none =
        known.principals.is_empty() && !serve.jwt.are_given() && !serve.edge.lets_certificates_in();
    if serve.dev_token {
        let token = dev_token()?;
        writeln!(std::io::stderr(), "token of the principal dev: {}", token.expose())?;
        tokens = tokens.token(token, "dev");
        none = false;
    }
    if none {
        let message = "nobody could get in: give --token TOKEN=PRINCIPAL, --token-file FILE, --dev-token, --jwt-issuer URL or --client-cert-principal";
        return Err(Failure::usage(message));
    }
    Ok(tokens)
}

/// Tokens that were given, and whose they are by their digests.
#[derive(Default)]
struct Known {
    tokens: StaticTokens,
    /// The principal, and where the token was given first.
    principals: HashMap<[u8; 32], (String, String)>,
}

impl Known {
    /// Adds a token from where it was given. One token cannot be two principals': who was let in would be anybody's guess. Neither
    /// side is repeated in errors: somebody may have taken one for the other.
    fn add(&mut self, text: &str, place: impl Fn() -> String) -> Result<(), Failure> {
        let (token, principal) = token_of(text).ok_or_else(|| {
            Failure::usage(format!("{}: not TOKEN=PRINCIPAL, both of them not empty", place()))
        })?;
        let token = BearerToken::new(token);
        let digest = *token.digest().as_bytes();
        let (known, first) = self.principals.entry(digest).or_insert_with(|| (principal.to_owned(), place()));
        if known != principal {
            let message = format!("{}: this token is that of another principal, too: {first}", place());
            return Err(Failure::usage(message));
        }
        self.tokens = std::mem::take(&mut self.tokens).token(token, principal);
        Ok(())
    }
}

/// A token may contain `=`, a principal may not.
fn token_of(text: &str) -> Option<(&str, &str)> {
    text.rsplit_once('=').filter(|(token, principal)| !token.is_empty() && !principal.is_empty())
}

/// Pairs of principals: the first may observe the jobs of the second.
struct Observers(Vec<(String, String)>);

impl ObservationPolicy for Observers {
    fn observation(&self, observer: &Principal, owner: &Principal) -> Observation {
        let named =
            |(first, second): &(String, String)| first == observer.as_str() && second == owner.as_str();
        if self.0.iter().any(named) { Observation::Allowed } else { Observation::Hidden }
    }
}

fn observers(pairs: &[String]) -> Result<Observers, Failure> {
    let pair = |text: &String| {
        let (observer, owner) = token_of(text)
            .ok_or_else(|| Failure::usage(format!("--observe {text}: not PRINCIPAL=PRINCIPAL")))?;
        Ok((observer.to_owned(), owner.to_owned()))
    };
    pairs.iter().map(pair).collect::<Result<_, _>>().map(Observers)
}

fn dev_token() -> Result<BearerToken, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(exit::JOB, anyhow::anyhow!("no random bits: {error}")))?;
    Ok(BearerToken::new(format!("dev_{:032x}", u128::from_le_bytes(bytes))))
}

/// One line that a script can wait for.
fn announce(url: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stderr(), "listening on {url}")?)
}

/// What an operator asks of a runtime that runs.
struct Asked {
    signals: Signals,
    hangups: Hangups,
}

/// Waits for SIGINT or SIGTERM, for the terminal to be closed, or for the runtime to stop by itself. A second SIGINT or SIGTERM ends the
/// program at once.
async fn stop_requested(runtime: &Runtime, asked: Asked, tls: Option<Tls>) {
    let Asked { mut signals, hangups } = asked;
    tokio::select! {
        () = signals.next() => {}
        () = hung_up(hangups, tls) => {}
        _ = runtime.stopped() => return,
    }
    tracing::info!("stopping once no job runs any more; a second signal stops at once");
    tokio::spawn(async move {
        signals.next().await;
        std::process::exit(i32::from(exit::INTERRUPTED));
    });
}

/// Does at each SIGHUP what there is to do, until one says that the terminal is closed in which the program was started.
async fn hung_up(mut hangups: Hangups, tls: Option<Tls>) {
    loop {
        hangups.next().await;
        match &tls {
            _ if hangups.terminal_is_gone() => break,
            Some(tls) => tls.read_again().await,
            // Without files to read again it is a shell that says so before its terminal is gone.
            None if hangups.in_terminal() => break,
            None => tracing::info!("SIGHUP: there is nothing to read again, as there is no --tls-cert"),
        }
    }
    tracing::info!("the terminal is closed");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_contain_the_separator() {
        assert_eq!(token_of("abc==alice"), Some(("abc=", "alice")));
        for bad in ["", "abc", "=alice", "abc="] {
            assert_eq!(token_of(bad), None, "{bad}");
        }
    }
}
