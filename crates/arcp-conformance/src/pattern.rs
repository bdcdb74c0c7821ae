//! What a message is like. A pattern is a JSON value: objects match objects that have at least their members, everything else
//! matches what equals it, and texts in angle brackets match by rule:
//!
//! | pattern | matches |
//! | --- | --- |
//! | `<any>`, `<string>`, `<number>`, `<integer>`, `<boolean>`, `<object>`, `<array>` | any value of that type; a string that is not empty |
//! | `<string 22>` | a string of at least so many characters |
//! | `<absent>` | that there is no such member |
//! | `<optional RULE>` | the rule, or that there is no such member |
//! | `<time>`, `<ulid>`, `<hex 32>`, `<id sess_>` | RFC 3339 in UTC; an upper-case ULID; so many hex digits; a prefix and more |
//! | `<time 2026-05-13T23:42:00Z>` | that time, in UTC, however many digits its seconds have |
//! | `<not VALUE>`, `<one of A\|B>` | another value; one of these texts |
//! | `<contains TEXT>`, `<without TEXT>` | a value whose JSON has that text in it, or has not |
//! | `<N times TEXT>`, `<N times A\|B>` | a value whose JSON has that text in it, or each of these, so many times |
//! | `<at least N>`, `<at most N>` | a number |
//! | `<milliseconds>`, `<uuid 7>`, `<id sess_ ulid>` | RFC 3339 in UTC with three digits after the second; a UUID of that version; a prefix and an upper-case ULID |
//! | `<RULE as NAME>` | the rule, and gives the value a name |
//! | `{$has: [P, …]}`, `{$in_order: [P, …]}`, `{$each: P}`, `{$length: N}` | an array with such items; with such items in this order; of such items; of so many items |
//! | `{$only: [KEY, …]}`, `{$any: [P, …]}` | an object with no other members; what is like one of these |

use serde_json::Value;

use crate::variables::Variables;

/// Where a value is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    /// The way to the value, such as `payload.code`.
    pub(crate) path: String,
    /// What was due there.
    pub(crate) due: String,
    /// What was there.
    pub(crate) came: String,
}

/// Whether a value is like a pattern whose names are filled in. Names that it gives are kept only if it matches.
pub(crate) fn matches(pattern: &Value, value: &Value, variables: &mut Variables) -> Result<(), Mismatch> {
    let mut given = variables.clone();
    Match { given: &mut given }.value("", pattern, Some(value))?;
    *variables = given;
    Ok(())
}

struct Match<'a> {
    given: &'a mut Variables,
}

