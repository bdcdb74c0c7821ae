//! What is tested: how to reach it, what it offers, and how long one may wait for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arcp_transport::Connector;

use crate::case::{Case, Need};

/// A runtime under test.
#[derive(Clone)]
pub struct Target {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) token: String,
    pub(crate) other: Option<String>,
    pub(crate) observer: Option<String>,
    pub(crate) pipes: bool,
    pub(crate) timeout: Duration,
    pub(crate) patience: Duration,
}

impl Target {
    /// A runtime that is reached by a connector and lets a bearer token in.
    pub fn new(connector: impl Connector, token: impl Into<String>) -> Self {
        Self {
            connector: Arc::new(connector),
            token: token.into(),
            other: None,
            observer: None,
            pipes: false,
            timeout: Duration::from_secs(5),
            patience: Duration::from_secs(10),
        }
    }

    /// The bearer token of another principal, who may not observe what the first one does.
    #[must_use]
    pub fn other_principal(mut self, token: impl Into<String>) -> Self {
        self.other = Some(token.into());
        self
    }

    /// The bearer token of a third principal, who may observe what the first one does.
    #[must_use]
    pub fn observer(mut self, token: impl Into<String>) -> Self {
        self.observer = Some(token.into());
        self
    }

    /// Says that it is reached by pipes: each connection is to a runtime of its own, so that what takes two is not run, and there are
    /// no close codes.
    #[must_use]
    pub fn pipes(mut self) -> Self {
        self.pipes = true;
        self
    }

    /// How long an answer may take; 5 seconds, if nothing is said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a case may wait for time to pass, such as for two heartbeat intervals; 10 seconds, if nothing is said. A case that
    /// would wait longer is not run.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

/// What a peer says that it has.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// What the runtime, or the client, calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
    pub(crate) agents: BTreeSet<String>,
    pub(crate) features: BTreeSet<String>,
    pub(crate) commands: BTreeSet<String>,
    pub(crate) other_principal: bool,
    pub(crate) observer: bool,
    pub(crate) connections: bool,
}

impl Survey {
    /// What a case needs and the peer does not have.
    pub(crate) fn missing<'a>(&self, case: &'a Case) -> Option<&'a Need> {
        case.needs.iter().find(|need| match need {
            Need::Agent(name) => !self.agents.contains(name),
            Need::Feature(name) => !self.features.contains(name),
            Need::Command(name) => !self.commands.contains(name),
            Need::OtherPrincipal => !self.other_principal,
            Need::Observer => !self.observer,
            // What is reached by pipes has neither.
            Need::Connections | Need::BinaryFrames => !self.connections,
        })
    }
}
