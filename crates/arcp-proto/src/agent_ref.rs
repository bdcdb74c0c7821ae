//! Agent references by the grammar of §7.5: `name` or `name@version`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::decode::serde_by_text;

/// A text that the grammar of §7.5 does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an agent reference: `name` or `name@version` with name [a-z0-9][a-z0-9._-]* and version [a-zA-Z0-9.+_-]+, at most 256 bytes"
)]
pub struct InvalidAgentRef;

const MAX_BYTES: usize = 256;

macro_rules! word {
    ($(#[$meta:meta])* $name:ident, $check:expr, $expected:literal) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidAgentRef;

            fn from_str(text: &str) -> Result<Self, InvalidAgentRef> {
                let check: fn(&[u8]) -> bool = $check;
                if text.len() <= MAX_BYTES && check(text.as_bytes()) { Ok(Self(text.into())) } else { Err(InvalidAgentRef) }
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

        serde_by_text!($name, $expected);
    };
}

word!(
    /// The name of an agent: `[a-z0-9][a-z0-9._-]*`.
    AgentName,
    |text| match text {
        [first, rest @ ..] => is_lower(*first) && rest.iter().all(|b| is_lower(*b) || matches!(b, b'.' | b'_' | b'-')),
        [] => false,
    },
    "an agent name: [a-z0-9][a-z0-9._-]*"
);

word!(
    /// The version of an agent: `[a-zA-Z0-9.+_-]+`, opaque to the protocol.
    AgentVersion,
    |text| !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+' | b'_' | b'-')),
    "an agent version: [a-zA-Z0-9.+_-]+"
);

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `name` (the runtime's default version) or `name@version` (exactly that one).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AgentRef {
    /// Which agent.
    pub name: AgentName,
    /// Which version, if one is pinned.
    pub version: Option<AgentVersion>,
}

impl FromStr for AgentRef {
    type Err = InvalidAgentRef;

    fn from_str(text: &str) -> Result<Self, InvalidAgentRef> {
        let (name, version) = match text.split_once('@') {
            None => (text, None),
            Some((name, version)) => (name, Some(version.parse()?)),
        };
        Ok(Self { name: name.parse()?, version })
    }
}

impl fmt::Display for AgentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            None => write!(f, "{}", self.name),
            Some(version) => write!(f, "{}@{version}", self.name),
        }
    }
}

impl fmt::Debug for AgentRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

serde_by_text!(AgentRef, "an agent reference: `name` or `name@version`");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_followed_both_ways() {
        for good in ["a", "0day", "code-refactor@2.0.0", "a.b_c-d@1.0+build_7-rc", "x@V"] {
            assert_eq!(good.parse::<AgentRef>().unwrap().to_string(), good);
        }
        for bad in ["", "@1", "a@", "A", "-a", ".a", "a b", "a@1@2", "a@1 ", "é", "a@é", &"a".repeat(257)] {
            assert!(bad.parse::<AgentRef>().is_err(), "{bad:?} was taken");
        }
    }
}
