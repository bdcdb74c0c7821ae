//! `arcp serve --stdio` and `arcp submit --stdio`: a runtime that lives as long as its client.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use crate::program::{arcp, exits, text};

/// A submit to a runtime that it starts.
fn submit(arguments: &[&str]) -> Command {
    let mut command = arcp();
    let program = assert_cmd::cargo::cargo_bin!("arcp");
    command.arg("submit").args(arguments).arg("--stdio").arg("--").arg(program);
    command.args(["serve", "--stdio", "--fixtures", "--token", "s3cret=me"]).env("ARCP_TOKEN", "s3cret");
    command
}

/// A runtime on its own pipes, that logs whatever it can.
fn serves() -> Child {
    let mut serve = arcp();
    serve.args(["serve", "--stdio", "--fixtures", "--token", "s3cret=me"]).env("RUST_LOG", "trace");
    serve.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_job_runs_in_a_runtime_that_its_client_starts() {
    let output = submit(&["count", "--input", r#"{"n":3}"#]).output().unwrap();
    exits(&output, 0);
    assert!(text(&output.stdout).contains("\"count\": 3"), "{}", text(&output.stdout));
    assert!(text(&output.stderr).contains("event 2"));
}

/// Many times as long as what a pipe holds.
#[test]
fn lines_may_be_long() {
    let long = format!("\"{}\"", "x".repeat(300_000));
    let mut child = submit(&["echo", "--input", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(long.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains(&long));
}

#[test]
fn a_runtime_that_cannot_be_started_or_ends_is_told() {
    let mut absent = arcp();
    absent.args(["submit", "echo", "--stdio", "--", "/no/such/program"]).env("ARCP_TOKEN", "t");
    let output = absent.output().unwrap();
    exits(&output, 3);
    assert!(text(&output.stderr).contains("/no/such/program"), "{}", text(&output.stderr));
    let mut silent = arcp();
    silent.args(["submit", "echo", "--stdio", "--", "true"]).env("ARCP_TOKEN", "t");
    exits(&silent.output().unwrap(), 3);
    let wrong = |log| {
        let mut wrong = submit(&["echo"]);
        wrong.args(["--max-connections", "2"]).env("ARCP_LOG", log);
        let output = wrong.output().unwrap();
        exits(&output, 3);
        text(&output.stderr).to_owned()
    };
    assert!(wrong("warn").contains("ARCP_LOG=info"), "{}", wrong("warn"));
    assert!(wrong("info").contains("cannot be used with '--max-connections"), "{}", wrong("info"));
    let mut nothing = arcp();
    exits(&nothing.args(["submit", "echo", "--stdio"]).env("ARCP_TOKEN", "t").output().unwrap(), 2);
}

#[test]
fn nothing_but_envelopes_is_on_stdout_and_the_end_of_stdin_is_the_end() {
    let mut child = serves();
    let mut stdin = child.stdin.take().unwrap();
    let hello = concat!(
        r#"{"arcp":"1.1","id":"h","type":"session.hello","payload":{"client":{"name":"t","version":"0"},"#,
        r#""auth":{"scheme":"bearer","token":"s3cret"},"capabilities":{"encodings":["json"],"features":[]}}}"#
    );
    write!(stdin, "\r\n{hello}\r\nnot json\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stdout = text(&output.stdout);
    let types: Vec<String> = stdout
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(types, ["session.welcome", "session.error"], "{stdout}");
}

#[cfg(unix)]
#[test]
fn sigterm_ends_a_runtime_whose_stdin_is_open() {
    use std::io::BufRead;
    let mut child = serves();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "not json").unwrap();
    let mut stdout = std::io::BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains("session.error"), "it runs: {line}");
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[cfg(unix)]
#[test]
fn what_a_runtime_says_it_runs_does_not_reach_the_terminal_as_it_is() {
    let welcome =
        r#"{"arcp":"1.1","id":"1","type":"session.welcome","session_id":"s","payload":{"capabilities":{}}}"#;
    let accepted = r#"{"arcp":"1.1","id":"2","type":"job.accepted","session_id":"s","job_id":"j","payload":{"job_id":"j","agent":"\u001b[31mred\u009b\u202e","lease":{}}}"#;
    let end = r#"{"arcp":"1.1","id":"3","type":"job.result","session_id":"s","job_id":"j","event_seq":1,"payload":{"final_status":"success","result":1}}"#;
    let script = format!("read hello; echo '{welcome}'; read submit; echo '{accepted}'; echo '{end}'; cat");
    let mut command = arcp();
    command.args(["submit", "echo", "--stdio", "--", "bash", "-c", &script]).env("ARCP_TOKEN", "t");
    let stderr = text(&command.output().unwrap().stderr);
    let raw = ['\u{1b}', '\u{9b}', '\u{202e}'];
    assert!(stderr.contains("[31mred") && !stderr.contains(raw), "{stderr:?}");
}

#[cfg(unix)]
#[test]
fn what_a_runtime_refuses_with_does_not_reach_the_terminal_as_it_is() {
    let welcome =
        r#"{"arcp":"1.1","id":"1","type":"session.welcome","session_id":"s","payload":{"capabilities":{}}}"#;
    let error = r#"{"arcp":"1.1","id":"2","type":"session.error","session_id":"s","payload":{"code":"X","message":"\\u001b[31mred\\u009b"}}"#;
    let script =
        format!("read hello; echo '{welcome}'; read submit; echo '{}'; cat", error.replace("\\\\", "\\"));
    let mut command = arcp();
    command.args(["submit", "echo", "--stdio", "--", "bash", "-c", &script]).env("ARCP_TOKEN", "t");
    let output = command.output().unwrap();
    exits(&output, 1);
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("[31mred") && !stderr.contains('\u{1b}') && !stderr.contains('\u{9b}'),
        "{stderr:?}"
    );
}
