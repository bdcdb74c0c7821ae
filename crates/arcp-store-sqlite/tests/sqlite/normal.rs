//! What two stores have in common: what was recovered, without what nobody needs, as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use arcp_runtime::store::{Entry, Recovered, RecoveredSession};

/// Everything that is needed, one line a thing.
pub(crate) fn text(recovered: &Recovered) -> String {
    let mut needed: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for session in &recovered.sessions {
        for run in &session.view {
            let indices = needed.entry(run.job.job_id.as_str()).or_default();
            if run.gap.is_none() {
                indices.extend(run.index..run.index + run.count);
            }
        }
    }
    let mut out = String::new();
    for session in &recovered.sessions {
        self::session(&mut out, session);
    }
    for job in &recovered.jobs {
        let shown = needed.get(job.head.job_id.as_str());
        if job.gone && shown.is_none() {
            continue;
        }
        let record = &job.record;
        let rerun = record.rerun.as_ref().map(|rerun| rerun.input.as_str());
        writeln!(out, "job {:?} {record:?} {rerun:?}", job.head).unwrap();
        writeln!(out, "  log from {} after {}", job.kept_from, job.forgotten_seq).unwrap();
        writeln!(out, "  {:?} {:?} {:?} {}", job.stopping, job.ended, job.remaining, job.gone).unwrap();
        writeln!(out, "  {:?}", job.checkpoint.as_ref().map(|checkpoint| checkpoint.as_str())).unwrap();
        let empty = BTreeSet::new();
        let shown = shown.unwrap_or(&empty);
        for logged in &job.entries {
            let index = logged.entry.index;
            if shown.contains(&index) || (!job.gone && index >= job.kept_from) {
                write!(out, "  {} ", logged.owner_seq).unwrap();
                entry(&mut out, &logged.entry);
            }
        }
    }
    out
}

fn session(out: &mut String, session: &RecoveredSession) {
    let record = &session.record;
    let tokens =
        (record.resume_token.as_bytes(), record.old_resume_token.as_ref().map(|old| *old.as_bytes()));
    writeln!(out, "session {record:?} {tokens:?}").unwrap();
    writeln!(out, "  {} {}", session.first_seq, session.acknowledged).unwrap();
    for run in &session.view {
        for index in run.index..run.index + run.count {
            writeln!(out, "  {} {index} {:?}", run.job.job_id, run.gap).unwrap();
        }
    }
    for follow in &session.following {
        writeln!(out, "  {follow:?}").unwrap();
    }
}

fn entry(out: &mut String, entry: &Entry) {
    let Entry { job, index, message_type, kind, feature, ts, payload, plain, gap } = entry;
    let payload = payload.as_str();
    writeln!(out, "{} {index} {message_type} {kind:?} {feature:?} {ts:?} {payload} {gap}", job.job_id)
        .unwrap();
    if let Some(plain) = plain {
        out.push_str("    plain ");
        self::entry(out, plain);
    }
}

/// Asserts that two are the same, and shows where they part.
pub(crate) fn assert_same(left: &Recovered, right: &Recovered, what: &str) {
    let (left, right) = (text(left), text(right));
    let differ = left.lines().zip(right.lines()).find(|(left, right)| left != right);
    assert!(
        left == right,
        "{what}: {differ:#?} ({} and {} lines)",
        left.lines().count(),
        right.lines().count()
    );
}
