//! What a peer does as the runtime of the client under test: takes its connections, welcomes it, takes its jobs, sees how it ends.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use ulid::Ulid;

use super::{Opposite, Player, Trouble};
use crate::FEATURES;
use crate::case::Run;
use crate::failure::shown;
use crate::pattern::matches;
use crate::peer::{Came, Peer};
use crate::program::Program;

impl Player<'_> {
    pub(super) async fn run(&mut self, run: &Run) -> Result<(), Trouble> {
        let with = self.variables.fill(&Value::Object(run.with.clone()))?;
        let (program, _) = self.client()?;
        program.start(&run.command, &with).await.map_err(Trouble::Case)
    }

    pub(super) fn interrupt(&mut self) -> Result<(), Trouble> {
        let (program, _) = self.client()?;
        program.interrupt().map_err(|came| Trouble::due("a client that is interrupted", came))
    }

    /// Takes a connection, over which a hello is the first message. Meanwhile the one before it may be closed in order.
    pub(super) async fn accept(
        &mut self,
        who: &str,
        hello: &Value,
        until: Instant,
    ) -> Result<Value, Trouble> {
        let (program, peers) = self.client()?;
        let link = loop {
            tokio::select! {
                link = program.accept(until) => break link,
                () = say_farewell(peers, until) => {}
            }
        };
        let link = link.map_err(|came| Trouble::due("a connection of the client", came))?;
        let peer = self.peer(who);
        peer.open(link);
        peer.mute = false;
        let mut due = json!({"type": "<one of session.hello|session.resume>"});
        for (key, value) in hello.as_object().into_iter().flatten() {
            due[key] = value.clone();
        }
        let hello = self.receive(who, &due, until, false).await?;
        self.variables.set(format!("{who}.hello"), hello["payload"].clone());
        Ok(hello)
    }

    pub(super) async fn accept_resume(
        &mut self,
        who: &str,
        given: &Value,
        until: Instant,
    ) -> Result<(), Trouble> {
        let session = self.peer(who).session.clone();
        let token = self.variables.value(&format!("{who}.resume_token")).cloned();
        let mut due = json!({"session_id": session, "resume_token": token, "last_event_seq": "<integer>"});
        for (key, value) in given.as_object().into_iter().flatten() {
            due[key] = value.clone();
        }
        let due = self.variables.fill(&due)?;
        let hello = self.accept(who, &Value::Null, until).await?;
        matches(&due, &resume_block(&hello), &mut self.variables).map_err(|mismatch| {
            let came = format!("{}: {} is {}", shown(&hello), mismatch.path, mismatch.came);
            Trouble::due(format!("the session to be resumed with {}", shown(&due)), came)
        })
    }

    pub(super) async fn welcome(
        &mut self,
        who: &str,
        changes: &Value,
        until: Instant,
    ) -> Result<(), Trouble> {
        if !self.peer(who).is_linked() {
            self.accept(who, &Value::Null, until).await?;
        }
        let session = match &self.peer(who).session {
            Some(session) => session.clone(),
            None => format!("sess_{}", Ulid::generate()),
        };
        let mut payload = json!({
            "runtime": {"name": "arcp-conformance", "version": env!("CARGO_PKG_VERSION")},
            "resume_token": format!("rt_{}{}", Ulid::generate(), Ulid::generate()),
            "resume_window_sec": 600,
            "heartbeat_interval_sec": 30,
            "capabilities": {
                "encodings": ["json"],
                "features": FEATURES,
                "agents": [{"name": "echo", "versions": ["1.0.0"], "default": "1.0.0"}],
            },
        });
        let mut changes = self.variables.fill(changes)?;
        if let Some(changes) = changes.as_object_mut() {
            self.peer(who).mute = changes.remove("mute").is_some_and(|mute| mute == true);
            for key in ["features", "agents"] {
                change(&mut payload["capabilities"], changes.remove_entry(key));
            }
            change(&mut payload, std::mem::take(changes));
        }
        self.peer(who).session = Some(session.clone());
        self.variables.set(format!("{who}.session"), session);
        self.variables.set(format!("{who}.resume_token"), payload["resume_token"].clone());
        for (name, member) in [("interval", "heartbeat_interval_sec"), ("window", "resume_window_sec")] {
            if let Some(value) = payload.get(member) {
                self.variables.set(name, value.clone());
            }
        }
        self.send(who, &json!({"type": "session.welcome", "payload": payload})).await.map(drop)
    }

    pub(super) async fn take_job(
        &mut self,
        who: &str,
        changes: &Value,
        named: &str,
        until: Instant,
    ) -> Result<(), Trouble> {
        let submit = self.receive(who, &json!({"type": "job.submit"}), until, false).await?;
        let job = format!("job_{}", Ulid::generate());
        self.variables.set(named, job.as_str());
        self.variables.set(format!("{named}.request"), submit["id"].clone());
        let mut payload = json!({
            "job_id": job,
            "agent": "echo@1.0.0",
            "request_id": submit["id"],
            "lease": {},
            "accepted_at": "${now}",
            "trace_id": submit.get("trace_id").cloned().unwrap_or_else(|| "0af7651916cd43dd8448eb211c80319c".into()),
        });
        if let Value::Object(changes) = self.variables.fill(changes)? {
            change(&mut payload, changes);
        }
        let job = payload["job_id"].clone();
        self.send(who, &json!({"type": "job.accepted", "job_id": job, "payload": payload})).await.map(drop)
    }

    /// Sees the client end, and lets it leave in order before.
    pub(super) async fn exits(&mut self, pattern: &Value, until: Instant) -> Result<(), Trouble> {
        let pattern = self.variables.fill(pattern)?;
        let (program, peers) = self.client()?;
        loop {
            tokio::select! {
                ends = program.ends(until) => {
                    ends.map_err(|came| Trouble::due(shown(&pattern), came))?;
                    break;
                }
                () = say_farewell(peers, until) => {}
            }
        }
        // What it has said last is still on its way through this machine.
        let soon = Instant::now() + Duration::from_secs(1);
        for peer in peers.values_mut() {
            while peer.is_linked() && peer.next(soon).await != Came::Nothing {}
        }
        let exit = program.ended(until).await.map_err(|came| Trouble::due(shown(&pattern), came))?;
        matches(&pattern, &exit, &mut self.variables).map_err(|mismatch| {
            let came = format!("{}: {} is {}", shown(&exit), mismatch.path, mismatch.came);
            Trouble::due(shown(&pattern), came)
        })
    }

    fn client(&mut self) -> Result<(&mut Program, &mut BTreeMap<String, Peer>), Trouble> {
        match &mut self.opposite {
            Opposite::Client(program) => Ok((program, &mut self.peers)),
            Opposite::Runtime(_) => {
                Err(Trouble::Case("a runtime is tested: there is no client to run".to_owned()))
            }
        }
    }
}

