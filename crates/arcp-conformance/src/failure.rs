//! What a failed case says: what was due, what came, and which section says so. Secrets do not appear in it.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// Why a case has failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The number of the step, from 1.
    pub step: usize,
    /// The step, as it is written.
    pub doing: String,
    /// What was due.
    pub due: String,
    /// What came.
    pub came: String,
    /// The section that says so.
    pub section: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, doing, due, came, section } = self;
        write!(f, "step {step} {doing}\n  due:  {due}\n  came: {came}\n  see:  {section}")
    }
}

/// How long a message may be in a report, in bytes.
const LONGEST: usize = 1_000;

/// A message as a report shows it: without tokens and credential values, and not longer than a screen.
pub(crate) fn shown(message: &Value) -> String {
    let mut message = message.clone();
    redact(&mut message, false);
    let mut text = message.to_string();
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let length = text.len();
        text.truncate(end);
        text.push_str(&format!("… ({length} bytes)"));
    }
    text
}

fn redact(value: &mut Value, credential: bool) {
    match value {
        Value::Object(members) => {
            let rotated = members.get("phase").is_some_and(|phase| phase == "credential_rotated");
            for (key, member) in members {
                let secret = matches!(key.as_str(), "token" | "resume_token")
                    || key == "value" && (credential || rotated);
                if secret && member.is_string() {
                    *member = "[redacted]".into();
                } else {
                    redact(member, key == "credentials");
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| redact(item, credential)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let message = json!({
            "auth": {"token": "s3cret"}, "resume_token": "s3cret",
            "credentials": [{"id": "cred_1", "value": "s3cret"}],
            "body": {"phase": "credential_rotated", "value": "s3cret"},
            "metric": {"value": "kept"},
        });
        let shown = shown(&message);
        assert!(!shown.contains("s3cret") && shown.contains("kept"), "{shown}");
    }

    #[test]
    fn long_messages_are_cut() {
        let shown = shown(&json!("ä".repeat(5_000)));
        assert!(shown.len() < 1_100 && shown.ends_with("(10002 bytes)"), "{shown}");
    }
}
