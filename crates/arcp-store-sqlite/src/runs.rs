//! Runs: what a session was shown of one job in one batch, in one value.
//!
//! Version 1 is, for each run, the messages of other jobs since the run before; its place in the job's log as the difference to the
//! end of the run before; and twice its length. What stands for a gap has an odd number there, 1, and its time after it.

use arcp_proto::Timestamp;

use crate::codec::{Reader, Writer};
use crate::error::Damage;

/// Consecutive messages of one job in the view of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// The number of the first.
    pub(crate) seq: u64,
    /// The place of the first in the job's log.
    pub(crate) index: u64,
    pub(crate) count: u64,
    /// The time, for what stands for a gap.
    pub(crate) gap: Option<Timestamp>,
}

/// Where runs stand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) session: i64,
    pub(crate) job: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Place {
    fn beside(self) -> [i64; 4] {
        [self.session, self.job, self.first, self.last]
    }
}

/// Encodes runs in the order of their numbers, the first of which is that of the place.
pub(crate) fn encode(place: Place, runs: &[Run]) -> Vec<u8> {
    let mut writer = Writer::with_capacity(runs.len() * 4);
    let (mut seq, mut index) = (place.first as u64, 0_u64);
    for run in runs {
        writer.number(run.seq.wrapping_sub(seq));
        writer.signed(run.index.wrapping_sub(index) as i64);
        match run.gap {
            None => writer.number(run.count << 1),
            Some(ts) => {
                writer.number(1);
                writer.signed(ts.as_millis());
            }
        }
        (seq, index) = (run.seq + run.count, run.index + run.count);
    }
    writer.finish(&place.beside())
}

/// Decodes runs.
pub(crate) fn decode(place: Place, bytes: &[u8], mut each: impl FnMut(Run)) -> Result<(), Damage> {
    const IMPOSSIBLE: Damage = Damage("holds a run that cannot be");
    let mut reader = Reader::new(bytes, &place.beside())?;
    let last = u64::try_from(place.last).map_err(|_| IMPOSSIBLE)?;
    let (mut seq, mut index) = (u64::try_from(place.first).map_err(|_| IMPOSSIBLE)?, 0_u64);
    while !reader.is_empty() {
        seq = seq.checked_add(reader.number()?).ok_or(IMPOSSIBLE)?;
        index = index.wrapping_add(reader.signed()? as u64);
        let (count, gap) = match reader.number()? {
            1 => (1, Some(Timestamp::from_millis(reader.signed()?))),
            even if even & 1 == 0 && even > 0 => (even >> 1, None),
            _ => return Err(IMPOSSIBLE),
        };
        let end = index.checked_add(count).ok_or(IMPOSSIBLE)?;
        each(Run { seq, index, count, gap });
        (seq, index) = (seq.checked_add(count).ok_or(IMPOSSIBLE)?, end);
        if seq - 1 > last {
            return Err(IMPOSSIBLE);
        }
    }
    Ok(())
}

/// What is left of a run from a number on.
pub(crate) fn trim(run: Run, from: u64) -> Option<Run> {
    let gone = from.saturating_sub(run.seq);
    (gone < run.count).then(|| Run {
        seq: run.seq + gone,
        index: run.index + gone,
        count: run.count - gone,
        ..run
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(seq: u64, index: u64, count: u64) -> Run {
        Run { seq, index, count, gap: None }
    }

    #[test]
    fn runs_come_back_as_they_were() {
        let gap = Run { gap: Some(Timestamp::from_millis(-3)), ..run(25, 400, 1) };
        let runs = [run(10, 100, 5), run(20, 0, 1), run(21, 300, 2), gap, run(26, 400, 1 << 40)];
        let place = Place { session: 1, job: 2, first: 10, last: 25 + (1 << 40) };
        let bytes = encode(place, &runs);
        let mut read = Vec::new();
        decode(place, &bytes, |run| read.push(run)).unwrap();
        assert_eq!(read, runs);
        assert!(decode(Place { job: 3, ..place }, &bytes, |_| ()).is_err());
        assert!(bytes.len() < 40);
    }

    #[test]
    fn a_run_is_trimmed_where_it_is_freed() {
        assert_eq!(trim(run(10, 100, 5), 3), Some(run(10, 100, 5)));
        assert_eq!(trim(run(10, 100, 5), 12), Some(run(12, 102, 3)));
        assert_eq!(trim(run(10, 100, 5), 15), None);
    }

    #[test]
    fn bytes_with_a_good_sum_that_mean_nothing_are_refused() {
        let place = Place { session: 1, job: 1, first: 1, last: 5 };
        for numbers in [&[0, 0][..], &[0, 0, 0], &[0, 0, 3], &[0, 0, 14], &[u64::MAX, 0, 2]] {
            let mut writer = Writer::with_capacity(0);
            numbers.iter().for_each(|number| writer.number(*number));
            assert!(decode(place, &writer.finish(&place.beside()), |_| ()).is_err(), "{numbers:?}");
        }
    }
}
