//! Playing one case: each step by what it does or finds due. What both sides share is here; what only a client does is
//! `player/client.rs`, what only a runtime does `player/runtime.rs`, and what looks back at what came `player/past.rs`.

mod client;
mod past;
mod runtime;

use std::collections::BTreeMap;
use std::time::Duration;

use arcp_transport::Frame;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::case::{Action, Case, Hello, Run, Step, Wait};
use crate::failure::{Failure, plain, secrets, shown};
use crate::pattern::{Mismatch, matches};
use crate::peer::{Came, Peer};
use crate::program::Program;
use crate::target::Target;
use crate::variables::{Unknown, Variables};

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was as it is due.
    Passed,
    /// Something was not.
    Failed(Failure),
    /// It says nothing of this peer, and why.
    NotRun(String),
}

/// The other side of the table.
pub(crate) enum Opposite<'a> {
    /// A runtime is tested: the peers are clients.
    Runtime(&'a Target),
    /// A client is tested: the peers are connections of it to a runtime that is played.
    Client(&'a mut Program),
}

/// Why a step does not come to its end.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What came is not what was due.
    Due { due: String, came: String },
    /// It would take longer than the run has patience for.
    Patience(Duration),
    /// The case is wrong.
    Case(String),
}

impl Trouble {
    pub(crate) fn due(due: impl Into<String>, came: impl Into<String>) -> Self {
        Self::Due { due: due.into(), came: came.into() }
    }
}

impl From<Unknown> for Trouble {
    fn from(Unknown(name): Unknown) -> Self {
        Self::Case(format!("nothing has the name {name}"))
    }
}

/// One case while it is played.
pub(crate) struct Player<'a> {
    opposite: Opposite<'a>,
    variables: Variables,
    peers: BTreeMap<String, Peer>,
    timeout: Duration,
    patience: Duration,
    /// The jobs that were submitted, and by whom.
    jobs: Vec<(String, String)>,
}

impl<'a> Player<'a> {
    pub(crate) fn new(opposite: Opposite<'a>, timeout: Duration, patience: Duration) -> Self {
        let mut variables = Variables::default();
        variables.set("unique", ulid::Ulid::generate().to_string());
        variables.set("wrong_token", format!("wrong-{}", ulid::Ulid::generate()));
        match &opposite {
            Opposite::Runtime(target) => {
                variables.set("token", target.token.as_str());
                if let Some(other) = &target.other {
                    variables.set("other_token", other.as_str());
                }
                if let Some(observer) = &target.observer {
                    variables.set("observer_token", observer.as_str());
                }
            }
            Opposite::Client(program) => variables.set("token", program.token()),
        }
        Self { opposite, variables, peers: BTreeMap::new(), timeout, patience, jobs: Vec::new() }
    }

    /// Plays the steps, and leaves nothing behind at the peer.
    pub(crate) async fn play(mut self, case: &Case) -> Outcome {
        let mut outcome = Outcome::Passed;
        for (index, step) in case.steps.iter().enumerate() {
            let (due, came) = match self.step(step).await {
                Ok(()) => continue,
                Err(Trouble::Patience(time)) => {
                    let seconds = time.as_secs();
                    outcome = Outcome::NotRun(format!("it would wait for {seconds} s"));
                    break;
                }
                Err(Trouble::Due { due, came }) => (due, came),
                Err(Trouble::Case(problem)) => ("a case that can be played".to_owned(), problem),
            };
            let (doing, section) = (step.text.clone(), case.sections());
            let (due, came) = (plain(&due), plain(&came));
            let failure = Failure { step: index + 1, doing, due, came, section };
            outcome = Outcome::Failed(failure.without(&self.secrets()));
            break;
        }
        self.clean_up().await;
        outcome
    }

    /// What has come and no report may show, and the tokens that were given.
    fn secrets(&self) -> Vec<String> {
        let came = self.peers.values().flat_map(|peer| &peer.history);
        let given = ["token", "other_token"].iter().filter_map(|name| self.variables.value(name)?.as_str());
        given.map(str::to_owned).chain(came.flat_map(|past| secrets(&past.message))).collect()
    }

    /// The welcome of a session that asks for every feature, and is closed again.
    pub(crate) async fn first_welcome(mut self) -> Result<Value, Trouble> {
        let with = ["heartbeat", "ack"].map(str::to_owned).into();
        let hello = Hello { with, ..Hello::default() };
        self.hello("a", &hello, Instant::now() + self.timeout).await?;
        self.clean_up().await;
        let first = self.peer("a").history.first();
        Ok(first.map(|past| past.message.clone()).unwrap_or_default())
    }

    /// The `session.hello` of the client under test, which is then stopped.
    pub(crate) async fn first_hello(mut self, run: &Run) -> Result<Value, Trouble> {
        self.run(run).await?;
        let hello = self.accept("a", &Value::Null, Instant::now() + self.timeout).await;
        self.clean_up().await;
        hello
    }

