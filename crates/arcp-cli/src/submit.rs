//! `arcp submit`: one job, from its input to its result.

use std::ffi::OsString;
use std::io::Read;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use arcp::proto::{BudgetAmount, Json, Lease, Timestamp, TraceContext, namespace};
use arcp::{Client, Job};
use jiff::SignedDuration;

use crate::connect::Runtime;
use crate::exit::{self, Failure};
use crate::explain;
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

    /// What the job asks to be allowed to do, such as {"fs.read":["/data/**"]}, @FILE with that in it, or -
    /// for that on stdin.
    #[arg(long, value_name = "JSON|@FILE|-")]
    lease: Option<String>,

    /// How much it may spend, such as USD:5; repeatable. It is the same as a cost.budget in --lease, which must not name the
    /// same currency.
    #[arg(long, value_name = "CURRENCY:AMOUNT")]
    budget: Vec<BudgetAmount>,

    /// When its lease ends: after a time, such as 10m or 1h30m, or at one, such as 2026-05-13T23:42:00Z.
    #[arg(long, value_name = "TIME", value_parser = expiry)]
    expires: Option<Expiry>,

    /// Makes the submit safe to repeat: the same key with the same input is the same job.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,

    /// End the job when it has run this long.
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    max_runtime: Option<u64>,

    /// Leave as soon as the job is accepted, and print its id. `arcp tail` watches it, `arcp cancel` ends it, for as long as
    /// the runtime keeps the session (10 minutes, unless it says otherwise).
    #[arg(long)]
    detach: bool,

    /// Print everything as JSON, one object a line, on stdout: `accepted`, `event`, `disconnected`, `resumed`, then `result`,
    /// `error`, `lost` or `failed`, as the member `type` says.
    #[arg(long)]
    pub(crate) json: bool,

    /// Start a runtime as a child process and speak with it over its pipes; it ends with this program.
    #[arg(long, requires = "command", conflicts_with = "detach")]
    pub(crate) stdio: bool,

    /// The runtime to start with --stdio, such as `-- arcp serve --stdio --fixtures --token TOKEN=me`.
    #[arg(last = true, value_name = "COMMAND", requires = "stdio")]
    command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) runtime: Runtime,
}

pub(crate) async fn run(submit: Submit) -> Result<(), Failure> {
    let input = input_of(&submit.input)?;
    let lease = submit.lease.as_deref().map_or_else(|| Ok(Lease::empty()), lease_of)?;
    let lease = with_budget(lease, &submit.budget)?;
    let mut show = Show::new(submit.json);
    let client = match submit.stdio {
        true => submit.runtime.start(&submit.command).await?,
        false => submit.runtime.connect(None).await?,
    };
    let mut request = client.submit(&submit.agent).input(&input).lease(lease).trace(trace());
    if let Some(key) = submit.idempotency_key {
        request = request.idempotency_key(key);
    }
    if let Some(expires) = submit.expires {
        request = request.expires_at(expires.at());
    }
    if let Some(seconds) = submit.max_runtime {
        request = request.max_runtime(Duration::from_secs(seconds));
    }
    let job = request.await.map_err(|error| explain::refusal(&client, &submit.agent, error))?;
    if submit.detach {
        return detach(client, &job, submit.runtime.url(), &mut show).await;
    }
    show.accepted(job.accepted())?;
    let outcome = follow(&client, job, &mut show, Interrupt::Cancels).await;
    client.close().await;
    outcome
}

/// The trace that this program is part of, as programs tell those that they start. What cannot be read is as good as none, as W3C
/// has it.
fn trace() -> Option<TraceContext> {
    let parent = std::env::var("TRACEPARENT").ok()?;
    TraceContext::new(&parent, std::env::var("TRACESTATE").ok()).ok()
}

