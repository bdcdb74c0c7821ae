//! The client under test: how it is started, where it connects to, and how it ends.

mod group;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;
use std::time::Duration;

use arcp_transport::{BoxTransport, Listener};
use arcp_transport_ws::{WsConfig, WsListener};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::group::Group;

/// How long a frame may be, either way.
const FRAME: usize = 64 * 1024 * 1024;

/// A client under test: for each thing that it is to do, the command that does it.
///
/// | command | what it does | what its arguments may name |
/// | --- | --- | --- |
/// | `submit` | submits a job, follows it to its end, and prints its result on stdout | `{agent}`, `{input}` (JSON) |
/// | `follow` | the same, and shows each event of kind `log` once, with its message | the same |
/// | `cancel` | the same as `submit`, and cancels the job when it gets SIGINT | the same |
/// | `submit_in_full` | the same as `submit`, and sends all that a submit can have | the same, `{lease}` (JSON), `{expires_at}`, `{idempotency_key}`, `{max_runtime_sec}` |
/// | `tail` | subscribes to a job with its history, follows it to its end, and prints its result on stdout | `{job}` |
/// | `jobs` | lists jobs, and prints their ids on stdout | |
///
/// In each argument `{url}` and `{token}` stand for where to connect to and the bearer token; the program also has them in `ARCP_URL` and
/// `ARCP_TOKEN`. It is to end with exit code 0 if the job ended in success, or the list is printed, and with another one if not. A
/// result that is a string is printed as it stands or as JSON, any other as JSON; nothing else is on stdout. Cases that need a command
/// which is not given are not run.
///
/// On Unix a command is a process group of its own, so that it may be a shell, or start others in any other way: SIGINT goes to all of
/// them, as it does from a terminal, and what still runs when the program has ended, or its case, is killed. (Many shells end by the
/// SIGINT themselves, whatever the client then ends with, unless they start it by `exec`.) Elsewhere only the program itself is killed.
#[derive(Clone, Debug, Default)]
pub struct ClientCommands {
    commands: BTreeMap<String, Vec<String>>,
    pub(crate) timeout: Option<Duration>,
}

impl ClientCommands {
    /// A client that can be told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// What to run for one of the commands of the table above.
    #[must_use]
    pub fn command(
        mut self,
        name: impl Into<String>,
        words: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.commands.insert(name.into(), words.into_iter().map(Into::into).collect());
        self
    }

    /// How long each step may take; 15 seconds, if nothing is said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.commands.keys().cloned().collect()
    }
}

/// The client under test during one case, and where it connects to.
pub(crate) struct Program {
    commands: ClientCommands,
    listener: WsListener,
    token: String,
    running: Option<Running>,
}

struct Running {
    /// Dropped before the child: the id of a child that was waited for is nobody's any more.
    group: Group,
    child: Child,
    stdout: JoinHandle<String>,
    stderr: JoinHandle<String>,
}

impl Program {
    pub(crate) async fn new(commands: &ClientCommands) -> std::io::Result<Self> {
        let listener = WsListener::bind("127.0.0.1:0", "/arcp").await?;
        // A case may send more than any client takes.
        let config = WsConfig { max_frame_bytes: FRAME, max_write_buffer_bytes: FRAME, ..WsConfig::server() };
        let listener = listener.with_config(config);
        let token = format!("conformance-{}", ulid::Ulid::generate());
        Ok(Self { commands: commands.clone(), listener, token, running: None })
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) async fn start(&mut self, name: &str, with: &Value) -> Result<(), String> {
        self.stop().await;
        let words = self.commands.commands.get(name).and_then(|words| words.split_first());
        let Some((program, arguments)) = words else { return Err(format!("there is no command for {name}")) };
        let url = format!("ws://{}/arcp", self.listener.local_addr());
        let fill = |word: &String| {
            let mut word = word.replace("{url}", &url).replace("{token}", &self.token);
            for (name, value) in with.as_object().into_iter().flatten() {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                word = word.replace(&format!("{{{name}}}"), &text);
            }
            word
        };
        let mut command = Command::new(program);
        command
            .args(arguments.iter().map(fill))
            .env("ARCP_URL", &url)
            .env("ARCP_TOKEN", &self.token)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        Group::lead(&mut command);
        let mut child = command.spawn().map_err(|error| format!("{program} cannot be started: {error}"))?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let group = Group::of(&child);
        self.running = Some(Running { group, child, stdout: read(stdout), stderr: read(stderr) });
        Ok(())
    }

    pub(crate) async fn accept(&mut self, until: Instant) -> Result<BoxTransport, String> {
        match tokio::time::timeout_at(until, self.listener.accept()).await {
            Ok(Ok((link, _))) => Ok(link),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("none in time".to_owned()),
        }
    }

