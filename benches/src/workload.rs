//! The workloads: what is run, beside what, and what is to be reached. Nothing is measured here.

use crate::floor::Kind;
use crate::load::Work;
use crate::sample::Sample;

/// One workload, in one size.
pub(crate) struct Case {
    /// `W1` and so on.
    pub(crate) id: &'static str,
    pub(crate) title: String,
    pub(crate) work: Work,
    /// How many events or jobs.
    pub(crate) count: u64,
    /// How many sessions follow a job.
    pub(crate) subscribers: u64,
    /// What the runtime is told beyond what every one is.
    pub(crate) serve: &'static [&'static str],
    /// Where the runtime keeps what it says.
    pub(crate) store: Store,
    /// Whether it exports spans, of 1 % of its jobs, and metrics.
    pub(crate) telemetry: bool,
    pub(crate) baseline: Baseline,
    pub(crate) measures: &'static [Measure],
    /// With how many a published runtime of others is measured as well, if it is there.
    pub(crate) peer: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Sqlite,
}

/// What a case is compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Baseline {
    /// The least server of this kind.
    Floor(Kind),
    /// Another workload of the same round.
    Case(&'static str),
}

/// One number of a sample, and how it is compared.
pub(crate) struct Measure {
    pub(crate) key: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) target: Target,
}

/// What a number is to be, beside the one of the baseline.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At least this share of it.
    AtLeast(f64),
    /// At most so many times as much.
    AtMost(f64),
    /// At most so much more.
    AtMostMore(f64),
    /// Nothing in particular: it is told.
    Told,
}

impl Target {
    /// A number as it is compared with that of the baseline: how many times as much, or how much more.
    pub(crate) fn compare(self, ours: f64, theirs: f64) -> f64 {
        match self {
            Self::AtMostMore(_) => ours - theirs,
            Self::AtLeast(_) | Self::AtMost(_) | Self::Told => ours / theirs,
        }
    }

    pub(crate) fn is_reached(self, compared: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(compared >= least),
            Self::AtMost(most) | Self::AtMostMore(most) => Some(compared <= most),
            Self::Told => None,
        }
    }
}

const EVENTS: &[Measure] = &[
    Measure { key: "events_per_s", unit: "events/s", target: Target::AtLeast(0.8) },
    Measure { key: "cpu_s", unit: "CPU s for 100,000 events, both ends", target: Target::Told },
];

const ANSWERS: &[Measure] = &[
    Measure { key: "p50_us", unit: "µs, median", target: Target::AtMost(1.6) },
    Measure { key: "p99_us", unit: "µs, 99th percentile", target: Target::Told },
    Measure { key: "jobs_per_s", unit: "jobs/s, 64 in flight", target: Target::AtLeast(0.4) },
    Measure { key: "cpu_s", unit: "CPU s for 100,000 jobs, both ends", target: Target::Told },
];

const FANOUT: &[Measure] =
    &[Measure { key: "deliveries_per_s", unit: "deliveries/s", target: Target::AtLeast(0.5) }];

const IDLE: &[Measure] =
    &[Measure { key: "bytes_per_session", unit: "bytes/session", target: Target::AtMostMore(12_288.0) }];

const REPLAY: &[Measure] = &[Measure { key: "events_per_s", unit: "events/s", target: Target::AtLeast(0.7) }];

const STORED: &[Measure] =
    &[Measure { key: "events_per_s", unit: "events/s", target: Target::AtLeast(0.35) }];

const TRACED: &[Measure] = &[
    Measure { key: "events_per_s", unit: "events/s", target: Target::AtLeast(0.95) },
    Measure { key: "cpu_s", unit: "CPU s for 100,000 events, both ends", target: Target::AtMost(1.05) },
];

const MIXED: &[Measure] = &[
    Measure { key: "cpu_s", unit: "CPU s for 100,000 events, both ends", target: Target::AtMost(1.5) },
    Measure { key: "server_cpu_s", unit: "CPU s for 100,000 events, server", target: Target::Told },
    Measure { key: "events_per_s", unit: "events/s", target: Target::Told },
    Measure { key: "share", unit: "of that rate, paced", target: Target::Told },
    Measure { key: "late_p99_ms", unit: "ms late when paced, 99th percentile", target: Target::Told },
];

const BYTES: &[Measure] = &[Measure { key: "seconds", unit: "s", target: Target::AtMost(1.3) }];

/// Events of a job that is fanned out: as many as a runtime keeps for readers that do not keep up.
const FANNED_OUT: u64 = 60_000;

