//! How a client opens a link, and why that can fail. What happens on the open link is `transport.rs`.

use std::{io, time::Duration};

use crate::{BoxError, BoxFuture, BoxTransport};

/// Opens links to one runtime.
///
/// A client holds on to its connector and asks it again after every disconnect, so each call starts
/// from nothing and yields a fresh link.
pub trait Connector: Send + Sync + 'static {
    /// Opens one link. Dropping the future abandons the attempt and whatever it had opened.
    ///
    /// # Errors
    ///
    /// [`ConnectError`]; [`ConnectError::is_transient`] tells whether trying again can help.
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>>;
}

/// A link could not be opened. Each text names what was being connected to, and what to look at.
///
/// No text holds a credential: user names, passwords and queries of a URL are left out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL cannot be one of a runtime. Nothing was connected.
    #[error("bad runtime URL: {problem}")]
    BadUrl {
        /// What is wrong with it.
        #[source]
        problem: UrlProblem,
    },
    /// The address was not found or nothing answered there.
    #[error("{}", unreachable(target, source))]
    Unreachable {
        /// Host and port.
        target: Box<str>,
        /// What the operating system said about the last address tried.
        source: io::Error,
    },
    /// The secure channel could not be set up, or the runtime's certificate was not accepted.
    #[error("TLS with {target} failed: {advice}")]
    Tls {
        /// Host and port.
        target: Box<str>,
        /// What to do about it.
        advice: &'static str,
        /// What the TLS library said.
        source: BoxError,
    },
    /// An HTTP server answered, with a status instead of an upgrade.
    #[error("{target} answered HTTP {status}: {}", advice(*status))]
    Refused {
        /// Scheme, host, port and path.
        target: Box<str>,
        /// The HTTP status code.
        status: u16,
    },
    /// Something answered, but not as a runtime does.
    #[error("{target} did not complete the handshake: is there an ARCP runtime at that address?")]
    Handshake {
        /// Scheme, host, port and path.
        target: Box<str>,
        /// What it did instead.
        source: BoxError,
    },
    /// The program that is the runtime could not be started.
    #[error("{}", not_started(program, source))]
    Start {
        /// Its name or path, as it was given.
        program: Box<str>,
        /// What the operating system said.
        source: io::Error,
    },
    /// The link was not open in time.
    #[error("no link to {target} within {after:?}: check the address, firewalls, and the runtime's load")]
    Timeout {
        /// Host and port.
        target: Box<str>,
        /// The time that the attempt was given.
        after: Duration,
    },
}

impl ConnectError {
    /// Whether the same attempt may succeed later, without anybody changing the URL, the
    /// certificate, the credentials or the program.
    ///
    /// ```
    /// # use arcp_transport::ConnectError;
    /// let busy = ConnectError::Refused { target: "ws://127.0.0.1:7777/arcp".into(), status: 503 };
    /// assert!(busy.is_transient());
    /// let wrong_path = ConnectError::Refused { target: "ws://127.0.0.1:7777/".into(), status: 404 };
    /// assert!(!wrong_path.is_transient());
    /// ```
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Self::BadUrl { .. } | Self::Tls { .. } | Self::Handshake { .. } | Self::Start { .. } => false,
        }
    }
}

impl From<UrlProblem> for ConnectError {
    fn from(problem: UrlProblem) -> Self {
        Self::BadUrl { problem }
    }
}

/// What is wrong with the URL of a runtime. No text repeats the URL, which may hold a credential.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UrlProblem {
    /// It is no URL.
    #[error("it does not parse: write it like ws://127.0.0.1:7777/arcp")]
    Unparsable(#[source] BoxError),
    /// Its scheme is none that this connector speaks.
    #[error("its scheme is `{0}`: use ws:// or wss://")]
    Scheme(Box<str>),
    /// It names no host.
    #[error("it names no host: write it like ws://127.0.0.1:7777/arcp")]
    NoHost,
    /// It carries a user name or a password, which would end up in logs.
    #[error("it carries a user name or password: leave them out and authenticate with a token")]
    UserInfo,
    /// It carries a fragment (`#…`), which no server would ever see.
    #[error("it carries a fragment: leave out the part from the # on")]
    Fragment,
}

fn unreachable(target: &str, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => {
            format!("connection to {target} refused: is the runtime running there?")
        }
        _ => format!("cannot reach {target}: check the address and the network"),
    }
}

fn not_started(program: &str, source: &io::Error) -> String {
    let advice = match source.kind() {
        io::ErrorKind::NotFound => "there is no such program, or no such directory to run it in: check both",
        io::ErrorKind::PermissionDenied => "check that it is a program and that this user may run it",
        _ => "check that it is a program for this machine, and the limits on processes and open files",
    };
    format!("cannot start {program}: {advice}")
}

fn advice(status: u16) -> &'static str {
    match status {
        300..=399 => "redirects are not followed, use the URL that it points to",
        401 | 403 | 407 => "check the credentials for the server or proxy in front of the runtime",
        404 | 410 => "check the path, which is /arcp unless the runtime was told otherwise",
        408 | 425 | 429 | 503 => "it is busy or starting, try again later",
        400 | 405 | 426 => {
            "check that the URL is that of a WebSocket endpoint and no proxy strips the upgrade"
        }
        502 | 504 => "the proxy is up, check the runtime behind it",
        _ => "check the log of the server there",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_where_and_what_to_do() {
        let refused = ConnectError::Unreachable {
            target: "127.0.0.1:7777".into(),
            source: io::ErrorKind::ConnectionRefused.into(),
        };
        assert_eq!(
            refused.to_string(),
            "connection to 127.0.0.1:7777 refused: is the runtime running there?"
        );
        let not_found = ConnectError::Refused { target: "wss://agents.example/nowhere".into(), status: 404 };
        assert_eq!(
            not_found.to_string(),
            "wss://agents.example/nowhere answered HTTP 404: \
             check the path, which is /arcp unless the runtime was told otherwise"
        );
        let missing =
            ConnectError::Start { program: "arcp-runtime".into(), source: io::ErrorKind::NotFound.into() };
        assert_eq!(
            missing.to_string(),
            "cannot start arcp-runtime: there is no such program, or no such directory to run it in: check both"
        );
    }
}
