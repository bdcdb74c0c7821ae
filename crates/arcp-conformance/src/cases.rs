//! The cases that come with this crate.

use crate::case::{Case, read};

/// The files of cases for runtimes, in the order of their sections.
const RUNTIME: &[(&str, &str)] = &[
    ("04-transport.yaml", include_str!("../cases/runtime/04-transport.yaml")),
    ("05-wire-format.yaml", include_str!("../cases/runtime/05-wire-format.yaml")),
    ("06-sessions.yaml", include_str!("../cases/runtime/06-sessions.yaml")),
    ("07-jobs.yaml", include_str!("../cases/runtime/07-jobs.yaml")),
    ("08-events.yaml", include_str!("../cases/runtime/08-events.yaml")),
    ("09-leases.yaml", include_str!("../cases/runtime/09-leases.yaml")),
    ("10-delegation.yaml", include_str!("../cases/runtime/10-delegation.yaml")),
    ("11-traces.yaml", include_str!("../cases/runtime/11-traces.yaml")),
    ("12-errors.yaml", include_str!("../cases/runtime/12-errors.yaml")),
    ("14-security.yaml", include_str!("../cases/runtime/14-security.yaml")),
];

/// The files of cases for clients.
const CLIENT: &[(&str, &str)] = &[
    ("sessions.yaml", include_str!("../cases/client/sessions.yaml")),
    ("jobs.yaml", include_str!("../cases/client/jobs.yaml")),
];

/// The cases for runtimes.
///
/// # Panics
/// Never in a build that passed its tests, which read them all.
pub fn runtime_cases() -> Vec<Case> {
    all(RUNTIME)
}

/// The cases for clients.
///
/// # Panics
/// Never in a build that passed its tests, which read them all.
pub fn client_cases() -> Vec<Case> {
    all(CLIENT)
}

fn all(files: &[(&str, &str)]) -> Vec<Case> {
    let cases = files.iter().map(|(name, text)| read(name, text).unwrap_or_else(|error| panic!("{error}")));
    cases.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_case_has_a_number_of_its_section_and_steps() {
        for cases in [runtime_cases(), client_cases()] {
            let mut seen = BTreeSet::new();
            for case in &cases {
                assert!(seen.insert(case.id.clone()), "{} is there twice", case.id);
                let (section, number) = case.id.rsplit_once('-').unwrap();
                let section = section.strip_prefix("client-").unwrap_or(section);
                assert_eq!(format!("§{section}"), case.section, "{}", case.id);
                let mut sections: BTreeSet<_> = case.also.iter().collect();
                assert!(
                    sections.insert(&case.section) && sections.len() == case.also.len() + 1,
                    "{}",
                    case.id
                );
                assert!(number.len() == 2 && number.parse::<u8>().is_ok(), "{}", case.id);
                assert!(!case.steps.is_empty() && !case.title.ends_with('.'), "{}", case.id);
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_case_is_named() {
        let text = "section: '6.2'\ncases:\n  - {id: x-01, title: x, steps: [{hello: {}}, {dances: {}}]}\n";
        let error = read("file.yaml", text).unwrap_err().to_string();
        assert_eq!(error, "file.yaml: case x-01, step 2: dances: there is no such thing to do");
    }
}
