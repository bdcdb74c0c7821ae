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

pub(crate) fn run(replay: &Replay) -> Result<(), Failure> {
    let path = match &replay.store {
        Some(path) => path.clone(),
        None => store::default_path()?,
    };
    let reader = SqliteReader::open(path).map_err(unreadable)?;
    let mut print = Print { out: std::io::stdout().lock(), outcome: Ok(()) };
    if let Some(session) = &replay.session {
        print_session(&reader, session, replay.from, &mut print)?;
    } else {
        print_jobs(&reader, replay, &mut print)?;
    }
    print.outcome?;
    Ok(print.out.flush()?)
}

fn unreadable(error: SqliteError) -> Failure {
    Failure::new(exit::USAGE, error)
}

fn print_jobs(reader: &SqliteReader, replay: &Replay, print: &mut Print<impl Write>) -> Result<(), Failure> {
    let mut found = replay.job.is_none();
    let mut outcome = Ok(());
    let listed = reader.jobs(|job| {
        if job.gone || replay.job.as_ref().is_some_and(|wanted| *wanted != job.head.job_id) {
            return ControlFlow::Continue(());
        }
        found = true;
        outcome = print_job(reader, &job, replay.from, print);
        match (&outcome, &replay.job, &print.outcome) {
            (Ok(()), None, Ok(())) => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    listed.and(outcome).map_err(unreadable)?;
    match &replay.job {
        Some(job) if !found => Err(Failure::usage(format!("job {job} is not in the store"))),
        _ => Ok(()),
    }
}

fn print_job(
    reader: &SqliteReader,
    job: &RecoveredJob,
    from: u64,
    print: &mut Print<impl Write>,
) -> Result<(), SqliteError> {
    let mut last = job.forgotten_seq;
    let read = reader.entries(&job.head.job_id, 0, |logged| {
        let numbered = logged.owner_seq > last;
        last = logged.owner_seq;
        if logged.owner_seq < from {
            return ControlFlow::Continue(());
        }
        let session = job.record.session_id.clone();
        print.message(NumberedEntry::stored(session, Quirks::NONE, logged.owner_seq, logged.entry), numbered)
    });
    read.map(drop)
}

fn print_session(
    reader: &SqliteReader,
    session: &SessionId,
    from: u64,
    print: &mut Print<impl Write>,
) -> Result<(), Failure> {
    let mut found_session = None;
    let listed = reader.sessions(|found| match found.record.session_id == *session {
        false => ControlFlow::Continue(()),
        true => {
            found_session = Some(found.record);
            ControlFlow::Break(())
        }
    });
    listed.map_err(unreadable)?;
    let unknown = || Failure::usage(format!("session {session} is not in the store"));
    let SessionRecord { features, quirks, .. } = found_session.ok_or_else(unknown)?;
    let read = reader.view(session, from, |Viewed { event_seq, job, shown }| {
        let message = match shown {
            ViewedMessage::Entry(entry) => {
                let entry = entry.as_sent_to(&features).clone();
                NumberedEntry::stored(session.clone(), quirks, event_seq, entry)
            }
            ViewedMessage::Missed { next_index, ts } => {
                NumberedEntry::stored_gap(session.clone(), event_seq, &job, next_index, ts)
            }
            _ => None,
        };
        print.message(message, true)
    });
    if read.map_err(unreadable)? { Ok(()) } else { Err(unknown()) }
}

/// Prints a message a line, until that fails.
struct Print<W> {
    out: W,
    outcome: std::io::Result<()>,
}

impl<W: Write> Print<W> {
    fn message(&mut self, message: Option<NumberedEntry>, numbered: bool) -> ControlFlow<()> {
        let Some(message) = message else { return ControlFlow::Continue(()) };
        let line = message.encode();
        self.outcome = match numbered {
            true => writeln!(self.out, "{line}"),
            false => writeln!(self.out, "{}", without_number(&line)),
        };
        if self.outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
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