    /// Waits until it has ended. Nothing is lost if this is not waited for to its end.
    pub(crate) async fn ends(&mut self, until: Instant) -> Result<(), String> {
        let Some(running) = &mut self.running else { return Err("it was not started".to_owned()) };
        match tokio::time::timeout_at(until, running.child.wait()).await {
            Ok(Ok(_)) => {
                running.group.kill();
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it still runs".to_owned()),
        }
    }

    /// How it ended: `code` (`null` after a signal), `stdout`, `stderr`, both as `output`, and `result`, which is what stdout says as
    /// JSON, or its text if it is none.
    pub(crate) async fn ended(&mut self, until: Instant) -> Result<Value, String> {
        self.ends(until).await?;
        let Some(mut running) = self.running.take() else { return Err("it was not started".to_owned()) };
        let status = running.child.wait().await.map_err(|error| error.to_string())?;
        // What it has said last is read in no time, but something that has left the group may still have the pipes.
        let until = until.max(Instant::now() + Duration::from_secs(1));
        let read = futures_util::future::join(running.stdout, running.stderr);
        let (stdout, stderr) = tokio::time::timeout_at(until, read).await.map_err(|_| {
            "it has ended, and something that it has started still has its stdout or stderr".to_owned()
        })?;
        let (stdout, stderr) = (stdout.unwrap_or_default(), stderr.unwrap_or_default());
        let text = stdout.trim();
        let result = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let output = format!("{stdout}{stderr}");
        Ok(
            json!({"code": status.code(), "result": result, "output": output, "stdout": stdout, "stderr": stderr}),
        )
    }

    /// Interrupts it, as a terminal does.
    pub(crate) fn interrupt(&mut self) -> Result<(), String> {
        let Some(running) = &self.running else { return Err("it does not run".to_owned()) };
        running.group.interrupt().map_err(|why| format!("it cannot be interrupted: {why}"))
    }

    /// Ends it, and what it has started.
    pub(crate) async fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.group.kill();
            let _ = running.child.kill().await; // it may be gone already
        }
    }
}

fn read(pipe: Option<impl tokio::io::AsyncRead + Unpin + Send + 'static>) -> JoinHandle<String> {
    tokio::spawn(async move {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes).await; // what was read until then is what there is
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs::File;
    use std::io::Read;

    use tokio::sync::oneshot;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// A shell that is the client, starts another process, and then does something.
    struct Shell {
        program: Program,
        /// Says what came of a pipe that both have open, once nobody has any more.
        left: oneshot::Receiver<String>,
        _directory: tempfile::TempDir,
    }

    /// What the shell does while the other process runs. Comes back when that was started.
    async fn shell(then: &str) -> Shell {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let script = format!("exec 3>'{}'; sleep 1000 & {then}", pipe.display());
        let commands = ClientCommands::new().command("submit", ["sh", "-c", &script]);
        let mut program = Program::new(&commands).await.unwrap();
        program.start("submit", &json!({})).await.unwrap();
        let ((say_started, started), (say_left, left)) = (oneshot::channel(), oneshot::channel());
        // A thread, since the runtime would wait for a task that blocks.
        std::thread::spawn(move || {
            let mut pipe = File::open(pipe).unwrap();
            let mut text = vec![0];
            pipe.read_exact(&mut text).unwrap();
            say_started.send(()).unwrap();
            pipe.read_to_end(&mut text).unwrap();
            say_left.send(String::from_utf8(text).unwrap())
        });
        within(started).await.unwrap();
        Shell { program, left, _directory: directory }
    }

    async fn within<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, future).await.expect("in time")
    }

    #[tokio::test]
    async fn a_client_that_is_stopped_leaves_nobody_behind() {
        let mut shell = shell("echo started >&3; wait").await;
        shell.program.stop().await;
        assert_eq!(within(shell.left).await.unwrap(), "started\n");
    }

    #[tokio::test]
    async fn a_client_whose_case_is_dropped_leaves_nobody_behind() {
        let Shell { program, left, _directory } = shell("echo started >&3; wait").await;
        drop(program);
        assert_eq!(within(left).await.unwrap(), "started\n");
    }

    #[tokio::test]
    async fn a_client_that_has_ended_leaves_nobody_behind_and_nobody_is_waited_for() {
        let mut shell = shell("echo started >&3; echo done; exit 3").await;
        let ended = within(shell.program.ended(Instant::now() + PATIENCE)).await.unwrap();
        assert_eq!((&ended["code"], &ended["stdout"]), (&json!(3), &json!("done\n")));
        assert_eq!(within(shell.left).await.unwrap(), "started\n");
    }

    #[cfg(target_os = "linux")] // elsewhere there need be no `setsid`
    #[tokio::test]
    async fn whoever_has_left_the_group_is_not_waited_for() {
        let leaves = r#"setsid sh -c "echo started >&3; kill -USR1 $$; exec sleep 10""#;
        let mut shell = shell(&format!("trap 'exit 0' USR1; {leaves} & wait")).await;
        within(shell.program.ends(Instant::now() + PATIENCE)).await.unwrap();
        let ended = shell.program.ended(Instant::now()).await;
        assert!(ended.unwrap_err().contains("still has its stdout"));
    }

    #[tokio::test]
    async fn an_interrupt_comes_to_what_a_shell_has_started() {
        // Whoever says that it has started does not fork any more, so that the interrupt is not for one that is yet to be.
        let mut shell = shell("trap 'exit 7' INT; sh -c 'echo started >&3; exec sleep 1000'").await;
        shell.program.interrupt().unwrap();
        let ended = within(shell.program.ended(Instant::now() + PATIENCE)).await.unwrap();
        assert_eq!(ended["code"], 7);
        assert!(shell.program.interrupt().is_err());
    }
}
