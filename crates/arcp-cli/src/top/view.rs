//! How `arcp top` looks: a model is drawn into a buffer of any size. Nothing is decided here.

use arcp::client::State;
use arcp::proto::Timestamp;
use arcp::proto::job::JobStatus;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};

use super::format;
use super::model::{FOLLOWED, Following, Listing, Model, Prompt, Watched};
use super::tree::Node;
use crate::plain::escaped;

/// The columns after the letter of the state and the job, and how wide each is. Where there is no room, the last ones go first.
const COLUMNS: [(&str, u16); 5] = [("AGENT", 14), ("AGE", 4), ("PROGRESS", 11), ("BUDGET", 14), ("LEASE", 5)];

const KEYS: &str = "q quit  ↑↓ select  enter follow  c cancel  / filter  esc close";

/// Draws everything.
pub(crate) fn draw(model: &Model, now: Timestamp, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let Rect { y: top, height, .. } = area;
    if area.is_empty() {
        return;
    }
    let mut lines = Canvas { area, buffer };
    lines.head(model);
    if height < 3 {
        return;
    }
    lines.foot(model);
    let inner = height - 2; // for the head and the foot
    let pane = if model.open().is_some() && inner >= 6 { inner / 2 } else { 0 };
    let list = inner - pane;
    lines.list(model, now, top + 1, list);
    if let Some(watched) = model.open().filter(|_| pane > 0) {
        lines.pane(watched, top + 1 + list, pane);
    }
}

/// A letter and a colour for each state: colour alone does not tell everybody.
fn state(status: &JobStatus) -> (&'static str, Color) {
    match status {
        JobStatus::Pending => ("P", Color::Yellow),
        JobStatus::Running => ("R", Color::Cyan),
        JobStatus::Success => ("S", Color::Green),
        JobStatus::Error => ("E", Color::Red),
        JobStatus::Cancelled => ("C", Color::Magenta),
        JobStatus::TimedOut => ("T", Color::LightRed),
        _ => ("?", Color::Reset),
    }
}

struct Canvas<'a> {
    area: Rect,
    buffer: &'a mut Buffer,
}

