//! Runs as texts: Markdown for people, JSON and JUnit for programs. None of them shows a secret.

use std::collections::BTreeMap;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};

use crate::case::Level;
use crate::player::Outcome;
use crate::suite::Run;

/// One line that sums a run up.
pub fn summary(run: &Run) -> String {
    let parts = Level::ALL.into_iter().map(|level| {
        let counts = run.counts(|case| case.level == level);
        format!("{level} {} of {}", counts.passed, counts.passed + counts.failed)
    });
    let not_run = run.counts(|_| true).not_run;
    format!("{}: {}; {not_run} not run", run.peer, parts.collect::<Vec<_>>().join(", "))
}

/// A page for people: the sums, what failed and why, and every case with its outcome, one column a run. The runs are of the same cases.
pub fn markdown(runs: &[(&str, &Run)]) -> String {
    let mut out = String::new();
    let heads: Vec<_> = runs.iter().map(|(name, _)| cell(name)).collect();
    out.push_str(&format!("| | {} |\n| --- |{}\n", heads.join(" | "), " --- |".repeat(runs.len())));
    for level in Level::ALL {
        let cells = runs.iter().map(|(_, run)| {
            let counts = run.counts(|case| case.level == level);
            format!("{} of {}", counts.passed, counts.passed + counts.failed)
        });
        out.push_str(&format!("| {level} | {} |\n", cells.collect::<Vec<_>>().join(" | ")));
    }
    let cells = runs.iter().map(|(_, run)| run.counts(|_| true).not_run.to_string());
    out.push_str(&format!("| not run | {} |\n", cells.collect::<Vec<_>>().join(" | ")));
    for (name, run) in runs {
        for (case, failure) in run.failures() {
            out.push_str(&format!("\n### {name}: {} {}\n\n```text\n{failure}\n```\n", case.id, case.title));
        }
    }
    let Some((_, first)) = runs.first() else { return out };
    let mut section = "";
    let mut reasons: Vec<String> = Vec::new();
    for (index, (case, _)) in first.outcomes.iter().enumerate() {
        if case.section != section {
            section = &case.section;
            out.push_str(&format!("\n### {section}\n\n| case | | | {} |\n", heads.join(" | ")));
            out.push_str(&format!("| --- | --- | --- |{}\n", " --- |".repeat(runs.len())));
        }
        let cells = runs.iter().map(|(_, run)| match run.outcomes.get(index).map(|(_, outcome)| outcome) {
            Some(Outcome::Passed) => "passed".to_owned(),
            Some(Outcome::Failed(_)) => "**failed**".to_owned(),
            Some(Outcome::NotRun(why)) => format!("– ({})", note(&mut reasons, why)),
            None => String::new(),
        });
        let cells = cells.collect::<Vec<_>>().join(" | ");
        let also = if case.also.is_empty() { String::new() } else { format!(" ({})", case.also.join(", ")) };
        out.push_str(&format!("| {} | {} | {}{also} | {cells} |\n", case.id, case.level, cell(&case.title)));
    }
    if !reasons.is_empty() {
        out.push_str("\n### Not run\n\n");
        for (index, why) in reasons.iter().enumerate() {
            out.push_str(&format!("{}. {why}\n", index + 1));
        }
    }
    out
}

/// The number of a reason, which is listed once.
fn note(reasons: &mut Vec<String>, why: &str) -> usize {
    let known = reasons.iter().position(|reason| reason == why);
    known.unwrap_or_else(|| {
        reasons.push(why.to_owned());
        reasons.len() - 1
    }) + 1
}

/// A text within a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A run as JSON: `peer`, `counts` by level, and `cases`, each with its `section`, the others that ask for the same as `also`, its
/// `outcome` (`passed`, `failed` or `not_run`) and, where it did not pass, why.
pub fn json(run: &Run) -> Value {
    let counts: BTreeMap<_, _> = Level::ALL
        .into_iter()
        .map(|level| (level.to_string(), run.counts(|case| case.level == level)))
        .collect();
    let cases = run.outcomes.iter().map(|(case, outcome)| {
        let mut entry = json!({
            "id": case.id, "section": case.section, "also": case.also, "level": case.level, "title": case.title, "outcome": word(outcome),
        });
        match outcome {
            Outcome::Passed => {}
            Outcome::Failed(failure) => entry["failure"] = json!(failure),
            Outcome::NotRun(why) => entry["reason"] = json!(why),
        }
        entry
    });
    json!({"peer": run.peer, "counts": counts, "cases": cases.collect::<Vec<_>>()})
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Failed(_) => "failed",
        Outcome::NotRun(_) => "not_run",
    }
}

/// A run as JUnit XML: a suite for each section.
///
/// # Errors
/// When the XML cannot be written, which texts without control characters do not cause.
pub fn junit(run: &Run) -> Result<String, quick_junit::SerializeError> {
    let mut report = Report::new("ARCP conformance");
    let mut suites: BTreeMap<&str, TestSuite> = BTreeMap::new();
    for (case, outcome) in &run.outcomes {
        let status = match outcome {
            Outcome::Passed => TestCaseStatus::success(),
            Outcome::Failed(failure) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(format!("due: {}", failure.due)).set_description(failure.to_string());
                status
            }
            Outcome::NotRun(why) => {
                let mut status = TestCaseStatus::skipped();
                status.set_message(why.as_str());
                status
            }
        };
        let mut test = TestCase::new(format!("{} {}", case.id, case.title), status);
        test.set_classname(case.section.as_str());
        suites
            .entry(&case.section)
            .or_insert_with(|| TestSuite::new(case.section.as_str()))
            .add_test_case(test);
    }
    report.add_test_suites(suites.into_values());
    report.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    #[test]
    fn a_name_with_a_bar_is_one_cell() {
        let case =
            read("f", "section: '5'\ncases: [{id: 5-01, title: x, steps: [{drops: }]}]").unwrap().remove(0);
        let run = Run { peer: "a|b".to_owned(), outcomes: vec![(case, Outcome::Passed)] };
        let page = markdown(&[(&run.peer, &run)]);
        assert_eq!(page.lines().next(), Some(r"| | a\|b |"));
    }

    #[test]
    fn every_section_that_asks_for_it_is_told() {
        let text = "section: '5'\ncases: [{id: 5-01, title: x, also: ['6.1', '14'], steps: [{drops: }]}]";
        let case = read("f", text).unwrap().remove(0);
        assert_eq!(case.sections(), "§5, §6.1, §14");
        let run = Run { peer: "a".to_owned(), outcomes: vec![(case, Outcome::Passed)] };
        assert!(markdown(&[("a", &run)]).contains("\n| 5-01 | MUST | x (§6.1, §14) | passed |\n"));
        assert_eq!(json(&run)["cases"][0]["also"], serde_json::json!(["§6.1", "§14"]));
    }
}