/// Hears one more message of any connection, and answers it if the client takes its leave with it. Does not come back after that time.
async fn say_farewell(peers: &mut BTreeMap<String, Peer>, until: Instant) {
    let linked = peers.values_mut().filter(|peer| peer.is_linked());
    let mut next: FuturesUnordered<_> =
        linked.map(|peer| async move { (peer.next(until).await, peer) }).collect();
    let Some((came, peer)) = next.next().await else { return std::future::pending().await };
    match came {
        Came::Message(message) if message["type"] == "session.close" => {
            // A client that is gone already has not waited for either.
            let _ = peer.send(&json!({"type": "session.closed", "payload": {}})).await;
            let _ = peer.close(1000).await;
        }
        Came::Message(message) if message["type"] == "session.bye" => {
            let _ = peer.close(1000).await;
        }
        Came::Nothing => std::future::pending().await,
        _ => {}
    }
}

/// What a client says of the session that it resumes: in a block, or at the top of the payload.
fn resume_block(hello: &Value) -> Value {
    let payload = &hello["payload"];
    let block = payload.get("resume").unwrap_or(payload);
    let session = block.get("session_id").or_else(|| hello.get("session_id"));
    json!({
        "session_id": session,
        "resume_token": block["resume_token"],
        "last_event_seq": block["last_event_seq"],
    })
}

/// Members of a payload besides or instead of what it has; `<absent>` takes one away.
fn change(payload: &mut Value, changes: impl IntoIterator<Item = (String, Value)>) {
    let Some(payload) = payload.as_object_mut() else { return };
    for (key, value) in changes {
        if value == "<absent>" {
            Map::remove(payload, &key);
        } else {
            payload.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resume_is_found_in_each_of_its_forms() {
        let due = json!({"session_id": "sess_1", "resume_token": "rt_1", "last_event_seq": 3});
        let forms = [
            json!({"type": "session.hello", "payload": {"resume": due}}),
            json!({"type": "session.resume", "payload": due}),
            json!({"type": "session.resume", "session_id": "sess_1", "payload": {"resume_token": "rt_1", "last_event_seq": 3}}),
        ];
        for form in forms {
            assert_eq!(resume_block(&form), due, "{form}");
        }
        assert_eq!(resume_block(&json!({"payload": {}}))["session_id"], Value::Null);
    }

    #[test]
    fn members_are_changed_and_taken_away() {
        let mut payload = json!({"a": 1, "b": 2});
        change(&mut payload, [("a".to_owned(), json!("<absent>")), ("c".to_owned(), json!(null))]);
        assert_eq!(payload, json!({"b": 2, "c": null}));
    }
}
