//! Going on where an earlier run of the runtime was: everything that it has told anybody still holds.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use arcp_proto::job::FinalStatus;
use arcp_proto::{AgentRef, Credential, ErrorCode, ErrorPayload, JobId, SessionId, Timestamp};

use super::history::History;
use super::idempotency::Claim;
use super::job::{Follower, Job, Stopping};
use super::lend::Allowance;
use super::log::{Entry, JobHead};
use super::recovered::{Recovered, RecoveredJob, RecoveredSession};
use super::replay::missed;
use super::resume::OLD_TOKEN_LIFE;
use super::session::{Disconnected, OldToken, Session};
use super::timers::Timer;
use super::write::{JobRecord, Logged, Rerun};
use super::{Event, JobKey, JobSpan, JobSpec, Outcome, Runtime, SessionKey, TracedJob};
use crate::lease::{Authority, CENTURY};
use crate::observation::Observation;
use crate::time::{Instant, Now};

/// What a store gave back cannot have been written by a runtime.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A session's name is not one that a runtime gives.
    #[error("session {0} has no name that a runtime gives")]
    SessionId(SessionId),
    /// A view shows what is not stored.
    #[error("view of session {session_id} shows entry {index} of job {job_id}, which is not stored")]
    View {
        /// The session.
        session_id: SessionId,
        /// The job.
        job_id: JobId,
        /// The place in its log.
        index: u64,
    },
    /// A job cannot have been accepted as it is stored, or its log has no end.
    #[error("job {job_id}: {problem}")]
    Job {
        /// The job.
        job_id: JobId,
        /// What is wrong.
        problem: String,
    },
}

/// How long a session that was connected makes room for no other one of its principal.
const SPARED: Duration = Duration::from_secs(60);

/// Entries by job and place.
type Logs = HashMap<JobId, (Arc<JobHead>, Vec<Logged>)>;

/// A running job that is to be run again.
struct Again {
    job: JobKey,
    record: JobRecord,
    checkpoint: Option<arcp_proto::Json>,
}

impl Runtime {
    /// Takes over what an earlier run has written down; to be called before anything else, if at all.
    ///
    /// Sessions can be resumed, counted from when their connections went, or from now if that is not known. Keys, listings and
    /// histories are as they were. A job that had not ended ends: as it was told to, or else in `INTERNAL_ERROR`, which invites
    /// to try again (§12), for everybody who follows it. A job whose agent is registered to be run again
    /// ([`Agents::rerun`](super::Agents::rerun)) is, and its log goes on; what it has delegated ends.
    ///
    /// # Errors
    /// When this cannot have been written by a runtime. The machine is not to be used then.
    pub fn restore(&mut self, now: Now, recovered: Recovered) -> Result<(), RestoreError> {
        let Recovered { sessions, jobs } = recovered;
        let mut logs = Logs::new();
        for job in &jobs {
            logs.insert(job.head.job_id.clone(), (Arc::clone(&job.head), job.entries.clone()));
        }
        let mut followers = BTreeMap::new();
        let mut keys = HashMap::new();
        for session in sessions {
            let session_id = session.record.session_id.clone();
            followers.insert(session_id.clone(), session.following.clone());
            keys.insert(session_id, self.restore_session(now, session, &logs)?);
        }
        let mut again = Vec::new();
        let mut running = Vec::new();
        let mut ended = Vec::new();
        for job in jobs.into_iter().filter(|job| !job.gone) {
            let checkpoint = job.checkpoint.clone();
            let record = job.record.clone();
            let stopping = job.stopping.is_some();
            let job_key = self.restore_job(now, job, &keys)?;
            match self.jobs.get(&job_key).and_then(|job| job.terminal.as_ref()) {
                Some(terminal) => ended.push((terminal.ts, job_key)),
                None if record.rerun.is_some() && !stopping && self.is_rerun(&record) => {
                    again.push(Again { job: job_key, record, checkpoint });
                }
                None => running.push(job_key),
            }
        }
        for (session_id, following) in followers {
            for follow in following {
                let (Some(session), Some(job)) =
                    (keys.get(&session_id).copied(), self.job_ids.get(&follow.job_id).copied())
                else {
                    continue;
                };
                self.restore_follower(session, job, Follower::restored(session, &follow));
            }
        }
        ended.sort_unstable();
        for (ts, job_key) in ended {
            self.has_finished(ends(now, ts, self.config.limits.job_retention), job_key);
            self.history_of_ended.push_back(job_key);
        }
        // Children were accepted after those who delegated to them, and end before them.
        for job_key in running.into_iter().rev() {
            let message = "the runtime was restarted while the job was running; submit it again";
            let error = ErrorPayload::new(ErrorCode::InternalError, message);
            self.finish(now, job_key, Outcome::Failure(error));
        }
        for Again { job, record, checkpoint } in again {
            self.run_again(now, job, record, checkpoint);
        }
        self.forget_finished_jobs();
        Ok(())
    }