/// Leaves the job running, and its session for a later command.
async fn detach(client: Client, job: &Job, url: &str, show: &mut Show) -> Result<(), Failure> {
    // The job is told of first: it runs, whatever becomes of the rest.
    let told = show.detached(job.accepted());
    let saved = match client.resume_state().await {
        Some(state) => left::save(job.id(), url, &state),
        None => Ok(()),
    };
    client.close().await;
    saved.map_err(|failure| failure.context("the job runs, but cannot be cancelled from here"))?;
    Ok(told?)
}

/// The input, from the command line, a file, or stdin.
fn input_of(input: &str) -> Result<Json, Failure> {
    let (text, place) = match input.strip_prefix('@') {
        Some(path) => (read("--input", path)?, path),
        None if input == "-" => (read_stdin("--input")?, "stdin"),
        None => (input.to_owned(), "the command line"),
    };
    Json::parse(text).map_err(|error| {
        let hint = if place == "the command line" { "; a string needs its quotes: '\"text\"'" } else { "" };
        Failure::usage(format!("--input: {place}: {error}{hint}"))
    })
}

fn lease_of(lease: &str) -> Result<Lease, Failure> {
    let text = match lease.strip_prefix('@') {
        Some(path) => read("--lease", path)?,
        None if lease == "-" => read_stdin("--lease")?,
        None => lease.to_owned(),
    };
    let decoded = Json::parse(text).and_then(|json| json.decode());
    decoded.map_err(|error| Failure::usage(format!("--lease: {error}")))
}

/// Amounts of one currency would add up (§9.6), which nobody means who says it in two places.
fn with_budget(lease: Lease, budget: &[BudgetAmount]) -> Result<Lease, Failure> {
    let named = lease.budget().ok().flatten().unwrap_or_default(); // what is no amount is for the runtime to refuse
    let twice = budget.iter().find(|amount| named.remaining(amount.currency.as_str()).is_some());
    if let Some(BudgetAmount { currency, .. }) = twice {
        let message = format!("--budget: --lease has a cost.budget in {currency} already: use one of them");
        return Err(Failure::usage(message));
    }
    Ok(budget.iter().fold(lease, |lease, amount| lease.grant(namespace::COST_BUDGET, amount.to_string())))
}

/// The text of a file that an option names.
pub(crate) fn read(option: &str, path: &str) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{option}: cannot read {path}"));
    text.map_err(|error| Failure::new(exit::USAGE, error))
}

/// What stdin holds, for an option that was given as `-`.
pub(crate) fn read_stdin(option: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read =
        std::io::stdin().read_to_string(&mut text).with_context(|| format!("{option}: cannot read stdin"));
    read.map_err(|error| Failure::new(exit::USAGE, error))?;
    Ok(text)
}

/// When a lease ends.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    After(Duration),
    At(Timestamp),
}

impl Expiry {
    fn at(self) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(span) => {
                let now = Timestamp::from(SystemTime::now()).as_millis();
                let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
                Timestamp::from_millis(now.saturating_add(span))
            }
        }
    }
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if let Ok(at) = Timestamp::parse_utc(text) {
        return Ok(Expiry::At(at));
    }
    let span: SignedDuration = text.parse().map_err(|_| {
        "neither a time such as 2026-05-13T23:42:00Z (with its Z) nor a span such as 10m or 1h30m".to_owned()
    })?;
    match Duration::try_from(span) {
        Ok(span) if !span.is_zero() => Ok(Expiry::After(span)),
        _ => Err("must be in the future".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_span_or_a_time() {
        let after = |text: &str| match expiry(text) {
            Ok(Expiry::After(span)) => span.as_secs(),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!((after("10m"), after("1h30m"), after("90 seconds"), after("2h")), (600, 5_400, 90, 7_200));
        assert!(matches!(expiry("2026-05-13T23:42:00Z"), Ok(Expiry::At(_))));
        for bad in
            ["", "10", "soon", "-5m", "0s", "2026-05-13", "2026-05-13T23:42:00+02:00", "2026-05-13T23:42:00"]
        {
            assert!(expiry(bad).is_err(), "{bad}");
        }
    }
}
