//! What the program logs, and how.

use std::io::{IsTerminal, Write};

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;
use crate::plain::one_line;
use crate::settings::{Settings, variable};

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Whose log it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// A runtime's, which tells what it does.
    Runtime,
    /// A command's, which tells of errors.
    Command,
    /// A command's that draws on the terminal: what it logs is not to be drawn over.
    Screen,
}

impl Voice {
    /// Says what somebody should look at: in the log of a runtime, and plainly otherwise.
    pub(crate) fn warn(self, text: &str) {
        match self {
            Self::Runtime => tracing::warn!("{text}"),
            Self::Command | Self::Screen => {
                let _ = writeln!(std::io::stderr(), "arcp: warning: {}", one_line(text)); // if stderr is gone there is nobody to tell
            }
        }
    }
}

/// Logs go to stderr only: stdout is for results.
///
/// How much is the flag's word, that of `ARCP_LOG` or `RUST_LOG`, or the file's.
pub(crate) fn begin(
    voice: Voice,
    format: Option<LogFormat>,
    filter: Option<&str>,
    settings: &Settings,
) -> Result<(), Failure> {
    let format = match format {
        Some(format) => Some(format),
        None => format_of(variable("ARCP_LOG_FORMAT")?)?,
    };
    let format = format.or(settings.log_format()).unwrap_or(LogFormat::Pretty);
    let mut wanted = filter.map(|filter| ("--log".to_owned(), filter.to_owned()));
    for name in ["ARCP_LOG", "RUST_LOG"] {
        if wanted.is_none() {
            wanted = variable(name)?.map(|filter| (name.to_owned(), filter));
        }
    }
    let file = || settings.log().map(|filter| (format!("{}: log", settings.name()), filter.to_owned()));
    let default = if voice == Voice::Runtime { "info" } else { "error" };
    let (place, filter) = wanted.or_else(file).unwrap_or_else(|| (String::new(), default.to_owned()));
    let filter = EnvFilter::try_new(&filter).map_err(|error| {
        Failure::usage(format!("{place}: {error}; use a level such as debug, or targets such as arcp=debug"))
    })?;
    let terminal = std::io::stderr().is_terminal();
    if voice == Voice::Screen && terminal {
        return Ok(());
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Where stderr is gone, telling of that would be a panic in the middle of whatever was logged.
        .log_internal_errors(false);
    match format {
        LogFormat::Pretty => log.with_ansi(terminal).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}

fn format_of(word: Option<String>) -> Result<Option<LogFormat>, Failure> {
    match word.as_deref() {
        None => Ok(None),
        Some("pretty") => Ok(Some(LogFormat::Pretty)),
        Some("json") => Ok(Some(LogFormat::Json)),
        Some(_) => Err(Failure::usage("ARCP_LOG_FORMAT: use pretty or json")),
    }
}
