//! How a job is shown: events on stderr and the result on stdout, or everything as JSON lines on stdout.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use arcp::Event;
use arcp::client::{JobError, State};
use arcp::proto::event::{BUDGET_REMAINING, Body, Metric, Progress};
use arcp::proto::job::Accepted;
use arcp::proto::{Budget, Json, Number};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::plain::{one_line, stdout};

pub(crate) enum Show {
    /// JSON lines.
    Lines,
    /// Text, with a progress bar if stderr is a terminal.
    Text { bar: Option<ProgressBar>, gauges: Gauges },
}

impl Show {
    pub(crate) fn new(json: bool) -> Self {
        if json {
            Self::Lines
        } else {
            Self::Text { bar: io::stderr().is_terminal().then(spinner), gauges: Gauges::default() }
        }
    }

    pub(crate) fn accepted(&mut self, accepted: &Accepted) -> io::Result<()> {
        match self {
            Self::Lines => {
                let mut accepted = serde_json::to_value(accepted)?;
                let credentials = accepted.get_mut("credentials").and_then(Value::as_array_mut);
                credentials.into_iter().flatten().for_each(redact);
                line("accepted", accepted)
            }
            Self::Text { gauges, .. } => {
                gauges.begin(accepted.budget.as_ref());
                let agent = accepted.agent.as_deref().unwrap_or("agent");
                self.note(&format!("{} runs {agent}", accepted.job_id))
            }
        }
    }

    /// The job is left running: its id is the result.
    pub(crate) fn detached(&mut self, accepted: &Accepted) -> io::Result<()> {
        match self {
            Self::Lines => self.accepted(accepted),
            Self::Text { bar, .. } => {
                clear(bar);
                writeln!(stdout(), "{}", one_line(accepted.job_id.as_str()))
            }
        }
    }

    pub(crate) fn event(&mut self, event: &Event) -> io::Result<()> {
        match (self, &event.body) {
            (Self::Lines, _) => {
                let mut fields = json!({
                    "event_seq": event.event_seq,
                    "ts": event.ts,
                    "kind": event.kind,
                    "body": &event.raw,
                });
                if matches!(&event.body, Body::Status(status) if status.value.is_some()) {
                    redact(&mut fields["body"]);
                }
                line("event", fields)
            }
            (Self::Text { bar: Some(bar), gauges }, Body::Progress(progress)) => {
                gauges.advance(bar, progress);
                Ok(())
            }
            (Self::Text { bar: Some(bar), gauges }, Body::Metric(metric))
                if metric.name == BUDGET_REMAINING =>
            {
                gauges.remains(metric);
                bar.set_message(gauges.to_string());
                Ok(())
            }
            // Pieces of the result, which is shown when it is whole.
            (Self::Text { .. }, Body::ResultChunk(_)) => Ok(()),
            (show @ Self::Text { .. }, _) => show.note(&one_line(&event.to_string())),
        }
    }

    /// The connection was lost, or is there again.
    pub(crate) fn state(&mut self, state: State, own: bool) -> io::Result<()> {
        match (&self, state) {
            (Self::Lines, State::Reconnecting) => line("disconnected", json!({})),
            (Self::Lines, State::Connected) => line("resumed", json!({})),
            (Self::Lines, State::Renewed) => line("renewed", json!({})),
            (Self::Text { .. }, State::Reconnecting) => self.note("connection lost; it is tried again"),
            (Self::Text { .. }, State::Renewed) => self.note(if own {
                "connected again in a new session: the job goes on, but can no longer be cancelled"
            } else {
                "connected again in a new session"
            }),
            (Self::Text { .. }, State::Connected) => self.note("connected again, nothing is lost"),
            _ => Ok(()),
        }
    }

    /// Events before the next one are lost.
    pub(crate) fn missed(&mut self) -> io::Result<()> {
        match self {
            Self::Lines => line("missed", json!({})),
            Self::Text { .. } => self.note("some events are missing here: the runtime no longer keeps them"),
        }
    }

    /// Something for people: on stderr, above the progress bar.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        // Some of it may be a peer's words.
        let text = one_line(text);
        match self {
            Self::Text { bar: Some(bar), .. } => bar.suspend(|| writeln!(io::stderr(), "{text}")),
            Self::Text { bar: None, .. } => writeln!(io::stderr(), "{text}"),
            Self::Lines => Ok(()),
        }
    }

    pub(crate) fn result(&mut self, result: &Json) -> io::Result<()> {
        match self {
            Self::Lines => line("result", json!({ "final_status": "success", "result": result })),
            Self::Text { bar, .. } => {
                clear(bar);
                let value: Value = result.decode().unwrap_or_else(|_| Value::from(result.as_str()));
                match value {
                    Value::String(text) => writeln!(stdout(), "{text}"),
                    other => writeln!(stdout(), "{other:#}"),
                }
            }
        }
    }

    pub(crate) fn error(&mut self, error: &JobError) -> io::Result<()> {
        match self {
            Self::Lines => {
                if let JobError::Lost(payload) = error {
                    return line("lost", serde_json::to_value(payload)?);
                }
                let final_status = match error {
                    JobError::Cancelled(_) => Some("cancelled"),
                    JobError::TimedOut(_) => Some("timed_out"),
                    JobError::Failed(_) => Some("error"),
                    _ => None,
                };
                match error.payload() {
                    Some(payload) => {
                        let mut fields = serde_json::to_value(payload)?;
                        fields["final_status"] = json!(final_status);
                        line("error", fields)
                    }
                    None => line("lost", json!({ "message": error.to_string() })),
                }
            }
            Self::Text { bar, .. } => {
                clear(bar);
                writeln!(io::stderr(), "arcp: {}", one_line(&error.to_string()))
            }
        }
    }
}

