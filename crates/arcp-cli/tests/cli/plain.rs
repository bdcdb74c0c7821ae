//! What others have said, printed on a terminal, where it must not steer anything, and into a pipe, where it is exact.
#![cfg(unix)]

use portable_pty::CommandBuilder;

use crate::program::{arcp, exits, serve, serve_only, text};
use crate::terminal::Terminal;

/// What a terminal acts upon, and what turns how it is read, as JSON has it.
const EVIL: &str = r"a\u001b[31m\u009b2J\u007f\u202e\tb\nc";
/// The same, as it is.
const RAW: &str = "a\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\tb\nc";
/// The characters of it that must not come to a terminal.
const STEER: [char; 4] = ['\u{1b}', '\u{9b}', '\u{7f}', '\u{202e}'];

/// What is printed into a pipe, and on a terminal.
#[track_caller]
fn printed(arguments: &[&str]) -> (String, String) {
    let piped = arcp().args(arguments).env("ARCP_TOKEN", "s3cret").output().unwrap();
    exits(&piped, 0);
    let mut command = CommandBuilder::new("sh");
    command.args([
        "-c",
        r#""$0" "$@" 2> /dev/null"#,
        assert_cmd::cargo::cargo_bin!("arcp").to_str().unwrap(),
    ]);
    command.args(arguments);
    command.env("ARCP_TOKEN", "s3cret");
    command.env("ARCP_CONFIG", "");
    let (code, written) = Terminal::start(command, 24, 200).written();
    assert_eq!(code, 0, "{written}");
    assert!(!written.contains(STEER), "{written:?}");
    (text(&piped.stdout), written.replace("\r\n", "\n"))
}

#[test]
fn a_result_that_is_text_is_exact_in_a_pipe_and_cannot_steer_a_terminal() {
    let welcome =
        r#"{"arcp":"1.1","id":"1","type":"session.welcome","session_id":"s","payload":{"capabilities":{}}}"#;
    let accepted = r#"{"arcp":"1.1","id":"2","type":"job.accepted","session_id":"s","job_id":"j","payload":{"job_id":"j","agent":"echo","lease":{}}}"#;
    let end = format!(
        r#"{{"arcp":"1.1","id":"3","type":"job.result","session_id":"s","job_id":"j","event_seq":1,"payload":{{"final_status":"success","result":"{EVIL}"}}}}"#
    );
    let script = format!(
        "read hello; printf '%s\\n' '{welcome}'; read submit; printf '%s\\n' '{accepted}' '{end}'; cat"
    );
    let (piped, written) = printed(&["submit", "echo", "--stdio", "--", "bash", "-c", &script]);
    assert_eq!(piped, format!("{RAW}\n"));
    assert!(
        written.contains("a\\u001b[31m\\u009b2J\\u007f\\u202e") && written.contains("b\nc\n"),
        "{written:?}"
    );
}

#[test]
fn json_of_a_job_is_exact_in_a_pipe_and_the_same_value_on_a_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path().join("arcp.db");
    let store = store.to_str().unwrap();
    let serving = serve_only(&["--token", "s3cret=alice", "--store", store]);
    // As it is, but for what JSON does not let be.
    let input = format!("\"{EVIL}\"").replace("\\u009b", "\u{9b}").replace("\\u202e", "\u{202e}");
    let submit = ["submit", "echo", "--url", &serving.url, "--input", &input];
    let echoed = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["echoed"].clone();

    let (piped, written) = printed(&submit);
    assert!(piped.contains('\u{9b}') && piped.contains('\u{202e}'), "as JSON has it: {piped:?}");
    assert_eq!((echoed(&piped), echoed(&written)), (RAW.into(), RAW.into()));

    let (piped, written) = printed(&[&submit[..], &["--json"]].concat());
    for lines in [&piped, &written] {
        let last: serde_json::Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
        assert_eq!(last["result"]["echoed"], RAW, "{lines:?}");
    }
    assert!(piped.contains('\u{9b}') && written.contains("\\u009b2J"), "{written:?}");

    let (piped, written) = printed(&["replay", "--store", store]);
    assert!(piped.contains('\u{9b}') && piped.contains('\u{202e}'), "{piped:?}");
    assert!(written.contains("\\u009b2J\\u007f\\u202e"), "{written:?}");
}

#[test]
fn what_a_job_says_cannot_steer_a_terminal_by_tail_either() {
    let serving = serve(&[]);
    let input = format!("{{\"code\":\"X\",\"message\":\"{EVIL}\"}}");
    let output = serving.submit(&["fail", "--json", "--input", &input]).output().unwrap();
    exits(&output, 1);
    let accepted = text(&output.stdout);
    let accepted: serde_json::Value = serde_json::from_str(accepted.lines().next().unwrap()).unwrap();
    let mut command = CommandBuilder::new(assert_cmd::cargo::cargo_bin!("arcp"));
    command.args(["tail", accepted["job_id"].as_str().unwrap(), "--url", &serving.url, "--json"]);
    command.env("ARCP_TOKEN", "s3cret");
    command.env("ARCP_CONFIG", "");
    let (code, written) = Terminal::start(command, 24, 200).written();
    assert_eq!(code, 1);
    assert!(written.contains("\\u009b2J\\u007f\\u202e") && !written.contains(STEER), "{written:?}");
}
