//! What is kept of a job's log for those who subscribe later: the newest entries as they are, older ones packed, many in one piece of
//! memory. An entry that nobody else holds any more is forgotten soon after it was made, while it is near, and not long afterwards one by one,
//! when each is in no cache.

use std::collections::VecDeque;
use std::sync::Arc;

use arcp_proto::event::EventKind;
use arcp_proto::{Feature, JsonPack, MessageType, Timestamp};

use super::log::{Entry, JobHead};

/// Entries that are packed together.
const TOGETHER: usize = 64;

/// Payloads that are packed together at most, in bytes. Larger ones are worth their own memory.
const MOST_BYTES: usize = 64 << 10;

/// The history of a job.
#[derive(Debug, Default)]
pub(super) struct History {
    /// What comes first, in order.
    sections: VecDeque<Section>,
    /// How many entries of the first section are forgotten.
    skipped: usize,
    recent: VecDeque<Kept>,
    /// The place in the log of the first entry that is kept, if any is.
    first: u64,
    bytes: usize,
    last_owner_seq: u64,
    /// The number of the last entry that is no longer kept; 0 for none.
    forgotten: u64,
}

#[derive(Debug)]
struct Kept {
    entry: Arc<Entry>,
    /// The number that its submitter's session had come to with it.
    owner_seq: u64,
}

/// So many entries, one after the other.
#[derive(Debug)]
enum Section {
    Packed(Packed),
    Loose(Vec<Kept>),
}

/// Events, without what they have in common.
#[derive(Debug)]
struct Packed {
    job: Arc<JobHead>,
    payloads: JsonPack,
    events: Vec<Event>,
}

#[derive(Debug)]
struct Event {
    kind: Option<EventKind>,
    feature: Option<Feature>,
    ts: Timestamp,
    owner_seq: u64,
}

impl History {
    pub(super) fn push(&mut self, entry: Arc<Entry>, owner_seq: u64) {
        if self.len() == 0 {
            self.first = entry.index;
        }
        self.last_owner_seq = owner_seq;
        self.bytes += entry.payload.len();
        self.recent.push_back(Kept { entry, owner_seq });
        if self.recent.len() >= 2 * TOGETHER {
            self.sections.push_back(Section::of(self.recent.drain(..TOGETHER).collect()));
        }
    }

    /// The number of the last entry in the submitter's count; 0 before the first.
    pub(super) fn last_owner_seq(&self) -> u64 {
        self.last_owner_seq
    }

    /// One whose beginning is no longer kept.
    pub(super) fn beginning_after(owner_seq: u64) -> Self {
        Self { last_owner_seq: owner_seq, forgotten: owner_seq, ..Self::default() }
    }

    /// The place of the first entry that is kept, and the number that its submitter's session had come to before it.
    pub(super) fn beginning(&self) -> Option<(u64, u64)> {
        (self.len() > 0).then_some((self.first, self.forgotten))
    }

    /// The place of the first entry that is kept after a number of the submitter's count.
    pub(super) fn place_after(&self, owner_seq: u64) -> Option<u64> {
        let before = self.sections.partition_point(|section| section.last_owner_seq() <= owner_seq);
        let within = match self.sections.get(before) {
            Some(section) => section.count_up_to(owner_seq),
            None => self.recent.partition_point(|kept| kept.owner_seq <= owner_seq),
        };
        let offset = (before * TOGETHER + within).saturating_sub(self.skipped);
        (offset < self.len()).then(|| self.first + offset as u64)
    }

    /// The entry at a place, or the first that is kept after it.
    pub(super) fn at_or_after(&self, index: u64) -> Option<Arc<Entry>> {
        let index = index.max(self.first);
        let offset = usize::try_from(index - self.first).ok()?.checked_add(self.skipped)?;
        match self.sections.get(offset / TOGETHER) {
            Some(section) => section.get(offset % TOGETHER, index),
            None => {
                let kept = self.recent.get(offset.checked_sub(self.sections.len() * TOGETHER)?)?;
                Some(Arc::clone(&kept.entry))
            }
        }
    }

    /// Whether entries after a number of the submitter's count are no longer kept.
    pub(super) fn has_forgotten_after(&self, owner_seq: u64) -> bool {
        owner_seq < self.forgotten
    }

