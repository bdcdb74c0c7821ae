//! `cargo xtask layers`: the table of who may depend on whom, and the check that the manifests keep to it.
//! A new arrow between crates is a decision: it is made in this file, or it does not build.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

use crate::run;

/// What a crate may depend on.
#[derive(Clone, Copy)]
enum May {
    /// These crates, and the second list only as optional dependencies.
    Only(&'static [&'static str], &'static [&'static str]),
    /// Every crate that is not a program.
    Libraries,
    /// Every crate.
    Anything,
}

/// Layer by layer, from the wire upwards.
const TABLE: &[(&str, May)] = &[
    ("arcp-proto", May::Only(&[], &[])),
    ("arcp-transport", May::Only(&[], &[])),
    ("arcp-core", May::Only(&["arcp-proto"], &[])),
    ("arcp-transport-ws", May::Only(&["arcp-transport"], &[])),
    ("arcp-transport-stdio", May::Only(&["arcp-transport"], &[])),
    (
        "arcp-client",
        May::Only(
            &["arcp-proto", "arcp-core", "arcp-transport"],
            &["arcp-transport-ws", "arcp-transport-stdio"],
        ),
    ),
    ("arcp-runtime", May::Only(&["arcp-proto", "arcp-core", "arcp-transport"], &[])),
    ("arcp-otel", May::Only(&["arcp-proto", "arcp-core"], &[])),
    ("arcp-axum", May::Only(&["arcp-runtime", "arcp-transport", "arcp-transport-ws"], &[])),
    ("arcp-store-sqlite", May::Only(&["arcp-runtime", "arcp-proto"], &[])),
    ("arcp-jwt", May::Only(&["arcp-runtime"], &[])),
    ("arcp-litellm", May::Only(&["arcp-runtime"], &[])),
    ("arcp-conformance", May::Only(&["arcp-transport", "arcp-transport-ws"], &[])),
    ("arcp-testing", May::Only(&["arcp-runtime", "arcp-transport"], &[])),
    (
        "arcp",
        May::Only(
            &[
                "arcp-proto",
                "arcp-core",
                "arcp-client",
                "arcp-runtime",
                "arcp-transport",
                "arcp-transport-ws",
                "arcp-transport-stdio",
                "arcp-axum",
                "arcp-otel",
                "arcp-store-sqlite",
                "arcp-jwt",
                "arcp-litellm",
            ],
            &[],
        ),
    ),
    ("arcp-cli", May::Anything),
    ("arcp-bench", May::Only(&["arcp-client", "arcp-core", "arcp-proto"], &[])),
    ("arcp-fuzzing", May::Libraries),
    ("arcp-examples", May::Anything),
    ("arcp-tests", May::Anything),
    ("xtask", May::Only(&[], &[])),
];

/// Crates that are there to be run: no library may build upon them, and no test may.
const PROGRAMS: &[&str] = &["arcp-bench", "arcp-cli", "xtask"];

/// What must not be compiled for those who use a crate, however deep it would lie.
const ABSENT: &[(&str, &[&str])] = &[
    (
        "arcp-client",
        &[
            "axum",
            "clap",
            "hyper",
            "jsonwebtoken",
            "opentelemetry",
            "opentelemetry_sdk",
            "ratatui",
            "rusqlite",
        ],
    ),
    ("arcp-core", &["tokio"]),
    ("arcp-proto", &["tokio"]),
];

/// A dependency of one crate of the workspace on another, as its manifest has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrow {
    from: String,
    to: String,
    dev: bool,
    optional: bool,
}

/// What the checks look at.
#[derive(Debug, Default)]
struct Graph {
    /// The crates of the workspace.
    members: BTreeSet<String>,
    /// The arrows between them.
    arrows: Vec<Arrow>,
    /// The normal dependencies of every package that the workspace compiles, by name.
    resolved: BTreeMap<String, BTreeSet<String>>,
}

/// Checks the workspace and prints its arrows.
pub(crate) fn run() -> Result<()> {
    let graph = Graph::read(&run::root())?;
    let findings = findings(&graph);
    if !findings.is_empty() {
        bail!("{}\nthe table is in xtask/src/layers.rs", findings.join("\n"));
    }
    print!("{}", table(&graph));
    Ok(())
}

fn findings(graph: &Graph) -> Vec<String> {
    [strangers(graph), arrows(graph), dev_arrows(graph), absentees(graph)].concat()
}

