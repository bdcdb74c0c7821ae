//! What may happen to a runtime, step by step.

use super::*;

impl Life {
    pub(super) fn step(&mut self, bytes: &mut Unstructured<'_>) {
        match below(bytes, 32) {
            0 | 1 => self.connect(bytes),
            2 | 3 => self.introduce(bytes),
            4 => self.resume(bytes),
            5..=11 => self.ask(bytes),
            12 | 13 => self.say_anything(bytes),
            14 => self.cut(bytes),
            15 => self.break_line(bytes),
            16 => {
                let long = below(bytes, 8) == 0;
                let millis = 40 * below(bytes, 256) * if long { 10 } else { 1 };
                self.host.wait(Duration::from_millis(millis as u64));
            }
            17..=20 => self.emit(bytes),
            21 => self.finish(bytes),
            22 => self.stream(bytes),
            23 => self.delegate(bytes),
            24 => self.store(bytes),
            25 => self.stall(bytes),
            26 => self.host.gulp = 1 + below(bytes, 20),
            27 => self.authenticate(bytes),
            28 | 29 => self.issue(bytes),
            30 => self.obey(),
            _ => self.upset(bytes),
        }
        for job in self.host.woken.drain(..) {
            self.waiting.remove(&job);
        }
    }

    /// The line that is meant, if there is any.
    fn line(&mut self, bytes: &mut Unstructured<'_>) -> Option<usize> {
        let index = below(bytes, LINES);
        (!self.lines.is_empty()).then(|| index % self.lines.len())
    }

    fn job(&mut self, bytes: &mut Unstructured<'_>) -> Option<String> {
        let index = below(bytes, 16);
        let count = self.host.started.len();
        (count > 0).then(|| self.host.started.keys().rev().nth(index % count).cloned())?
    }

    fn connect(&mut self, bytes: &mut Unstructured<'_>) {
        if self.lines.len() < LINES {
            self.dial(bytes);
            if flag(bytes) {
                self.hello(bytes, self.lines.len() - 1, None);
            }
        }
    }

    fn dial(&mut self, bytes: &mut Unstructured<'_>) {
        let secure = below(bytes, 4) > 0;
        let peer = self.host.connect_over(secure);
        let line =
            Line { peer, secure, who: None, has_token: false, said: 0, heard: 0, session: None, next: None };
        self.lines.push(line);
    }

    fn introduce(&mut self, bytes: &mut Unstructured<'_>) {
        if let Some(index) = self.line(bytes) {
            self.hello(bytes, index, None);
        }
    }

    /// Says hello, well or badly, and asks for a session back or not.
    fn hello(&mut self, bytes: &mut Unstructured<'_>, index: usize, resume: Option<Value>) {
        let mut who = one(bytes, &["alice", "alice", "alice", "bob"]).to_owned();
        let session = resume.as_ref().and_then(|resume| self.sessions.get(resume["session_id"].as_str()?));
        // Who asks for a session back is mostly who has it.
        if let Some(owner) = session.and_then(|heard| heard.who.clone()).filter(|_| below(bytes, 8) > 0) {
            who = owner;
        }
        let mut payload = hello(&who);
        let all = arcp_core::client::implemented_features();
        payload["capabilities"]["features"] = match below(bytes, 4) {
            0 => json!([]),
            1 => all.iter().filter(|_| flag(bytes)).map(|feature| feature.as_str()).collect(),
            _ => all.iter().map(|feature| feature.as_str()).collect(),
        };
        if below(bytes, 8) == 0 {
            payload["capabilities"]["agents"] = json!([]); // the mark of a peer with quirks
        }
        if below(bytes, 16) == 0 {
            payload["auth"]["token"] = json!("nobody's");
        }
        let expects = resume.as_ref().and_then(|resume| resume["last_event_seq"].as_u64());
        if let Some(resume) = resume {
            payload["resume"] = resume;
        }
        let line = &mut self.lines[index];
        if line.said == 0 {
            (line.who, line.next) = (Some(who), expects.map(|last| last + 1));
        } else {
            // What was said before may have been answered, and the answer be still to be heard.
            line.unsure();
        }
        let envelope = message("hello", "session.hello", payload);
        if below(bytes, 16) == 0 {
            let text = grammar::mutated(bytes, envelope);
            self.lines[index].unsure();
            self.say(index, text);
        } else {
            self.say(index, envelope.to_string());
        }
    }

    fn resume(&mut self, bytes: &mut Unstructured<'_>) {
        let session = known(bytes, &self.pool.sessions);
        let heard = self.sessions.get(&session);
        let last = heard.and_then(|heard| heard.messages.keys().next_back()).copied().unwrap_or(0);
        let last = last.saturating_sub(below(bytes, 4) as u64);
        let token = match below(bytes, 8) {
            0 => "wrong".to_owned(),
            _ => heard.map(|heard| heard.token.clone()).unwrap_or_default(),
        };
        if self.lines.len() == LINES {
            return;
        }
        self.dial(bytes);
        let resume = json!({ "session_id": session, "resume_token": token, "last_event_seq": last });
        self.hello(bytes, self.lines.len() - 1, Some(resume));
    }

