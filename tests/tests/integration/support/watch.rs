//! What the messages of one session must be together, as its client sees it: which comes first, how they are numbered,
//! which answers which. What each must be by itself is `schema.rs`, what those of one job must be is `watch/job.rs`.

mod job;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Map, Value};

use self::job::Seen;
use super::schema::{HOUSE, Side};

/// A rule was broken; says which.
pub(crate) type Broken = String;

/// Says so if a rule does not hold.
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err(format!($($text)+));
        }
    };
}
pub(crate) use ensure;

/// One session, over all of its connections.
#[derive(Default)]
pub(crate) struct Watch {
    stage: Stage,
    /// What the client has asked for.
    asked: BTreeSet<String>,
    /// What both sides have (§6.2).
    features: BTreeSet<String>,
    session_id: Option<String>,
    resume_token: Option<String>,
    /// The last number that is asked for by the resume under way.
    resumes_at: Option<u64>,
    /// The number of the last message that came, over this connection.
    last: u64,
    /// Every numbered message, as it came first.
    log: BTreeMap<u64, String>,
    jobs: BTreeMap<String, Seen>,
    /// What has been asked and not answered, oldest first.
    open: VecDeque<Asked>,
    /// What was asked before a connection was cut: it may be asked again.
    asked_before: BTreeSet<String>,
    /// How many submits were among them. Their jobs may be heard of before they are accepted, and the end of a job that a key
    /// names may be told once more for each, though the answer was lost.
    lost_submits: usize,
    /// How often the end of a job was told once more.
    told_again: usize,
    /// Messages that may be refused, and have no answer otherwise.
    unanswered: BTreeSet<String>,
    pings: BTreeSet<String>,
    /// Pings of the runtime that wait for a pong.
    pinged: BTreeSet<String>,
    acknowledged: u64,
    /// How often a message of a type came.
    pub(crate) heard: BTreeMap<String, u64>,
    pub(crate) said: BTreeMap<String, u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Nothing was said.
    #[default]
    New,
    /// A hello was said.
    Greeted,
    Open,
    /// The client has asked for the end.
    Closing,
    /// Nothing may come any more.
    Closed,
}

/// A request that waits for its answer.
struct Asked {
    id: String,
    message_type: String,
    payload: Value,
    job_id: Option<String>,
}

pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

impl Watch {
    /// Another connection: what was not answered may be asked again, or never be answered.
    pub(crate) fn reconnected(&mut self) {
        self.stage = Stage::New;
        let open = std::mem::take(&mut self.open);
        self.lost_submits += open.iter().filter(|asked| asked.message_type == "job.submit").count();
        self.asked_before.extend(open.into_iter().map(|asked| asked.id));
        self.pings.clear();
        self.pinged.clear();
    }

    fn has(&self, feature: &str) -> bool {
        self.features.contains(feature)
    }

    /// The client says this.
    pub(crate) fn sent(&mut self, frame: &str) -> Result<Value, Broken> {
        let message = HOUSE.read(Side::Client, frame)?;
        self.say(&message).map_err(|broken| format!("{broken}\nin {message:#}"))?;
        Ok(message)
    }

    /// The client says something on purpose that it must not.
    pub(crate) fn sent_badly(&mut self, id: &str) {
        self.unanswered.insert(id.to_owned());
    }

    /// The runtime says this.
    pub(crate) fn received(&mut self, frame: &str) -> Result<Value, Broken> {
        let message = HOUSE.read(Side::Runtime, frame)?;
        self.hear(frame, &message).map_err(|broken| format!("{broken}\nin {message:#}"))?;
        Ok(message)
    }

