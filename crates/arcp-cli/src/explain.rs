//! What an agent would have taken, where a runtime says at which place of an input it did not: read from the schema that the
//! runtime shows. Nothing that a schema refers to elsewhere is followed.

use anyhow::anyhow;
use arcp::Client;
use arcp::client::RequestError;
use arcp::proto::{AgentRef, ErrorCode};
use serde::Deserialize;
use serde_json::Value;

use crate::connect::request_failure;
use crate::exit::{self, Failure};

/// The longest schema that is printed, in bytes; a longer one is left out.
const MAX_BYTES: usize = 1_000;
/// How many references within a schema are followed to one place.
const MAX_HOPS: usize = 16;

/// What the runtime says of an input.
#[derive(Deserialize)]
struct Misfit {
    path: String,
}

/// A submit that was refused, with what was due at the place that the refusal names.
pub(crate) fn refusal(client: &Client, agent: &str, error: RequestError) -> Failure {
    match due(client, agent, &error) {
        None => request_failure(error),
        Some((path, due)) => {
            Failure::new(exit::JOB, anyhow!(error).context(format!("{path} must fit {due}")))
        }
    }
}

fn due(client: &Client, agent: &str, error: &RequestError) -> Option<(String, String)> {
    let RequestError::Refused(error) = error else { return None };
    let details = error.details.as_ref().filter(|_| error.code == ErrorCode::InvalidRequest)?;
    let Misfit { path } = details.decode().ok()?;
    let agent: AgentRef = agent.parse().ok()?;
    let opened = client.opened();
    let info = opened.agents.iter().find(|info| info.name == agent.name.as_str())?;
    let version = agent.version.as_ref().map(|version| version.as_str());
    let schema: Value = info.schema_of(version)?.decode().ok()?;
    let text = at(&schema, &path)?.to_string();
    (text.len() <= MAX_BYTES).then_some((path, text))
}

/// The part of a schema that speaks of a place, such as `input.pages[3]`.
fn at<'a>(root: &'a Value, path: &str) -> Option<&'a Value> {
    let mut schema = resolve(root, root)?;
    let mut rest = path.strip_prefix("input")?;
    while !rest.is_empty() {
        let (next, after) = if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let next = schema.get("properties").and_then(|properties| properties.get(&name[..end]));
            (next.or_else(|| schema.get("additionalProperties")), &name[end..])
        } else {
            let (index, after) = rest.strip_prefix('[')?.split_once(']')?;
            let next = if index == "*" { schema.get("additionalProperties") } else { schema.get("items") };
            (next, after)
        };
        schema = resolve(root, next?)?;
        rest = after;
    }
    Some(schema)
}

/// Follows `#/…`, and nothing else.
fn resolve<'a>(root: &'a Value, mut schema: &'a Value) -> Option<&'a Value> {
    for _ in 0..MAX_HOPS {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return Some(schema) };
        schema = root.pointer(reference.strip_prefix('#')?)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_place_leads_to_its_part_of_the_schema() {
        let schema = json!({
            "properties": { "pages": { "type": "array", "items": { "$ref": "#/$defs/page" } } },
            "additionalProperties": { "type": "null" },
            "$defs": { "page": { "properties": { "size": { "type": "integer" } } }, "loop": { "$ref": "#/$defs/loop" } }
        });
        let found = |path: &str| at(&schema, path).cloned();
        assert_eq!(found("input.pages[3].size"), Some(json!({ "type": "integer" })));
        assert_eq!(found("input[*]"), Some(json!({ "type": "null" })));
        assert_eq!(found("input"), Some(schema.clone()));
        for nowhere in ["output", "input.pages[0].colour", "input.pages[", "input..", "input.pages.size"] {
            assert_eq!(found(nowhere), None, "{nowhere}");
        }
    }

    #[test]
    fn references_lead_nowhere_else_and_end() {
        let elsewhere = json!({ "$ref": "https://example.com/schema.json" });
        let circle = json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/a" } } });
        assert!(at(&elsewhere, "input").is_none() && at(&circle, "input").is_none());
    }
}