    fn is_rerun(&self, record: &JobRecord) -> bool {
        let agent = record.accepted.agent.as_deref().and_then(|agent| agent.parse::<AgentRef>().ok());
        let agent = agent.and_then(|agent| self.config.agents.resolve(&agent).ok());
        agent.is_some_and(|agent| self.config.agents.are_rerun(&agent))
    }

    fn restore_session(
        &mut self,
        now: Now,
        session: RecoveredSession,
        logs: &Logs,
    ) -> Result<SessionKey, RestoreError> {
        let RecoveredSession { record, acknowledged, first_seq, view, .. } = session;
        let session_id = record.session_id.clone();
        let mut entries = Vec::new();
        for run in view {
            let job_id = &run.job.job_id;
            let not_stored =
                |index| RestoreError::View { session_id: session_id.clone(), job_id: job_id.clone(), index };
            let (head, log) = logs.get(job_id).ok_or_else(|| not_stored(run.index))?;
            if let Some(ts) = run.gap {
                entries.push(missed(ts, head, run.index).ok_or_else(|| not_stored(run.index))?);
                continue;
            }
            let start = log.partition_point(|logged| logged.entry.index < run.index);
            for index in run.index..run.index + run.count {
                let logged = log.get(start + (index - run.index) as usize);
                let logged = logged.filter(|logged| logged.entry.index == index);
                let entry = &logged.ok_or_else(|| not_stored(index))?.entry;
                entries.push(Arc::clone(entry.as_sent_to(&record.features)));
            }
        }
        let old_token = record.old_resume_token;
        // When a connection went that nobody saw going, nobody knows: its time begins now.
        let at = record.disconnected_at.unwrap_or(now.wall);
        let spared_until = record.disconnected_at.is_none().then(|| now.monotonic + SPARED);
        let session = Session::restored(record, first_seq, entries, acknowledged);
        let mut session = session.ok_or(RestoreError::SessionId(session_id))?;
        let key = SessionKey(self.next_key());
        let until = ends(now, at, self.config.limits.resume_window);
        session.disconnected = Some(Disconnected { at, until, spared_until });
        self.timers.set(until, Timer::ResumeWindow(key));
        if let Some(token) = old_token {
            let until = now.monotonic + OLD_TOKEN_LIFE;
            session.old_token = Some(OldToken { digest: token, since: now.monotonic, until });
            self.timers.set(until, Timer::OldToken(key));
        }
        self.sessions.insert(key, session);
        self.record_session(key);
        Ok(key)
    }

