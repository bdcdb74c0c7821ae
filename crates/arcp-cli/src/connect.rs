//! What every command that talks to a runtime is told, and how its failures exit.

use std::ffi::OsString;

use arcp::Client;
use arcp::client::{Connect, ConnectError, RequestError, ResumeState};
use arcp::proto::BearerToken;
use arcp::stdio::ChildConnector;
use arcp::transport::Connector;

use crate::exit::{self, Failure};
use crate::settings::{Settings, variable};
use crate::trust::Trust;

/// Where a runtime is if nobody says.
const DEFAULT_URL: &str = "ws://127.0.0.1:7777/arcp";

/// Which runtime, and as whom.
///
/// The environment is read here and not by clap, whose messages on usage would show what a variable gives as if it had to be typed.
#[derive(clap::Args, Default)]
pub(crate) struct Endpoint {
    /// The runtime [env: ARCP_URL] [default: ws://127.0.0.1:7777/arcp]
    #[arg(long)]
    url: Option<String>,

    /// The bearer token [env: ARCP_TOKEN]. Anybody on this machine can read it in the list of processes: prefer the variable, or
    /// token-file in arcp.toml.
    #[arg(long)]
    token: Option<String>,

    /// The url and the token of [profile.NAME] in arcp.toml, rather than those at its top [env: ARCP_PROFILE]. As a flag it comes
    /// before the other variables.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
}

impl Endpoint {
    /// Takes what was not typed from the environment and from the file.
    ///
    /// The token of a file is sent to the runtime that the file names beside it, and to no other.
    pub(crate) fn settle(&mut self, settings: &Settings) -> Result<(), Failure> {
        let typed = self.profile.is_some();
        let profile = match self.profile.take() {
            Some(name) => Some(name),
            None => variable("ARCP_PROFILE")?,
        };
        let place = settings.place(profile.as_deref())?;
        let known = place.url.as_deref().unwrap_or(DEFAULT_URL);
        let url = match self.url.take().or_else(|| place.url.clone().filter(|_| typed)) {
            Some(url) => url,
            None => variable("ARCP_URL")?.unwrap_or_else(|| known.to_owned()),
        };
        let belongs = url == known;
        let mut token = self.token.take();
        if token.is_none() && typed && belongs {
            token = place.token()?;
        }
        if token.is_none() {
            token = variable("ARCP_TOKEN")?;
        }
        if token.is_none() && belongs {
            token = place.token()?;
        }
        if token.is_none() && place.has_token() {
            return Err(Failure::usage(format!(
                "no token for {}: the one in {place} is for {}; set ARCP_TOKEN, or add a profile for this url",
                shown(&url),
                shown(known)
            )));
        }
        (self.url, self.token) = (Some(url), token);
        Ok(())
    }

    /// Takes what was not typed from the environment alone.
    pub(crate) fn settle_without_file(&mut self) -> Result<(), Failure> {
        if self.url.is_none() {
            self.url = variable("ARCP_URL")?;
        }
        if self.token.is_none() {
            self.token = variable("ARCP_TOKEN")?;
        }
        Ok(())
    }

    pub(crate) fn url(&self) -> &str {
        self.url.as_deref().unwrap_or(DEFAULT_URL)
    }

    pub(crate) fn token(&self) -> Result<&str, Failure> {
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        token.ok_or_else(|| {
            Failure::usage("no token: set ARCP_TOKEN, give --token, or name a token-file in arcp.toml")
        })
    }
}

#[derive(clap::Args)]
pub(crate) struct Runtime {
    #[command(flatten)]
    pub(crate) endpoint: Endpoint,

    #[command(flatten)]
    trust: Trust,

    /// Give up when the connection is lost, instead of making it again.
    #[arg(long)]
    no_reconnect: bool,
}

impl Runtime {
    pub(crate) fn url(&self) -> &str {
        self.endpoint.url()
    }

    /// Opens a session, or resumes the one that an earlier command has left.
    pub(crate) async fn connect(&self, left: Option<ResumeState>) -> Result<Client, Failure> {
        let connector = self.trust.connector(self.url())?;
        let mut connect = self.client(connector)?;
        if self.no_reconnect {
            connect = connect.without_reconnect();
        }
        if let Some(left) = left {
            connect = connect.resume(left);
        }
        connect.await.map_err(connect_failure)
    }

    /// Starts a runtime as a child process, and opens a session with it over its pipes. Another child would know nothing of the
    /// session: when this one is gone, so is the job.
    pub(crate) async fn start(&self, command: &[OsString]) -> Result<Client, Failure> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(Failure::usage("--stdio: say which runtime to start, such as -- arcp serve --stdio"));
        };
        let connector = ChildConnector::new(program).args(arguments);
        self.client(connector)?.without_reconnect().await.map_err(|error| match error {
            ConnectError::Lost(_) => connect_failure(error).context(
                "the runtime that was started has ended; ARCP_LOG=info shows what it said on its stderr",
            ),
            error => connect_failure(error),
        })
    }

    fn client(&self, connector: impl Connector) -> Result<Connect, Failure> {
        let token = match self.endpoint.token() {
            Ok(token) => token,
            Err(missing) => self.trust.instead_of_a_token().ok_or(missing)?,
        };
        let token = BearerToken::from(token);
        Ok(Client::connect(connector, token).identity("arcp", env!("CARGO_PKG_VERSION")))
    }
}

/// A URL without what may be a secret in it: a user with a password, and the query.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return "a url that is none".to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

fn connect_failure(error: ConnectError) -> Failure {
    let code = if matches!(error, ConnectError::Refused(_)) { exit::JOB } else { exit::CONNECTION };
    Failure::new(code, error)
}

pub(crate) fn request_failure(error: RequestError) -> Failure {
    let code = match &error {
        RequestError::Agent(..) | RequestError::Encode(_) => exit::USAGE,
        RequestError::Refused(_) | RequestError::NotOffered(_) => exit::JOB,
        _ => exit::CONNECTION,
    };
    Failure::new(code, error)
}

pub(crate) fn job_id(text: &str) -> Result<arcp::proto::JobId, String> {
    text.parse().map_err(|error: arcp::proto::InvalidId| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_what_may_be_secret() {
        for (url, due) in [
            ("ws://a.example:7/arcp", "ws://a.example:7/arcp"),
            ("wss://me:canary@a.example/arcp?token=canary", "wss://a.example/arcp"),
            ("wss://can@ary@a.example?canary", "wss://a.example"),
            ("canary", "a url that is none"),
        ] {
            assert_eq!(shown(url), due);
        }
    }
}
