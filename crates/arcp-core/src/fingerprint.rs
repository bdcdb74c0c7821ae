//! What makes two submits the same (§7.2): their parsed values, whatever the order of their members.

use arcp_proto::job::Submit;
use arcp_proto::{DecodeError, Json};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A digest over the parameters of a submit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a submit: agent, input, lease request, constraints and time limit.
    ///
    /// # Errors
    /// When the input is nested deeper than 128 levels.
    pub fn of(submit: &Submit) -> Result<Self, DecodeError> {
        let mut hash = Sha256::new();
        text(&mut hash, &submit.agent.to_string());
        value(&mut hash, &submit.input.decode().map_err(|error: DecodeError| error.within("input"))?);
        let rest = (&submit.lease_request, &submit.lease_constraints, submit.max_runtime_sec);
        let rest = Json::encode(&rest).unwrap_or_default();
        text(&mut hash, rest.as_str());
        Ok(Self(hash.finalize().into()))
    }

    /// A fingerprint read back from where it was stored.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes, for storing.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Hashes a value so that no two different values feed the same bytes: a tag, a length, the content.
fn value(hash: &mut Sha256, json: &Value) {
    match json {
        Value::Null => hash.update(b"n"),
        Value::Bool(yes) => hash.update(if *yes { b"t" } else { b"f" }),
        Value::Number(number) => {
            hash.update(b"d");
            text(hash, &number.to_string());
        }
        Value::String(string) => {
            hash.update(b"s");
            text(hash, string);
        }
        Value::Array(items) => {
            hash.update(b"a");
            length(hash, items.len());
            items.iter().for_each(|item| value(hash, item));
        }
        Value::Object(members) => {
            hash.update(b"o");
            length(hash, members.len());
            let mut names: Vec<_> = members.keys().collect();
            names.sort_unstable();
            for name in names {
                text(hash, name);
                value(hash, &members[name]);
            }
        }
    }
}

fn text(hash: &mut Sha256, text: &str) {
    length(hash, text.len());
    hash.update(text.as_bytes());
}

fn length(hash: &mut Sha256, length: usize) {
    hash.update((length as u64).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(input: &str) -> Fingerprint {
        let submit = Submit::new("echo".parse().unwrap(), Json::parse(input.to_owned()).unwrap());
        Fingerprint::of(&submit).unwrap()
    }

    #[test]
    fn member_order_and_white_space_do_not_matter_and_everything_else_does() {
        assert_eq!(of(r#"{"a":1,"b":{"c":[1,2],"d":null}}"#), of(r#"{ "b": {"d":null, "c":[1,2]}, "a":1 }"#));
        let all = [
            "{}",
            "[]",
            "null",
            "\"\"",
            "0",
            "false",
            "[[]]",
            "{\"a\":[]}",
            "[1,2]",
            "[2,1]",
            "[12]",
            "[\"1\",\"2\"]",
        ];
        for (index, left) in all.iter().enumerate() {
            for right in &all[index + 1..] {
                assert_ne!(of(left), of(right), "{left} and {right}");
            }
        }
    }

    #[test]
    fn every_parameter_counts() {
        let base = Submit::new("echo".parse().unwrap(), Json::null());
        let mut others = vec![base.clone(); 3];
        others[0].agent = "echo@1.0.0".parse().unwrap();
        others[1].max_runtime_sec = Some(1);
        others[2].lease_request = arcp_proto::Lease::empty().grant("fs.read", "/a");
        for other in others {
            assert_ne!(Fingerprint::of(&base).unwrap(), Fingerprint::of(&other).unwrap());
        }
    }

    #[test]
    fn a_key_does_not_count() {
        let base = Submit::new("echo".parse().unwrap(), Json::null());
        let keyed = Submit { idempotency_key: Some("k".to_owned()), ..base.clone() };
        assert_eq!(Fingerprint::of(&base).unwrap(), Fingerprint::of(&keyed).unwrap());
    }
}
