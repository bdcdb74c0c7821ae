//! Where the workspace is, and how its child commands are started. What to run is decided elsewhere.

use std::borrow::Cow;
use std::env;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The root directory of the workspace.
///
/// Cargo says at run time where `xtask` lives; the path of the build is only the fallback, because a build
/// directory can be shared by more than one checkout.
pub(crate) fn root() -> PathBuf {
    let xtask = env::var_os("CARGO_MANIFEST_DIR")
        .map(PathBuf::from)
        .filter(|dir| dir.ends_with("xtask"))
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    xtask.parent().map(Path::to_path_buf).unwrap_or(xtask)
}

/// The cargo that started us, so that a `+toolchain` holds for the children too.
fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// One cargo command, which prints itself as a person would type it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cargo {
    args: Vec<Cow<'static, str>>,
    env: Vec<(&'static str, Cow<'static, str>)>,
}

impl Cargo {
    /// A command from its arguments, as they are typed after `cargo`.
    pub(crate) fn new(line: &'static str) -> Self {
        Self { args: line.split_whitespace().map(Cow::from).collect(), env: Vec::new() }
    }

    /// Adds an argument, as it is.
    pub(crate) fn arg(mut self, arg: impl Into<Cow<'static, str>>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets a variable of the environment.
    pub(crate) fn env(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.env.push((name, value.into()));
        self
    }

    /// The process to start: at the root, without the variables that `cargo run` made for `xtask` itself.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(cargo());
        command
            .args(self.args.iter().map(|arg| arg.as_ref()))
            .envs(self.env.iter().map(|(name, value)| (name, value.as_ref())))
            .current_dir(root());
        for (name, _) in env::vars_os() {
            if name.to_str().is_some_and(is_about_xtask) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Runs the command with our own stdout and stderr, and fails when it does.
    pub(crate) fn run(&self) -> Result<()> {
        let status = self.command().status().with_context(|| format!("cannot start {self}"))?;
        ensure!(status.success(), "{self}: {status}");
        Ok(())
    }

    /// Whether the command succeeds, with its output thrown away.
    pub(crate) fn succeeds(&self) -> bool {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

impl fmt::Display for Cargo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quoted(value))?;
        }
        f.write_str("cargo")?;
        self.args.iter().try_for_each(|arg| write!(f, " {}", quoted(arg)))
    }
}

fn quoted(word: &str) -> String {
    if word.contains(' ') { format!("'{word}'") } else { word.to_owned() }
}

/// Variables that describe the package `xtask` to the process `xtask`, and would mislead a child.
fn is_about_xtask(name: &str) -> bool {
    name.starts_with("CARGO_PKG_")
        || name.starts_with("CARGO_MANIFEST_")
        || ["CARGO_CRATE_NAME", "CARGO_BIN_NAME", "CARGO_PRIMARY_PACKAGE"].contains(&name)
}

/// What a command prints on stdout, run at `dir`.
pub(crate) fn output(dir: &Path, program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    ensure!(output.status.success(), "{program} {}: {}", args.join(" "), output.status);
    String::from_utf8(output.stdout).with_context(|| format!("{program} printed no UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_prints_as_it_is_typed() {
        let doc = Cargo::new("doc --no-deps").env("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(doc.to_string(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
        let clippy = Cargo::new("clippy -- -D warnings");
        assert_eq!(clippy.to_string(), "cargo clippy -- -D warnings");
    }

    #[test]
    fn a_child_is_not_told_that_it_is_xtask() {
        assert!(is_about_xtask("CARGO_PKG_NAME"));
        assert!(is_about_xtask("CARGO_MANIFEST_DIR"));
        assert!(!is_about_xtask("CARGO_TARGET_DIR"));
        assert!(!is_about_xtask("CARGO_INCREMENTAL"));
    }

    #[test]
    fn the_root_is_where_the_workspace_is() {
        assert!(root().join("xtask/Cargo.toml").is_file());
    }
}
