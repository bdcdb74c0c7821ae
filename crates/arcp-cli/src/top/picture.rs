//! The pictures in the documentation, as SVG: what a recording of real jobs looks like in `arcp top`, and what the quickstart has
//! printed. `cargo xtask picture` records and draws them; the tests hold one against the other.

use std::fmt::Write;

use arcp::Event;
use arcp::proto::event::{Body, EventKind};
use arcp::proto::job::Accepted;
use arcp::proto::session::JobEntry;
use arcp::proto::{JobId, Json, Timestamp};
use ratatui::buffer::{Buffer, Cell};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};
use serde::Deserialize;

use super::model::{Input, Key, Model};
use super::view;

const RECORDING: &str = include_str!("picture/recording.jsonl");
const QUICKSTART: &str = include_str!("picture/quickstart.txt");

/// The size of the screen, and of one cell of it in the picture.
const SCREEN: Rect = Rect { x: 0, y: 0, width: 112, height: 22 };
const CELL: (f64, f64) = (8.4, 18.0);

/// A line of the recording: one of these.
#[derive(Deserialize)]
struct Line {
    now: Option<Timestamp>,
    url: Option<String>,
    accepted: Option<Accepted>,
    listed: Option<Vec<JobEntry>>,
    job: Option<JobId>,
    event: Option<Recorded>,
}

/// An event, as `arcp tail --json` prints it.
#[derive(Deserialize)]
struct Recorded {
    ts: Timestamp,
    kind: EventKind,
    body: Json,
}

/// The model that comes of the recording, and when.
fn replay() -> (Model, Timestamp) {
    let lines = RECORDING.lines().map(|line| serde_json::from_str::<Line>(line).unwrap());
    let mut model = Model::new("");
    let mut at = Timestamp::from_millis(0);
    let mut accepted_jobs = Vec::new();
    for line in lines {
        if let (Some(now), Some(url)) = (line.now, &line.url) {
            (model, at) = (Model::new(url), now);
        }
        accepted_jobs.extend(line.accepted);
        if let Some(listed) = line.listed {
            let running = listed.iter().filter(|entry| !entry.status.is_terminal());
            let live: Vec<_> = running.map(|entry| entry.job_id.clone()).collect();
            model.handle(Input::Listed { jobs: listed, more: false });
            live.iter().for_each(|job| model.asked_to_follow(job));
            for accepted in &accepted_jobs {
                model.handle(Input::Subscribed {
                    job: accepted.job_id.clone(),
                    expires_at: accepted.lease_constraints.expires_at,
                    budget: accepted.budget.clone(),
                });
            }
        }
        if let (Some(job), Some(Recorded { ts, kind, body: raw })) = (line.job, line.event) {
            let body = Body::decode(&kind, &raw).unwrap();
            let event = Box::new(Event { event_seq: None, ts, kind, body, raw });
            model.handle(Input::Event { job, event, missed: false });
        }
    }
    // Somebody has gone to the child and looks at its events.
    let child = |model: &Model| {
        let selected = model.selected().and_then(|job| model.watched(job));
        selected.is_some_and(|watched| watched.entry.agent.starts_with("operate"))
    };
    for _ in 0..10 {
        if !child(&model) {
            model.handle(Input::Key(Key::Down));
        }
    }
    assert!(child(&model));
    model.handle(Input::Key(Key::Enter));
    (model, at)
}

