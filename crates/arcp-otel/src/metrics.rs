//! What a runtime counts, under names: one table, for the instruments of OpenTelemetry and for the text of Prometheus.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arcp_core::runtime::{Refused, Tally};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use crate::prometheus;

/// How long a tally is good for, so that a collection of all metrics takes one, and nobody who asks often takes many.
const FRESH: Duration = Duration::from_millis(100);

/// A label and its value. There are a few dozen values of a label at most, and none names a job, a session or a principal.
pub(crate) type Label = (&'static str, String);

/// A number of a metric: with its labels, and exact, as text.
pub(crate) type Point = (Vec<Label>, String);

/// Whether a metric can go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
}

/// A metric, and how its numbers are found.
pub(crate) struct Metric {
    /// As OpenTelemetry has it.
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
    pub(crate) read: fn(&Tally) -> Vec<Point>,
}

pub(crate) const METRICS: &[Metric] = &[
    Metric {
        name: "arcp.sessions",
        unit: "{session}",
        kind: Kind::Gauge,
        help: "Sessions, by whether they have a connection now.",
        read: |tally| {
            let connected = tally.sessions_connected;
            let without = tally.sessions.saturating_sub(connected);
            vec![one("state", "connected", connected), one("state", "disconnected", without)]
        },
    },
    Metric {
        name: "arcp.sessions.opened",
        unit: "{session}",
        kind: Kind::Counter,
        help: "Sessions that were opened.",
        read: |tally| vec![(Vec::new(), tally.sessions_opened.to_string())],
    },
    Metric {
        name: "arcp.resumes",
        unit: "{resume}",
        kind: Kind::Counter,
        help: "Wishes to have a session back, by what became of them: resumed, or the code of the refusal.",
        read: |tally| {
            let refused = tally.refusals.iter().filter(|((what, _), _)| *what == Refused::Resume);
            let refused = refused.map(|((_, code), count)| one("outcome", code, *count));
            [one("outcome", "resumed", tally.sessions_resumed)].into_iter().chain(refused).collect()
        },
    },
    Metric {
        name: "arcp.refusals",
        unit: "{refusal}",
        kind: Kind::Counter,
        help: "What was refused, and the code that says why.",
        read: |tally| {
            let label = |what: &Refused| match what {
                Refused::Session => "session",
                Refused::Resume => "resume",
                Refused::Request => "request",
                Refused::Operation => "operation",
                _ => "other",
            };
            let refusals = tally.refusals.iter();
            let point = |((what, code), count): (&(Refused, &str), &u64)| {
                let labels = vec![("what", label(what).to_owned()), ("reason", (*code).to_owned())];
                (labels, count.to_string())
            };
            refusals.map(point).collect()
        },
    },
    Metric {
        name: "arcp.jobs.running",
        unit: "{job}",
        kind: Kind::Gauge,
        help: "Jobs that have not ended.",
        read: |tally| vec![(Vec::new(), tally.jobs_running.to_string())],
    },
    Metric {
        name: "arcp.jobs.accepted",
        unit: "{job}",
        kind: Kind::Counter,
        help: "Jobs that were accepted, those that jobs delegate included.",
        read: |tally| vec![(Vec::new(), tally.jobs_accepted.to_string())],
    },
    Metric {
        name: "arcp.jobs.ended",
        unit: "{job}",
        kind: Kind::Counter,
        help: "Jobs that have ended, by their final status.",
        read: |tally| {
            let statuses = ["success", "error", "cancelled", "timed_out"];
            let count = |status| tally.jobs_ended.get(status).copied().unwrap_or(0);
            statuses.into_iter().map(|status| one("status", status, count(status))).collect()
        },
    },
    Metric {
        name: "arcp.events",
        unit: "{event}",
        kind: Kind::Counter,
        help: "Events of jobs, by kind; those of vendors are other.",
        read: |tally| tally.events().map(|(kind, count)| one("kind", kind, count)).collect(),
    },
    Metric {
        name: "arcp.ack.lag",
        unit: "{event}",
        kind: Kind::Gauge,
        help: "Messages that connected clients have not acknowledged, of those that acknowledge: of all sessions, and the most of one.",
        read: |tally| vec![one("of", "all", tally.ack_lag), one("of", "most", tally.ack_lag_max)],
    },
    Metric {
        name: "arcp.queue.bytes",
        unit: "By",
        kind: Kind::Gauge,
        help: "Payload that waits to be sent to connected clients, and payload that is kept for resumes, which includes it.",
        read: |tally| vec![one("queue", "unsent", tally.queue_bytes), one("queue", "kept", tally.kept_bytes)],
    },
    Metric {
        name: "arcp.budget.spent",
        unit: "1",
        kind: Kind::Counter,
        help: "Spent by jobs of their budgets, by currency: the first 32 that are spent.",
        read: |tally| {
            let spent = tally.spent.iter();
            spent
                .map(|(currency, amount)| (vec![("currency", currency.to_string())], amount.to_string()))
                .collect()
        },
    },
    Metric {
        name: "arcp.credentials.outstanding",
        unit: "{credential}",
        kind: Kind::Gauge,
        help: "Provisioned credentials that may be good at the upstream.",
        read: |tally| {
            let credentials = tally.credentials;
            vec![
                one("state", "held", credentials.held),
                one("state", "revoking", credentials.revoking),
                one("state", "unrevocable", credentials.unrevocable),
            ]
        },
    },
];

