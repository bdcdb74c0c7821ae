//! `cargo xtask api`: the public items of each crate for users, beside what `docs/api` says, a text file for each. What is added,
//! changed or lost shows in a review, and nothing does so by accident. Items are listed with all features.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::{Metadata, MetadataCommand, TargetKind};

use crate::features::crates;
use crate::run;
use crate::tools::{NIGHTLY, Tool, target_directory};

const PUBLIC_API: Tool = Tool { name: "cargo-public-api", version: "0.52.0" };

/// Where the lists are.
const LISTS: &str = "docs/api";

/// Libraries that nobody is to build upon: what the program and the fuzz targets are made of.
const PRIVATE: &[&str] = &["arcp-cli", "arcp-fuzzing"];

/// Traits that the compiler implements, and that nobody means to promise.
const UNPROMISED: &[&str] = &["Freeze", "RefUnwindSafe", "Unpin", "UnsafeUnpin", "UnwindSafe"];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Write down what is there as what is to be
    #[arg(long)]
    bless: bool,
    /// Which crates; all that are for users, if none is named
    crates: Vec<String>,
}

/// Lists the items and compares. The error has what differs.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = run::root();
    let metadata =
        MetadataCommand::new().current_dir(&root).no_deps().exec().context("cargo metadata failed")?;
    let published = published(&metadata);
    for name in &options.crates {
        ensure!(published.contains(name), "{name} is none of {}", published.join(", "));
    }
    let nightly = NIGHTLY.installed()?;
    let tool = PUBLIC_API.path()?;
    let lists = root.join(LISTS);
    fs::create_dir_all(&lists).with_context(|| lists.display().to_string())?;
    let mut differences = Vec::new();
    for stray in strays(&lists, &published)? {
        if options.bless {
            fs::remove_file(&stray).with_context(|| stray.display().to_string())?;
        } else {
            differences.push(format!("{}: there is no such crate for users", stray.display()));
        }
    }
    let wanted = |name: &&String| options.crates.is_empty() || options.crates.contains(name);
    let chosen: Vec<_> = published.iter().filter(wanted).collect();
    let documented = document(nightly, &root, &chosen)?;
    for name in chosen {
        let found = items(&tool, &documented, name)?;
        let path = lists.join(format!("{name}.txt"));
        if options.bless {
            fs::write(&path, &found).with_context(|| path.display().to_string())?;
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        let difference = difference(&known, &found);
        println!(
            "{name:24} {:>5} items{}",
            found.lines().count(),
            if difference.is_empty() { "" } else { ", NOT as known" }
        );
        if !difference.is_empty() {
            differences.push(format!("{LISTS}/{name}.txt:\n{difference}"));
        }
    }
    if !differences.is_empty() {
        bail!("{}\nif this is meant, cargo xtask api --bless writes it down", differences.join("\n"));
    }
    Ok(())
}

/// The libraries for users, by name.
fn published(metadata: &Metadata) -> Vec<String> {
    let libraries = crates(metadata).into_iter().filter(|package| {
        package.targets.iter().any(|target| target.kind.contains(&TargetKind::Lib))
            && !PRIVATE.contains(&package.name.as_str())
    });
    libraries.map(|package| package.name.to_string()).collect()
}

/// Lists of crates that are not there, or are not for users.
fn strays(lists: &Path, published: &[String]) -> Result<Vec<PathBuf>> {
    let mut strays = Vec::new();
    for entry in fs::read_dir(lists).with_context(|| lists.display().to_string())? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|stem| stem.to_str());
        if !name.is_some_and(|name| published.iter().any(|known| known == name)) {
            strays.push(path);
        }
    }
    strays.sort();
    Ok(strays)
}

/// Has rustdoc write what it knows of the crates as JSON, all in one build; gives the directory.
fn document(nightly: &str, root: &Path, names: &[&String]) -> Result<PathBuf> {
    let target = target_directory()?.join("api");
    let mut doc = Command::new("rustup");
    doc.args(["run", nightly, "cargo", "doc", "--quiet", "--locked", "--lib", "--no-deps", "--all-features"]);
    for name in names {
        doc.args(["--package", name]);
    }
    doc.current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json --cap-lints warn");
    // The toolchain that runs us has named itself in the environment.
    for variable in ["CARGO", "CARGO_MANIFEST_DIR", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN"] {
        doc.env_remove(variable);
    }
    let status = doc.status().context("cannot start rustup")?;
    ensure!(status.success(), "cargo +{nightly} doc: {status}");
    Ok(target.join("doc"))
}