/// A colour of a terminal, as a dark one has it.
fn colour(color: Color, otherwise: &'static str) -> &'static str {
    match color {
        Color::Black => "#16181d",
        Color::Red | Color::LightRed => "#f07178",
        Color::Green => "#a5d46a",
        Color::Yellow => "#ffcb6b",
        Color::Blue => "#82aaff",
        Color::Magenta => "#c792ea",
        Color::Cyan => "#7fdbca",
        _ => otherwise,
    }
}

/// What a cell looks like: text, ground, and whether it is bold.
fn look(cell: &Cell) -> (&'static str, &'static str, bool) {
    let dim = cell.modifier.contains(Modifier::DIM);
    let text = colour(cell.fg, if dim { "#8f95a3" } else { "#d6dae3" });
    let ground = colour(cell.bg, "#16181d");
    let bold = cell.modifier.contains(Modifier::BOLD);
    if cell.modifier.contains(Modifier::REVERSED) { (ground, text, bold) } else { (text, ground, bold) }
}

fn svg(buffer: &Buffer, label: &str) -> String {
    let Rect { width, height, .. } = buffer.area;
    let (cell_width, cell_height) = CELL;
    let (all_width, all_height) =
        (f64::from(width) * cell_width + 24.0, f64::from(height) * cell_height + 24.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{all_width:.0}\" height=\"{all_height:.0}\" \
         viewBox=\"0 0 {all_width:.0} {all_height:.0}\" role=\"img\" aria-label=\"{label}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#16181d\"/>\n\
         <g font-family=\"ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\" xml:space=\"preserve\">\n"
    );
    for y in 0..height {
        let mut x = 0;
        while x < width {
            let (text, ground, bold) = look(&buffer[(x, y)]);
            let run =
                (x..width).take_while(|x| look(&buffer[(*x, y)]) == (text, ground, bold)).count() as u16;
            let (left, top) = (f64::from(x) * cell_width + 12.0, f64::from(y) * cell_height + 12.0);
            let length = f64::from(run) * cell_width;
            if ground != "#16181d" {
                let _ = writeln!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{cell_height}\" fill=\"{ground}\"/>"
                );
            }
            let symbols: String = (x..x + run).map(|x| buffer[(x, y)].symbol()).collect();
            // Words are put where they belong one by one: not every font has every sign as wide as the others.
            for (at, word) in words(&symbols) {
                let left = left + at as f64 * cell_width;
                let length = word.chars().count() as f64 * cell_width;
                let weight = if bold { " font-weight=\"bold\"" } else { "" };
                let word = word.replace('&', "&amp;").replace('<', "&lt;");
                let base = top + 13.5;
                let _ = writeln!(
                    out,
                    "<text x=\"{left:.1}\" y=\"{base:.1}\" textLength=\"{length:.1}\" fill=\"{text}\"{weight}>{word}</text>"
                );
            }
            x += run;
        }
    }
    out.push_str("</g>\n</svg>\n");
    out
}

/// The words of a line, and at which character each begins.
fn words(line: &str) -> Vec<(usize, &str)> {
    let mut out = Vec::new();
    let mut at = 0;
    for word in line.split(' ') {
        if !word.is_empty() {
            out.push((at, word));
        }
        at += word.chars().count() + 1;
    }
    out
}

#[test]
fn the_picture_is_what_the_recording_looks_like() {
    let (model, now) = replay();
    let mut buffer = Buffer::empty(SCREEN);
    view::draw(&model, now, SCREEN, &mut buffer);
    compare("top.svg", &svg(&buffer, "arcp top"));
}

#[test]
fn the_quickstart_is_what_was_recorded() {
    let lines: Vec<&str> = QUICKSTART.lines().collect();
    let width = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default() as u16;
    let mut buffer = Buffer::empty(Rect { x: 0, y: 0, width, height: lines.len() as u16 });
    for (y, line) in (0..).zip(&lines) {
        // What somebody has typed is bold.
        let style = if line.starts_with("$ ") { Modifier::BOLD } else { Modifier::empty() };
        buffer.set_string(0, y, line, style);
    }
    compare("quickstart.svg", &svg(&buffer, "the quickstart in a terminal"));
}

/// Holds a picture against the one in the documentation, or puts it there.
#[track_caller]
fn compare(name: &str, drawn: &str) {
    let path = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).join(name);
    if std::env::var("ARCP_PICTURE").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, drawn).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == drawn, "docs/{name} is out of date: cargo xtask picture --draw-only");
}
