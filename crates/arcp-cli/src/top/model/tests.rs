//! Inputs and what comes of them.

use serde_json::{Value, json};

use super::*;

fn id(name: &str) -> JobId {
    name.parse().unwrap()
}

/// An entry of a listing, with what is not said here made up.
pub(crate) fn entry(mut said: Value) -> JobEntry {
    for (name, value) in [
        ("agent", json!("count@1.0.0")),
        ("status", json!("running")),
        ("created_at", json!("2026-05-13T12:00:00Z")),
    ] {
        said.as_object_mut().unwrap().entry(name).or_insert(value);
    }
    serde_json::from_value(said).unwrap()
}

/// An event as the client gives it.
pub(crate) fn event(kind: &str, body: Value) -> Box<Event> {
    let kind = serde_json::from_value(json!(kind)).unwrap();
    let raw = arcp::proto::Json::from(body);
    let body = Body::decode(&kind, &raw).unwrap();
    Box::new(Event { event_seq: None, ts: "2026-05-13T12:00:00Z".parse().unwrap(), kind, body, raw })
}

fn listed(names: &[&str]) -> Model {
    let mut model = Model::new("ws://runtime");
    let jobs = names.iter().map(|name| entry(json!({ "job_id": name }))).collect();
    model.handle(Input::Listed { jobs, more: false });
    model
}

fn press(model: &mut Model, keys: &str) -> Vec<Effect> {
    let key = |c: char| match c {
        '\r' => Key::Enter,
        '\u{1b}' => Key::Escape,
        '\u{8}' => Key::Backspace,
        c => Key::Character(c),
    };
    keys.chars().filter_map(|c| model.handle(Input::Key(key(c)))).collect()
}

fn shown(model: &Model) -> Vec<String> {
    model.lines().map(|node| node.job.to_string()).collect()
}

#[test]
fn the_selection_stays_with_its_job_and_within_the_list() {
    let mut model = listed(&["c", "b", "a"]);
    assert_eq!(model.selected(), Some(&id("c")));
    press(&mut model, "j");
    model.handle(Input::Listed {
        jobs: ["d", "c", "b", "a"].map(|name| entry(json!({ "job_id": name }))).into(),
        more: false,
    });
    assert_eq!(model.selected(), Some(&id("b")));
    press(&mut model, "jjjj");
    assert_eq!(model.selected(), Some(&id("a")));
    press(&mut model, "g");
    assert_eq!(model.selected(), Some(&id("d")));
    press(&mut model, "kG");
    assert_eq!(model.selected(), Some(&id("a")));
    model.handle(Input::Listed { jobs: Vec::new(), more: false });
    assert_eq!(model.selected(), None);
    assert!(press(&mut model, "jkgGc\r").is_empty());
}

#[test]
fn a_job_is_cancelled_after_a_yes_and_only_while_it_runs() {
    let mut model = listed(&["a"]);
    assert!(press(&mut model, "cn").is_empty());
    assert!(press(&mut model, "c\u{1b}y").is_empty(), "an answer is for its question");
    assert_eq!(press(&mut model, "cy"), [Effect::Cancel(id("a"))]);
    press(&mut model, "c");
    let over = entry(json!({ "job_id": "a", "status": "success" }));
    model.handle(Input::Listed { jobs: vec![over], more: false });
    assert_eq!((model.prompt(), model.said.as_str()), (&Prompt::None, "a has ended"));
    assert!(press(&mut model, "cy").is_empty());
}

#[test]
fn the_question_is_about_the_job_that_was_selected_when_it_was_asked() {
    let mut model = listed(&["b", "a"]);
    press(&mut model, "jc");
    model.handle(Input::Listed {
        jobs: ["c", "b", "a"].map(|name| entry(json!({ "job_id": name }))).into(),
        more: false,
    });
    assert_eq!(press(&mut model, "y"), [Effect::Cancel(id("a"))]);
}

