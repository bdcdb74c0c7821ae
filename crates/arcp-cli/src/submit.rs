//! `arcp submit`: one job, from its input to its result.

mod show;

use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use arcp::client::{ConnectError, JobError, RequestError};
use arcp::proto::{BearerToken, Json, Lease};
use arcp::ws::WsConnector;
use arcp::{Client, Job};
use futures_util::StreamExt;

use self::show::Show;
use crate::exit::{self, Failure};

#[derive(clap::Args)]
pub(crate) struct Submit {
    /// Which agent: NAME or NAME@VERSION.
    agent: String,

    /// The runtime.
    #[arg(long, env = "ARCP_URL", default_value = "ws://127.0.0.1:7777/arcp")]
    url: String,

    /// The bearer token. Anybody on this machine can read it in the list of processes: prefer the variable.
    #[arg(long, env = "ARCP_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// What the agent is given: JSON, @FILE with JSON in it, or - for JSON on stdin.
    #[arg(long, value_name = "JSON|@FILE|-", default_value = "null")]
    input: String,

    /// What the job asks to be allowed to do, such as {"fs.read":["/data/**"]}.
    #[arg(long, value_name = "JSON")]
    lease: Option<String>,

    /// Makes the submit safe to repeat: the same key with the same input is the same job.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// End the job when it has run this long.
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    max_runtime: Option<u64>,

    /// Give up when the connection is lost, instead of making it again.
    #[arg(long)]
    no_reconnect: bool,

    /// Print everything as JSON, one object a line, on stdout.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(submit: Submit) -> Result<(), Failure> {
    let input = input_of(&submit.input)?;
    let lease = lease_of(submit.lease.as_deref())?;
    let Some(token) = submit.token.map(BearerToken::new) else {
        return Err(Failure::usage("no token: set ARCP_TOKEN, or give --token"));
    };
    let connector = WsConnector::new(&submit.url).map_err(Failure::usage)?;
    let mut show = Show::new(submit.json);

    let mut connect = Client::connect(connector, token).identity("arcp", env!("CARGO_PKG_VERSION"));
    if submit.no_reconnect {
        connect = connect.without_reconnect();
    }
    let client = connect.await.map_err(connection_failure)?;
    let mut request = client.submit(&submit.agent).input(&input).lease(lease);
    if let Some(key) = submit.idempotency_key {
        request = request.idempotency_key(key);
    }
    if let Some(seconds) = submit.max_runtime {
        request = request.max_runtime(Duration::from_secs(seconds));
    }
    let job = request.await.map_err(request_failure)?;
    let outcome = follow(&client, job, &mut show).await;
    client.close().await;
    outcome
}

/// Shows the job until it has ended. Interrupted once, it cancels the job; twice, it leaves it running.
async fn follow(client: &Client, mut job: Job, show: &mut Show) -> Result<(), Failure> {
    let mut state = client.state();
    show.accepted(job.accepted())?;
    let mut interrupted = false;
    loop {
        let event = tokio::select! {
            event = job.next() => event,
            Ok(()) = state.changed() => {
                let state = *state.borrow_and_update();
                show.state(state)?;
                continue;
            }
            _ = tokio::signal::ctrl_c(), if !interrupted => {
                interrupted = true;
                show.note("cancelling; interrupt again to leave the job running")?;
                cancel(&job).await?;
                continue;
            }
            _ = tokio::signal::ctrl_c(), if interrupted => {
                show.note(&format!("job {} is left running", job.id()))?;
                return Err(Failure::silent(exit::INTERRUPTED));
            }
        };
        match event {
            Some(event) => show.event(&event)?,
            None => break,
        }
    }
    match job.result_json().await {
        Ok(result) => Ok(show.result(&result)?),
        Err(error) => {
            show.error(&error)?;
            let lost = matches!(error, JobError::SessionEnded(_));
            Err(Failure::silent(if lost { exit::CONNECTION } else { exit::JOB }))
        }
    }
}

async fn cancel(job: &Job) -> Result<(), Failure> {
    match job.cancel_because("interrupted by the user").await {
        Ok(()) => Ok(()),
        Err(RequestError::Refused(error)) => {
            Err(Failure::new(exit::JOB, anyhow::anyhow!("not cancelled: {error}")))
        }
        Err(error) => Err(request_failure(error)),
    }
}

fn connection_failure(error: ConnectError) -> Failure {
    let code = if matches!(error, ConnectError::Refused(_)) { exit::JOB } else { exit::CONNECTION };
    Failure::new(code, error)
}

fn request_failure(error: RequestError) -> Failure {
    let code = match &error {
        RequestError::Agent(..) | RequestError::Encode(_) => exit::USAGE,
        RequestError::Refused(_) => exit::JOB,
        _ => exit::CONNECTION,
    };
    Failure::new(code, error)
}

/// The input, from the command line, a file, or stdin.
fn input_of(input: &str) -> Result<Json, Failure> {
    let (text, place) = match input.strip_prefix('@') {
        Some(path) => {
            let text = std::fs::read_to_string(path).with_context(|| format!("--input: cannot read {path}"));
            (text.map_err(|error| Failure::new(exit::USAGE, error))?, path)
        }
        None if input == "-" => {
            let mut text = String::new();
            let read = std::io::stdin().read_to_string(&mut text).context("--input: cannot read stdin");
            read.map_err(|error| Failure::new(exit::USAGE, error))?;
            (text, "stdin")
        }
        None => (input.to_owned(), "the command line"),
    };
    Json::parse(text).map_err(|error| {
        let hint = if place == "the command line" { "; a string needs its quotes: '\"text\"'" } else { "" };
        Failure::usage(format!("--input: {place}: {error}{hint}"))
    })
}

fn lease_of(lease: Option<&str>) -> Result<Lease, Failure> {
    let Some(lease) = lease else { return Ok(Lease::empty()) };
    let decoded = Json::parse(lease.to_owned()).and_then(|json| json.decode());
    decoded.map_err(|error| Failure::usage(format!("--lease: {error}")))
}