    fn say(&mut self, message: &Value) -> Result<(), Broken> {
        let message_type = text(message, "type");
        let payload = &message["payload"];
        *self.said.entry(message_type.to_owned()).or_default() += 1;
        if matches!(message_type, "session.hello" | "session.resume") {
            return self.greet(message_type, payload);
        }
        ensure!(
            self.stage == Stage::Open || (self.stage == Stage::Closing && message_type == "session.bye"),
            "{message_type} while {:?}",
            self.stage
        );
        ensure!(message["session_id"].as_str() == self.session_id.as_deref(), "another session");
        match message_type {
            "job.submit" => {
                ensure!(
                    self.has("agent_versions") || !text(payload, "agent").contains('@'),
                    "a version, which was not negotiated"
                );
                self.ask(message)
            }
            "session.list_jobs" => {
                ensure!(self.has("list_jobs"), "list_jobs was not negotiated");
                self.ask(message)
            }
            "job.subscribe" => {
                ensure!(self.has("subscribe"), "subscribe was not negotiated");
                self.ask(message)
            }
            "job.cancel" => {
                let of_payload = payload.get("job_id").unwrap_or(&message["job_id"]);
                ensure!(*of_payload == message["job_id"], "two jobs to cancel");
                self.ask(message)
            }
            "job.unsubscribe" => {
                ensure!(self.has("subscribe"), "subscribe was not negotiated");
                self.unanswered.insert(text(message, "id").to_owned());
                Ok(())
            }
            "session.ping" => {
                ensure!(self.has("heartbeat"), "heartbeat was not negotiated");
                ensure!(self.pings.insert(text(payload, "nonce").to_owned()), "a nonce used twice");
                Ok(())
            }
            "session.pong" => {
                ensure!(self.pinged.remove(text(payload, "ping_nonce")), "a pong to no ping");
                Ok(())
            }
            "session.ack" => {
                ensure!(self.has("ack"), "ack was not negotiated");
                let processed = payload["last_processed_seq"].as_u64().unwrap_or(u64::MAX);
                ensure!(processed > self.acknowledged, "{processed} was acknowledged before");
                ensure!(processed <= self.last, "{processed} has not come yet");
                self.acknowledged = processed;
                Ok(())
            }
            "session.close" => {
                self.stage = Stage::Closing;
                Ok(())
            }
            "session.bye" => {
                self.stage = Stage::Closed;
                Ok(())
            }
            other => Err(format!("{other} is not expected here")),
        }
    }

    fn greet(&mut self, message_type: &str, payload: &Value) -> Result<(), Broken> {
        ensure!(self.stage == Stage::New, "{message_type} is not the first message");
        self.stage = Stage::Greeted;
        let features = payload["capabilities"]["features"].as_array();
        self.asked = features
            .into_iter()
            .flatten()
            .filter_map(|feature| feature.as_str().map(str::to_owned))
            .collect();
        let resume = if message_type == "session.resume" { Some(payload) } else { payload.get("resume") };
        self.resumes_at = resume.and_then(|resume| resume["last_event_seq"].as_u64());
        Ok(())
    }

    fn ask(&mut self, message: &Value) -> Result<(), Broken> {
        let id = text(message, "id").to_owned();
        ensure!(self.open.iter().all(|asked| asked.id != id), "{id} is asked twice");
        self.asked_before.remove(&id);
        let job_id = message["job_id"].as_str().or_else(|| message["payload"]["job_id"].as_str());
        self.open.push_back(Asked {
            id,
            message_type: text(message, "type").to_owned(),
            payload: message["payload"].clone(),
            job_id: job_id.map(str::to_owned),
        });
        Ok(())
    }

    fn hear(&mut self, frame: &str, message: &Value) -> Result<(), Broken> {
        let message_type = text(message, "type");
        let payload = &message["payload"];
        *self.heard.entry(message_type.to_owned()).or_default() += 1;
        match (self.stage, message_type) {
            (Stage::Greeted, "session.welcome") => return self.welcomed(message),
            (Stage::New | Stage::Greeted, "session.error") => {
                self.stage = Stage::Closed;
                return Ok(());
            }
            // What is under way when the client says goodbye may still come.
            (Stage::Open | Stage::Closing, _) => {}
            (stage, _) => return Err(format!("{message_type} while {stage:?}")),
        }
        ensure!(message["session_id"].as_str() == self.session_id.as_deref(), "another session");
        match message_type {
            "session.ping" => {
                ensure!(self.has("heartbeat"), "heartbeat was not negotiated");
                ensure!(self.pinged.insert(text(payload, "nonce").to_owned()), "a nonce used twice");
            }
            "session.pong" => ensure!(self.pings.remove(text(payload, "ping_nonce")), "a pong to no ping"),
            "session.error" => self.refused(payload)?,
            "session.closed" => {
                ensure!(self.stage == Stage::Closing, "closed without being asked");
                self.stage = Stage::Closed;
            }
            "session.jobs" => self.listed(payload)?,
            "job.accepted" => self.accepted(message)?,
            "job.subscribed" => self.subscribed(message)?,
            "job.cancelled" => {
                let asked = self.answered("job.cancel", payload)?;
                ensure!(
                    asked.job_id.as_deref() == message["job_id"].as_str(),
                    "another job was to be cancelled"
                );
            }
            "job.event" | "job.result" | "job.error" => self.numbered(frame, message)?,
            other => return Err(format!("{other} is not expected here")),
        }
        Ok(())
    }

