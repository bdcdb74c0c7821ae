//! Identifiers: opaque words to their receiver, a prefix and a ULID where this project makes them.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use ulid::Ulid;

use crate::decode::{Text, expected, serde_by_text};

/// A text that is no identifier: empty, longer than 256 bytes, or with control characters in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("identifier is not 1 to 256 bytes without control characters")]
pub struct InvalidId;

const MAX_BYTES: usize = 256;

/// Whether `text` is 1 to 256 bytes without control characters.
pub(crate) fn is_word(text: &str) -> bool {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte);
    let plain = text.bytes().fold(true, |plain, byte| plain & printable(byte)); // as almost all are
    !text.is_empty() && text.len() <= MAX_BYTES && (plain || !text.chars().any(char::is_control))
}

fn check(text: &str) -> Result<Arc<str>, InvalidId> {
    if is_word(text) { Ok(text.into()) } else { Err(InvalidId) }
}

macro_rules! id {
    ($(#[$meta:meta])* $name:ident, $prefix:literal) => {
        $(#[$meta])*
        ///
        /// Any text of 1 to 256 bytes without control characters is accepted from a peer. Cloning is cheap.
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("An identifier of this project's own form: `", $prefix, "` and the ULID.")]
            pub fn from_ulid(ulid: Ulid) -> Self {
                let mut buffer = [0; ulid::ULID_LEN];
                Self(format!("{}{}", $prefix, ulid.array_to_str(&mut buffer)).into())
            }

            /// The ULID in an identifier of this project's own form; `None` in any other.
            pub fn ulid(&self) -> Option<Ulid> {
                Ulid::from_string(self.0.strip_prefix($prefix)?).ok()
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                check(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        serde_by_text!($name, "an identifier of 1 to 256 bytes without control characters");
    };
}

id!(/** Names one envelope, and so one request (§5). */ MessageId, "");
id!(/** Names a session (§6.2). */ SessionId, "sess_");
id!(/** Names a job (§7.1). */ JobId, "job_");
id!(/** Names a streamed result (§8.4). */ ResultId, "res_");
id!(/** Names a provisioned credential within its job (§9.8.1). */ CredentialId, "cred_");
id!(/** Ties a `delegate` event to the child that came of it (§10). */ DelegateId, "del_");
id!(/** Ties a `tool_result` to its `tool_call` (§8.2). */ CallId, "call_");
id!(/** Names a subscription on the side that holds it. */ SubscriptionId, "sub_");

/// An optional id field in which some peers write `""`: that is an absent id.
pub(crate) fn empty_is_absent<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: FromStr,
{
    match Option::<Text<'de>>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) if text.as_str().is_empty() => Ok(None),
        Some(text) => text
            .as_str()
            .parse()
            .map(Some)
            .map_err(|_| expected("an identifier of 1 to 256 bytes without control characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_are_a_prefix_and_an_upper_case_ulid() {
        let ulid = Ulid::from_parts(1_700_000_000_000, 42);
        let id = JobId::from_ulid(ulid);
        assert_eq!(id.as_str(), format!("job_{ulid}"));
        assert_eq!(MessageId::from_ulid(ulid).as_str().len(), 26);
        assert!(
            MessageId::from_ulid(ulid).as_str().bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        );
    }

    #[test]
    fn any_peers_id_is_taken_within_the_limits() {
        for good in ["x", "0190-uuid", "日本", &"a".repeat(256)] {
            assert_eq!(good.parse::<SessionId>().unwrap().as_str(), good);
        }
        for bad in ["", "a\0b", "a\nb", &"a".repeat(257)] {
            assert_eq!(bad.parse::<SessionId>(), Err(InvalidId));
        }
    }
}
