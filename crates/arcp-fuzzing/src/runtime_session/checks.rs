//! What must hold of what a runtime says, and of what is left of it.

use super::*;

impl Life {
    /// Hears everything that has come over every line, and checks it.
    pub(super) fn hear(&mut self) {
        for mut line in std::mem::take(&mut self.lines) {
            for text in line.peer.hears_text(&mut self.host) {
                self.take(&mut line, text);
            }
            if self.host.wires[&line.peer.key].closed.is_some() {
                self.host.cut(&line.peer);
            } else {
                self.lines.push(line);
            }
        }
        for spec in self.host.started.values() {
            let job = spec.job_id.to_string();
            if !self.pool.jobs.contains(&job) {
                self.pool.jobs.push(job);
            }
        }
        self.host.notices.clear();
    }

    fn take(&mut self, line: &mut Line, text: String) {
        assert!(!text.contains(['\n', '\r']), "one line: {text}");
        let envelope = Envelope::decode(text.clone()).unwrap_or_else(|error| panic!("{error}: {text}"));
        let payload = envelope.message().unwrap_or_else(|error| panic!("{error}: {text}"));
        let frame: Value = serde_json::from_str(&text).expect("it was decoded before");
        let Some(session) = line.session.clone() else {
            return match payload {
                Message::SessionWelcome(_) => self.welcome(line, &frame),
                Message::SessionError(_) => assert!(envelope.event_seq.is_none(), "{text}"),
                _ => panic!("before a welcome: {text}"),
            };
        };
        assert_eq!(envelope.session_id.as_ref().map(|id| id.as_str()), Some(session.as_str()), "{text}");
        self.is_for(line, &frame, &text);
        let terminal = matches!(payload, Message::JobResult(_) | Message::JobError(_));
        match (payload, envelope.event_seq) {
            (Message::JobEvent(_) | Message::JobResult(_) | Message::JobError(_), Some(seq)) => {
                assert!(line.next.is_none_or(|next| next == seq), "{seq} instead of {:?}: {text}", line.next);
                line.next = Some(seq + 1);
                let heard = self.sessions.entry(session).or_default();
                let before = heard.messages.insert(seq, text.clone());
                let secret =
                    text.contains(CANARY) || before.as_ref().is_some_and(|text| text.contains(CANARY));
                let same = before.as_ref().is_none_or(|before| *before == text);
                assert!(same || (secret && self.has_crashed), "{text} is sent in place of {before:?}");
            }
            (Message::SessionPing(_), None) => {}
            (Message::JobEvent(_) | Message::JobResult(_) | Message::JobError(_), None) => {
                panic!("without a number: {text}")
            }
            (_, None) => line.heard += 1,
            (_, Some(_)) => panic!("with a number: {text}"),
        }
        // Each thing that is said has one answer; who delegates is told of it besides, and of a line that breaks.
        assert!(line.heard <= line.said + self.delegated + 1, "{} answers: {text}", line.heard);
        if terminal {
            let (job, end) = (&frame["job_id"], &frame["payload"]["final_status"]);
            let job = job.as_str().unwrap_or_else(|| panic!("of no job: {text}"));
            let before = self.ends.entry(job.to_owned()).or_insert_with(|| end.clone());
            assert_eq!(before, end, "{job} ends twice");
        }
    }

    fn welcome(&mut self, line: &mut Line, frame: &Value) {
        assert!(line.has_token, "who has shown no token is welcome: {frame}");
        let session = frame["session_id"].as_str().expect("a session").to_owned();
        let token = frame["payload"]["resume_token"].as_str().expect("a token").to_owned();
        let resumed = self.sessions.contains_key(&session);
        let heard = self.sessions.entry(session.clone()).or_default();
        if resumed {
            let same = line.who.is_none() || heard.who.is_none() || heard.who == line.who;
            assert!(same, "{:?} is given the session of {:?}", line.who, heard.who);
        } else {
            assert!(line.who.is_none() || line.next.is_none(), "another session than was asked for");
            (heard.who, line.next) = (line.who.clone(), Some(1));
            self.pool.sessions.push(session.clone());
        }
        heard.token = token;
        line.session = Some(session);
    }

    /// Whether what is said may be said to who hears it.
    fn is_for(&self, line: &Line, frame: &Value, text: &str) {
        if text.contains(CANARY) {
            assert!(line.secure, "a credential over a line that others read: {text}");
        }
        let Some(who) = &line.who else { return };
        let Some(job) = frame["job_id"].as_str() else { return };
        let spec = self.host.started.get(job).or_else(|| self.host.past.get(job));
        let Some(spec) = spec.filter(|_| frame["type"] != "session.error") else { return };
        assert_eq!(spec.principal.as_str(), who, "another principal's job: {text}");
    }

    /// Everything comes to its end, and nothing is left.
    pub(super) fn end(mut self) {
        self.host.release_commits();
        for line in &self.lines {
            self.host.unstall(&line.peer);
        }
        self.hear();
        while let Some(spec) = self.host.provisioning.pop_front() {
            self.host.machine.handle_provisioned(self.host.now(), spec.job, Ok(Vec::new()));
            self.host.settle();
        }
        for job in self.host.started.keys().cloned().collect::<Vec<_>>() {
            self.host.finish(&job, Outcome::Panicked);
        }
        while let Some(job) = self.host.revoked.pop() {
            self.host.machine.handle_revoked(self.host.now(), job, &Budget::default());
            self.host.settle();
        }
        self.hear();
        for line in std::mem::take(&mut self.lines) {
            self.host.cut(&line.peer);
        }
        self.check_store();
        self.host.wait(seconds(1_000));
        let census = self.host.machine.census();
        let left = [
            census.connections,
            census.sessions,
            census.principals,
            census.keys,
            census.jobs,
            census.waiting,
            census.kept,
            census.followers,
            census.events,
            census.timers,
        ];
        assert_eq!(left, [0; 10], "{census:?}");
    }

    /// What anybody has heard is stored: a runtime that goes on from there can say it again.
    pub(super) fn check_heard(&self) {
        for session in self.host.store.recover().sessions {
            let shown: u64 = session.view.iter().map(|run| run.count).sum();
            let id = session.record.session_id.as_str();
            let heard = self.sessions.get(id).and_then(|heard| heard.messages.keys().next_back());
            let head = session.first_seq + shown - 1;
            assert!(heard.is_none_or(|heard| *heard <= head), "{id} has heard {heard:?}, {head} is stored");
        }
    }

    /// Every log is in order and has one end, and no value of a credential is in it.
    fn check_store(&self) {
        for job in self.host.store.recover().jobs {
            let mut next = None;
            for (place, logged) in job.entries.iter().enumerate() {
                let entry = &logged.entry;
                // What is before that is there for views only, and not all of it.
                let kept = entry.index > job.kept_from;
                assert!(!kept || next.is_none_or(|next| next == entry.index), "{}: a gap", job.head.job_id);
                next = Some(entry.index + 1);
                let last = place + 1 == job.entries.len();
                assert!(entry.kind.is_some() || last, "{}: it goes on after its end", job.head.job_id);
                assert!(!entry.payload.as_str().contains(CANARY), "a credential is stored");
            }
        }
    }
}
