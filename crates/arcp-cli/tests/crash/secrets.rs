//! Credentials: none is written anywhere, and all are revoked in the end.

use std::collections::BTreeSet;

use memchr::memmem;
use serde_json::Value;

use crate::server::arcp;
use crate::world::World;

/// What everything begins with that only clients are to know: credentials of the pretended upstream, tokens to resume a session,
/// bearer tokens.
pub(crate) const SECRETS: [&str; 3] = ["sk-fixture-", "rt_", "token-of-"];

/// Looks for secrets in every file of the runtime.
pub(crate) fn check_files(world: &World) -> Result<(), String> {
    let files = std::fs::read_dir(&world.directory).map_err(|error| error.to_string())?;
    let mut speaks = false;
    for file in files.flatten() {
        let Ok(bytes) = std::fs::read(file.path()) else { continue };
        for start in SECRETS {
            for place in memmem::find_iter(&bytes, start) {
                let rest = &bytes[place + start.len()..];
                // Part of a longer word, unless a secret follows.
                if start != "rt_"
                    || rest.iter().take(64).filter(|byte| byte.is_ascii_hexdigit()).count() == 64
                {
                    let secret =
                        String::from_utf8_lossy(&bytes[place..bytes.len().min(place + 80)]).into_owned();
                    return Err(said(world, format!("{:?} holds a secret: {secret}", file.file_name())));
                }
            }
        }
        speaks |= ["event 0", "sleeping", "result_chunk"]
            .iter()
            .any(|text| memmem::find(&bytes, text.as_bytes()).is_some());
    }
    if !speaks && world.round() > 3 {
        return Err(said(
            world,
            "no file holds what jobs have said: nothing can be found this way".to_owned(),
        ));
    }
    Ok(())
}

/// Once no job runs any more: nothing is outstanding, and all that was issued is revoked.
pub(crate) fn check_revoked(world: &World) -> Result<(), String> {
    let ledger = world.directory.join("ledger");
    let output = arcp().args(["credentials", "--outstanding", "--json", "--ledger"]).arg(&ledger).output();
    let output = output.map_err(|error| error.to_string())?;
    if !output.status.success() || !output.stdout.is_empty() {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        return Err(said(world, format!("credentials are outstanding ({}): {text}", output.status)));
    }
    let calls = std::fs::read_to_string(world.directory.join("calls")).map_err(|error| error.to_string())?;
    let mut good = BTreeSet::new();
    for line in calls.lines() {
        let line: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let handle = line["handle"].as_str().unwrap_or_default().to_owned();
        match line["op"].as_str() {
            Some("revoke") => drop(good.remove(&handle)),
            _ => drop(good.insert(handle)),
        }
    }
    if !good.is_empty() {
        return Err(said(world, format!("issued and never revoked: {good:?}")));
    }
    Ok(())
}

fn said(world: &World, problem: String) -> String {
    world.fail(problem);
    world.failed().unwrap_or_default()
}
