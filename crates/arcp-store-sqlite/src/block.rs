//! Blocks: consecutive entries of one job's log in one value.
//!
//! Version 1 is, for each entry, a byte of flags; what is not the common case; the time and the submitter's number as differences to
//! the entry before; and the payload. Kinds and features that this version knows are one byte, others are text.

use std::ops::RangeInclusive;
use std::sync::Arc;

use arcp_proto::event::EventKind;
use arcp_proto::{Feature, Json, MessageType, Timestamp};
use arcp_runtime::store::{Entry, JobHead, Logged};

use crate::codec::{Reader, Writer};
use crate::error::Damage;

/// Payload from which on a block is full: one block is what a reader holds in memory.
pub(crate) const FULL: usize = 1 << 20;

const TYPE: u8 = 0b11;
const TYPE_OTHER: u8 = 0b11;
const HAS_KIND: u8 = 1 << 2;
const KIND_IS_TEXT: u8 = 1 << 3;
const HAS_FEATURE: u8 = 1 << 4;
const FEATURE_IS_TEXT: u8 = 1 << 5;
const HAS_PLAIN: u8 = 1 << 6;
const UNUSED: u8 = 1 << 7;

/// What an entry is told relative to.
#[derive(Default)]
struct Before {
    ts: i64,
    owner_seq: u64,
}

/// Where a block stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) job: i64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Place {
    fn beside(self) -> [i64; 3] {
        [self.job, self.first, self.last]
    }
}

/// Encodes entries, which follow each other in one log.
pub(crate) fn encode(place: Place, entries: &[&Logged]) -> Vec<u8> {
    let size: usize = entries.iter().map(|logged| logged.entry.payload.len() + 12).sum();
    let mut writer = Writer::with_capacity(size);
    let mut before = Before::default();
    for logged in entries {
        let entry = &*logged.entry;
        write_entry(&mut writer, entry, &mut before.ts);
        writer.signed(logged.owner_seq.wrapping_sub(before.owner_seq) as i64);
        before.owner_seq = logged.owner_seq;
        if let Some(plain) = &entry.plain {
            write_entry(&mut writer, plain, &mut before.ts);
        }
    }
    writer.finish(&place.beside())
}

/// How many of the first entries make a block.
pub(crate) fn split(entries: &[&Logged]) -> usize {
    let mut bytes = 0;
    let full = entries.iter().position(|logged| {
        bytes += logged.entry.payload.len();
        bytes >= FULL
    });
    full.map_or(entries.len(), |at| at + 1)
}

fn write_entry(writer: &mut Writer, entry: &Entry, before_ts: &mut i64) {
    let mut flags = match entry.message_type {
        MessageType::JobEvent => 0,
        MessageType::JobResult => 1,
        MessageType::JobError => 2,
        _ => TYPE_OTHER,
    };
    let kind = entry.kind.as_ref().map(|kind| (kind_code(kind), kind));
    let feature = entry.feature.as_ref().map(|feature| (feature_code(feature), feature));
    flags |= match kind {
        None => 0,
        Some((Some(_), _)) => HAS_KIND,
        Some((None, _)) => HAS_KIND | KIND_IS_TEXT,
    };
    flags |= match feature {
        None => 0,
        Some((Some(_), _)) => HAS_FEATURE,
        Some((None, _)) => HAS_FEATURE | FEATURE_IS_TEXT,
    };
    if entry.plain.is_some() {
        flags |= HAS_PLAIN;
    }
    writer.byte(flags);
    if flags & TYPE == TYPE_OTHER {
        writer.text(entry.message_type.as_str());
    }
    match kind {
        None => {}
        Some((Some(code), _)) => writer.byte(code),
        Some((None, kind)) => writer.text(kind.as_str()),
    }
    match feature {
        None => {}
        Some((Some(code), _)) => writer.byte(code),
        Some((None, feature)) => writer.text(feature.as_str()),
    }
    let ts = entry.ts.as_millis();
    writer.signed(ts.wrapping_sub(*before_ts));
    *before_ts = ts;
    writer.text(entry.payload.as_str());
}

/// Decodes the entries of a block that are within `wanted`.
pub(crate) fn decode(
    place: Place,
    body: &[u8],
    head: &Arc<JobHead>,
    wanted: &RangeInclusive<u64>,
    mut each: impl FnMut(Logged),
) -> Result<(), Damage> {
    let mut reader = Reader::new(body, &place.beside())?;
    let mut before = Before::default();
    for index in index(place.first)?..=index(place.last)? {
        let within = wanted.contains(&index);
        let (parts, has_plain) = Parts::read(&mut reader, &mut before.ts)?;
        before.owner_seq = before.owner_seq.wrapping_add(reader.signed()? as u64);
        let plain = match has_plain {
            false => None,
            true => {
                let (plain, more) = Parts::read(&mut reader, &mut before.ts)?;
                if more {
                    return Err(Damage("holds an entry that cannot be"));
                }
                Some(plain)
            }
        };
        if within {
            let plain = plain.map(|plain| plain.entry(head, index, None).map(Arc::new)).transpose()?;
            let entry = Arc::new(parts.entry(head, index, plain)?);
            each(Logged { entry, owner_seq: before.owner_seq });
        }
    }
    match reader.is_empty() {
        true => Ok(()),
        false => Err(Damage("is longer than its entries")),
    }
}

