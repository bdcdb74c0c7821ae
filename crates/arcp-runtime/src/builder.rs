//! Building a runtime. One without an authenticator does not compile.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

use arcp_core::lease::ModelPolicy;
use arcp_core::quirks::QuirkPolicy;
use arcp_core::runtime::{Agents, Config, InputContract, Limits, ResolvedAgent, Tracer};
use arcp_core::{ObservationPolicy, SamePrincipal};
use arcp_proto::session::Peer;
use arcp_proto::{AgentRef, Feature};

use crate::agent::{Agent, ErasedAgent};
use crate::authenticator::{Anonymous, Authenticator, ErasedAuthenticator};
use crate::credentials::{CredentialLedger, CredentialProvisioner};
use crate::driver::Credentials;
use crate::rates::{MessageRate, RateLimits, SubmitRate};
use crate::runtime::Runtime;
use crate::store::{MemoryStore, Store};

/// What an agent works with, or why that cannot be said.
type Contract = Result<Arc<dyn InputContract>, String>;

/// All schemas of a runtime together, in bytes of JSON: every `session.welcome` carries them.
const ALL_SCHEMA_BYTES: usize = 256 << 10;

/// State of a [`RuntimeBuilder`] that does not know yet how clients authenticate.
#[derive(Debug)]
pub struct Unauthenticated(());

/// State of a [`RuntimeBuilder`] that knows how clients authenticate.
#[derive(Debug)]
pub struct Authenticated(());

/// Builds a [`Runtime`].
pub struct RuntimeBuilder<Authentication = Unauthenticated> {
    identity: Peer,
    limits: Limits,
    authenticator: Arc<dyn ErasedAuthenticator>,
    store: Arc<dyn Store>,
    observation: Arc<dyn ObservationPolicy>,
    models: ModelPolicy,
    credentials: Option<Credentials>,
    behind_tls: bool,
    quirks: QuirkPolicy,
    rates: RateLimits,
    tracer: Option<Arc<dyn Tracer>>,
    agents: Vec<(String, Arc<dyn ErasedAgent>)>,
    contracts: Vec<(String, Contract)>,
    defaults: Vec<String>,
    state: PhantomData<Authentication>,
}

/// Why a runtime cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// An agent's name is not `name@version`.
    #[error(
        "agent {0:?} cannot be registered: its name must be `name@version`, such as `report@1.0.0` (§7.5)"
    )]
    AgentName(String),
    /// An agent is registered twice in the same version.
    #[error("agent {0} is registered twice")]
    DuplicateAgent(String),
    /// The version that is to be the default is not registered.
    #[error("default version {0} is not registered")]
    UnknownDefault(String),
    /// The schema of an agent's input cannot be shown or checked.
    #[error("agent {agent}: the schema of its input cannot be used: {reason}")]
    InputSchema {
        /// The agent.
        agent: String,
        /// Why not.
        reason: String,
    },
    /// The schemas of all inputs together are too much for a welcome.
    #[error("schemas of inputs have {0} bytes together, which is above {ALL_SCHEMA_BYTES}")]
    InputSchemas(usize),
    /// A limit is zero that must not be.
    #[error("limit {0} must be at least 1")]
    ZeroLimit(&'static str),
    /// The credential ledger is gone with the process, and what it has issued would stay good.
    #[error(
        "credential ledger does not survive a restart, so that revocation cannot be guaranteed (§14): use a FileLedger, or say that it does not matter with MemoryLedger::dangerous"
    )]
    ForgetfulLedger,
}

impl RuntimeBuilder<Unauthenticated> {
    pub(crate) fn new() -> Self {
        Self {
            identity: Peer { name: "arcp-runtime".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
            limits: Limits::default(),
            authenticator: Arc::new(Anonymous),
            store: Arc::new(MemoryStore::new()),
            observation: Arc::new(SamePrincipal),
            models: ModelPolicy::default(),
            credentials: None,
            behind_tls: false,
            quirks: QuirkPolicy::default(),
            rates: RateLimits::none(),
            tracer: None,
            agents: Vec::new(),
            contracts: Vec::new(),
            defaults: Vec::new(),
            state: PhantomData,
        }
    }

    /// How bearer tokens become principals (§6.1).
    pub fn authenticator(self, authenticator: impl Authenticator) -> RuntimeBuilder<Authenticated> {
        self.authenticated(Arc::new(authenticator))
    }

    /// Ways to build a runtime that does not know its clients.
    pub fn dangerous(self) -> Dangerous {
        Dangerous(self)
    }
}

/// Ways to build a runtime that does not know its clients; see [`RuntimeBuilder::dangerous`].
pub struct Dangerous(RuntimeBuilder<Unauthenticated>);

impl Dangerous {
    /// Lets everybody in with any token, as one principal named `anonymous`: each client can see and cancel what the
    /// others do as far as one principal can.
    pub fn allow_anonymous(self) -> RuntimeBuilder<Authenticated> {
        self.0.authenticated(Arc::new(Anonymous))
    }
}

impl<Authentication> RuntimeBuilder<Authentication> {
    fn authenticated(self, authenticator: Arc<dyn ErasedAuthenticator>) -> RuntimeBuilder<Authenticated> {
        let Self { identity, limits, store, observation, models, .. } = self;
        let Self { credentials, behind_tls, quirks, rates, tracer, agents, contracts, defaults, .. } = self;
        RuntimeBuilder {
            identity,
            limits,
            authenticator,
            store,
            observation,
            models,
            credentials,
            behind_tls,
            quirks,
            rates,
            tracer,
            agents,
            contracts,
            defaults,
            state: PhantomData,
        }
    }

