//! Batches as a runtime might write them, drawn by a seed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arcp_proto::event::EventKind;
use arcp_proto::job::{Accepted, FinalStatus};
use arcp_proto::{
    BudgetAmount, Digest, Feature, Features, JobId, Json, Lease, MessageType, SessionId, Timestamp,
    TraceContext, TraceId,
};
use arcp_runtime::store::{
    Batch, Entry, Fingerprint, FollowRecord, ForgottenRecord, JobHead, JobRecord, Logged, Rerun,
    SessionRecord, Shown, ViewRecord, Write,
};
use arcp_runtime::{Principal, Quirk, StopCause};

/// Draws numbers: splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn within(&mut self, range: Range<u64>) -> u64 {
        range.start + self.below(range.end - range.start)
    }

    /// Whether something happens that does once in `n` times.
    pub(crate) fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        (!of.is_empty()).then(|| &of[self.below(of.len() as u64) as usize])
    }
}

struct Session {
    record: SessionRecord,
    /// The number of the first message that is kept, and of the next one.
    first: u64,
    next: u64,
    written: u64,
    acknowledged: u64,
    /// What it was shown and has not been written.
    shown: Vec<Shown>,
    changed: bool,
}

struct Job {
    head: Arc<JobHead>,
    principal: Principal,
    key: Option<Box<str>>,
    next: u64,
    kept_from: u64,
    owner_seq: u64,
    ended: bool,
}