    /// Hands a text to the runtime, if it reads.
    fn say(&mut self, index: usize, text: String) {
        let line = &mut self.lines[index];
        if line.session.is_some() && !self.host.machine.wants_frames(line.peer.key) {
            return;
        }
        line.said += 1;
        line.has_token |= text.contains("-token");
        let key = line.peer.key;
        self.host.frame(key, Incoming::text(text));
    }

    fn ask(&mut self, bytes: &mut Unstructured<'_>) {
        let Some(index) = self.line(bytes) else { return };
        let (message_type, payload, job) = grammar::request(bytes, &self.pool);
        self.asked += 1;
        let mut envelope = message(&format!("q{}", self.asked), message_type, payload);
        if let Some(job) = job {
            envelope["job_id"] = json!(job);
        }
        let text =
            if below(bytes, 8) == 0 { grammar::mutated(bytes, envelope) } else { envelope.to_string() };
        self.lines[index].unsure();
        self.say(index, text);
    }

    fn say_anything(&mut self, bytes: &mut Unstructured<'_>) {
        let Some(index) = self.line(bytes) else { return };
        self.lines[index].unsure();
        let count = below(bytes, 64).min(bytes.len());
        match below(bytes, 3) {
            0 => {
                let key = self.lines[index].peer.key;
                self.lines[index].said += 1;
                self.host.frame(key, Incoming::binary(count));
            }
            1 => {
                let text = String::from_utf8_lossy(bytes.bytes(count).unwrap_or_default()).into_owned();
                self.say(index, text);
            }
            _ => {
                let value = grammar::any(bytes, 3);
                self.say(index, value.to_string());
            }
        }
    }

    fn cut(&mut self, bytes: &mut Unstructured<'_>) {
        if let Some(index) = self.line(bytes) {
            self.hear();
            if index < self.lines.len() {
                let line = self.lines.remove(index);
                self.host.cut(&line.peer);
            }
        }
    }

    fn break_line(&mut self, bytes: &mut Unstructured<'_>) {
        let Some(index) = self.line(bytes) else { return };
        let too_large = BrokenFrame::TooLarge { limit: 1 };
        let broken = [BrokenFrame::NotUtf8, too_large, BrokenFrame::Protocol][below(bytes, 3)];
        self.lines[index].said += 1;
        let key = self.lines[index].peer.key;
        self.host.machine.handle_broken_frame(self.host.now(), key, broken);
        self.host.settle();
    }

    fn emit(&mut self, bytes: &mut Unstructured<'_>) {
        let Some(job) = self.job(bytes) else { return };
        let key = self.host.key_of(&job);
        for _ in 0..=below(bytes, 3) {
            if self.waiting.contains(&key) {
                return;
            }
            let (kind, body) = grammar::event(bytes);
            if let Ok(Flow::Wait) = self.host.emit_body(&job, kind, &body) {
                self.waiting.insert(key);
            }
        }
    }

    fn finish(&mut self, bytes: &mut Unstructured<'_>) {
        let Some(job) = self.job(bytes) else { return };
        let outcome = match below(bytes, 4) {
            0 => Outcome::Panicked,
            1 => {
                let code = ErrorCode::from(grammar::error(bytes)["code"].as_str().unwrap_or_default());
                Outcome::Failure(ErrorPayload::new(code, "it failed"))
            }
            _ => Outcome::Success(Json::from(grammar::any(bytes, 2))),
        };
        self.host.finish(&job, outcome);
    }

    /// Streams a piece of a result, or begins to.
    fn stream(&mut self, bytes: &mut Unstructured<'_>) {
        let Some(job) = self.job(bytes) else { return };
        let (now, key) = (self.host.now(), self.host.key_of(&job));
        if flag(bytes) {
            let _ = self.host.machine.begin_result(now, key, ChunkEncoding::Utf8);
        } else {
            let data = "x".repeat(below(bytes, 40));
            let body =
                json!({ "result_id": "r", "chunk_seq": 0, "data": data, "encoding": "utf8", "more": true });
            let kind = arcp_proto::event::EventKind::ResultChunk;
            let draft = arcp_core::runtime::Draft::new(kind, now.wall, &body).expect("it can be encoded");
            let last = flag(bytes).then(|| flag(bytes).then(|| "summary".to_owned()));
            let _ = self.host.machine.emit_chunk(now, key, draft, data.as_bytes(), last);
        }
        if below(bytes, 4) == 0 {
            let _ = self.host.machine.checkpoint(now, key, Json::from(grammar::any(bytes, 1)));
        }
        self.host.settle();
    }

