//! Exit codes, and how a failure is told.

use std::io::Write;
use std::process::ExitCode;

use arcp::client::{ConnectError, RequestError};

use crate::plain::{one_line, stdout};

/// The job ended in an error, or the runtime refused it.
pub(crate) const JOB: u8 = 1;
/// The command line, or what it names, is wrong.
pub(crate) const USAGE: u8 = 2;
/// The runtime could not be reached, or the connection was lost.
pub(crate) const CONNECTION: u8 = 3;
/// Interrupted, as a shell says it: 128 and SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// The same for whoever reads `--help`.
pub(crate) const CODES: &str = "\
Exit codes:
  0    it is done
  1    a job ended in an error, a case failed, the runtime refused, or output cannot be written
  2    the command line, or what it names, is wrong
  3    the runtime could not be reached, or the connection was lost
  130  interrupted

Flags come before the environment, and that before the file: --config, ARCP_CONFIG, or arcp.toml in the user's \
configuration directory, and never one in the current directory. An empty ARCP_CONFIG is for no file.";

/// Why the program ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    /// `None` if it was told already.
    error: Option<anyhow::Error>,
}

impl Failure {
    pub(crate) fn new(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: Some(error.into()) }
    }

    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self { code: USAGE, error: Some(anyhow::anyhow!("{message}")) }
    }

    /// The same failure, with what it means.
    pub(crate) fn context(self, meaning: &'static str) -> Self {
        Self { error: self.error.map(|error| error.context(meaning)), ..self }
    }

    /// The error, if it has not been told already.
    pub(crate) fn error(&self) -> Option<&anyhow::Error> {
        self.error.as_ref()
    }

    /// A failure that has been told already.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, error: None }
    }

    /// Tells it in one line and gives the exit code.
    ///
    /// With `json` it is told on stdout too, as `{"type":"failed","code":…,"message":…}`, for whoever reads that.
    pub(crate) fn report(self, json: bool) -> ExitCode {
        if let Some(error) = self.error {
            if json {
                let line = serde_json::json!({
                    "type": "failed",
                    "code": code_of(&error),
                    "message": format!("{error:#}"),
                });
                let _ = writeln!(stdout(), "{line}");
            }
            // If stderr is gone there is nobody to tell.
            // What a runtime says in it must not move the cursor.
            let _ = writeln!(std::io::stderr(), "arcp: {}", one_line(&format!("{error:#}")));
        }
        ExitCode::from(self.code)
    }
}

/// The runtime's code, if it was the runtime that refused (§12).
fn code_of(error: &anyhow::Error) -> Option<String> {
    let request = error.downcast_ref::<RequestError>().and_then(RequestError::code);
    let connect = error.downcast_ref::<ConnectError>().and_then(ConnectError::code);
    request.or(connect).map(ToString::to_string)
}

impl From<std::io::Error> for Failure {
    /// Output that cannot be written. A reader that has seen enough is no failure.
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::silent(0);
        }
        Self::new(JOB, anyhow::Error::new(error).context("output cannot be written"))
    }
}
