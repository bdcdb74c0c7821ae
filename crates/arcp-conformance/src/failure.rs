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

impl Failure {
    /// The same without these texts. Names that a case gives to what came may bring secrets to where no member tells them.
    pub(crate) fn without(mut self, secrets: &[String]) -> Self {
        for secret in secrets.iter().filter(|secret| secret.len() >= SHORTEST) {
            self.due = self.due.replace(secret, REDACTED);
            self.came = self.came.replace(secret, REDACTED);
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, doing, due, came, section } = self;
        write!(f, "step {step} {doing}\n  due:  {due}\n  came: {came}\n  see:  {section}")
    }
}

/// What stands for a secret.
const REDACTED: &str = "[redacted]";

/// The shortest text that is looked for as a secret; what is shorter is found in too much else.
const SHORTEST: usize = 6;

/// A peer's text as it can stand in a line of a terminal and in XML: without control characters, those that turn the direction of
/// what follows, and those that are none.
pub(crate) fn plain(text: &str) -> String {
    let unfit = |c: char| {
        c.is_control()
            || matches!(c, '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(unfit, "\u{fffd}")
}

/// How long a message may be in a report, in bytes.
const LONGEST: usize = 1_000;

/// A message as a report shows it: without tokens and credential values, and not longer than a screen.
pub(crate) fn shown(message: &Value) -> String {
    let mut message = message.clone();
    each_secret(&mut message, false, &mut |secret| *secret = REDACTED.into());
    let mut text = message.to_string();
    if text.len() > LONGEST {
        let end = (0..=LONGEST).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let length = text.len();
        text.truncate(end);
        text.push_str(&format!("… ({length} bytes)"));
    }
    text
}

/// The tokens and credential values in a message.
pub(crate) fn secrets(message: &Value) -> Vec<String> {
    let mut found = Vec::new();
    each_secret(&mut message.clone(), false, &mut |secret| found.extend(secret.as_str().map(str::to_owned)));
    found
}

fn each_secret(value: &mut Value, credential: bool, with: &mut impl FnMut(&mut Value)) {
    match value {
        Value::Object(members) => {
            let rotated = members.get("phase").is_some_and(|phase| phase == "credential_rotated");
            for (key, member) in members {
                let secret = matches!(key.as_str(), "token" | "resume_token")
                    || key == "value" && (credential || rotated);
                if secret && member.is_string() {
                    with(member);
                } else {
                    each_secret(member, key == "credentials", with);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_secret(item, credential, with)),
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
    fn secrets_that_came_are_not_shown_wherever_they_are() {
        let message = json!({"resume_token": "rt_s3cret", "credentials": [{"value": "sk-s3cret"}]});
        let failure = Failure {
            step: 1,
            doing: "x".to_owned(),
            due: "<not rt_s3cret>".to_owned(),
            came: "a log with sk-s3cret in it".to_owned(),
            section: "§14".to_owned(),
        };
        let told = failure.without(&secrets(&message)).to_string();
        assert!(
            told.contains("due:  <not [redacted]>") && told.contains("a log with [redacted] in it"),
            "{told}"
        );
    }

    #[test]
    fn what_a_terminal_or_xml_would_act_upon_is_not_shown_and_the_rest_is() {
        assert_eq!(plain("a\u{1b}[31m\u{fffe}\n\u{202e}b"), "a\u{fffd}[31m\u{fffd}\u{fffd}\u{fffd}b");
        assert_eq!(plain("<one of a|b> # `ä`"), "<one of a|b> # `ä`");
    }

    #[test]
    fn long_messages_are_cut() {
        let shown = shown(&json!("ä".repeat(5_000)));
        assert!(shown.len() < 1_100 && shown.ends_with("(10002 bytes)"), "{shown}");
    }
}
