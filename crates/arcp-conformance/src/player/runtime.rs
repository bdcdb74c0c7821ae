//! What a peer does as the runtime of the client under test: takes its connections, welcomes it, sees how it ends.

use serde_json::{Value, json};
use tokio::time::Instant;
use ulid::Ulid;

use super::{Opposite, Player, Trouble};
use crate::FEATURES;
use crate::case::Run;
use crate::failure::shown;
use crate::pattern::matches;

impl Player<'_> {
    pub(super) async fn run(&mut self, run: &Run) -> Result<(), Trouble> {
        let with = self.variables.fill(&Value::Object(run.with.clone()))?;
        let program = self.program()?;
        program.start(&run.command, &with).await.map_err(Trouble::Case)
    }

    /// Takes a connection, over which a hello is the first message.
    pub(super) async fn accept(&mut self, who: &str, hello: &Value, until: Instant) -> Result<(), Trouble> {
        let link = self.program()?.accept(until).await;
        let link = link.map_err(|came| Trouble::due("a connection of the client", came))?;
        let peer = self.peer(who);
        peer.open(link);
        peer.mute = true;
        let mut due = json!({"type": "<one of session.hello|session.resume>"});
        for (key, value) in hello.as_object().into_iter().flatten() {
            due[key] = value.clone();
        }
        let hello = self.receive(who, &due, until, false).await?;
        self.variables.set(format!("{who}.hello"), hello["payload"].clone());
        Ok(())
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
        let token = format!("rt_{}", "0123456789abcdef".repeat(4));
        let mut payload = json!({
            "runtime": {"name": "arcp-conformance", "version": env!("CARGO_PKG_VERSION")},
            "resume_token": token,
            "resume_window_sec": 600,
            "heartbeat_interval_sec": 30,
            "capabilities": {
                "encodings": ["json"],
                "features": FEATURES,
                "agents": [{"name": "echo", "versions": ["1.0.0"], "default": "1.0.0"}],
            },
        });
        let changes = self.variables.fill(changes)?;
        for (key, value) in changes.as_object().into_iter().flatten() {
            match (key.as_str(), payload.get_mut(key)) {
                ("features", _) => payload["capabilities"]["features"] = value.clone(),
                (_, Some(_)) | (_, None) => payload[key] = value.clone(),
            }
        }
        self.peer(who).session = Some(session.clone());
        self.variables.set(format!("{who}.session"), session);
        self.variables.set(format!("{who}.resume_token"), payload["resume_token"].clone());
        self.send(who, &json!({"type": "session.welcome", "payload": payload})).await.map(drop)
    }

    pub(super) async fn exits(&mut self, pattern: &Value, until: Instant) -> Result<(), Trouble> {
        let pattern = self.variables.fill(pattern)?;
        let exit = self.program()?.ended(until).await;
        let exit = exit.map_err(|came| Trouble::due(shown(&pattern), came))?;
        matches(&pattern, &exit, &mut self.variables).map_err(|mismatch| {
            let came = format!("{}: {} is {}", shown(&exit), mismatch.path, mismatch.came);
            Trouble::due(shown(&pattern), came)
        })
    }

    fn program(&mut self) -> Result<&mut crate::program::Program, Trouble> {
        match &mut self.opposite {
            Opposite::Client(program) => Ok(program),
            Opposite::Runtime(_) => {
                Err(Trouble::Case("a runtime is tested: there is no client to run".to_owned()))
            }
        }
    }
}
