//! What is said at the end: a table, and whether the runtime has stood it.

use std::fmt::Write;
use std::time::Duration;

use crate::hostile::KINDS;
use crate::server::Sample;
use crate::world::{Phase, World};

/// With hostility, 99 of 100 jobs may take so many times as long as without.
const TIMES: f64 = 3.0;
/// Memory may rise over the second half of the hostile run by so much of what it is on average there: along the straight line
/// that fits it best, so that neither a peak nor a trough at either end decides.
const RISE: f64 = 0.05;

/// Prints the table. The error names what the runtime has not stood.
pub(crate) fn judge(world: &World, samples: &[Sample]) -> Result<(), String> {
    let mut table = String::new();
    let mut failures = Vec::new();
    let counts = world.counts();
    for (what, count) in &counts {
        let _ = writeln!(table, "{what:<52} {count:>12}");
    }
    let hostility = world.hostility.borrow().clone();
    for kind in KINDS {
        let count = hostility.get(kind).copied().unwrap_or_default();
        let _ = writeln!(table, "{kind:<52} {count:>12}");
        if count == 0 {
            failures.push(format!("nothing is proven of {kind}: there were none"));
        }
    }
    judge_losses(world, &mut failures);
    let (quiet, hostile) = (world.latencies(Phase::Quiet), world.latencies(Phase::Hostile));
    for (name, latencies) in [("quiet", &quiet), ("hostile", &hostile)] {
        let [half, most, all] = [0.5, 0.99, 1.0].map(|part| milliseconds(percentile(latencies, part)));
        let what = format!("submit to result, {name}: p50, p99, max in ms");
        let _ = writeln!(table, "{what:<52} {half:>12.1} {most:>8.1} {all:>8.1}   of {}", latencies.len());
    }
    let course: Vec<_> = course(samples).map(|bytes| format!("{:.0}", mebibytes(bytes))).collect();
    let _ = writeln!(table, "resident memory over the hostile run, in MiB: {}", course.join(" "));
    let rise = rise(samples);
    let mean = mean(samples);
    let _ = writeln!(table, "{:<52} {:>12.1}", "resident memory, second half: mean in MiB", mebibytes(mean));
    let _ = writeln!(table, "{:<52} {:>12.1}", "resident memory, second half: rise in MiB", mebibytes(rise));
    println!("\n{table}");
    if world.options.judges_everything() {
        let (quiet, hostile) = (percentile(&quiet, 0.99), percentile(&hostile, 0.99));
        if hostile.is_zero() || quiet.is_zero() {
            failures.push("no latencies were measured".to_owned());
        }
        if hostile.as_secs_f64() > TIMES * quiet.as_secs_f64() {
            failures
                .push(format!("p99 of submit to result was {quiet:.1?}, and {hostile:.1?} with hostility"));
        }
        if rise > RISE * mean {
            failures.push(format!(
                "resident memory has risen by {:.1} MiB in the second half, more than {} % of {:.1} MiB",
                mebibytes(rise),
                RISE * 100.0,
                mebibytes(mean)
            ));
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn judge_losses(world: &World, failures: &mut Vec<String>) {
    let counts = world.counts();
    let count = |what: &str| counts.get(what).copied().unwrap_or_default();
    let (jobs, ended) = (count("jobs of honest clients"), count("jobs that ended as they must"));
    if jobs == 0 || jobs != ended {
        failures.push(format!("{jobs} jobs of honest clients, of which {ended} ended as they must"));
    }
    for needed in ["ends told to sessions, each once", "jobs watched to their ends", "jobs listed"] {
        if count(needed) == 0 {
            failures.push(format!("nothing is proven of {needed}: there were none"));
        }
    }
    let (number, problems) = world.problems();
    if number > 0 {
        failures.push(format!("{number} problems:\n  {}", problems.join("\n  ")));
    }
}

/// Of sorted times, the one below which so great a part lies.
fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let index = (sorted.len() as f64 * part).ceil() as usize;
    sorted.get(index.saturating_sub(1)).copied().unwrap_or_default()
}

/// Memory in each of twelve parts of the run, on average.
fn course(samples: &[Sample]) -> impl Iterator<Item = f64> {
    let parts = samples.chunks(samples.len().div_ceil(12).max(1));
    parts.map(|part| part.iter().map(|sample| sample.bytes as f64).sum::<f64>() / part.len() as f64)
}

fn second_half(samples: &[Sample]) -> &[Sample] {
    &samples[samples.len() / 2..]
}

fn mean(samples: &[Sample]) -> f64 {
    let half = second_half(samples);
    half.iter().map(|sample| sample.bytes as f64).sum::<f64>() / half.len().max(1) as f64
}

/// By how many bytes the line of least squares through the second half rises from its one end to its other.
fn rise(samples: &[Sample]) -> f64 {
    let half = second_half(samples);
    let (Some(first), Some(last)) = (half.first(), half.last()) else { return 0.0 };
    let count = half.len() as f64;
    let mean_at = half.iter().map(|sample| sample.at.as_secs_f64()).sum::<f64>() / count;
    let mean_bytes = mean(samples);
    let (mut over, mut under) = (0.0, 0.0);
    for sample in half {
        let at = sample.at.as_secs_f64() - mean_at;
        over += at * (sample.bytes as f64 - mean_bytes);
        under += at * at;
    }
    if under == 0.0 { 0.0 } else { over / under * (last.at - first.at).as_secs_f64() }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

fn mebibytes(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}

#[test]
fn a_line_that_rises_is_told_from_one_that_does_not() {
    let samples = |bytes: fn(u64) -> u64| -> Vec<Sample> {
        (0..100).map(|at| Sample { at: Duration::from_secs(at), bytes: bytes(at) }).collect()
    };
    assert!((rise(&samples(|at| 1_000 + 10 * at)) - 490.0).abs() < 1e-6);
    assert!(rise(&samples(|at| 1_000 + 500 * (at % 2))).abs() < 50.0);
    assert!(rise(&samples(|at| 10_000 - 10 * at)) < 0.0);
}

#[test]
fn percentiles_are_of_those_that_there_are() {
    let times: Vec<_> = (1..=200).map(Duration::from_millis).collect();
    assert_eq!(percentile(&times, 0.99), Duration::from_millis(198));
    assert_eq!(percentile(&times, 1.0), Duration::from_millis(200));
    assert_eq!(percentile(&[], 0.99), Duration::ZERO);
}
