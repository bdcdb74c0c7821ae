//! Starting a runtime as a child process. What becomes of the child is `child/life.rs`, the link to it
//! `child/link.rs`, what it writes to its stderr `child/stderr.rs`.

mod life;
mod link;
mod stderr;

use std::{
    ffi::{OsStr, OsString},
    fmt, io,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use arcp_transport::{BoxFuture, BoxTransport, ConnectError, Connector};
use tokio::process::Command;

use self::{life::Leash, link::ChildLink};
use crate::{StdioConfig, StdioTransport};

/// Starts a program as a child process for each link, and speaks with it over its stdin and stdout.
///
/// The child inherits the environment and the working directory of this process, unless told
/// otherwise; no shell reads the arguments. `connect` does not wait for the child to say
/// anything: one that exits at once is a link that ends at once.
///
/// **The end.** `close()` writes what was fed, closes the child's stdin and waits until the child has
/// exited, throwing away what it still writes; after 5 seconds, unless [told otherwise](Self::with_grace),
/// the child is killed. Dropping the link kills the child at once. Either way it is reaped. The end of
/// the tokio runtime kills it too. What the child has started itself is the child's to end.
///
/// **Logs.** What the child writes to its stderr is logged line by line at level info under the target
/// `arcp::child`, with the child's `pid`. A line longer than 8 KiB comes in pieces, and bytes that are
/// not UTF-8 as `U+FFFD`. The lines are the child's: whether they hold secrets is its affair. How it
/// exited is logged there, too. A link that ends because its child has exited ends after all of that is
/// logged; what holds the pipes open without the child holds that up for a second at most.
///
/// `Debug` and the errors show neither the arguments nor the values of the environment.
///
/// Needs a tokio runtime with I/O and time enabled.
///
/// ```no_run
/// use std::time::Duration;
/// use arcp_transport::Connector;
/// use arcp_transport_stdio::ChildConnector;
///
/// # async fn example() -> Result<(), arcp_transport::ConnectError> {
/// let connector = ChildConnector::new("my-runtime")
///     .args(["--stdio", "--verbose"])
///     .env("MY_RUNTIME_HOME", "state")
///     .with_grace(Duration::from_secs(1));
/// let link = connector.connect().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ChildConnector {
    program: OsString,
    args: Vec<OsString>,
    /// In the order in which they were asked for; `None` takes a variable away.
    env: Vec<(OsString, Option<OsString>)>,
    current_dir: Option<PathBuf>,
    config: StdioConfig,
    grace: Duration,
}

impl ChildConnector {
    /// A connector to a program: a path, or a name that is looked up in `PATH`. Nothing is started yet.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            current_dir: None,
            config: StdioConfig::client(),
            grace: Duration::from_secs(5),
        }
    }

    /// Adds an argument. Every user of the machine may be able to read it: a secret goes into
    /// [`env`](Self::env).
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Keeps a variable of this process's environment from the child.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), None));
        self
    }

    /// Replaces the directory in which the child runs. Where a program that is a relative path is then
    /// looked for depends on the system: use an absolute one.
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.current_dir = Some(directory.into());
        self
    }

    /// Replaces the limits of the links. [`StdioConfig::client`] by default.
    pub fn with_config(mut self, config: StdioConfig) -> Self {
        self.config = config;
        self
    }

    /// Replaces the time from `close()` to the end of a child that does not exit by itself, 5 seconds
    /// by default. Whoever closes may wait for less, and then drops the link.
    pub fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.current_dir {
            command.current_dir(directory);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    fn start(&self) -> io::Result<ChildLink> {
        let mut child = self.command().spawn()?;
        let pid = child.id().unwrap_or_default();
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(io::Error::other("child has no pipes"));
        };
        tracing::debug!(target: "arcp::child", pid, program = ?self.program, "child started");
        let leash = Leash::new(child, pid, tokio::spawn(stderr::forward(stderr, pid)));
        Ok(ChildLink::new(StdioTransport::new(stdout, stdin, self.config), leash, self.grace))
    }
}

impl Connector for ChildConnector {
    /// Starts a child.
    ///
    /// # Errors
    ///
    /// [`ConnectError::Start`] when the program cannot be started.
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>> {
        Box::pin(async {
            match self.start() {
                Ok(link) => Ok(Box::pin(link) as BoxTransport),
                Err(source) => {
                    Err(ConnectError::Start { program: self.program.to_string_lossy().into(), source })
                }
            }
        })
    }
}

impl fmt::Debug for ChildConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildConnector")
            .field("program", &self.program)
            .field("args", &self.args.len())
            .field("env", &self.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("current_dir", &self.current_dir)
            .field("config", &self.config)
            .field("grace", &self.grace)
            .finish()
    }
}
