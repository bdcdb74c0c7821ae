//! The published Python SDK, hosted by `peer.py`: a runtime of others under the same load. Without `python3` or PyPI there is none.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process::Server;

/// An interpreter that has the SDK.
pub(crate) struct Python(PathBuf);

impl Python {
    /// Installs the SDK beside the programs, if it is not there.
    pub(crate) fn find(programs: &Path) -> Result<Self> {
        let environment =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/arcp-cli/tests/interop/environment.py");
        let place = programs.join("python-sdk-1.1.3");
        let output = Command::new("python3").arg(environment).arg(place).stdin(Stdio::null()).output();
        let told: Value = serde_json::from_slice(&output.context("python3 cannot be started")?.stdout)?;
        match told["python"].as_str() {
            Some(python) => Ok(Self(PathBuf::from(python))),
            None => bail!("{}", told["absent"].as_str().unwrap_or("nothing is known")),
        }
    }

    pub(crate) fn serve(&self) -> Result<Server> {
        let mut serve = Command::new(&self.0);
        serve.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peer.py")).stderr(Stdio::null());
        Server::start(serve, true)
    }
}
