//! What `arcp top` knows and shows: inputs go in, and what is to be done comes out. No terminal, no connection, no clock.

use std::collections::{BTreeMap, VecDeque};

use arcp::Event;
use arcp::client::State;
use arcp::proto::event::{BUDGET_REMAINING, Body, Metric, Progress};
use arcp::proto::job::JobStatus;
use arcp::proto::session::JobEntry;
use arcp::proto::{Budget, JobId, Timestamp};

use super::tree::{Node, order};
use crate::plain::escaped;

/// How many jobs are followed at a time: each is a subscription at the runtime.
pub(crate) const FOLLOWED: usize = 32;

/// How many events of a job are kept to be shown.
const EVENTS: usize = 100;

/// How many characters of an event are.
const EVENT_CHARACTERS: usize = 300;

/// Everything that is shown.
pub(crate) struct Model {
    pub(crate) runtime: String,
    pub(crate) connection: State,
    jobs: BTreeMap<JobId, Watched>,
    lines: Vec<Node>,
    pub(crate) listing: Listing,
    /// Whether there are more jobs than were asked for.
    pub(crate) more: bool,
    selected: Option<JobId>,
    /// The job whose events are shown.
    open: Option<JobId>,
    prompt: Prompt,
    filter: String,
    /// What was said last, until the next key.
    pub(crate) said: String,
}

/// How the last listing went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    /// There was none yet.
    NotYet,
    Done,
    /// It failed, for this reason: what is shown is that of before.
    Failed(String),
}

/// What keys are about, if not the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Prompt {
    #[default]
    None,
    /// Whether this job is to be cancelled.
    Cancel(JobId),
    /// Which jobs are to be shown.
    Filter,
}

/// One job.
pub(crate) struct Watched {
    pub(crate) entry: JobEntry,
    pub(crate) granted: Budget,
    pub(crate) remaining: Budget,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) progress: Option<Progress>,
    pub(crate) events: VecDeque<String>,
    pub(crate) following: Following,
    /// Whether some of its events are no longer kept.
    pub(crate) missed: bool,
}

/// Whether its events come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Following {
    NotYet,
    /// They do, or are asked for.
    Live,
    Over,
    /// The runtime does not let this client, for this reason.
    Refused(String),
}

/// What has happened.
pub(crate) enum Input {
    Listed {
        jobs: Vec<JobEntry>,
        more: bool,
    },
    NotListed(String),
    Subscribed {
        job: JobId,
        expires_at: Option<Timestamp>,
        budget: Option<Budget>,
    },
    Event {
        job: JobId,
        event: Box<Event>,
        missed: bool,
    },
    /// The job has ended, or can no longer be followed.
    Ended {
        job: JobId,
        status: Option<JobStatus>,
    },
    NotFollowed {
        job: JobId,
        why: String,
    },
    Connection(State),
    /// What became of a cancellation.
    Said(String),
    Key(Key),
}

/// What was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Enter,
    Escape,
    Backspace,
    Interrupt,
    Character(char),
}

/// What is to be done about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Quit,
    Cancel(JobId),
}

impl Model {
    pub(crate) fn new(runtime: &str) -> Self {
        Self {
            runtime: escaped(runtime, EVENT_CHARACTERS),
            connection: State::Connected,
            jobs: BTreeMap::new(),
            lines: Vec::new(),
            listing: Listing::NotYet,
            more: false,
            selected: None,
            open: None,
            prompt: Prompt::None,
            filter: String::new(),
            said: String::new(),
        }
    }

    /// Takes what has happened, and says what is to be done.
    pub(crate) fn handle(&mut self, input: Input) -> Option<Effect> {
        match input {
            Input::Listed { jobs, more } => self.listed(jobs, more),
            Input::NotListed(why) => self.listing = Listing::Failed(escaped(&why, EVENT_CHARACTERS)),
            Input::Said(what) => self.said = escaped(&what, EVENT_CHARACTERS),
            Input::Subscribed { job, expires_at, budget } => {
                if let Some(watched) = self.jobs.get_mut(&job) {
                    watched.expires_at = expires_at;
                    if let Some(budget) = budget {
                        watched.remaining = budget;
                    }
                }
            }
            Input::Event { job, event, missed } => {
                if let Some(watched) = self.jobs.get_mut(&job) {
                    watched.missed |= missed;
                    watched.take(&event);
                }
            }
            Input::Ended { job, status } => {
                if let Some(watched) = self.jobs.get_mut(&job) {
                    watched.following = Following::Over;
                    if let Some(status) = status {
                        watched.entry.status = status;
                    }
                }
            }
            Input::NotFollowed { job, why } => {
                if let Some(watched) = self.jobs.get_mut(&job) {
                    watched.following = Following::Refused(escaped(&why, EVENT_CHARACTERS));
                }
            }
            Input::Connection(state) => self.connection = state,
            Input::Key(key) => return self.pressed(key),
        }
        None
    }

