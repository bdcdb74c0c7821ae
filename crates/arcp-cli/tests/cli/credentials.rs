//! Provisioned credentials: `arcp serve` with the pretended upstream, and `arcp credentials`.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::program::{arcp, exits, serve, text};

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Waits until so many lines are there.
fn lines_when(path: &Path, count: usize) -> Vec<Value> {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let lines = lines(path);
        if lines.len() >= count {
            return lines;
        }
        assert!(Instant::now() < until, "{lines:#?}");
        std::thread::yield_now();
    }
}

fn ops(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["op"].as_str().unwrap()).collect()
}

#[test]
fn every_job_has_a_credential_that_is_revoked_and_nobody_prints_it() {
    let dir = tempfile::tempdir().unwrap();
    let calls = dir.path().join("calls");
    let serving = serve(&["--fixture-gateway", calls.to_str().unwrap(), "--fixture-gateway-fail", "1"]);
    let output = serving.submit(&["rotate", "--json"]).output().unwrap();
    exits(&output, 0);
    let stdout = text(&output.stdout);
    let told: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let credential = &told[0]["credentials"][0];
    assert_eq!((&credential["scheme"], &credential["value"]), (&json!("bearer"), &json!("[redacted]")));
    assert_eq!(told[1]["body"]["phase"], "credential_rotated");
    assert_eq!(told[1]["body"]["value"], "[redacted]");
    assert_eq!(told[2]["result"], json!({ "credential_id": credential["id"] }));

    let lines = lines_when(&calls, 4);
    assert_eq!(ops(&lines), ["issue", "rotate", "revoke", "revoke"], "the one that failed was tried again");
    assert!(
        lines
            .iter()
            .all(|line| line["credential_id"] == credential["id"] && line["job_id"] == told[0]["job_id"])
    );
    let text = std::fs::read_to_string(&calls).unwrap();
    assert!(!text.contains("sk-fixture") && !stdout.contains("sk-fixture"), "{text}{stdout}");
}

#[test]
fn what_a_killed_runtime_has_issued_is_listed_and_revoked_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let (calls, ledger) = (dir.path().join("calls"), dir.path().join("ledger"));
    let (calls_path, ledger_path) = (calls.to_str().unwrap(), ledger.to_str().unwrap());
    let flags = ["--fixture-gateway", calls_path, "--credential-ledger", ledger_path, "--metrics", "listen"];
    let home = dir.path().to_str().unwrap().to_owned();
    let mut serving = serve(&flags);
    let mut submit = serving.submit(&["sleep", "--detach", "--input", r#"{"ms":600000}"#]);
    let output = submit.env("XDG_STATE_HOME", &home).env("HOME", &home).output().unwrap();
    exits(&output, 0);
    let job = text(&output.stdout).trim().to_owned();
    let metrics = serving.http("/metrics");
    assert!(metrics.contains("arcp_credentials_outstanding{state=\"held\"} 1\n"), "{metrics}");
    serving.child.kill().unwrap(); // SIGKILL
    serving.child.wait().unwrap();

    let list = |arguments: &[&str]| {
        let mut command = arcp();
        command.args(["credentials", "--outstanding", "--ledger", ledger.to_str().unwrap()]).args(arguments);
        let output = command.output().unwrap();
        exits(&output, 0);
        text(&output.stdout)
    };
    let entry: Value = serde_json::from_str(list(&["--json"]).trim()).unwrap();
    assert_eq!((&entry["job_id"], &entry["principal"]), (&json!(job), &json!("alice")));
    let table = list(&[]);
    assert!(table.starts_with("HANDLE") && table.contains(&job) && !table.contains("sk-"), "{table}");

    let serving = serve(&flags);
    let lines = lines_when(&calls, 2);
    assert_eq!((ops(&lines), &lines[1]["job_id"]), (vec!["issue", "revoke"], &json!(job)));
    let until = Instant::now() + Duration::from_secs(30);
    while list(&["--json"]).contains("cred_") {
        assert!(Instant::now() < until);
    }
    let taken = arcp()
        .args(["serve", "--store", "memory", "--fixtures", "--token", "a=b", "--listen", "127.0.0.1:0"])
        .args(flags)
        .output()
        .unwrap();
    exits(&taken, 2);
    assert!(text(&taken.stderr).contains("in use by another process"));
    drop(serving);
}

#[test]
fn what_is_missing_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("notes"), "hunter2\n").unwrap();
    let serve = ["serve", "--store", "memory", "--token", "a=b", "--listen", "127.0.0.1:0"];
    for (arguments, expected) in [
        (vec!["--fixture-gateway".to_owned(), path("x")], "--fixtures"),
        (vec!["--litellm-url".to_owned(), "https://x".to_owned()], "--credential-ledger"),
        (vec!["--credential-ledger".to_owned(), path("l")], "--litellm-url"),
        (vec!["--credential-ledger".to_owned(), path("notes")], "line 1 is not what a ledger holds"),
        (
            ["--litellm-url", "https://x", "--credential-ledger", &path("m")].map(str::to_owned).to_vec(),
            "ARCP_LITELLM_KEY is not set",
        ),
    ] {
        let output = arcp().args(serve).args(&arguments).env_remove("ARCP_LITELLM_KEY").output().unwrap();
        exits(&output, 2);
        let stderr = text(&output.stderr);
        assert!(stderr.contains(expected) && !stderr.contains("hunter2"), "{stderr}");
    }
    let plain = ["--litellm-url", "http://llm.example.com", "--credential-ledger", &path("n")];
    let output = arcp().args(serve).args(plain).env("ARCP_LITELLM_KEY", "hunter2").output().unwrap();
    exits(&output, 2);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("must be https") && !stderr.contains("hunter2"), "{stderr}");

    let missing = arcp().args(["credentials", "--outstanding", "--ledger", &path("none")]).output().unwrap();
    exits(&missing, 2);
    assert!(text(&missing.stderr).contains("none cannot be used"));
}