impl Match<'_> {
    fn value(&mut self, path: &str, pattern: &Value, value: Option<&Value>) -> Result<(), Mismatch> {
        let mismatch = || Mismatch {
            path: path.to_owned(),
            due: pattern.to_string(),
            came: value.map_or_else(|| "nothing".to_owned(), Value::to_string),
        };
        match (pattern, value) {
            (Value::String(text), _) if text.starts_with('<') && text.ends_with('>') => {
                let rule = &text[1..text.len() - 1];
                let (rule, name) =
                    rule.split_once(" as ").map_or((rule, None), |(rule, name)| (rule, Some(name)));
                if !follows(rule, value) {
                    return Err(mismatch());
                }
                if let (Some(name), Some(value)) = (name, value) {
                    self.given.set(name, value.clone());
                }
                Ok(())
            }
            (Value::Object(members), Some(value)) => {
                if let Some((key, rule)) = members.iter().next().filter(|(key, _)| key.starts_with('$')) {
                    return self.special(path, key, rule, value).unwrap_or_else(|| Err(mismatch()));
                }
                if !value.is_object() {
                    return Err(mismatch());
                }
                members.iter().try_for_each(|(key, member)| {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    self.value(&path, member, value.get(key))
                })
            }
            (Value::Array(patterns), Some(Value::Array(items))) if patterns.len() == items.len() => {
                let pairs = patterns.iter().zip(items).enumerate();
                pairs.into_iter().try_for_each(|(index, (pattern, item))| {
                    self.value(&format!("{path}[{index}]"), pattern, Some(item))
                })
            }
            (Value::Number(due), Some(Value::Number(came))) if due.as_f64() == came.as_f64() => Ok(()),
            (_, Some(value)) if pattern == value => Ok(()),
            _ => Err(mismatch()),
        }
    }

    /// Whether a value is like a pattern; names that it gives are kept only then.
    fn is_like(&mut self, pattern: &Value, value: &Value) -> bool {
        matches(pattern, value, self.given).is_ok()
    }

    /// `None` if the value is not of the type that the rule is about.
    fn special(
        &mut self,
        path: &str,
        key: &str,
        rule: &Value,
        value: &Value,
    ) -> Option<Result<(), Mismatch>> {
        match key {
            "$has" => {
                let items = value.as_array()?;
                for wanted in rule.as_array()? {
                    if !items.iter().any(|item| self.is_like(wanted, item)) {
                        let (due, came) = (format!("an item like {wanted}"), value.to_string());
                        return Some(Err(Mismatch { path: path.to_owned(), due, came }));
                    }
                }
                Some(Ok(()))
            }
            "$in_order" => {
                let mut items = value.as_array()?.iter();
                for wanted in rule.as_array()? {
                    if !items.any(|item| self.is_like(wanted, item)) {
                        let due = format!("an item like {wanted} after what is due before it");
                        let came = value.to_string();
                        return Some(Err(Mismatch { path: path.to_owned(), due, came }));
                    }
                }
                Some(Ok(()))
            }
            "$any" => rule.as_array()?.iter().any(|one| self.is_like(one, value)).then_some(Ok(())),
            "$each" => {
                let mut items = value.as_array()?.iter().enumerate();
                Some(
                    items.try_for_each(|(index, item)| {
                        self.value(&format!("{path}[{index}]"), rule, Some(item))
                    }),
                )
            }
            "$length" => (value.as_array()?.len() as u64 == rule.as_u64()?).then_some(Ok(())),
            "$only" => {
                let allowed = rule.as_array()?;
                let mut keys = value.as_object()?.keys();
                keys.all(|key| allowed.iter().any(|allowed| allowed == key)).then_some(Ok(()))
            }
            _ => None,
        }
    }
}

/// Whether a value follows the rule of a text in angle brackets. An unknown rule is followed by nothing.
fn follows(rule: &str, value: Option<&Value>) -> bool {
    let (word, rest) = rule.split_once(' ').unwrap_or((rule, ""));
    let Some(value) = value else { return matches!(word, "absent" | "optional") };
    let text = value.as_str();
    let number = value.as_f64();
    match word {
        "any" => true,
        "optional" => follows(rest, Some(value)),
        "string" => {
            let least = if rest.is_empty() { Ok(1) } else { rest.parse() };
            text.is_some_and(|text| least.is_ok_and(|least| text.chars().count() >= least))
        }
        "number" => number.is_some(),
        "integer" => value.is_u64() || value.is_i64(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "array" => value.is_array(),
        "time" => text.is_some_and(|text| is_time(text) && (rest.is_empty() || is_same_time(rest, text))),
        "ulid" => text.is_some_and(is_ulid),
        "hex" => text.is_some_and(|text| {
            let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            hex && rest.parse() == Ok(text.len())
        }),
        "id" => text.is_some_and(|text| match rest.strip_suffix(" ulid") {
            Some(prefix) => text.strip_prefix(prefix).is_some_and(is_ulid),
            None => text.strip_prefix(rest).is_some_and(|rest| !rest.is_empty()),
        }),
        "milliseconds" => text.is_some_and(|text| {
            let fraction = text.split_once('.').map(|(_, fraction)| fraction);
            is_time(text) && fraction.is_some_and(|fraction| fraction.len() == "000Z".len())
        }),
        "uuid" => text.is_some_and(|text| is_uuid(text, rest)),
        "not" => !equals(rest, value),
        "one" => rest.strip_prefix("of ").is_some_and(|rest| rest.split('|').any(|one| equals(one, value))),
        "contains" => value.to_string().contains(rest),
        "without" => !value.to_string().contains(rest),
        "at" => match (rest.split_once(' '), number) {
            (Some(("least", bound)), Some(number)) => bound.parse::<f64>().is_ok_and(|bound| number >= bound),
            (Some(("most", bound)), Some(number)) => bound.parse::<f64>().is_ok_and(|bound| number <= bound),
            _ => false,
        },
        _ => rest.strip_prefix("times ").is_some_and(|texts| {
            let json = value.to_string();
            texts.split('|').all(|text| word.parse() == Ok(json.matches(text).count()))
        }),
    }
}

fn equals(written: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text == written,
        other => serde_json::from_str::<Value>(written).is_ok_and(|written| written == *other),
    }
}

