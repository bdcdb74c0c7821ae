//! `arcp agents`: what a runtime can be asked to run, as its welcome says.

use std::io::Write;

use arcp::client::Opened;
use serde_json::{Value, json};

use crate::connect::Runtime;
use crate::exit::{self, Failure};
use crate::plain::{one_line, stdout};

/// Where an entry has the schema of the input that the default version takes.
const SCHEMA: &str = "x-vendor.arcp.input_schema";

/// Where it has those of other versions, by version.
const SCHEMAS: &str = "x-vendor.arcp.input_schemas";

#[derive(clap::Args)]
pub(crate) struct Agents {
    /// Print the JSON Schema of what this agent takes, if the runtime tells it.
    #[arg(long, value_name = "NAME[@VERSION]", conflicts_with = "json")]
    schema: Option<String>,

    /// Print what the welcome says as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) runtime: Runtime,
}

pub(crate) async fn run(agents: Agents) -> Result<(), Failure> {
    let client = agents.runtime.connect(None).await?;
    let opened = client.opened();
    client.close().await;
    let inventory = inventory(&opened)?;
    let mut out = stdout();
    match (&agents.schema, agents.json) {
        (Some(name), _) => writeln!(out, "{:#}", schema(&inventory, name)?)?,
        (None, true) => writeln!(out, "{}", welcome(&opened, inventory))?,
        (None, false) => {
            out.write_all(about(&opened).as_bytes())?;
            out.write_all(table(&inventory).as_bytes())?;
        }
    }
    Ok(out.flush()?)
}

/// The entries as JSON, with the members that not every runtime has.
fn inventory(opened: &Opened) -> Result<Vec<Value>, Failure> {
    let entries = opened.agents.iter().map(serde_json::to_value).collect::<Result<_, _>>();
    entries.map_err(|error| Failure::new(exit::JOB, error))
}

fn features(opened: &Opened) -> Vec<String> {
    opened.features.iter().map(ToString::to_string).collect()
}

fn welcome(opened: &Opened, inventory: Vec<Value>) -> Value {
    json!({ "runtime": opened.runtime, "features": features(opened), "agents": inventory })
}

fn about(opened: &Opened) -> String {
    let runtime = opened.runtime.as_ref().map(|peer| format!("{} {}", peer.name, peer.version));
    let runtime = runtime.as_deref().unwrap_or("a runtime that does not name itself").trim_end();
    format!("{}\nfeatures: {}\n\n", one_line(runtime), one_line(&features(opened).join(", ")))
}

/// One line an agent.
fn table(inventory: &[Value]) -> String {
    let text = |value: &Value| value.as_str().map(one_line);
    let rows: Vec<[String; 4]> = inventory
        .iter()
        .map(|entry| {
            let versions = entry["versions"].as_array().into_iter().flatten().filter_map(text);
            let versions = versions.collect::<Vec<_>>().join(", ");
            [
                text(&entry["name"]).unwrap_or_default(),
                if versions.is_empty() { "-".to_owned() } else { versions },
                text(&entry["default"]).unwrap_or_else(|| "-".to_owned()),
                if entry.get(SCHEMA).or(entry.get(SCHEMAS)).is_some() { "yes" } else { "-" }.to_owned(),
            ]
        })
        .collect();
    let heads = ["AGENT", "VERSIONS", "DEFAULT", "SCHEMA"].map(str::to_owned);
    let width = |column: usize| {
        rows.iter().chain([&heads]).map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let (name, versions, default) = (width(0), width(1), width(2));
    let lines = [&heads].into_iter().chain(&rows);
    lines.map(|[a, b, c, d]| format!("{a:name$}  {b:versions$}  {c:default$}  {d}\n")).collect()
}

fn schema<'a>(inventory: &'a [Value], agent: &str) -> Result<&'a Value, Failure> {
    let failure = |message: String| Err(Failure::new(exit::JOB, anyhow::anyhow!(message)));
    let (name, version) = match agent.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (agent, None),
    };
    let Some(entry) = inventory.iter().find(|entry| entry["name"] == name) else {
        return failure(format!("the runtime has no agent {name}: `arcp agents` lists them"));
    };
    let schema = match version {
        Some(version) if entry["default"] != version => {
            let versions = entry["versions"].as_array();
            if versions.is_some_and(|versions| !versions.iter().any(|known| known == version)) {
                return failure(format!("the runtime has no {agent}: `arcp agents` lists its versions"));
            }
            entry.get(SCHEMAS).and_then(|schemas| schemas.get(version))
        }
        _ => entry.get(SCHEMA),
    };
    match schema {
        Some(schema) => Ok(schema),
        None => failure(format!("the runtime does not tell what {agent} takes")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Vec<Value> {
        vec![
            json!({ "name": "plain", "versions": [] }),
            json!({ "name": "two\u{1b}[2J", "versions": ["1.0.0", "2.0.0"], "default": "2.0.0" }),
            json!({
                "name": "typed", "versions": ["1.0.0", "0.9.0"], "default": "1.0.0",
                SCHEMA: { "type": "string" }, SCHEMAS: { "0.9.0": { "type": "null" } },
            }),
        ]
    }

    #[test]
    fn agents_are_a_table_that_cannot_steer_the_terminal() {
        let due = "AGENT    VERSIONS      DEFAULT  SCHEMA\n\
                   plain    -             -        -\n\
                   two [2J  1.0.0, 2.0.0  2.0.0    -\n\
                   typed    1.0.0, 0.9.0  1.0.0    yes\n";
        assert_eq!(table(&inventory()), due);
    }

    #[test]
    fn a_schema_is_shown_where_the_runtime_tells_it() {
        let inventory = inventory();
        for (agent, due) in [("typed", "string"), ("typed@1.0.0", "string"), ("typed@0.9.0", "null")] {
            assert_eq!(schema(&inventory, agent).unwrap(), &json!({ "type": due }), "{agent}");
        }
        for (name, why) in
            [("plain", "does not tell"), ("nobody", "no agent nobody"), ("typed@7.0.0", "no typed@7.0.0")]
        {
            let failure = schema(&inventory, name).unwrap_err();
            assert!(failure.error().unwrap().to_string().contains(why));
        }
    }
}
