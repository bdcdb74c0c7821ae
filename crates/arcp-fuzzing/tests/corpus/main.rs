//! Every input of the committed corpora, through the same functions as under libFuzzer. Inputs that once failed are among them,
//! under names.
//!
//! `ARCP_FUZZ_INPUT=TARGET:FILE cargo test -p arcp-fuzzing --test corpus` runs one input, such as a finding.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use arcp_fuzzing::TARGETS;

/// What all corpora together may hold, in bytes.
const LARGEST: u64 = 500 << 10;

fn corpora() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

fn inputs(target: &str) -> Vec<PathBuf> {
    let mut paths: Vec<_> =
        fs::read_dir(corpora().join(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn run(target: fn(&[u8]), path: &Path) {
    let data = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let ran = std::panic::catch_unwind(|| target(&data));
    assert!(ran.is_ok(), "{} fails", path.display());
}

#[test]
fn every_input_of_the_corpora_holds() {
    let wanted = std::env::var("ARCP_FUZZ_INPUT").ok();
    if let Some((name, path)) = wanted.as_deref().and_then(|wanted| wanted.split_once(':')) {
        let target = TARGETS.iter().find(|(target, _)| *target == name).expect("a target of this name");
        return run(target.1, Path::new(path));
    }
    for (name, target) in TARGETS {
        let inputs = inputs(name);
        assert!(inputs.len() >= 4, "{name} has hardly a corpus");
        inputs.iter().for_each(|path| run(*target, path));
    }
}

#[test]
fn the_corpora_are_of_the_targets_and_small() {
    let targets: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    let directories = fs::read_dir(corpora()).unwrap();
    let corpora: BTreeSet<_> =
        directories.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(corpora, targets);
    let programs = fs::read_dir(self::corpora().join("../fuzz_targets")).unwrap();
    let programs: BTreeSet<_> = programs
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(programs, targets);
    let bytes = targets.iter().flat_map(|name| inputs(name)).map(|path| fs::metadata(path).unwrap().len());
    let bytes: u64 = bytes.sum();
    assert!(bytes <= LARGEST, "the corpora hold {bytes} bytes");
}
