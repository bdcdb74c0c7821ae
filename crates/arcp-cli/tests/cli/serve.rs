//! `arcp serve`: how it starts, refuses to start, and stops.

use std::io::{BufRead, Write};
use std::process::Stdio;

use crate::program::{arcp, exits, serve, serve_only, text};

#[test]
fn without_a_token_it_does_not_start() {
    let output = arcp()
        .args(["serve", "--store", "memory", "--fixtures", "--listen", "127.0.0.1:0"])
        .output()
        .unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains("--dev-token"));
}

#[test]
fn a_malformed_token_is_never_repeated() {
    for arguments in [["--token", "hunter2"], ["--token", "hunter2="]] {
        let output = arcp()
            .args(["serve", "--store", "memory", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .output()
            .unwrap();
        exits(&output, 2);
        let stderr = text(&output.stderr);
        assert!(stderr.contains("--token number 1") && !stderr.contains("hunter2"), "{stderr}");
    }
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"# people\n\nok=alice\nhunter2\n").unwrap();
    let path = file.path().to_str().unwrap();
    let output = arcp()
        .args(["serve", "--store", "memory", "--listen", "127.0.0.1:0", "--token-file", path])
        .output()
        .unwrap();
    exits(&output, 2);
    let stderr = text(&output.stderr);
    assert!(stderr.contains(":4: not TOKEN=PRINCIPAL") && !stderr.contains("hunter2"), "{stderr}");
}

#[test]
fn one_token_for_two_principals_is_refused_and_not_repeated() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"hunter2=alice\n").unwrap();
    let path = file.path().to_str().unwrap();
    let serve = |more: &[&str]| {
        arcp().args(["serve", "--store", "memory", "--listen", "127.0.0.1:0"]).args(more).output().unwrap()
    };
    for arguments in [
        ["--token", "hunter2=alice", "--token", "hunter2=bob"],
        ["--token", "hunter2=bob", "--token-file", path],
    ] {
        let output = serve(&arguments);
        exits(&output, 2);
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("is that of another principal, too: --token number 1")
                && !stderr.contains("hunter2"),
            "{stderr}"
        );
    }
}

#[test]
fn a_token_file_and_a_dev_token_let_people_in() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"# people\nfrom-file=bob\n").unwrap();
    let serving = serve(&["--token-file", file.path().to_str().unwrap()]);
    let output = serving.submit(&["whoami"]).env("ARCP_TOKEN", "from-file").output().unwrap();
    exits(&output, 0);
    assert!(text(&output.stdout).contains("\"principal\": \"bob\""));

    let mut child = arcp()
        .args(["serve", "--store", "memory", "--fixtures", "--dev-token", "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let mut line = || lines.next().unwrap().unwrap();
    let token = line().strip_prefix("token of the principal dev: ").unwrap().to_owned();
    let url = line().strip_prefix("listening on ").unwrap().to_owned();
    let output = arcp().args(["submit", "whoami", "--url", &url]).env("ARCP_TOKEN", token).output().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    exits(&output, 0);
    assert!(text(&output.stdout).contains("\"principal\": \"dev\""));
}

#[test]
fn an_address_in_use_is_named() {
    let serving = serve(&[]);
    let address = serving.url.trim_start_matches("ws://").trim_end_matches("/arcp");
    let output =
        arcp().args(["serve", "--store", "memory", "--listen", address, "--token", "a=b"]).output().unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains(&format!("cannot listen at {address}")));
}

#[test]
fn a_log_filter_that_is_none_is_wrong_usage() {
    let output = arcp()
        .args(["serve", "--store", "memory", "--token", "a=b"])
        .env("RUST_LOG", "gar!!bage=[")
        .output()
        .unwrap();
    exits(&output, 2);
    assert!(text(&output.stderr).contains("RUST_LOG"));
}

#[test]
fn limits_of_zero_are_refused() {
    for flag in [
        "--buffer-events",
        "--max-frame-bytes",
        "--max-jobs-per-session",
        "--handshake-timeout",
        "--resume-window",
    ] {
        let output = arcp()
            .args(["serve", "--store", "memory", "--token", "a=b", "--listen", "127.0.0.1:0", flag, "0"])
            .output()
            .unwrap();
        exits(&output, 2);
        assert!(text(&output.stderr).contains(flag), "{flag}");
    }
}

