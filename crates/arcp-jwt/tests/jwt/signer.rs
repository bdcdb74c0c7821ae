//! A key of an issuer, and the tokens that are signed with it, good and bad.

use arcp_jwt::Key;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use rcgen::KeyPair;
use serde_json::{Value, json};

pub(crate) struct Signer {
    pub(crate) kid: &'static str,
    pub(crate) algorithm: Algorithm,
    key: EncodingKey,
    /// In PEM.
    pub(crate) public: String,
    pub(crate) private: String,
}

impl Signer {
    pub(crate) fn new(kid: &'static str, algorithm: Algorithm) -> Self {
        let pair = match algorithm {
            Algorithm::ES256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256),
            Algorithm::ES384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384),
            Algorithm::EdDSA => KeyPair::generate_for(&rcgen::PKCS_ED25519),
            _ => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
        };
        let pair = pair.unwrap();
        let (public, private) = (pair.public_key_pem(), pair.serialize_pem());
        let pem = private.as_bytes();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            _ => EncodingKey::from_rsa_pem(pem),
        };
        Self { kid, algorithm, key: key.unwrap(), public, private }
    }

    pub(crate) fn key(&self) -> Key {
        Key::from_pem(&self.public).unwrap()
    }

    /// The public key with its name and its algorithm.
    pub(crate) fn jwk(&self) -> Value {
        let mut jwk = match self.algorithm {
            Algorithm::EdDSA => {
                let pair = KeyPair::from_pem(&self.private).unwrap();
                json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw()), "alg": "EdDSA" })
            }
            _ => serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap()).unwrap(),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": self.algorithm, "kid": self.kid, "typ": "JWT" })
    }

    /// A good token, if the claims are.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_as(&self.header(), claims)
    }

    /// The same with a header that may say anything.
    pub(crate) fn sign_as(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

/// What is signed of a token.
pub(crate) fn message(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// A token that is signed with a secret.
pub(crate) fn sign_with_secret(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let message = message(header, claims);
    let key = EncodingKey::from_secret(secret);
    let signature = crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}