    fn welcomed(&mut self, message: &Value) -> Result<(), Broken> {
        let payload = &message["payload"];
        let session_id = text(message, "session_id");
        ensure!(session_id == text(payload, "session_id"), "two sessions");
        let token = text(payload, "resume_token");
        ensure!(self.resume_token.as_deref() != Some(token), "the token was not rotated");
        self.resume_token = Some(token.to_owned());
        let offered = payload["capabilities"]["features"].as_array();
        let offered: BTreeSet<String> =
            offered.into_iter().flatten().filter_map(|feature| feature.as_str().map(str::to_owned)).collect();
        self.features = self.asked.intersection(&offered).cloned().collect();
        ensure!(
            self.has("heartbeat") == payload.get("heartbeat_interval_sec").is_some(),
            "a heartbeat interval goes with heartbeats"
        );
        match self.resumes_at.take() {
            Some(last) if self.session_id.as_deref().is_none_or(|known| known == session_id) => {
                self.last = last
            }
            Some(_) => return Err("another session was resumed".to_owned()),
            None => {
                // Another session: it counts from 1, and knows of no job.
                let (heard, said) = (std::mem::take(&mut self.heard), std::mem::take(&mut self.said));
                let features = std::mem::take(&mut self.features);
                let resume_token = self.resume_token.take();
                *self = Self { heard, said, features, resume_token, ..Self::default() };
            }
        }
        self.session_id = Some(session_id.to_owned());
        self.stage = Stage::Open;
        Ok(())
    }

    /// The oldest open request, which this must answer: requests are answered in order.
    fn answered(&mut self, message_type: &str, payload: &Value) -> Result<Asked, Broken> {
        let asked = self.open.pop_front().ok_or("an answer to nothing")?;
        ensure!(text(payload, "request_id") == asked.id, "{} was asked before", asked.id);
        ensure!(asked.message_type == message_type, "an answer to {}", asked.message_type);
        Ok(asked)
    }

    fn refused(&mut self, payload: &Value) -> Result<(), Broken> {
        let Some(request_id) = payload["request_id"].as_str() else {
            let code = text(payload, "code");
            // Of what cannot be read nothing can be named.
            ensure!(matches!(code, "HEARTBEAT_LOST" | "INVALID_REQUEST"), "{code} refuses nothing");
            return Ok(());
        };
        if self.unanswered.remove(request_id) {
            return Ok(());
        }
        let asked = self.open.pop_front().ok_or("a refusal of nothing")?;
        ensure!(asked.id == request_id, "{} was asked before", asked.id);
        let job_id = payload["job_id"].as_str();
        ensure!(job_id.is_none() || job_id == asked.job_id.as_deref(), "a refusal about another job");
        Ok(())
    }

    fn listed(&mut self, payload: &Value) -> Result<(), Broken> {
        let asked = self.answered("session.list_jobs", payload)?.payload;
        let jobs = payload["jobs"].as_array().ok_or("no jobs")?;
        let limit = asked["limit"].as_u64().unwrap_or(100);
        ensure!(jobs.len() as u64 <= limit, "more jobs than were asked for");
        let times: Vec<_> = jobs.iter().map(|job| text(job, "created_at")).collect();
        ensure!(times.is_sorted_by(|earlier, later| earlier >= later), "not the newest first");
        for job in jobs {
            ensure!(job["created_at"] == job["submitted_at"], "two times of creation");
            let status = asked["filter"]["status"].as_array();
            ensure!(
                status.is_none_or(|wanted| wanted.is_empty() || wanted.contains(&job["status"])),
                "a status that was not asked for"
            );
            let agent = asked["filter"]["agent"].as_str();
            ensure!(agent.is_none_or(|wanted| is_agent(wanted, text(job, "agent"))), "another agent");
        }
        Ok(())
    }

    /// What was not negotiated is not there.
    fn withheld(&self, payload: &Value) -> Result<(), Broken> {
        for (field, feature) in [
            ("budget", "cost.budget"),
            ("lease_constraints", "lease_expires_at"),
            ("credentials", "provisioned_credentials"),
        ] {
            ensure!(self.has(feature) || payload.get(field).is_none(), "{field} without {feature}");
        }
        let has_budget = payload["lease"].get("cost.budget").is_some() && self.has("cost.budget");
        ensure!(has_budget == payload.get("budget").is_some(), "a budget goes with its lease");
        Ok(())
    }

