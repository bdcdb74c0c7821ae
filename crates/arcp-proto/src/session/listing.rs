//! `session.list_jobs` and `session.jobs` (§6.6).

use serde::{Deserialize, Deserializer, Serialize};

use crate::decode::{integer_or_zero, null_default, object_or_default, objects, optional_integer};
use crate::id::{JobId, MessageId, empty_is_absent};
use crate::job::JobStatus;
use crate::json::{EncodeError, Json};
use crate::lease::Lease;
use crate::timestamp::Timestamp;
use crate::trace::{self, TraceId};

/// `session.list_jobs` (§6.6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListJobs {
    /// Which jobs; all that may be seen, if absent.
    #[serde(default, deserialize_with = "object_or_default", skip_serializing_if = "JobFilter::is_empty")]
    pub filter: JobFilter,
    /// At most how many, 1 to 1000; 100 if absent.
    #[serde(default, with = "optional_integer", skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Where the page before this one ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Which jobs to list; every field narrows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFilter {
    /// Jobs in one of these states; empty for any.
    #[serde(default, deserialize_with = "null_default", skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<JobStatus>,
    /// Jobs of this agent, as `name` or `name@version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Jobs created after this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_after: Option<Timestamp>,
}

impl JobFilter {
    /// Whether nothing is narrowed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// `session.jobs` (§6.6).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// The `id` of the request.
    #[serde(default, deserialize_with = "empty_is_absent", skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// A page of jobs, newest first.
    #[serde(deserialize_with = "objects")]
    pub jobs: Vec<JobEntry>,
    /// Where the next page starts; written as `null` on the last one.
    #[serde(default)]
    pub next_cursor: Option<String>,
}

/// One job of a listing. Never holds credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobEntry {
    /// The job.
    pub job_id: JobId,
    /// `name@version`.
    pub agent: String,
    /// Where it stands.
    pub status: JobStatus,
    /// Its effective lease.
    pub lease: Lease,
    /// The job that delegated to it.
    pub parent_job_id: Option<JobId>,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Its trace.
    pub trace_id: Option<TraceId>,
    /// The number of its last event, in its submitter's count; 0 before the first.
    pub last_event_seq: u64,
}

/// The wire form: the creation time stands there twice, since one published peer demands the second name.
#[derive(Deserialize)]
struct Wire {
    job_id: JobId,
    agent: String,
    status: JobStatus,
    #[serde(default, deserialize_with = "null_default")]
    lease: Lease,
    #[serde(default, deserialize_with = "empty_is_absent")]
    parent_job_id: Option<JobId>,
    created_at: Option<Timestamp>,
    submitted_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "trace::lenient")]
    trace_id: Option<TraceId>,
    #[serde(default, deserialize_with = "integer_or_zero::deserialize")]
    last_event_seq: u64,
}

impl Serialize for JobEntry {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Borrowed<'a> {
            job_id: &'a JobId,
            agent: &'a str,
            status: &'a JobStatus,
            lease: &'a Lease,
            parent_job_id: &'a Option<JobId>,
            created_at: Timestamp,
            submitted_at: Timestamp,
            #[serde(skip_serializing_if = "Option::is_none")]
            trace_id: Option<TraceId>,
            last_event_seq: u64,
        }
        let Self { job_id, agent, status, lease, parent_job_id, created_at, trace_id, last_event_seq } = self;
        let (created_at, trace_id, last_event_seq) = (*created_at, *trace_id, *last_event_seq);
        let submitted_at = created_at;
        Borrowed {
            job_id,
            agent,
            status,
            lease,
            parent_job_id,
            created_at,
            submitted_at,
            trace_id,
            last_event_seq,
        }
        .serialize(serializer)
    }
}

/// A `session.jobs` that is encoded job by job: a page of a thousand takes a while, in which others may have their turn.
#[derive(Debug)]
pub struct JobsEncoder {
    text: Vec<u8>,
    is_empty: bool,
}

