//! Every conformance case for clients holds for this program, and none is left out.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use arcp_conformance::{AT_A_TIME, ClientCommands, Outcome, client_cases, test_client};

/// What is to be run, as `ClientCommands` says.
fn commands() -> ClientCommands {
    let program = env!("CARGO_BIN_EXE_arcp");
    let command = |words: &[&str]| {
        let words: Vec<_> = [program].iter().chain(words).map(|word| (*word).to_owned()).collect();
        words
    };
    let submit = ["submit", "--url", "{url}", "--token", "{token}", "{agent}", "--input", "{input}"];
    let with = ["--lease", "{lease}", "--expires", "{expires_at}", "--idempotency-key", "{idempotency_key}"];
    let in_full = [&submit[..], &with, &["--max-runtime", "{max_runtime_sec}"]].concat();
    ClientCommands::new()
        .command("submit", command(&submit))
        .command("follow", command(&submit))
        .command("cancel", command(&submit))
        .command("submit_in_full", command(&in_full))
        .command("tail", command(&["tail", "--url", "{url}", "--token", "{token}", "{job}"]))
        .command("jobs", command(&["jobs", "--url", "{url}", "--token", "{token}"]))
}

#[tokio::test]
async fn the_program_passes_every_case() {
    let only = std::env::var("ARCP_CASE").ok();
    let cases: Vec<_> = client_cases()
        .into_iter()
        .filter(|case| only.as_ref().is_none_or(|only| case.id.starts_with(only)))
        .collect();
    let run = test_client(&commands(), &cases, AT_A_TIME, |_, _| ()).await.unwrap();
    let told = run.outcomes.iter().filter_map(|(case, outcome)| match outcome {
        Outcome::Passed => None,
        Outcome::Failed(failure) => Some(format!("{} {}\n{failure}", case.id, case.title)),
        Outcome::NotRun(why) => Some(format!("{} {}: not run, {why}", case.id, case.title)),
    });
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "{} of {} cases:\n{}", told.len(), cases.len(), told.join("\n"));
    assert_eq!(run.peer, format!("arcp {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_program_that_opens_no_session_cannot_be_tested() {
    let commands =
        ClientCommands::new().command("submit", ["true"]).timeout(std::time::Duration::from_secs(1));
    let error = test_client(&commands, &client_cases(), 1, |_, _| ()).await.unwrap_err().to_string();
    assert!(error.contains("opens no session"), "{error}");
    let error = test_client(&ClientCommands::new(), &[], 1, |_, _| ()).await.unwrap_err().to_string();
    assert!(error.contains("no command for submit"), "{error}");
}
