//! Each fault of a runtime is caught by the case that is about it, which the same runtime without the fault passes (`ours.rs`).

use std::sync::{Arc, Mutex};

use arcp_conformance::{AT_A_TIME, Outcome, runtime_cases, test_runtime};
use arcp_transport::memory::{MemoryConnector, pair};
use arcp_transport::{BoxFuture, BoxTransport, ConnectError, Connector};

use crate::faults::{FAULTS, Fault};
use crate::host;
use crate::tap::{Change, Known, carry};

/// Connects to a runtime, through a fault.
struct Tapped {
    inner: MemoryConnector,
    change: Change,
    known: Arc<Mutex<Known>>,
}

impl Connector for Tapped {
    fn connect(&self) -> BoxFuture<'_, Result<BoxTransport, ConnectError>> {
        Box::pin(async {
            let far = self.inner.connect().await?;
            let (near, middle) = pair(64);
            tokio::spawn(carry(Box::pin(middle), far, None, self.change, self.known.clone()));
            Ok(Box::pin(near) as BoxTransport)
        })
    }
}

/// The cases that a runtime with this fault fails, among these.
async fn failed(fault: &'static Fault, only: impl Fn(&str) -> bool) -> Vec<String> {
    let cases: Vec<_> = runtime_cases().into_iter().filter(|case| only(&case.id)).collect();
    let (connector, _calls) = host::start();
    let known = Arc::<Mutex<Known>>::default();
    let tapped = Tapped { inner: connector, change: fault.change, known: Arc::clone(&known) };
    let run = test_runtime(&host::target(tapped), &cases, AT_A_TIME, |_, _| ()).await;
    assert!(!known.is_poisoned(), "{}: the fault has failed itself", fault.name);
    match run {
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
