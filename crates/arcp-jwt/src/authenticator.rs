//! The authenticator, and how it is set up.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arcp_runtime::proto::BearerToken;
use arcp_runtime::{AuthenticationError, Authenticator, Caller};
use reqwest::Certificate;

use crate::cache::{Cache, NoKeys};
use crate::claims::Rules;
use crate::fetch::{Policy, Source, UrlError, Web};
use crate::key::{Key, KeySet};
use crate::token::{Refusal, Unverified};

/// The largest difference between clocks that can be allowed for.
const MAX_SKEW: Duration = Duration::from_secs(5 * 60);

/// Lets in whoever has a token of one issuer.
///
/// A token that is refused is told to its holder as `UNAUTHENTICATED` and no more; why stands in the log, without anything of
/// the token. Where there are no keys to check it with, the answer is `INTERNAL_ERROR`, which invites to try again.
pub struct Jwt {
    rules: Rules,
    keys: Keys,
}

enum Keys {
    Fixed(Arc<KeySet>),
    Remote(Cache<Web>),
}

/// An authenticator cannot be set up like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Whoever has a token for anybody would be let in.
    #[error("issuer and audience must not be empty")]
    Empty,
    /// A token would be good for too long after its end.
    #[error("skew is more than {} s", MAX_SKEW.as_secs())]
    Skew,
    /// Nobody could be let in.
    #[error("no key is given")]
    NoKey,
    /// The URL of the keys, or of the issuer, is not one to fetch from.
    #[error("url of the keys: {0}")]
    Url(#[from] UrlError),
    /// There is no certificate, or one that cannot be read.
    #[error("certificates of an authority are not in PEM")]
    Certificate,
    /// No HTTP client can be made.
    #[error("no client can be made")]
    Client(#[source] reqwest::Error),
}

impl Jwt {
    /// Tokens of `issuer` for `audience`: what their `iss` and `aud` must be, to the letter. What follows says how they are
    /// checked; [`keys`](Builder::keys), [`jwks`](Builder::jwks) or [`discover`](Builder::discover) ends it.
    pub fn builder(issuer: impl Into<String>, audience: impl Into<String>) -> Builder {
        Builder {
            rules: Rules::new(issuer.into(), audience.into()),
            policy: Policy::default(),
            authorities: Vec::new(),
        }
    }

    async fn caller(&self, token: &str) -> Result<Result<Caller, Refusal>, NoKeys> {
        let token = match Unverified::parse(token) {
            Ok(token) => token,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let keys = match (&self.keys, token.kid()) {
            (Keys::Fixed(keys), _) => Arc::clone(keys),
            (Keys::Remote(cache), Some(kid)) => cache.keys_for(kid).await?,
            (Keys::Remote(_), None) => return Ok(Err(Refusal::UnknownKey)),
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Ok(token.verify(&keys).and_then(|claims| self.rules.caller(&claims, now.as_secs_f64())))
    }
}

impl Authenticator for Jwt {
    async fn authenticate(&self, token: &BearerToken) -> Result<Caller, AuthenticationError> {
        match self.caller(token.expose()).await {
            Ok(Ok(caller)) => Ok(caller),
            Ok(Err(refusal)) => {
                tracing::info!(target: "arcp::audit", %refusal, "token refused");
                Err(AuthenticationError::Invalid)
            }
            Err(NoKeys) => Err(AuthenticationError::Unavailable),
        }
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("rules", &self.rules).finish_non_exhaustive()
    }
}

/// Sets up a [`Jwt`].
#[derive(Debug)]
#[must_use = "it is an authenticator once it is told where the keys are"]
pub struct Builder {
    rules: Rules,
    policy: Policy,
    authorities: Vec<String>,
}

impl Builder {
    /// Takes tokens for this audience as well.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audiences.push(audience.into());
        self
    }

    /// Takes only tokens with this scope, in `scope` or in `scp`. May be said more than once: all of them are needed.
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.rules.scopes.push(scope.into());
        self
    }

    /// The claim that names the principal; `sub` if nothing is said. It must be one that holders cannot choose for
    /// themselves: who has a principal's name is that principal, whichever authenticator has said so.
    pub fn principal_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.principal_claim = claim.into();
        self
    }

    /// Calls principals `ISSUER#NAME`, so that they are nobody else's.
    pub fn issuer_in_principal(mut self) -> Self {
        self.rules.issuer_in_principal = true;
        self
    }

    /// The claim that caps the leases of jobs; `arcp_lease` if nothing is said.
    pub fn lease_claim(mut self, claim: impl Into<String>) -> Self {
        self.rules.lease_claim = claim.into();
        self
    }

    /// Refuses tokens that do not cap the leases of jobs.
    pub fn require_lease_claim(mut self) -> Self {
        self.rules.lease_required = true;
        self
    }

    /// How far apart the clocks of the issuer and of this machine may be; 30 s if nothing is said, 5 min at most.
    pub fn skew(mut self, skew: Duration) -> Self {
        self.rules.skew = skew;
        self
    }

    /// Fetches keys from private networks and from this machine too, the latter also by plain HTTP. Link-local addresses stay
    /// out of reach.
    pub fn allow_private_network(mut self) -> Self {
        self.policy.private = true;
        self
    }

    /// Trusts the authorities with these certificates, in PEM, when keys are fetched, rather than those that the system trusts.
    pub fn certificate_authority(mut self, pem: impl Into<String>) -> Self {
        self.authorities.push(pem.into());
        self
    }

    /// Checks tokens with these keys.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn keys(self, keys: impl IntoIterator<Item = Key>) -> Result<Jwt, SetupError> {
        let keys: Vec<Key> = keys.into_iter().collect();
        if keys.is_empty() {
            return Err(SetupError::NoKey);
        }
        self.build(|_| Ok(Keys::Fixed(Arc::new(KeySet::new(keys)))))
    }

    /// Checks tokens with the keys of the JWKS at `url`. Nothing is fetched before the first token.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn jwks(self, url: &str) -> Result<Jwt, SetupError> {
        self.build(|builder| builder.remote(Source::Jwks(builder.policy.url(url)?)))
    }

    /// Checks tokens with the keys that the issuer publishes: `/.well-known/openid-configuration` below its URL says where they are.
    /// Nothing is fetched before the first token.
    ///
    /// # Errors
    /// See [`SetupError`].
    pub fn discover(self) -> Result<Jwt, SetupError> {
        self.build(|builder| {
            let issuer = builder.rules.issuer.clone();
            if builder.policy.url(&issuer)?.query().is_some() {
                return Err(UrlError::Malformed.into());
            }
            let document = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
            let document = builder.policy.url(&document)?;
            builder.remote(Source::Discovery { document, issuer })
        })
    }

    fn remote(&self, source: Source) -> Result<Keys, SetupError> {
        let mut authorities = Vec::new();
        for pem in &self.authorities {
            let found = Certificate::from_pem_bundle(pem.as_bytes()).unwrap_or_default();
            if found.is_empty() {
                return Err(SetupError::Certificate);
            }
            authorities.extend(found);
        }
        let web = Web::new(self.policy, source, &authorities).map_err(SetupError::Client)?;
        Ok(Keys::Remote(Cache::new(web)))
    }

    fn build(self, keys: impl FnOnce(&Self) -> Result<Keys, SetupError>) -> Result<Jwt, SetupError> {
        if self.rules.issuer.is_empty() || self.rules.audiences.iter().any(String::is_empty) {
            return Err(SetupError::Empty);
        }
        if self.rules.skew > MAX_SKEW {
            return Err(SetupError::Skew);
        }
        let keys = keys(&self)?;
        Ok(Jwt { rules: self.rules, keys })
    }
}
