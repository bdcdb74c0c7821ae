//! `arcp top` as somebody at a terminal meets it: keys in, a screen out.
#![cfg(unix)]

use std::process::Command;

use portable_pty::{CommandBuilder, PtySize};

use crate::program::{Serving, arcp, exits, serve, text};
use crate::terminal::Terminal;

/// `arcp top` in a terminal.
fn open(serving: &Serving, home: &tempfile::TempDir, rows: u16, columns: u16) -> Terminal {
    let program = assert_cmd::cargo::cargo_bin!("arcp");
    open_with(&[program.to_str().unwrap(), "top", "--url", &serving.url], home, rows, columns)
}

fn open_with(line: &[&str], home: &tempfile::TempDir, rows: u16, columns: u16) -> Terminal {
    let mut command = CommandBuilder::new(line[0]);
    command.args(&line[1..]);
    for (name, value) in [("ARCP_TOKEN", "s3cret"), ("ARCP_CONFIG", ""), ("RUST_LOG", "trace")] {
        command.env(name, value);
    }
    command.env("XDG_STATE_HOME", home.path());
    command.env("HOME", home.path());
    Terminal::start(command, rows, columns)
}

fn detach(serving: &Serving, home: &tempfile::TempDir, agent: &str, input: &str, more: &[&str]) -> String {
    let mut submit = serving.submit(&[&[agent, "--detach", "--input", input][..], more].concat());
    let output = submit.env("XDG_STATE_HOME", home.path()).env("HOME", home.path()).output().unwrap();
    exits(&output, 0);
    text(&output.stdout).trim().to_owned()
}

#[test]
fn a_job_appears_goes_on_is_followed_and_cancelled() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let mut terminal = open(&serving, &home, 24, 80);
    terminal.shows("no jobs");
    let job = detach(&serving, &home, "progress", r#"{"total":1000000,"delay_ms":20}"#, &[]);
    terminal.shows("progress@1.0.0");
    let first = terminal.shows("progress 1");
    terminal.until(|screen| screen.contains("progress ") && *screen != first);

    terminal.press("\r");
    let screen = terminal.shows(&format!("── {job} progress@1.0.0 running ── followed"));
    assert!(screen.contains("1 running"), "{screen}");
    terminal.press("c");
    terminal.shows(&format!("cancel {job}? y or n"));
    terminal.press("n");
    terminal.shows("nothing is cancelled");
    terminal.press("cy");
    terminal.shows(&format!("{job} is cancelled"));
    terminal.shows("progress@1.0.0 cancelled");
    terminal.press("q");
    assert_eq!(terminal.restored(), 0);
    let mut tail = arcp();
    tail.args(["tail", &job, "--url", &serving.url, "--json"]).env("ARCP_TOKEN", "s3cret");
    assert!(text(&tail.output().unwrap().stdout).contains("CANCELLED"));
}

#[test]
fn who_may_not_cancel_a_job_is_told_why() {
    let (serving, home, elsewhere) = (serve(&[]), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let job = detach(&serving, &elsewhere, "sleep", r#"{"ms":6000000}"#, &[]);
    let mut terminal = open(&serving, &home, 24, 120);
    terminal.shows("status sleeping");
    terminal.press("cy");
    terminal.shows(&format!("not cancelled: {job}: only the session that submitted a job may cancel it"));
    terminal.press("\u{3}");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn children_budgets_leases_and_filters_are_shown() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let child = r#"{"agent":"operate","input":{"operations":[
        {"capability":"fs.read","target":"/data/a","cost":{"USD":3}},
        {"capability":"fs.read","target":"/data/b","delay_ms":6000000}]},
        "lease_request":{"fs.read":["/data/**"],"cost.budget":["USD:4"]}}"#;
    let lease = r#"{"fs.read":["/data/**"],"agent.delegate":["*"]}"#;
    let more = ["--lease", lease, "--budget", "USD:5", "--expires", "1h"];
    let parent = detach(&serving, &home, "delegate", child, &more);
    detach(&serving, &home, "sleep", r#"{"ms":6000000}"#, &[]);
    let mut terminal = open(&serving, &home, 30, 140);
    terminal.until(|screen| {
        let below = |line: &str| {
            line.contains("└ job_") && line.contains("operate@1.0.0") && line.contains("▰▱▱▱▱ 1 USD")
        };
        screen.lines().any(below) && screen.contains("59m") && screen.contains(&parent)
    });
    terminal.press("/operate\r");
    terminal.until(|screen| screen.contains("operate@1.0.0") && !screen.contains("sleep@1.0.0"));
    terminal.press("\u{1b}");
    terminal.shows("sleep@1.0.0");
    terminal.press("q");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn a_small_terminal_that_is_made_larger_is_drawn_again() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let terminal = open(&serving, &home, 2, 9);
    terminal.shows("connecte");
    terminal.resize(PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 });
    terminal.shows("q quit  ↑↓ select");
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    for signal in ["-TERM", "-INT", "-HUP", "-QUIT"] {
        let terminal = open(&serving, &home, 24, 80);
        terminal.shows("no jobs");
        send(signal, terminal.id());
        assert_eq!(terminal.restored(), 130, "{signal}");
    }
}

fn send(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

/// A shell as somebody types into: what it starts can be stopped, and continued.
fn open_in_a_shell(serving: &Serving, home: &tempfile::TempDir) -> Terminal {
    let program = assert_cmd::cargo::cargo_bin!("arcp");
    let script = r#"set -m; "$0" top --url "$1"; echo "the shell is back: $?"; read line; fg; echo "it has ended: $?""#;
    open_with(&["bash", "-c", script, program.to_str().unwrap(), &serving.url], home, 24, 80)
}

#[test]
fn ctrl_z_leaves_the_terminal_to_the_shell_until_it_is_continued() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let mut terminal = open_in_a_shell(&serving, &home);
    terminal.shows("no jobs");
    terminal.press("\u{1a}");
    let screen = terminal.shows("the shell is back: 147"); // 128 and SIGSTOP
    assert!(!screen.contains("no jobs"), "{screen}");
    terminal.is_restored();
    terminal.press("\r");
    let screen = terminal.shows("no jobs");
    assert!(!screen.contains("the shell is back"), "{screen}");
    terminal.press("q");
    terminal.shows("it has ended: 0");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn what_others_stop_takes_the_terminal_again_when_it_is_continued() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let mut terminal = open_in_a_shell(&serving, &home);
    terminal.shows("no jobs");
    let id = terminal.foreground();
    send("-TSTP", id);
    terminal.shows("the shell is back");
    terminal.is_restored();
    terminal.press("\r");
    terminal.shows("no jobs");
    terminal.press("q");
    terminal.shows("it has ended: 0");
    assert_eq!(terminal.restored(), 0);
}

/// Nobody could continue it.
#[test]
fn without_a_shell_ctrl_z_stops_nothing() {
    let (serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let mut terminal = open(&serving, &home, 24, 80);
    terminal.shows("no jobs");
    terminal.press("\u{1a}");
    terminal.shows("no shell is here that could continue it");
    terminal.press("q");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn a_runtime_that_is_gone_is_said_to_be() {
    let (mut serving, home) = (serve(&[]), tempfile::tempdir().unwrap());
    let mut terminal = open(&serving, &home, 24, 80);
    terminal.shows("no jobs");
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    terminal.shows("CONNECTION LOST, trying again");
    terminal.press("q");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn without_a_terminal_it_says_what_to_use() {
    let output = arcp().args(["top", "--token", "t"]).output().unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains("arcp jobs"), "{}", text(&output.stderr));
}
