//! [`SqliteStore`]: the handle by which a runtime reaches the thread that owns the file.

use std::fmt;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use arcp_runtime::store::{Batch, Epoch, Opened, Store, StoreError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::{Semaphore, TryAcquireError, oneshot};

use crate::error::SqliteError;
use crate::writer::{Request, Writer};
use crate::{Durability, Options};

/// Batches that may be on their way to the writer.
const QUEUE: usize = 64;

/// A store in one SQLite file. Clones are the same store.
///
/// The file has a `-wal` and a `-shm` beside it while it is open, and for ever an empty `.lock`, which keeps every second store
/// away from it, in this process and in others. All are made readable by their owner only. Network file systems are no place for
/// them: the log needs shared memory, and locks that hold.
///
/// A thread of its own does all reading and writing; it begins with [`open`](Store::open) and ends when the last clone is dropped,
/// after it has written what was given to it. A second one copies the log into the database, so that no batch waits for that; if
/// batches come faster than they are copied, they wait from 32 MiB on. Until [`close`](Store::close) has been awaited, or that thread has ended, the file is in use.
///
/// Each batch is one transaction. A future of [`commit`](Store::commit) that is dropped takes nothing back, unless 64 batches were
/// on their way when it was made: then it waits for its turn, and is in the queue once it had it.
#[derive(Clone)]
pub struct SqliteStore {
    options: Options,
    thread: Arc<Mutex<Option<Sender<Request>>>>,
    queue: Arc<Semaphore>,
}

impl SqliteStore {
    /// A store in the file at `path`, which is made when the store is opened if there is none. Does nothing yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let options = Options { path: path.into(), durability: Durability::default(), max_pages: None };
        Self { options, thread: Arc::default(), queue: Arc::new(Semaphore::new(QUEUE)) }
    }

    /// What a power cut may take; [`Durability::Full`] unless told otherwise. To be said before the store is opened.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// Bounds the file to so many pages of 4,096 bytes: for tests of full disks.
    #[doc(hidden)]
    #[must_use]
    pub fn max_pages(mut self, pages: u32) -> Self {
        self.options.max_pages = Some(pages);
        self
    }

    /// Changes the bound of an open store.
    #[doc(hidden)]
    pub fn limit_pages(&self, pages: u32) -> BoxFuture<'static, Result<(), StoreError>> {
        self.ask(|done| Request::LimitPages(pages, done))
    }

    /// Removes what nobody needs, and gives its room back, now rather than between batches.
    #[doc(hidden)]
    pub fn settle(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        self.ask(Request::Settle)
    }

    fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (done, answer) = oneshot::channel();
        let stopped = self.stopped();
        let sent = self.sender(false).is_some_and(|sender| sender.send(request(done)).is_ok());
        async move {
            match sent {
                true => answer.await.unwrap_or(Err(stopped)),
                false => Err(stopped),
            }
        }
        .boxed()
    }

    /// The way to the thread, which begins with that if `begin`.
    fn sender(&self, begin: bool) -> Option<Sender<Request>> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() && begin {
            let (sender, requests) = mpsc::channel();
            let writer = Writer::new(self.options.clone());
            let name = "arcp-store".to_owned();
            thread::Builder::new().name(name).spawn(move || writer.run(&requests)).ok()?;
            *thread = Some(sender);
        }
        thread.clone()
    }

    fn stopped(&self) -> StoreError {
        SqliteError::Stopped { path: self.options.path.clone(), state: "not open" }.into()
    }
}

impl Store for SqliteStore {
    fn open(&self) -> BoxFuture<'static, Result<Opened, StoreError>> {
        _ = self.sender(true);
        self.ask(Request::Open)
    }

    fn commit(&self, epoch: Epoch, batch: Arc<Batch>) -> BoxFuture<'static, Result<(), StoreError>> {
        let (done, answer) = oneshot::channel();
        let (sender, stopped) = (self.sender(false), self.stopped());
        let send = move |place| {
            let request = Request::Commit { epoch, batch, done, place };
            sender.is_some_and(|sender| sender.send(request).is_ok())
        };
        let answered = |sent, stopped| async move {
            match sent {
                true => answer.await.unwrap_or(Err(stopped)),
                false => Err(stopped),
            }
        };
        match Arc::clone(&self.queue).try_acquire_owned() {
            Ok(place) => answered(send(place), stopped).boxed(),
            Err(TryAcquireError::Closed) => answered(false, stopped).boxed(),
            Err(TryAcquireError::NoPermits) => {
                let mut turn = Arc::clone(&self.queue).acquire_owned().boxed();
                // Its turn is after those before it, whichever is polled first.
                let taken = turn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                async move {
                    let turn = match taken {
                        Poll::Ready(turn) => turn,
                        Poll::Pending => turn.await,
                    };
                    let Ok(place) = turn else { return Err(stopped) };
                    answered(send(place), stopped).await
                }
                .boxed()
            }
        }
    }

    /// Waits until everything that was given to the store is written and in the file itself, and gives the file free.
    fn close(&self) -> BoxFuture<'static, ()> {
        let (done, answer) = oneshot::channel();
        let sent = self.sender(false).is_some_and(|sender| sender.send(Request::Close(done)).is_ok());
        async move {
            if sent {
                _ = answer.await;
            }
        }
        .boxed()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("options", &self.options).finish_non_exhaustive()
    }
}