    fn listed(&mut self, jobs: Vec<JobEntry>, more: bool) {
        let mut before = std::mem::take(&mut self.jobs);
        let mut newest_first = Vec::with_capacity(jobs.len());
        for mut entry in jobs {
            newest_first.push((entry.job_id.clone(), entry.parent_job_id.clone()));
            let watched = match before.remove(&entry.job_id) {
                Some(mut watched) => {
                    // A listing that was on its way while the job ended is out of date.
                    if watched.entry.status.is_terminal() {
                        entry.status = watched.entry.status.clone();
                    }
                    watched.entry = entry;
                    watched
                }
                None => Watched::new(entry),
            };
            self.jobs.insert(watched.entry.job_id.clone(), watched);
        }
        (self.listing, self.more) = (Listing::Done, more);
        self.lines = order(newest_first.iter().map(|(job, parent)| (job, parent.as_ref())));
        for shown in [&mut self.selected, &mut self.open] {
            if shown.as_ref().is_some_and(|job| !self.jobs.contains_key(job)) {
                *shown = None;
            }
        }
        if let Prompt::Cancel(job) = &self.prompt
            && self.watched(job).is_none_or(|watched| watched.entry.status.is_terminal())
        {
            self.said = format!("{} has ended", escaped(job.as_str(), EVENT_CHARACTERS));
            self.prompt = Prompt::None;
        }
        self.keep_selected();
    }

    /// Something is selected, if there is anything.
    fn keep_selected(&mut self) {
        let shown: Vec<_> = self.lines().map(|node| node.job.clone()).collect();
        if self.selected.as_ref().is_none_or(|job| !shown.contains(job)) {
            self.selected = shown.into_iter().next();
        }
    }

    fn pressed(&mut self, key: Key) -> Option<Effect> {
        self.said.clear();
        if key == Key::Interrupt {
            return Some(Effect::Quit);
        }
        match std::mem::take(&mut self.prompt) {
            Prompt::Cancel(job) => match key {
                Key::Character('y' | 'Y') => {
                    self.said = format!("{} is being cancelled", escaped(job.as_str(), EVENT_CHARACTERS));
                    Some(Effect::Cancel(job))
                }
                _ => {
                    self.said = "nothing is cancelled".to_owned();
                    None
                }
            },
            Prompt::Filter => {
                self.typed(key);
                None
            }
            Prompt::None => self.command(key),
        }
    }

    /// A key while a filter is typed.
    fn typed(&mut self, key: Key) {
        match key {
            Key::Enter => return,
            Key::Escape => {
                self.filter.clear();
                self.keep_selected();
                return;
            }
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Character(c) if !c.is_control() && self.filter.len() < EVENTS => self.filter.push(c),
            _ => {}
        }
        self.prompt = Prompt::Filter;
        self.keep_selected();
    }

    fn command(&mut self, key: Key) -> Option<Effect> {
        match key {
            Key::Character('q') => return Some(Effect::Quit),
            Key::Down | Key::Character('j') => self.step(1),
            Key::Up | Key::Character('k') => self.step(-1),
            Key::PageDown => self.step(10),
            Key::PageUp => self.step(-10),
            Key::First | Key::Character('g') => self.step(isize::MIN),
            Key::Last | Key::Character('G') => self.step(isize::MAX),
            Key::Enter => self.open = self.selected.clone(),
            Key::Escape => match self.open.take() {
                Some(_) => {}
                None => {
                    self.filter.clear();
                    self.keep_selected();
                }
            },
            Key::Character('/') => self.prompt = Prompt::Filter,
            Key::Character('c') => self.ask(),
            _ => {}
        }
        None
    }

