//! Variables that look like ours and are none: somebody has meant another one. What variables mean is where they are read.

use std::collections::BTreeSet;

use clap::Command;

use super::{Settings, serve};
use crate::plain::one_line;

/// What begins so is ours.
const PREFIX: &str = "ARCP_";

/// All that are read, but for those of `arcp serve`, which are made of its options.
const KNOWN: [&str; 12] = [
    "ARCP_CA",
    "ARCP_CLIENT_CERT",
    "ARCP_CLIENT_KEY",
    "ARCP_CONFIG",
    "ARCP_LITELLM_KEY",
    "ARCP_LOG",
    "ARCP_LOG_FORMAT",
    "ARCP_PROFILE",
    "ARCP_TOKEN",
    "ARCP_TOKEN_B",
    "ARCP_TOKEN_OBSERVER",
    "ARCP_URL",
];

/// One line for each variable of the environment that nobody reads.
pub(crate) fn unknown(command: &mut Command, settings: &Settings) -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let strays: BTreeSet<String> = names.filter(|name| name.starts_with(PREFIX)).collect();
    if strays.iter().all(|name| KNOWN.contains(&name.as_str())) {
        return Vec::new(); // the rest is some work
    }
    let mut known: BTreeSet<String> = KNOWN.iter().map(ToString::to_string).collect();
    known.extend(serve::variables(command));
    known.extend(settings.token_variables().map(str::to_owned));
    strays.difference(&known).map(|name| warning(name, &known)).collect()
}

/// What is said of a variable. Its value may be a secret, and is not looked at.
fn warning(name: &str, known: &BTreeSet<String>) -> String {
    let rest = |name: &str| name.trim_start_matches(PREFIX).to_uppercase();
    let wanted = rest(name);
    let nearest = known.iter().map(|known| (strsim::osa_distance(&wanted, &rest(known)), known)).min();
    let name = one_line(name);
    match nearest {
        Some((distance, known)) if distance * 3 <= wanted.len() => {
            format!("the variable {name} is not read: is {known} meant?")
        }
        _ => format!("the variable {name} is not read by this program"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_named_if_it_is_near() {
        let mut command = <crate::Arguments as clap::CommandFactory>::command();
        let mut known: BTreeSet<String> = KNOWN.iter().map(ToString::to_string).collect();
        known.extend(serve::variables(&mut command));
        for (name, due) in [
            ("ARCP_TOEKN", "is ARCP_TOKEN meant?"),
            ("ARCP_TOKENS", "is ARCP_TOKEN meant?"),
            ("ARCP_Url", "is ARCP_URL meant?"),
            ("ARCP_SERVE_LISTNE", "is ARCP_SERVE_LISTEN meant?"),
            ("ARCP_SERVE_TOKENFILE", "is ARCP_SERVE_TOKEN_FILE meant?"),
            ("ARCP_SERVE_BUFFER_SIZE", "is ARCP_SERVE_BUFFER_BYTES meant?"),
            ("ARCP_ZZZZZZ", "by this program"),
        ] {
            let said = warning(name, &known);
            assert!(said.starts_with(&format!("the variable {name} is not read")), "{said}");
            assert!(said.ends_with(due), "{said}");
        }
    }

    #[test]
    fn every_variable_that_help_names_is_known() {
        let mut command = <crate::Arguments as clap::CommandFactory>::command();
        command.build();
        let known: BTreeSet<String> =
            KNOWN.iter().map(ToString::to_string).chain(serve::variables(&mut command)).collect();
        let mut named = BTreeSet::new();
        for command in std::iter::once(&command).chain(command.get_subcommands()) {
            let help = command.clone().render_long_help().to_string();
            let words = help.split(|c: char| !c.is_ascii_uppercase() && c != '_').map(str::to_owned);
            named.extend(words.filter(|word| word.starts_with(PREFIX)));
        }
        assert!(named.len() > 10, "{named:?}");
        let strangers: Vec<_> = named.difference(&known).collect();
        assert!(strangers.is_empty(), "{strangers:?}");
    }

    #[test]
    fn the_page_of_settings_names_every_variable() {
        let page = include_str!("../../../../docs/settings.md");
        for name in KNOWN {
            assert!(page.contains(&format!("`{name}`")), "{name}");
        }
    }
}