    fn restore_job(
        &mut self,
        now: Now,
        recovered: RecoveredJob,
        sessions: &HashMap<SessionId, SessionKey>,
    ) -> Result<JobKey, RestoreError> {
        let RecoveredJob { record, head, entries, kept_from, forgotten_seq, .. } = recovered;
        let job_id = head.job_id.clone();
        let wrong = |problem: String| RestoreError::Job { job_id: job_id.clone(), problem };
        let job_key = JobKey(self.next_key());
        // A session that is gone has no key; what belongs to it belongs to nobody then.
        let owner = sessions.get(&record.session_id).copied();
        let owner_key = owner.unwrap_or_else(|| SessionKey(self.next_key()));
        let parent = record.accepted.parent_job_id.as_ref().and_then(|parent| self.job_ids.get(parent));
        let parent = parent.copied().filter(|parent| !self.jobs[parent].has_ended());
        let above = parent.and_then(|parent| self.jobs.get(&parent));
        let lease = &record.accepted.lease;
        let authority = Authority::restored(
            lease,
            &record.accepted.lease_constraints,
            self.config.models,
            recovered.remaining.as_ref(),
            above.map(|above| &*above.authority),
            now,
        );
        let authority = authority.map_err(|denied| wrong(denied.to_string()))?;
        let reruns = above.is_some_and(|above| above.rerun);
        let depth = above.map_or(0, |above| above.depth + 1);
        let keyed = record.key.is_some();
        let whose = (owner_key, record.session_id.clone());
        let principal = record.principal.clone();
        let mut job =
            Job::new(head, principal.clone(), whose, record.accepted.clone(), Arc::new(authority), keyed);
        job.followers.clear();
        job.parent = parent;
        job.depth = depth;
        job.rerun = record.rerun.is_some() || reruns;
        let terminal = recovered.ended.is_some().then(|| entries.last().map(|last| Arc::clone(&last.entry)));
        if let Some(status) = recovered.ended {
            let terminal = terminal.flatten().ok_or_else(|| wrong("it has ended, but not how".to_owned()))?;
            job.authority.end();
            job.restore_end(status, terminal);
        } else if let Some((cause, reason)) = recovered.stopping {
            job.stopping = Some(Stopping { cause, reason });
        }
        job.next_index = entries.last().map_or(kept_from, |last| last.entry.index + 1);
        job.log = History::beginning_after(forgotten_seq);
        for Logged { entry, owner_seq } in entries {
            if entry.index >= kept_from {
                self.history_bytes += entry.payload.len();
                job.log.push(entry, owner_seq);
            }
        }
        let running = !job.has_ended();
        if let Some(parent) = parent.filter(|_| running).and_then(|parent| self.jobs.get_mut(&parent)) {
            parent.children.push(job_key);
        }
        if let Some(session) = owner.and_then(|owner| self.sessions.by_key_mut(owner))
            && record.accepted.parent_job_id.is_some()
            && record.accepted_after >= session.resumable_from()
        {
            session.announced.push((record.accepted_after, record.accepted.as_ref().clone()));
        }
        self.jobs_of.entry(job.principal.clone()).or_default().insert(job_key);
        self.jobs.insert(job_key, job);
        self.job_ids.insert(job_id.clone(), job_key);
        if running {
            self.count(owner_key, &principal);
        }
        if let Some((key, fingerprint)) = record.key {
            let claimed = record.accepted.accepted_at.unwrap_or(now.wall);
            let until = ends(now, claimed, self.config.limits.idempotency_window);
            self.claim(until, principal, key, Claim { fingerprint, job: job_key });
        }
        Ok(job_key)
    }

    fn restore_follower(&mut self, session_key: SessionKey, job_key: JobKey, follower: Follower) {
        let observed = self.sessions.by_key(session_key).zip(self.jobs.get(&job_key));
        let observed = observed.map(|(session, job)| self.observation(&session.principal, &job.principal));
        // Who may see what is for the configuration of now to say.
        if !follower.submitted && observed != Some(Observation::Allowed) {
            return self.record_follow(session_key, job_key);
        }
        let (Some(job), Some(session)) = (self.jobs.get_mut(&job_key), self.sessions.by_key_mut(session_key))
        else {
            return;
        };
        if follower.behind.is_some() {
            session.behind.push(job_key);
        }
        session.following.push(job_key);
        job.followers.push(follower);
    }

