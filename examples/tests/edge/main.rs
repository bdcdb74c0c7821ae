//! The examples of what lies between a runtime and its clients, as a newcomer runs them: what they print is what they show.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::PathBuf;
use std::process::Command;

/// Cargo builds examples beside the tests of their package, but names them to nobody.
#[track_caller]
fn prints(example: &str, expected: &[&str]) {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let program = path.join(example).with_extension(std::env::consts::EXE_EXTENSION);
    let output = Command::new(program).output().unwrap();
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stdout.lines().collect::<Vec<_>>(), expected, "{stderr}");
}

#[test]
fn axum_mount() {
    let expected = [
        "/arcp is at the top",
        "/api/v1/agents is nested",
        "/tenants/red/arcp is the red tenant's",
        "/tenants/blue/arcp is the blue tenant's",
        "/tenants/green/arcp is nowhere",
    ];
    prints("axum_mount", &expected);
}

#[test]
fn tower_layers() {
    prints("tower_layers", &["hello, ada", "hello, grace", "401", "429"]);
}

#[test]
fn graceful_shutdown() {
    let expected = [
        "the job is working",
        "the job is draining",
        "another job is refused",
        "the work is done",
        "the server has ended, and nothing is left undone",
    ];
    prints("graceful_shutdown", &expected);
}

#[test]
fn browser_origin() {
    let expected = [
        "https://console.example.com: let in",
        "https://evil.example: 403",
        "null: 403",
        "no page at all: let in",
    ];
    prints("browser_origin", &expected);
}

#[test]
fn mutual_tls() {
    prints("mutual_tls", &["ada: hello, ada", "a stranger: not let in", "nobody: not let in"]);
}
