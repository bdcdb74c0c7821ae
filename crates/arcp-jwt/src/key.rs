//! Keys that tokens are signed with, each pinned to one algorithm. Where they come from is not told here.

use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::{Map, Value};

/// The least number of bytes of a secret, that of the hash (RFC 7518 §3.2).
const MIN_SECRET: usize = 32;

/// The least number of bytes of the modulus of an RSA key, 2048 bits (RFC 7518 §3.3).
const MIN_RSA: usize = 256;

/// A key that tokens are checked with. It is good for one algorithm, whatever a token says.
#[derive(Clone)]
pub struct Key {
    pub(crate) kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// A key cannot be used. Nothing of it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Neither PEM nor JWK as they must be.
    #[error("not a public key in PEM or a JWK")]
    Malformed,
    /// A private key, which nobody but the issuer should have.
    #[error("key is private: give the public one")]
    Private,
    /// A JWK of a secret: whoever can check tokens with it can make them.
    #[error("key is symmetric: it must be configured as a secret")]
    Symmetric,
    /// An algorithm or a curve that is not known here, or a key for another use than signatures.
    #[error("key is of a kind that is not supported: RSA, P-256, P-384 and Ed25519 are, for signatures")]
    Unsupported,
    /// An RSA key below 2048 bits, or a secret below 256.
    #[error("key is too short")]
    Short,
}

