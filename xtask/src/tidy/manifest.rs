//! Rules on `Cargo.toml`. What one crate could decide, the workspace decides: versions, lints, licence.

use super::Finding;
use super::tree::{File, Tree};

/// One `key = value` of a manifest.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    table: String,
    key: String,
    /// The value without white space and comments.
    value: String,
    line: usize,
}

/// Every crate takes licence, publication and lints from the workspace, and says in a line what it is.
pub(super) fn package(tree: &Tree) -> Vec<Finding> {
    let inherited = [("package", "license"), ("package", "publish"), ("lints", "")];
    let mut out = Vec::new();
    for (file, entries) in members(tree) {
        for (table, key) in inherited {
            if !entries.iter().any(|entry| entry.table == table && entry.inherits(key)) {
                let name = if key.is_empty() { table.to_owned() } else { format!("{table}.{key}") };
                out.push(Finding::at(file, 1, format!("{name} does not come from the workspace")));
            }
        }
        let described = |entry: &Entry| entry.is("package", "description") && entry.value.len() > 2;
        if !entries.iter().any(described) {
            out.push(Finding::at(file, 1, "the package has no description"));
        }
    }
    out
}

/// Every version stands in one place, the manifest of the workspace.
pub(super) fn dependency(tree: &Tree) -> Vec<Finding> {
    let mut out = Vec::new();
    for (file, entries) in members(tree) {
        for (index, entry) in entries.iter().enumerate() {
            let Some(name) = dependency_table(&entry.table) else { continue };
            let (name, inherits) = if name.is_empty() {
                (entry.name(), entry.inherits(entry.name()))
            } else {
                // A table of its own: judged once, by all its entries.
                if entries[..index].iter().any(|earlier| earlier.table == entry.table) {
                    continue;
                }
                let mut own = entries.iter().filter(|other| other.table == entry.table);
                (name, own.any(|other| other.inherits("")))
            };
            if !inherits {
                let message = format!("{name} does not come from the workspace: name its version there");
                out.push(Finding::at(file, entry.line, message));
            }
        }
    }
    out
}

/// The workspace forbids unsafe code, and `package` has every crate take its lints from there.
pub(super) fn forbids_unsafe(tree: &Tree) -> Vec<Finding> {
    let Some(file) = tree.file("Cargo.toml") else { return Vec::new() };
    let forbids =
        |entry: &Entry| entry.is("workspace.lints.rust", "unsafe_code") && entry.value == "\"forbid\"";
    if entries(&file.text).iter().any(forbids) {
        return Vec::new();
    }
    vec![Finding::at(file, 1, "workspace.lints.rust does not forbid unsafe_code")]
}

/// The manifests of the crates of the workspace; one that is a workspace of its own is not among them.
fn members(tree: &Tree) -> impl Iterator<Item = (&File, Vec<Entry>)> {
    let manifests = tree.files().iter().filter(|file| file.name() == "Cargo.toml");
    manifests.map(|file| (file, entries(&file.text))).filter(|(file, entries)| {
        let own = file.text.lines().any(|line| line.trim().starts_with("[workspace"));
        !own && entries.iter().any(|entry| entry.table == "package")
    })
}

/// If this is a table of dependencies, the name of the one that it is about, or nothing when it lists them.
fn dependency_table(table: &str) -> Option<&str> {
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    kinds.into_iter().find_map(|kind| {
        let at = if table.starts_with("target.") { table.rfind(&format!(".{kind}"))? + 1 } else { 0 };
        let rest = table[at..].strip_prefix(kind)?;
        if rest.is_empty() { Some("") } else { rest.strip_prefix('.') }
    })
}

impl Entry {
    fn is(&self, table: &str, key: &str) -> bool {
        self.table == table && self.key == key
    }

    /// The first part of a dotted key.
    fn name(&self) -> &str {
        self.key.split('.').next().unwrap_or(&self.key)
    }

    /// Whether this entry has `key` come from the workspace; without a key, the table as a whole.
    fn inherits(&self, key: &str) -> bool {
        if key.is_empty() {
            return self.key == "workspace" && self.value == "true";
        }
        let dotted = self.key.strip_prefix(key) == Some(".workspace") && self.value == "true";
        let inner = self.value.trim_start_matches('{').trim_end_matches('}');
        dotted || (self.key == key && inner.split(',').any(|part| part == "workspace=true"))
    }
}