/// The items of one crate, a line each.
fn items(tool: &Path, documented: &Path, name: &str) -> Result<String> {
    let json = documented.join(format!("{}.json", name.replace('-', "_")));
    let mut list = Command::new(tool);
    list.args(["public-api", "--color", "never", "--omit", "blanket-impls", "--rustdoc-json"]).arg(&json);
    let output = list.stderr(Stdio::inherit()).output().context("cannot start cargo-public-api")?;
    ensure!(
        output.status.success(),
        "cargo public-api {name}: {}; it reads what the nightly toolchain that xtask/src/tools.rs names writes",
        output.status
    );
    let text = String::from_utf8(output.stdout).context("cargo-public-api printed no UTF-8")?;
    let lines: Vec<_> = text.lines().filter(|line| !is_unpromised(line)).collect();
    ensure!(!lines.is_empty(), "cargo public-api lists nothing for {name}");
    Ok(lines.join("\n") + "\n")
}

/// Whether a line tells of a trait that the compiler implements and that nobody means to promise. `Send` and `Sync` are promised.
fn is_unpromised(line: &str) -> bool {
    let Some((head, _)) = line.split_once(" for ").filter(|(head, _)| head.starts_with("impl")) else {
        return false;
    };
    let path = head.rsplit(' ').next().unwrap_or(head).trim_start_matches('!');
    let name = path.rsplit("::").next().unwrap_or(path);
    path.starts_with("core::") && UNPROMISED.contains(&name)
}

/// The lines that only one of two lists has, or has more often.
fn difference(known: &str, found: &str) -> String {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in known.lines() {
        *counts.entry(line).or_default() -= 1;
    }
    for line in found.lines() {
        *counts.entry(line).or_default() += 1;
    }
    let changed = counts.iter().filter(|(_, count)| **count != 0);
    changed.map(|(line, count)| format!("{} {line}\n", if *count < 0 { '-' } else { '+' })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_is_new_shows() {
        assert_eq!(difference("pub fn a::b()\npub mod a\n", "pub mod a\npub fn a::b()\n"), "");
        let changed = difference("pub fn a::b()\npub mod a\n", "pub fn a::b(u8)\npub mod a\n");
        assert_eq!(changed, "- pub fn a::b()\n+ pub fn a::b(u8)\n");
        assert_eq!(difference("x\nx\n", "x\n"), "- x\n");
    }

    #[test]
    fn send_is_promised_and_unpin_is_not() {
        assert!(is_unpromised("impl core::marker::Unpin for arcp_client::Client"));
        assert!(is_unpromised("impl<T> core::panic::unwind_safe::UnwindSafe for a::B<T> where T: X"));
        assert!(is_unpromised("impl !core::marker::Freeze for a::B"));
        assert!(!is_unpromised("impl core::marker::Send for arcp_client::Client"));
        assert!(!is_unpromised("impl !core::marker::Sync for arcp_client::Client"));
        assert!(!is_unpromised("impl core::clone::Clone for a::Unpin"));
        assert!(!is_unpromised("pub fn a::b() -> core::marker::Unpin"));
    }

    #[test]
    fn a_list_of_no_crate_is_a_stray() {
        let root = run::root();
        let here = strays(&root.join("xtask/src/tidy"), &["rust".to_owned()]).unwrap();
        assert!(here.contains(&root.join("xtask/src/tidy/text.rs")));
        assert!(!here.contains(&root.join("xtask/src/tidy/rust.rs")));
    }

    #[test]
    fn libraries_for_users_have_lists_and_programs_have_none() {
        let metadata = MetadataCommand::new().current_dir(run::root()).no_deps().exec().unwrap();
        let published = published(&metadata);
        assert!(
            ["arcp", "arcp-client", "arcp-testing"]
                .iter()
                .all(|name| published.contains(&(*name).to_owned()))
        );
        assert!(
            !["arcp-cli", "arcp-fuzzing", "xtask"].iter().any(|name| published.contains(&(*name).to_owned()))
        );
        let lists = run::root().join(LISTS);
        assert_eq!(strays(&lists, &published).unwrap(), Vec::<PathBuf>::new());
        for name in published {
            assert!(
                lists.join(format!("{name}.txt")).is_file(),
                "{name} has no list: cargo xtask api --bless"
            );
        }
    }
}
