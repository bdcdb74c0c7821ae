//! Servers and loads as processes of their own, and what the system knows of a process.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::sample::Sample;

/// A server, killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
}

impl Server {
    /// Starts a server and waits until it listens. `on_stdout` is a line that begins with the URL.
    pub(crate) fn start(mut command: Command, on_stdout: bool) -> Result<Self> {
        command.stdin(Stdio::null()).env_remove("RUST_LOG").env_remove("ARCP_TOKEN");
        if on_stdout {
            command.stdout(Stdio::piped())
        } else {
            command.stderr(Stdio::piped())
        };
        let mut child = command.spawn().with_context(|| format!("cannot start {command:?}"))?;
        let said: Option<Box<dyn Read + Send>> = match on_stdout {
            true => child.stdout.take().map(|said| Box::new(said) as _),
            false => child.stderr.take().map(|said| Box::new(said) as _),
        };
        let mut lines = BufReader::new(said.context("a pipe that was asked for")?).lines();
        let mut server = Self { child, url: String::new() };
        let mut before = Vec::new();
        for line in lines.by_ref() {
            let line = line.context("cannot read what a server says")?;
            if let Some(place) = line.find("ws://") {
                server.url = line[place..].trim().to_owned();
                break;
            }
            before.push(line);
        }
        ensure!(!server.url.is_empty(), "{command:?} ended before it listened:\n{}", before.join("\n"));
        // What it says from now on must be read, or it waits.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Runs a load to its end and reads what it has measured, the last line of its stdout.
pub(crate) fn load(command: &mut Command) -> Result<Sample> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{command:?}: {}\n{said}", output.status);
    }
    let last = said.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("{command:?} has told nothing: {said}"))
}

/// Bytes of memory that a process has of its own, in use.
pub(crate) fn resident(pid: u32) -> Result<f64> {
    let status = read(pid, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.map(|kib| kib * 1024.0).context("the system does not say how much memory is resident")
}

/// What the server and this process have taken so far.
pub(crate) struct Cpu {
    server: u32,
    of_server: f64,
    of_both: f64,
}

impl Cpu {
    pub(crate) fn of(server: Option<u32>) -> Result<Self> {
        let server = server.context("whose time is to be measured is not known")?;
        let of_server = cpu_seconds(server)?;
        Ok(Self { server, of_server, of_both: of_server + cpu_seconds(std::process::id())? })
    }

    /// What 100,000 of so many events or jobs have taken since.
    pub(crate) fn since(&self, events: u64) -> Result<Sample> {
        let now = Self::of(Some(self.server))?;
        let each = 100_000.0 / events as f64;
        let of_both = Sample::of("cpu_s", (now.of_both - self.of_both) * each);
        Ok(of_both.and("server_cpu_s", (now.of_server - self.of_server) * each))
    }
}

/// Ticks a second in which the system counts processor time, on every Linux.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has taken, with those in the kernel.
fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = read(pid, "stat")?;
    // The name of the program may have spaces in it, and stands in brackets.
    let numbers = stat.rsplit_once(')').map(|(_, numbers)| numbers.split_whitespace().skip(11).take(2));
    let ticks = numbers.map(|ticks| ticks.filter_map(|tick| tick.parse::<f64>().ok()).sum::<f64>());
    ticks.map(|ticks| ticks / TICKS).context("the system does not say how much time a process has taken")
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = Path::new("/proc").join(pid.to_string()).join(file);
    fs::read_to_string(path).with_context(|| format!("the system has no {file} of a process"))
}
