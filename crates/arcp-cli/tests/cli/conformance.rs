//! `arcp conformance` where there is nothing to test, or nowhere to tell of it.

#[cfg(unix)]
use std::io::{BufRead, BufReader, Read};

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

/// What a shell has started is in no group that the terminal, or whoever ends the program, would tell.
#[cfg(unix)]
#[test]
fn an_interrupt_leaves_nothing_of_a_client_behind() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let script = format!("exec 3>{}; sleep 1000 & echo started >&3; wait", pipe.display());
    let mut command = arcp();
    command.args(["conformance", "--as-runtime", "--timeout", "600", "--submit"]);
    let mut running = command.arg(format!("sh -c '{script}'")).spawn().unwrap();
    let mut pipe = BufReader::new(std::fs::File::open(pipe).unwrap());
    let mut started = String::new();
    pipe.read_line(&mut started).unwrap();
    assert_eq!(started, "started\n");
    let id = running.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    assert_eq!(running.wait().unwrap().code(), Some(130));
    // Comes to its end when nobody has the pipe open any more, and not before.
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(pipe.read_to_string(&mut String::new()).is_ok()));
    assert_eq!(told.recv_timeout(std::time::Duration::from_secs(60)), Ok(true));
}
