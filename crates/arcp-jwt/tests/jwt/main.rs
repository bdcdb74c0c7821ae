//! JWTs as bearer tokens: who is let in, who is not, and with what. Tokens are signed here; issuers are servers of this process.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod attacks;
mod issuer;
mod keys;
mod remote;
mod session;
mod signer;

use arcp_jwt::Jwt;
use arcp_runtime::{AuthenticationError, Authenticator};
use serde_json::{Value, json};

/// The issuer of tokens whose keys are at hand.
const ISSUER: &str = "https://id.example";

/// 2100-01-01.
const FAR: u64 = 4_102_444_800;

/// Claims that are good.
fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "arcp", "sub": "alice", "exp": FAR })
}

/// The name of whoever is let in with a token.
async fn who(jwt: &Jwt, token: &str) -> Result<String, AuthenticationError> {
    jwt.authenticate(&token.into()).await.map(|caller| caller.principal.to_string())
}

const REFUSED: Result<String, AuthenticationError> = Err(AuthenticationError::Invalid);

fn alice() -> Result<String, AuthenticationError> {
    Ok("alice".to_owned())
}