    async fn step(&mut self, step: &Step) -> Result<(), Trouble> {
        let within = step.within.map_or(self.timeout, Duration::from_secs_f64);
        let until = Instant::now() + within;
        let who = step.who.as_str();
        match &step.action {
            Action::Hello(hello) => self.hello(who, hello, until).await,
            Action::Resumes(resumes) => self.resume(who, resumes, until).await,
            Action::Submits(payload, named) => self.submit(who, payload, named, until).await,
            Action::Connects => self.connect(who, until).await,
            Action::Syncs => self.sync(who, until).await,
            Action::Sends(envelope) => self.send(who, envelope).await.map(drop),
            Action::SendsText(text) => {
                let text = self.text(text)?;
                self.send_frame(who, Frame::text(text)).await
            }
            Action::SendsBytes(text) => {
                let bytes = self.text(text)?.into_bytes();
                self.send_frame(who, Frame::Binary(bytes.into())).await
            }
            Action::Gets(pattern) => self.receive(who, pattern, until, false).await.map(drop),
            Action::EventuallyGets(pattern) => self.receive(who, pattern, until, true).await.map(drop),
            Action::Sees(pattern) => self.see(who, pattern, until).await,
            Action::IsClosed(code) => self.closed(who, code, until).await,
            Action::Drops => {
                self.peer(who).drop_link();
                Ok(())
            }
            Action::Waits(wait) => self.wait(who, *wait).await,
            Action::Sets(values) => {
                let values = self.variables.fill(values)?;
                for (name, value) in values.as_object().into_iter().flatten() {
                    self.variables.set(name.as_str(), value.clone());
                }
                Ok(())
            }
            Action::Runs(run) => self.run(run).await,
            Action::Interrupts => self.interrupt(),
            Action::Accepts(pattern) => self.accept(who, pattern, until).await.map(drop),
            Action::AcceptsResume(pattern) => self.accept_resume(who, pattern, until).await,
            Action::Welcomes(changes) => self.welcome(who, changes, until).await,
            Action::TakesJob(changes, named) => self.take_job(who, changes, named, until).await,
            Action::Closes(code) => {
                let code = self.variables.fill(code)?.as_u64().and_then(|code| u16::try_from(code).ok());
                let Some(code) = code else {
                    return Err(Trouble::Case("closes: not a close code".to_owned()));
                };
                self.peer(who).close(code).await.map_err(|came| Trouble::due("a connection to close", came))
            }
            Action::Exits(pattern) => self.exits(pattern, until).await,
            looking_back => self.look_back(who, looking_back),
        }
    }

    fn peer(&mut self, who: &str) -> &mut Peer {
        self.peers.entry(who.to_owned()).or_default()
    }

    fn text(&self, value: &Value) -> Result<String, Trouble> {
        match self.variables.fill(value)? {
            Value::String(text) => Ok(text),
            _ => Err(Trouble::Case("a frame is a text".to_owned())),
        }
    }

    /// Sends an envelope; its id goes by the name `WHO.sent`.
    async fn send(&mut self, who: &str, envelope: &Value) -> Result<String, Trouble> {
        let envelope = self.variables.fill(envelope)?;
        let sent = self.peer(who).send(&envelope).await;
        let id = sent.map_err(|came| Trouble::due("a connection that takes a message", came))?;
        self.variables.set(format!("{who}.sent"), id.as_str());
        Ok(id)
    }

    async fn send_frame(&mut self, who: &str, frame: Frame) -> Result<(), Trouble> {
        let peer = self.peer(who);
        if !peer.is_linked() {
            return Err(Trouble::due("a connection that takes a frame", "there is no connection"));
        }
        // Whoever closes when half of a frame has come has taken it: what comes next tells.
        let _ = peer.send_frame(frame).await;
        Ok(())
    }

    /// Waits for a message that is like this: the next one, or, patiently, any. What comes as it pleases is passed over, and so is
    /// what jobs say while an answer is waited for, which is there afterwards.
    async fn receive(
        &mut self,
        who: &str,
        pattern: &Value,
        until: Instant,
        patient: bool,
    ) -> Result<Value, Trouble> {
        let pattern = self.variables.fill(pattern)?;
        let mut variables = self.variables.clone();
        let peer = self.peer(who);
        let (mut passed, mut kept) = (0, Vec::new());
        let outcome = loop {
            match peer.next(until).await {
                Came::Message(message) => match matches(&pattern, &message, &mut variables) {
                    Ok(()) => break Ok(message),
                    Err(_) if patient || comes_as_it_pleases(&message) => passed += 1,
                    Err(_) if is_answer(&pattern) && is_said_by_a_job(&message) => {
                        kept.push(Came::Message(message));
                    }
                    Err(Mismatch { path, due, came }) => {
                        let path = if path.is_empty() { "the message" } else { &path };
                        let came = format!("{}: {path} should be {due}, and is {came}", shown(&message));
                        break Err(Trouble::due(shown(&pattern), came));
                    }
                },
                other => {
                    let came = format!("{}{}", told(&other), after(passed + kept.len()));
                    break Err(Trouble::due(shown(&pattern), came));
                }
            }
        };
        peer.give_back(kept);
        if outcome.is_ok() {
            variables.set(format!("{who}.last"), peer.last);
            self.variables = variables;
        }
        outcome
    }

