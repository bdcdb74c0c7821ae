//! SIGHUP to `arcp serve`, from an operator and from a terminal that is closed. What is read again at it is in `tls.rs`.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::Command;

use portable_pty::{CommandBuilder, PtySize, native_pty_system};
use rcgen::generate_simple_self_signed;

use crate::program::serve;
use crate::terminal::Terminal;

fn send(signal: &str, id: u32) {
    assert!(Command::new("kill").args([signal, &id.to_string()]).status().unwrap().success());
}

/// `arcp serve` for a terminal.
fn command(more: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(assert_cmd::cargo::cargo_bin!("arcp"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", "memory", "--token", "s3cret=alice"]);
    command.args(more);
    command.env("ARCP_CONFIG", "");
    command.env("ARCP_LOG", "info");
    command
}

/// A certificate for 127.0.0.1, as options.
fn certificate(directory: &tempfile::TempDir) -> [String; 4] {
    let made = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let put = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = (put("cert.pem", made.cert.pem()), put("key.pem", made.signing_key.serialize_pem()));
    ["--tls-cert".to_owned(), cert, "--tls-key".to_owned(), key]
}

#[test]
fn where_there_is_nothing_to_read_again_it_says_so_and_goes_on() {
    let mut serving = serve(&[]);
    for _ in 0..2 {
        send("-HUP", serving.child.id());
        let mut line = String::new();
        while !line.contains("SIGHUP: there is nothing to read again") {
            line.clear();
            assert_ne!(serving.stderr.read_line(&mut line).unwrap(), 0, "it has ended");
        }
        assert!(serving.http("/healthz").ends_with("ok\n"));
    }
    send("-TERM", serving.child.id());
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_terminal_that_is_closed_ends_it_as_sigterm_does() {
    let directory = tempfile::tempdir().unwrap();
    let tls = certificate(&directory);
    let tls: Vec<_> = tls.iter().map(String::as_str).collect();
    for more in [&[][..], &tls] {
        let pair = native_pty_system().openpty(PtySize::default()).unwrap();
        let mut child = pair.slave.spawn_command(command(more)).unwrap();
        drop(pair.slave);
        let mut lines = BufReader::new(pair.master.try_clone_reader().unwrap()).lines();
        while !lines.next().unwrap().unwrap().starts_with("listening on ") {}
        drop(lines);
        drop(pair.master); // nobody has the other end of the terminal any more
        let ended = child.wait().unwrap();
        assert!(ended.success(), "{ended:?}");
    }
}

/// As shells do that end, before their terminal is gone.
#[test]
fn sighup_in_a_terminal_ends_what_has_nothing_to_read_again() {
    let terminal = Terminal::start(command(&[]), 24, 160);
    terminal.shows("listening on ");
    send("-HUP", terminal.id());
    terminal.shows("stopping once no job runs any more");
    assert_eq!(terminal.restored(), 0);
}

#[test]
fn sighup_in_a_terminal_has_files_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let tls = certificate(&directory);
    let terminal = Terminal::start(command(&tls.iter().map(String::as_str).collect::<Vec<_>>()), 24, 160);
    terminal.shows("listening on ");
    send("-HUP", terminal.id());
    terminal.shows("the files of TLS were read again");
    send("-TERM", terminal.id());
    assert_eq!(terminal.restored(), 0);
}
