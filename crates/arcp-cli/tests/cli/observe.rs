//! `arcp jobs`, `arcp tail`, and `arcp cancel` of what was left running.

use std::process::Command;

use crate::program::{Serving, arcp, exits, serve, text};

fn with(serving: &Serving, home: &tempfile::TempDir, arguments: &[&str]) -> Command {
    let mut command = arcp();
    command.args(arguments).args(["--url", &serving.url]).env("ARCP_TOKEN", "s3cret");
    command.env("XDG_STATE_HOME", home.path()).env("HOME", home.path());
    command
}

/// Leaves a job running and gives its id.
fn detached(serving: &Serving, home: &tempfile::TempDir) -> String {
    let input = r#"{"ms":600000}"#;
    let output = with(serving, home, &["submit", "sleep", "--detach", "--input", input]).output().unwrap();
    exits(&output, 0);
    text(&output.stdout).trim().to_owned()
}

#[test]
fn a_job_that_was_left_running_is_listed_and_can_be_cancelled_again() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let job = detached(&serving, &home);
    let output = with(&serving, &home, &["jobs", "--status", "running"]).output().unwrap();
    exits(&output, 0);
    let listed = text(&output.stdout);
    assert!(listed.starts_with("JOB") && listed.contains(&job) && listed.contains("sleep@1.0.0"), "{listed}");

    let output = with(&serving, &home, &["cancel", &job]).output().unwrap();
    exits(&output, 0);
    let output = with(&serving, &home, &["tail", &job, "--json"]).output().unwrap();
    exits(&output, 1);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("sleeping") && stdout.lines().last().unwrap().contains("CANCELLED"), "{stdout}");
    let output = with(&serving, &home, &["jobs", "--json", "--agent", "sleep"]).output().unwrap();
    let entry: serde_json::Value = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!((&entry["job_id"], &entry["status"]), (&job.into(), &"cancelled".into()));
}

#[test]
fn how_a_job_has_ended_is_said_and_not_what_was_wished() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let output = with(&serving, &home, &["submit", "echo", "--detach"]).output().unwrap();
    exits(&output, 0);
    let job = text(&output.stdout).trim().to_owned();
    exits(&with(&serving, &home, &["tail", &job]).output().unwrap(), 0); // until it has ended
    let output = with(&serving, &home, &["cancel", &job]).output().unwrap();
    exits(&output, 0);
    assert_eq!(text(&output.stderr), format!("{job} had ended by then: success\n"));

    let input = r#"{"ms":50}"#;
    let output =
        with(&serving, &home, &["submit", "stubborn", "--detach", "--input", input]).output().unwrap();
    exits(&output, 0);
    let job = text(&output.stdout).trim().to_owned();
    let output = with(&serving, &home, &["cancel", &job]).output().unwrap();
    exits(&output, 0);
    let listed = with(&serving, &home, &["jobs", "--json", "--agent", "stubborn"]).output().unwrap();
    let entry: serde_json::Value = serde_json::from_str(text(&listed.stdout).trim()).unwrap();
    let due = match entry["status"].as_str().unwrap() {
        "cancelled" => format!("{job} is cancelled\n"),
        status => format!("{job} had ended by then: {status}\n"),
    };
    assert_eq!(text(&output.stderr), due);
}

