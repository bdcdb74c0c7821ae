//! `arcp lease check`, and what `arcp submit` asks to be allowed.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use crate::program::{arcp, exits, serve, text};

fn check(lease: &str, arguments: &[&str]) -> std::process::Output {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lease.json");
    std::fs::write(&file, lease).unwrap();
    arcp().args(["lease", "check"]).arg(&file).args(arguments).output().unwrap()
}

const LEASE: &str =
    r#"{"fs.read":["/data/**"],"net.fetch":["https://api.example.com/v1/*"],"cost.budget":["USD:5"]}"#;

#[test]
fn what_is_allowed_names_its_grant_and_the_target_as_it_was_compared() {
    let output = check(LEASE, &["fs.read", "/data//a/./b.txt"]);
    exits(&output, 0);
    assert_eq!(text(&output.stdout), "allowed: fs.read of /data/a/b.txt by /data/**\n");
    let output = check(LEASE, &["net.fetch", "HTTPS://API.example.com:443/v1/x", "--json"]);
    exits(&output, 0);
    let line: Value = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!(
        (&line["allowed"], &line["target"], &line["grant"]),
        (&true.into(), &"https://api.example.com/v1/x".into(), &"https://api.example.com/v1/*".into())
    );
}

#[test]
fn a_lease_comes_from_stdin_too() {
    let stdin = |command: &mut std::process::Command| {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(LEASE.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        exits(&output, 0);
        text(&output.stdout).to_owned()
    };
    assert_eq!(
        stdin(arcp().args(["lease", "check", "-", "fs.read", "/data/a"])),
        "allowed: fs.read of /data/a by /data/**\n"
    );
    let serving = serve(&[]);
    let shown = stdin(&mut serving.submit(&["count", "--input", r#"{"n": 1}"#, "--lease", "-", "--json"]));
    assert!(shown.contains(r#""fs.read":["/data/**"]"#), "{shown}");
}

#[test]
fn what_is_denied_says_why_and_what_comes_closest() {
    let output = check(LEASE, &["fs.read", "/etc/passwd"]);
    exits(&output, 1);
    assert_eq!(
        text(&output.stdout),
        "denied: PERMISSION_DENIED: fs.read of /etc/passwd is not granted; the closest grant is /data/**\n"
    );
    let output = check(LEASE, &["fs.read", "/data/../etc/passwd", "--json"]);
    exits(&output, 1);
    let line: Value = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!((&line["allowed"], &line["code"]), (&false.into(), &"PERMISSION_DENIED".into()));
    for lease in [
        r#"{"lease_request":{"fs.read":["/**"]},"lease_constraints":{"expires_at":"2020-01-01T00:00:00Z"}}"#,
        r#"{"fs.read":["/**"],"cost.budget":["USD:0"]}"#,
    ] {
        let output = check(lease, &["fs.read", "/a"]);
        exits(&output, 1);
        let stdout = text(&output.stdout);
        assert!(stdout.contains("LEASE_EXPIRED") || stdout.contains("BUDGET_EXHAUSTED"), "{stdout}");
    }
    exits(&check(LEASE, &["model.use", "any"]), 0);
    exits(&check(LEASE, &["model.use", "any", "--require-model-use"]), 1);
}

#[test]
fn a_lease_that_is_none_is_wrong_usage_and_the_place_is_named() {
    for (lease, what) in [
        ("", "lease.json"),
        ("[]", "expected an object"),
        (r#"{"fs.read":["relative"]}"#, r#"["fs.read"][0]"#),
        (r#"{"sudo":["*"]}"#, "sudo"),
        (r#"{"cost.budget":["5 USD"]}"#, r#"["cost.budget"][0]"#),
        (r#"{"fs.read":["/**"],"cost.budget":[]}"#, r#"["cost.budget"]: names no amount"#),
    ] {
        let output = check(lease, &["fs.read", "/a"]);
        exits(&output, 2);
        assert!(text(&output.stderr).contains(what), "{lease}: {}", text(&output.stderr));
    }
}

#[test]
fn a_budget_and_an_end_are_asked_for_on_the_command_line() {
    let serving = serve(&[]);
    let output = serving
        .submit(&[
            "whoami",
            "--lease",
            r#"{"tool.call":["*"]}"#,
            "--budget",
            "USD:5",
            "--budget",
            "credits:10",
        ])
        .args(["--expires", "10m"])
        .output()
        .unwrap();
    exits(&output, 0);
    let result: Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!(
        result["lease"],
        serde_json::json!({ "tool.call": ["*"], "cost.budget": ["USD:5", "credits:10"] })
    );
    assert!(result["lease_constraints"]["expires_at"].is_string());
    // What is said twice is not added up.
    let lease = r#"{"cost.budget":["USD:5","EUR:1"]}"#;
    let output = serving.submit(&["whoami", "--lease", lease, "--budget", "USD:3"]).output().unwrap();
    exits(&output, 2);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("--budget") && stderr.contains("--lease") && stderr.contains("USD"), "{stderr}");
    let output = serving.submit(&["whoami", "--lease", lease, "--budget", "credits:3"]).output().unwrap();
    exits(&output, 0);
    for bad in [["--budget", "5"], ["--expires", "yesterday"], ["--lease", "@/nowhere"]] {
        let output = serving.submit(&["echo", bad[0], bad[1]]).output().unwrap();
        exits(&output, 2);
        assert!(text(&output.stderr).contains(bad[0]), "{}", text(&output.stderr));
    }
}
