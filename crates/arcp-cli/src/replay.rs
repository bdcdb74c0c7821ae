//! `arcp replay`: what a store has, as it was sent, beside the runtime that has it or after it.

use std::io::Write;
use std::ops::ControlFlow;
use std::path::PathBuf;

use arcp::proto::{JobId, Json, SessionId};
use arcp::runtime::Quirks;
use arcp::runtime::store::{NumberedEntry, RecoveredJob, SessionRecord};
use arcp::sqlite::{SqliteError, SqliteReader, Viewed, ViewedMessage};

use crate::connect::job_id;
use crate::exit::{self, Failure};
use crate::plain::stdout;
use crate::store;

#[derive(clap::Args)]
pub(crate) struct Replay {
    /// The file, as --store of `arcp serve` has it. It may be in use. By default it is arcp.db in the user's data directory.
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,

    /// The messages of one job, with the numbers of its submitter's session. A message that that session was not sent, for a
    /// feature that it has not negotiated, has none.
    #[arg(long, value_name = "ID", value_parser = job_id, conflicts_with = "session")]
    job: Option<JobId>,

    /// What one session was sent and has not acknowledged, byte for byte, but for values of rotated credentials, which are not kept.
    #[arg(long, value_name = "ID", value_parser = session_id)]
    session: Option<SessionId>,

    /// Leave out what is before this number.
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    from: u64,
}

fn session_id(text: &str) -> Result<SessionId, String> {
    text.parse().map_err(|_| "not a session id".to_owned())
}

/// How much is read before it is printed. While it is printed, which may take for ever, the store is not held.
const PAGE: usize = 1 << 20;

pub(crate) fn run(replay: &Replay) -> Result<(), Failure> {
    let path = match &replay.store {
        Some(path) => path.clone(),
        None => store::default_path()?,
    };
    let mut printing = Printing { reader: SqliteReader::open(path).map_err(unreadable)?, out: stdout() };
    match &replay.session {
        Some(session) => printing.session(session, replay.from)?,
        None => printing.jobs(replay)?,
    }
    Ok(printing.out.flush()?)
}

fn unreadable(error: SqliteError) -> Failure {
    Failure::new(exit::USAGE, error)
}

struct Printing<W> {
    reader: SqliteReader,
    out: W,
}

impl<W: Write> Printing<W> {
    fn jobs(&mut self, replay: &Replay) -> Result<(), Failure> {
        let mut jobs = Vec::new();
        let listed = self.reader.jobs(|job| {
            if !job.gone && replay.job.as_ref().is_none_or(|wanted| *wanted == job.head.job_id) {
                jobs.push(job);
            }
            ControlFlow::Continue(())
        });
        listed.map_err(unreadable)?;
        match &replay.job {
            Some(job) if jobs.is_empty() => {
                return Err(Failure::usage(format!("job {job} is not in the store")));
            }
            _ => {}
        }
        jobs.iter().try_for_each(|job| self.job(job, replay.from))
    }

    fn job(&mut self, job: &RecoveredJob, from: u64) -> Result<(), Failure> {
        let mut last = job.forgotten_seq;
        let mut next = 0;
        loop {
            let mut page = Page::default();
            let read = self.reader.entries(&job.head.job_id, next, |logged| {
                next = logged.entry.index + 1;
                let numbered = logged.owner_seq > last;
                last = logged.owner_seq;
                if logged.owner_seq < from {
                    return ControlFlow::Continue(());
                }
                let session = job.record.session_id.clone();
                page.message(
                    NumberedEntry::stored(session, Quirks::NONE, logged.owner_seq, logged.entry),
                    numbered,
                )
            });
            // A job that is forgotten meanwhile has no more to show.
            if !read.map_err(unreadable)? || !self.turn(page)? {
                return Ok(());
            }
        }
    }

    fn session(&mut self, session: &SessionId, from: u64) -> Result<(), Failure> {
        let mut record = None;
        let listed = self.reader.sessions(|found| match found.record.session_id == *session {
            false => ControlFlow::Continue(()),
            true => {
                record = Some(found.record);
                ControlFlow::Break(())
            }
        });
        listed.map_err(unreadable)?;
        let unknown = || Failure::usage(format!("session {session} is not in the store"));
        let SessionRecord { features, quirks, .. } = record.ok_or_else(unknown)?;
        let mut next = from;
        loop {
            let mut page = Page::default();
            let read = self.reader.view(session, next, |Viewed { event_seq, job, shown }| {
                next = event_seq + 1;
                let message = match shown {
                    ViewedMessage::Entry(entry) => NumberedEntry::stored(
                        session.clone(),
                        quirks,
                        event_seq,
                        entry.as_sent_to(&features).clone(),
                    ),
                    ViewedMessage::Missed { next_index, ts } => {
                        NumberedEntry::stored_gap(session.clone(), event_seq, &job, next_index, ts)
                    }
                    _ => None,
                };
                page.message(message, true)
            });
            if !read.map_err(unreadable)? || !self.turn(page)? {
                return Ok(());
            }
        }
    }

    /// Prints a page, and lets the store go on meanwhile. Returns whether there may be another one.
    fn turn(&mut self, page: Page) -> Result<bool, Failure> {
        self.reader.release().map_err(unreadable)?;
        self.out.write_all(page.text.as_bytes())?;
        self.reader.refresh().map_err(unreadable)?;
        Ok(page.full)
    }
}

/// Messages, a line each.
#[derive(Default)]
struct Page {
    text: String,
    full: bool,
}

impl Page {
    fn message(&mut self, message: Option<NumberedEntry>, numbered: bool) -> ControlFlow<()> {
        let Some(message) = message else { return ControlFlow::Continue(()) };
        let line = message.encode();
        match numbered {
            true => self.text.push_str(&line),
            false => self.text.push_str(&without_number(&line)),
        }
        self.text.push('\n');
        self.full = self.text.len() >= PAGE;
        if self.full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// A message that no session was sent has no number, and no id that is made of it.
fn without_number(line: &str) -> String {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(line) {
        Ok(mut envelope) => {
            envelope.remove("event_seq");
            envelope.remove("id");
            Json::from(serde_json::Value::Object(envelope)).as_str().to_owned()
        }
        Err(_) => line.to_owned(),
    }
}
