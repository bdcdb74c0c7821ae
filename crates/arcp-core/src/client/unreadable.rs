//! What the runtime says and nobody can read: whom it answers need not wait for more, and what it ends has ended.

use arcp_proto::{
    ByteString, DecodeError, Envelope, ErrorCode, ErrorPayload, JobId, Json, MessageId, MessageType,
};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::requests::{Kind, Open};
use super::{Event, JobEnd, Phase, Session};
use crate::time::Now;

/// What of a payload says which request it answers, whatever else is wrong with it.
#[derive(Deserialize)]
struct Answer {
    request_id: Option<MessageId>,
    /// There on what tells of a delegation, which answers nobody.
    parent_job_id: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Frame {
    payload: Answer,
}

impl Session {
    /// A frame that is no envelope.
    pub(super) fn handle_no_envelope(&mut self, now: Now, frame: ByteString) {
        if !matches!(self.phase, Phase::Open | Phase::Closing { .. }) {
            return;
        }
        let answer = Json::parse(frame.clone()).and_then(|json| json.decode::<Frame>());
        let (Ok(Frame { payload: Answer { request_id: Some(id), .. } }), Err(undecodable)) =
            (answer, Envelope::decode(frame))
        else {
            return;
        };
        if let Some(open) = self.requests.answered(|open| open.id == id) {
            self.fail(now, open, None, undecodable.into());
        }
        self.go_on();
    }

    /// A message whose payload cannot be read.
    pub(super) fn handle_unreadable(&mut self, now: Now, envelope: &Envelope, error: DecodeError) {
        tracing::warn!(message_type = %envelope.message_type, %error, "message of the runtime cannot be read");
        match envelope.message_type {
            // By which some runtimes refuse a submit.
            MessageType::JobError if envelope.job_id.is_none() => {
                if let Some(Some(request)) = self.requests.submit_refused(&envelope.id, false) {
                    self.events.push_back(Event::Unreadable { request, error });
                }
            }
            MessageType::JobResult | MessageType::JobError => {
                self.handle_end(envelope.clone(), JobEnd::Unreadable(error));
            }
            _ => {
                if let Some(open) = self.answered_by(envelope) {
                    if open.kind == Kind::Submit
                        && let Some(job_id) = envelope.job_id.clone()
                    {
                        self.disown(job_id);
                    }
                    self.fail(now, open, envelope.extensions.next_index(), error);
                }
            }
        }
        self.go_on();
    }

    /// The request that a message answers, by its name or, where a runtime gives none, as if it could be read.
    fn answered_by(&mut self, envelope: &Envelope) -> Option<Open> {
        let Answer { request_id, parent_job_id } = envelope.payload.decode().ok()?;
        if request_id.is_none() && (parent_job_id.is_some() || self.requests.names_requests()) {
            return None;
        }
        let job_id = envelope.job_id.as_ref();
        let is_about = |job: &JobId| job_id.is_none_or(|job_id| job_id == job);
        let is_kind = |kind: &Kind| match (&envelope.message_type, kind) {
            (MessageType::JobAccepted, Kind::Submit) | (MessageType::SessionJobs, Kind::List) => true,
            (MessageType::JobSubscribed, Kind::Subscribe(job, _) | Kind::TakeUp(job))
            | (MessageType::JobCancelled, Kind::Cancel(job)) => request_id.is_some() || is_about(job),
            (MessageType::SessionError, _) => request_id.is_some(),
            _ => false,
        };
        self.requests
            .answered(|open| request_id.as_ref().is_none_or(|id| open.id == *id) && is_kind(&open.kind))
    }

    /// A request is answered, and nobody can say what. If it was to have a history told, that begins where the answer says.
    fn fail(&mut self, now: Now, open: Open, next_index: Option<u64>, error: DecodeError) {
        if let Kind::Subscribe(job_id, _) = open.kind {
            match (self.jobs.live.get_mut(&job_id), open.key) {
                // It is not for those who follow the job already.
                (Some(followed), Some(request)) => followed.join(request, next_index),
                (Some(_), None) => {}
                (None, _) => {
                    self.say_unsubscribe(now, job_id.clone());
                    self.jobs.put_past(job_id);
                }
            }
        }
        let Some(request) = open.key else { return };
        match self.jobs.taken_up_by.remove(&request) {
            Some(job_id) => {
                let message = format!("answer of the runtime cannot be read: {error}");
                self.lose_job(job_id, ErrorPayload::new(ErrorCode::InternalError, message));
            }
            None => self.events.push_back(Event::Unreadable { request, error }),
        }
    }
}