/// Sessions and jobs, and what they write.
pub(crate) struct World {
    pub(crate) random: Random,
    sessions: BTreeMap<SessionId, Session>,
    jobs: BTreeMap<JobId, Job>,
    position: u64,
    named: u64,
    writes: Vec<Write>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let random = Random(seed);
        Self {
            random,
            sessions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            position: 0,
            named: 0,
            writes: Vec::new(),
        }
    }

    /// The next batch.
    pub(crate) fn batch(&mut self) -> Arc<Batch> {
        for _ in 0..self.random.within(1..8) {
            self.happen();
        }
        let changed: Vec<SessionId> =
            self.sessions.iter().filter(|(_, session)| session.changed).map(|(id, _)| id.clone()).collect();
        for id in changed {
            self.write_view(&id);
        }
        self.position += 1;
        Arc::new(Batch { position: self.position, writes: std::mem::take(&mut self.writes) })
    }

    fn happen(&mut self) {
        match self.random.below(40) {
            _ if self.sessions.is_empty() => self.open_session(),
            _ if self.jobs.is_empty() => self.accept(),
            0..2 => self.open_session(),
            2..6 => self.accept(),
            6..20 => self.emit(),
            20..22 => self.end(),
            22..24 => self.acknowledge(),
            24..28 => self.forget(),
            28 => self.forget_job(),
            29 => self.close_session(),
            30 => self.replay(),
            31 => self.change_session(),
            32 => self.forget_key(),
            33 => self.unfollow(),
            34 => self.follow_any(),
            35 => self.gap(),
            _ => self.change_job(),
        }
    }

    fn name(&mut self, prefix: &str) -> String {
        self.named += 1;
        format!("{prefix}{}_{:x}", self.named, self.random.below(1 << 40))
    }

    fn any_session(&mut self) -> Option<SessionId> {
        let ids: Vec<_> = self.sessions.keys().cloned().collect();
        self.random.pick(&ids).cloned()
    }

    fn any_job(&mut self, filter: impl Fn(&Job) -> bool) -> Option<JobId> {
        let jobs = self.jobs.iter().filter(|(_, job)| filter(job));
        let ids: Vec<_> = jobs.map(|(id, _)| id.clone()).collect();
        self.random.pick(&ids).cloned()
    }

    fn open_session(&mut self) {
        let session_id: SessionId = self.name("sess_").parse().unwrap();
        let record = SessionRecord {
            session_id: session_id.clone(),
            principal: Principal::new(["alice", "b\u{0}b", "日本"][self.random.below(3) as usize]),
            features: [Feature::ResultChunk, Feature::from("x-vendor.new")].into_iter().collect(),
            quirks: Quirk::ALL.into_iter().take(self.random.below(3) as usize).collect(),
            resume_token: Digest::of(session_id.as_str()),
            old_resume_token: None,
            disconnected_at: None,
        };
        self.writes.push(Write::Session(record.clone()));
        let session = Session {
            record,
            first: 1,
            next: 1,
            written: 0,
            acknowledged: 0,
            shown: Vec::new(),
            changed: false,
        };
        self.sessions.insert(session_id, session);
    }

    fn change_session(&mut self) {
        let Some(id) = self.any_session() else { return };
        let millis = self.random.below(1 << 41) as i64;
        let session = self.sessions.get_mut(&id).unwrap();
        session.record.old_resume_token = Some(session.record.resume_token);
        session.record.resume_token = Digest::of(&millis.to_string());
        session.record.disconnected_at = (millis % 3 != 0).then(|| Timestamp::from_millis(millis));
        session.record.features = Features::all();
        self.writes.push(Write::Session(session.record.clone()));
    }

    fn close_session(&mut self) {
        let Some(id) = self.any_session() else { return };
        self.sessions.remove(&id);
        self.writes.push(Write::SessionGone(id));
    }

    fn accept(&mut self) {
        let Some(session_id) = self.any_session() else { return };
        let job_id: JobId = self.name("job_").parse().unwrap();
        let trace_id = TraceId::new(u128::from(self.random.next()) + 1).unwrap();
        let session = &self.sessions[&session_id];
        let key: Option<Box<str>> = self.random.once_in(2).then(|| format!("key {}", self.named % 5).into());
        let budget: BudgetAmount = "USD:5.0100".parse().unwrap();
        let accepted = Accepted {
            job_id: job_id.clone(),
            agent: Some("echo@1.0.0".to_owned()),
            lease: Lease::empty().grant("fs.read", "/workspace/**"),
            lease_constraints: Default::default(),
            budget: self.random.once_in(2).then(|| [budget].into_iter().collect()),
            credentials: Vec::new(),
            accepted_at: Some(Timestamp::from_millis(1_700_000_000_123)),
            trace_id: Some(trace_id),
            parent_job_id: None,
            delegate_id: None,
            request_id: Some("request".parse().unwrap()),
        };
        let rerun = self.random.once_in(3).then(|| Rerun {
            input: Json::parse(r#"{"x": 1.10, "y":"\u0000"}"#).unwrap(),
            max_runtime: Some(Duration::new(5, 7)),
            trace_context: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap()),
        });
        let trace_context = self.named.is_multiple_of(2).then(|| {
            let parent = format!("00-{trace_id}-00f067aa0ba902b7-01");
            TraceContext::new(&parent, Some("vendor=\"1\"".to_owned())).unwrap()
        });
        let record = JobRecord {
            principal: session.record.principal.clone(),
            session_id: session_id.clone(),
            trace_id,
            trace_context: trace_context.clone(),
            accepted_after: session.next - 1,
            accepted: accepted.into(),
            key: key.clone().map(|key| (key, Fingerprint::from_bytes([self.named as u8; 32]))),
            rerun,
        };
        let head = Arc::new(JobHead { job_id: job_id.clone(), trace_id, trace_context });
        let principal = record.principal.clone();
        self.writes.push(Write::Job(Box::new(record)));
        let job = Job { head, principal, key, next: 0, kept_from: 0, owner_seq: 0, ended: false };
        self.jobs.insert(job_id.clone(), job);
        self.follow(&session_id, &job_id, true);
    }

    fn follow(&mut self, session_id: &SessionId, job_id: &JobId, submitted: bool) {
        let behind = self.random.once_in(3).then(|| self.jobs[job_id].kept_from);
        self.writes.push(Write::Follow(FollowRecord {
            session_id: session_id.clone(),
            job_id: job_id.clone(),
            submitted,
            paces: self.random.once_in(2),
            behind,
        }));
    }

    fn follow_any(&mut self) {
        let (Some(session), Some(job)) = (self.any_session(), self.any_job(|job| !job.ended)) else { return };
        self.follow(&session, &job, false);
    }

    fn unfollow(&mut self) {
        let (Some(session), Some(job)) = (self.any_session(), self.any_job(|_| true)) else { return };
        self.writes.push(Write::Unfollow(session, job));
    }

    fn emit(&mut self) {
        let Some(job_id) = self.any_job(|job| !job.ended) else { return };
        let count = if self.random.once_in(30) { 300 } else { self.random.within(1..6) };
        for _ in 0..count {
            let kind = match self.random.below(4) {
                0 => EventKind::from("x-vendor.thing"),
                1 => EventKind::Progress,
                _ => EventKind::Log,
            };
            let feature = (kind == EventKind::Progress).then_some(Feature::Progress);
            self.append(&job_id, MessageType::JobEvent, Some(kind), feature, false);
        }
    }

    fn append(
        &mut self,
        job_id: &JobId,
        message_type: MessageType,
        kind: Option<EventKind>,
        feature: Option<Feature>,
        has_plain: bool,
    ) {
        let size = if self.random.once_in(100) { 20_000 } else { self.random.below(300) as usize };
        let payload =
            Json::from(serde_json::json!({ "n": self.random.next(), "text": "é".repeat(size / 2) }));
        let job = self.jobs.get_mut(job_id).unwrap();
        let base = |payload: Json, message_type, plain| Entry {
            job: Arc::clone(&job.head),
            index: job.next,
            message_type,
            kind: kind.clone(),
            feature: feature.clone(),
            ts: Timestamp::from_millis(1_700_000_000_000 + job.next as i64),
            payload,
            plain,
            gap: false,
        };
        let plain = has_plain.then(|| Arc::new(base(Json::empty_object(), MessageType::JobError, None)));
        let entry = Arc::new(base(payload, message_type, plain));
        job.owner_seq += self.random.below(3);
        let logged = Logged { entry, owner_seq: job.owner_seq };
        job.next += 1;
        match self.writes.last_mut() {
            Some(Write::Appended(entries)) if entries[0].entry.job.job_id == *job_id => entries.push(logged),
            _ => self.writes.push(Write::Appended(vec![logged])),
        }
        let index = job.next - 1;
        let sessions: Vec<_> = self.sessions.keys().cloned().collect();
        for session_id in sessions {
            if self.random.once_in(2) {
                self.show(&session_id, job_id, index, None);
            }
        }
    }

    fn show(&mut self, session_id: &SessionId, job_id: &JobId, index: u64, gap: Option<Timestamp>) {
        let (session, job) = (self.sessions.get_mut(session_id).unwrap(), &self.jobs[job_id]);
        (session.next, session.changed) = (session.next + 1, true);
        match session.shown.last_mut() {
            Some(run)
                if gap.is_none()
                    && run.gap.is_none()
                    && Arc::ptr_eq(&run.job, &job.head)
                    && run.index + run.count == index =>
            {
                run.count += 1;
            }
            _ => session.shown.push(Shown { job: Arc::clone(&job.head), index, count: 1, gap }),
        }
    }

    fn replay(&mut self) {
        let (Some(session), Some(job_id)) =
            (self.any_session(), self.any_job(|job| job.next > job.kept_from))
        else {
            return;
        };
        let job = &self.jobs[&job_id];
        let (from, next) = (job.kept_from, job.next);
        for index in self.random.within(from..next)..next {
            self.show(&session, &job_id, index, None);
        }
    }

    fn gap(&mut self) {
        let (Some(session), Some(job_id)) = (self.any_session(), self.any_job(|job| job.kept_from > 0))
        else {
            return;
        };
        self.show(&session, &job_id, self.jobs[&job_id].kept_from, Some(Timestamp::from_millis(77)));
    }

    fn acknowledge(&mut self) {
        let Some(id) = self.any_session() else { return };
        let session = self.sessions.get_mut(&id).unwrap();
        if session.next > session.first {
            session.first = self.random.within(session.first..session.next + 1);
            session.acknowledged = session.first - 1;
            session.changed = true;
        }
    }

    fn write_view(&mut self, id: &SessionId) {
        let session = self.sessions.get_mut(id).unwrap();
        session.changed = false;
        let first_seq = session.first.max(session.written + 1);
        let mut gone = first_seq - (session.written + 1);
        let mut shown = std::mem::take(&mut session.shown);
        shown.retain_mut(|run| {
            let here = gone.min(run.count);
            gone -= here;
            (run.index, run.count) = (run.index + here, run.count - here);
            run.count > 0
        });
        session.written = session.next - 1;
        self.writes.push(Write::View(ViewRecord {
            session_id: id.clone(),
            kept_from: session.first,
            acknowledged: session.acknowledged,
            first_seq,
            shown,
        }));
    }

    fn forget(&mut self) {
        let Some(id) = self.any_job(|job| job.next > job.kept_from + 1) else { return };
        let job = self.jobs.get_mut(&id).unwrap();
        let bias = self.random.once_in(2);
        job.kept_from = if bias { job.next - 1 } else { self.random.within(job.kept_from..job.next) };
        let owner_seq = job.owner_seq;
        self.writes.push(Write::Forgotten(ForgottenRecord {
            job_id: id,
            kept_from: job.kept_from,
            owner_seq,
        }));
    }

    fn end(&mut self) {
        let Some(id) = self.any_job(|job| !job.ended) else { return };
        self.append(&id, MessageType::JobResult, None, None, true);
        self.jobs.get_mut(&id).unwrap().ended = true;
        let status = self.random.pick(FinalStatus::KNOWN).unwrap().clone();
        self.writes.push(Write::JobEnded(id, status));
    }

    fn forget_job(&mut self) {
        let Some(id) = self.any_job(|job| job.ended) else { return };
        self.jobs.remove(&id);
        self.writes.push(Write::JobGone(id));
    }

    fn forget_key(&mut self) {
        let Some(id) = self.any_job(|job| job.key.is_some()) else { return };
        let job = &self.jobs[&id];
        self.writes.push(Write::KeyGone(job.principal.clone(), job.key.clone().unwrap()));
    }

    fn change_job(&mut self) {
        let Some(id) = self.any_job(|job| !job.ended) else { return };
        let number = self.random.next();
        self.writes.push(match number % 4 {
            0 => Write::Checkpoint(id, Json::from(serde_json::json!({ "at": number }))),
            1 => {
                let amounts =
                    [format!("USD:{}.{:06}", number % 1000, number % 999_983), "tokens:-3".to_owned()];
                let amounts = amounts.iter().filter_map(|amount| amount.parse::<BudgetAmount>().ok());
                Write::Remaining(id, amounts.collect())
            }
            2 => Write::JobStopping(id, StopCause::LeaseExpired, None),
            _ => Write::JobStopping(id, StopCause::Cancelled, Some("no \"more\"\n".to_owned())),
        });
    }
}