    pub(super) fn len(&self) -> usize {
        self.sections.len() * TOGETHER - self.skipped + self.recent.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the oldest entry and returns its size.
    pub(super) fn forget_first(&mut self) -> Option<usize> {
        let (bytes, owner_seq) = match self.sections.front() {
            Some(section) => {
                let size = section.size(self.skipped)?;
                self.skipped += 1;
                if self.skipped == TOGETHER {
                    self.skipped = 0;
                    self.sections.pop_front();
                }
                size
            }
            None => {
                let kept = self.recent.pop_front()?;
                (kept.entry.payload.len(), kept.owner_seq)
            }
        };
        self.first += 1;
        self.forgotten = owner_seq;
        self.bytes -= bytes;
        Some(bytes)
    }

    /// Forgets everything and returns its size.
    pub(super) fn clear(&mut self) -> usize {
        if self.len() > 0 {
            self.forgotten = self.last_owner_seq;
        }
        (self.sections, self.recent, self.skipped) = (VecDeque::new(), VecDeque::new(), 0);
        std::mem::take(&mut self.bytes)
    }
}

impl Section {
    fn of(entries: Vec<Kept>) -> Self {
        let is_plain = |kept: &Kept| {
            let entry = &kept.entry;
            entry.message_type == MessageType::JobEvent && entry.plain.is_none() && !entry.gap
        };
        let bytes: usize = entries.iter().map(|kept| kept.entry.payload.len()).sum();
        match entries.first() {
            Some(first) if bytes <= MOST_BYTES && entries.iter().all(is_plain) => {
                let job = Arc::clone(&first.entry.job);
                let payloads = JsonPack::of(entries.iter().map(|kept| &kept.entry.payload));
                let events = entries.iter().map(Event::of).collect();
                Self::Packed(Packed { job, payloads, events })
            }
            _ => Self::Loose(entries),
        }
    }

    fn get(&self, offset: usize, index: u64) -> Option<Arc<Entry>> {
        match self {
            Self::Loose(entries) => Some(Arc::clone(&entries.get(offset)?.entry)),
            Self::Packed(Packed { job, payloads, events }) => {
                let event = events.get(offset)?;
                Some(Arc::new(Entry {
                    job: Arc::clone(job),
                    index,
                    message_type: MessageType::JobEvent,
                    kind: event.kind.clone(),
                    feature: event.feature.clone(),
                    ts: event.ts,
                    payload: payloads.get(offset)?,
                    plain: None,
                    gap: false,
                }))
            }
        }
    }

    /// The size and the number of an entry.
    fn size(&self, offset: usize) -> Option<(usize, u64)> {
        match self {
            Self::Loose(entries) => {
                entries.get(offset).map(|kept| (kept.entry.payload.len(), kept.owner_seq))
            }
            Self::Packed(packed) => {
                Some((packed.payloads.len_of(offset)?, packed.events.get(offset)?.owner_seq))
            }
        }
    }

    fn last_owner_seq(&self) -> u64 {
        match self {
            Self::Loose(entries) => entries.last().map(|kept| kept.owner_seq),
            Self::Packed(packed) => packed.events.last().map(|event| event.owner_seq),
        }
        .unwrap_or(0)
    }