impl JobsEncoder {
    /// A page without jobs.
    ///
    /// # Errors
    /// As [`Json::encode`].
    pub fn new(request_id: Option<&MessageId>) -> Result<Self, EncodeError> {
        let mut text = b"{".to_vec();
        if let Some(request_id) = request_id {
            text.extend_from_slice(b"\"request_id\":");
            text.extend_from_slice(Json::encode(request_id)?.as_str().as_bytes());
            text.push(b',');
        }
        text.extend_from_slice(b"\"jobs\":[");
        Ok(Self { text, is_empty: true })
    }

    /// Adds a job.
    ///
    /// # Errors
    /// As [`Json::encode`]. The page is of no use then.
    pub fn push(&mut self, entry: &JobEntry) -> Result<(), EncodeError> {
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(b',');
        }
        Json::encode_into(&mut self.text, entry)
    }

    /// The payload, with where the next page starts.
    ///
    /// # Errors
    /// As [`Json::encode`].
    pub fn finish(mut self, next_cursor: Option<&str>) -> Result<Json, EncodeError> {
        self.text.extend_from_slice(b"],\"next_cursor\":");
        Json::encode_into(&mut self.text, &next_cursor)?;
        self.text.push(b'}');
        Json::encoded(self.text)
    }
}

impl<'de> Deserialize<'de> for JobEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        let created_at = wire.created_at.or(wire.submitted_at);
        Ok(Self {
            job_id: wire.job_id,
            agent: wire.agent,
            status: wire.status,
            lease: wire.lease,
            parent_job_id: wire.parent_job_id,
            created_at: created_at.ok_or_else(|| serde::de::Error::missing_field("created_at"))?,
            trace_id: wire.trace_id,
            last_event_seq: wire.last_event_seq,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Payload;

    #[test]
    fn a_page_is_the_same_encoded_at_once_or_job_by_job() {
        let text = r#"{"job_id":"j1","agent":"a@1.0.0","status":"running","lease":{"fs.read":["/a"]},"created_at":"2026-05-13T19:42:13Z"}"#;
        let entry: JobEntry = serde_json::from_str(text).unwrap();
        let with_trace =
            JobEntry { trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".parse().ok(), ..entry.clone() };
        let request = Some("q\"1".parse().unwrap());
        for (request_id, jobs, next_cursor) in [
            (None, vec![], None),
            (request.clone(), vec![entry.clone()], Some("a\"b".to_owned())),
            (request, vec![entry, with_trace], None),
        ] {
            let mut encoder = JobsEncoder::new(request_id.as_ref()).unwrap();
            jobs.iter().for_each(|job| encoder.push(job).unwrap());
            let encoded = encoder.finish(next_cursor.as_deref()).unwrap();
            assert_eq!(encoded.as_str(), Jobs { request_id, jobs, next_cursor }.to_json().as_str());
        }
    }

    #[test]
    fn an_entry_has_both_names_of_its_creation_and_reads_either() {
        let text = r#"{"job_id":"j","agent":"a@1","status":"running","submitted_at":"2026-05-13T19:30:00Z"}"#;
        let entry: JobEntry = serde_json::from_str(text).unwrap();
        let written = serde_json::to_value(&entry).unwrap();
        assert_eq!(written["created_at"], written["submitted_at"]);
        assert!(written["parent_job_id"].is_null() && written.get("trace_id").is_none());
        assert_eq!(serde_json::from_value::<JobEntry>(written).unwrap(), entry);
    }

    #[test]
    fn an_empty_filter_is_left_out() {
        assert_eq!(serde_json::to_string(&ListJobs::default()).unwrap(), "{}");
        let jobs = Jobs { request_id: None, jobs: vec![], next_cursor: None };
        assert_eq!(serde_json::to_string(&jobs).unwrap(), r#"{"jobs":[],"next_cursor":null}"#);
    }
}
