//! Models drawn into buffers, and read as somebody at the terminal would.

use arcp::proto::JobId;
use arcp::proto::job::JobStatus;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

use super::*;
use crate::top::model::tests::{entry, event};
use crate::top::model::{Input, Key};

fn id(name: &str) -> JobId {
    name.parse().unwrap()
}

fn now() -> Timestamp {
    "2026-05-13T12:00:42Z".parse().unwrap()
}

/// What a terminal of this size shows.
fn screen(model: &Model, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(model, now(), frame.area(), frame.buffer_mut())).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    (0..height).map(row).collect()
}

/// A parent that has a child, and a job that has ended.
fn model() -> Model {
    let mut model = Model::new("wss://agents.example.com");
    let lease = json!({ "cost.budget": ["USD:5"] });
    let jobs = vec![
        entry(json!({ "job_id": "job_fetch", "agent": "fetch@2.1.0", "parent_job_id": "job_report" })),
        entry(json!({ "job_id": "job_report", "agent": "report@1.0.0", "lease": lease })),
        entry(json!({ "job_id": "job_old", "agent": "echo@1.0.0", "status": "error" })),
    ];
    model.handle(Input::Listed { jobs, more: false });
    let expires_at = Some("2026-05-13T12:10:42Z".parse().unwrap());
    model.handle(Input::Subscribed { job: id("job_report"), expires_at, budget: None });
    let events = [
        event("progress", json!({ "current": 3, "total": 5 })),
        event("metric", json!({ "name": "cost.budget.remaining", "value": 2, "unit": "USD" })),
        event("log", json!({ "level": "info", "message": "reading" })),
    ];
    for event in events {
        model.handle(Input::Event { job: id("job_report"), event, missed: false });
    }
    model
}

#[test]
fn jobs_are_a_tree_with_what_is_known_of_each() {
    let mut model = model();
    model.asked_to_follow(&id("job_report"));
    let due = [
        " connected  3 jobs, 2 running, 1 ended  following 1  wss://agents.example.com",
        "  JOB          AGENT          AGE  PROGRESS    BUDGET         LEASE LAST EVENT",
        "R job_report   report@1.0.0   42s  ▰▰▰▱▱  60%  ▰▰▱▱▱ 2 USD    10m   info reading",
        "R └ job_fetch  fetch@2.1.0    42s",
        "E job_old      echo@1.0.0     42s",
        "",
        " q quit  ↑↓ select  enter follow  c cancel  / filter  esc close",
    ];
    assert_eq!(screen(&model, 80, 7), due);
}

#[test]
fn columns_go_where_there_is_no_room() {
    let lines = screen(&model(), 40, 4);
    assert_eq!(lines[1], "  JOB          AGENT          AGE  LAST");
    let lines = screen(&model(), 16, 4);
    assert_eq!(lines[2], "R job_report   i");
}

#[test]
fn ids_end_with_what_tells_them_apart() {
    let mut model = Model::new("ws://a");
    let job = "job_01M84K5E427RHPRS8DNE5VWXSZ";
    model.handle(Input::Listed { jobs: vec![entry(json!({ "job_id": job }))], more: false });
    assert!(screen(&model, 80, 5)[2].starts_with("R …S8DNE5VWXSZ count"));
    assert!(screen(&model, 140, 5)[2].contains(job));
}

#[test]
fn the_events_of_an_opened_job_are_below_the_list() {
    let mut model = model();
    model.asked_to_follow(&id("job_report"));
    model.handle(Input::Key(Key::Enter));
    let lines = screen(&model, 80, 14);
    assert!(lines[7].starts_with("── job_report report@1.0.0 running ── followed ──"), "{lines:#?}");
    assert_eq!(lines[8..11], [" progress 3/5", " metric cost.budget.remaining 2 USD", " info reading"]);
    model.handle(Input::Ended { job: id("job_report"), status: Some(JobStatus::TimedOut) });
    let lines = screen(&model, 80, 14);
    assert!(lines[7].contains("timed_out ── all there is") && lines[2].starts_with('T'), "{lines:#?}");
}

#[test]
fn questions_and_answers_are_at_the_bottom() {
    let mut model = model();
    let mut last = |key| {
        model.handle(Input::Key(key));
        screen(&model, 80, 10).pop().unwrap()
    };
    assert_eq!(last(Key::Character('c')), " cancel job_report? y or n");
    assert_eq!(last(Key::Character('x')), " nothing is cancelled");
    assert_eq!(last(Key::Character('/')), " /▏");
    assert_eq!(last(Key::Character('e')), " /e▏");
    assert!(last(Key::Enter).starts_with(" only \"e\""));
}

