//! Secrets as types: redacted in `Debug`, compared in constant time, wiped when dropped.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use crate::decode::Text;

/// The SHA-256 digest of a secret: what is stored and compared in place of the secret itself.
#[derive(Clone, Copy)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `secret`.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// A digest read back from where it was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for storing.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PartialEq for Digest {
    /// Takes the same time whatever the digests are.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for Digest {}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest([redacted])")
    }
}

macro_rules! secret {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        ///
        /// `Debug` prints `[redacted]`, comparison takes constant time, the memory is wiped on drop.
        /// Serialising writes the value: that is what the wire is for.
        #[derive(Clone)]
        pub struct $name(SecretString);

        impl $name {
            /// Wraps a secret.
            pub fn new(secret: impl Into<String>) -> Self {
                Self(SecretString::from(secret.into()))
            }

            /// The secret itself. Keep it out of logs, errors and stores.
            pub fn expose(&self) -> &str {
                self.0.expose_secret()
            }

            /// Its SHA-256 digest, to store or compare.
            pub fn digest(&self) -> Digest {
                Digest::of(self.expose())
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.digest() == other.digest()
            }
        }

        impl Eq for $name {}

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }

        impl From<&str> for $name {
            fn from(secret: &str) -> Self {
                Self::new(secret)
            }
        }

        impl From<String> for $name {
            fn from(secret: String) -> Self {
                Self::new(secret)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.expose())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Text::deserialize(deserializer).map(|text| Self::new(text.as_str()))
            }
        }
    };
}

secret!(/** The bearer token of `session.hello` (§6.1). */ BearerToken);
secret!(/** The token that resumes a session (§6.3); it rotates with every welcome. */ ResumeToken);
secret!(/** The value of a provisioned credential (§9.8.1). */ CredentialValue);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_prints_a_secret() {
        let token = BearerToken::new("hunter2");
        assert_eq!(format!("{token:?} {:?}", token.digest()), "BearerToken([redacted]) Digest([redacted])");
        assert_eq!(serde_json::to_string(&token).unwrap(), "\"hunter2\"");
    }

    #[test]
    fn equal_secrets_are_equal() {
        assert_eq!(ResumeToken::new("a"), ResumeToken::new("a"));
        assert_ne!(ResumeToken::new("a"), ResumeToken::new("b"));
        let digest = ResumeToken::new("a").digest();
        assert_eq!(Digest::from_bytes(*digest.as_bytes()), digest);
    }
}
