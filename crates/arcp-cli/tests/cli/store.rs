//! The store of `arcp serve`: what is there after a restart, and what is said of files that cannot be used.

use std::path::Path;

use crate::program::{Serving, arcp, exits, serve, text};

fn at(path: &Path) -> Serving {
    serve(&["--store", path.to_str().unwrap()])
}

#[test]
fn jobs_and_keys_are_there_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("arcp.db");
    let mut serving = at(&path);
    let submit = |serving: &Serving| {
        let output =
            serving.submit(&["count", "--input", r#"{"n":3}"#, "--idempotency-key", "k", "--json"]).output();
        let output = output.unwrap();
        exits(&output, 0);
        text(&output.stdout)
    };
    let job = |lines: &str| {
        let accepted = lines.lines().find(|line| line.contains("\"job_id\"")).unwrap().to_owned();
        let at = accepted.find("job_0").unwrap();
        accepted[at..at + 30].to_owned()
    };
    let first = job(&submit(&serving));
    serving.child.kill().unwrap();
    serving.child.wait().unwrap();
    let serving = at(&path);
    let listed = arcp().args(["jobs", "--url", &serving.url]).env("ARCP_TOKEN", "s3cret").output().unwrap();
    assert!(text(&listed.stdout).contains(&first), "{}", text(&listed.stdout));
    assert_eq!(job(&submit(&serving)), first, "the key still names it");
    let tail =
        arcp().args(["tail", &first, "--url", &serving.url]).env("ARCP_TOKEN", "s3cret").output().unwrap();
    exits(&tail, 0);
    assert!(text(&tail.stderr).contains("event 2"), "{}", text(&tail.stderr));
}

#[test]
fn a_file_that_cannot_be_used_is_named_and_nothing_is_served() {
    let dir = tempfile::tempdir().unwrap();
    let text_file = dir.path().join("notes.txt");
    std::fs::write(&text_file, "not a database, but long enough to look like something else".repeat(100))
        .unwrap();
    let taken = dir.path().join("taken.db");
    let _serving = at(&taken);
    let missing = dir.path().join("no/such/arcp.db");
    for (path, problem) in [(&text_file, "notes.txt"), (&taken, "another runtime"), (&missing, "no/such")] {
        let output = arcp()
            .args(["serve", "--token", "a=b", "--listen", "127.0.0.1:0", "--store", path.to_str().unwrap()])
            .output()
            .unwrap();
        exits(&output, 2);
        let stderr = text(&output.stderr);
        assert!(stderr.contains(problem) && !stderr.contains("listening"), "{stderr}");
    }
}

#[test]
fn the_store_is_in_the_users_data_directory_if_nothing_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = arcp();
    child.args(["serve", "--token", "a=b", "--listen", "127.0.0.1:0"]).env("XDG_DATA_HOME", dir.path());
    child.env("HOME", dir.path()).stderr(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    let stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let listening = std::io::BufRead::lines(stderr).find(|line| line.as_ref().unwrap().contains("listening"));
    assert!(listening.is_some());
    let made = [dir.path().join("arcp/arcp.db"), dir.path().join("Library/Application Support/arcp/arcp.db")];
    assert!(made.iter().any(|path| path.exists()));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn what_is_stored_is_printed_as_it_was_sent_beside_the_runtime() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("arcp.db");
    let serving = at(&path);
    let output = serving.submit(&["count", "--input", r#"{"n":3}"#]).output().unwrap();
    exits(&output, 0);
    let replay = |arguments: &[&str]| {
        let output =
            arcp().args(["replay", "--store", path.to_str().unwrap()]).args(arguments).output().unwrap();
        exits(&output, 0);
        text(&output.stdout)
    };
    let all = replay(&[]);
    let lines: Vec<serde_json::Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let numbers: Vec<_> = lines.iter().map(|line| line["event_seq"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4], "{all}");
    assert_eq!(lines[3]["type"], "job.result");
    let (job, session) = (lines[0]["job_id"].as_str().unwrap(), lines[0]["session_id"].as_str().unwrap());
    assert_eq!(replay(&["--job", job]), all);
    let view = replay(&["--session", session]);
    // What was acknowledged is no longer in the view; what is there has the same bytes.
    assert!(all.ends_with(&view), "{view}");
    assert_eq!(replay(&["--job", job, "--from", "3"]).lines().count(), 2);
    let refused = |arguments: &[&str], problem: &str| {
        let output = arcp().arg("replay").args(arguments).output().unwrap();
        exits(&output, 2);
        assert!(text(&output.stderr).contains(problem), "{}", text(&output.stderr));
    };
    let file = path.to_str().unwrap();
    refused(&["--store", file, "--job", "job_01M840HQJBK7VZ7WFT5WDPFQ74"], "is not in the store");
    refused(&["--store", file, "--session", "sess_01M840HQJBK7VZ7WFT5WDPFQ74"], "is not in the store");
    refused(&["--store", "/no/such/arcp.db"], "/no/such/arcp.db");
}