/// The entries of a manifest, as much of TOML as manifests use: values may run over several lines.
fn entries(text: &str) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    let mut table = String::new();
    let mut open = 0;
    for (index, line) in text.lines().enumerate() {
        let line = compact(line);
        if open > 0 {
            open += depth(&line);
            if let Some(entry) = out.last_mut() {
                entry.value.push_str(&line);
            }
        } else if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut table);
        } else if let Some((key, value)) = line.split_once('=') {
            open = depth(value);
            let (key, value) = (key.trim_matches('"').to_owned(), value.to_owned());
            out.push(Entry { table: table.clone(), key, value, line: index + 1 });
        }
    }
    out
}

/// A line without its comment, and without white space outside strings.
fn compact(line: &str) -> String {
    let mut quote = None;
    let mut out = String::new();
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '#' => break,
            None if c.is_whitespace() => continue,
            None => quote = Some(c).filter(|c| matches!(c, '"' | '\'')),
        }
        out.push(c);
    }
    out
}

/// How many brackets a stretch of TOML leaves open.
fn depth(text: &str) -> i32 {
    let (mut depth, mut quote) = (0, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') => depth -= 1,
            _ => {}
        }
    }
    depth
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
[package]
name = \"a\"
description = \"What it is\"
license.workspace = true
publish = { workspace = true }

[lints]
workspace = true
";

    fn found(rule: fn(&Tree) -> Vec<Finding>, manifest: &str) -> Vec<(usize, String)> {
        let findings = rule(&Tree::of(&[("crates/a/Cargo.toml", manifest)]));
        findings.into_iter().map(|finding| (finding.line, finding.message)).collect()
    }

    fn none() -> Vec<(usize, String)> {
        Vec::new()
    }

    #[test]
    fn a_package_must_inherit_and_describe_itself() {
        assert_eq!(found(package, GOOD), none());
        for line in
            ["license.workspace = true", "publish = { workspace = true }", "[lints]", "description = "]
        {
            let without: String = GOOD
                .lines()
                .filter(|other| !other.starts_with(line))
                .flat_map(|other| [other, "\n"])
                .collect();
            assert_eq!(found(package, &without).len(), 1, "{line}");
        }
        let own = GOOD.replace("license.workspace = true", "license = \"MIT\"");
        assert_eq!(
            found(package, &own),
            [(1, "package.license does not come from the workspace".to_owned())]
        );
        assert_eq!(found(package, &GOOD.replace("What it is", "")).len(), 1);
    }

    #[test]
    fn a_workspace_of_its_own_is_left_alone() {
        assert_eq!(found(package, "[package]\nname = \"a\"\n[workspace]\n"), none());
    }

    #[test]
    fn a_dependency_must_come_from_the_workspace() {
        for good in [
            "[dependencies]\na.workspace = true\n",
            "[dependencies]\na = { workspace = true, features = [\n  \"b\", # c\n  \"d\",\n], optional = true }\n",
            "[dev-dependencies.a]\nfeatures = [\"b\"]\nworkspace = true\n",
            "[target.'cfg(unix)'.dependencies]\na.workspace = true\n",
            "[features]\na = [\"b\"]\n",
        ] {
            assert_eq!(found(dependency, &format!("{GOOD}{good}")), none(), "{good}");
        }
        for bad in [
            "[dependencies]\na = \"1\"\n",
            "[dependencies]\na = { version = \"1\" }\n",
            "[build-dependencies]\na = { path = \"../a\" }\n",
            "[dev-dependencies.a]\nversion = \"1\"\nfeatures = []\n",
            "[target.'cfg(unix)'.dependencies]\na = { version = \"1\", features = [\n\"b\" ] }\n",
            "[target.'cfg(unix)'.dependencies.a]\nversion = \"1\"\n",
            "[dependencies]\na.path = \"../a\"\n",
        ] {
            let message = "a does not come from the workspace: name its version there".to_owned();
            assert_eq!(found(dependency, &format!("{GOOD}{bad}")), [(10, message)], "{bad}");
        }
    }

    #[test]
    fn the_workspace_must_forbid_unsafe_code() {
        let lines = |manifest| forbids_unsafe(&Tree::of(&[("Cargo.toml", manifest)])).len();
        assert_eq!(lines("[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"), 0);
        assert_eq!(lines("[workspace.lints.rust]\nunsafe_code = \"deny\"\n"), 1);
        assert_eq!(lines("[workspace]\n"), 1);
    }
}
