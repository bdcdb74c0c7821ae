//! Each fault of a runtime is caught by the case that is about it, which the same runtime without the fault passes (`ours.rs`).

use arcp_conformance::{AT_A_TIME, Outcome, runtime_cases, test_runtime};

use crate::faults::{FAULTS, Fault};
use crate::host;
use crate::tap::Tapped;

/// The cases that a runtime with this fault fails, among these.
async fn failed(fault: &'static Fault, only: impl Fn(&str) -> bool) -> Vec<String> {
    let cases: Vec<_> = runtime_cases().into_iter().filter(|case| only(&case.id)).collect();
    let (connector, _calls) = host::start();
    let target = host::target(Tapped::new(connector, fault));
    match test_runtime(&target, &cases, AT_A_TIME, |_, _| ()).await {
        Ok(run) => {
            let outcomes = run.outcomes.into_iter();
            let failed = outcomes.filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_)));
            failed.map(|(case, _)| case.id).collect()
        }
        Err(untestable) => panic!("{}: {untestable}", fault.name),
    }
}

#[tokio::test(start_paused = true)]
async fn every_fault_is_caught_by_its_case() {
    let mut uncaught = Vec::new();
    for fault in FAULTS {
        if failed(fault, |id| id == fault.case).await != [fault.case] {
            let by = failed(fault, |_| true).await;
            uncaught.push(format!("{}: not by {:?}, but by {}", fault.name, fault.case, by.join(" ")));
        }
    }
    assert!(uncaught.is_empty(), "{} faults:\n{}", uncaught.len(), uncaught.join("\n"));
}
