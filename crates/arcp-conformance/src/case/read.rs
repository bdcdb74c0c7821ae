//! Reading cases from YAML. A file is `section`, `level` and `needs`, which hold for its cases if they do not say otherwise, and
//! `cases`. A step is a mapping of what is done, `hello` or `b hello`, to how, with `within` and `named` beside it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Action, Case, Hello, Level, Need, Resumes, Run, Step, Wait};

/// A file of cases that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct BadCase {
    place: String,
    problem: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    section: String,
    #[serde(default = "must")]
    level: Level,
    #[serde(default)]
    needs: Vec<String>,
    cases: Vec<Written>,
}

fn must() -> Level {
    Level::Must
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    id: String,
    title: String,
    section: Option<String>,
    #[serde(default)]
    also: Vec<String>,
    level: Option<Level>,
    #[serde(default)]
    needs: Vec<String>,
    steps: Vec<Map<String, Value>>,
}

/// The cases of one file.
///
/// # Errors
/// What is wrong, and in which case and step.
pub fn read(name: &str, text: &str) -> Result<Vec<Case>, BadCase> {
    let bad = |place: String, problem: String| BadCase { place, problem };
    let file: File = serde_saphyr::from_str(text).map_err(|error| bad(name.to_owned(), error.to_string()))?;
    let mut cases = Vec::new();
    for written in file.cases {
        let place = |step: usize| format!("{name}: case {}, step {step}", written.id);
        let needs = file.needs.iter().chain(&written.needs).map(|word| need(word)).collect();
        let steps = written.steps.into_iter().enumerate();
        let steps = steps
            .map(|(number, step)| self::step(step).map_err(|problem| bad(place(number + 1), problem)))
            .collect::<Result<Vec<_>, _>>()?;
        cases.push(Case {
            section: format!("§{}", written.section.as_ref().unwrap_or(&file.section)),
            also: written.also.iter().map(|section| format!("§{section}")).collect(),
            level: written.level.unwrap_or(file.level),
            title: written.title,
            needs,
            steps,
            id: written.id,
        });
    }
    Ok(cases)
}

fn need(word: &str) -> Need {
    match word.split_once(' ') {
        Some(("feature", name)) => Need::Feature(name.to_owned()),
        Some(("command", name)) => Need::Command(name.to_owned()),
        _ if word == "principals" => Need::OtherPrincipal,
        _ if word == "observer" => Need::Observer,
        _ if word == "connections" => Need::Connections,
        Some(("binary", "frames")) => Need::BinaryFrames,
        _ => Need::Agent(word.to_owned()),
    }
}

fn step(mut written: Map<String, Value>) -> Result<Step, String> {
    let text = Value::Object(written.clone()).to_string();
    let within = written.remove("within").map(|value| value.as_f64().ok_or("within: not a number"));
    let within = within.transpose()?;
    let named = written.remove("named");
    let mut entries = written.into_iter();
    let (Some((words, how)), None) = (entries.next(), entries.next()) else {
        return Err("a step is one thing that is done".to_owned());
    };
    let (who, verb) = words.split_once(' ').unwrap_or(("a", &words));
    let named = match (named, verb) {
        (None, _) => "job".to_owned(),
        (Some(Value::String(name)), "submits" | "takes_job") => name,
        (Some(_), _) => return Err("`named` is the name of a job".to_owned()),
    };
    let action = action(verb, how, named).map_err(|problem| format!("{verb}: {problem}"))?;
    Ok(Step { who: who.to_owned(), action, within, text })
}

fn action(verb: &str, how: Value, named: String) -> Result<Action, String> {
    Ok(match verb {
        "hello" => Action::Hello(given::<Option<Hello>>(how)?.unwrap_or_default()),
        "resumes" => Action::Resumes(given::<Option<Resumes>>(how)?.unwrap_or_default()),
        "submits" => Action::Submits(how, named),
        "sends" => Action::Sends(how),
        "sends_text" => Action::SendsText(how),
        "sends_bytes" => Action::SendsBytes(how),
        "gets" => Action::Gets(how),
        "eventually_gets" => Action::EventuallyGets(how),
        "sees" => Action::Sees(how),
        "has_got" => Action::HasGot(how),
        "never_got" => Action::NeverGot(how),
        "got" => Action::Got(given(how)?),
        "got_in_order" => Action::GotInOrder(given(how)?),
        "each_got" => Action::EachGot(given(how)?),
        "rises" => Action::Rises(given(how)?),
        "numbers_are_contiguous" => nothing(&how, Action::NumbersAreContiguous)?,
        "ids_are_unique" => nothing(&how, Action::IdsAreUnique)?,
        "repeats_are_alike" => nothing(&how, Action::RepeatsAreAlike)?,
        "syncs" => nothing(&how, Action::Syncs)?,
        "drops" => nothing(&how, Action::Drops)?,
        "connects" => nothing(&how, Action::Connects)?,
        "is_closed" => Action::IsClosed(how),
        "waits" => Action::Waits(given::<Wait>(how)?),
        "sets" => Action::Sets(how),
        "runs" => Action::Runs(given::<Run>(how)?),
        "interrupts" => nothing(&how, Action::Interrupts)?,
        "accepts" => Action::Accepts(how),
        "accepts_resume" => Action::AcceptsResume(how),
        "welcomes" => Action::Welcomes(how),
        "takes_job" => Action::TakesJob(how, named),
        "closes" => Action::Closes(how),
        "exits" => Action::Exits(how),
        _ => return Err("there is no such thing to do".to_owned()),
    })
}

fn given<T: DeserializeOwned>(how: Value) -> Result<T, String> {
    T::deserialize(how).map_err(|error| error.to_string())
}

fn nothing(how: &Value, action: Action) -> Result<Action, String> {
    if how.is_null() { Ok(action) } else { Err("takes nothing".to_owned()) }
}

/// How a level is written in reports.
impl Serialize for Level {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
