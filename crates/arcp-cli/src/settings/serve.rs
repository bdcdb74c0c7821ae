//! Options of `arcp serve` that the environment and the file give: `ARCP_SERVE_LISTEN`, or `listen` in `[serve]`, is `--listen`.
//!
//! What was not typed is added to the command line before that is read for good, so that there is one place which knows the options,
//! what they may be and which of them exclude each other. Errors in what was added name the place where it stands.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, ValueHint};
use figment::value::Value;

use super::{Settings, variable};
use crate::exit::Failure;

/// Options that are no settings of a runtime, and the one whose value is a secret that should not be in such a file.
const NOT_IN_FILES: [&str; 2] = ["token", "dev-token"];

/// Options that are added, and where each stands.
#[derive(Default)]
pub(crate) struct Added {
    pub(crate) arguments: Vec<OsString>,
    places: BTreeMap<String, String>,
}

/// What the environment and the file add to a command line of `arcp serve`, of which `typed` is what can be read of it.
///
/// A flag comes before a variable, and that before the file; so does one that excludes another.
pub(crate) fn add(command: &mut Command, typed: &ArgMatches, settings: &Settings) -> Result<Added, Failure> {
    command.build();
    let Some(serve) = command.find_subcommand("serve") else { return Ok(Added::default()) };
    let mut options = options(serve);
    let is_typed = |arg: &Arg| typed.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
    let mut taken: Vec<&Arg> = options.values().copied().filter(|arg| is_typed(arg)).collect();
    let mut added = Added::default();

    let mut found = Vec::new();
    for (long, arg) in &options {
        let name = variable_of(long);
        if let Some(text) = variable(&name)? {
            found.push((*arg, values_of_variable(arg, &text, &name)?, name));
        }
    }
    added.take(serve, &mut taken, found);

    options.retain(|long, _| !NOT_IN_FILES.contains(long));
    let file = settings.name();
    let mut found = BTreeMap::new();
    for (key, value) in &settings.file.serve {
        let long = key.replace('_', "-");
        let Some((long, arg)) = options.get_key_value(long.as_str()) else {
            return Err(unknown(&file, key, &options));
        };
        let place = format!("{file}: serve.{key}");
        let values =
            values_of_file(arg, value, settings).map_err(|why| Failure::usage(format!("{place}: {why}")))?;
        if found.insert(*long, (*arg, values, place)).is_some() {
            return Err(Failure::usage(format!("{file}: serve.{key}: is there twice, as {long} too")));
        }
    }
    added.take(serve, &mut taken, found.into_values().collect());
    Ok(added)
}

/// The options that are settings, by their names.
fn options(serve: &Command) -> BTreeMap<&str, &Arg> {
    let own = |arg: &&Arg| !arg.is_global_set() && !matches!(arg.get_id().as_str(), "help" | "version");
    serve.get_arguments().filter(own).filter_map(|arg| Some((arg.get_long()?, arg))).collect()
}

fn variable_of(long: &str) -> String {
    format!("ARCP_SERVE_{}", long.replace('-', "_").to_uppercase())
}

/// Every variable that sets an option.
pub(super) fn variables(command: &mut Command) -> Vec<String> {
    command.build();
    let serve = command.find_subcommand("serve");
    serve.map(|serve| options(serve).into_keys().map(variable_of).collect()).unwrap_or_default()
}

fn unknown(file: &str, key: &str, options: &BTreeMap<&str, &Arg>) -> Failure {
    let known: Vec<_> = options.keys().copied().collect();
    Failure::usage(match key {
        "token" | "dev-token" | "dev_token" => {
            format!("{file}: serve.{key}: tokens are kept apart from settings: use token-file")
        }
        _ => format!("{file}: serve.{key}: there is no such setting; there are {}", known.join(", ")),
    })
}

/// What a variable says. An option that can be repeated has one value a line.
fn values_of_variable(arg: &Arg, text: &str, name: &str) -> Result<Vec<String>, Failure> {
    match arg.get_action() {
        ArgAction::SetTrue => match text {
            "true" | "1" => Ok(vec![String::new()]),
            "false" | "0" => Ok(Vec::new()),
            _ => Err(Failure::usage(format!("{name}: use true or false"))),
        },
        ArgAction::Append => Ok(text.lines().map(str::to_owned).collect()),
        _ => Ok(vec![text.to_owned()]),
    }
}