/// Crates that have no row.
fn strangers(graph: &Graph) -> Vec<String> {
    let known = |name: &str| TABLE.iter().any(|(row, _)| *row == name);
    let strangers = graph.members.iter().filter(|name| !known(name));
    strangers.map(|name| format!("{name}: has no row in the table of layers")).collect()
}

/// Normal and build dependencies that no row allows.
fn arrows(graph: &Graph) -> Vec<String> {
    let mut out = Vec::new();
    for arrow in graph.arrows.iter().filter(|arrow| !arrow.dev) {
        let Some((_, may)) = TABLE.iter().find(|(row, _)| *row == arrow.from) else { continue };
        let to = arrow.to.as_str();
        let verdict = match may {
            May::Anything => None,
            May::Libraries => PROGRAMS.contains(&to).then_some("may depend on libraries only"),
            May::Only(always, _) if always.contains(&to) => None,
            May::Only(_, optional) if optional.contains(&to) => {
                (!arrow.optional).then_some("is allowed as an optional dependency only")
            }
            May::Only(..) => Some("is not in the table of layers"),
        };
        out.extend(verdict.map(|why| format!("{} -> {to}: {why}", arrow.from)));
    }
    out
}

/// Tests may use any library, and no program.
fn dev_arrows(graph: &Graph) -> Vec<String> {
    let arrows = graph.arrows.iter().filter(|arrow| arrow.dev && PROGRAMS.contains(&arrow.to.as_str()));
    arrows
        .map(|arrow| format!("{} -> {}: a test may not depend on a program", arrow.from, arrow.to))
        .collect()
}

/// Packages that must not be compiled, with the way by which they came in.
///
/// The resolved graph unites the features that all crates of the workspace ask for, so this errs on the
/// strict side.
fn absentees(graph: &Graph) -> Vec<String> {
    let mut out = Vec::new();
    for (name, unwanted) in ABSENT {
        for package in *unwanted {
            if let Some(way) = way(graph, name, package) {
                out.push(format!("{name}: must not compile {package}, but does: {}", way.join(" -> ")));
            }
        }
    }
    out
}

/// A shortest way from one package to another.
fn way<'a>(graph: &'a Graph, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut ways = VecDeque::from([vec![from]]);
    let mut seen = BTreeSet::from([from]);
    while let Some(way) = ways.pop_front() {
        let last = *way.last()?;
        if last == to {
            return Some(way);
        }
        for next in graph.resolved.get(last).into_iter().flatten() {
            if seen.insert(next) {
                ways.push_back([way.as_slice(), &[next.as_str()]].concat());
            }
        }
    }
    None
}

/// The arrows, a line for each crate in the order of the table; optional ones end in `?`.
fn table(graph: &Graph) -> String {
    let width = graph.members.iter().map(String::len).max().unwrap_or(0);
    let mut out = String::new();
    for (name, _) in TABLE.iter().filter(|(name, _)| graph.members.contains(*name)) {
        let mut targets: Vec<_> = graph
            .arrows
            .iter()
            .filter(|arrow| arrow.from == *name && !arrow.dev)
            .map(|arrow| format!("{}{}", arrow.to, if arrow.optional { "?" } else { "" }))
            .collect();
        targets.sort();
        targets.dedup();
        let targets = if targets.is_empty() { "-".to_owned() } else { targets.join(", ") };
        out.push_str(&format!("{name:width$} -> {targets}\n"));
    }
    out
}