/// Every workload in its full size.
pub(crate) fn full() -> Vec<Case> {
    let mut cases = vec![events(1_000_000), answers(10_000)];
    cases.extend([1, 10, 100].map(|subscribers| fanout(FANNED_OUT, subscribers)));
    cases.extend([1_000, 5_000, 10_000].map(idle));
    cases.extend([replay(100_000), stored(1_000_000), mixed(4_000), bytes(512), traced(1_000_000)]);
    cases
}

/// A few of them, small.
pub(crate) fn quick() -> Vec<Case> {
    vec![events(100_000), answers(1_000), stored(100_000), traced(100_000)]
}

/// What is measured at 1, 4 and 16 times a size, to see how its cost grows.
pub(crate) struct Growth {
    pub(crate) name: &'static str,
    pub(crate) sizes: [u64; 3],
    pub(crate) case: fn(u64) -> Case,
    /// What a size has cost, given what was measured.
    pub(crate) cost: fn(u64, &Sample) -> Option<f64>,
}

/// What cost is to be in proportion to.
pub(crate) const GROWTH: [Growth; 3] = [
    Growth {
        name: "events of a job: seconds",
        sizes: [62_500, 250_000, 1_000_000],
        case: events,
        cost: |size, sample| Some(size as f64 / sample.value("events_per_s")?),
    },
    Growth {
        name: "subscribers: seconds",
        sizes: [6, 24, 96],
        case: |size| fanout(20_000, size),
        cost: |size, sample| Some(size as f64 * 20_000.0 / sample.value("deliveries_per_s")?),
    },
    Growth {
        name: "idle sessions: bytes",
        sizes: [625, 2_500, 10_000],
        case: idle,
        cost: |size, sample| Some(size as f64 * sample.value("bytes_per_session")?),
    },
];

fn events(count: u64) -> Case {
    Case {
        id: "W1",
        title: format!("one job, {count} events to one client that reads each typed"),
        work: Work::Events,
        count,
        subscribers: 1,
        serve: &[],
        store: Store::Memory,
        telemetry: false,
        baseline: Baseline::Floor(Kind::Events),
        measures: EVENTS,
        peer: Some(count / 40),
    }
}

fn answers(count: u64) -> Case {
    Case {
        id: "W2",
        title: "submit to result, of a job that emits one event".to_owned(),
        work: Work::Answers,
        baseline: Baseline::Floor(Kind::Answers),
        measures: ANSWERS,
        peer: Some(count / 10),
        ..events(count)
    }
}

fn fanout(count: u64, subscribers: u64) -> Case {
    Case {
        id: "W3",
        title: format!("{count} events of one job to {subscribers} sessions"),
        work: Work::Fanout,
        subscribers,
        baseline: Baseline::Floor(Kind::Fanout),
        measures: FANOUT,
        peer: None,
        ..events(count)
    }
}

fn idle(count: u64) -> Case {
    Case {
        id: "W4",
        title: format!("{count} idle sessions"),
        work: Work::Idle,
        baseline: Baseline::Floor(Kind::Idle),
        measures: IDLE,
        peer: None,
        ..events(count)
    }
}

fn replay(count: u64) -> Case {
    Case {
        id: "W5",
        title: format!("{count} events again, after a resume"),
        work: Work::Replay,
        serve: &["--buffer-events", "200000", "--buffer-bytes", "268435456"],
        baseline: Baseline::Floor(Kind::Replay),
        measures: REPLAY,
        peer: None,
        ..events(count)
    }
}

fn stored(count: u64) -> Case {
    Case {
        id: "W6",
        title: "W1 with the SQLite store".to_owned(),
        store: Store::Sqlite,
        baseline: Baseline::Case("W1"),
        measures: STORED,
        peer: None,
        ..events(count)
    }
}

fn traced(count: u64) -> Case {
    Case {
        id: "W9",
        title: "W1 with spans of 1 % of the jobs and with metrics, exported by OTLP".to_owned(),
        telemetry: true,
        baseline: Baseline::Case("W1"),
        measures: TRACED,
        peer: None,
        ..events(count)
    }
}

fn mixed(count: u64) -> Case {
    Case {
        id: "W7",
        title: format!("64 sessions with 4 jobs each, of {count} events, of mixed kinds"),
        work: Work::Mixed,
        measures: MIXED,
        peer: None,
        ..events(count)
    }
}

fn bytes(count: u64) -> Case {
    Case {
        id: "W8",
        title: format!("a result of {} MiB, streamed", count / 2),
        work: Work::Bytes,
        baseline: Baseline::Floor(Kind::Bytes),
        measures: BYTES,
        peer: None,
        ..events(count)
    }
}