fn index(number: i64) -> Result<u64, Damage> {
    u64::try_from(number).map_err(|_| Damage("has no place in its log"))
}

/// An entry as it is read, before anything is copied.
struct Parts<'a> {
    message_type: MessageType,
    kind: Option<EventKind>,
    feature: Option<Feature>,
    ts: i64,
    payload: &'a str,
}

impl<'a> Parts<'a> {
    fn read(reader: &mut Reader<'a>, before_ts: &mut i64) -> Result<(Self, bool), Damage> {
        let flags = reader.byte()?;
        if flags & UNUSED != 0 {
            return Err(Damage("holds an entry that cannot be"));
        }
        let message_type = match flags & TYPE {
            0 => MessageType::JobEvent,
            1 => MessageType::JobResult,
            2 => MessageType::JobError,
            _ => MessageType::from(reader.text()?),
        };
        let kind = match (flags & HAS_KIND != 0, flags & KIND_IS_TEXT != 0) {
            (false, _) => None,
            (true, true) => Some(EventKind::from(reader.text()?)),
            (true, false) => Some(kind_of(reader.byte()?).ok_or(UNKNOWN_CODE)?),
        };
        let feature = match (flags & HAS_FEATURE != 0, flags & FEATURE_IS_TEXT != 0) {
            (false, _) => None,
            (true, true) => Some(Feature::from(reader.text()?)),
            (true, false) => Some(feature_of(reader.byte()?).ok_or(UNKNOWN_CODE)?),
        };
        *before_ts = before_ts.wrapping_add(reader.signed()?);
        let parts = Self { message_type, kind, feature, ts: *before_ts, payload: reader.text()? };
        Ok((parts, flags & HAS_PLAIN != 0))
    }

    /// The payload is copied, so that an entry that is kept for long does not keep its block.
    fn entry(self, job: &Arc<JobHead>, index: u64, plain: Option<Arc<Entry>>) -> Result<Entry, Damage> {
        let payload = Json::parse(self.payload.to_owned());
        Ok(Entry {
            job: Arc::clone(job),
            index,
            message_type: self.message_type,
            kind: self.kind,
            feature: self.feature,
            ts: Timestamp::from_millis(self.ts),
            payload: payload.map_err(|_| Damage("holds a payload that is not JSON"))?,
            plain,
            gap: false,
        })
    }
}

const UNKNOWN_CODE: Damage = Damage("holds a code that this program does not know");

/// One byte for each word: the tables only ever grow.
macro_rules! codes {
    ($kind:ident, $to:ident, $from:ident: $( $code:literal = $word:ident, )+) => {
        fn $to(word: &$kind) -> Option<u8> {
            match word {
                $( $kind::$word => Some($code), )+
                _ => None,
            }
        }

        fn $from(code: u8) -> Option<$kind> {
            match code {
                $( $code => Some($kind::$word), )+
                _ => None,
            }
        }
    };
}

codes! { EventKind, kind_code, kind_of:
    1 = Log,
    2 = Thought,
    3 = ToolCall,
    4 = ToolResult,
    5 = Status,
    6 = Metric,
    7 = ArtifactRef,
    8 = Delegate,
    9 = Progress,
    10 = ResultChunk,
}

codes! { Feature, feature_code, feature_of:
    1 = Heartbeat,
    2 = Ack,
    3 = ListJobs,
    4 = Subscribe,
    5 = LeaseExpiresAt,
    6 = CostBudget,
    7 = ModelUse,
    8 = ProvisionedCredentials,
    9 = Progress,
    10 = ResultChunk,
    11 = AgentVersions,
}

#[cfg(test)]
mod tests {
    use super::*;
    use arcp_proto::TraceId;

    fn head() -> Arc<JobHead> {
        Arc::new(JobHead {
            job_id: "job_1".parse().unwrap(),
            trace_id: TraceId::new(7).unwrap(),
            trace_context: None,
        })
    }

    fn logged(index: u64, owner_seq: u64, ts: i64, payload: &str) -> Logged {
        let entry = Entry {
            job: head(),
            index,
            message_type: MessageType::JobEvent,
            kind: Some(EventKind::Log),
            feature: None,
            ts: Timestamp::from_millis(ts),
            payload: Json::parse(payload.to_owned()).unwrap(),
            plain: None,
            gap: false,
        };
        Logged { entry: Arc::new(entry), owner_seq }
    }

