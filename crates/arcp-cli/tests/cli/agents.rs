//! `arcp agents`, completions and man pages.

use std::process::Stdio;

use crate::program::{Serving, arcp, exits, serve, text};

fn agents(serving: &Serving, arguments: &[&str]) -> std::process::Output {
    let mut command = arcp();
    command.args(["agents", "--url", &serving.url]).args(arguments).env("ARCP_TOKEN", "s3cret");
    command.output().unwrap()
}

#[test]
fn agents_versions_and_defaults_are_listed() {
    let serving = serve(&[]);
    let output = agents(&serving, &[]);
    exits(&output, 0);
    let stdout = text(&output.stdout);
    assert!(stdout.starts_with("arcp ") && stdout.contains("features: heartbeat"), "{stdout}");
    let line = stdout.lines().find(|line| line.starts_with("versioned")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..4], ["versioned", "1.0.0,", "2.0.0", "2.0.0"]);

    let output = agents(&serving, &["--json"]);
    exits(&output, 0);
    let welcome: serde_json::Value = serde_json::from_str(&text(&output.stdout)).unwrap();
    let names: Vec<_> = welcome["agents"].as_array().unwrap().iter().map(|agent| &agent["name"]).collect();
    assert!(names.contains(&&"echo".into()) && welcome["runtime"]["name"] == "arcp", "{welcome}");
}

#[test]
fn an_agent_that_is_not_there_has_no_schema() {
    let serving = serve(&[]);
    let output = agents(&serving, &["--schema", "nobody"]);
    exits(&output, 1);
    assert!(text(&output.stderr).contains("no agent nobody"), "{}", text(&output.stderr));
}

#[test]
fn completions_are_a_script_of_each_shell() {
    for (shell, sign) in [("bash", "complete -F"), ("zsh", "#compdef arcp"), ("fish", "complete -c arcp")] {
        let output = arcp().args(["completions", shell]).output().unwrap();
        exits(&output, 0);
        assert!(text(&output.stdout).contains(sign), "{shell}");
    }
    exits(&arcp().args(["completions", "cobol"]).output().unwrap(), 2);
}

#[test]
fn man_pages_are_written_and_say_where_they_cannot_be() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("man1");
    exits(&arcp().arg("man").arg(&pages).output().unwrap(), 0);
    let page = std::fs::read_to_string(pages.join("arcp-top.1")).unwrap();
    assert!(page.contains("Keys:") && page.contains("ARCP_TOKEN"), "{page}");
    let output = arcp().args(["man", "/dev/null/man"]).output().unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains("/dev/null/man"), "{}", text(&output.stderr));
}

/// A reader that has seen enough is no failure, wherever it is.
#[test]
fn a_pipe_that_is_closed_ends_a_listing_quietly() {
    let serving = serve(&[]);
    for arguments in [
        &["conformance", "--list"][..],
        &["agents", "--json"],
        &["completions", "bash"],
        &["jobs"],
        &["submit", "echo", "--json"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = arcp();
        command.args(arguments).env("ARCP_URL", &serving.url).env("ARCP_TOKEN", "s3cret");
        let output =
            command.stdout(writer).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        exits(&output, 0);
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let serving = serve(&[]);
    for arguments in
        [&["conformance", "--list"][..], &["agents"], &["completions", "zsh"], &["jobs"], &["submit", "echo"]]
    {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = arcp();
        command.args(arguments).env("ARCP_URL", &serving.url).env("ARCP_TOKEN", "s3cret").stdout(full);
        let output = command.stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap();
        exits(&output, 1);
        assert!(text(&output.stderr).contains("output cannot be written"), "{arguments:?}");
    }
}
