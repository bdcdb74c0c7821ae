//! What a case is: numbered, tied to a section, made of steps. How it is written is `case/read.rs`, how it is played `player.rs`.

mod read;

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

pub use read::{BadCase, read};

/// One thing that the protocol asks for, and how to see whether a peer does it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number, such as `6.3-04`: the section, and a count within it.
    pub id: String,
    /// The section that says so, such as `§6.3`.
    pub section: String,
    /// Other sections that ask for the same, such as `§14`.
    pub also: Vec<String>,
    /// How strongly.
    pub level: Level,
    /// What is asked for, in one sentence.
    pub title: String,
    /// What the peer must have for the case to say anything.
    pub needs: Vec<Need>,
    /// What is done, and what is due.
    pub steps: Vec<Step>,
}

impl Case {
    /// Every section that asks for it, such as `§6.6, §14`.
    pub fn sections(&self) -> String {
        std::iter::once(&self.section).chain(&self.also).map(String::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// How strongly something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The draft says MUST, or describes the message and leaves no choice.
    Must,
    /// The draft says SHOULD.
    Should,
    /// The draft leaves it open, or says MAY, and this project has decided it. Another runtime may do otherwise and be right.
    Profile,
}

impl Level {
    /// All of them, the strongest first.
    pub const ALL: [Self; 3] = [Self::Must, Self::Should, Self::Profile];
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
            Self::Profile => "profile",
        })
    }
}

/// Something that not every peer has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// An agent of this name in the inventory, such as a fixture.
    Agent(String),
    /// A feature (§6.2) that the runtime offers.
    Feature(String),
    /// A token of another principal.
    OtherPrincipal,
    /// A token of a principal who may observe what the first one does.
    Observer,
    /// More than one connection at a time to the same runtime.
    Connections,
    /// A transport with binary frames, as WebSocket is.
    BinaryFrames,
    /// A command of the client under test, such as `submit`.
    Command(String),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(name) => write!(f, "agent `{name}`"),
            Self::Feature(name) => write!(f, "feature `{name}`"),
            Self::OtherPrincipal => f.write_str("a token of a second principal"),
            Self::Observer => f.write_str("a token of a principal who may observe the first one"),
            Self::Connections => f.write_str("more than one connection"),
            Self::BinaryFrames => f.write_str("a transport with binary frames"),
            Self::Command(name) => write!(f, "a command for `{name}`"),
        }
    }
}

/// One step: who does what.
#[derive(Clone, Debug)]
pub struct Step {
    /// The peer that is played, `a` if nothing is said.
    pub who: String,
    /// What it does, or what is due.
    pub action: Action,
    /// How many seconds there are for it, if not what the run says.
    pub within: Option<f64>,
    /// The step as it is written, for reports.
    pub text: String,
}