    /// Hosts an agent under `name@version` (§7.5). Of several versions the last one added is the default.
    #[must_use]
    pub fn agent(mut self, name: impl Into<String>, agent: impl Agent) -> Self {
        self.agents.push((name.into(), Arc::new(agent)));
        self
    }

    /// Hosts an agent that says what it works with: `session.welcome` shows the JSON Schema of its input
    /// ([`AgentInfo::schema_of`](arcp_proto::session::AgentInfo::schema_of)), and an input that does not fit becomes no job. It
    /// is refused with `INVALID_REQUEST` and the place, as `details.path`, such as `input.pages[3]`.
    ///
    /// What fits is what the schema allows and `Input` decodes. Nothing that a schema refers to is fetched. Whoever has a session can
    /// read it, and the doc comments of the type are in it.
    #[cfg(feature = "schema")]
    #[must_use]
    pub fn typed_agent<A>(mut self, name: impl Into<String>, agent: A) -> Self
    where
        A: Agent<Input: schemars::JsonSchema>,
    {
        let name = name.into();
        let contract = crate::input::Typed::<A::Input>::new();
        self.contracts.push((name.clone(), contract.map(|typed| Arc::new(typed) as Arc<dyn InputContract>)));
        self.agent(name, agent)
    }

    /// Makes `name@version` what the bare name means.
    #[must_use]
    pub fn default_version(mut self, name: impl Into<String>) -> Self {
        self.defaults.push(name.into());
        self
    }

    /// What `session.welcome` calls this runtime.
    #[must_use]
    pub fn identity(mut self, name: impl Into<String>, version: impl Into<String>) -> Self {
        self.identity = Peer { name: name.into(), version: version.into() };
        self
    }

    /// The limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Who may see whose jobs (§6.6, §7.6); only their own, if nothing is said.
    #[must_use]
    pub fn observation(mut self, policy: impl ObservationPolicy + 'static) -> Self {
        self.observation = Arc::new(policy);
        self
    }

    /// Who issues credentials for jobs, and where it is written down what may still be good (§9.8). The runtime offers
    /// `provisioned_credentials` then.
    #[must_use]
    pub fn credentials(
        mut self,
        provisioner: impl CredentialProvisioner,
        ledger: impl CredentialLedger,
    ) -> Self {
        self.credentials = Some((Arc::new(provisioner), Arc::new(ledger)));
        self
    }

    /// Says that clients reach this runtime by TLS only, which something in front of it ends. Then every connection is trusted
    /// with the values of credentials (§14); otherwise those whose peer is [`secure`](arcp_transport::Peer::secure) are, as it
    /// is over TLS and on this machine, and to others `provisioned_credentials` is not offered.
    #[must_use]
    pub fn behind_tls(mut self) -> Self {
        self.behind_tls = true;
        self
    }

    /// What a lease that does not name `model.use` means (§9.7): any model, if nothing is said.
    #[must_use]
    pub fn models(mut self, policy: ModelPolicy) -> Self {
        self.models = policy;
        self
    }

    /// Which sessions are served with deviations from the draft, which some published clients need: those of
    /// [known peers](arcp_core::quirks::PEERS), if nothing is said.
    #[must_use]
    pub fn quirks(mut self, policy: QuirkPolicy) -> Self {
        self.quirks = policy;
        self
    }

    /// How often a principal may ask; as often as it likes, if nothing is said.
    #[must_use]
    pub fn rate_limits(mut self, rates: RateLimits) -> Self {
        self.rates = rates;
        self
    }

    /// Who makes spans of what happens (§11), such as `arcp-otel` for OpenTelemetry; nobody, if nothing is said.
    #[must_use]
    pub fn tracer(mut self, tracer: impl Tracer + 'static) -> Self {
        self.tracer = Some(Arc::new(tracer));
        self
    }

