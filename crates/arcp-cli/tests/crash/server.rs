//! The runtime: `arcp serve` as a child process, which is killed and started again.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use tokio::sync::mpsc;

use crate::world::World;

pub(crate) struct Server {
    child: Option<Child>,
    lines: mpsc::UnboundedReceiver<String>,
}

pub(crate) fn arcp() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("arcp"));
    command
        .env("ARCP_CONFIG", "")
        .env_remove("ARCP_TOKEN")
        .env_remove("ARCP_URL")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

impl Server {
    pub(crate) fn start(directory: &Path, durability: &str, drain: u64) -> Result<Self, String> {
        let problem = |error: std::io::Error| format!("arcp serve cannot be started: {error}");
        let mut child = arcp()
            .args(["serve", "--listen", "127.0.0.1:0", "--fixtures", "--observe", "bob=alice"])
            .args(["--token", "token-of-alice=alice", "--token", "token-of-bob=bob"])
            .args(["--durability", durability, "--drain", &drain.to_string()])
            .arg("--store")
            .arg(directory.join("store.db"))
            .arg("--fixture-gateway")
            .arg(directory.join("calls"))
            .arg("--credential-ledger")
            .arg(directory.join("ledger"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(problem)?;
        let log =
            OpenOptions::new().create(true).append(true).open(directory.join("log")).map_err(problem)?;
        let (sender, lines) = mpsc::unbounded_channel();
        if let Some(stderr) = child.stderr.take() {
            std::thread::spawn(move || copy(BufReader::new(stderr), log, &sender));
        }
        Ok(Self { child: Some(child), lines })
    }

    /// Waits until it has said its first word.
    pub(crate) async fn began(&mut self, world: &World) -> Result<(), String> {
        self.line(world, "the runtime to start", |_| true).await.map(drop)
    }

    /// Waits until it listens, and tells where.
    pub(crate) async fn listening(&mut self, world: &World) -> Result<String, String> {
        let line =
            self.line(world, "the runtime to listen", |line| line.starts_with("listening on ")).await?;
        Ok(line.trim_start_matches("listening on ").to_owned())
    }

    async fn line(
        &mut self,
        world: &World,
        what: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, String> {
        let lines = &mut self.lines;
        let found = async {
            loop {
                match lines.recv().await {
                    Some(line) if wanted(&line) => return Some(line),
                    Some(_) => {}
                    None => return None,
                }
            }
        };
        world.until(what, found).await?.ok_or_else(|| {
            world.fail(format!("waited for {what}, and it has ended"));
            world.failed().unwrap_or_default()
        })
    }

    /// Waits for something that clients bring about, and notices if the runtime ends by itself.
    pub(crate) async fn while_it_runs<T>(
        &mut self,
        world: &World,
        what: &str,
        happens: impl Future<Output = T>,
    ) -> Result<T, String> {
        let gone = async { while self.lines.recv().await.is_some() {} };
        let happens = async {
            tokio::select! {
                happened = happens => Some(happened),
                () = gone => None,
            }
        };
        world.until(what, happens).await?.ok_or_else(|| {
            world.fail(format!("waited for {what}, and the runtime has ended by itself"));
            world.failed().unwrap_or_default()
        })
    }

    /// Sends SIGKILL or SIGTERM and waits for the end.
    pub(crate) async fn end(mut self, world: &World, way: Way) -> Result<(), String> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        let sent = match way {
            Way::Kill => child.kill().is_ok(),
            Way::Term => {
                let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
                kill.is_ok_and(|status| status.success())
            }
        };
        let waited = tokio::task::spawn_blocking(move || child.wait());
        let status = world.until("the runtime to end", waited).await?;
        let good = match (&status, way) {
            (Ok(Ok(_)), Way::Kill) => true,
            (Ok(Ok(status)), Way::Term) => ExitStatus::success(status),
            _ => false,
        };
        if !sent || !good {
            world.fail(format!("the runtime has ended by itself, or wrongly: {way:?}, {status:?}"));
        }
        // What it has said is in the log when there is no more of it.
        world
            .until("the last of what the runtime says", async { while self.lines.recv().await.is_some() {} })
            .await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How a runtime ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Kill,
    Term,
}

fn copy(stderr: impl BufRead, mut log: File, lines: &mpsc::UnboundedSender<String>) {
    for line in stderr.lines().map_while(Result::ok) {
        let _ = writeln!(log, "{line}");
        let _ = lines.send(line);
    }
}
