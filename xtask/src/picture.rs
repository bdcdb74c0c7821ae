//! `cargo xtask picture`: `docs/top.svg`, a picture of `arcp top`, and `docs/quickstart.svg`, one of the quickstart. A real runtime runs
//! real jobs, what it tells of them is recorded, and the program draws the recordings; tests of `arcp-cli` hold the pictures against them.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::run::{self, Cargo};

const RECORDING: &str = "crates/arcp-cli/src/top/picture/recording.jsonl";
const QUICKSTART: &str = "crates/arcp-cli/src/top/picture/quickstart.txt";

/// What to do.
#[derive(clap::Args, Debug)]
pub(crate) struct Options {
    /// Draw the recording that is there
    #[arg(long)]
    draw_only: bool,
}

/// Records, and draws.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.draw_only {
        record()?;
        record_quickstart()?;
    }
    let test = "test --locked --package arcp-cli --bin arcp picture";
    Cargo::new(test).env("ARCP_PICTURE", "write").run()
}

/// The program, with a runtime of its own and nothing of who runs it.
struct Program {
    path: PathBuf,
    home: PathBuf,
    runtime: Option<Child>,
    url: String,
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(mut runtime) = self.runtime.take() {
            let _ = runtime.kill();
            let _ = runtime.wait();
        }
        let _ = fs::remove_dir_all(&self.home);
    }
}

impl Program {
    fn start() -> Result<Self> {
        Cargo::new("build --locked --package arcp-cli").run()?;
        let metadata = cargo_metadata::MetadataCommand::new().current_dir(run::root()).no_deps().exec()?;
        let path = metadata.target_directory.join("debug/arcp").into_std_path_buf();
        let home = std::env::temp_dir().join(format!("arcp-picture-{}", std::process::id()));
        let mut program = Self { path, home, runtime: None, url: String::new() };
        let serve =
            ["serve", "--listen", "127.0.0.1:0", "--fixtures", "--store", "memory", "--token", "s3cret=me"];
        let mut runtime = program.command(&serve).stderr(Stdio::piped()).spawn().context("arcp serve")?;
        let lines = BufReader::new(runtime.stderr.take().context("stderr")?).lines();
        program.runtime = Some(runtime);
        for line in lines {
            if let Some(url) = line?.strip_prefix("listening on ") {
                program.url = url.to_owned();
                return Ok(program);
            }
        }
        anyhow::bail!("arcp serve has ended")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).env("ARCP_CONFIG", "").env("ARCP_URL", &self.url).env("ARCP_TOKEN", "s3cret");
        command.env("HOME", &self.home).env("XDG_STATE_HOME", self.home.join("state")).stdin(Stdio::null());
        command
    }

    /// The lines that a command prints, so many at most, after which it is ended.
    fn lines(&self, arguments: &[&str], most: usize) -> Result<Vec<Value>> {
        let mut child = self.command(arguments).stdout(Stdio::piped()).spawn()?;
        let out = BufReader::new(child.stdout.take().context("stdout")?);
        let read = |line: std::io::Result<String>| Ok(serde_json::from_str(&line?)?);
        let lines = out.lines().take(most).map(read).collect::<Result<Vec<_>>>();
        let _ = child.kill(); // it may have ended by itself
        child.wait()?;
        lines
    }

    /// Leaves a job running, and gives what the runtime said when it accepted it.
    fn submit(&self, agent: &str, input: &Value, more: &[&str]) -> Result<Value> {
        let input = input.to_string();
        let line = [&["submit", agent, "--detach", "--json", "--input", &input][..], more].concat();
        let output = self.command(&line).output()?;
        ensure!(
            output.status.success(),
            "{agent} was not accepted: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}

/// What the quickstart prints, as the README has it run.
fn record_quickstart() -> Result<()> {
    const TYPED: &str = "cargo run --release --example quickstart -- README.md";
    let output = Cargo::new("run --quiet --release --example quickstart -- README.md").command().output();
    let output = output.context("the quickstart cannot be started")?;
    ensure!(output.status.success(), "the quickstart failed: {}", String::from_utf8_lossy(&output.stderr));
    // What it tells on the way goes to stderr, and the report that it is for to stdout, at its end.
    let (told, report) = (String::from_utf8(output.stderr)?, String::from_utf8(output.stdout)?);
    let told = told.replace(&format!("{}/", run::root().display()), ""); // where the checkout is says nothing to others
    fs::write(run::root().join(QUICKSTART), format!("$ {TYPED}\n{told}{report}"))
        .with_context(|| format!("{QUICKSTART} cannot be written"))
}

fn record() -> Result<()> {
    let program = Program::start()?;
    let long = 600_000;
    let read = |file: &str| json!({ "capability": "fs.read", "target": file, "cost": { "USD": 0.35 }, "delay_ms": 50 });
    let mut child: Vec<_> = (1..=8).map(|number| read(&format!("/data/q{number}.csv"))).collect();
    child.push(json!({ "capability": "fs.read", "target": "/data/q9.csv", "delay_ms": long }));
    let child = json!({
        "agent": "operate", "input": { "operations": child },
        "lease_request": { "fs.read": ["/data/**"], "cost.budget": ["USD:4"] },
    });
    let lease = r#"{"fs.read":["/data/**"],"agent.delegate":["*"]}"#;
    let cancelled = program.submit("sleep", &json!({ "ms": long }), &[])?;
    let accepted = [
        program.submit("count", &json!({ "n": 3 }), &[])?,
        program.submit("fail", &json!({ "code": "QUOTA", "message": "no more today" }), &[])?,
        program.submit("delegate", &child, &["--lease", lease, "--budget", "USD:5", "--expires", "1h"])?,
        program.submit("sleep", &json!({ "ms": long }), &["--expires", "10m"])?,
        program.submit(
            "progress",
            &json!({ "total": 40, "delay_ms": 250, "units": "pages" }),
            &["--budget", "credits:100"],
        )?,
    ];
    let id = cancelled["job_id"].as_str().context("job_id")?;
    ensure!(program.command(&["cancel", id]).status()?.success(), "{id} was not cancelled");

    let listed = program.lines(&["jobs", "--json"], 100)?;
    let mut out = Vec::new();
    for accepted in accepted.iter().chain([&cancelled]) {
        out.push(json!({ "accepted": accepted }));
    }
    out.push(json!({ "listed": listed }));
    let mut now = String::new();
    for entry in &listed {
        let (id, agent) =
            (entry["job_id"].as_str().context("job_id")?, entry["agent"].as_str().context("agent")?);
        // How many events each has by the time that is wanted: a job that runs says no more than those, or has more to say.
        let most = match agent {
            "progress@1.0.0" => 25,
            "operate@1.0.0" => 8 * 4,
            _ if entry["status"] == "running" => 1,
            _ => 100,
        };
        for line in
            program.lines(&["tail", id, "--json"], most)?.iter().filter(|line| line["type"] == "event")
        {
            out.push(json!({ "job": id, "event": line }));
            now = now.max(line["ts"].as_str().context("ts")?.to_owned());
        }
    }
    out.insert(0, json!({ "now": now, "url": "ws://127.0.0.1:7777/arcp" }));
    let path = run::root().join(RECORDING);
    let mut file = fs::File::create(&path).with_context(|| path.display().to_string())?;
    out.iter().try_for_each(|line| writeln!(file, "{line}")).context(RECORDING)
}