    /// Where the runtime keeps what must be there after a restart; a [`MemoryStore`] if nothing is said.
    #[must_use]
    pub fn store(mut self, store: impl Store) -> Self {
        self.store = Arc::new(store);
        self
    }
}

impl RuntimeBuilder<Authenticated> {
    /// Builds the runtime. Must be called within a tokio runtime, in which its tasks then run.
    ///
    /// # Errors
    /// See [`BuildError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn build(self) -> Result<Runtime, BuildError> {
        let mut inventory = Agents::new();
        let mut agents: HashMap<ResolvedAgent, Arc<dyn ErasedAgent>> = HashMap::new();
        for (name, agent) in self.agents {
            let resolved = resolve(&name)?;
            inventory
                .register(resolved.clone())
                .map_err(|duplicate| BuildError::DuplicateAgent(duplicate.0))?;
            if agent.is_rerun() {
                inventory.rerun(resolved.clone());
            }
            agents.insert(resolved, agent);
        }
        let mut schema_bytes = 0;
        for (name, contract) in self.contracts {
            let resolved = resolve(&name)?;
            let contract = contract.map_err(|reason| BuildError::InputSchema { agent: name, reason })?;
            schema_bytes += contract.schema().len();
            inventory.contract(resolved, contract);
        }
        if schema_bytes > ALL_SCHEMA_BYTES {
            return Err(BuildError::InputSchemas(schema_bytes));
        }
        for name in self.defaults {
            if !inventory.set_default(&resolve(&name)?) {
                return Err(BuildError::UnknownDefault(name));
            }
        }
        check(&self.limits)?;
        let mut config = Config::new(self.identity, inventory);
        config.limits = self.limits;
        config.observation = self.observation;
        config.models = self.models;
        config.behind_tls = self.behind_tls;
        config.quirks = self.quirks;
        config.tracer = self.tracer;
        if let Some(rate) = self.rates.submits {
            config.admission = Some(Arc::new(SubmitRate::new(rate)));
        }
        if let Some((_, ledger)) = &self.credentials {
            if !ledger.survives() && !ledger.accepts_loss() {
                return Err(BuildError::ForgetfulLedger);
            }
            let features = config.features.iter().cloned();
            config.features = features.chain([Feature::ProvisionedCredentials]).collect();
        }
        let door = (self.authenticator, self.rates.messages.map(MessageRate::new));
        Ok(Runtime::start(config, agents, door, self.store, self.credentials))
    }
}

fn resolve(name: &str) -> Result<ResolvedAgent, BuildError> {
    let reference: AgentRef = name.parse().map_err(|_| BuildError::AgentName(name.to_owned()))?;
    match reference.version {
        Some(version) => Ok(ResolvedAgent { name: reference.name, version }),
        None => Err(BuildError::AgentName(name.to_owned())),
    }
}

fn check(limits: &Limits) -> Result<(), BuildError> {
    let counts = [
        ("handshakes", limits.handshakes),
        ("sessions_per_principal", limits.sessions_per_principal),
        ("jobs_per_session", limits.jobs_per_session),
        ("jobs_per_principal", limits.jobs_per_principal),
        ("send_window_events", limits.send_window_events),
        ("send_window_bytes", limits.send_window_bytes),
        ("buffer_events", limits.buffer_events),
        ("buffer_bytes", limits.buffer_bytes),
        ("subscriptions_per_session", limits.subscriptions_per_session),
        ("uncommitted_bytes", limits.uncommitted_bytes),
        ("answers", limits.answers),
        ("answer_bytes", limits.answer_bytes),
        ("uncommitted_requests", limits.uncommitted_requests),
        ("chunk_bytes", limits.chunk_bytes),
        ("result_bytes", limits.result_bytes),
        ("payload_bytes", limits.payload_bytes),
    ];
    match counts.iter().find(|(_, limit)| *limit == 0) {
        Some((name, _)) => Err(BuildError::ZeroLimit(name)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AgentError, JobContext, StaticTokens, agent_fn};

    fn builder() -> RuntimeBuilder<Authenticated> {
        Runtime::builder().authenticator(StaticTokens::new())
    }

    fn agent() -> impl Agent {
        agent_fn(async |_: JobContext, (): ()| Ok::<_, AgentError>(()))
    }

    #[tokio::test]
    async fn what_is_wrong_is_named() {
        let error = |builder: RuntimeBuilder<Authenticated>| builder.build().err().unwrap().to_string();
        assert!(error(builder().agent("Bad@1", agent())).contains("\"Bad@1\""));
        assert!(error(builder().agent("echo", agent())).contains("name@version"));
        assert_eq!(
            error(builder().agent("a@1", agent()).agent("a@1", agent())),
            "agent a@1 is registered twice"
        );
        assert_eq!(
            error(builder().agent("a@1", agent()).default_version("a@2")),
            "default version a@2 is not registered"
        );
        let limits = Limits { answers: 0, ..Limits::default() };
        assert_eq!(error(builder().limits(limits)), "limit answers must be at least 1");
        assert!(builder().agent("a@1", agent()).default_version("a@1").build().is_ok());
    }
}
