//! Each fault of a client is caught by the case that is about it, which the same client without the fault passes. The client is `arcp`; the
//! fault is in the link between it and the kit, or in the shell that starts it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arcp::transport::{BoxTransport, Connector, Frame, Listener};
use arcp::ws::{WsConnector, WsListener};
use arcp_conformance::{AT_A_TIME, Case, Outcome, client_cases, test_client};
use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::change::pass;
use crate::faults::{FAULTS, Fault};
use crate::program::commands;
use crate::tap::{Change, Known, carry};

/// Starts what stands between clients and the kit, and says where.
///
/// Each case has an address and a token of its own, so that the client is told both in place of the token, and what it says in its
/// hello is where it is carried to.
async fn tap(change: Change, known: Arc<Mutex<Known>>) -> String {
    let mut listener = WsListener::bind("127.0.0.1:0", "/arcp").await.unwrap();
    let url = format!("ws://{}/arcp", listener.local_addr());
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(through(client, change, known.clone()));
        }
    });
    url
}

/// Carries one connection, once it is known where to.
async fn through(mut client: BoxTransport, change: Change, known: Arc<Mutex<Known>>) {
    let Some(Ok(Frame::Text(said))) = client.next().await else { return };
    let mut hello: Value = serde_json::from_str(&said).unwrap();
    let token = hello["payload"]["auth"]["token"].as_str().unwrap().to_owned();
    let (url, token) = token.split_once('|').unwrap();
    hello["payload"]["auth"]["token"] = token.into();
    // A client that comes back when its case is over finds nobody.
    let Ok(runtime) = WsConnector::new(url).unwrap().connect().await else { return };
    carry(client, runtime, Some(Frame::text(hello.to_string())), change, known).await;
}

/// What becomes of the cases, played against a client with this fault.
async fn play(change: Change, shell: &str, cases: &[Case]) -> Vec<(Case, Outcome)> {
    let shell = ["sh", "-c", shell, "sh"];
    let before = if shell[2].is_empty() { &[][..] } else { &shell };
    let known = Arc::default();
    let url = tap(change, Arc::clone(&known)).await;
    let commands = commands(&url, "{url}|{token}", before).timeout(Duration::from_secs(10));
    let run = test_client(&commands, cases, AT_A_TIME, |_, _| ()).await.unwrap();
    assert!(!known.is_poisoned(), "the fault has failed itself");
    run.outcomes
}

/// Whether the case that is about it catches it, and what the cases say if not.
async fn uncaught(fault: &'static Fault) -> Option<String> {
    let cases: Vec<_> = client_cases().into_iter().filter(|case| case.id == fault.case).collect();
    let outcomes = play(fault.change, fault.shell, &cases).await;
    match outcomes.as_slice() {
        [(_, Outcome::Failed(_))] => None,
        [(_, outcome)] => Some(format!("{}: not by {}: {outcome:?}", fault.name, fault.case)),
        _ => Some(format!("{}: there is no {}", fault.name, fault.case)),
    }
}

#[tokio::test]
async fn every_fault_is_caught_by_its_case() {
    let played = stream::iter(FAULTS).map(uncaught).buffer_unordered(AT_A_TIME);
    let uncaught: Vec<_> = played.filter_map(async |uncaught| uncaught).collect().await;
    assert!(uncaught.is_empty(), "{} faults:\n{}", uncaught.len(), uncaught.join("\n"));
}

/// What is caught is the fault, and not somebody in the middle.
#[tokio::test]
async fn without_a_fault_the_same_cases_pass() {
    let about: BTreeSet<_> = FAULTS.iter().map(|fault| fault.case).collect();
    let cases: Vec<_> = client_cases().into_iter().filter(|case| about.contains(case.id.as_str())).collect();
    assert_eq!(cases.len(), about.len(), "a fault is about no case");
    let outcomes = play(|_, to, message| pass(to, message), "", &cases).await;
    let told = outcomes.iter().filter(|(_, outcome)| *outcome != Outcome::Passed);
    let told: Vec<_> = told.map(|(case, outcome)| format!("{}: {outcome:?}", case.id)).collect();
    assert!(told.is_empty(), "{} of {} cases:\n{}", told.len(), cases.len(), told.join("\n"));
}