impl Graph {
    /// Asks cargo, for the platform of this machine only: a fresh one would otherwise have to fetch the
    /// packages of all the others.
    fn read(root: &Path) -> Result<Self> {
        let host = run::output(root, "rustc", &["--print", "host-tuple"])?;
        let metadata = MetadataCommand::new()
            .current_dir(root)
            .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host.trim().to_owned()])
            .exec()
            .context("cargo metadata failed")?;
        Self::from_metadata(&metadata)
    }

    fn from_metadata(metadata: &Metadata) -> Result<Self> {
        let packages = metadata.workspace_packages();
        let members: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
        let mut arrows = Vec::new();
        for package in &packages {
            for dependency in package.dependencies.iter().filter(|to| members.contains(&to.name)) {
                arrows.push(Arrow {
                    from: package.name.to_string(),
                    to: dependency.name.clone(),
                    dev: dependency.kind == DependencyKind::Development,
                    optional: dependency.optional,
                });
            }
        }
        arrows.sort();
        let names: BTreeMap<_, _> =
            metadata.packages.iter().map(|package| (&package.id, package.name.to_string())).collect();
        let mut resolved: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for node in &metadata.resolve.as_ref().context("cargo metadata resolved nothing")?.nodes {
            let normal = node
                .deps
                .iter()
                .filter(|dep| dep.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
            let to = normal.filter_map(|dep| names.get(&dep.pkg).cloned());
            if let Some(from) = names.get(&node.id) {
                resolved.entry(from.clone()).or_default().extend(to);
            }
        }
        Ok(Self { members, arrows, resolved })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A graph from lines like `arcp-core -> arcp-proto`, with `(dev)` or `(optional)` after it.
    fn graph(lines: &[&str]) -> Graph {
        let mut graph = Graph::default();
        for line in lines {
            let words: Vec<_> = line.split_whitespace().collect();
            let (from, to, note) = (words[0].to_owned(), words[2].to_owned(), words.get(3).copied());
            graph.members.extend([from.clone(), to.clone()]);
            let (dev, optional) = (note == Some("(dev)"), note == Some("(optional)"));
            graph.arrows.push(Arrow { from: from.clone(), to: to.clone(), dev, optional });
            if !dev {
                graph.resolved.entry(from).or_default().insert(to);
            }
        }
        graph
    }

    /// Adds packages from outside the workspace.
    fn resolving(mut graph: Graph, ways: &[(&str, &str)]) -> Graph {
        for (from, to) in ways {
            graph.resolved.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    }

    #[test]
    fn arrows_of_the_table_pass() {
        let graph = graph(&[
            "arcp-core -> arcp-proto",
            "arcp-client -> arcp-core",
            "arcp-client -> arcp-transport-ws (optional)",
            "arcp-core -> arcp-testing (dev)",
            "arcp-testing -> arcp-runtime",
            "arcp-cli -> arcp-testing",
        ]);
        assert_eq!(findings(&graph), [""; 0]);
    }

    #[test]
    fn an_arrow_upwards_fails() {
        let graph = graph(&["arcp-core -> arcp-runtime"]);
        assert_eq!(findings(&graph), ["arcp-core -> arcp-runtime: is not in the table of layers"]);
    }

    #[test]
    fn a_transport_of_the_client_must_be_optional() {
        let graph = graph(&["arcp-client -> arcp-transport-ws"]);
        let why = "arcp-client -> arcp-transport-ws: is allowed as an optional dependency only";
        assert_eq!(findings(&graph), [why]);
    }

    #[test]
    fn a_library_that_builds_on_a_program_fails() {
        let graph = graph(&["arcp-fuzzing -> arcp-cli"]);
        assert_eq!(findings(&graph), ["arcp-fuzzing -> arcp-cli: may depend on libraries only"]);
    }

    #[test]
    fn a_test_that_builds_on_a_program_fails() {
        let graph = graph(&["arcp-tests -> arcp-cli (dev)"]);
        assert_eq!(findings(&graph), ["arcp-tests -> arcp-cli: a test may not depend on a program"]);
    }

    #[test]
    fn a_crate_without_a_row_fails() {
        let graph = graph(&["arcp-novel -> arcp-proto"]);
        assert_eq!(findings(&graph), ["arcp-novel: has no row in the table of layers"]);
    }

    #[test]
    fn a_server_below_the_client_fails_and_the_way_is_named() {
        let graph = graph(&["arcp-client -> arcp-transport"]);
        let graph = resolving(graph, &[("arcp-transport", "reqwest"), ("reqwest", "hyper")]);
        let why = "arcp-client: must not compile hyper, but does: arcp-client -> arcp-transport -> reqwest -> hyper";
        assert_eq!(findings(&graph), [why]);
    }

    #[test]
    fn every_absentee_is_missed() {
        for (name, unwanted) in ABSENT {
            for package in *unwanted {
                let graph = resolving(Graph::default(), &[(name, package)]);
                assert_eq!(findings(&graph).len(), 1, "{name} may not compile {package}");
            }
        }
    }

    #[test]
    fn the_table_prints_a_line_for_each_crate() {
        let graph = graph(&["arcp-client -> arcp-core", "arcp-client -> arcp-transport-ws (optional)"]);
        let lines = "arcp-core         -> -\narcp-transport-ws -> -\narcp-client       -> arcp-core, arcp-transport-ws?\n";
        assert_eq!(table(&graph), lines);
    }
}