fn one(label: &'static str, value: &str, count: u64) -> Point {
    (vec![(label, value.to_owned())], count.to_string())
}

type Source = dyn Fn() -> Tally + Send + Sync;

/// The metrics of a runtime. Cheap to clone.
///
/// What is counted is counted by the runtime itself, at next to no cost; it is looked at when somebody collects it, at most ten
/// times a second.
#[derive(Clone)]
pub struct RuntimeMetrics(Arc<Inner>);

struct Inner {
    source: Box<Source>,
    last: Mutex<Option<(Instant, Tally)>>,
}

impl RuntimeMetrics {
    /// The metrics of the runtime whose tally this gives, as in `RuntimeMetrics::new(move || runtime.tally())`. Such a closure
    /// keeps the runtime alive.
    pub fn new(source: impl Fn() -> Tally + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { source: Box::new(source), last: Mutex::new(None) }))
    }

    /// Has a meter observe them: `arcp.sessions`, `arcp.jobs.ended` and so on. What a metric is stands in its description.
    ///
    /// Amounts of money are `f64` there, as OpenTelemetry has nothing else; [`prometheus`](Self::prometheus) has them exact.
    pub fn observe_with(&self, meter: &Meter) {
        for metric in METRICS {
            let (name, unit, help) = (metric.name, metric.unit, metric.help);
            let metrics = self.clone();
            match (metric.kind, unit) {
                (Kind::Counter, "1") => drop(
                    meter
                        .f64_observable_counter(name)
                        .with_unit(unit)
                        .with_description(help)
                        .with_callback(move |observer| {
                            metrics.each(metric, |value, labels| {
                                observer.observe(value.parse().unwrap_or(f64::NAN), labels)
                            })
                        })
                        .build(),
                ),
                (Kind::Counter, _) => drop(
                    meter
                        .u64_observable_counter(name)
                        .with_unit(unit)
                        .with_description(help)
                        .with_callback(move |observer| {
                            metrics.each(metric, |value, labels| {
                                observer.observe(value.parse().unwrap_or(0), labels)
                            })
                        })
                        .build(),
                ),
                (Kind::Gauge, _) => drop(
                    meter
                        .u64_observable_gauge(name)
                        .with_unit(unit)
                        .with_description(help)
                        .with_callback(move |observer| {
                            metrics.each(metric, |value, labels| {
                                observer.observe(value.parse().unwrap_or(0), labels)
                            })
                        })
                        .build(),
                ),
            }
        }
    }

    fn each(&self, metric: &Metric, mut observe: impl FnMut(&str, &[KeyValue])) {
        for (labels, value) in (metric.read)(&self.tally()) {
            let labels: Vec<_> = labels.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect();
            observe(&value, &labels);
        }
    }

    /// All of them in the text format of Prometheus, version 0.0.4: `arcp_sessions`, `arcp_jobs_ended_total` and so on.
    pub fn prometheus(&self) -> String {
        prometheus::text(&self.tally())
    }

    fn tally(&self) -> Tally {
        let mut last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((at, tally)) if at.elapsed() < FRESH => tally.clone(),
            _ => {
                let tally = (self.0.source)();
                *last = Some((Instant::now(), tally.clone()));
                tally
            }
        }
    }
}

impl std::fmt::Debug for RuntimeMetrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuntimeMetrics").finish_non_exhaustive()
    }
}