    /// Looks for a message that is like this among those that came, and if there is none, waits for it: for what comes in no
    /// order, or while something else was waited for.
    async fn see(&mut self, who: &str, pattern: &Value, until: Instant) -> Result<(), Trouble> {
        let due = self.variables.fill(pattern)?;
        let mut variables = self.variables.clone();
        let mut came = self.peer(who).history.iter();
        if came.any(|past| matches(&due, &past.message, &mut variables).is_ok()) {
            self.variables = variables;
            return Ok(());
        }
        self.receive(who, pattern, until, true).await.map(drop)
    }

    async fn closed(&mut self, who: &str, code: &Value, until: Instant) -> Result<(), Trouble> {
        let pipes = matches!(&self.opposite, Opposite::Runtime(target) if target.pipes);
        let mut variables = self.variables.clone();
        let peer = self.peer(who);
        let due = || format!("a close with code {code}");
        loop {
            match peer.next(until).await {
                Came::Closed(came) => {
                    let fits = pipes || code.is_null() || matches(code, &json!(came), &mut variables).is_ok();
                    return if fits { Ok(()) } else { Err(Trouble::due(due(), format!("code {came}"))) };
                }
                Came::Cut if code.is_null() || pipes => return Ok(()),
                Came::Message(message) if comes_as_it_pleases(&message) => {}
                Came::Message(message) => return Err(Trouble::due(due(), shown(&message))),
                other => return Err(Trouble::due(due(), told(&other))),
            }
        }
    }

    async fn wait(&mut self, who: &str, wait: Wait) -> Result<(), Trouble> {
        let unit = |name: &str| self.variables.value(name).and_then(Value::as_f64).unwrap_or(1.0);
        let seconds = wait.seconds + wait.intervals * unit("interval") + wait.windows * unit("window");
        let time = Duration::from_secs_f64(seconds);
        if time > self.patience {
            return Err(Trouble::Patience(time));
        }
        self.peer(who).wait(Instant::now() + time).await;
        Ok(())
    }

    /// Ends the jobs that run and the sessions that are open.
    async fn clean_up(&mut self) {
        if let Opposite::Client(program) = &mut self.opposite {
            program.stop().await;
            return;
        }
        for (who, job) in std::mem::take(&mut self.jobs) {
            let Some(peer) = self.peers.get_mut(&who) else { continue };
            let ended = |message: &Value| {
                message["job_id"] == job.as_str()
                    && matches!(message["type"].as_str(), Some("job.result" | "job.error"))
            };
            if peer.is_linked() && !peer.history.iter().any(|past| ended(&past.message)) {
                let _ = peer.send(&json!({"type": "job.cancel", "job_id": job, "payload": {}})).await;
            }
        }
        for peer in self.peers.values_mut() {
            peer.leave().await;
        }
    }
}

/// What jobs say comes when it is said, whatever is asked meanwhile.
fn is_said_by_a_job(message: &Value) -> bool {
    matches!(message["type"].as_str(), Some("job.event" | "job.result" | "job.error"))
}

/// Whether a pattern is of a message that no job says.
fn is_answer(pattern: &Value) -> bool {
    pattern["type"].is_string()
        && !pattern["type"].as_str().is_some_and(|name| name.contains('<'))
        && !is_said_by_a_job(pattern)
}

/// What a peer may send at any time, whatever else is going on.
fn comes_as_it_pleases(message: &Value) -> bool {
    let payload = &message["payload"];
    let body = &payload["body"];
    match message["type"].as_str() {
        Some("session.ping" | "session.ack") => true,
        Some("job.event") => match payload["kind"].as_str() {
            Some("metric") => body["name"] == "cost.budget.remaining",
            Some("status") => body["phase"] == "back_pressure",
            Some(kind) => kind.starts_with("x-vendor."),
            None => false,
        },
        _ => false,
    }
}

fn told(came: &Came) -> String {
    match came {
        Came::Message(message) => shown(message),
        Came::Garbage(what) => what.clone(),
        Came::Closed(code) => format!("the connection was closed with code {code}"),
        Came::Cut => "the connection was cut".to_owned(),
        Came::Nothing => "nothing in time".to_owned(),
    }
}

fn after(passed: usize) -> String {
    if passed == 0 { String::new() } else { format!(", after {passed} other messages") }
}