    fn with(logged: &Logged, change: impl FnOnce(&mut Entry)) -> Logged {
        let old = &logged.entry;
        let mut entry = Entry {
            job: Arc::clone(&old.job),
            index: old.index,
            message_type: old.message_type.clone(),
            kind: old.kind.clone(),
            feature: old.feature.clone(),
            ts: old.ts,
            payload: old.payload.clone(),
            plain: old.plain.clone(),
            gap: old.gap,
        };
        change(&mut entry);
        Logged { entry: Arc::new(entry), owner_seq: logged.owner_seq }
    }

    fn read(place: Place, body: &[u8]) -> Result<Vec<Logged>, Damage> {
        let mut out = Vec::new();
        decode(place, body, &head(), &(0..=u64::MAX), |logged| out.push(logged))?;
        Ok(out)
    }

    #[test]
    fn every_entry_comes_back_as_it_was() {
        let base = logged(5, 9, 1_700_000_000_000, r#"{"a":1.10}"#);
        let mut entries = vec![
            base.clone(),
            logged(6, 9, -5, "{}"),
            with(&logged(7, 0, 0, "[]"), |entry| entry.kind = Some(EventKind::from("x-vendor.a"))),
            with(&logged(8, u64::MAX, i64::MAX, "null"), |entry| {
                entry.feature = Some(Feature::from("x-vendor.b"))
            }),
            with(&logged(9, 1, 3, "1"), |entry| entry.message_type = MessageType::from("job.novel")),
        ];
        for kind in EventKind::KNOWN {
            let one = logged(entries.len() as u64 + 5, 1, 2, "{}");
            entries.push(with(&one, |entry| entry.kind = Some(kind.clone())));
        }
        for feature in Feature::KNOWN {
            let one = logged(entries.len() as u64 + 5, 1, 2, "{}");
            entries.push(with(&one, |entry| entry.feature = Some(feature.clone())));
        }
        let index = entries.len() as u64 + 5;
        let plain = with(&logged(index, 0, 77, "{\"plain\":1}"), |entry| {
            (entry.message_type, entry.kind) = (MessageType::JobError, None);
        });
        entries.push(with(&logged(index, 3, 78, "{}"), |entry| {
            (entry.message_type, entry.kind) = (MessageType::JobResult, None);
            entry.plain = Some(plain.entry);
        }));
        let place = Place { job: 3, first: 5, last: index as i64 };
        let body = encode(place, &entries.iter().collect::<Vec<_>>());
        assert_eq!(format!("{:?}", read(place, &body).unwrap()), format!("{entries:?}"));
        let payloads = |all: &[Logged]| all.iter().map(|one| one.entry.payload.clone()).collect::<Vec<_>>();
        assert_eq!(payloads(&read(place, &body).unwrap()), payloads(&entries));
        let mut some = Vec::new();
        decode(place, &body, &head(), &(6..=7), |logged| some.push(logged.entry.index)).unwrap();
        assert_eq!(some, [6, 7]);
    }

    #[test]
    fn known_words_are_one_byte() {
        let small = encode(Place { job: 1, first: 0, last: 0 }, &[&logged(0, 1, 0, "{}")]);
        assert_eq!(small.len(), 5 + 1 + 1 + 1 + 1 + 2 + 1);
        assert!(EventKind::KNOWN.iter().all(|kind| kind_code(kind).and_then(kind_of).as_ref() == Some(kind)));
        assert!(
            Feature::KNOWN.iter().all(|one| feature_code(one).and_then(feature_of).as_ref() == Some(one))
        );
    }

    #[test]
    fn a_block_belongs_to_its_place_and_a_long_one_is_split() {
        let entry = logged(4, 1, 0, "{}");
        let place = Place { job: 1, first: 4, last: 4 };
        let body = encode(place, &[&entry]);
        for other in [Place { job: 2, ..place }, Place { last: 5, ..place }, Place { first: 3, ..place }] {
            assert!(read(other, &body).is_err());
        }
        let long = logged(0, 0, 0, &format!("\"{}\"", "x".repeat(FULL / 2)));
        assert_eq!(split(&[&long, &long, &long]), 2);
        assert_eq!(split(&[&long]), 1);
        assert_eq!(split(&[]), 0);
    }

    #[test]
    fn bytes_with_a_good_sum_that_mean_nothing_are_refused() {
        let place = Place { job: 1, first: 0, last: 0 };
        let forms: [&[u8]; 5] =
            [&[], &[UNUSED], &[HAS_KIND, 99], &[0, 0, 1, b'{', 0], &[0, 0, 1, b'1', 0, 0]];
        for form in forms {
            let mut writer = Writer::with_capacity(0);
            form.iter().for_each(|byte| writer.byte(*byte));
            assert!(read(place, &writer.finish(&place.beside())).is_err(), "{form:?}");
        }
    }
}
