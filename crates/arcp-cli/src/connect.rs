//! What every command that talks to a runtime is told, and how its failures exit.

use std::ffi::OsString;

use arcp::Client;
use arcp::client::{Connect, ConnectError, RequestError, ResumeState};
use arcp::proto::BearerToken;
use arcp::stdio::ChildConnector;
use arcp::transport::Connector;

use crate::exit::{self, Failure};
use crate::trust::Trust;

#[derive(clap::Args)]
pub(crate) struct Runtime {
    /// The runtime.
    #[arg(long, env = "ARCP_URL", default_value = "ws://127.0.0.1:7777/arcp")]
    pub(crate) url: String,

    /// The bearer token. Anybody on this machine can read it in the list of processes: prefer the variable.
    #[arg(long, env = "ARCP_TOKEN", hide_env_values = true)]
    token: Option<String>,

    #[command(flatten)]
    trust: Trust,

    /// Give up when the connection is lost, instead of making it again.
    #[arg(long)]
    no_reconnect: bool,
}

impl Runtime {
    /// Opens a session, or resumes the one that an earlier command has left.
    pub(crate) async fn connect(&self, left: Option<ResumeState>) -> Result<Client, Failure> {
        let connector = self.trust.connector(&self.url)?;
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
        self.client(connector)?.without_reconnect().await.map_err(connect_failure)
    }

    fn client(&self, connector: impl Connector) -> Result<Connect, Failure> {
        let token = self.token.as_deref().filter(|token| !token.is_empty());
        let token = token.or_else(|| self.trust.instead_of_a_token());
        let Some(token) = token.map(BearerToken::from) else {
            return Err(Failure::usage("no token: set ARCP_TOKEN, or give --token"));
        };
        Ok(Client::connect(connector, token).identity("arcp", env!("CARGO_PKG_VERSION")))
    }
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