#[cfg(unix)]
#[test]
fn what_is_left_is_a_secret_of_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let job = detached(&serving, &home);
    let file = home.path().join("arcp/sessions").join(format!("{job}.json"));
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::write(&file, "hunter2").unwrap();
    let output = with(&serving, &home, &["cancel", &job]).output().unwrap();
    exits(&output, 1);
    let stderr = text(&output.stderr);
    assert!(stderr.contains(&job) && stderr.contains("remove it") && !stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn a_job_of_another_session_cannot_be_cancelled_and_the_error_says_why() {
    let (serving, home, elsewhere) = (serve(&[]), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let job = detached(&serving, &home);
    let output = with(&serving, &elsewhere, &["cancel", &job]).output().unwrap();
    exits(&output, 1);
    assert!(text(&output.stderr).contains("only the session that submitted"), "{}", text(&output.stderr));
    for command in ["cancel", "tail"] {
        let output = with(&serving, &elsewhere, &[command, "job_unknown"]).output().unwrap();
        exits(&output, 1);
        assert!(text(&output.stderr).contains("JOB_NOT_FOUND"));
    }
}

#[test]
fn tail_begins_where_it_is_told() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let input = r#"{"n":5}"#;
    let output = with(&serving, &home, &["submit", "count", "--json", "--input", input]).output().unwrap();
    let first = text(&output.stdout).lines().next().unwrap().to_owned();
    let accepted: serde_json::Value = serde_json::from_str(&first).unwrap();
    let job = accepted["job_id"].as_str().unwrap();
    let output = with(&serving, &home, &["tail", job, "--from", "3"]).output().unwrap();
    exits(&output, 0);
    assert_eq!(text(&output.stderr), "info event 3\ninfo event 4\n");
    assert_eq!(text(&output.stdout), "{\n  \"count\": 5\n}\n");
}

#[test]
fn tail_tells_what_is_kept_and_that_there_was_more() {
    for (flag, most) in [("--history-events", "3"), ("--history-bytes", "300")] {
        let (serving, home) = (serve(&[flag, most]), tempfile::tempdir().unwrap());
        let input = r#"{"n":9}"#;
        let output =
            with(&serving, &home, &["submit", "count", "--json", "--input", input]).output().unwrap();
        let first = text(&output.stdout).lines().next().unwrap().to_owned();
        let accepted: serde_json::Value = serde_json::from_str(&first).unwrap();
        let job = accepted["job_id"].as_str().unwrap();
        let output = with(&serving, &home, &["tail", job]).output().unwrap();
        let told = text(&output.stderr);
        assert!(!told.contains("event 0\n") && told.contains("event 8\n"), "{flag}: {told}");
    }
}

#[test]
fn a_state_that_is_none_is_wrong_usage() {
    let output = arcp().args(["jobs", "--token", "t", "--status", "sleeping"]).output().unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains("pending, running, success"));
}

#[test]
fn a_job_that_has_said_more_than_is_kept_can_still_be_cancelled() {
    let (serving, home) = (serve(&["--buffer-events", "2000"]), tempfile::tempdir().unwrap());
    let input = r#"{"n":100000000,"size":100}"#;
    let output = with(&serving, &home, &["submit", "count", "--detach", "--input", input]).output().unwrap();
    exits(&output, 0);
    let job = text(&output.stdout).trim().to_owned();
    loop {
        let output = with(&serving, &home, &["jobs", "--json"]).output().unwrap();
        let entry: serde_json::Value = serde_json::from_str(text(&output.stdout).trim()).unwrap();
        if entry["last_event_seq"].as_u64().unwrap() > 10_000 {
            break;
        }
    }
    exits(&with(&serving, &home, &["cancel", &job]).output().unwrap(), 0);
}

#[test]
fn a_session_that_is_gone_is_said_to_be_and_forgotten() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let job = detached(&serving, &home);
    let file = home.path().join("arcp/sessions").join(format!("{job}.json"));
    let mut record: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    record["session_id"] = "sess_gone".into();
    std::fs::write(&file, record.to_string()).unwrap();
    let output = with(&serving, &home, &["cancel", &job]).output().unwrap();
    exits(&output, 1);
    assert!(text(&output.stderr).contains("no longer keeps the session"), "{}", text(&output.stderr));
    assert!(!file.exists());
}

#[cfg(unix)]
#[test]
fn a_job_that_cannot_be_left_for_later_is_told_of_all_the_same() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let mut submit = with(&serving, &home, &["submit", "sleep", "--detach", "--input", r#"{"ms":600000}"#]);
    let output = submit.env("XDG_STATE_HOME", "/dev/null/state").output().unwrap();
    exits(&output, 1);
    assert!(text(&output.stdout).starts_with("job_"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("the job runs"), "{}", text(&output.stderr));
}
