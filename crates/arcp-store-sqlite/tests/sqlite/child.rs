//! A process of its own that writes: this very binary, told by its environment what to do.

use std::env;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use arcp_runtime::StoreError;
use arcp_runtime::store::Store;
use arcp_store_sqlite::{Durability, SqliteStore};

use crate::world::World;

const TASK: &str = "ARCP_STORE_CHILD";

/// What a child does with the store at `path`.
pub(crate) struct Task<'a> {
    pub(crate) path: &'a Path,
    pub(crate) durability: Durability,
    /// Of the world whose batches it writes.
    pub(crate) seed: u64,
    /// How many batches are written already.
    pub(crate) from: usize,
    /// How many it writes before it aborts.
    pub(crate) until: usize,
    /// Whether it asks before each.
    pub(crate) asks: bool,
}

impl Task<'_> {
    pub(crate) fn start(&self) -> Running {
        self.start_with(Command::new(env::current_exe().unwrap()))
    }

    /// With a command that runs this binary, or has the shell do so in `"$@"`.
    pub(crate) fn start_with(&self, mut command: Command) -> Running {
        let Self { path, durability, seed, from, until, asks } = self;
        let task = format!("{seed},{from},{until},{asks},{durability:?},{}", path.display());
        command.args(["--exact", "child::writes", "--nocapture", "--test-threads", "1"]).env(TASK, task);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Running { child, lines }
    }
}

pub(crate) struct Running {
    pub(crate) child: Child,
    lines: BufReader<ChildStdout>,
}

impl Running {
    /// The next thing that it says.
    pub(crate) fn next(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.lines.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            // The harness says something too, at times on the same line.
            if let Some((_, said)) = line.trim_end().split_once("> ") {
                return Some(said.to_owned());
            }
        }
    }

    /// Lets it go on after it has asked. Returns what it says then.
    pub(crate) fn go_on(&mut self) -> Option<String> {
        _ = self.child.stdin.as_mut().unwrap().write_all(b"\n"); // it may have ended
        self.next()
    }

    /// Kills it as `kill -9` does. Returns what it has said and nobody had read.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        let rest = std::iter::from_fn(|| self.next()).collect();
        self.child.wait().unwrap();
        rest
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn say(what: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "> {what}").and_then(|()| out.flush()).unwrap();
}

/// Is no test unless its environment says what to do: writes batches, and says how each went. Before a batch is
/// tried again it asks.
#[tokio::test]
async fn writes() {
    let Ok(task) = env::var(TASK) else { return };
    let parts: Vec<&str> = task.splitn(6, ',').collect();
    let (seed, from, until): (u64, usize, usize) =
        (parts[0].parse().unwrap(), parts[1].parse().unwrap(), parts[2].parse().unwrap());
    let durability = if parts[4] == "Full" { Durability::Full } else { Durability::Normal };
    let mut world = World::new(seed);
    (0..from).for_each(|_| _ = world.batch());
    let store = SqliteStore::new(PathBuf::from(parts[5])).durability(durability);
    let epoch = match store.open().await {
        Ok(opened) => opened.epoch,
        Err(error) => return say(text(&error)),
    };
    say("open");
    let mut number = from;
    while number < until {
        let batch = world.batch();
        number += 1;
        if parts[3] == "true" && !may_go_on() {
            return;
        }
        while let Err(error) = store.commit(epoch, Arc::clone(&batch)).await {
            say(text(&error));
            if !may_go_on() {
                return;
            }
        }
        say(number);
    }
    std::process::abort();
}

/// Waits until it may, or nobody is there who could say so.
fn may_go_on() -> bool {
    std::io::stdin().lock().read_line(&mut String::new()).unwrap() > 0
}

fn text(error: &StoreError) -> String {
    let word = match error {
        StoreError::Full(_) => "full",
        StoreError::Failed(_) => "failed",
        _ => "other",
    };
    format!("{word}: {}", crate::problem(error))
}
