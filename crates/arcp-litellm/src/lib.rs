//! Provisioned credentials (§9.8) as virtual keys of a [LiteLLM](https://docs.litellm.ai/docs/proxy/virtual_keys) proxy.
//!
//! ```no_run
//! use arcp_litellm::{LiteLlm, MasterKey};
//! use arcp_runtime::credentials::FileLedger;
//! use arcp_runtime::{Runtime, StaticTokens};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let gateway = LiteLlm::new("https://llm.example.com", MasterKey::new(std::env::var("LITELLM_KEY")?))?;
//! let runtime = Runtime::builder()
//!     .authenticator(StaticTokens::new().token("s3cret", "alice"))
//!     .credentials(gateway, FileLedger::open("/var/lib/arcp/credentials")?)
//!     .build()?;
//! # drop(runtime);
//! # Ok(())
//! # }
//! ```
//!
//! # Which jobs are given a key, and what bounds it
//!
//! A job whose lease names models, or money in USD of which something is left. Nothing would bound the key of any other: it is
//! given none, and begins without.
//!
//! | lease | key |
//! | --- | --- |
//! | what remains of `cost.budget` in USD | `max_budget` |
//! | `model.use`: names, `provider/*` and `provider/**` | `models`; LiteLLM's `provider/*` crosses `/` |
//! | `model.use` with any other pattern | nothing, and `constraints` of the credential does not say `model.use` |
//! | `expires_at` | `duration` |
//!
//! # Calls
//!
//! `/key/generate` with the runtime's handle as `key_alias`, and `/key/delete` by that alias, so that a key whose value was never
//! received can be revoked. LiteLLM does not change the value of a key: a rotation is another key. Before it is made,
//! `/key/update` takes the money from the earlier one and tells what was spent with it, so that no rotation makes a budget
//! larger; if no other key can be made it is given back.
//!
//! A child that is given part of its parent's budget has a key of its own, and `/key/update` takes as much from the key of its
//! parent before that is made: `max_budget` becomes what it was less that part, and no more than what was spent with the key
//! and what the job has left together. When the child has ended, `/key/update` takes the money from its key, which tells what
//! was spent, `/key/delete` deletes it, and another `/key/update` gives the rest to the parent's. What the proxy has not
//! counted by then, since a call is still on its way, is not seen.
//!
//! When the proxy tells an agent that a budget is exhausted or a model is not allowed, [`refusal`] makes the error of it in
//! which the job should end (§13.7).

mod api;
mod refusal;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arcp_runtime::credentials::{
    CredentialChange, CredentialOrder, CredentialProvisioner, Issued, Outstanding, ProvisionError,
};
use arcp_runtime::proto::{
    Amount, BearerToken, Budget, BudgetAmount, CredentialConstraints, CredentialValue, Timestamp,
};
use url::{Host, Url};

use crate::api::{Api, Generate, Metadata, Update};
pub use crate::refusal::{is_budget_error, refusal};

/// The key of the proxy's administrator. It prints as `[redacted]`.
pub type MasterKey = BearerToken;

/// The currency in which LiteLLM counts.
const USD: &str = "USD";
/// How long the proxy has for one call, if nothing is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Issues virtual keys of a LiteLLM proxy.
pub struct LiteLlm {
    api: Api,
    endpoint: String,
    profile: String,
    /// The keys of this run, by handle; needed to rotate them.
    keys: Mutex<HashMap<String, Key>>,
}

/// A key that was issued, and what it may spend.
struct Key {
    value: CredentialValue,
    max_budget: Option<Amount>,
}

/// Why a proxy cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The URL is none, or has more in it than a scheme, a host, a port and a path.
    #[error("URL of the proxy must be https://HOST[:PORT][/PATH], without user, query and fragment")]
    Url,
    /// The administrator's key would cross the network in the clear.
    #[error("URL of the proxy must be https, unless it is on this machine")]
    PlainHttp,
    /// There is no HTTP client on this machine, for want of certificates or threads.
    #[error("HTTP client cannot be made")]
    Client(#[source] reqwest::Error),
}

