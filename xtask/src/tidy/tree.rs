//! The files that the rules look at: where the list comes from, and what kind of file each one is.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::source::Source;
use crate::run;

/// The text files of the project.
#[derive(Debug)]
pub(super) struct Tree {
    files: Vec<File>,
    /// Every path, files that are not text too, and every directory.
    paths: BTreeSet<String>,
}

/// One text file.
#[derive(Debug)]
pub(super) struct File {
    /// Its path from the root, with `/` on every platform.
    pub(super) path: String,
    /// What it holds.
    pub(super) text: String,
    /// Its parts, if it is Rust.
    pub(super) source: Option<Source>,
}

impl Tree {
    /// Reads the files that git knows or would offer to add, so that a file is checked before its first
    /// commit. Outside a checkout, every file but the products of a build.
    pub(super) fn read(root: &Path) -> Result<Self> {
        let paths = match tracked(root) {
            Some(paths) => paths,
            None => walked(root)?,
        };
        let mut files = Vec::new();
        let mut present = Vec::new();
        for path in paths {
            let full = root.join(&path);
            // Git also lists what was deleted and not yet committed.
            if !full.is_file() {
                continue;
            }
            let bytes = fs::read(&full).with_context(|| path.clone())?;
            files.extend(String::from_utf8(bytes).ok().map(|text| File::new(&path, text)));
            present.push(path);
        }
        Ok(Self { files, paths: with_directories(present) })
    }

    /// A tree that exists only in a test.
    #[cfg(test)]
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let paths = with_directories(files.iter().map(|(path, _)| (*path).to_owned()));
        let files = files.iter().map(|(path, text)| File::new(path, (*text).to_owned())).collect();
        Self { files, paths }
    }

    /// Every text file.
    pub(super) fn files(&self) -> &[File] {
        &self.files
    }

    /// The file at a path.
    pub(super) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is a file or a directory at a path.
    pub(super) fn has(&self, path: &str) -> bool {
        path.is_empty() || self.paths.contains(path)
    }

    /// The Rust files and their parts.
    pub(super) fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.source.as_ref()?)))
    }

    /// The files with this extension.
    pub(super) fn with_extension<'a>(&'a self, extension: &'a str) -> impl Iterator<Item = &'a File> {
        self.files.iter().filter(move |file| file.extension() == extension)
    }
}

impl File {
    fn new(path: &str, text: String) -> Self {
        let source = path.ends_with(".rs").then(|| Source::new(&text));
        Self { path: path.to_owned(), text, source }
    }

    /// What follows the last dot of the name.
    pub(super) fn extension(&self) -> &str {
        self.name().rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// The last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether the whole file is a test.
    pub(super) fn is_test(&self) -> bool {
        self.name() == "tests.rs" || self.path.split('/').any(|part| part == "tests")
    }

    /// Whether users compile or read this file: neither a test, nor a bench, nor a fuzz target.
    pub(super) fn is_shipped(&self) -> bool {
        !self.is_test() && !self.path.split('/').any(|part| part == "benches" || part == "fuzz")
    }
}

fn with_directories(paths: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for path in paths {
        out.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        out.insert(path);
    }
    out
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let listed = run::output(root, "git", &arguments).ok()?;
    let mut paths: Vec<_> = listed.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    paths.sort();
    paths.dedup();
    // An unpacked archive inside somebody else's checkout is no checkout of ours.
    paths.iter().any(|path| path == "Cargo.toml").then_some(paths)
}

fn walked(root: &Path) -> Result<Vec<String>> {
    let mut out = Vec::new();
    let mut left = vec![String::new()];
    while let Some(directory) = left.pop() {
        let full = root.join(&directory);
        for entry in fs::read_dir(&full).with_context(|| full.display().to_string())? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if directory.is_empty() { name.clone() } else { format!("{directory}/{name}") };
            let kind = entry.file_type()?;
            // In a linked worktree `.git` is a file.
            if name == ".git" {
                continue;
            }
            if !kind.is_dir() {
                out.push(path);
            } else if !is_build(&entry.path(), &path) {
                left.push(path);
            }
        }
    }
    out.sort();
    Ok(out)
}

/// Whether a directory holds the products of a build: cargo puts a tag into those it makes.
fn is_build(full: &Path, path: &str) -> bool {
    path == "target" || full.join("CACHEDIR.TAG").is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_finds_what_git_lists() {
        let root = run::root();
        let walked = walked(&root).unwrap();
        assert!(walked.iter().any(|path| path == "xtask/src/tidy/tree.rs"));
        assert!(!walked.iter().any(|path| path.starts_with("target/") || path.starts_with(".git/")));
        for path in tracked(&root).unwrap_or_default() {
            assert!(!root.join(&path).is_file() || walked.contains(&path), "{path}");
        }
    }

    #[test]
    fn files_know_what_they_are() {
        let file = |path| File::new(path, String::new());
        assert!(file("tests/src/resume.rs").is_test() && file("crates/a/src/b/tests.rs").is_test());
        assert!(file("crates/a/src/lib.rs").is_shipped() && !file("crates/a/benches/b.rs").is_shipped());
        assert_eq!(file("a.b/.gitignore").extension(), "gitignore");
        assert_eq!(file("LICENSE").extension(), "");
    }

    #[test]
    fn a_tree_has_its_directories() {
        let tree = Tree::of(&[("docs/a/b.md", "")]);
        assert!(tree.has("docs") && tree.has("docs/a") && tree.has("docs/a/b.md") && !tree.has("docs/b.md"));
    }
}