/// What the file says.
fn values_of_file(arg: &Arg, value: &Value, settings: &Settings) -> Result<Vec<String>, &'static str> {
    if let ArgAction::SetTrue = arg.get_action() {
        return match value {
            Value::Bool(_, true) => Ok(vec![String::new()]),
            Value::Bool(_, false) => Ok(Vec::new()),
            _ => Err("must be true or false"),
        };
    }
    let one = |value: &Value| match value {
        Value::String(_, text) => Ok(path_of_file(arg, text, settings)),
        Value::Num(..) => {
            let whole = value.to_i128().map(|number| number.to_string());
            let whole = whole.or_else(|| value.to_u128().map(|number| number.to_string()));
            let number = whole.or_else(|| value.to_f64().map(|number| number.to_string()));
            number.ok_or("must be text or a number")
        }
        _ => Err("must be text or a number"),
    };
    match (value, arg.get_action()) {
        (Value::Array(_, values), ArgAction::Append) => values.iter().map(one).collect(),
        (Value::Array(..), _) => Err("must be one value, not a list"),
        (value, _) => one(value).map(|value| vec![value]),
    }
}

/// Paths are relative to the file. A word that the option knows beside paths, such as `memory`, is none.
fn path_of_file(arg: &Arg, text: &str, settings: &Settings) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let word = names.iter().flat_map(|name| name.split('|')).any(|word| word == text);
    if word || arg.get_value_hint() != ValueHint::AnyPath {
        return text.to_owned();
    }
    settings.resolve(Path::new(text)).display().to_string()
}

impl Added {
    /// Adds what is neither there already nor excluded by what is.
    fn take<'a>(
        &mut self,
        serve: &Command,
        taken: &mut Vec<&'a Arg>,
        found: Vec<(&'a Arg, Vec<String>, String)>,
    ) {
        let above = taken.clone();
        for (arg, values, place) in found {
            let excluded = |other: &&Arg| {
                other.get_id() == arg.get_id() || excludes(serve, other, arg) || excludes(serve, arg, other)
            };
            if above.iter().any(excluded) {
                continue;
            }
            let Some(long) = arg.get_long() else { continue };
            taken.push(arg);
            self.places.insert(long.to_owned(), place);
            for value in values {
                let flag = matches!(arg.get_action(), ArgAction::SetTrue);
                self.arguments
                    .push(if flag { format!("--{long}") } else { format!("--{long}={value}") }.into());
            }
        }
    }

    /// What is wrong with the command line, named by the place where that stands, if it was not typed.
    pub(crate) fn explain(&self, error: &clap::Error) -> Option<Failure> {
        let text = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => vec![text.as_str()],
            Some(ContextValue::Strings(texts)) => texts.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let place = |option: &str| {
            let long = option.trim_start_matches("--").split([' ', '=']).next()?;
            self.places.get(long)
        };
        let here = text(ContextKind::InvalidArg).into_iter().find_map(place)?;
        let why = match error.kind() {
            ErrorKind::ArgumentConflict => {
                let others = text(ContextKind::PriorArg);
                let others = others.iter().map(|other| place(other).map_or(*other, String::as_str));
                format!("cannot be used with {}", others.collect::<Vec<_>>().join(", "))
            }
            ErrorKind::InvalidValue if !text(ContextKind::ValidValue).is_empty() => {
                format!("use one of {}", text(ContextKind::ValidValue).join(", "))
            }
            _ => match std::error::Error::source(error) {
                Some(source) => source.to_string(),
                None => error.kind().to_string(),
            },
        };
        Some(Failure::usage(format!("{here}: {why}")))
    }

    /// Where options stand that were added; empty if none were.
    pub(crate) fn places(&self) -> String {
        self.places.values().map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// Whether one option says that it does not go with the other.
fn excludes(serve: &Command, one: &Arg, other: &Arg) -> bool {
    serve.get_arg_conflicts_with(one).iter().any(|excluded| excluded.get_id() == other.get_id())
}