    fn accepted(&mut self, message: &Value) -> Result<(), Broken> {
        let payload = &message["payload"];
        ensure!(message["job_id"] == payload["job_id"], "two jobs");
        ensure!(message["trace_id"] == payload["trace_id"], "two traces");
        self.withheld(payload)?;
        let job_id = text(payload, "job_id").to_owned();
        let skips = next_index(message).unwrap_or(0) > 0;
        if payload.get("request_id").is_some() {
            let asked = self.answered("job.submit", payload)?.payload;
            ensure!(is_agent(text(&asked, "agent"), text(payload, "agent")), "another agent");
            let empty = Value::Object(Map::new());
            let wanted = asked.get("lease_request").unwrap_or(&empty);
            ensure!(*wanted == payload["lease"], "another lease than was asked for");
            let again = self.jobs.contains_key(&job_id);
            ensure!(!again || asked.get("idempotency_key").is_some(), "a job was accepted twice");
            self.jobs.entry(job_id).or_insert_with(|| Seen::new(text(message, "trace_id"))).begins(skips);
            return Ok(());
        }
        let parent_id = payload["parent_job_id"].as_str().ok_or("neither a submit's nor a child's")?;
        match self.jobs.get(parent_id) {
            Some(parent) => {
                parent.has_delegated(text(payload, "delegate_id"))?;
                ensure!(parent.trace == text(message, "trace_id"), "a child with a trace of its own");
            }
            None => ensure!(self.lost_submits > 0, "a child of nobody"),
        }
        // After a resume it may be announced once more.
        let child = self.jobs.entry(job_id).or_insert_with(|| Seen::new(text(message, "trace_id")));
        child.parent = Some(parent_id.to_owned());
        Ok(())
    }

    fn subscribed(&mut self, message: &Value) -> Result<(), Broken> {
        let payload = &message["payload"];
        ensure!(message["job_id"] == payload["job_id"], "two jobs");
        self.withheld(payload)?;
        let asked = self.answered("job.subscribe", payload)?;
        ensure!(asked.job_id.as_deref() == payload["job_id"].as_str(), "another job was asked for");
        let first = next_index(message).ok_or("not told where the job's log goes on")?;
        let history = asked.payload["history"] == true;
        ensure!(
            history || payload["replayed"] == false || is_final(text(payload, "current_status")),
            "a replay"
        );
        let job = self.jobs.entry(text(payload, "job_id").to_owned());
        job.or_insert_with(|| Seen::new(text(message, "trace_id"))).begins(first > 0);
        Ok(())
    }

    fn numbered(&mut self, frame: &str, message: &Value) -> Result<(), Broken> {
        let event_seq = message["event_seq"].as_u64().ok_or("no number")?;
        ensure!(event_seq == self.last + 1, "number {event_seq} after {}", self.last);
        self.last = event_seq;
        if let Some(before) = self.log.get(&event_seq) {
            ensure!(before == frame, "a replay is a repetition, but before there was {before}");
            return Ok(());
        }
        self.log.insert(event_seq, frame.to_owned());
        let job_id = text(message, "job_id");
        if self.lost_submits > 0 && !self.jobs.contains_key(job_id) {
            self.jobs
                .entry(job_id.to_owned())
                .or_insert_with(|| Seen::new(text(message, "trace_id")))
                .begins(true);
        }
        let job = self.jobs.get_mut(job_id).ok_or("a job that was not accepted")?;
        if job.has_ended() && text(message, "type") != "job.event" && self.told_again < self.lost_submits {
            self.told_again += 1;
            return Ok(());
        }
        job.says(message, &self.features)?;
        let outlives = |job: &Seen| job.parent.as_deref() == Some(job_id) && !job.has_ended();
        ensure!(!self.has_ended(job_id) || !self.jobs.values().any(outlives), "a child outlives its parent");
        Ok(())
    }

    /// Whether a job has ended.
    pub(crate) fn has_ended(&self, job_id: &str) -> bool {
        self.jobs.get(job_id).is_some_and(Seen::has_ended)
    }

    /// The number of the last message.
    pub(crate) fn last_event_seq(&self) -> u64 {
        self.last
    }
}

fn next_index(message: &Value) -> Option<u64> {
    message["extensions"]["x-vendor.arcp.next_index"].as_u64()
}

fn is_final(status: &str) -> bool {
    matches!(status, "success" | "error" | "cancelled" | "timed_out")
}

/// Whether `name@version` is what `name`, or `name@version`, asks for.
fn is_agent(wanted: &str, resolved: &str) -> bool {
    resolved == wanted || resolved.split_once('@').is_some_and(|(name, _)| name == wanted)
}
