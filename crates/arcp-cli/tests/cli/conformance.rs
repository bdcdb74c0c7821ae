//! `arcp conformance` where there is nothing to test, or nowhere to tell of it.

use crate::program::{arcp, exits, serve, text};

#[test]
fn cases_for_clients_are_listed_without_a_client() {
    let output = arcp().args(["conformance", "--as-runtime", "--list"]).output().unwrap();
    exits(&output, 0);
    assert!(text(&output.stdout).starts_with("client-"), "{}", text(&output.stdout));
    let output = arcp().args(["conformance", "--as-runtime"]).output().unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains("--submit COMMAND"), "{}", text(&output.stderr));
}

#[test]
fn a_report_that_cannot_be_written_is_known_before_anything_is_played() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let mut command = arcp();
    command.args(["conformance", "--token", "t", "--url", &url, "--report", "/does/not/exist.xml"]);
    let output = command.output().unwrap();
    exits(&output, 2);
    assert!(
        text(&output.stderr).contains("/does/not/exist.xml cannot be written"),
        "{}",
        text(&output.stderr)
    );
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err(), "somebody has connected");
}

#[test]
fn where_no_session_opens_the_reports_say_so() {
    let (serving, directory) = (serve(&[]), tempfile::tempdir().unwrap());
    let reports = ["a.json", "a.xml", "a.md"].map(|name| directory.path().join(name));
    let mut command = arcp();
    command.args(["conformance", "--token", "wrong", "--url", &serving.url, "--case", "6.2"]);
    for report in &reports {
        command.arg("--report").arg(report);
    }
    let output = command.output().unwrap();
    exits(&output, 3);
    for report in &reports {
        let told = std::fs::read_to_string(report).unwrap();
        assert!(told.contains("6.2-01") && told.contains("UNAUTHENTICATED"), "{}: {told}", report.display());
    }
}
