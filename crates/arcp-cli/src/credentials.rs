//! `arcp credentials`: what may still be good at the upstream, for whoever looks after the runtime (§14).

use std::io::{self, Write};
use std::path::PathBuf;

use arcp::runtime::credentials::{FileLedger, Outstanding};

use crate::exit::{self, Failure};
use crate::plain::{one_line, stdout};

#[derive(clap::Args)]
pub(crate) struct Credentials {
    /// List credentials that are not known to be revoked: those of running jobs, those that are being revoked, and those that
    /// the upstream refuses to revoke, which are marked.
    #[arg(long, required = true)]
    outstanding: bool,

    /// The ledger, as --credential-ledger of `arcp serve` has it. It may be in use.
    #[arg(long, value_name = "FILE")]
    ledger: PathBuf,

    /// Print each credential as JSON, one object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(credentials: &Credentials) -> Result<(), Failure> {
    let outstanding =
        FileLedger::read(&credentials.ledger).map_err(|error| Failure::new(exit::USAGE, error))?;
    let mut out = stdout();
    if credentials.json {
        lines(&mut out, &outstanding)?;
    } else {
        table(&mut out, &outstanding)?;
    }
    Ok(())
}

fn lines(out: &mut impl Write, outstanding: &[Outstanding]) -> io::Result<()> {
    for credential in outstanding {
        writeln!(out, "{}", serde_json::to_string(credential)?)?;
    }
    Ok(())
}

fn table(out: &mut impl Write, outstanding: &[Outstanding]) -> io::Result<()> {
    let widest = |width: usize, text: &str| width.max(text.chars().count());
    let handles = outstanding.iter().fold(6, |width, one| widest(width, &one.handle));
    let jobs = outstanding.iter().fold(3, |width, one| widest(width, one.job_id.as_str()));
    let principals = outstanding.iter().fold(9, |width, one| widest(width, &one.principal));
    writeln!(
        out,
        "{:handles$}  {:jobs$}  {:principals$}  {:24}  UNREVOCABLE",
        "HANDLE", "JOB", "PRINCIPAL", "SINCE"
    )?;
    for credential in outstanding {
        let Outstanding { handle, job_id, principal, since, unrevocable, .. } = credential;
        let (handle, job, principal) = (one_line(handle), one_line(job_id.as_str()), one_line(principal));
        let why = one_line(unrevocable.as_deref().unwrap_or("-"));
        writeln!(
            out,
            "{handle:handles$}  {job:jobs$}  {principal:principals$}  {:24}  {why}",
            since.to_string()
        )?;
    }
    Ok(())
}