impl Canvas<'_> {
    /// Writes from a column of the area on, as far as `width` and the area go.
    fn put(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) {
        let Rect { x: left, width: room, .. } = self.area;
        if x < room && y < self.area.bottom() {
            self.buffer.set_stringn(left + x, y, text, usize::from(width.min(room - x)), style);
        }
    }

    /// A line from edge to edge.
    fn bar(&mut self, y: u16, text: &str, style: Style) {
        let width = usize::from(self.area.width);
        self.put(0, y, self.area.width, &format!("{text:<width$}"), style);
    }

    fn head(&mut self, model: &Model) {
        let count = |which: &dyn Fn(&Watched) -> bool| model.jobs().filter(|watched| which(watched)).count();
        let ended = count(&|watched| watched.entry.status.is_terminal());
        let live = count(&|watched| watched.following == Following::Live);
        let all = count(&|_| true);
        let (state, style) = match model.connection {
            State::Connected => ("connected", Style::new().fg(Color::Green)),
            State::Reconnecting => ("CONNECTION LOST, trying again", Style::new().fg(Color::Red)),
            State::Renewing => ("SESSION LOST, opening another", Style::new().fg(Color::Red)),
            State::Renewed => ("connected in a new session", Style::new().fg(Color::Yellow)),
            _ => ("SESSION ENDED", Style::new().fg(Color::Red)),
        };
        let limited = if live >= FOLLOWED { " (no more at a time)" } else { "" };
        let more = if model.more { "newest " } else { "" };
        let text = format!(
            " {state}  {more}{all} job{}, {} running, {ended} ended  following {live}{limited}  {}",
            if all == 1 { "" } else { "s" },
            all - ended,
            model.runtime
        );
        self.bar(self.area.y, &text, style.add_modifier(Modifier::REVERSED));
    }

    fn foot(&mut self, model: &Model) {
        let y = self.area.bottom() - 1;
        match (model.prompt(), &model.listing) {
            (Prompt::Cancel(job), _) => {
                let text = format!(" cancel {}? y or n", escaped(job.as_str(), 60));
                self.bar(y, &text, Style::new().fg(Color::Black).bg(Color::Yellow));
            }
            (Prompt::Filter, _) => {
                self.bar(y, &format!(" /{}▏", model.filter()), Style::new().add_modifier(Modifier::REVERSED));
            }
            (Prompt::None, _) if !model.said.is_empty() => {
                self.bar(y, &format!(" {}", model.said), Style::new().add_modifier(Modifier::BOLD));
            }
            (Prompt::None, Listing::Failed(why)) => {
                self.bar(y, &format!(" jobs are not listed: {why}"), Style::new().fg(Color::Red));
            }
            (Prompt::None, _) if !model.filter().is_empty() => {
                let text = format!(" only {:?}  {KEYS}", model.filter());
                self.bar(y, &text, Style::new().add_modifier(Modifier::DIM));
            }
            (Prompt::None, _) => self.bar(y, &format!(" {KEYS}"), Style::new().add_modifier(Modifier::DIM)),
        }
    }

    fn list(&mut self, model: &Model, now: Timestamp, y: u16, height: u16) {
        let ids = if self.area.width >= 130 { 32 } else { 12 };
        let columns = columns(self.area.width, ids);
        let heading = Style::new().add_modifier(Modifier::BOLD);
        self.put(2, y, ids, "JOB", heading);
        let mut last = 3 + ids;
        for (name, width) in columns {
            self.put(last, y, *width, name, heading);
            last += width + 1;
        }
        self.put(last, y, self.area.width, "LAST EVENT", heading);
        let rows = usize::from(height.saturating_sub(1));
        if rows == 0 {
            return;
        }
        let lines: Vec<&Node> = model.lines().collect();
        let selected = model.selected().and_then(|job| lines.iter().position(|node| node.job == *job));
        let first = selected.unwrap_or(0) / rows * rows;
        for (row, node) in (y + 1..).zip(lines.iter().skip(first).take(rows)) {
            if let Some(watched) = model.watched(&node.job) {
                let here = model.selected() == Some(&node.job);
                self.row(watched, node.depth, now, row, ids, columns, here);
            }
        }
        if lines.is_empty() {
            let text = match &model.listing {
                Listing::NotYet => "jobs are being listed",
                Listing::Failed(_) if model.jobs().next().is_none() => "it is not known which jobs there are",
                _ if model.filter().is_empty() => "no jobs",
                _ => "no job is so called",
            };
            self.put(2, y + 1, self.area.width, text, Style::new().add_modifier(Modifier::DIM));
        }
    }

    #[allow(clippy::too_many_arguments, reason = "a row is drawn in one place, from what the list knows")]
    fn row(
        &mut self,
        watched: &Watched,
        depth: usize,
        now: Timestamp,
        y: u16,
        ids: u16,
        columns: &[(&str, u16)],
        here: bool,
    ) {
        let base = if here { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        self.bar(y, "", base);
        let (letter, colour) = state(&watched.entry.status);
        self.put(0, y, 1, letter, base.fg(colour).add_modifier(Modifier::BOLD));
        let indent = match depth {
            0 => String::new(),
            depth => format!("{}└ ", " ".repeat(depth.min(4) - 1)),
        };
        let id = escaped(watched.entry.job_id.as_str(), 64);
        let room = usize::from(ids) - indent.chars().count();
        let id = match id.chars().count() {
            length if length <= room => id,
            // The ends of ids are what tells them apart.
            length => format!("…{}", id.chars().skip(length - room + 1).collect::<String>()),
        };
        self.put(2, y, ids, &format!("{indent}{id}"), base);
        let mut x = 3 + ids;
        for (name, width) in columns {
            let (text, style) = match *name {
                "AGENT" => (escaped(&watched.entry.agent, 64), base),
                "AGE" => (format::age(watched.entry.created_at, now), base),
                "PROGRESS" => (
                    watched.progress.as_ref().map(format::progress).unwrap_or_default(),
                    base.fg(Color::Blue),
                ),
                "BUDGET" => {
                    let text = format::budget(&watched.granted, &watched.remaining).unwrap_or_default();
                    (text, base.fg(Color::Yellow))
                }
                _ => (watched.expires_at.map(|then| format::left(then, now)).unwrap_or_default(), base),
            };
            self.put(x, y, *width, &text, style);
            x += width + 1;
        }
        let last = match (&watched.following, watched.events.back()) {
            (Following::Refused(why), None) => format!("not shown: {why}"),
            (_, last) => last.cloned().unwrap_or_default(),
        };
        self.put(x, y, self.area.width, &last, base.add_modifier(Modifier::DIM));
    }

    /// The events of one job, the newest at the bottom.
    fn pane(&mut self, watched: &Watched, y: u16, height: u16) {
        let id = escaped(watched.entry.job_id.as_str(), 64);
        let (_, colour) = state(&watched.entry.status);
        let state = match &watched.following {
            Following::NotYet => "not followed yet".to_owned(),
            Following::Live => "followed".to_owned(),
            Following::Over => "all there is".to_owned(),
            Following::Refused(why) => format!("not shown: {why}"),
        };
        let missed = if watched.missed { ", earlier ones are no longer kept" } else { "" };
        let status = escaped(watched.entry.status.as_str(), 20);
        let title = format!("── {id} {} {status} ── {state}{missed} ", escaped(&watched.entry.agent, 64));
        let width = usize::from(self.area.width);
        self.put(0, y, self.area.width, &format!("{title:─<width$}"), Style::new().fg(colour));
        let rows = usize::from(height - 1);
        let skip = watched.events.len().saturating_sub(rows);
        for (row, text) in (y + 1..).zip(watched.events.iter().skip(skip)) {
            self.put(1, row, self.area.width, text, Style::new());
        }
    }
}

/// The columns for which there is room.
fn columns(width: u16, ids: u16) -> &'static [(&'static str, u16)] {
    let room = width.saturating_sub(3 + ids);
    let needs = |columns: &[(&str, u16)]| columns.iter().map(|(_, width)| width + 1).sum::<u16>();
    let fits = |count: &usize| needs(&COLUMNS[..*count]) <= room;
    let count = (0..=COLUMNS.len()).rev().find(fits).unwrap_or(0);
    &COLUMNS[..count]
}

#[cfg(test)]
mod tests;