    /// How many entries have a number up to this one.
    fn count_up_to(&self, owner_seq: u64) -> usize {
        match self {
            Self::Loose(entries) => entries.partition_point(|kept| kept.owner_seq <= owner_seq),
            Self::Packed(packed) => packed.events.partition_point(|event| event.owner_seq <= owner_seq),
        }
    }
}

impl Event {
    fn of(kept: &Kept) -> Self {
        let Entry { kind, feature, ts, .. } = &*kept.entry;
        Self { kind: kind.clone(), feature: feature.clone(), ts: *ts, owner_seq: kept.owner_seq }
    }
}

#[cfg(test)]
mod tests {
    use arcp_proto::{Json, TraceId};
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        /// So many entries of a size, each so much further in the submitter's count.
        Push {
            count: usize,
            size: usize,
            seqs: u64,
        },
        /// One that is not like the others.
        PushEnd,
        Forget(usize),
        Clear,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (1..200_usize, prop_oneof![2..40_usize, Just(MOST_BYTES / 2)], 0..3_u64)
                .prop_map(|(count, size, seqs)| Step::Push { count, size, seqs }),
            1 => Just(Step::PushEnd),
            4 => (0..150_usize).prop_map(Step::Forget),
            1 => Just(Step::Clear),
        ]
    }

    fn entry(job: &Arc<JobHead>, index: u64, size: usize, is_end: bool) -> Arc<Entry> {
        let text = format!("\"{index:0>width$}\"", width = size);
        Arc::new(Entry {
            job: Arc::clone(job),
            index,
            message_type: if is_end { MessageType::JobResult } else { MessageType::JobEvent },
            kind: (!is_end)
                .then(|| EventKind::from(if index.is_multiple_of(3) { "x-vendor.a" } else { "log" })),
            feature: index.is_multiple_of(5).then_some(Feature::Progress),
            ts: Timestamp::from_millis(index as i64 * 7),
            payload: Json::parse(text).unwrap(),
            plain: None,
            gap: false,
        })
    }

    proptest! {
        #[test]
        fn it_is_a_queue_of_entries(steps in prop::collection::vec(step(), 1..30), begins_at in 0..100_u64) {
            let job = Arc::new(JobHead {
                job_id: "job_1".parse().unwrap(),
                trace_id: TraceId::new(7).unwrap(),
                trace_context: None,
            });
            let mut history = History::beginning_after(begins_at);
            let mut model: VecDeque<(Arc<Entry>, u64)> = VecDeque::new();
            let (mut index, mut seq, mut forgotten) = (begins_at, begins_at, begins_at);
            for step in steps {
                match step {
                    Step::Push { count, size, seqs } => for _ in 0..if size == MOST_BYTES / 2 { 3 } else { count } {
                        seq += seqs;
                        let entry = entry(&job, index, size, false);
                        history.push(Arc::clone(&entry), seq);
                        model.push_back((entry, seq));
                        index += 1;
                    },
                    Step::PushEnd => {
                        let entry = entry(&job, index, 2, true);
                        history.push(Arc::clone(&entry), seq);
                        model.push_back((entry, seq));
                        index += 1;
                    }
                    Step::Forget(count) => for _ in 0..count {
                        let first = model.pop_front();
                        forgotten = first.as_ref().map_or(forgotten, |(_, seq)| *seq);
                        prop_assert_eq!(history.forget_first(), first.map(|(entry, _)| entry.payload.len()));
                    },
                    Step::Clear => {
                        forgotten = model.back().map_or(forgotten, |(_, seq)| *seq);
                        let bytes: usize = model.drain(..).map(|(entry, _)| entry.payload.len()).sum();
                        prop_assert_eq!(history.clear(), bytes);
                    }
                }
                prop_assert_eq!(history.len(), model.len());
                prop_assert_eq!(history.bytes(), model.iter().map(|(entry, _)| entry.payload.len()).sum::<usize>());
                prop_assert_eq!(history.last_owner_seq(), seq);
                prop_assert_eq!(history.beginning(), model.front().map(|(entry, _)| (entry.index, forgotten)));
                prop_assert_eq!(history.has_forgotten_after(forgotten), false);
                prop_assert_eq!(history.has_forgotten_after(forgotten.wrapping_sub(1)), forgotten > 0);
            }
            for place in index.saturating_sub(model.len() as u64 + 2)..index + 2 {
                let expected = model.iter().find(|(entry, _)| entry.index >= place).map(|(entry, _)| entry);
                prop_assert_eq!(format!("{:?}", history.at_or_after(place).as_ref()), format!("{expected:?}"));
                prop_assert_eq!(
                    history.at_or_after(place).map(|entry| entry.payload.clone()),
                    expected.map(|entry| entry.payload.clone())
                );
            }
            for after in forgotten.saturating_sub(1)..seq + 2 {
                let expected = model.iter().find(|(_, seq)| *seq > after).map(|(entry, _)| entry.index);
                prop_assert_eq!(history.place_after(after), expected, "after {}", after);
            }
        }
    }
}