    fn run_again(
        &mut self,
        now: Now,
        job_key: JobKey,
        record: JobRecord,
        checkpoint: Option<arcp_proto::Json>,
    ) {
        let Some(Rerun { input, max_runtime, trace_context }) = record.rerun else { return };
        let accepted = Arc::unwrap_or_clone(record.accepted);
        let agent = accepted.agent.as_deref().and_then(|agent| agent.parse::<AgentRef>().ok());
        let Some(Ok(agent)) = agent.map(|agent| self.config.agents.resolve(&agent)) else { return };
        let Some(job) = self.jobs.get_mut(&job_key) else { return };
        let authority = Arc::clone(&job.authority);
        let session = self.sessions.by_key(job.owner).and_then(|session| session.span.as_ref());
        let span: Option<Arc<dyn JobSpan>> = self.config.tracer.as_ref().and_then(|tracer| {
            let span = tracer.job(&TracedJob {
                job_id: &accepted.job_id,
                session_id: &record.session_id,
                session: session.map(|span| span.context()),
                agent: &agent,
                parent: trace_context.as_ref(),
                trace_id: record.trace_id,
                delegated: false,
                lease: &accepted.lease,
                lease_constraints: &accepted.lease_constraints,
            });
            span.map(Arc::from)
        });
        job.span = span.clone().filter(|span| span.is_recording());
        let traced = span.as_ref().map(|span| span.context());
        let trace_context = traced.filter(|context| context.trace_id == record.trace_id).or(trace_context);
        job.traced = trace_context.clone();
        let spec = Box::new(JobSpec {
            job: job_key,
            job_id: accepted.job_id,
            agent,
            input,
            principal: record.principal,
            session_id: record.session_id,
            parent_job_id: None,
            trace_id: record.trace_id,
            trace_context,
            span,
            lease: accepted.lease,
            lease_constraints: accepted.lease_constraints,
            authority: Arc::clone(&authority),
            restored: checkpoint,
        });
        job.waiting_to_start = Some(spec.clone());
        if let Some(max_runtime) = max_runtime {
            let end = ends(now, accepted.accepted_at.unwrap_or(now.wall), max_runtime.min(CENTURY));
            self.set_job_timer(job_key, end, Timer::MaxRuntime(job_key));
        }
        if let Some(end) = authority.deadline() {
            self.set_job_timer(job_key, end, Timer::LeaseExpiry(job_key));
        }
        match self.provisions_credentials() {
            true => self.events.push_back(Event::Provision(spec)),
            false => self.start(job_key),
        }
    }

    /// The credentials of a job that is run again have been issued: those of its earlier run are no longer good. Its submitter
    /// is told of the new ones as of rotations (§9.8.2).
    pub(super) fn provisioned_again(
        &mut self,
        now: Now,
        job_key: JobKey,
        outcome: Result<Vec<Credential>, ErrorPayload>,
    ) {
        let job = self.jobs.get_mut(&job_key).filter(|job| !job.has_ended());
        let Some(job) = job.filter(|job| job.waiting_to_start.is_some()) else {
            return self.revoke_unwanted(job_key, &outcome);
        };
        match outcome {
            Err(error) => self.finish(now, job_key, Outcome::Failure(error)),
            Ok(credentials) => {
                job.allowance = Allowance::of(&credentials, &job.authority.budget());
                job.credentials.clone_from(&credentials);
                for credential in credentials {
                    if let Err(error) = self.rotate_credential(now, job_key, credential) {
                        tracing::warn!(%error, "clients cannot be told of a credential of a job that is run again");
                    }
                }
                self.start(job_key);
            }
        }
    }
}

impl Job {
    fn restore_end(&mut self, status: FinalStatus, terminal: Arc<Entry>) {
        self.ended = Some(status);
        self.terminal = Some(terminal);
    }
}

/// When something ends that began at a time of the wall clock, by the monotonic one: no later than if it began now.
fn ends(now: Now, began: Timestamp, duration: Duration) -> Instant {
    now.monotonic + duration.saturating_sub(now.wall.saturating_since(began))
}