    /// Asks whether the selected job is to be cancelled.
    fn ask(&mut self) {
        let Some(job) = self.selected.clone() else { return };
        match self.watched(&job) {
            Some(watched) if watched.entry.status.is_terminal() => {
                self.said = format!("{} has ended", escaped(job.as_str(), EVENT_CHARACTERS));
            }
            Some(_) => self.prompt = Prompt::Cancel(job),
            None => {}
        }
    }

    fn step(&mut self, by: isize) {
        let shown: Vec<_> = self.lines().map(|node| node.job.clone()).collect();
        let at = self.selected.as_ref().and_then(|job| shown.iter().position(|shown| shown == job));
        let to = at.unwrap_or(0).saturating_add_signed(by).min(shown.len().saturating_sub(1));
        self.selected = shown.into_iter().nth(to);
    }

    /// The jobs that are shown, from top to bottom.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &Node> {
        let wanted = self.filter.to_lowercase();
        self.lines.iter().filter(move |node| {
            let Some(watched) = self.jobs.get(&node.job) else { return false };
            let JobEntry { job_id, agent, status, .. } = &watched.entry;
            [job_id.as_str(), agent, status.as_str()].iter().any(|text| text.to_lowercase().contains(&wanted))
        })
    }

    pub(crate) fn watched(&self, job: &JobId) -> Option<&Watched> {
        self.jobs.get(job)
    }

    pub(crate) fn jobs(&self) -> impl Iterator<Item = &Watched> {
        self.jobs.values()
    }

    pub(crate) fn selected(&self) -> Option<&JobId> {
        self.selected.as_ref()
    }

    pub(crate) fn open(&self) -> Option<&Watched> {
        self.open.as_ref().and_then(|job| self.jobs.get(job))
    }

    pub(crate) fn prompt(&self) -> &Prompt {
        &self.prompt
    }

    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// The jobs that should be followed, and after which number each: those that run, and then those that have ended and were
    /// never looked into. No more than [`FOLLOWED`] are, with those that are followed already, and a few that were opened.
    pub(crate) fn to_follow(&self) -> Vec<(JobId, u64)> {
        let live = self.jobs.values().filter(|watched| watched.following == Following::Live).count();
        let new = |node: &Node| self.jobs.get(&node.job).filter(|job| job.following == Following::NotYet);
        let mut wanted: Vec<_> = self.lines.iter().filter_map(new).collect();
        wanted.sort_by_key(|watched| {
            (Some(&watched.entry.job_id) != self.open.as_ref(), watched.entry.status.is_terminal())
        });
        let opened = wanted.first().is_some_and(|watched| Some(&watched.entry.job_id) == self.open.as_ref());
        let room = FOLLOWED.saturating_sub(live).max(usize::from(opened && live < 2 * FOLLOWED));
        let from = |watched: &Watched| watched.entry.last_event_seq.saturating_sub(EVENTS as u64);
        wanted.into_iter().map(|watched| (watched.entry.job_id.clone(), from(watched))).take(room).collect()
    }
}

impl Model {
    /// The events of a job are asked for now.
    pub(crate) fn asked_to_follow(&mut self, job: &JobId) {
        if let Some(watched) = self.jobs.get_mut(job) {
            watched.following = Following::Live;
        }
    }
}

impl Watched {
    fn new(entry: JobEntry) -> Self {
        let granted = entry.lease.budget().ok().flatten().unwrap_or_default();
        Self {
            entry,
            remaining: granted.clone(),
            granted,
            expires_at: None,
            progress: None,
            events: VecDeque::new(),
            following: Following::NotYet,
            missed: false,
        }
    }

    fn take(&mut self, event: &Event) {
        match &event.body {
            Body::Progress(progress) => self.progress = Some(progress.clone()),
            Body::Metric(Metric { name, value, unit: Some(unit), .. }) if name == BUDGET_REMAINING => {
                if let (Ok(currency), Ok(amount)) = (unit.parse(), value.to_amount()) {
                    self.remaining.set(currency, amount);
                }
            }
            _ => {}
        }
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(escaped(&event.to_string(), EVENT_CHARACTERS));
    }
}

#[cfg(test)]
pub(crate) mod tests;
