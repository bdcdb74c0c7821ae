//! Playing many cases, side by side, and what comes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Serialize;
use serde_json::Value;

use crate::case::{Case, Run as CaseRun};
use crate::failure::plain;
use crate::player::{Opposite, Outcome, Player, Trouble};
use crate::program::{ClientCommands, Program};
use crate::target::{Survey, Target};

/// How many cases are played at a time, unless told otherwise.
pub const AT_A_TIME: usize = 8;

/// A run: who was tested, and what became of each case, in their order.
#[derive(Clone, Debug)]
pub struct Run {
    /// What the peer calls itself.
    pub peer: String,
    /// Each case with its outcome.
    pub outcomes: Vec<(Case, Outcome)>,
}

/// How many cases ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that say nothing of this peer.
    pub not_run: usize,
}

impl Run {
    /// The cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&Case, &crate::Failure)> {
        self.outcomes.iter().filter_map(|(case, outcome)| match outcome {
            Outcome::Failed(failure) => Some((case, failure)),
            _ => None,
        })
    }

    /// How many of the cases that are like this ended how.
    pub fn counts(&self, of: impl Fn(&Case) -> bool) -> Counts {
        let mut counts = Counts::default();
        for (_, outcome) in self.outcomes.iter().filter(|(case, _)| of(case)) {
            match outcome {
                Outcome::Passed => counts.passed += 1,
                Outcome::Failed(_) => counts.failed += 1,
                Outcome::NotRun(_) => counts.not_run += 1,
            }
        }
        counts
    }
}

/// The peer could not be tested at all.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Untestable(String);

/// Tests a runtime. Cases that need what it does not have are not run. `done` hears of each case as it ends.
///
/// # Errors
/// When no session can be opened, which says nothing about any one case.
pub async fn test_runtime(
    target: &Target,
    cases: &[Case],
    at_a_time: usize,
    done: impl Fn(&Case, &Outcome),
) -> Result<Run, Untestable> {
    let survey = survey(target).await?;
    let play = async |case: &Case| {
        let player = Player::new(Opposite::Runtime(target), target.timeout, target.patience);
        Ok(player.play(case).await)
    };
    play_all(survey, cases, at_a_time, done, play).await
}

/// Tests a client, by its commands, `submit` first, which shows what it calls itself and what it can do. Cases that need a command
/// or a feature which it does not have are not run. `done` hears of each case as it ends.
///
/// # Errors
/// When no port can be listened at, or `submit` does not introduce itself with a `session.hello`.
pub async fn test_client(
    commands: &ClientCommands,
    cases: &[Case],
    at_a_time: usize,
    done: impl Fn(&Case, &Outcome),
) -> Result<Run, Untestable> {
    let timeout = commands.timeout.unwrap_or(Duration::from_secs(15));
    let survey = survey_client(commands, timeout).await?;
    let play = async |case: &Case| {
        let mut program = program(commands).await?;
        let player = Player::new(Opposite::Client(&mut program), timeout, timeout);
        Ok(player.play(case).await)
    };
    play_all(survey, cases, at_a_time, done, play).await
}

/// Plays each case for which the peer has what it needs.
async fn play_all(
    survey: Survey,
    cases: &[Case],
    at_a_time: usize,
    done: impl Fn(&Case, &Outcome),
    play: impl AsyncFn(&Case) -> Result<Outcome, Untestable>,
) -> Result<Run, Untestable> {
    let (peer, survey, done, play) = (format!("{} {}", survey.name, survey.version), &survey, &done, &play);
    let played = stream::iter(cases).map(|case| async move {
        let outcome = match survey.missing(case) {
            Some(need) => Outcome::NotRun(format!("it needs {need}")),
            None => Box::pin(play(case)).await?,
        };
        done(case, &outcome);
        Ok((case.clone(), outcome))
    });
    let outcomes = played.buffered(at_a_time.max(1)).try_collect().await?;
    Ok(Run { peer, outcomes })
}

async fn program(commands: &ClientCommands) -> Result<Program, Untestable> {
    Program::new(commands).await.map_err(|error| Untestable(error.to_string()))
}

/// Has the client introduce itself.
async fn survey_client(commands: &ClientCommands, timeout: Duration) -> Result<Survey, Untestable> {
    let mut program = program(commands).await?;
    let player = Player::new(Opposite::Client(&mut program), timeout, timeout);
    let with = serde_json::Map::from_iter([("agent".into(), "echo".into()), ("input".into(), "{}".into())]);
    let hello = player.first_hello(&CaseRun { command: "submit".to_owned(), with }).await;
    let hello = hello.map_err(|trouble| match trouble {
        Trouble::Due { due, came } => {
            Untestable(format!("the client opens no session: {due} was due, and came {came}"))
        }
        Trouble::Case(problem) => Untestable(problem),
        Trouble::Patience(_) => Untestable("the client opens no session".to_owned()),
    })?;
    let payload = &hello["payload"];
    Ok(Survey {
        name: text(&payload["client"]["name"]),
        version: text(&payload["client"]["version"]),
        features: words(&payload["capabilities"]["features"], ""),
        commands: commands.names(),
        ..Survey::default()
    })
}

/// Opens a session and reads what the runtime says of itself.
async fn survey(target: &Target) -> Result<Survey, Untestable> {
    let tokens = [("", Some(&target.token)), (" of the second principal", target.other.as_ref())];
    let mut welcomes = Vec::new();
    for (whose, token) in tokens.into_iter().chain([(" of the observer", target.observer.as_ref())]) {
        let Some(token) = token else { continue };
        let target = Target { token: token.clone(), ..target.clone() };
        let player = Player::new(Opposite::Runtime(&target), target.timeout, target.patience);
        welcomes.push(player.first_welcome().await.map_err(|trouble| match trouble {
            Trouble::Due { due, came } => {
                Untestable(plain(&format!("no session{whose} can be opened: {due} was due, and came {came}")))
            }
            Trouble::Patience(_) | Trouble::Case(_) => Untestable(format!("no session{whose} can be opened")),
        })?);
    }
    let welcome = welcomes.first().cloned().unwrap_or_default();
    let payload = &welcome["payload"];
    Ok(Survey {
        name: text(&payload["runtime"]["name"]),
        version: text(&payload["runtime"]["version"]),
        agents: words(&payload["capabilities"]["agents"], "name"),
        features: words(&payload["capabilities"]["features"], ""),
        commands: Default::default(),
        other_principal: target.other.is_some(),
        observer: target.observer.is_some(),
        connections: !target.pipes,
    })
}

/// The texts of a list, or those that its objects have as this member.
fn words(list: &Value, member: &str) -> BTreeSet<String> {
    let items = list.as_array().into_iter().flatten();
    let words = items.filter_map(|item| item.as_str().or_else(|| item[member].as_str()));
    words.map(str::to_owned).collect()
}

fn text(value: &Value) -> String {
    plain(value.as_str().unwrap_or_default())
}
