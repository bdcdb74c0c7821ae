//! Playing many cases, side by side, and what comes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::Value;

use crate::case::{Case, Run as CaseRun};
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
    let done = &done;
    let survey_of_all = &survey;
    let played = stream::iter(cases).map(|case| async move {
        let outcome = match survey_of_all.missing(case) {
            Some(need) => Outcome::NotRun(format!("it needs {need}")),
            None => {
                let player = Player::new(Opposite::Runtime(target), target.timeout, target.patience);
                Box::pin(player.play(case)).await
            }
        };
        done(case, &outcome);
        (case.clone(), outcome)
    });
    let outcomes = played.buffered(at_a_time.max(1)).collect().await;
    Ok(Run { peer: format!("{} {}", survey.name, survey.version), outcomes })
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
    let (done, survey_of_all) = (&done, &survey);
    let played = stream::iter(cases).map(|case| async move {
        let outcome = match survey_of_all.missing(case) {
            Some(need) => Outcome::NotRun(format!("it needs {need}")),
            None => {
                let program = Program::new(commands).await;
                let mut program = program.map_err(|error| Untestable(error.to_string()))?;
                let player = Player::new(Opposite::Client(&mut program), timeout, timeout);
                Box::pin(player.play(case)).await
            }
        };
        done(case, &outcome);
        Ok((case.clone(), outcome))
    });
    let outcomes: Vec<_> = played.buffered(at_a_time.max(1)).collect().await;
    let outcomes = outcomes.into_iter().collect::<Result<_, _>>()?;
    Ok(Run { peer: format!("{} {}", survey.name, survey.version), outcomes })
}

/// Has the client introduce itself.
async fn survey_client(commands: &ClientCommands, timeout: Duration) -> Result<Survey, Untestable> {
    let program = Program::new(commands).await;
    let mut program = program.map_err(|error| Untestable(error.to_string()))?;
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
    for token in target.other.iter().chain(&target.observer) {
        let lets_in = Target { token: token.clone(), ..target.clone() };
        let player = Player::new(Opposite::Runtime(&lets_in), target.timeout, target.patience);
        if player.first_welcome().await.is_err() {
            return Err(Untestable("the token of another principal opens no session".to_owned()));
        }
    }
    let player = Player::new(Opposite::Runtime(target), target.timeout, target.patience);
    let welcome = player.first_welcome().await.map_err(|trouble| match trouble {
        Trouble::Due { due, came } => {
            Untestable(format!("no session can be opened: {due} was due, and came {came}"))
        }
        Trouble::Patience(_) | Trouble::Case(_) => Untestable("no session can be opened".to_owned()),
    })?;
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
    crate::failure::plain(value.as_str().unwrap_or_default())
}