    fn delegate(&mut self, bytes: &mut Unstructured<'_>) {
        let Some(job) = self.job(bytes) else { return };
        let lease = match below(bytes, 4) {
            0 => Lease::empty().grant("agent.delegate", "echo"),
            1 => Lease::empty().grant("cost.budget", "USD:0.25"),
            2 => Lease::empty().grant("fs.read", "/a/b"),
            _ => Lease::empty(),
        };
        let agent = one(bytes, &["echo", "tireless", "versioned@1.0.0", "absent"]);
        let delegation =
            Delegation::new(agent.parse().expect("an agent"), Json::null(), lease, Default::default());
        self.delegated += 1;
        let key = self.host.key_of(&job);
        let _ = self.host.machine.delegate(self.host.now(), key, delegation);
        self.host.settle();
    }

    fn store(&mut self, bytes: &mut Unstructured<'_>) {
        match below(bytes, 8) {
            0..=2 => self.host.hold_commits(),
            3 => self.host.commit_one(),
            4 if self.host.awaits_commits() => self.host.fills_up(),
            5 | 6 => self.host.release_commits(),
            _ => {}
        }
    }

    /// A client stops to read, or goes on.
    fn stall(&mut self, bytes: &mut Unstructured<'_>) {
        let Some(index) = self.line(bytes) else { return };
        let Line { peer, .. } = &self.lines[index];
        match self.host.wires[&peer.key].stalled {
            true => self.host.unstall(peer),
            false => self.host.stall(peer),
        }
    }

    fn authenticate(&mut self, bytes: &mut Unstructured<'_>) {
        self.host.authenticator = match below(bytes, 6) {
            0 => Authenticator::IsSilent,
            1 => Authenticator::IsDown,
            _ => Authenticator::Answers,
        };
    }

    /// What the machine asks for is answered, one way or the other.
    fn issue(&mut self, bytes: &mut Unstructured<'_>) {
        let now = self.host.now();
        match below(bytes, 4) {
            0 | 1 => {
                let Some(spec) = self.host.provisioning.pop_front() else { return };
                let outcome = match below(bytes, 4) {
                    0 => Err(ErrorPayload::new(ErrorCode::InternalError, "the upstream is down")),
                    1 => Ok(Vec::new()),
                    _ => Ok(vec![self.credential("USD:1.00")]),
                };
                let failed = outcome.is_err();
                self.host.machine.handle_provisioned(now, spec.job, outcome);
                if failed {
                    self.host.machine.handle_revoked(now, spec.job, &Budget::default());
                }
            }
            2 => {
                let Some(job) = self.host.constraining.pop_front() else { return };
                if self.host.machine.constraint(job).is_some() {
                    let down = || ErrorPayload::new(ErrorCode::InternalError, "the upstream is down");
                    let outcome = match below(bytes, 4) {
                        0 => Err(NotConstrained::Unsupported),
                        1 => Err(NotConstrained::Failed(down())),
                        _ => Ok(Budget::default()),
                    };
                    self.host.machine.handle_constrained(now, job, outcome);
                }
            }
            _ => {
                for job in std::mem::take(&mut self.host.revoked) {
                    self.host.machine.handle_revoked(now, job, &Budget::default());
                }
                if let Some(job) = self.job(bytes) {
                    let credential = self.credential("USD:1.00");
                    let _ = self.host.machine.rotate_credential(now, self.host.key_of(&job), credential);
                }
            }
        }
        self.host.settle();
    }

    fn credential(&mut self, budget: &str) -> Credential {
        self.issued += 1;
        let credential = json!({
            "id": "cred_1", "scheme": "bearer", "value": format!("{CANARY}-{}", self.issued),
            "endpoint": "https://gateway.example/v1", "constraints": { "cost.budget": [budget] },
        });
        serde_json::from_value(credential).expect("a credential")
    }

    /// Agents that were told to stop do so.
    fn obey(&mut self) {
        for (job, _) in std::mem::take(&mut self.host.stopped) {
            self.host.machine.finish(self.host.now(), job, Outcome::Success(Json::null()));
            self.host.settle();
        }
    }

    /// What seldom happens.
    fn upset(&mut self, bytes: &mut Unstructured<'_>) {
        match below(bytes, 16) {
            0..=7 => self.crash(),
            8 => {
                self.host.machine.drain(self.host.now());
                self.host.settle();
            }
            9 => self.host.shut_down(),
            _ => {}
        }
    }

    fn crash(&mut self) {
        self.hear();
        self.check_heard();
        self.lines.clear();
        self.host.crash();
        self.has_crashed = true;
        self.waiting.clear();
        // These name jobs towards a machine that is gone.
        self.host.constraining.clear();
        self.host.revoked.clear();
    }
}

impl Line {
    /// What was said may have been a hello of anybody's.
    fn unsure(&mut self) {
        if self.session.is_none() {
            (self.who, self.next) = (None, None);
        }
    }
}
