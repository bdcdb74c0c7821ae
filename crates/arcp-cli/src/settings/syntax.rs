//! What is wrong with the text of `arcp.toml`. Somebody may have put a token there: places and our own words are said, and never
//! what stands there.

use figment::Figment;
use figment::error::{Actual, Kind};
use figment::providers::{Format, Toml};

use super::File;

/// The settings in a text, or where it is wrong, and what is allowed.
pub(super) fn parse(text: &str) -> Result<File, String> {
    if let Err(error) = toml::from_str::<toml::Table>(text) {
        return Err(no_toml(text, &error));
    }
    Figment::from(Toml::string(text)).extract::<File>().map_err(|error| wrong(&error))
}

/// Which line and column is none of TOML, and what was due there.
fn no_toml(text: &str, error: &toml::de::Error) -> String {
    let due = match error.message() {
        said if said.starts_with("duplicate key") => "this key is there twice".to_owned(),
        // What else names something in backquotes that is longer than a sign tells what was written.
        said if said.split('`').skip(1).step_by(2).any(|quoted| quoted.len() > 3) => "not TOML".to_owned(),
        said => said.lines().collect::<Vec<_>>().join(", "),
    };
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else { return due };
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("line {line}, column {column}: {due}")
}

/// Which key is wrong, and what it may be.
fn wrong(error: &figment::Error) -> String {
    let key = |last: Option<&str>| {
        let parts = error.path.iter().map(String::as_str).chain(last);
        parts.collect::<Vec<_>>().join(".")
    };
    let said = match &error.kind {
        Kind::UnknownField(field, known) => {
            let path = if error.path.last() == Some(field) { key(None) } else { key(Some(field)) };
            return format!("{path}: there is no such setting; there are {}", known.join(", "));
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            format!("must be {expected}, and is {}", kind_of(found))
        }
        Kind::UnknownVariant(_, known) => format!("use one of {}", known.join(", ")),
        Kind::DuplicateField(field) => format!("{field} is there twice, with - and with _"),
        _ => "cannot be this".to_owned(),
    };
    match key(None) {
        path if path.is_empty() => said,
        path => format!("{path}: {said}"),
    }
}

/// What a value is, without the value.
fn kind_of(found: &Actual) -> &'static str {
    match found {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) | Actual::Float(_) => "a number",
        Actual::Char(_) | Actual::Str(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err()
    }

    #[test]
    fn a_wrong_key_is_named_with_those_that_there_are() {
        let top = error("urll = 'ws://a'");
        assert!(top.starts_with("urll: there is no such setting; there are url, "), "{top}");
        let inner = error("[profile.a]\nurl = 'ws://a'\ntoken = 's'");
        assert!(
            inner.starts_with("profile.a.token: there is no such setting; there are url, token-file"),
            "{inner}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_by_its_key_with_what_is_allowed() {
        assert_eq!(error("url = 3"), "url: must be a string, and is a number");
        assert_eq!(error("log-format = 'xml'"), "log-format: use one of pretty, json");
        assert_eq!(error("profile = 'canary'"), "profile: must be a map, and is text");
        let table = error("[profile]\na = 3");
        assert!(table.starts_with("profile.a: must be ") && table.ends_with("and is a number"), "{table}");
        let twice = error("token-file = 'a'\ntoken_file = 'b'");
        assert!(twice.contains("is there twice"), "{twice}");
    }

    #[test]
    fn what_is_no_toml_is_said_with_its_place() {
        let due = [
            ("url = \nlog = 'x'", "line 1, column 7: "),
            ("log = 'x'\n\n  token-file = canary\n", "line 3, column 16: "),
            ("url = 'ws://ä\n", "line 1, column 14: "),
            ("canary=alice\n", "line 1, column 8: "),
            ("a = 1\na = 2\n", "line 2, column 1: this key is there"),
        ];
        for (text, due) in due {
            let said = error(text);
            assert!(
                said.starts_with(due) && said.len() > due.len() && !said.contains('\n'),
                "{text}: {said}"
            );
        }
    }

    /// However it is wrong.
    #[test]
    fn no_error_repeats_what_stands_in_the_file() {
        let lines = [
            "token-env = canary",
            "token-env = \"canary",
            "token-env = 'canary\n",
            "token-env = '''canary",
            "token-env = \"canary\\q\"",
            "token-env = \"\\ucanary\"",
            "token-env = [\"canary\"",
            "token-env = [\"canary\"]",
            "token-env = { canary = 1",
            "token-env = { a = 'canary' }",
            "token-env = 'canary' 'canary'",
            "token-env = 0xcanary",
            "token-env = 1canary",
            "token-env = 1979-05-27canary",
            "token-env 'canary'",
            "canary",
            "canary=me",
            "[canary",
            "[[canary]",
            "canary = 1\ncanary = 2",
            "canary = 1\n[canary]",
            "canary.a = 1\ncanary = 2",
            "a = 1\na.canary = 2",
            "[a]\n[a]\n# canary",
            "profile = 'canary'",
            "profile.a = 'canary'",
            "log-format = 'canary'",
            "serve = 'canary'",
            "url = ['canary']",
            "url = { a = 'canary' }",
            "= canary",
            "\u{1}canary",
        ];
        for line in lines {
            let said = error(line);
            assert!(!said.contains("canary"), "{line:?}: {said}");
        }
    }
}