impl LiteLlm {
    /// A proxy at `url`, over HTTPS, or over HTTP on this machine. Nothing is called.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn new(url: &str, master_key: MasterKey) -> Result<Self, SetupError> {
        Self::builder(url, master_key).build()
    }

    /// The same with more to say.
    pub fn builder(url: &str, master_key: MasterKey) -> Builder {
        Builder {
            url: url.to_owned(),
            master_key,
            endpoint: None,
            profile: "openai".to_owned(),
            timeout: TIMEOUT,
            plain_http: false,
        }
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn generate(
        &self,
        order: &CredentialOrder,
        max_budget: Option<Amount>,
    ) -> Result<Issued, ProvisionError> {
        let now = Timestamp::from(std::time::SystemTime::now());
        let models = models(order);
        let generate = Generate {
            key_alias: &order.handle,
            max_budget,
            models: models.clone(),
            duration: order.expires_at.map(|at| format!("{}s", at.saturating_since(now).as_secs().max(1))),
            metadata: Metadata {
                arcp_job_id: order.job_id.as_str(),
                arcp_parent_job_id: order.parent_job_id.as_ref().map(AsRef::as_ref),
                arcp_principal: order.principal.as_str(),
                arcp_agent: order.agent.to_string(),
            },
        };
        let value = self.api.generate(&generate).await?;
        self.keys().insert(order.handle.clone(), Key { value: value.clone(), max_budget });
        let constraints = CredentialConstraints {
            cost_budget: max_budget.map(|amount| vec![format!("{USD}:{amount}")]),
            model_use: models.and(order.models.clone()),
            expires_at: order.expires_at,
        };
        Ok(Issued::bearer(value, self.endpoint.clone())
            .profile(self.profile.clone())
            .constraints(constraints))
    }

    /// Changes what may be spent with a key altogether. Returns what was.
    async fn limit(
        &self,
        handle: &str,
        value: &CredentialValue,
        max_budget: Amount,
    ) -> Result<Amount, ProvisionError> {
        let updated = self.api.update(&Update { key: value.expose(), max_budget }).await;
        if let Some(key) = self.keys().get_mut(handle) {
            // Nobody knows whether it was done, if it failed: the lesser one is on the safe side.
            let before = key.max_budget.filter(|_| updated.is_err());
            key.max_budget = Some(before.map_or(max_budget, |before| before.min(max_budget)));
        }
        updated
    }

    /// Takes the money from a key, and tells what is left of it.
    async fn freeze(
        &self,
        handle: &str,
    ) -> Result<Option<(CredentialValue, Amount, Amount)>, ProvisionError> {
        let key = self.keys().get(handle).and_then(|key| Some((key.value.clone(), key.max_budget?)));
        let Some((value, max_budget)) = key else { return Ok(None) };
        let spent = match self.api.update(&Update { key: value.expose(), max_budget: Amount::ZERO }).await {
            Ok(spent) => spent,
            Err(error) => {
                self.thaw(&value, max_budget).await;
                return Err(error);
            }
        };
        Ok(Some((value, max_budget, max_budget.minus(spent))))
    }

    /// Gives a key its money back. If that fails its job ends at the upstream's hands, which is the safe side.
    async fn thaw(&self, value: &CredentialValue, max_budget: Amount) {
        let _ = self.api.update(&Update { key: value.expose(), max_budget }).await;
    }
}

impl CredentialProvisioner for LiteLlm {
    fn wants(&self, order: &CredentialOrder) -> bool {
        let models = order.models.as_ref().map(Vec::len);
        let bounded = models.is_some() || order.budget.remaining(USD).is_some();
        // An empty list of models means all of them to the proxy.
        bounded && models != Some(0) && !order.is_exhausted()
    }

    async fn issue(&self, order: &CredentialOrder) -> Result<Issued, ProvisionError> {
        self.generate(order, order.budget.remaining(USD)).await
    }

