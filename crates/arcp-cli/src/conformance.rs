//! `arcp conformance`: does a runtime, or a client, do what the protocol asks for? The cases are those of `arcp-conformance`.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use arcp::stdio::ChildConnector;
use arcp_conformance::{
    AT_A_TIME, Case, ClientCommands, Level, Outcome, Run, Target, Untestable, client_cases, report,
    runtime_cases, test_client, test_runtime,
};

use crate::connect::Endpoint;
use crate::exit::{self, Failure};
use crate::plain::{lines, one_line, stdout};
use crate::settings::variable;
use crate::signals::{Hangups, Signals};
use crate::trust::Trust;

#[derive(clap::Args)]
pub(crate) struct Conformance {
    #[command(flatten)]
    pub(crate) endpoint: Endpoint,

    /// The bearer token of a second principal, who may not see what the first one does [env: ARCP_TOKEN_B]. Without it some
    /// cases are not run.
    #[arg(long)]
    token_b: Option<String>,

    /// The bearer token of a third principal, who may observe what the first one does (`arcp serve --observe`) [env:
    /// ARCP_TOKEN_OBSERVER]. Without it some cases are not run.
    #[arg(long)]
    token_observer: Option<String>,

    #[command(flatten)]
    trust: Trust,

    /// Test a runtime that is a child process, reached by its stdin and stdout: -- COMMAND…
    #[arg(long, requires = "child", conflicts_with = "as_runtime")]
    pub(crate) stdio: bool,

    /// Test a client: be the runtime that it connects to.
    #[arg(long)]
    as_runtime: bool,

    #[command(flatten)]
    client: Client,

    /// Play only the cases whose number begins so, such as 6.3 or 6.3-04, or another section that asks for the same. Repeatable.
    #[arg(long, value_name = "NUMBER")]
    case: Vec<String>,

    /// What to look at: what the draft says MUST (must), SHOULD as well (should), or also what it leaves open and arcp has decided (profile).
    #[arg(long, default_value = "profile", value_parser = level)]
    level: Level,

    /// Where to write a report: a file ending in .xml (JUnit), .md or .json; or junit, md or json for stdout. Repeatable.
    #[arg(long, value_name = "FILE|FORMAT", value_parser = destination)]
    report: Vec<Destination>,

    /// How long an answer may take.
    #[arg(long, value_name = "SECS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    timeout: u64,

    /// How long a case may let time pass, such as two heartbeat intervals. Cases that would need longer are not run.
    #[arg(long, value_name = "SECS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=86_400))]
    patience: u64,

    /// How many cases are played at a time. Each opens a session or a few, of which a principal may not have many.
    #[arg(long, value_name = "N", default_value_t = AT_A_TIME as u64, value_parser = clap::value_parser!(u64).range(1..=16))]
    at_a_time: u64,

    /// List the cases and play none.
    #[arg(long)]
    list: bool,

    /// The runtime to start, with --stdio.
    #[arg(last = true, value_name = "COMMAND", requires = "stdio")]
    child: Vec<OsString>,
}

/// What runs the client under test. In each command {url} and {token} stand for where it is to connect to; both are in ARCP_URL and
/// ARCP_TOKEN, too. On Unix each is a process group of its own, of which nothing is left once its case is over.
#[derive(clap::Args)]
struct Client {
    /// Submits a job, follows it to its end, prints its result and nothing else on stdout, and exits with 0 if it succeeded: {agent} and
    /// {input} (JSON).
    #[arg(long, value_name = "COMMAND", requires = "as_runtime")]
    submit: Option<String>,

    /// The same, and shows each event of kind log once, with its message, on stderr.
    #[arg(long, value_name = "COMMAND", requires = "submit")]
    follow: Option<String>,

    /// The same as --submit, and cancels the job when it gets SIGINT.
    #[arg(long, value_name = "COMMAND", requires = "submit")]
    cancel: Option<String>,

    /// The same as --submit, with {lease} (JSON), {expires_at}, {idempotency_key} and {max_runtime_sec}.
    #[arg(long, value_name = "COMMAND", requires = "submit")]
    submit_in_full: Option<String>,

    /// Subscribes to a job with its history, follows it to its end, and prints its result: {job}.
    #[arg(long, value_name = "COMMAND", requires = "submit")]
    tail: Option<String>,

    /// Lists jobs, and prints their ids.
    #[arg(long, value_name = "COMMAND", requires = "submit")]
    jobs: Option<String>,
}