/// What is read of a JWK.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Key {
    /// A public key in PEM: `PUBLIC KEY`, or `RSA PUBLIC KEY`. The algorithm is `RS256` for RSA, `ES256` for P-256, `ES384` for P-384
    /// and `EdDSA` for Ed25519; a JWK can name another one.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let mut labels = pem.split("-----BEGIN ").skip(1);
        match (labels.next(), labels.next()) {
            (Some(label), None)
                if label.starts_with("PUBLIC KEY-") || label.starts_with("RSA PUBLIC KEY-") => {}
            _ if pem.contains("PRIVATE KEY-") => return Err(KeyError::Private),
            _ => return Err(KeyError::Malformed),
        }
        let pem = pem.as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            let short = key.as_bytes().len() < MIN_RSA;
            return if short { Err(KeyError::Short) } else { Ok(Self::of(Algorithm::RS256, key)) };
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            return Self::elliptic(key);
        }
        let key = DecodingKey::from_ed_pem(pem).map_err(|_| KeyError::Malformed)?;
        Self::edwards(key)
    }

    /// A public key as a JWK. Its `alg` is the algorithm; without one it is that of [`from_pem`](Self::from_pem). A token that names
    /// another `kid` is not checked with it.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn from_jwk(jwk: &str) -> Result<Self, KeyError> {
        let jwk: Map<String, Value> = serde_json::from_str(jwk).map_err(|_| KeyError::Malformed)?;
        Self::from_object(jwk)
    }

    /// A secret that the issuer shares with this runtime, for `HS256`: who has it can make tokens, this runtime included.
    ///
    /// # Errors
    /// [`KeyError::Short`] below 32 bytes.
    pub fn shared_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < MIN_SECRET {
            return Err(KeyError::Short);
        }
        Ok(Self::of(Algorithm::HS256, DecodingKey::from_secret(secret)))
    }

    fn from_object(jwk: Map<String, Value>) -> Result<Self, KeyError> {
        if jwk.contains_key("d") {
            return Err(KeyError::Private);
        }
        let jwk: Jwk = serde_json::from_value(Value::Object(jwk)).map_err(|_| KeyError::Malformed)?;
        let verifies = jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if jwk.used_for.as_ref().is_some_and(|used_for| used_for != "sig") || !verifies {
            return Err(KeyError::Unsupported);
        }
        let part = |part: &Option<String>| part.clone().ok_or(KeyError::Malformed);
        let malformed = |_| KeyError::Malformed;
        let mut key = match jwk.kty.as_str() {
            "RSA" => {
                let (n, e) = (part(&jwk.n)?, part(&jwk.e)?);
                if n.len() * 3 / 4 < MIN_RSA {
                    return Err(KeyError::Short);
                }
                Self::of(Algorithm::RS256, DecodingKey::from_rsa_components(&n, &e).map_err(malformed)?)
            }
            "EC" => {
                let key = DecodingKey::from_ec_components(&part(&jwk.x)?, &part(&jwk.y)?);
                Self::elliptic(key.map_err(malformed)?)?
            }
            "OKP" => Self::edwards(DecodingKey::from_ed_components(&part(&jwk.x)?).map_err(malformed)?)?,
            "oct" => return Err(KeyError::Symmetric),
            _ => return Err(KeyError::Unsupported),
        };
        let curve = match key.algorithm {
            Algorithm::ES256 => Some("P-256"),
            Algorithm::ES384 => Some("P-384"),
            Algorithm::EdDSA => Some("Ed25519"),
            _ => None,
        };
        if curve.is_some() && jwk.crv.as_deref() != curve {
            return Err(KeyError::Unsupported);
        }
        if let Some(name) = &jwk.alg {
            key.algorithm = algorithm_for(key.algorithm, name).ok_or(KeyError::Unsupported)?;
        }
        key.kid = jwk.kid;
        Ok(key)
    }

    fn elliptic(key: DecodingKey) -> Result<Self, KeyError> {
        // A point, uncompressed: a byte that says so and two coordinates.
        match key.as_bytes().len() {
            65 => Ok(Self::of(Algorithm::ES256, key)),
            97 => Ok(Self::of(Algorithm::ES384, key)),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn edwards(key: DecodingKey) -> Result<Self, KeyError> {
        match key.as_bytes().len() {
            32 => Ok(Self::of(Algorithm::EdDSA, key)),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn of(algorithm: Algorithm, key: DecodingKey) -> Self {
        Self { kid: None, algorithm, key }
    }

    /// Whether tokens that this key has signed name their algorithm so.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        algorithm_for(self.algorithm, name) == Some(self.algorithm)
    }

    /// Whether `signature`, in base64url, is one of this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &str) -> bool {
        matches!(jsonwebtoken::crypto::verify(signature, message, &self.key, self.algorithm), Ok(true))
    }
}

/// The algorithm with this name, of those that a key can have which has `default` if it says nothing.
fn algorithm_for(default: Algorithm, name: &str) -> Option<Algorithm> {
    if default == Algorithm::EdDSA && name == "Ed25519" {
        return Some(default);
    }
    let algorithm: Algorithm = name.parse().ok()?;
    let rsa = |algorithm: Algorithm| algorithm.family() == Algorithm::RS256.family();
    (algorithm == default || rsa(algorithm) && rsa(default)).then_some(algorithm)
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// The keys of an issuer.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeySet(Vec<Key>);

impl KeySet {
    pub(crate) fn new(keys: Vec<Key>) -> Self {
        Self(keys)
    }

    /// The keys of a JWKS that can be used: public ones for signatures, with a name. `None` for what is no JWKS.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Jwks {
            keys: Vec<Value>,
        }
        let jwks: Jwks = serde_json::from_slice(text).ok()?;
        let named = |key: Value| {
            let Value::Object(key) = key else { return None };
            let key = Key::from_object(key)
                .inspect_err(|error| tracing::debug!(%error, "key of a JWKS is left out"));
            key.ok().filter(|key| key.kid.is_some())
        };
        Some(Self(jwks.keys.into_iter().filter_map(named).collect()))
    }

    pub(crate) fn has(&self, kid: &str) -> bool {
        self.0.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// The keys that a token may be signed with which names `kid`.
    pub(crate) fn candidates(&self, kid: Option<&str>) -> impl Iterator<Item = &Key> {
        self.0.iter().filter(move |key| kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid)
    }
}
