//! `arcp submit`: results, errors and what scripts rely on.

use std::io::Write;
use std::process::Stdio;

use crate::program::{arcp, exits, serve, text};

#[test]
fn a_result_is_on_stdout_and_events_are_on_stderr() {
    let serving = serve(&[]);
    let output = serving.submit(&["count", "--input", r#"{"n":2}"#]).output().unwrap();
    exits(&output, 0);
    assert_eq!(text(&output.stdout), "{\n  \"count\": 2\n}\n");
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("runs count@1.0.0") && stderr.contains("info event 0\ninfo event 1\n"),
        "{stderr}"
    );
}

#[test]
fn json_is_one_object_a_line() {
    let serving = serve(&[]);
    let output = serving.submit(&["echo", "--json", "--input", r#"{"x":[1,2]}"#]).output().unwrap();
    exits(&output, 0);
    let stdout = text(&output.stdout);
    let lines: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let types: Vec<_> = lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["accepted", "event", "result"]);
    assert_eq!(lines[0]["agent"], "echo@1.0.0");
    assert!(lines[0].get("credentials").is_none(), "{}", lines[0]);
    assert_eq!((&lines[1]["event_seq"], &lines[1]["body"]["message"]), (&1.into(), &"echo started".into()));
    assert_eq!(lines[2]["result"]["echoed"]["x"][1], 2);
    assert!(output.stderr.is_empty());
}

#[test]
fn input_comes_from_a_file_or_stdin() {
    let serving = serve(&[]);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"\"from a file\"").unwrap();
    let argument = format!("@{}", file.path().display());
    let output = serving.submit(&["echo", "--input", &argument]).output().unwrap();
    assert!(text(&output.stdout).contains("from a file"));

    let mut child = serving
        .submit(&["echo", "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\"from stdin\"").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(text(&output.stdout).contains("from stdin"));
}

#[test]
fn a_job_that_fails_exits_with_1_and_its_code() {
    let serving = serve(&[]);
    let input = r#"{"code":"QUOTA","message":"no more today"}"#;
    let output = serving.submit(&["fail", "--input", input]).output().unwrap();
    exits(&output, 1);
    assert!(text(&output.stderr).contains("QUOTA: no more today"));
    let output = serving.submit(&["fail", "--json", "--input", input]).output().unwrap();
    exits(&output, 1);
    let last: serde_json::Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["type"], &last["code"], &last["final_status"]),
        (&"error".into(), &"QUOTA".into(), &"error".into())
    );
}

#[test]
fn a_refusal_exits_with_1_and_says_why() {
    let serving = serve(&[]);
    let output = serving.submit(&["nobody"]).output().unwrap();
    exits(&output, 1);
    assert!(text(&output.stderr).contains("AGENT_NOT_AVAILABLE"));
    let output = serving.submit(&["echo"]).env("ARCP_TOKEN", "wrong-canary").output().unwrap();
    exits(&output, 1);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("UNAUTHENTICATED") && !stderr.contains("wrong-canary"), "{stderr}");
}

#[test]
fn a_refusal_is_json_too_where_that_was_asked_for() {
    let serving = serve(&[]);
    let output = serving.submit(&["nobody", "--json"]).output().unwrap();
    exits(&output, 1);
    let line: serde_json::Value = serde_json::from_str(text(&output.stdout).trim()).unwrap();
    assert_eq!((&line["type"], &line["code"]), (&"failed".into(), &"AGENT_NOT_AVAILABLE".into()));
}

#[test]
fn a_time_limit_ends_the_job() {
    let serving = serve(&[]);
    let output =
        serving.submit(&["sleep", "--max-runtime", "1", "--input", r#"{"ms":600000}"#]).output().unwrap();
    exits(&output, 1);
    assert!(text(&output.stderr).contains("TIMEOUT"));
}

#[test]
fn wrong_usage_exits_with_2_and_names_what_is_wrong() {
    let cases: [(&[&str], &str); 6] = [
        (&["submit", "echo", "--token", "t", "--input", "hello"], "--input: the command line: "),
        (&["submit", "echo", "--token", "t", "--input", "@/does/not/exist"], "/does/not/exist"),
        (&["submit", "echo", "--token", "t", "--lease", r#"{"fs.read":"/"}"#], "--lease: [\"fs.read\"]"),
        (&["submit", "echo", "--token", "t", "--url", "http://localhost"], "http"),
        (&["submit", "echo"], "ARCP_TOKEN"),
        (&["submit"], "<AGENT>"),
    ];
    for (arguments, named) in cases {
        let output = arcp().args(arguments).output().unwrap();
        exits(&output, 2);
        assert!(text(&output.stderr).contains(named), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn an_agent_name_that_is_none_is_wrong_usage() {
    let serving = serve(&[]);
    let output = serving.submit(&["No Such Name"]).output().unwrap();
    exits(&output, 2);
}

#[test]
fn nothing_there_exits_with_3_and_says_what_to_do() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = arcp().args(["submit", "echo", "--token", "t", "--url", &url]).output().unwrap();
    exits(&output, 3);
    assert!(text(&output.stderr).contains("is the runtime running"), "{}", text(&output.stderr));
}

#[test]
fn a_runtime_that_is_killed_exits_with_3() {
    use std::io::{BufRead, BufReader};
    let mut serving = serve(&[]);
    let mut child = serving
        .submit(&["sleep", "--json", "--no-reconnect", "--input", r#"{"ms":600000}"#])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("sleeping") {}
    serving.child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
    assert!(lines.next().unwrap().unwrap().contains("\"type\":\"lost\""));
}

#[cfg(unix)]
#[test]
fn an_interrupt_cancels_the_job() {
    use std::io::{BufRead, BufReader};
    let serving = serve(&[]);
    let mut child = serving
        .submit(&["sleep", "--json", "--input", r#"{"ms":600000}"#])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("sleeping") {}
    let killed = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(lines.last().unwrap().unwrap().contains("\"code\":\"CANCELLED\""));
}

#[test]
fn an_input_that_an_agent_does_not_take_is_explained() {
    let serving = serve(&[]);
    let output = serving.submit(&["typed", "--input", r#"{"count":"s3cret-canary"}"#]).output().unwrap();
    exits(&output, 1);
    let stderr = text(&output.stderr);
    assert!(stderr.contains("input.count must fit {") && stderr.contains("\"minimum\":1"), "{stderr}");
    assert!(stderr.contains("INVALID_REQUEST: input.count: value is not of type"), "{stderr}");
    assert!(!stderr.contains("canary") && stderr.lines().count() == 1, "{stderr}");
    let output =
        serving.submit(&["typed", "--json", "--input", r#"{"count":1,"unit":"h"}"#]).output().unwrap();
    exits(&output, 1);
    let last: serde_json::Value = serde_json::from_str(text(&output.stdout).lines().last().unwrap()).unwrap();
    assert_eq!((&last["type"], &last["code"]), (&"failed".into(), &"INVALID_REQUEST".into()));
    // The schema takes 1.0 for an integer, the agent does not: there is no job in either case.
    let output = serving.submit(&["typed", "--json", "--input", r#"{"count":1.0}"#]).output().unwrap();
    exits(&output, 1);
    let only: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    assert_eq!((&only["type"], &only["code"]), (&"failed".into(), &"INVALID_REQUEST".into()));
    assert!(only["message"].as_str().unwrap().contains("input.count: expected a whole number"), "{only}");
    let output = serving.submit(&["typed", "--input", r#"{"count":9}"#]).output().unwrap();
    exits(&output, 0);
}
