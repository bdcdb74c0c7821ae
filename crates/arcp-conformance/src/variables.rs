//! Names of values within a case, and the texts that use them: `${job}`. What values are like is `pattern.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use ulid::Ulid;

/// The values that have names so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(BTreeMap<String, Value>);

/// A text names what there is not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown(pub(crate) String);

impl Variables {
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.0.insert(name.into(), value.into());
    }

    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// The value with every `${…}` in its texts and keys filled in. A text that is nothing but one becomes its value.
    pub(crate) fn fill(&self, value: &Value) -> Result<Value, Unknown> {
        Ok(match value {
            Value::String(text) => self.fill_text(text)?,
            Value::Array(items) => items.iter().map(|item| self.fill(item)).collect::<Result<_, _>>()?,
            Value::Object(members) => {
                let filled = members.iter().map(|(key, value)| {
                    let key = match self.fill_text(key)? {
                        Value::String(key) => key,
                        other => other.to_string(),
                    };
                    Ok((key, self.fill(value)?))
                });
                Value::Object(filled.collect::<Result<_, _>>()?)
            }
            plain => plain.clone(),
        })
    }

    fn fill_text(&self, text: &str) -> Result<Value, Unknown> {
        let whole = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
        if let Some(expression) = whole.filter(|expression| !expression.contains('}')) {
            return self.expression(expression);
        }
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((expression, after)) = after.split_once('}') else { break };
            out.push_str(before);
            match self.expression(expression)? {
                Value::String(text) => out.push_str(&text),
                other => out.push_str(&other.to_string()),
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(Value::String(out))
    }

    /// A name; or `now`, `now + 5` and `now - 5` (seconds), `ulid`, `text x 100`, `name + 1`.
    fn expression(&self, expression: &str) -> Result<Value, Unknown> {
        let unknown = || Unknown(expression.to_owned());
        if let Some(value) = self.0.get(expression) {
            return Ok(value.clone());
        }
        if expression == "ulid" {
            return Ok(Ulid::generate().to_string().into());
        }
        if let Some((text, times)) = expression.rsplit_once(" x ") {
            return Ok(text.repeat(times.parse().map_err(|_| unknown())?).into());
        }
        let words: Vec<_> = expression.split(' ').collect();
        let (name, change) = match words[..] {
            [name] => (name, 0),
            [name, "+", number] => (name, number.parse::<i64>().map_err(|_| unknown())?),
            [name, "-", number] => (name, -number.parse::<i64>().map_err(|_| unknown())?),
            _ => return Err(unknown()),
        };
        if name == "now" {
            return Ok(time(change).ok_or_else(unknown)?.into());
        }
        let number = self.0.get(name).and_then(Value::as_i64).ok_or_else(unknown)?;
        Ok((number + change).into())
    }
}

/// The time so many seconds from now, as it is written on the wire.
fn time(seconds: i64) -> Option<String> {
    let by = Duration::from_secs(seconds.unsigned_abs());
    let now = Timestamp::now();
    let at = if seconds < 0 { now.checked_sub(by) } else { now.checked_add(by) };
    Some(format!("{:.3}", at.ok()?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_filled_in() {
        let mut variables = Variables::default();
        variables.set("job", "job_1");
        variables.set("a.last", 7);
        let written = json!({"${job}": ["${a.last}", "${a.last + 1}", "is ${job}, ${a.last}"], "n": 1});
        let filled = variables.fill(&written).unwrap();
        assert_eq!(filled, json!({"job_1": [7, 8, "is job_1, 7"], "n": 1}));
        assert_eq!(variables.fill(&json!("${ab x 3}")).unwrap(), json!("ababab"));
    }

    #[test]
    fn an_unknown_name_is_named() {
        assert_eq!(Variables::default().fill(&json!("x ${nobody}")), Err(Unknown("nobody".to_owned())));
        assert_eq!(Variables::default().fill(&json!("${nobody + 1}")), Err(Unknown("nobody + 1".to_owned())));
    }

    #[test]
    fn times_are_those_of_the_wire() {
        let Value::String(now) = Variables::default().fill(&json!("${now + 5}")).unwrap() else { panic!() };
        assert_eq!(now.len(), "2026-05-13T19:42:13.000Z".len(), "{now}");
        assert!(now.ends_with('Z'), "{now}");
    }
}
