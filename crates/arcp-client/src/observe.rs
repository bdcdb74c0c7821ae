//! Looking at jobs: listing them (§6.6) and subscribing to one (§7.6).

use std::future::IntoFuture;

use arcp_proto::job::{JobStatus, Subscribe as Payload};
use arcp_proto::session::{JobEntry, ListJobs};
use arcp_proto::{JobId, Timestamp};
use futures_core::Stream;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, stream};

use crate::driver::Commands;
use crate::error::RequestError;
use crate::job::Job;

/// A listing about to be made; see [`Client::jobs`](crate::Client::jobs).
#[must_use = "nothing is listed until this is streamed"]
pub struct List {
    commands: Commands,
    list: ListJobs,
}

impl List {
    pub(crate) fn new(commands: Commands) -> Self {
        Self { commands, list: ListJobs::default() }
    }

    /// Jobs in this state only; more than once for any of several.
    pub fn status(mut self, status: JobStatus) -> Self {
        self.list.filter.status.push(status);
        self
    }

    /// Jobs of this agent only, `name` or `name@version`.
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.list.filter.agent = Some(agent.into());
        self
    }

    /// Jobs that were accepted after this time only.
    pub fn created_after(mut self, time: Timestamp) -> Self {
        self.list.filter.created_after = Some(time);
        self
    }

    /// How many jobs are asked for at a time, 1 to 1,000; the runtime's choice if nothing is said.
    pub fn page_size(mut self, jobs: u64) -> Self {
        self.list.limit = Some(jobs);
        self
    }

    /// The jobs, newest first, asked for page by page as they are taken. An error ends the stream.
    pub fn stream(self) -> impl Stream<Item = Result<JobEntry, RequestError>> + Send + Unpin {
        let start = Paging { commands: self.commands, list: Some(self.list), page: Vec::new().into_iter() };
        Box::pin(stream::unfold(start, |mut paging| async move {
            loop {
                if let Some(entry) = paging.page.next() {
                    return Some((Ok(entry), paging));
                }
                let list = paging.list.take()?;
                match paging.commands.list(list.clone()).await {
                    Ok(page) => {
                        // A runtime that gives the same cursor again would be asked for ever.
                        let next = page.next_cursor.filter(|cursor| Some(cursor) != list.cursor.as_ref());
                        paging.list = next.map(|cursor| ListJobs { cursor: Some(cursor), ..list });
                        paging.page = page.jobs.into_iter();
                    }
                    Err(error) => return Some((Err(error), paging)),
                }
            }
        }))
    }
}

struct Paging {
    commands: Commands,
    /// What is asked next, if there is more.
    list: Option<ListJobs>,
    page: std::vec::IntoIter<JobEntry>,
}

/// A subscription about to be made; await it. See [`Client::subscribe`](crate::Client::subscribe).
#[must_use = "nothing is subscribed to until this is awaited"]
pub struct Subscribe {
    commands: Commands,
    subscribe: Payload,
}

impl Subscribe {
    pub(crate) fn new(commands: Commands, job_id: JobId) -> Self {
        Self { commands, subscribe: Payload { job_id, from_event_seq: None, history: false } }
    }

    /// Has everything replayed that the runtime keeps.
    pub fn with_history(mut self) -> Self {
        self.subscribe.history = true;
        self
    }

    /// Has what comes after this number replayed, in the submitter's count, which is what a listing shows as
    /// `last_event_seq`.
    pub fn from(mut self, event_seq: u64) -> Self {
        self.subscribe.history = true;
        self.subscribe.from_event_seq = Some(event_seq);
        self
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Job, RequestError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        async move {
            let (subscribed, inbox) = self.commands.subscribe(self.subscribe).await?;
            Ok(Job::observed(subscribed, inbox, self.commands))
        }
        .boxed()
    }
}
