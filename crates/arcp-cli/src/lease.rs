//! `arcp lease check`: what a lease would decide, without a runtime.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use arcp::proto::{Json, Lease, LeaseConstraints, Timestamp};
use arcp_core::lease::{Authority, Denied, ModelPolicy};
use arcp_core::{Instant, Now};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::exit::{self, Failure};
use crate::plain::{one_line, stdout};
use crate::submit::{read, read_stdin};

#[derive(clap::Args)]
pub(crate) struct LeaseCommand {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Tell whether a lease allows an operation, and by which grant.
    Check(Check),
}

#[derive(clap::Args)]
struct Check {
    /// The lease, as `arcp submit --lease` takes it, or an object with `lease_request` and
    /// `lease_constraints`; `-` for stdin.
    #[arg(value_name = "LEASE.json")]
    lease: PathBuf,

    /// What is to be done: fs.read, fs.write, net.fetch, tool.call, agent.delegate, model.use, or a vendor's x-vendor.….
    capability: String,

    /// What it is about: a path, a URL or a name.
    target: String,

    /// Allow no model that the lease does not name.
    #[arg(long)]
    require_model_use: bool,

    /// Print the decision as one JSON object.
    #[arg(long)]
    json: bool,
}

impl LeaseCommand {
    pub(crate) fn json(&self) -> bool {
        let Command::Check(check) = &self.command;
        check.json
    }
}

pub(crate) fn run(command: LeaseCommand) -> Result<(), Failure> {
    let Command::Check(check) = command.command;
    let (lease, constraints) = lease_of(&check)?;
    let now =
        Now { monotonic: Instant::after_origin(Duration::ZERO), wall: Timestamp::from(SystemTime::now()) };
    let models = if check.require_model_use { ModelPolicy::Required } else { ModelPolicy::Optional };
    // A lease that is over is asked about too: it denies everything, which is what is to be told.
    let decided = match Authority::new(&lease, &constraints, models, now) {
        Ok(authority) => authority.granted(&check.capability, &check.target, now),
        Err(denied) => match constraints.expires_at {
            Some(expires_at) if expires_at <= now.wall => Err(Denied::Expired { expires_at }),
            _ => return Err(Failure::usage(format!("{}: {denied}", check.lease.display()))),
        },
    };
    let mut out = stdout();
    match decided {
        Ok(granted) => {
            let (target, grant) = (granted.target().canonical(), granted.grants().first());
            if check.json {
                let line = json!({ "allowed": true, "capability": check.capability, "target": target, "grant": grant });
                writeln!(out, "{line}")?;
            } else {
                let grant = grant.map_or("as the lease does not speak of models", String::as_str);
                writeln!(
                    out,
                    "allowed: {} of {} by {}",
                    check.capability,
                    one_line(target),
                    one_line(grant)
                )?;
            }
            Ok(())
        }
        Err(denied) => {
            let error = denied.payload();
            if check.json {
                let details: Value =
                    error.details.as_ref().and_then(|details| details.decode().ok()).unwrap_or_default();
                let line = json!({ "allowed": false, "code": error.code, "message": error.message, "details": details });
                writeln!(out, "{line}")?;
            } else {
                writeln!(out, "denied: {}: {}", error.code, one_line(&error.message))?;
            }
            Err(Failure::silent(exit::JOB))
        }
    }
}

fn lease_of(check: &Check) -> Result<(Lease, LeaseConstraints), Failure> {
    #[derive(Deserialize)]
    struct Request {
        lease_request: Lease,
        #[serde(default)]
        lease_constraints: LeaseConstraints,
    }
    let path = check.lease.display().to_string();
    let text = if path == "-" { read_stdin("LEASE.json") } else { read("LEASE.json", &path) }?;
    let bad = |error: &dyn std::fmt::Display| Failure::usage(format!("{path}: {error}"));
    let json = Json::parse(text).map_err(|error| bad(&error))?;
    let value: Value = json.decode().map_err(|error| bad(&error))?;
    if value.get("lease_request").is_some() {
        let request: Request = json.decode().map_err(|error| bad(&error))?;
        return Ok((request.lease_request, request.lease_constraints));
    }
    Ok((json.decode().map_err(|error| bad(&error))?, LeaseConstraints::default()))
}