    async fn rotate(&self, order: &CredentialOrder) -> Result<Issued, ProvisionError> {
        let remaining = order.budget.remaining(USD);
        let frozen = match &order.replaces {
            Some(replaced) => self.freeze(replaced).await?,
            None => None,
        };
        let Some((value, max_budget, left)) = frozen else { return self.generate(order, remaining).await };
        let most = remaining.map_or(left, |remaining| remaining.min(left));
        let issued = if most.is_exhausted() {
            Err(ProvisionError::BudgetExhausted("nothing is left of the earlier key's budget".into()))
        } else {
            self.generate(order, Some(most)).await
        };
        if issued.is_err() {
            self.thaw(&value, max_budget).await;
        }
        issued
    }

    async fn constrain(&self, change: &CredentialChange) -> Result<Budget, ProvisionError> {
        let Some(limit) = change.limit.remaining(USD) else { return Ok(Budget::default()) };
        let value = self.keys().get(&change.handle).map(|key| key.value.clone());
        let value = value.ok_or_else(|| ProvisionError::Permanent("key is none of this run".into()))?;
        let mut spent = self.limit(&change.handle, &value, limit).await?;
        let most = change.most(USD, spent).unwrap_or(limit).max(Amount::ZERO);
        if most < limit {
            spent = self.limit(&change.handle, &value, most).await?;
        }
        let currency = USD.parse().map_err(|error| ProvisionError::Permanent(Box::new(error)))?;
        Ok([BudgetAmount { currency, amount: spent }].into_iter().collect())
    }

    async fn revoke(&self, credential: &Outstanding) -> Result<(), ProvisionError> {
        self.api.delete(&credential.handle).await?;
        self.keys().remove(&credential.handle);
        Ok(())
    }
}

impl fmt::Debug for LiteLlm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiteLlm").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What the proxy knows the models of an order by; `None` if it cannot be told.
fn models(order: &CredentialOrder) -> Option<Vec<String>> {
    let model = |pattern: &String| match pattern.split_once('*') {
        None => Some(pattern.clone()),
        Some((provider, "" | "*")) if provider.len() > 1 && provider.ends_with('/') => {
            Some(format!("{provider}*"))
        }
        Some(_) => None,
    };
    order.models.as_ref()?.iter().map(model).collect()
}

/// Sets up a [`LiteLlm`].
#[derive(Debug)]
pub struct Builder {
    url: String,
    master_key: MasterKey,
    endpoint: Option<String>,
    profile: String,
    timeout: Duration,
    plain_http: bool,
}

impl Builder {
    /// Where agents use their keys, if that is not `/v1` of the proxy as the runtime calls it.
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = Some(endpoint.into());
        self
    }

    /// The API that agents are told to speak there; `openai` if nothing is said.
    #[must_use]
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.profile = profile.into();
        self
    }

    /// How long the proxy has for one call; 10 s if nothing is said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Lets the administrator's key cross the network in the clear. For networks that nobody else is in.
    #[must_use]
    pub fn dangerous_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Makes it. Nothing is called.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn build(self) -> Result<LiteLlm, SetupError> {
        let mut url = Url::parse(&self.url).map_err(|_| SetupError::Url)?;
        let bare = url.username().is_empty() && url.password().is_none();
        if !matches!(url.scheme(), "http" | "https")
            || !bare
            || url.query().is_some()
            || url.fragment().is_some()
        {
            return Err(SetupError::Url);
        }
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        };
        if url.scheme() == "http" && !loopback && !self.plain_http {
            return Err(SetupError::PlainHttp);
        }
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let endpoint = match self.endpoint {
            Some(endpoint) => endpoint,
            None => url.join("v1").map_err(|_| SetupError::Url)?.to_string(),
        };
        let api = Api::new(url, self.master_key, self.timeout, loopback).map_err(SetupError::Client)?;
        Ok(LiteLlm { api, endpoint, profile: self.profile, keys: Mutex::default() })
    }
}
