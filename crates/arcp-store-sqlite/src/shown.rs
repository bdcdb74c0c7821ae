//! What views show of which job, as far as it decides on what is still needed of that job's log.

use std::collections::BTreeMap;

use rusqlite::Connection;

/// For each job how many rows of views begin at which place of its log.
#[derive(Debug, Default)]
pub(crate) struct ShownJobs {
    /// What shows no entry, but that entries are missing, is at [`NOWHERE`].
    rows: BTreeMap<(i64, i64), u32>,
    /// What the open transaction has put in (or taken out), in order.
    changed: Vec<((i64, i64), bool)>,
}

/// After all places.
const NOWHERE: i64 = i64::MAX;

impl ShownJobs {
    /// All that the table has.
    pub(crate) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let mut this = Self::default();
        let mut select = conn.prepare("SELECT job, min_index FROM views")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            this.insert(row.get(0)?, row.get(1)?);
        }
        this.changed.clear();
        Ok(this)
    }

    /// A row is written that shows a job from a place on.
    pub(crate) fn insert(&mut self, job: i64, min_index: Option<i64>) {
        self.change((job, min_index.unwrap_or(NOWHERE)), true);
    }

    /// Such a row is removed.
    pub(crate) fn remove(&mut self, job: i64, min_index: Option<i64>) {
        self.change((job, min_index.unwrap_or(NOWHERE)), false);
    }

    fn change(&mut self, at: (i64, i64), more: bool) {
        self.count(at, more);
        self.changed.push((at, more));
    }

    fn count(&mut self, at: (i64, i64), more: bool) {
        let count = self.rows.entry(at).or_default();
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
        if *count == 0 {
            self.rows.remove(&at);
        }
    }

    /// The first place of a job's log that is shown, [`i64::MAX`] if none is but something stands for it; `None` if nothing does.
    pub(crate) fn lowest(&self, job: i64) -> Option<i64> {
        self.rows.range((job, i64::MIN)..=(job, NOWHERE)).next().map(|((_, index), _)| *index)
    }

    /// The transaction is committed.
    pub(crate) fn committed(&mut self) {
        self.changed.clear();
    }

    /// The transaction is rolled back.
    pub(crate) fn rolled_back(&mut self) {
        while let Some((at, more)) = self.changed.pop() {
            self.count(at, !more);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_place_is_known_and_a_rollback_takes_everything_back() {
        let mut shown = ShownJobs::default();
        shown.insert(1, Some(5));
        shown.insert(1, Some(3));
        shown.insert(1, Some(3));
        shown.insert(2, None);
        shown.committed();
        assert_eq!((shown.lowest(1), shown.lowest(2), shown.lowest(3)), (Some(3), Some(i64::MAX), None));
        let before = format!("{:?}", shown.rows);
        shown.remove(1, Some(3));
        assert_eq!(shown.lowest(1), Some(3), "another row shows it");
        shown.remove(1, Some(3));
        shown.remove(2, None);
        shown.insert(3, Some(0));
        assert_eq!((shown.lowest(1), shown.lowest(2), shown.lowest(3)), (Some(5), None, Some(0)));
        shown.rolled_back();
        assert_eq!(format!("{:?}", shown.rows), before);
    }
}
