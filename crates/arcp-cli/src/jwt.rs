//! Who is let in by `arcp serve`: holders of tokens that were configured, and of JWTs.

use std::path::{Path, PathBuf};

use anyhow::Context;
use arcp::jwt::{Jwt, Key};
use arcp::proto::BearerToken;
use arcp::runtime::{AuthenticationError, Authenticator, Caller, StaticTokens};

use crate::exit::{self, Failure};

#[derive(clap::Args)]
pub(crate) struct JwtArguments {
    /// Let in whoever has a JWT of this issuer, beside the tokens that are configured. Its keys are those that it publishes, if
    /// neither --jwt-jwks-url nor --jwt-key is given.
    #[arg(long, value_name = "URL", requires = "jwt_audience")]
    jwt_issuer: Option<String>,

    /// Whom the JWTs are for. Repeatable: for one of them.
    #[arg(long, value_name = "AUDIENCE", requires = "jwt_issuer")]
    jwt_audience: Vec<String>,

    /// Where the keys are published that the JWTs are signed with, as a JWKS.
    #[arg(long, value_name = "URL", requires = "jwt_issuer", conflicts_with = "jwt_key")]
    jwt_jwks_url: Option<String>,

    /// A public key that the JWTs are signed with, in PEM or as a JWK. Repeatable.
    #[arg(long, value_name = "FILE", requires = "jwt_issuer")]
    jwt_key: Vec<PathBuf>,

    /// The claim of a JWT that names its principal.
    #[arg(long, value_name = "CLAIM", default_value = "sub", requires = "jwt_issuer")]
    jwt_principal_claim: String,

    /// Call the principals of JWTs ISSUER#NAME, so that they are none of those that --token names.
    #[arg(long, requires = "jwt_issuer")]
    jwt_issuer_in_principal: bool,

    /// A scope that a JWT must have. Repeatable: all of them.
    #[arg(long, value_name = "SCOPE", requires = "jwt_issuer")]
    jwt_scope: Vec<String>,

    /// The claim of a JWT that caps the leases of the jobs that are submitted with it.
    #[arg(long, value_name = "CLAIM", default_value = "arcp_lease", requires = "jwt_issuer")]
    jwt_lease_claim: String,

    /// Fetch keys from private networks and from this machine too.
    #[arg(long, requires = "jwt_issuer", conflicts_with = "jwt_key")]
    jwt_private_network: bool,

    /// Trust the authorities with the certificates in this file, in PEM, when keys are fetched, rather than the system's.
    #[arg(long, value_name = "FILE", requires = "jwt_issuer", conflicts_with = "jwt_key")]
    jwt_ca: Option<PathBuf>,
}

impl JwtArguments {
    /// Whether anybody may get in so.
    pub(crate) fn are_given(&self) -> bool {
        self.jwt_issuer.is_some()
    }

    /// Who may get in, with those whose tokens are known.
    pub(crate) fn add(&self, known: StaticTokens) -> Result<Tokens, Failure> {
        let usage = |error| Failure::new(exit::USAGE, error);
        let (Some(issuer), Some((first, more))) = (&self.jwt_issuer, self.jwt_audience.split_first()) else {
            return Ok(Tokens { known, jwt: None });
        };
        let mut builder = Jwt::builder(issuer, first)
            .principal_claim(&self.jwt_principal_claim)
            .lease_claim(&self.jwt_lease_claim);
        builder = more.iter().fold(builder, |builder, audience| builder.audience(audience));
        builder = self.jwt_scope.iter().fold(builder, |builder, scope| builder.scope(scope));
        if self.jwt_issuer_in_principal {
            builder = builder.issuer_in_principal();
        }
        if self.jwt_private_network {
            builder = builder.allow_private_network();
        }
        if let Some(path) = &self.jwt_ca {
            builder = builder.certificate_authority(read(path).map_err(usage)?);
        }
        let jwt = match &self.jwt_jwks_url {
            Some(url) => builder.jwks(url).context("--jwt-jwks-url"),
            None if self.jwt_key.is_empty() => builder.discover().context("--jwt-issuer"),
            None => {
                let keys = self.jwt_key.iter().map(|path| key(path)).collect::<Result<Vec<_>, _>>();
                builder.keys(keys.map_err(usage)?).context("--jwt-key")
            }
        };
        Ok(Tokens { known, jwt: Some(jwt.map_err(usage)?) })
    }
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn key(path: &Path) -> anyhow::Result<Key> {
    let text = read(path)?;
    let key = if text.trim_start().starts_with('{') { Key::from_jwk(&text) } else { Key::from_pem(&text) };
    key.with_context(|| path.display().to_string())
}

/// Tokens that were configured, and then JWTs.
pub(crate) struct Tokens {
    known: StaticTokens,
    jwt: Option<Jwt>,
}

impl Authenticator for Tokens {
    async fn authenticate(&self, token: &BearerToken) -> Result<Caller, AuthenticationError> {
        match (self.known.authenticate(token).await, &self.jwt) {
            (Err(AuthenticationError::Invalid), Some(jwt)) => jwt.authenticate(token).await,
            (known, _) => known,
        }
    }
}
