//! What need not be typed: the file `arcp.toml` and the environment. Which file, and what may be in it, is here; what its table
//! `[serve]` does to the command line is in `settings/serve.rs`.
//!
//! The file is one that the user named, or the one in the user's own configuration directory. It is never looked for where the
//! program happens to be started: whoever can put a file there could have tokens sent to a runtime of theirs.

pub(crate) mod environment;
pub(crate) mod serve;
mod syntax;

use std::collections::BTreeMap;
use std::env::VarError;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;

use self::syntax::parse;
use crate::exit::{self, Failure};
use crate::log::{LogFormat, Voice};
use crate::secrets;

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

    /// The variables that hold tokens, by the file's word.
    fn token_variables(&self) -> impl Iterator<Item = &str> {
        let profiles = self.file.profile.values().map(|profile| &profile.token_env);
        profiles.chain([&self.file.token_env]).flatten().map(String::as_str)
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
            if let Some(warning) = secrets::warning(path) {
                Voice::Command.warn(&warning);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

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