/// What a step does, or what it finds due. The words in `code` are those of the files.
#[derive(Clone, Debug)]
pub enum Action {
    /// `hello`: connects, introduces itself, and is welcomed.
    Hello(Hello),
    /// `resumes`: connects again and resumes its session.
    Resumes(Resumes),
    /// `submits`: a `job.submit` with this payload, which is accepted; the id of the job goes by this name.
    Submits(Value, String),
    /// `sends`: an envelope. `arcp`, `id` and `session_id` are filled in where they are not given.
    Sends(Value),
    /// `sends_text`: a frame as it stands. That the other side closes meanwhile is no failure.
    SendsText(Value),
    /// `sends_bytes`: a binary frame of that text.
    SendsBytes(Value),
    /// `gets`: the next message is like this. What may come at any time is passed over.
    Gets(Value),
    /// `eventually_gets`: some message that comes is like this.
    EventuallyGets(Value),
    /// `sees`: some message of those that came, or that come, is like this.
    Sees(Value),
    /// `has_got`: some message of those that came is like this.
    HasGot(Value),
    /// `never_got`: no message of those that came is like this.
    NeverGot(Value),
    /// `got`: so many of those that came are like this.
    Got(Times),
    /// `got_in_order`: among those that came are these, in this order.
    GotInOrder(Vec<Value>),
    /// `each_got`: every message that is like the one is like the other.
    EachGot(Each),
    /// `rises`: in the messages that are like the one, the number at that place only went up.
    Rises(Rises),
    /// `numbers_are_contiguous`: `event_seq` went up by one, from what the session had.
    NumbersAreContiguous,
    /// `ids_are_unique`: no two messages had the same `id`, but for those that came again under their number.
    IdsAreUnique,
    /// `repeats_are_alike`: what came more than once under a number was the same message.
    RepeatsAreAlike,
    /// `syncs`: asks something, and waits for the answer. A client is asked by a ping.
    Syncs,
    /// `drops`: cuts the connection.
    Drops,
    /// `connects`: opens a connection and says nothing.
    Connects,
    /// `is_closed`: the other side closes, with this code if one is given.
    IsClosed(Value),
    /// `waits`: so many seconds pass, or intervals, or windows.
    Waits(Wait),
    /// `sets`: names a value.
    Sets(Value),
    /// `runs`: starts the client under test.
    Runs(Run),
    /// `interrupts`: sends the client under test SIGINT.
    Interrupts,
    /// `accepts`: takes a connection, gets a `session.hello` like this, and does not answer yet.
    Accepts(Value),
    /// `accepts_resume`: takes a connection over which the session is resumed, in whichever of the forms, with its `session_id`, its most
    /// recent `resume_token` and a `last_event_seq`, or what is said here instead. Does not answer yet.
    AcceptsResume(Value),
    /// `welcomes`: answers with a `session.welcome`; takes a connection and gets a `session.hello` before, if there is none. The payload
    /// has these members besides or instead, or has them not if they are `<absent>`; `features` and `agents` are those of the
    /// capabilities. With `mute` the client's pings are not answered.
    Welcomes(Value),
    /// `takes_job`: gets a `job.submit` and answers with a `job.accepted`, whose payload has these members besides or instead, or has
    /// them not if they are `<absent>`. The id of the job goes by this name, and that of the submit by `NAME.request`.
    TakesJob(Value, String),
    /// `closes`: closes the connection with this code.
    Closes(Value),
    /// `exits`: the client under test ends like this: `code`, `stdout`, `stderr`, `output` (both), `result` (what stdout says, as JSON if
    /// it is). Meanwhile a `session.close` is answered.
    Exits(Value),
}

/// How a peer introduces itself.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hello {
    /// The bearer token, if not the first one.
    pub token: Option<Value>,
    /// The features that it asks for, if not all but `heartbeat` and `ack`.
    pub features: Option<BTreeSet<String>>,
    /// Features on top.
    pub with: BTreeSet<String>,
    /// Features left out.
    pub without: BTreeSet<String>,
    /// Whether it leaves pings unanswered.
    pub mute: bool,
    /// The payload of its welcome is like this.
    pub welcome: Option<Value>,
}

/// How a peer resumes its session.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Resumes {
    /// The `last_event_seq` that it says, if not that of the last message that it got.
    pub from: Option<Value>,
    /// The `resume_token`, if not the last one.
    pub token: Option<Value>,
    /// The session, if not its own.
    pub session: Option<Value>,
    /// The bearer token, if not that of its hello.
    pub bearer: Option<Value>,
    /// Whether it is welcomed; if not, the answer is left to the next step.
    pub refused: bool,
    /// Whether it says so in a `session.resume` instead of the `session.hello`.
    pub by_message: bool,
}

/// How often something came.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// How many of them: a number, or a pattern for one.
    pub times: Value,
    /// What they are like.
    pub of: Value,
}

/// What only goes up.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rises {
    /// In which messages.
    pub of: Value,
    /// The way to the number, such as `/payload/last_processed_seq`.
    pub at: String,
}

/// What holds for each message of a kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Each {
    /// Which messages; all, if nothing is said.
    #[serde(default)]
    pub of: Option<Value>,
    /// What they are like.
    pub is: Value,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wait {
    /// Seconds.
    pub seconds: f64,
    /// Heartbeat intervals of the welcome.
    pub intervals: f64,
    /// Resume windows of the welcome.
    pub windows: f64,
}

/// What the client under test is to do.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Which of its commands.
    pub command: String,
    /// The values that its arguments may name.
    #[serde(default)]
    pub with: serde_json::Map<String, Value>,
}
