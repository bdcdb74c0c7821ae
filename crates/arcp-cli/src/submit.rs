//! `arcp submit`: one job, from its input to its result.

use std::io::Read;
use std::time::Duration;

use anyhow::Context;
use arcp::proto::{Json, Lease};
use arcp::{Client, Job};

use crate::connect::{Runtime, request_failure};
use crate::exit::{self, Failure};
use crate::follow::{Interrupt, follow};
use crate::left;
use crate::show::Show;

#[derive(clap::Args)]
pub(crate) struct Submit {
    /// Which agent: NAME or NAME@VERSION.
    agent: String,

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

    /// Leave as soon as the job is accepted, and print its id. `arcp tail` watches it, `arcp cancel` ends it.
    #[arg(long)]
    detach: bool,

    /// Print everything as JSON, one object a line, on stdout: `accepted`, `event`, `disconnected`, `resumed`, then `result`,
    /// `error`, `lost` or `failed`, as the member `type` says.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    runtime: Runtime,
}

pub(crate) async fn run(submit: Submit) -> Result<(), Failure> {
    let input = input_of(&submit.input)?;
    let lease = lease_of(submit.lease.as_deref())?;
    let mut show = Show::new(submit.json);
    let client = submit.runtime.connect(None).await?;
    let mut request = client.submit(&submit.agent).input(&input).lease(lease);
    if let Some(key) = submit.idempotency_key {
        request = request.idempotency_key(key);
    }
    if let Some(seconds) = submit.max_runtime {
        request = request.max_runtime(Duration::from_secs(seconds));
    }
    let job = request.await.map_err(request_failure)?;
    if submit.detach {
        return detach(client, &job, &submit.runtime.url, &mut show).await;
    }
    show.accepted(job.accepted())?;
    let outcome = follow(&client, job, &mut show, Interrupt::Cancels).await;
    client.close().await;
    outcome
}

/// Leaves the job running, and its session for a later command.
async fn detach(client: Client, job: &Job, url: &str, show: &mut Show) -> Result<(), Failure> {
    if let Some(state) = client.resume_state().await {
        left::save(job.id(), url, &state)?;
    }
    client.close().await;
    Ok(show.detached(job.accepted())?)
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
