//! `cargo xtask deny`: what the dependencies are, beside what `deny.toml` allows: their licences, where they come from, which are there
//! in more than one version. Advisories change by the day and are no matter of a checkout; `cargo deny check advisories` asks for them.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{self, Cargo};
use crate::steps::Lacking;
use crate::tools::Tool;

const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

/// Without network, once the tool and the packages are there.
pub(crate) fn run() -> Result<()> {
    let deny = DENY.path()?;
    // The packages of all platforms: a licence holds on every one of them.
    Cargo::new("fetch --locked --quiet")
        .run()
        .map_err(|error| Lacking(format!("the packages to look at are not there: {error:#}")))?;
    let status = Command::new(deny)
        .args(["deny", "--offline", "--locked", "check", "licenses", "bans", "sources"])
        .current_dir(run::root())
        .status()
        .context("cannot start cargo-deny")?;
    ensure!(
        status.success(),
        "cargo deny check licenses bans sources: {status}; what is allowed is in deny.toml"
    );
    Ok(())
}
