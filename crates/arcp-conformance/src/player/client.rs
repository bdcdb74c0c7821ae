//! What a peer does as a client of the runtime under test: introduces itself, resumes, submits.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Opposite, Player, Trouble, told};
use crate::FEATURES;
use crate::case::{Hello, Resumes};
use crate::failure::shown;
use crate::peer::Came;

impl Player<'_> {
    pub(super) async fn connect(&mut self, who: &str, until: Instant) -> Result<(), Trouble> {
        let Opposite::Runtime(target) = &self.opposite else {
            return Err(Trouble::Case("a client is tested: it connects, and the case accepts".to_owned()));
        };
        let due = "a connection";
        let link = match tokio::time::timeout_at(until, target.connector.connect()).await {
            Ok(Ok(link)) => link,
            Ok(Err(error)) => return Err(Trouble::due(due, error.to_string())),
            Err(_) => return Err(Trouble::due(due, "nothing in time")),
        };
        self.peer(who).open(link);
        Ok(())
    }

    pub(super) async fn hello(&mut self, who: &str, hello: &Hello, until: Instant) -> Result<(), Trouble> {
        self.connect(who, until).await?;
        let token = hello.token.clone().unwrap_or_else(|| json!("${token}"));
        let peer = self.peer(who);
        peer.session = None;
        (peer.last, peer.from) = (0, 0);
        peer.mute = hello.mute;
        peer.features = features(hello);
        peer.bearer = Some(token.clone());
        let payload = json!({
            "client": {"name": "arcp-conformance", "version": env!("CARGO_PKG_VERSION")},
            "auth": {"scheme": "bearer", "token": token},
            "capabilities": {"encodings": ["json"], "features": peer.features},
        });
        self.send(who, &json!({"type": "session.hello", "payload": payload})).await?;
        let welcome = hello.welcome.clone().unwrap_or_else(|| json!({}));
        self.welcomed(who, json!({"type": "session.welcome", "payload": welcome}), until).await
    }

    pub(super) async fn resume(&mut self, who: &str, how: &Resumes, until: Instant) -> Result<(), Trouble> {
        self.connect(who, until).await?;
        let or = |given: &Option<Value>, own: Option<Value>| given.clone().or(own).unwrap_or(Value::Null);
        let peer = self.peer(who);
        let session = or(&how.session, peer.session.take().map(Value::from));
        let from = or(&how.from, Some(peer.last.into()));
        let token = or(&how.token, peer.resume_token.clone());
        let bearer = or(&how.bearer, peer.bearer.clone());
        let features = peer.features.clone();
        let from = self.variables.fill(&from)?;
        let kind = if how.by_message { "session.resume" } else { "session.hello" };
        let payload = json!({
            "client": {"name": "arcp-conformance", "version": env!("CARGO_PKG_VERSION")},
            "auth": {"scheme": "bearer", "token": bearer},
            "capabilities": {"encodings": ["json"], "features": features},
            "resume": {"session_id": session, "resume_token": token, "last_event_seq": from},
        });
        self.peer(who).from = from.as_u64().unwrap_or_default();
        self.send(who, &json!({"type": kind, "payload": payload})).await?;
        if how.refused {
            return Ok(());
        }
        let session = self.variables.fill(&session)?;
        // Whether the replay comes after the welcome or before it is not for this to say.
        let replay = self.peer(who).take_numbered(until).await;
        let due = json!({"type": "session.welcome", "session_id": session});
        let welcomed = self.welcomed(who, due, until).await;
        self.peer(who).give_back(replay);
        welcomed
    }

    /// Takes a welcome, and notes what it says.
    async fn welcomed(&mut self, who: &str, due: Value, until: Instant) -> Result<(), Trouble> {
        let welcome = self.receive(who, &due, until, false).await?;
        let payload = &welcome["payload"];
        let session = [&welcome["session_id"], &payload["session_id"]].into_iter().find_map(Value::as_str);
        let Some(session) = session else {
            return Err(Trouble::due("a welcome that names its session", shown(&welcome)));
        };
        let offered = payload["capabilities"]["features"].as_array();
        let offered: BTreeSet<_> = offered.into_iter().flatten().filter_map(Value::as_str).collect();
        let peer = self.peer(who);
        peer.session = Some(session.to_owned());
        peer.resume_token = payload.get("resume_token").cloned();
        peer.features.retain(|feature| offered.contains(feature.as_str()));
        self.variables.set(format!("{who}.session"), session);
        self.variables.set(format!("{who}.resume_token"), payload["resume_token"].clone());
        for (name, member) in [("interval", "heartbeat_interval_sec"), ("window", "resume_window_sec")] {
            if let Some(value) = payload.get(member) {
                self.variables.set(name, value.clone());
            }
        }
        Ok(())
    }

    pub(super) async fn submit(
        &mut self,
        who: &str,
        payload: &Value,
        named: &str,
        until: Instant,
    ) -> Result<(), Trouble> {
        let sent = self.send(who, &json!({"type": "job.submit", "payload": payload})).await?;
        self.variables.set(format!("{named}.request"), sent.as_str());
        let peer = self.peer(who);
        let mut passed = Vec::new();
        let outcome = loop {
            match peer.next(until).await {
                Came::Message(message) => match message["type"].as_str() {
                    Some("job.accepted") if message["payload"].get("parent_job_id").is_none() => {
                        break Ok(message);
                    }
                    Some("session.error" | "job.error") if answers(&message, &sent) => {
                        break Err(Trouble::due("job.accepted", shown(&message)));
                    }
                    _ => passed.push(Came::Message(message)),
                },
                other => break Err(Trouble::due("job.accepted", told(&other))),
            }
        };
        peer.give_back(passed);
        let accepted = outcome?;
        let job = [&accepted["payload"]["job_id"], &accepted["job_id"]].into_iter().find_map(Value::as_str);
        let Some(job) = job else {
            return Err(Trouble::due("a job.accepted that names its job", shown(&accepted)));
        };
        self.jobs.push((who.to_owned(), job.to_owned()));
        self.variables.set(named, job);
        self.variables.set(format!("{named}.accepted"), accepted["payload"].clone());
        Ok(())
    }

    /// Asks for something that changes nothing and waits for the answer: what was asked before has been answered by then.
    pub(super) async fn sync(&mut self, who: &str, until: Instant) -> Result<(), Trouble> {
        if matches!(self.opposite, Opposite::Client(_)) {
            let nonce = format!("p_{}", ulid::Ulid::generate());
            let sent_at = format!("{:.3}", jiff::Timestamp::now());
            let ping = json!({"type": "session.ping", "payload": {"nonce": nonce, "sent_at": sent_at}});
            self.send(who, &ping).await?;
            let pong = json!({"type": "session.pong", "payload": {"ping_nonce": nonce}});
            return self.receive(who, &pong, until, true).await.map(drop);
        }
        let lists = self.peer(who).features.iter().any(|feature| feature == "list_jobs");
        let request = if lists {
            json!({"type": "session.list_jobs", "payload": {"limit": 1}})
        } else {
            json!({"type": "job.cancel", "job_id": "job_00000000000000000000000000", "payload": {}})
        };
        let sent = self.send(who, &request).await?;
        let peer = self.peer(who);
        let mut passed = Vec::new();
        let outcome = loop {
            match peer.next(until).await {
                Came::Message(message) => {
                    let kind = message["type"].as_str();
                    let unnamed = !lists
                        && kind == Some("session.error")
                        && message["payload"].get("request_id").is_none();
                    if unnamed || answers(&message, &sent) {
                        break Ok(());
                    }
                    passed.push(Came::Message(message));
                }
                other => break Err(Trouble::due("an answer", told(&other))),
            }
        };
        peer.give_back(passed);
        outcome
    }
}

/// Whether a message answers the request that has this id, as far as it says.
fn answers(message: &Value, id: &str) -> bool {
    message["payload"].get("request_id").is_some_and(|request| request == id)
}

fn features(hello: &Hello) -> Vec<String> {
    let mut features: BTreeSet<String> = match &hello.features {
        Some(features) => features.clone(),
        None => FEATURES
            .iter()
            .filter(|name| !matches!(**name, "heartbeat" | "ack"))
            .map(|name| (*name).to_owned())
            .collect(),
    };
    features.extend(hello.with.iter().cloned());
    features.retain(|feature| !hello.without.contains(feature));
    features.into_iter().collect()
}
