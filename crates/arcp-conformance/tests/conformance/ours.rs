//! Every case holds for this project's own runtime, and none is left out.

use arcp_conformance::{AT_A_TIME, Outcome, Target, runtime_cases, test_runtime};

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

/// A verdict about the runtime would be one about a mistyped token.
#[tokio::test(start_paused = true)]
async fn a_token_that_opens_no_session_is_said_before_any_case_is_played() {
    let (connector, _calls) = host::start();
    let cases = runtime_cases();
    for (target, whose) in [
        (
            host::target(connector.clone()).other_principal("wrong"),
            "no session of the second principal can be opened",
        ),
        (host::target(connector.clone()).observer("wrong"), "no session of the observer can be opened"),
        (Target::new(connector.clone(), "wrong"), "no session can be opened"),
    ] {
        let untestable = test_runtime(&target, &cases, 1, |_, _| ()).await.unwrap_err().to_string();
        assert!(untestable.starts_with(whose) && untestable.contains("UNAUTHENTICATED"), "{untestable}");
    }
}