#[test]
fn health_and_readiness_are_told_and_other_paths_are_not_found() {
    let serving = serve(&[]);
    assert!(serving.http("/healthz").starts_with("HTTP/1.1 200 OK"));
    assert!(serving.http("/readyz").ends_with("ready\n"));
    assert!(serving.http("/").starts_with("HTTP/1.1 404"));
    assert!(serving.http("/arcp").starts_with("HTTP/1.1 4"), "{}", serving.http("/arcp"));
}

#[cfg(unix)]
mod stopping {
    use super::*;
    use crate::program::Serving;
    use std::io::Lines;
    use std::process::{Child, ChildStdout};

    fn terminate(serving: &Serving) {
        let kill =
            std::process::Command::new("kill").args(["-TERM", &serving.child.id().to_string()]).status();
        assert!(kill.unwrap().success());
    }

    /// A job that sleeps for so long, and has begun to.
    fn sleeping(serving: &Serving, millis: u32) -> (Child, Lines<std::io::BufReader<ChildStdout>>) {
        let mut job = serving
            .submit(&["sleep", "--json", "--input", &format!(r#"{{"ms":{millis}}}"#)])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = std::io::BufReader::new(job.stdout.take().unwrap()).lines();
        while !lines.next().unwrap().unwrap().contains("sleeping") {}
        (job, lines)
    }

    #[test]
    fn sigterm_gives_running_jobs_their_time_and_takes_nothing_new() {
        let mut serving = serve(&["--drain", "600"]);
        let (mut job, mut lines) = sleeping(&serving, 1_500);
        terminate(&serving);
        assert!(lines.next().unwrap().unwrap().contains("draining"));
        assert!(serving.http("/readyz").starts_with("HTTP/1.1 503"));
        assert!(serving.http("/readyz").ends_with("draining\n"));
        let refused = serving.submit(&["echo"]).output().unwrap();
        exits(&refused, 1);
        assert!(text(&refused.stderr).contains("about to stop"), "{}", text(&refused.stderr));
        assert!(lines.last().unwrap().unwrap().contains("\"type\":\"result\""));
        assert_eq!(job.wait().unwrap().code(), Some(0));
        assert_eq!(serving.child.wait().unwrap().code(), Some(0));
        let mut rest = String::new();
        while serving.stderr.read_line(&mut rest).unwrap() > 0 {}
        assert!(rest.contains("stopping"), "{rest}");
    }

    #[test]
    fn a_signal_is_heard_as_soon_as_it_is_said_where_it_listens() {
        for _ in 0..20 {
            let mut serving = serve(&["--drain", "0"]);
            terminate(&serving);
            assert_eq!(serving.child.wait().unwrap().code(), Some(0));
        }
    }

    #[test]
    fn who_runs_longer_ends_retryable_and_the_program_exits_with_0() {
        let mut serving = serve(&["--drain", "0"]);
        let (mut job, lines) = sleeping(&serving, 600_000);
        terminate(&serving);
        let last = lines.last().unwrap().unwrap();
        assert!(
            last.contains("\"code\":\"INTERNAL_ERROR\"") && last.contains("\"retryable\":true"),
            "{last}"
        );
        assert_eq!(job.wait().unwrap().code(), Some(1));
        assert_eq!(serving.child.wait().unwrap().code(), Some(0));
    }

    #[test]
    fn a_second_sigterm_is_at_once() {
        let mut serving = serve(&["--drain", "600"]);
        let (mut job, mut lines) = sleeping(&serving, 600_000);
        terminate(&serving);
        assert!(lines.next().unwrap().unwrap().contains("draining"));
        terminate(&serving);
        assert_eq!(serving.child.wait().unwrap().code(), Some(130));
        let _ = job.kill();
        let _ = job.wait();
    }
}

#[test]
fn who_listens_where_others_can_listen_too_is_told_what_that_means() {
    let dir = tempfile::tempdir().unwrap();
    let calls = dir.path().join("calls");
    let calls = calls.to_str().unwrap();
    let serve = |arguments: &[&str]| {
        said(&[&["--listen", "0.0.0.0:0", "--fixture-gateway", calls], arguments].concat())
    };
    let plain = serve(&[]);
    assert!(plain.contains("--behind-tls") && plain.contains("to clients on this machine only"), "{plain}");
    let behind = serve(&["--behind-tls"]);
    assert!(!behind.contains("in the clear") && !behind.contains("this machine"), "{behind}");
}

#[test]
fn who_keeps_no_ledger_is_told_what_that_means() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (calls, ledger) = (path("calls"), path("ledger"));
    let gateway = ["--listen", "127.0.0.1:0", "--fixture-gateway", &calls];
    let forgetful = said(&gateway);
    assert!(forgetful.contains("WARN") && forgetful.contains("--credential-ledger"), "{forgetful}");
    let kept = said(&[&gateway[..], &["--credential-ledger", &ledger]].concat());
    assert!(!kept.contains("WARN"), "{kept}");
}

/// Whoever started it may have seen enough.
#[test]
fn it_goes_on_when_nobody_reads_its_log_any_more() {
    let mut child = arcp()
        .args([
            "serve",
            "--store",
            "memory",
            "--fixtures",
            "--token",
            "s3cret=alice",
            "--listen",
            "127.0.0.1:0",
        ])
        .env("ARCP_LOG", "debug")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.find_map(|line| line.strip_prefix("listening on ").map(str::to_owned)).unwrap();
    drop(lines);
    let run = |arguments: &[&str]| {
        let mut command = arcp();
        command.args(arguments).args(["--url", &url, "--no-reconnect"]).env("ARCP_TOKEN", "s3cret");
        command.output().unwrap()
    };
    let output = run(&["submit", "count", "--input", r#"{"n":3}"#, "--json"]);
    exits(&output, 0);
    let accepted = text(&output.stdout).lines().next().unwrap().to_owned();
    let accepted: serde_json::Value = serde_json::from_str(&accepted).unwrap();
    let output = run(&["tail", accepted["job_id"].as_str().unwrap()]);
    child.kill().unwrap();
    child.wait().unwrap();
    exits(&output, 0);
}

/// What `arcp serve` says before it listens.
fn said(arguments: &[&str]) -> String {
    let mut child = arcp()
        .args(["serve", "--store", "memory", "--fixtures", "--token", "s3cret=alice"])
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<_> = lines.take_while(|line| !line.starts_with("listening on ")).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    said.join("\n")
}

/// Tokens in a file that everybody may read are everybody's.
#[cfg(unix)]
#[test]
fn a_file_of_secrets_that_others_may_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens");
    std::fs::write(&path, "s3cret=alice\n").unwrap();
    let shown = path.to_str().unwrap();
    let due = format!("everybody on this machine may read {shown}, which holds a secret: chmod 600 {shown}");
    for (mode, warns) in [(0o644, true), (0o604, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        let serving = serve_only(&["--token-file", shown]);
        assert_eq!(serving.said_before.iter().any(|line| line.contains(&due)), warns, "{mode:o}");

        let settings = directory.path().join("arcp.toml");
        std::fs::write(&settings, format!("url = '{}'\ntoken-file = 'one'", serving.url)).unwrap();
        let one = directory.path().join("one");
        std::fs::write(&one, "s3cret\n").unwrap();
        std::fs::set_permissions(&one, PermissionsExt::from_mode(mode)).unwrap();
        let output = arcp().args(["jobs", "--config"]).arg(settings).output().unwrap();
        exits(&output, 0);
        let due = format!("arcp: warning: everybody on this machine may read {}", one.display());
        assert_eq!(text(&output.stderr).contains(&due), warns, "{mode:o}: {}", text(&output.stderr));
    }
}

#[test]
fn what_means_nothing_to_pipes_is_refused_beside_them() {
    for option in [
        &["--listen", "127.0.0.1:0"][..],
        &["--max-connections", "8"],
        &["--max-connections-per-address", "8"],
        &["--allow-origin", "https://a.example"],
        &["--metrics", "listen"],
        &["--behind-tls"],
        &["--tls-cert", "a", "--tls-key", "b"],
    ] {
        let output = arcp().args(["serve", "--stdio", "--token", "a=b"]).args(option).output().unwrap();
        exits(&output, 2);
        let stderr = text(&output.stderr);
        assert!(stderr.contains("cannot be used with") && stderr.contains(option[0]), "{stderr}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn it_has_as_many_threads_as_it_is_told() {
    let threads = |told: &str| {
        let serving = serve(&["--threads", told]);
        std::fs::read_dir(format!("/proc/{}/task", serving.child.id())).unwrap().count()
    };
    assert_eq!(threads("5"), threads("2") + 3);
    for wrong in ["0", "1.5", "many", "100000"] {
        let output =
            arcp().args(["serve", "--fixtures", "--token", "a=b", "--threads", wrong]).output().unwrap();
        exits(&output, 2);
        assert!(text(&output.stderr).contains("--threads"), "{}", text(&output.stderr));
    }
}
