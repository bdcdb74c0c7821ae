//! What need not be typed: the file `arcp.toml` and the environment. Which file, and what may be in it, is here; what its table
//! `[serve]` does to the command line is in `settings/serve.rs`.
//!
//! The file is one that the user named, or the one in the user's own configuration directory. It is never looked for where the
//! program happens to be started: whoever can put a file there could have tokens sent to a runtime of theirs.

pub(crate) mod serve;

use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use figment::Figment;
use figment::error::Kind;
use figment::providers::{Format, Toml};
use serde::Deserialize;

use crate::exit::{self, Failure};
use crate::log::LogFormat;

/// Which file, if not the user's own; empty for none.
pub(crate) const CONFIG: &str = "ARCP_CONFIG";

/// What the file has, or nothing if there is none.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    path: Option<PathBuf>,
    file: File,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct File {
    url: Option<String>,
    #[serde(alias = "token_file")]
    token_file: Option<PathBuf>,
    #[serde(alias = "token_env")]
    token_env: Option<String>,
    log: Option<String>,
    #[serde(alias = "log_format")]
    log_format: Option<LogFormat>,
    profile: BTreeMap<String, Profile>,
    serve: BTreeMap<String, figment::value::Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Profile {
    url: Option<String>,
    #[serde(alias = "token_file")]
    token_file: Option<PathBuf>,
    #[serde(alias = "token_env")]
    token_env: Option<String>,
}

/// A runtime as the file has it: its url, and where the token for it is.
#[derive(Debug, Default)]
pub(crate) struct Place<'a> {
    pub(crate) url: Option<String>,
    token_file: Option<PathBuf>,
    token_env: Option<&'a str>,
    name: String,
}

impl Settings {
    /// Reads the file that was named, by the flag or else by the variable, or the user's own if that is there.
    pub(crate) fn load(named: Option<&Path>) -> Result<Self, Failure> {
        let path = match (named, std::env::var_os(CONFIG)) {
            (Some(path), _) => Some(path.to_owned()),
            (None, Some(path)) if path.is_empty() => None,
            (None, Some(path)) => Some(PathBuf::from(path)),
            (None, None) => {
                let dirs = directories::ProjectDirs::from("", "", "arcp");
                dirs.map(|dirs| dirs.config_dir().join("arcp.toml")).filter(|path| path.exists())
            }
        };
        match path {
            None => Ok(Self::default()),
            Some(path) => {
                let text = std::fs::read_to_string(&path);
                let text = text.with_context(|| format!("cannot read {}", path.display()));
                let text = text.map_err(|error| Failure::new(exit::USAGE, error))?;
                let file =
                    parse(&text).map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
                Ok(Self { path: Some(path), file })
            }
        }
    }

    pub(crate) fn log(&self) -> Option<&str> {
        self.file.log.as_deref()
    }

    pub(crate) fn log_format(&self) -> Option<LogFormat> {
        self.file.log_format
    }

    /// The file, as errors name it.
    pub(crate) fn name(&self) -> String {
        self.path.as_deref().map_or_else(|| "arcp.toml".to_owned(), |path| path.display().to_string())
    }

    /// A path in the file: if it is relative, it is so to the directory of the file.
    fn resolve(&self, path: &Path) -> PathBuf {
        match self.path.as_deref().and_then(Path::parent) {
            Some(directory) => directory.join(path),
            None => path.to_owned(),
        }
    }

    /// The runtime of a profile, or the one at the top of the file. They have nothing of each other: a token of one runtime is
    /// not for another.
    pub(crate) fn place(&self, profile: Option<&str>) -> Result<Place<'_>, Failure> {
        let file = &self.file;
        let (url, token_file, token_env, name) = match profile {
            None => (&file.url, &file.token_file, &file.token_env, self.name()),
            Some(name) => match file.profile.get(name) {
                Some(Profile { url, token_file, token_env }) => {
                    (url, token_file, token_env, format!("profile {name} of {}", self.name()))
                }
                None => return Err(self.no_profile(name)),
            },
        };
        if token_file.is_some() && token_env.is_some() {
            return Err(Failure::usage(format!("{name}: token-file and token-env: use one of them")));
        }
        let token_file = token_file.as_deref().map(|path| self.resolve(path));
        Ok(Place { url: url.clone(), token_file, token_env: token_env.as_deref(), name })
    }

    fn no_profile(&self, name: &str) -> Failure {
        let known: Vec<_> = self.file.profile.keys().map(String::as_str).collect();
        Failure::usage(match (&self.path, known.is_empty()) {
            (None, _) => {
                format!("profile {name}: there is no arcp.toml: give --config FILE, or write {}", own_path())
            }
            (_, true) => format!("{}: there is no profile {name}; add a table [profile.{name}]", self.name()),
            (_, false) => {
                format!("{}: there is no profile {name}; there are {}", self.name(), known.join(", "))
            }
        })
    }
}

