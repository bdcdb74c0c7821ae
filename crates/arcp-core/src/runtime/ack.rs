//! Acknowledgements (§6.5): what a client has processed need not be kept, and how far it lags can be told.

use arcp_proto::Feature;
use arcp_proto::event::{EventKind, Status};

use super::log::Draft;
use super::{JobKey, Runtime, SessionKey};
use crate::time::Now;

impl Runtime {
    /// Lets go of what a session has processed. Advisory: a number that makes no sense changes nothing.
    pub(super) fn acknowledge(&mut self, session: SessionKey, last_processed_seq: u64) {
        if self.negotiated(session, &Feature::Ack) {
            let threshold = self.config.limits.back_pressure_lag;
            self.sessions.keep(session, |session| session.acknowledge(last_processed_seq, threshold));
            self.note_view(session);
        }
    }

    /// Tells a job's submitter how far it lags: once when it passes the threshold, and again whenever the lag has grown by
    /// as much.
    pub(super) fn tell_lag(&mut self, now: Now, job_key: JobKey) {
        let threshold = self.config.limits.back_pressure_lag;
        let Some(job) = self.jobs.get(&job_key).filter(|job| !job.has_ended()) else { return };
        let Some(session) = self.sessions.by_key_mut(job.owner) else { return };
        let Some(lag) = session.lag_to_tell(threshold) else { return };
        let status = Status {
            phase: "back_pressure".to_owned(),
            message: Some(format!("consumer lag {lag} events")),
            id: None,
            value: None,
        };
        if let Ok(draft) = Draft::new(EventKind::Status, now.wall, &status) {
            self.append_event(job_key, draft);
        }
    }
}
