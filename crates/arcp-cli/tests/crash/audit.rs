//! What a new session is shown of jobs, held against everything that anybody was told of them before.

use std::collections::BTreeSet;
use std::sync::Arc;

use arcp::proto::{JobId, Timestamp};
use futures_util::TryStreamExt;
use serde_json::Value;

use crate::follow::{End, Session, Told};
use crate::wire::{Message, Wire};
use crate::world::{World, lock};

/// Subscribes to jobs that are over with their history, and compares.
pub(crate) async fn audit(world: Arc<World>, name: String, principal: &'static str, jobs: Vec<JobId>) {
    let session = Session::open(&world, &name, principal).await;
    for job in jobs {
        let Some(subscribed) = session.subscribe(&job).await else { return };
        let followed = session.follow(subscribed, true).await;
        if lock(&followed).end.is_none() {
            return; // and that has been said
        }
        let (mut log, _) = session.wire.of_job(&job);
        // A subscription that was asked for again may have had it told twice.
        let start = log.iter().rposition(|message| message.payload == log[0].payload).unwrap_or(0);
        log.drain(..start);
        if let Err(problem) = check(&world, &job, &log) {
            return session.wire.fail(format!("{problem}\nthe log is\n{}", lines(&log)));
        }
        world.meet("jobs compared");
    }
    session.client.close().await;
}

/// Compares the whole log of a job with what everybody was told.
fn check(world: &World, job: &JobId, log: &[Message]) -> Result<(), String> {
    let Some((last, events)) = log.split_last().filter(|(last, _)| last.terminal) else {
        return Err(format!("the log of {job} has no end"));
    };
    if events.iter().any(|message| message.terminal) {
        return Err(format!("{job} ends more than once"));
    }
    check_run(world, job, events, last)?;
    let wires: Vec<Arc<Wire>> = lock(&world.wires).clone();
    for wire in wires {
        let (told, asked) = wire.of_job(job);
        compare(log, &told, asked).map_err(|problem| {
            format!(
                "{} was told of {job} what the log does not hold: {problem}\nit was told\n{}",
                wire.name,
                lines(&told)
            )
        })?;
    }
    let followers = lock(&world.told).clone();
    let parent = lock(&world.jobs).get(job).and_then(|known| known.parent.clone());
    for told in followers {
        let told = lock(&told);
        if parent.as_ref() == Some(&told.job)
            && let Some(children) = &told.children
            && !children.contains(job)
        {
            return Err(format!("{} was not told that {} has delegated to {job}", told.client, told.job));
        }
        if told.job == *job {
            compare_told(log, &told).map_err(|problem| {
                format!(
                    "the application of {} was told of {job} what the log does not hold: {problem}",
                    told.client
                )
            })?;
        }
    }
    Ok(())
}

/// Whether this is one run of what was asked for, and ends as it must.
fn check_run(world: &World, job: &JobId, events: &[Message], last: &Message) -> Result<(), String> {
    let end = json(&last.payload);
    let status = end["final_status"].as_str().unwrap_or_default();
    let code = end["error"]["code"].as_str().or(end["code"].as_str()).unwrap_or_default();
    let known = lock(&world.jobs).get(job).cloned().unwrap_or_default();
    if let Some(plan) = world.plan_of(job) {
        let events: Vec<Value> = events.iter().map(|message| json(&message.payload)).collect();
        plan.check(&events, status == "success").map_err(|problem| format!("{job}: {problem}"))?;
    }
    // What a job has delegated ends with it, which none does that succeeds: it waits.
    let succeeded =
        |told: &Told| Some(&told.job) == known.parent.as_ref() && matches!(told.end, Some(End::Success(_)));
    let with_parent = known.parent.is_some() && !lock(&world.told).iter().any(|told| succeeded(&lock(told)));
    let asked = known.cancel_asked || with_parent;
    // Who is told that a job that has ended is cancelled is told nothing but that it was heard.
    let ended = end["completed_at"].as_str().and_then(|ts| ts.parse::<Timestamp>().ok());
    let stops = known.cancel_seen.is_some_and(|seen| ended.is_none_or(|ended| ended > seen));
    if stops {
        world.meet("cancellations compared that were acknowledged before the end");
    }
    let good = match status {
        "cancelled" => asked,
        "success" => !stops,
        "error" => code == "INTERNAL_ERROR" && end.to_string().contains("\"retryable\":true") && !stops,
        _ => false,
    };
    if !good {
        return Err(format!("{job} cannot end like this: {known:?} ends in {}", last.payload));
    }
    match status {
        "cancelled" => world.meet("cancelled jobs compared"),
        "error" => world.meet("jobs compared that ended with the runtime"),
        _ => {}
    }
    Ok(())
}