/// Where the user's own file would be.
fn own_path() -> String {
    let dirs = directories::ProjectDirs::from("", "", "arcp");
    dirs.map_or_else(
        || "arcp.toml".to_owned(),
        |dirs| dirs.config_dir().join("arcp.toml").display().to_string(),
    )
}

impl Place<'_> {
    pub(crate) fn has_token(&self) -> bool {
        self.token_file.is_some() || self.token_env.is_some()
    }

    pub(crate) fn token(&self) -> Result<Option<String>, Failure> {
        if let Some(path) = &self.token_file {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("{self}: token-file: cannot read {}", path.display()));
            let text = text.map_err(|error| Failure::new(exit::USAGE, error))?;
            return match text.trim() {
                "" => Err(Failure::usage(format!("{self}: token-file: {} is empty", path.display()))),
                token => Ok(Some(token.to_owned())),
            };
        }
        let Some(name) = self.token_env else { return Ok(None) };
        match variable(name)? {
            Some(token) => Ok(Some(token)),
            None => Err(Failure::usage(format!("{self}: token-env: the variable {name} is not set"))),
        }
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// A variable of the environment; one that is empty is not set.
pub(crate) fn variable(name: &str) -> Result<Option<String>, Failure> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::usage(format!("{name}: not UTF-8"))),
    }
}

/// The text of a file, or which key of it is wrong, and what is allowed.
fn parse(text: &str) -> Result<File, String> {
    let error = match Figment::from(Toml::string(text)).extract::<File>() {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    let key = |last: Option<&str>| {
        let parts = error.path.iter().map(String::as_str).chain(last);
        parts.collect::<Vec<_>>().join(".")
    };
    Err(match &error.kind {
        Kind::UnknownField(field, known) => {
            let path = if error.path.last() == Some(field) { key(None) } else { key(Some(field)) };
            format!("{path}: there is no such setting; there are {}", known.join(", "))
        }
        Kind::Message(message) if error.path.is_empty() => message.trim_end().to_owned(),
        kind => format!("{}: {kind}", key(None)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_key_is_named_with_those_that_there_are() {
        let wrong = |text: &str| parse(text).unwrap_err();
        let top = wrong("urll = 'ws://a'");
        assert!(top.starts_with("urll: there is no such setting; there are url, "), "{top}");
        let inner = wrong("[profile.a]\nurl = 'ws://a'\ntoken = 's'");
        assert!(
            inner.starts_with("profile.a.token: there is no such setting; there are url, token-file"),
            "{inner}"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_what_is_allowed() {
        let wrong = |text: &str| parse(text).unwrap_err();
        let number = wrong("url = 3");
        assert!(number.starts_with("url: ") && number.contains("string"), "{number}");
        let word = wrong("log-format = 'xml'");
        assert!(
            word.starts_with("log-format: ") && word.contains("pretty") && word.contains("json"),
            "{word}"
        );
        let table = wrong("[profile]\na = 3");
        assert!(table.starts_with("profile.a: "), "{table}");
    }

    #[test]
    fn what_is_no_toml_is_said_to_be_none() {
        let error = parse("url = \nlog = 'x'").unwrap_err();
        assert!(error.contains("line 1"), "{error}");
    }

    #[test]
    fn the_file_in_the_documentation_is_one() {
        let page = include_str!("../../../docs/settings.md");
        let text = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let settings = Settings { path: Some("there/arcp.toml".into()), file: parse(text).unwrap() };
        assert!(settings.place(Some("here")).unwrap().has_token() && settings.log_format().is_some());
        let mut command = <crate::Arguments as clap::CommandFactory>::command();
        let typed = command.clone().try_get_matches_from(["arcp", "serve"]).unwrap();
        let added = serve::add(&mut command, typed.subcommand().unwrap().1, &settings).unwrap();
        let added: Vec<_> = added.arguments.iter().map(|argument| argument.to_str().unwrap()).collect();
        let due = [
            "--fixtures",
            "--listen=127.0.0.1:7777",
            "--observe=operator=alice",
            "--observe=operator=bob",
            "--resume-window=900",
            "--store=there/arcp.db",
            "--token-file=there/tokens",
        ];
        assert_eq!(added, due);
    }

    #[test]
    fn profiles_have_nothing_of_each_other() {
        let file = parse("url = 'ws://a'\ntoken-env = 'A'\n[profile.b]\nurl = 'ws://b'").unwrap();
        let settings = Settings { path: None, file };
        assert!(settings.place(None).unwrap().has_token());
        assert!(!settings.place(Some("b")).unwrap().has_token());
    }
}
