//! The program `arcp` as the client under test.

use std::time::Duration;

use arcp_conformance::{AT_A_TIME, ClientCommands, Run, client_cases, test_client};

pub(crate) async fn run() -> Run {
    let program = assert_cmd::cargo::cargo_bin!("arcp").to_str().unwrap();
    let words = |command: &str| {
        let words = format!("{program} {command}");
        words.split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let commands = ClientCommands::new()
        .command("submit", words("submit --url {url} --token {token} {agent} {input}"))
        .command("tail", words("tail --url {url} --token {token} {job}"))
        .command("jobs", words("jobs --url {url} --token {token}"))
        .timeout(Duration::from_secs(20));
    test_client(&commands, &client_cases(), AT_A_TIME, |_, _| ()).await.unwrap()
}
