//! The runtime: `arcp serve` as a child process, and what it uses.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::time::{interval, timeout};

use crate::options::Options;

/// Clock ticks in a second of what the kernel tells of processes.
const TICKS: f64 = 100.0;
/// How often memory is looked at.
const EVERY: Duration = Duration::from_millis(500);

/// Memory at a moment of the run that is being looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) at: Duration,
    pub(crate) bytes: u64,
}

pub(crate) struct Server {
    child: Child,
    lines: mpsc::UnboundedReceiver<String>,
    /// Those of the last run.
    samples: Vec<Sample>,
}

/// How busy processors were, in percent of one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    runtime: f64,
    load: f64,
    /// By what is none of ours. Where that is much, latencies tell of it and not of the runtime.
    others: f64,
}

impl std::fmt::Display for Busy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { runtime, load, others } = self;
        write!(f, "processors: {runtime:.0} % the runtime, {load:.0} % this load, {others:.0} % others")
    }
}

fn read(path: &str) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

/// The secret of a principal.
pub(crate) fn token(principal: &str) -> String {
    format!("token-of-{principal}")
}

/// Principals of those without manners.
pub(crate) const MALLORIES: usize = 12;

impl Server {
    /// Starts it and gives where it listens. How long things are remembered is short, so that what is forgotten and what is new
    /// come to a balance; every other limit is the default.
    pub(crate) async fn start(directory: &Path, options: &Options) -> Result<(Self, SocketAddr), String> {
        let problem = |error: std::io::Error| format!("arcp serve cannot be started: {error}");
        let honest = (0..options.principals()).map(|index| format!("honest-{index}"));
        let tokens: String = honest
            .chain((0..MALLORIES).map(|index| format!("mallory-{index}")))
            .map(|principal| format!("{}={principal}\n", token(&principal)))
            .collect();
        std::fs::write(directory.join("tokens"), tokens).map_err(problem)?;
        let store = match options.store.as_str() {
            "memory" => "memory".into(),
            _ => directory.join("store.db"),
        };
        let mut child = Command::new(assert_cmd::cargo::cargo_bin!("arcp"))
            .env("ARCP_CONFIG", "")
            .env_remove("ARCP_TOKEN")
            .env_remove("ARCP_URL")
            .env("RUST_LOG", "warn")
            .args(["serve", "--listen", "127.0.0.1:0", "--fixtures"])
            .args([
                "--heartbeat-interval",
                "10",
                "--resume-window",
                "20", // so that what storms leave behind is at its height before memory is judged
                "--handshake-timeout",
                "5",
                "--drain",
                "1",
            ])
            .args(["--job-retention", "10", "--idempotency-window", "10"])
            .args(["--max-connections-per-address", "100000"]) // honest and hostile have one address
            .arg("--token-file")
            .arg(directory.join("tokens"))
            .arg("--store")
            .arg(store)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(problem)?;
        let log = File::create(directory.join("log")).map_err(problem)?;
        let (sender, lines) = mpsc::unbounded_channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || copy(BufReader::new(stderr), log, &sender));
        }
        let mut server = Self { child, lines, samples: Vec::new() };
        let listening = async {
            while let Some(line) = server.lines.recv().await {
                let address =
                    line.strip_prefix("listening on ws://").and_then(|url| url.strip_suffix("/arcp"));
                if let Some(address) = address {
                    return address.parse().ok();
                }
            }
            None
        };
        let address = timeout(Duration::from_secs(60), listening).await.ok().flatten();
        let address = address.ok_or("arcp serve does not say where it listens")?;
        Ok((server, address))
    }

    /// Lets time pass and looks at the process meanwhile.
    pub(crate) async fn during(&mut self, time: Duration) -> Result<Busy, String> {
        self.samples.clear();
        let (begun, before) = (Instant::now(), self.processor_times()?);
        let mut ticks = interval(EVERY);
        while begun.elapsed() < time {
            ticks.tick().await;
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the runtime has ended by itself: {status}"));
            }
            self.samples.push(Sample { at: begun.elapsed(), bytes: self.memory()? });
        }
        let after = self.processor_times()?;
        let [runtime, load, all] =
            [0, 1, 2].map(|of| (after[of] - before[of]) / begun.elapsed().as_secs_f64() * 100.0);
        Ok(Busy { runtime, load, others: (all - runtime - load).max(0.0) })
    }

    /// Resident memory in bytes.
    fn memory(&self) -> Result<u64, String> {
        let status = self.told("status")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kilobytes.ok_or("the kernel tells no resident memory")? << 10)
    }

    /// Seconds for which the runtime, this process, and everybody together have been on a processor.
    fn processor_times(&self) -> Result<[f64; 3], String> {
        // The second field is the name, in parentheses; the times are the fourteenth and fifteenth.
        let of_process = |stat: String| -> Option<f64> {
            let fields: Vec<_> = stat.rsplit(')').next()?.split_whitespace().collect();
            Some(fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?)
        };
        // All but the fourth and fifth, in which nothing was done.
        let of_all = |stat: String| -> Option<f64> {
            let fields = stat.lines().next()?.split_whitespace().skip(1).take(8);
            let times: Vec<f64> = fields.map_while(|field| field.parse().ok()).collect();
            Some(times.iter().sum::<f64>() - times.get(3)? - times.get(4)?)
        };
        let times = [
            of_process(self.told("stat")?),
            of_process(read("/proc/self/stat")?),
            of_all(read("/proc/stat")?),
        ];
        let [Some(runtime), Some(load), Some(all)] = times else {
            return Err("the kernel tells no times".to_owned());
        };
        Ok([runtime, load, all].map(|ticks| ticks / TICKS))
    }

    fn told(&self, what: &str) -> Result<String, String> {
        read(&format!("/proc/{}/{what}", self.child.id()))
    }

    /// Stops it in order, and gives what was seen of its memory in the last run.
    pub(crate) async fn end(mut self) -> Result<Vec<Sample>, String> {
        let term = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        term.map_err(|error| format!("kill: {error}"))?;
        let said_all = async { while self.lines.recv().await.is_some() {} };
        timeout(Duration::from_secs(90), said_all)
            .await
            .map_err(|_| "the runtime does not stop".to_owned())?;
        Ok(std::mem::take(&mut self.samples))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whatever peers do, it is nothing for the runtime to complain of.
pub(crate) fn check_log(directory: &Path) -> Result<(), String> {
    let log = std::fs::read_to_string(directory.join("log")).map_err(|error| error.to_string())?;
    match log.lines().find(|line| line.contains("panicked at") || line.contains("ERROR")) {
        Some(line) => Err(format!("the runtime says {line}")),
        None => Ok(()),
    }
}

fn copy(stderr: impl BufRead, mut log: File, lines: &mpsc::UnboundedSender<String>) {
    for line in stderr.lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        let _ = lines.send(line);
    }
}
