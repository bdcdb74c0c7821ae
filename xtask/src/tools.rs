//! Programs of others that a check needs, each in the version that the check was written for, in `tools` of the target directory. What
//! they are used for is in the modules of the commands.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

use crate::run::{self, Cargo};
use crate::steps::Lacking;

/// The nightly toolchain that lists items, which other ones list otherwise: of this day, by its name and as its programs tell it, which is
/// the day before. It is to be one that writes what the version of cargo-public-api beside it reads.
pub(crate) const NIGHTLY: Nightly = Nightly { name: "nightly-2026-05-20", says: "2026-05-19)" };

/// A nightly toolchain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nightly {
    name: &'static str,
    says: &'static str,
}

impl Nightly {
    /// What to call it by: its own name or, if that is what it is, `nightly`.
    ///
    /// # Errors
    /// [`Lacking`], with what to type, if neither is there.
    pub(crate) fn installed(self) -> Result<&'static str> {
        let is_it = |name: &&str| {
            let told = run::output(&run::root(), "rustup", &["run", name, "rustdoc", "--version"]);
            told.is_ok_and(|told| self.is_named_by(&told))
        };
        let found = [self.name, "nightly"].into_iter().find(is_it);
        found.ok_or_else(|| Lacking(self.how_to_install()).into())
    }

    fn is_named_by(self, version: &str) -> bool {
        says(version, self.says)
    }

    fn how_to_install(self) -> String {
        let name = self.name;
        format!("{name} is not there: rustup toolchain install {name} --profile minimal")
    }
}

/// A cargo plugin on crates.io.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// The path of the program, which is installed first if it is not there in that version.
    ///
    /// # Errors
    /// [`Lacking`] if it cannot be installed, as without network.
    pub(crate) fn path(self) -> Result<PathBuf> {
        let Self { name, version } = self;
        let tools = target_directory()?.join("tools");
        let path = tools.join("bin").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        if self.is_at(&path) {
            return Ok(path);
        }
        let build = tools.join("build");
        println!("{name} {version} is not there yet: it is built once, which takes minutes");
        let install = Cargo::new("install --locked --force --root")
            .arg(tools.display().to_string())
            .arg(format!("{name}@{version}"))
            .env("CARGO_TARGET_DIR", build.display().to_string());
        install.run().map_err(|error| Lacking(format!("{name} {version} cannot be installed: {error:#}")))?;
        // What it was built from is of no use any more, and large.
        fs::remove_dir_all(&build).with_context(|| build.display().to_string())?;
        Ok(path)
    }

    /// Whether the program at `path` calls itself by that version.
    fn is_at(self, path: &PathBuf) -> bool {
        let Some(plugin) = self.name.strip_prefix("cargo-") else { return false };
        let output = Command::new(path).args([plugin, "--version"]).stderr(Stdio::null()).output();
        output.is_ok_and(|output| says(&String::from_utf8_lossy(&output.stdout), self.version))
    }
}

/// Whether one of the words is the version.
fn says(output: &str, version: &str) -> bool {
    output.split_whitespace().any(|word| word == version)
}

/// Where cargo builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata =
        MetadataCommand::new().current_dir(run::root()).no_deps().exec().context("cargo metadata failed")?;
    Ok(metadata.target_directory.into_std_path_buf())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_nightly_is_another_toolchain() {
        assert!(NIGHTLY.is_named_by("rustdoc 1.97.0-nightly (e50aa6fba 2026-05-19)\n"));
        assert!(!NIGHTLY.is_named_by("rustdoc 1.97.0-nightly (e50aa6fba 2026-05-18)\n"));
        assert!(!NIGHTLY.is_named_by(""));
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_type() {
        let never = Nightly { name: "nightly-1970-01-01", says: "1969-12-31)" };
        let error = never.installed().unwrap_err();
        assert!(error.is::<Lacking>());
        assert!(error.to_string().contains("rustup toolchain install nightly-1970-01-01 --profile minimal"));
    }

    #[test]
    fn another_version_is_another_tool() {
        assert!(says("cargo-deny 0.20.2\n", "0.20.2"));
        assert!(!says("cargo-deny 0.20.20\n", "0.20.2"));
        assert!(!says("", "0.20.2"));
    }

    #[test]
    fn a_program_that_is_not_there_has_no_version() {
        let tool = Tool { name: "cargo-deny", version: "0.20.2" };
        assert!(!tool.is_at(&run::root().join("xtask/no-such-program")));
    }
}