fn is_time(text: &str) -> bool {
    text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_same_time(due: &str, came: &str) -> bool {
    let time = |text: &str| text.parse::<jiff::Timestamp>();
    matches!((time(due), time(came)), (Ok(due), Ok(came)) if due == came)
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && text.to_ascii_uppercase() == text && ulid::Ulid::from_string(text).is_ok()
}

fn is_uuid(text: &str, version: &str) -> bool {
    let groups: Vec<_> = text.split('-').collect();
    let hex = |group: &&str| group.bytes().all(|byte| byte.is_ascii_hexdigit());
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups.iter().all(hex)
        && groups[2].starts_with(version)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hold(pattern: Value, value: Value) -> Result<(), Mismatch> {
        matches(&pattern, &value, &mut Variables::default())
    }

    #[test]
    fn rules_match_what_they_say() {
        let good = [
            (json!("<any>"), json!(null)),
            (json!("<string>"), json!("x")),
            (json!("<string 3>"), json!("xyz")),
            (json!({"x": "<absent>"}), json!({})),
            (json!({"x": "<optional number>"}), json!({})),
            (json!({"x": "<optional number>"}), json!({"x": 1})),
            (json!("<time>"), json!("2026-05-13T19:42:13.000Z")),
            (json!("<time 2026-05-13T19:42:13Z>"), json!("2026-05-13T19:42:13.000Z")),
            (json!("<ulid>"), json!("01ARZ3NDEKTSV4RRFFQ69G5FAV")),
            (json!("<hex 4>"), json!("00af")),
            (json!("<id sess_>"), json!("sess_1")),
            (json!("<not a>"), json!("b")),
            (json!("<one of a|b>"), json!("b")),
            (json!("<contains boom>"), json!({"x": "big boom"})),
            (json!("<without boom>"), json!({"x": "big"})),
            (json!("<2 times boom>"), json!(["boom", "a boom"])),
            (json!("<at least 2>"), json!(2)),
            (json!(5), json!(5.0)),
            (json!([1, "<any>"]), json!([1, 2])),
            (json!({"$has": [2]}), json!([1, 2])),
            (json!({"$each": "<number>"}), json!([1, 2])),
            (json!({"$length": 2}), json!([1, 2])),
            (json!({"$only": ["a"]}), json!({"a": 1})),
            (json!({"a": 1}), json!({"a": 1, "b": 2})),
            (json!("<milliseconds>"), json!("2026-05-13T19:42:13.000Z")),
            (json!("<id job_ ulid>"), json!("job_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
            (json!("<uuid 7>"), json!("019078e4-4d0b-7c3a-9d0e-0123456789ab")),
            (json!({"$in_order": [1, 3]}), json!([1, 2, 3])),
            (json!({"$any": [1, "<string>"]}), json!("x")),
        ];
        for (pattern, value) in good {
            assert_eq!(hold(pattern.clone(), value.clone()), Ok(()), "{pattern} {value}");
        }
    }

    #[test]
    fn rules_do_not_match_what_they_do_not_say() {
        let bad = [
            (json!("<string>"), json!("")),
            (json!("<string>"), json!(1)),
            (json!("<string 3>"), json!("xy")),
            (json!("<string three>"), json!("three")),
            (json!("<integer>"), json!(1.5)),
            (json!({"x": "<absent>"}), json!({"x": null})),
            (json!({"x": "<optional number>"}), json!({"x": null})),
            (json!({"x": "<any>"}), json!({})),
            (json!("<time>"), json!("2026-05-13T19:42:13.000+02:00")),
            (json!("<time 2026-05-13T19:42:13Z>"), json!("2026-05-13T19:42:14Z")),
            (json!("<time 2026-05-13T19:42:13Z>"), json!("2026-05-13T21:42:13+02:00")),
            (json!("<time whenever>"), json!("2026-05-13T19:42:13Z")),
            (json!("<ulid>"), json!("01arz3ndektsv4rrffq69g5fav")),
            (json!("<hex 4>"), json!("00AF")),
            (json!("<id sess_>"), json!("sess_")),
            (json!("<not a>"), json!("a")),
            (json!("<one of a|b>"), json!("c")),
            (json!("<contains boom>"), json!("bang")),
            (json!("<without boom>"), json!({"boom": 1})),
            (json!("<1 times boom>"), json!(["boom", "a boom"])),
            (json!("<1 times boom>"), json!("bang")),
            (json!("<1 times boom|bang>"), json!("boom")),
            (json!("<at least 2>"), json!(1)),
            (json!("<at most 2>"), json!("2")),
            (json!("<wizardry>"), json!("x")),
            (json!([1]), json!([1, 2])),
            (json!({"$has": [3]}), json!([1, 2])),
            (json!({"$each": "<string>"}), json!(["x", 2])),
            (json!({"$length": 3}), json!([1, 2])),
            (json!({"$only": ["a"]}), json!({"a": 1, "b": 2})),
            (json!({"$only": ["a"]}), json!([])),
            (json!("<milliseconds>"), json!("2026-05-13T19:42:13Z")),
            (json!("<milliseconds>"), json!("2026-05-13T19:42:13.0000Z")),
            (json!("<id job_ ulid>"), json!("sess_01ARZ3NDEKTSV4RRFFQ69G5FAV")),
            (json!("<id job_ ulid>"), json!("job_1")),
            (json!("<uuid 7>"), json!("019078e4-4d0b-4c3a-9d0e-0123456789ab")),
            (json!("<uuid 7>"), json!("019078e4-4d0b-7c3a-9d0e")),
            (json!({"$in_order": [3, 1]}), json!([1, 2, 3])),
            (json!({"$in_order": [1, 1]}), json!([1, 2])),
            (json!({"$any": [1, "<string>"]}), json!(2)),
            (json!({"$wizardry": 1}), json!([])),
        ];
        for (pattern, value) in bad {
            assert!(hold(pattern.clone(), value.clone()).is_err(), "{pattern} {value}");
        }
    }

    #[test]
    fn names_are_given_by_what_matches_only() {
        let mut variables = Variables::default();
        let pattern = json!({"id": "<string as id>", "n": 1});
        assert!(matches(&pattern, &json!({"id": "x", "n": 2}), &mut variables).is_err());
        assert_eq!(variables.value("id"), None);
        matches(&pattern, &json!({"id": "x", "n": 1}), &mut variables).unwrap();
        assert_eq!(variables.value("id"), Some(&json!("x")));
    }

    #[test]
    fn a_mismatch_says_where() {
        let mismatch =
            hold(json!({"payload": {"code": "A"}}), json!({"payload": {"code": "B"}})).unwrap_err();
        assert_eq!(mismatch.path, "payload.code");
        assert_eq!((mismatch.due.as_str(), mismatch.came.as_str()), ("\"A\"", "\"B\""));
    }
}