#[test]
fn the_connection_is_shown_as_it_is() {
    let mut model = model();
    for (state, due) in [
        (State::Reconnecting, "CONNECTION LOST"),
        (State::Renewing, "SESSION LOST"),
        (State::Renewed, "connected in a new session"),
        (State::Connected, "connected"),
    ] {
        model.handle(Input::Connection(state));
        assert!(screen(&model, 80, 5)[0].starts_with(&format!(" {due}")));
    }
}

#[test]
fn a_job_that_may_not_be_looked_at_says_why() {
    let mut model = model();
    let why = "runtime refused the request: PERMISSION_DENIED".to_owned();
    model.handle(Input::NotFollowed { job: id("job_fetch"), why });
    assert!(screen(&model, 120, 6)[3].contains("not shown: runtime refused the request"));
}

#[test]
fn states_have_letters_of_their_own() {
    let letters: std::collections::BTreeSet<_> =
        JobStatus::KNOWN.iter().map(|status| super::state(status).0).collect();
    assert_eq!(letters.len(), JobStatus::KNOWN.len());
}

/// Any text, with what a peer might steer a terminal with.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[\\x00-\\x1f\\x7f-\\x9f\u{202a}-\u{202e}a-z中é👩‍💻]{1,40}", any::<String>()]
}

/// What may be an id.
fn id_text() -> impl Strategy<Value = String> {
    text().prop_filter("an id", |text| text.parse::<JobId>().is_ok())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_model_fits_any_terminal_and_no_peer_steers_it(
        width in 0_u16..200,
        height in 0_u16..60,
        jobs in proptest::collection::vec((id_text(), text(), text(), proptest::option::of(0_usize..8)), 0..8),
        said in text(),
        keys in proptest::collection::vec(0_usize..9, 0..12),
    ) {
        let mut model = Model::new(&said);
        let ids: Vec<_> = jobs.iter().map(|(id, ..)| id.clone()).collect();
        let entries: Vec<_> = jobs
            .iter()
            .map(|(id, agent, status, parent)| {
                let parent = parent.and_then(|parent| ids.get(parent));
                entry(json!({ "job_id": id, "agent": agent, "status": status, "parent_job_id": parent }))
            })
            .collect();
        let names: Vec<_> = entries.iter().map(|entry| entry.job_id.clone()).collect();
        model.handle(Input::Listed { jobs: entries, more: true });
        for name in &names {
            for event in [
                event("log", json!({ "level": "info", "message": said })),
                event("progress", json!({ "current": 1e300, "units": said })),
                event("metric", json!({ "name": "cost.budget.remaining", "value": -7, "unit": said })),
            ] {
                model.handle(Input::Event { job: name.clone(), event, missed: true });
            }
            model.handle(Input::NotFollowed { job: name.clone(), why: said.clone() });
        }
        let pressed =
            [Key::Enter, Key::Down, Key::Up, Key::Character('c'), Key::Character('/'), Key::PageDown, Key::Last,
             Key::Escape, Key::Character('\u{202e}')];
        for key in keys {
            model.handle(Input::Key(pressed[key]));
        }
        let area = Rect::new(0, 0, width, height);
        let mut buffer = Buffer::empty(area);
        draw(&model, now(), area, &mut buffer);
        for cell in buffer.content() {
            let steers = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
            prop_assert!(!cell.symbol().chars().any(steers), "{:?}", cell.symbol());
        }
    }
}

#[test]
fn what_is_not_known_is_not_said_and_why_a_listing_failed_is_until_one_does_not() {
    let mut model = Model::new("ws://runtime");
    let shows = |model: &Model, text: &str| screen(model, 100, 10).iter().any(|line| line.contains(text));
    assert!(shows(&model, "jobs are being listed") && !shows(&model, "no jobs"));
    let why = "answer of the runtime cannot be read: payload.jobs[1].status: expected a string\u{7}";
    model.handle(Input::NotListed(why.to_owned()));
    for _ in 0..2 {
        let screen = screen(&model, 100, 10);
        let foot = screen.last().unwrap();
        assert!(
            foot.starts_with(" jobs are not listed: answer of the runtime cannot be read: payload.jobs[1]")
        );
        assert!(!foot.contains('\u{7}') && shows(&model, "it is not known which jobs there are"));
        assert!(!shows(&model, "no jobs"));
        model.handle(Input::Key(Key::Escape)); // it is so still
    }
    model.handle(Input::Listed { jobs: Vec::new(), more: false });
    assert!(shows(&model, "no jobs") && shows(&model, "q quit") && !shows(&model, "not listed"));
    model.handle(Input::Listed { jobs: vec![entry(json!({ "job_id": "job_1" }))], more: false });
    model.handle(Input::NotListed("runtime did not answer the request in time".to_owned()));
    assert!(shows(&model, "job_1") && shows(&model, "jobs are not listed: runtime did not answer"));
}
