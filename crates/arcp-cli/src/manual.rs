//! `arcp completions` and the man pages: both are made from the same description of the command line as `--help`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

use crate::exit::{self, Failure};

/// What is done with the script.
pub(crate) const COMPLETIONS: &str = "\
To have it in every shell from now on:
  arcp completions bash > ~/.local/share/bash-completion/completions/arcp
  arcp completions fish > ~/.config/fish/completions/arcp.fish
  arcp completions zsh > DIR/_arcp, with DIR one of $fpath

The man pages are written by `arcp man DIR`.";

/// What is done with the pages.
pub(crate) const PAGES: &str = "\
To have `man arcp` and `man arcp-serve` show them:
  arcp man ~/.local/share/man/man1";

#[derive(clap::Args)]
pub(crate) struct Completions {
    /// For which shell.
    shell: Shell,
}

#[derive(clap::Args)]
pub(crate) struct Man {
    /// The directory to write them to, one file a command. It is made if it is not there.
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
}

/// Prints a script that the shell is to read.
pub(crate) fn completions(completions: &Completions, mut command: Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(completions.shell, &mut command, "arcp", &mut script);
    let mut out = io::stdout().lock();
    out.write_all(&script)?;
    Ok(out.flush()?)
}

/// Writes a man page for the program, and one for each of its commands.
pub(crate) fn man(man: &Man, command: Command) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(&man.directory)
        .and_then(|()| clap_mangen::generate_to(command, &man.directory))
        .with_context(|| format!("cannot write to {}", man.directory.display()));
    written.map_err(|error| Failure::new(exit::USAGE, error))
}
