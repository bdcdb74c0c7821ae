//! Starts `arcp serve` on a free port and runs `arcp submit` against it.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

/// A running `arcp serve`; killed when dropped.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) stderr: BufReader<ChildStderr>,
    pub(crate) url: String,
    /// The lines on stderr before it listened.
    pub(crate) said_before: Vec<String>,
}

pub(crate) fn arcp() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("arcp"));
    for name in ["ARCP_TOKEN", "ARCP_URL", "ARCP_PROFILE", "ARCP_LOG", "ARCP_LOG_FORMAT", "RUST_LOG"] {
        command.env_remove(name);
    }
    for name in ["ARCP_CA", "ARCP_CLIENT_CERT", "ARCP_CLIENT_KEY", "TRACEPARENT", "TRACESTATE"] {
        command.env_remove(name);
    }
    command.env("ARCP_CONFIG", "").stdin(Stdio::null()); // nothing of who runs the tests
    command
}

/// A runtime that knows alice by a token.
pub(crate) fn serve(arguments: &[&str]) -> Serving {
    serve_in(&[], arguments)
}

/// The same with more in its environment.
pub(crate) fn serve_in(environment: &[(&str, &str)], arguments: &[&str]) -> Serving {
    start(environment, &[&["--token", "s3cret=alice"], arguments].concat())
}

/// A runtime that knows nobody but by the arguments.
pub(crate) fn serve_only(arguments: &[&str]) -> Serving {
    start(&[], arguments)
}

fn start(environment: &[(&str, &str)], arguments: &[&str]) -> Serving {
    let mut child = arcp()
        .envs(environment.iter().copied())
        .args(["serve", "--listen", "127.0.0.1:0", "--fixtures"])
        .args(if arguments.contains(&"--store") { &[][..] } else { &["--store", "memory"] })
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said_before = Vec::new();
    let url = loop {
        let mut line = String::new();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "serve ended before it listened");
        if let Some(url) = line.trim().strip_prefix("listening on ") {
            break url.to_owned();
        }
        said_before.push(line);
    };
    Serving { child, stderr, url, said_before }
}

impl Serving {
    pub(crate) fn submit(&self, arguments: &[&str]) -> Command {
        let mut command = arcp();
        command.args(["submit", "--url", &self.url]).args(arguments).env("ARCP_TOKEN", "s3cret");
        command
    }

    /// The answer to a plain HTTP request.
    pub(crate) fn http(&self, path: &str) -> String {
        use std::io::{Read, Write};
        let host = self.url.trim_start_matches("ws://").trim_end_matches("/arcp");
        let mut tcp = std::net::TcpStream::connect(host).unwrap();
        write!(tcp, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        tcp.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Asserts the exit code, and shows both streams if it is another.
#[track_caller]
pub(crate) fn exits(output: &Output, code: i32) {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "stdout: {stdout}\nstderr: {stderr}");
}
