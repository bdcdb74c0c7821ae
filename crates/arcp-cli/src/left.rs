//! Sessions that a command has left for a later one: only the session that submitted a job may cancel it (§7.4).
//!
//! One file for each job, readable by its owner only, since a resume token is a secret.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use arcp::client::ResumeState;
use arcp::proto::{JobId, ResumeToken};
use serde_json::{Value, json};

use crate::exit::{self, Failure};

/// Leaves the session of a job.
pub(crate) fn save(job_id: &JobId, url: &str, state: &ResumeState) -> Result<(), Failure> {
    let record = json!({
        "url": url,
        "session_id": state.session_id,
        "resume_token": state.resume_token.expose(),
        "last_event_seq": state.last_event_seq,
    });
    let path = path(job_id)?;
    write(&path, &record).with_context(|| format!("cannot write {}", path.display())).map_err(failure)
}

/// The session of a job, if it was left with this runtime.
pub(crate) fn load(job_id: &JobId, url: &str) -> Result<Option<ResumeState>, Failure> {
    let path = path(job_id)?;
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            return Err(failure(
                anyhow::Error::new(error).context(format!("cannot read {}", path.display())),
            ));
        }
    };
    let state = parse(&text, url);
    state
        .with_context(|| format!("{} is not what this program writes: remove it", path.display()))
        .map_err(failure)
}

/// Forgets the session of a job.
pub(crate) fn forget(job_id: &JobId) -> Result<(), Failure> {
    match fs::remove_file(path(job_id)?) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failure(anyhow::Error::new(error))),
        _ => Ok(()),
    }
}

fn failure(error: anyhow::Error) -> Failure {
    Failure::new(exit::JOB, error)
}

fn path(job_id: &JobId) -> Result<PathBuf, Failure> {
    let dirs = directories::ProjectDirs::from("", "", "arcp");
    let dirs = dirs.ok_or_else(|| Failure::usage("no home directory: set HOME"))?;
    let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
    // A job's id is the runtime's word: it must not choose the path.
    let name: String = job_id
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' })
        .take(100)
        .collect();
    Ok(state.join("sessions").join(format!("{name}.json")))
}

fn write(path: &std::path::Path, record: &Value) -> std::io::Result<()> {
    let dir = path.parent().unwrap_or(path);
    let mut private = fs::DirBuilder::new();
    private.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut private, 0o700);
    private.create(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?; // 0600 from the start
    writeln!(file, "{record}")?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn parse(text: &str, url: &str) -> anyhow::Result<Option<ResumeState>> {
    let record: Value = serde_json::from_str(text).map_err(|_| anyhow::anyhow!("not JSON"))?;
    let field = |name: &str| record[name].as_str().with_context(|| format!("{name} is missing"));
    if field("url")? != url {
        return Ok(None);
    }
    Ok(Some(ResumeState {
        session_id: field("session_id")?.parse()?,
        resume_token: ResumeToken::new(field("resume_token")?),
        last_event_seq: record["last_event_seq"].as_u64().context("last_event_seq is missing")?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_id_does_not_choose_the_path() {
        let path = path(&"../../etc/passwd".parse().unwrap()).unwrap();
        assert!(path.ends_with("sessions/------etc-passwd.json"), "{}", path.display());
    }

    #[test]
    fn what_is_no_record_is_an_error_without_its_text() {
        let good = r#"{"url":"u","session_id":"s","resume_token":"canary","last_event_seq":3}"#;
        assert_eq!(parse(good, "u").unwrap().unwrap().last_event_seq, 3);
        assert!(parse(good, "other").unwrap().is_none());
        for bad in [
            "",
            "canary",
            r#"{"url":"u","session_id":"","resume_token":"canary","last_event_seq":3}"#,
            r#"{"url":"u"}"#,
        ] {
            let error = format!("{:#}", parse(bad, "u").unwrap_err());
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
