//! Every case holds for this project's own runtime, and none is left out.

use arcp_conformance::{AT_A_TIME, Outcome, runtime_cases, test_runtime};

use crate::host;

#[tokio::test(start_paused = true)]
async fn the_runtime_passes_every_case() {
    let only = std::env::var("ARCP_CASE").ok();
    let cases: Vec<_> = runtime_cases()
        .into_iter()
        .filter(|case| only.as_ref().is_none_or(|only| case.id.starts_with(only)))
        .collect();
    let (connector, _calls) = host::start();
    let run = test_runtime(&host::target(connector), &cases, AT_A_TIME, |_, _| ()).await.unwrap();
    let told = run.outcomes.iter().filter_map(|(case, outcome)| match outcome {
        Outcome::Passed => None,
        Outcome::Failed(failure) => Some(format!("{} {}\n{failure}", case.id, case.title)),
        Outcome::NotRun(why) => Some(format!("{} {}: not run, {why}", case.id, case.title)),
    });
    let told: Vec<_> = told.collect();
    assert!(told.is_empty(), "{} of {} cases:\n{}", told.len(), cases.len(), told.join("\n"));
}