fn level(word: &str) -> Result<Level, String> {
    match word {
        "must" => Ok(Level::Must),
        "should" => Ok(Level::Should),
        "profile" => Ok(Level::Profile),
        _ => Err("use must, should or profile".to_owned()),
    }
}

#[derive(Clone, Debug)]
enum Format {
    Junit,
    Markdown,
    Json,
}

/// A report: what it is, and where it goes, stdout if nowhere.
#[derive(Clone, Debug)]
struct Destination(Format, Option<PathBuf>);

impl Destination {
    /// Fails if nothing could be written there, which is better known before the cases are played than after. What is there stays.
    fn check(&self) -> Result<(), Failure> {
        let Some(file) = &self.1 else { return Ok(()) };
        let open = fs::OpenOptions::new().append(true).create(true).open(file);
        let open = open.with_context(|| format!("--report: {} cannot be written", file.display()));
        open.map(drop).map_err(|error| Failure::new(exit::USAGE, error))
    }
}

fn destination(text: &str) -> Result<Destination, String> {
    let path = Path::new(text);
    let (word, file) = match path.extension().and_then(|extension| extension.to_str()) {
        Some(extension) => (extension, Some(path.to_owned())),
        None => (text, None),
    };
    let format = match word {
        "xml" | "junit" => Format::Junit,
        "md" => Format::Markdown,
        "json" => Format::Json,
        _ => {
            return Err("use a file ending in .xml, .md or .json, or junit, md or json for stdout".to_owned());
        }
    };
    Ok(Destination(format, file))
}

impl Conformance {
    /// Whether it is about a runtime somewhere.
    pub(crate) fn connects(&self) -> bool {
        !self.list && !self.as_runtime
    }
}

pub(crate) async fn run(conformance: Conformance) -> Result<(), Failure> {
    let cases = cases(&conformance)?;
    if conformance.list {
        for Case { id, level, title, .. } in &cases {
            writeln!(stdout(), "{id:<16} {level:<7} {title}")?;
        }
        return Ok(());
    }
    if conformance.as_runtime && conformance.client.submit.is_none() {
        return Err(Failure::usage("--as-runtime: say what runs the client: --submit COMMAND"));
    }
    conformance.report.iter().try_for_each(Destination::check)?;
    let at_a_time = usize::try_from(conformance.at_a_time).unwrap_or(AT_A_TIME);
    // What was started does not end by itself with this program: each client is a process group of its own.
    let (mut signals, mut hangups) = (Signals::listen()?, Hangups::listen()?);
    let play = async {
        if conformance.as_runtime {
            Ok::<_, Failure>(test_client(&commands(&conformance)?, &cases, at_a_time, tell).await)
        } else {
            Ok(test_runtime(&target(&conformance)?, &cases, at_a_time, tell).await)
        }
    };
    let run = tokio::select! {
        run = play => run?,
        () = signals.next() => return Err(Failure::silent(exit::INTERRUPTED)),
        () = hangups.next(), if hangups.in_terminal() => return Err(Failure::silent(exit::INTERRUPTED)),
    };
    let (run, untestable) = match run {
        Ok(run) => (run, None),
        Err(why) => (nothing_run(&cases, &why), Some(Failure::new(exit::CONNECTION, why))),
    };
    for Destination(format, file) in &conformance.report {
        write(&run, format, file.as_deref())?;
    }
    if let Some(failure) = untestable {
        return Err(failure);
    }
    let _ = writeln!(std::io::stderr(), "{}", one_line(&report::summary(&run))); // if stderr is gone there is nobody to tell
    if run.failures().next().is_some() { Err(Failure::silent(exit::JOB)) } else { Ok(()) }
}

/// What is reported of a peer that could not be tested: whoever reads reports is to find why.
fn nothing_run(cases: &[Case], why: &Untestable) -> Run {
    let not_run = |case: &Case| (case.clone(), Outcome::NotRun(why.to_string()));
    Run { peer: "a peer that could not be tested".to_owned(), outcomes: cases.iter().map(not_run).collect() }
}

/// The cases that are asked for.
fn cases(conformance: &Conformance) -> Result<Vec<Case>, Failure> {
    let all = if conformance.as_runtime { client_cases() } else { runtime_cases() };
    let asked = |case: &Case| {
        let numbers = &conformance.case;
        let number = case.id.strip_prefix("client-").unwrap_or(&case.id);
        let also = case.also.iter().map(|section| section.trim_start_matches('§'));
        let ids: Vec<_> = [number, &case.id].into_iter().chain(also).collect();
        let named = |wanted: &String| ids.iter().any(|id| is_within(id, wanted));
        case.level <= conformance.level && (numbers.is_empty() || numbers.iter().any(named))
    };
    let cases: Vec<_> = all.into_iter().filter(asked).collect();
    if cases.is_empty() {
        return Err(Failure::usage("no case has such a number: --list lists them"));
    }
    Ok(cases)
}

