//! A token as it stands on the wire (RFC 7515, RFC 7519): its parts, its header, its signature. What it claims is read elsewhere.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use crate::key::KeySet;

/// The longest token that is looked at, in bytes.
pub(crate) const MAX_TOKEN: usize = 16 * 1024;

/// The longest name of a key.
const MAX_KID: usize = 256;

/// Why a token is refused. For the log alone, and so without anything that stands in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("longer than {MAX_TOKEN} bytes")]
    TooLong,
    #[error("not a JWT")]
    Malformed,
    #[error("not a JWT of a kind that gives access")]
    Kind,
    #[error("demands an extension that is not known")]
    Critical,
    #[error("signed with a key that is not known")]
    UnknownKey,
    #[error("not of the algorithm of its key")]
    Algorithm,
    #[error("signature is not that of its key")]
    Signature,
    #[error("claim {0} is missing or not what it must be")]
    Claim(String),
    #[error("claim iss names another issuer")]
    Issuer,
    #[error("claim aud names nobody here")]
    Audience,
    #[error("expired")]
    Expired,
    #[error("not yet valid")]
    Early,
    #[error("lacks the scope {0}")]
    Scope(String),
}

/// What is read of the header. `jwk`, `jku`, `x5c` and `x5u` would have the token bring its own key: they are not read.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    crit: Option<IgnoredAny>,
}

/// A token whose signature has not been looked at.
pub(crate) struct Unverified<'a> {
    header: Header,
    /// What is signed.
    message: &'a str,
    claims: &'a str,
    signature: &'a str,
}

impl<'a> Unverified<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAX_TOKEN {
            return Err(Refusal::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(Refusal::Malformed)?;
        if claims.contains('.') {
            return Err(Refusal::Malformed);
        }
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::Malformed)?;
        if header.kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID) {
            return Err(Refusal::Malformed);
        }
        if header.crit.is_some() {
            return Err(Refusal::Critical);
        }
        let known = ["JWT", "at+jwt", "application/at+jwt"]; // RFC 9068
        if header.typ.as_ref().is_some_and(|typ| !known.iter().any(|known| typ.eq_ignore_ascii_case(known))) {
            return Err(Refusal::Kind);
        }
        Ok(Self { header, message, claims, signature })
    }

    /// The name of the key that it says to be signed with.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What it claims, if one of `keys` has signed it.
    pub(crate) fn verify(&self, keys: &KeySet) -> Result<Map<String, Value>, Refusal> {
        let mut why = Refusal::UnknownKey;
        for key in keys.candidates(self.kid()) {
            if !key.is_for(&self.header.alg) {
                why = Refusal::Algorithm;
            } else if key.verifies(self.message.as_bytes(), self.signature) {
                return serde_json::from_slice(&decode(self.claims)?).map_err(|_| Refusal::Malformed);
            } else {
                why = Refusal::Signature;
            }
        }
        Err(why)
    }
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed)
}
