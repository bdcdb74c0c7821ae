//! The program `arcp` as the client under test.

use std::time::Duration;

use arcp_conformance::{AT_A_TIME, ClientCommands, Run, client_cases, test_client};

/// What is to be run, as `ClientCommands` says: where the client connects to, as whom, and the words that its command begins with.
pub(crate) fn commands(url: &str, token: &str, before: &[&str]) -> ClientCommands {
    let program = [before, &[env!("CARGO_BIN_EXE_arcp")]].concat();
    let command =
        |words: &[&str]| [&program, words].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let submit = ["submit", "--url", url, "--token", token, "{agent}", "--input", "{input}"];
    let with = ["--lease", "{lease}", "--expires", "{expires_at}", "--idempotency-key", "{idempotency_key}"];
    let in_full = [&submit[..], &with, &["--max-runtime", "{max_runtime_sec}"]].concat();
    ClientCommands::new()
        .command("submit", command(&submit))
        .command("follow", command(&submit))
        .command("cancel", command(&submit))
        .command("submit_in_full", command(&in_full))
        .command("tail", command(&["tail", "--url", url, "--token", token, "{job}"]))
        .command("jobs", command(&["jobs", "--url", url, "--token", token]))
}

/// Plays the cases, all or those that `ARCP_CASE` says.
pub(crate) async fn run() -> Run {
    let cases = crate::asked(client_cases());
    let commands = commands("{url}", "{token}", &[]).timeout(Duration::from_secs(30));
    let run = test_client(&commands, &cases, AT_A_TIME, |_, _| ()).await.unwrap();
    assert_eq!(run.peer, format!("arcp {}", env!("CARGO_PKG_VERSION")));
    run
}

#[tokio::test]
async fn a_program_that_opens_no_session_cannot_be_tested() {
    let commands = ClientCommands::new().command("submit", ["true"]).timeout(Duration::from_secs(1));
    let error = test_client(&commands, &client_cases(), 1, |_, _| ()).await.unwrap_err().to_string();
    assert!(error.contains("opens no session"), "{error}");
    let error = test_client(&ClientCommands::new(), &[], 1, |_, _| ()).await.unwrap_err().to_string();
    assert!(error.contains("no command for submit"), "{error}");
}
