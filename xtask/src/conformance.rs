//! `cargo xtask conformance`: plays the conformance cases. Alone it plays them against this project's own runtime, over every transport,
//! and its own client, and writes `CONFORMANCE.md`; with arguments it is `arcp conformance` from this checkout.

use anyhow::Result;

use crate::run::Cargo;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Do not write CONFORMANCE.md: fail if it is not what the cases show
    #[arg(long)]
    check: bool,
    /// What `arcp conformance` takes, such as --url ws://127.0.0.1:7777/arcp --token s3cret
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        conflicts_with = "check",
        value_name = "ARGUMENT"
    )]
    arguments: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if options.arguments.is_empty() {
        let mode = if options.check { "check" } else { "write" };
        Cargo::new("test --locked --package arcp-cli --test conformance").env("ARCP_CONFORMANCE", mode).run()
    } else {
        let arcp = Cargo::new("run --quiet --locked --package arcp-cli -- conformance");
        options.arguments.iter().cloned().fold(arcp, Cargo::arg).run()
    }
}