/// Whether what was sent is parts of the log without a hole, no more of them than were asked for.
fn compare(log: &[Message], told: &[Message], asked: usize) -> Result<(), String> {
    let mut parts = 0;
    let mut next = None;
    for message in told {
        let same = |index: &usize| log.get(*index).is_some_and(|logged| logged.payload == message.payload);
        let place = next.filter(same).or_else(|| {
            parts += 1;
            (0..log.len()).find(same)
        });
        let Some(place) = place else {
            return Err(format!("it is not there: round {} {}", message.round, message.payload));
        };
        if log[place].terminal != message.terminal {
            return Err(format!("another type of message: {}", message.payload));
        }
        next = Some(place + 1);
    }
    if parts > asked {
        return Err(format!("{parts} parts of the log, and it was asked for {asked} times"));
    }
    Ok(())
}

/// Whether what an application was told is the log, or the rest of it if it came later.
fn compare_told(log: &[Message], told: &Told) -> Result<(), String> {
    let events = &log[..log.len() - 1];
    let Some(start) = events.len().checked_sub(told.events.len()) else {
        return Err(format!("{} events, and the log has {}", told.events.len(), events.len()));
    };
    let start = if told.end.is_some() { start } else { place_of_first(events, told) };
    if told.whole && start > 0 {
        return Err(format!("the first {start} events are missing"));
    }
    let mut last = 0;
    for (seen, logged) in told.events.iter().zip(&events[start..]) {
        let logged = json(&logged.payload);
        let same = logged["kind"] == *seen.kind
            && logged["ts"] == *seen.ts
            && (seen.kind == "status" || logged["body"] == json(&seen.body));
        if !same {
            return Err(format!("{seen:?} is in the log as {logged}"));
        }
        if seen.event_seq.is_none_or(|seq| seq <= last) {
            return Err(format!("its number does not go up: {seen:?}"));
        }
        last = seen.event_seq.unwrap_or(0);
    }
    let end = json(&log[log.len() - 1].payload);
    let same = match &told.end {
        None => true,
        Some(End::Success(result)) => {
            let inline = end["result"].as_object().is_none()
                || result.as_ref().is_some_and(|result| json(result) == end["result"]);
            end["final_status"] == "success" && inline
        }
        Some(End::Failure(status, code)) => {
            end["final_status"] == *status && (end["error"]["code"] == **code || end["code"] == **code)
        }
    };
    if !same { Err(format!("it ended in {:?}, and in the log in {end}", told.end)) } else { Ok(()) }
}

/// Where in the log somebody begins who has not come to its end.
fn place_of_first(events: &[Message], told: &Told) -> usize {
    let Some(first) = told.events.first() else { return 0 };
    let is_it = |message: &Message| {
        let logged = json(&message.payload);
        logged["ts"] == *first.ts && logged["kind"] == *first.kind && logged["body"] == json(&first.body)
    };
    events.iter().position(is_it).unwrap_or(0)
}

/// Compares a listing with what is known of jobs: all of those, none besides, each with its end.
pub(crate) async fn listing(
    world: &Arc<World>,
    name: &str,
    principal: &str,
    of: &[&str],
) -> Result<(), String> {
    let session = Session::open(world, name, principal).await;
    let entries: Vec<_> = session
        .client
        .jobs()
        .page_size(7)
        .stream()
        .try_collect()
        .await
        .map_err(|error| format!("{name}: listing: {error}"))?;
    let listed: BTreeSet<JobId> = entries.iter().map(|entry| entry.job_id.clone()).collect();
    let known: BTreeSet<JobId> = {
        let jobs = lock(&world.jobs);
        jobs.iter()
            .filter(|(_, known)| of.contains(&known.principal.as_str()))
            .map(|(job, _)| job.clone())
            .collect()
    };
    if listed != known || listed.len() != entries.len() {
        let missing: Vec<_> = known.difference(&listed).collect();
        let more: Vec<_> = listed.difference(&known).collect();
        return Err(format!(
            "{name}: listing of {} entries lacks {missing:?} and has {more:?} of which nobody was told",
            entries.len()
        ));
    }
    for entry in entries {
        for told in lock(&world.told).iter() {
            let told = lock(told);
            let status = match &told.end {
                Some(End::Success(_)) => "success",
                Some(End::Failure(status, _)) => status,
                None => continue,
            };
            if told.job == entry.job_id && entry.status.as_str() != status {
                return Err(format!(
                    "{name}: {} is listed as {:?} and ended in {status}",
                    told.job, entry.status
                ));
            }
        }
    }
    session.client.close().await;
    Ok(())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn lines(messages: &[Message]) -> String {
    messages.iter().map(|message| format!("  round {} {}\n", message.round, message.payload)).collect()
}
