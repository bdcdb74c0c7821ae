//! `cargo xtask autobahn`: the Autobahn test suite against both ends of a WebSocket link. The ends are
//! `crates/arcp-transport-ws/examples/echo.rs`; the suite is somebody else's, and nothing is installed here.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::run::{self, Cargo};
use crate::steps::need;

const LONG: &str = "The Autobahn test suite against both ends of a WebSocket link

It takes `wstest`, which wants a Python 2.7:

    virtualenv --python python2.7 wstest && wstest/bin/pip install autobahntestsuite

and then `cargo xtask autobahn --wstest wstest/bin/wstest`, or ARCP_WSTEST in its place. All cases take some minutes; those of \
compression (12 and 13) are left out, as there is none. The whole reports are in target/autobahn.";

#[derive(clap::Args)]
#[command(long_about = LONG)]
pub(crate) struct Options {
    /// The program of the suite
    #[arg(long, env = "ARCP_WSTEST", default_value = "wstest")]
    wstest: PathBuf,
    /// Which cases, such as `1.*` or `9.1.1`
    #[arg(long, default_value = "*")]
    cases: String,
}

/// Runs the suite against the server and against the client. The error counts what is not as it should be.
pub(crate) fn run(options: &Options) -> Result<()> {
    let suite = Command::new(&options.wstest).arg("--autobahnversion").stdout(Stdio::null()).status();
    let lacking = format!(
        "{} cannot be run: cargo xtask autobahn --help says how to have it",
        options.wstest.display()
    );
    need(suite.is_ok_and(|status| status.success()), &lacking)?;
    Cargo::new("build --release --locked --package arcp-transport-ws --example echo").run()?;
    let out = run::root().join("target/autobahn");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let mut wrong = 0;
    for (side, report) in [("server", server(options, &out)?), ("client", client(options, &out)?)] {
        println!("{side}: {} cases", report.cases.len());
        for (name, count) in report.counts() {
            println!("    {count:>4} {name}");
        }
        for line in report.wrong() {
            println!("    {line}");
            wrong += 1;
        }
    }
    ensure!(
        wrong == 0,
        "{wrong} cases are not as they should be; what happened in each is in target/autobahn"
    );
    Ok(())
}

/// A process that ends with us.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn echo(arguments: &[&str]) -> Command {
    let mut echo =
        Cargo::new("run --quiet --release --locked --package arcp-transport-ws --example echo --").command();
    echo.args(arguments);
    echo
}

/// Our server, with the suite as its clients.
fn server(options: &Options, out: &Path) -> Result<Report> {
    let child = echo(&["serve"]).stdout(Stdio::piped()).spawn().context("cannot start the echo server")?;
    let mut echo = Running(child);
    let stdout = echo.0.stdout.take().context("the echo server has no stdout")?;
    let mut url = String::new();
    BufReader::new(stdout).read_line(&mut url)?;
    ensure!(url.starts_with("ws://"), "the echo server does not say where it is");
    let reports = out.join("server");
    let mut spec = spec(options, &reports);
    spec["servers"] = json!([{ "agent": "arcp-server", "url": url.trim() }]);
    let status = suite(options, out, "fuzzingclient", &spec)?.status().context("cannot start the suite")?;
    ensure!(status.success(), "the suite failed: {status}; what it said is in target/autobahn");
    Report::read(&reports)
}

/// Our client, with the suite as its server.
fn client(options: &Options, out: &Path) -> Result<Report> {
    let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let url = format!("ws://{address}");
    let reports = out.join("client");
    let mut spec = spec(options, &reports);
    spec["url"] = json!(url);
    let child = suite(options, out, "fuzzingserver", &spec)?.spawn().context("cannot start the suite")?;
    let _suite = Running(child);
    let mut tries = 0;
    while TcpStream::connect(address).is_err() {
        tries += 1;
        ensure!(tries < 300, "the suite does not listen");
        sleep(Duration::from_millis(100));
    }
    let status = echo(&["connect", &url]).status().context("cannot start the echo client")?;
    ensure!(status.success(), "the echo client failed: {status}");
    Report::read(&reports)
}

fn spec(options: &Options, reports: &Path) -> Value {
    json!({
        "outdir": reports,
        "cases": [options.cases],
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    })
}

fn suite(options: &Options, out: &Path, mode: &str, spec: &Value) -> Result<Command> {
    let path = out.join(format!("{mode}.json"));
    fs::write(&path, spec.to_string())?;
    let log = File::create(out.join(format!("{mode}.log")))?;
    // A path is relative to where the command was typed; a bare name is looked up.
    let wstest = if options.wstest.components().count() > 1 {
        fs::canonicalize(&options.wstest)?
    } else {
        options.wstest.clone()
    };
    let mut suite = Command::new(wstest);
    suite.args(["--mode", mode, "--spec"]).arg(path).current_dir(out).stderr(log.try_clone()?).stdout(log);
    Ok(suite)
}

/// What the suite thinks of one side, by case: how it behaved, and how it closed.
#[derive(Debug, PartialEq, Eq)]
struct Report {
    cases: BTreeMap<String, (String, String)>,
}

/// Verdicts that nobody has to mind: the draft of the protocol leaves more than one way, or the case only measures.
const FINE: [&str; 3] = ["OK", "INFORMATIONAL", "NON-STRICT"];

impl Report {
    fn read(reports: &Path) -> Result<Self> {
        let path = reports.join("index.json");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Self::of(&serde_json::from_str(&text)?)
    }

    fn of(index: &Value) -> Result<Self> {
        let agents = index.as_object().context("the report is no object")?;
        let cases = agents.values().filter_map(Value::as_object).flatten();
        let verdict = |case: &Value, name: &str| case[name].as_str().unwrap_or("MISSING").to_owned();
        let cases = cases
            .map(|(name, case)| (name.clone(), (verdict(case, "behavior"), verdict(case, "behaviorClose"))));
        let report = Self { cases: cases.collect() };
        ensure!(!report.cases.is_empty(), "the report has no cases");
        Ok(report)
    }

    fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (behavior, close) in self.cases.values() {
            *counts.entry(format!("{behavior}, closed {close}")).or_default() += 1;
        }
        counts
    }

    fn wrong(&self) -> Vec<String> {
        let fine = |verdict: &String| FINE.contains(&verdict.as_str());
        let wrong = self.cases.iter().filter(|(_, (behavior, close))| !fine(behavior) || !fine(close));
        wrong.map(|(name, (behavior, close))| format!("case {name}: {behavior}, closed {close}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let case = |behavior, close| json!({ "behavior": behavior, "behaviorClose": close, "remoteCloseCode": 1000 });
        let index = json!({ "arcp-server": {
            "1.1.1": case("OK", "OK"), "6.4.1": case("NON-STRICT", "OK"), "7.1.6": case("INFORMATIONAL", "INFORMATIONAL"),
            "9.1.1": case("OK", "UNCLEAN"), "2.1": case("FAILED", "OK"),
        } });
        let report = Report::of(&index).unwrap();
        assert_eq!(report.wrong(), ["case 2.1: FAILED, closed OK", "case 9.1.1: OK, closed UNCLEAN"]);
        assert_eq!(report.counts()["OK, closed OK"], 1);
    }

    #[test]
    fn a_report_without_cases_is_no_success() {
        assert!(Report::of(&json!({})).is_err());
        assert!(Report::of(&json!({ "arcp-server": {} })).is_err());
    }
}