/// One JSON object a line, `type` first to the eye that looks for it.
fn line(kind: &str, mut fields: Value) -> io::Result<()> {
    fields["type"] = json!(kind);
    let mut out = stdout();
    writeln!(out, "{fields}")?;
    out.flush()
}

/// The value of a credential is for programs that speak the protocol; what is printed ends up in files (§14).
fn redact(credential: &mut Value) {
    for name in ["value", "credential_value"] {
        if let Some(value) = credential.get_mut(name) {
            *value = Value::from("[redacted]");
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn clear(bar: &mut Option<ProgressBar>) {
    if let Some(bar) = bar.take() {
        bar.finish_and_clear();
    }
}

/// What stands beside the bar: the agent's own message, and what is left of the budget.
#[derive(Default)]
pub(crate) struct Gauges {
    message: String,
    /// By currency: what there was, if that is known, and what is left.
    budget: BTreeMap<String, (Option<f64>, Number)>,
}

/// How many cells a gauge has.
const CELLS: usize = 10;

impl Gauges {
    fn begin(&mut self, budget: Option<&Budget>) {
        for (currency, amount) in budget.into_iter().flat_map(Budget::iter) {
            let amount = Number::from(amount);
            self.budget.insert(currency.to_string(), (Some(amount.as_f64()), amount));
        }
    }

    fn remains(&mut self, metric: &Metric) {
        let currency = one_line(metric.unit.as_deref().unwrap_or_default());
        let (_, remaining) = self.budget.entry(currency).or_insert((None, metric.value.clone()));
        remaining.clone_from(&metric.value);
    }

    fn advance(&mut self, bar: &ProgressBar, progress: &Progress) {
        if let Some(total) = progress.total.as_ref().map(whole) {
            if bar.length() != Some(total) {
                bar.set_length(total);
                let template = "{bar:40} {pos}/{len} {prefix} {wide_msg}";
                bar.set_style(
                    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()),
                );
            }
            bar.set_position(whole(&progress.current));
        }
        if let Some(units) = &progress.units {
            bar.set_prefix(one_line(units));
        }
        if let Some(message) = &progress.message {
            self.message = one_line(message);
        }
        bar.set_message(self.to_string());
    }
}

impl fmt::Display for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (currency, (budget, remaining)) in &self.budget {
            write!(f, " {currency} ")?;
            if let Some(budget) = budget.filter(|budget| *budget > 0.0) {
                let share = (remaining.as_f64() / budget).clamp(0.0, 1.0);
                let full = (share * CELLS as f64).ceil() as usize;
                write!(f, "{}{} ", "▰".repeat(full), "▱".repeat(CELLS - full))?;
            }
            write!(f, "{remaining} left")?;
        }
        Ok(())
    }
}

/// The number rounded towards zero, for a bar.
fn whole(number: &Number) -> u64 {
    number.as_u64().unwrap_or_else(|| number.as_f64().max(0.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_shows_what_is_left() {
        let mut gauges = Gauges::default();
        let budget: Budget = serde_json::from_value(json!({ "USD": 5, "credits": 10 })).unwrap();
        gauges.begin(Some(&budget));
        let mut metric = Metric::new(BUDGET_REMAINING, "1.42".parse::<Number>().unwrap());
        metric.unit = Some("USD".to_owned());
        gauges.remains(&metric);
        gauges.message = "reading".to_owned();
        assert_eq!(gauges.to_string(), "reading USD ▰▰▰▱▱▱▱▱▱▱ 1.42 left credits ▰▰▰▰▰▰▰▰▰▰ 10 left");
        metric.value = (-1_i64).into();
        gauges.remains(&metric);
        assert!(gauges.to_string().contains("USD ▱▱▱▱▱▱▱▱▱▱ -1 left"));
    }

    #[test]
    fn bars_count_in_whole_numbers() {
        for (text, number) in [("7", 7), ("7.9", 7), ("-1", 0), ("1e300", u64::MAX)] {
            assert_eq!(whole(&text.parse().unwrap()), number, "{text}");
        }
    }
}
