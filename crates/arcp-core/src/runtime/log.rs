//! What a job says: messages encoded once, numbered by each session that follows the job.

use std::sync::Arc;

use arcp_proto::event::{BUDGET_REMAINING, Event, EventKind, Metric, ResultChunk};
use arcp_proto::{
    Amount, Currency, EncodeError, Envelope, Extensions, Feature, Features, JobId, Json, MessageType,
    ResultId, Timestamp, TraceContext, TraceId,
};
use serde::Serialize;

/// An event before it is in any log: its payload is encoded, everything else comes with the log.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) kind: EventKind,
    pub(super) ts: Timestamp,
    pub(super) payload: Json,
    /// What it costs the job (§9.6).
    pub(super) cost: Option<Cost>,
    /// What a session must have negotiated to be sent it (§6.2).
    pub(super) feature: Option<Feature>,
}

/// What a `cost.*` metric says was spent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) currency: Currency,
    pub(super) amount: Amount,
}

/// Names of metrics that are the runtime's own, and no costs.
const RESERVED_COSTS: &str = "cost.budget.";

impl Draft {
    /// Encodes an event, once for all sessions that will see it. Needs no state, so that a driver can do it outside
    /// of its locks.
    ///
    /// # Errors
    /// When the body cannot be encoded.
    pub fn new<B: Serialize + ?Sized>(kind: EventKind, ts: Timestamp, body: &B) -> Result<Self, EncodeError> {
        let payload = Event::encode(&kind, ts, body)?;
        let metric =
            if kind == EventKind::Metric { Json::encode(body)?.decode::<Metric>().ok() } else { None };
        let feature = match &kind {
            EventKind::Progress => Some(Feature::Progress),
            EventKind::ResultChunk => Some(Feature::ResultChunk),
            EventKind::Metric if metric.as_ref().is_some_and(|metric| metric.name == BUDGET_REMAINING) => {
                Some(Feature::CostBudget)
            }
            _ => None,
        };
        Ok(Self { kind, ts, payload, cost: metric.and_then(|metric| Cost::of(&metric)), feature })
    }

    /// How long its payload is, in bytes.
    pub fn bytes(&self) -> usize {
        self.payload.len()
    }

    /// Whether it tells what something has cost, so that the job's budget may refuse it (§9.6).
    pub fn is_charged(&self) -> bool {
        self.cost.is_some()
    }

    /// The same of a chunk of a result that is bytes.
    ///
    /// # Errors
    /// When the chunk cannot be encoded.
    pub fn of_bytes(
        ts: Timestamp,
        result_id: ResultId,
        chunk_seq: u64,
        bytes: &[u8],
        more: bool,
    ) -> Result<Self, EncodeError> {
        let payload = ResultChunk::payload_of_bytes(ts, result_id, chunk_seq, bytes, more)?;
        let feature = Some(Feature::ResultChunk);
        Ok(Self { kind: EventKind::ResultChunk, ts, payload, cost: None, feature })
    }
}

impl Cost {
    /// What a metric says was spent, if it says so. A cost that no amount holds exactly counts as the next larger one.
    fn of(metric: &Metric) -> Option<Self> {
        if !metric.name.starts_with("cost.") || metric.name.starts_with(RESERVED_COSTS) {
            return None;
        }
        let unit = metric.unit.as_deref().unwrap_or_default();
        let Ok(currency) = unit.parse() else {
            tracing::warn!(metric = metric.name, unit, "cost in no currency is charged to nobody");
            return None;
        };
        let amount = metric.value.to_amount_rounded_up();
        if amount.is_negative() {
            tracing::warn!(metric = metric.name, value = %metric.value, "negative cost changes nothing");
            return None;
        }
        Some(Self { currency, amount })
    }
}

/// One message of a job's log: `job.event`, `job.result` or `job.error`. Sessions number it, each by its own count.
#[derive(Debug)]
pub struct Entry {
    /// What every message of the job has in common.
    pub job: Arc<JobHead>,
    /// Its place in the job's log, from 0.
    pub index: u64,
    /// Which of the three messages.
    pub message_type: MessageType,
    /// The kind, for an event.
    pub kind: Option<EventKind>,
    /// The feature that a session must have negotiated to be sent this (§6.2).
    pub feature: Option<Feature>,
    /// When.
    pub ts: Timestamp,
    /// The payload, encoded.
    pub payload: Json,
    /// What is sent in its place to a session that was not sent the chunks of the job's result (§8.4).
    pub plain: Option<Arc<Entry>>,
    /// Whether it is in no log, but stands in a view for the entries before its place, which are no longer kept.
    pub gap: bool,
}

impl Entry {
    /// What stands in its place for a session with these features (§8.4).
    pub fn as_sent_to<'a>(self: &'a Arc<Self>, features: &Features) -> &'a Arc<Self> {
        match &self.plain {
            Some(plain) if !features.contains(&Feature::ResultChunk) => plain,
            _ => self,
        }
    }
}

/// What every message of a job has on its envelope.
#[derive(Debug)]
pub struct JobHead {
    /// The job.
    pub job_id: JobId,
    /// Its trace.
    pub trace_id: TraceId,
    /// Where it stands in that, if that is known: on the messages that say that it begins and how it has ended.
    pub trace_context: Option<TraceContext>,
}

impl JobHead {
    /// Puts what is known of the trace on an envelope.
    pub(super) fn dress(&self, envelope: &mut Envelope) {
        envelope.trace_id = Some(self.trace_id);
        self.insert_context(&mut envelope.extensions);
    }

    /// What its last message has beside its payload.
    pub(super) fn extensions(&self) -> Extensions {
        let mut extensions = Extensions::default();
        self.insert_context(&mut extensions);
        extensions
    }

    fn insert_context(&self, extensions: &mut Extensions) {
        if let Some(context) = self.trace_context.as_ref().and_then(|context| Json::encode(context).ok()) {
            extensions.insert(Extensions::TRACE_CONTEXT, context);
        }
    }
}
