//! The inventory of agents and what a reference to one means (§7.5).

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arcp_proto::session::AgentInfo;
use arcp_proto::{AgentName, AgentRef, AgentVersion, ErrorCode, ErrorPayload, Json};

use super::input::InputContract;

/// The agents of a runtime, by name and version.
#[derive(Clone, Debug, Default)]
pub struct Agents {
    by_name: BTreeMap<AgentName, Versions>,
    rerun: Vec<ResolvedAgent>,
    contracts: HashMap<ResolvedAgent, Arc<dyn InputContract>>,
}

#[derive(Clone, Debug)]
struct Versions {
    known: Vec<AgentVersion>,
    default: AgentVersion,
}

/// One version of one agent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResolvedAgent {
    /// Its name.
    pub name: AgentName,
    /// Its version.
    pub version: AgentVersion,
}

impl fmt::Display for ResolvedAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// An agent was registered twice in the same version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("agent {0} is registered twice")]
pub struct DuplicateAgent(pub String);

impl Agents {
    /// No agent.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a version. The last one registered is the default, until [`Agents::set_default`] says otherwise.
    ///
    /// # Errors
    /// When this version is registered already.
    pub fn register(&mut self, agent: ResolvedAgent) -> Result<(), DuplicateAgent> {
        let ResolvedAgent { name, version } = agent;
        match self.by_name.get_mut(&name) {
            None => {
                self.by_name.insert(name, Versions { known: vec![version.clone()], default: version });
            }
            Some(versions) if versions.known.contains(&version) => {
                return Err(DuplicateAgent(format!("{name}@{version}")));
            }
            Some(versions) => {
                versions.known.push(version.clone());
                versions.default = version;
            }
        }
        Ok(())
    }

    /// Makes a registered version the one that a bare name means. Returns whether it is registered.
    pub fn set_default(&mut self, agent: &ResolvedAgent) -> bool {
        let Some(versions) = self.by_name.get_mut(&agent.name) else { return false };
        let known = versions.known.contains(&agent.version);
        if known {
            versions.default = agent.version.clone();
        }
        known
    }

    /// What a reference means: the pinned version or the default.
    ///
    /// # Errors
    /// `AGENT_NOT_AVAILABLE` or `AGENT_VERSION_NOT_AVAILABLE`, naming what there is.
    pub fn resolve(&self, agent: &AgentRef) -> Result<ResolvedAgent, ErrorPayload> {
        let Some(versions) = self.by_name.get(&agent.name) else {
            let message = format!("agent {} is not registered", agent.name);
            return Err(ErrorPayload::new(ErrorCode::AgentNotAvailable, message));
        };
        let version = match &agent.version {
            None => versions.default.clone(),
            Some(version) if versions.known.contains(version) => version.clone(),
            Some(_) => {
                let known: Vec<_> = versions.known.iter().map(AgentVersion::as_str).collect();
                let message = format!("{agent} is not registered, {} has {}", agent.name, known.join(", "));
                return Err(ErrorPayload::new(ErrorCode::AgentVersionNotAvailable, message));
            }
        };
        Ok(ResolvedAgent { name: agent.name.clone(), version })
    }

    /// The inventory as `session.welcome` shows it, by name.
    pub fn inventory(&self) -> Vec<AgentInfo> {
        self.by_name.iter().map(|(name, versions)| self.info(name, versions)).collect()
    }

    fn info(&self, name: &AgentName, versions: &Versions) -> AgentInfo {
        let schema = |version: &AgentVersion| {
            let agent = ResolvedAgent { name: name.clone(), version: version.clone() };
            self.contracts.get(&agent).map(|contract| contract.schema().clone())
        };
        let others = versions.known.iter().filter(|version| **version != versions.default);
        AgentInfo {
            name: name.to_string(),
            versions: versions.known.iter().map(AgentVersion::to_string).collect(),
            default: Some(versions.default.to_string()),
            input_schema: schema(&versions.default),
            input_schemas: others
                .filter_map(|version| Some((version.to_string(), schema(version)?)))
                .collect(),
        }
    }

    /// Has the inputs of a registered version checked before they become jobs.
    pub fn contract(&mut self, agent: ResolvedAgent, contract: Arc<dyn InputContract>) {
        self.contracts.insert(agent, contract);
    }

    /// What the agent that a reference means says of an input; nothing if it does not say, or there is no such agent.
    pub fn check(&self, agent: &AgentRef, input: &Json) -> Option<Result<(), ErrorPayload>> {
        if self.contracts.is_empty() {
            return None;
        }
        self.check_resolved(&self.resolve(agent).ok()?, input)
    }

    pub(super) fn check_resolved(
        &self,
        agent: &ResolvedAgent,
        input: &Json,
    ) -> Option<Result<(), ErrorPayload>> {
        self.contracts.get(agent).map(|contract| contract.check(input))
    }

    /// Has jobs of a registered version run again when the runtime was restarted meanwhile.
    pub fn rerun(&mut self, agent: ResolvedAgent) {
        self.rerun.push(agent);
    }

    /// Whether jobs of this version are run again.
    pub fn are_rerun(&self, agent: &ResolvedAgent) -> bool {
        self.rerun.contains(agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, version: &str) -> ResolvedAgent {
        ResolvedAgent { name: name.parse().unwrap(), version: version.parse().unwrap() }
    }

    fn agents() -> Agents {
        let mut agents = Agents::new();
        for version in ["1.0.0", "2.0.0"] {
            agents.register(agent("versioned", version)).unwrap();
        }
        agents
    }

    #[test]
    fn a_bare_name_is_the_default_and_a_version_is_exact() {
        let mut agents = agents();
        let resolve = |agents: &Agents, text: &str| {
            agents.resolve(&text.parse().unwrap()).map(|agent| agent.to_string())
        };
        assert_eq!(resolve(&agents, "versioned").unwrap(), "versioned@2.0.0");
        assert_eq!(resolve(&agents, "versioned@1.0.0").unwrap(), "versioned@1.0.0");
        assert!(
            agents.set_default(&agent("versioned", "1.0.0")) && !agents.set_default(&agent("versioned", "9"))
        );
        assert_eq!(resolve(&agents, "versioned").unwrap(), "versioned@1.0.0");
        assert_eq!(resolve(&agents, "other").unwrap_err().code, ErrorCode::AgentNotAvailable);
        let error = resolve(&agents, "versioned@3.0.0").unwrap_err();
        assert_eq!(error.code, ErrorCode::AgentVersionNotAvailable);
        assert_eq!(error.message, "versioned@3.0.0 is not registered, versioned has 1.0.0, 2.0.0");
    }

    #[test]
    fn a_version_is_registered_once() {
        let mut agents = agents();
        assert_eq!(
            agents.register(agent("versioned", "1.0.0")),
            Err(DuplicateAgent("versioned@1.0.0".to_owned()))
        );
    }
}