#[test]
fn a_filter_narrows_the_list_and_a_letter_in_it_is_no_command() {
    let mut model = listed(&["quick", "brown"]);
    assert!(press(&mut model, "/qc\u{8}").is_empty());
    assert_eq!((shown(&model), model.selected()), (vec!["quick".to_owned()], Some(&id("quick"))));
    press(&mut model, "\r");
    assert_eq!(press(&mut model, "q"), [Effect::Quit]);
    press(&mut model, "\u{1b}");
    assert_eq!(shown(&model), ["quick", "brown"]);
    press(&mut model, "/COUNT@1\r");
    assert_eq!(shown(&model).len(), 2);
    assert_eq!(model.handle(Input::Key(Key::Interrupt)), Some(Effect::Quit));
}

#[test]
fn events_fill_the_columns() {
    let mut model = Model::new("ws://runtime");
    let lease = json!({ "cost.budget": ["USD:5"] });
    model.handle(Input::Listed { jobs: vec![entry(json!({ "job_id": "a", "lease": lease }))], more: false });
    let expires_at = Some("2026-05-13T13:00:00Z".parse().unwrap());
    let budget = Some(serde_json::from_value(json!({ "USD": 4 })).unwrap());
    model.handle(Input::Subscribed { job: id("a"), expires_at, budget });
    let remaining =
        |model: &Model| model.watched(&id("a")).unwrap().remaining.remaining("USD").unwrap().to_string();
    assert_eq!(remaining(&model), "4");
    for event in [
        event("metric", json!({ "name": BUDGET_REMAINING, "value": 3.5, "unit": "USD" })),
        event("metric", json!({ "name": "cost.other", "value": 1, "unit": "USD" })),
        event("progress", json!({ "current": 1, "total": 2 })),
        event("log", json!({ "level": "info", "message": "a\u{1b}[2Jb" })),
    ] {
        model.handle(Input::Event { job: id("a"), event, missed: false });
    }
    let watched = model.watched(&id("a")).unwrap();
    assert_eq!(remaining(&model), "3.5");
    assert_eq!((watched.expires_at, watched.progress.is_some()), (expires_at, true));
    assert_eq!(watched.events.back().unwrap(), "info a\\u001b[2Jb");
}

#[test]
fn a_listing_that_is_out_of_date_does_not_bring_a_job_back_to_life() {
    let mut model = listed(&["a"]);
    model.handle(Input::Ended { job: id("a"), status: Some(JobStatus::Cancelled) });
    model.handle(Input::Listed { jobs: vec![entry(json!({ "job_id": "a" }))], more: false });
    assert_eq!(model.watched(&id("a")).unwrap().entry.status, JobStatus::Cancelled);
}

#[test]
fn no_more_jobs_are_followed_than_may_be() {
    let names: Vec<_> = (0..100).map(|number| format!("job{number}")).collect();
    let jobs = names.iter().enumerate().map(|(number, name)| {
        let status = if number < 50 { "success" } else { "running" };
        entry(json!({ "job_id": name, "status": status, "last_event_seq": 1_000 }))
    });
    let mut model = Model::new("ws://runtime");
    model.handle(Input::Listed { jobs: jobs.collect(), more: true });
    let wanted = model.to_follow();
    assert_eq!((wanted.len(), &wanted[0]), (FOLLOWED, &(id("job50"), 900)));
    wanted.iter().for_each(|(job, _)| model.asked_to_follow(job));
    assert!(model.to_follow().is_empty());
    press(&mut model, "\r");
    assert_eq!(model.to_follow(), [(id("job0"), 900)], "one that was opened is followed beside them");
    model.asked_to_follow(&id("job0"));
    model.handle(Input::NotFollowed { job: id("job50"), why: "PERMISSION_DENIED".to_owned() });
    model.handle(Input::Ended { job: id("job51"), status: Some(JobStatus::Success) });
    assert_eq!(model.to_follow(), [(id("job82"), 900)], "and none twice");
}

#[test]
fn what_is_kept_of_a_job_is_bounded() {
    let mut model = listed(&["a"]);
    for _ in 0..1_000 {
        let event = event("log", json!({ "level": "info", "message": "m".repeat(10_000) }));
        model.handle(Input::Event { job: id("a"), event, missed: true });
    }
    let watched = model.watched(&id("a")).unwrap();
    assert_eq!((watched.events.len(), watched.missed), (EVENTS, true));
    assert!(watched.events.iter().all(|event| event.chars().count() <= EVENT_CHARACTERS + 1));
    press(&mut model, "/");
    press(&mut model, &"x".repeat(10_000));
    assert!(model.filter().len() <= EVENTS);
}