/// Whether a number is the wanted one, or of the wanted section: `6.3` holds `6.3-04`, and `6` holds both, but no `6` holds `61-01`.
fn is_within(id: &str, wanted: &str) -> bool {
    id.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.']))
}

fn target(conformance: &Conformance) -> Result<Target, Failure> {
    let token = conformance.endpoint.token()?;
    let target = match conformance.child.split_first() {
        Some((program, arguments)) => {
            Target::new(ChildConnector::new(program).args(arguments), token).pipes()
        }
        None => Target::new(conformance.trust.connector(conformance.endpoint.url())?, token),
    };
    let target = target
        .timeout(Duration::from_secs(conformance.timeout))
        .patience(Duration::from_secs(conformance.patience));
    let target = match other_token(&conformance.token_b, "ARCP_TOKEN_B")? {
        Some(other) => target.other_principal(other.as_str()),
        None => target,
    };
    Ok(match other_token(&conformance.token_observer, "ARCP_TOKEN_OBSERVER")? {
        Some(observer) => target.observer(observer.as_str()),
        None => target,
    })
}

/// The token of another principal, as it was typed or from a variable.
fn other_token(typed: &Option<String>, name: &str) -> Result<Option<String>, Failure> {
    let token = match typed {
        Some(token) => Some(token.clone()),
        None => variable(name)?,
    };
    Ok(token.filter(|token| !token.is_empty()))
}

fn commands(conformance: &Conformance) -> Result<ClientCommands, Failure> {
    let client = &conformance.client;
    let given = [
        ("submit", &client.submit),
        ("follow", &client.follow),
        ("cancel", &client.cancel),
        ("submit_in_full", &client.submit_in_full),
        ("tail", &client.tail),
        ("jobs", &client.jobs),
    ];
    let mut commands = ClientCommands::new().timeout(Duration::from_secs(conformance.timeout));
    for (name, line) in given {
        let Some(line) = line else { continue };
        let words = shlex::split(line).filter(|words| !words.is_empty());
        let words = words.ok_or_else(|| Failure::usage(format!("--{name}: not a command line: {line}")))?;
        commands = commands.command(name, words);
    }
    Ok(commands)
}

/// What has failed, in lines. Some of it may be a peer's words.
fn told(case: &Case, failure: &arcp_conformance::Failure) -> String {
    let failure = failure.to_string();
    let failure = lines(&failure).replace('\n', "\n  ");
    format!("FAILED {} {}: {}\n  {failure}\n", case.id, case.level, case.title)
}

/// Says what has failed as soon as it has.
fn tell(case: &Case, outcome: &Outcome) {
    if let Outcome::Failed(failure) = outcome {
        let told = told(case, failure);
        let _ = std::io::stderr().write_all(told.as_bytes()); // if stderr is gone there is nobody to tell
    }
}

fn write(run: &Run, format: &Format, file: Option<&Path>) -> Result<(), Failure> {
    let text = match format {
        Format::Junit => report::junit(run).map_err(|error| Failure::new(exit::JOB, error))?,
        Format::Markdown => format!("# {}\n\n{}", run.peer, report::markdown(&[(&run.peer, run)])),
        Format::Json => format!("{:#}\n", report::json(run)),
    };
    let Some(file) = file else {
        let mut out = stdout();
        out.write_all(text.as_bytes())?;
        return Ok(out.flush()?);
    };
    let written = fs::write(file, text).with_context(|| format!("{} cannot be written", file.display()));
    written.map_err(|error| Failure::new(exit::USAGE, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_says_in_a_failure_cannot_steer_the_terminal() {
        let came = "\u{1b}[2Jred\u{9b}31m\nand \u{202e}more".to_owned();
        let [step, due, section] = [1, 2, 3].map(|number| number.to_string());
        let failure = arcp_conformance::Failure { step: 1, doing: step, due, came, section };
        let told = told(&runtime_cases()[0], &failure);
        assert!(told.contains("\\u001b[2Jred\\u009b31m\n  and \\u202emore\n"), "{told}");
        assert!(!told.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{told}");
    }
}
