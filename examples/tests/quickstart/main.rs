//! The quickstart, as a newcomer runs it: any text file works, anything else is a clear error.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

/// Cargo builds examples beside the tests of their package, but names them to nobody.
fn quickstart(file: &str) -> Output {
    let mut path: PathBuf = std::env::current_exe().unwrap();
    path.pop();
    path.set_file_name("examples");
    let program = path.join("quickstart").with_extension(std::env::consts::EXE_EXTENSION);
    Command::new(program).arg(file).output().unwrap()
}

#[test]
fn a_text_file_is_reported_on() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all("one two two\nthree three three".as_bytes()).unwrap();
    let output = quickstart(file.path().to_str().unwrap());
    let (stdout, stderr) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stdout, "lines  2\nwords  6\nbytes  29\n\nmost frequent words\n3  three\n2  two\n1  one\n");
    assert!(
        stderr.contains("listens on ws://127.0.0.1:") && stderr.contains("3 different words"),
        "{stderr}"
    );
}

#[test]
fn an_empty_file_is_a_text_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = quickstart(file.path().to_str().unwrap());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "lines  0\nwords  0\nbytes  0\n");
}

#[test]
fn a_missing_or_binary_file_is_a_clear_error_of_the_job() {
    let mut binary = tempfile::NamedTempFile::new().unwrap();
    binary.write_all(&[0x7f, b'E', b'L', b'F', 0, 0xff]).unwrap();
    let cases = [
        ("no-such-file.txt", "cannot read"),
        (binary.path().to_str().unwrap(), "is binary"),
        (env!("CARGO_MANIFEST_DIR"), "is not a file"),
    ];
    for (file, reason) in cases {
        let output = quickstart(file);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("INVALID_REQUEST") && stderr.contains(reason), "{stderr}");
    }
}
