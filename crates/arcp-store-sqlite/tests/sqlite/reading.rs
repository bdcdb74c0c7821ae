//! Reading beside a runtime, and after it.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arcp_runtime::store::{Image, Recovered, Shown, Store};
use arcp_store_sqlite::{Durability, SqliteError, SqliteReader, SqliteStore, ViewedMessage};

use crate::child::Task;
use crate::normal::text;
use crate::retention::Stream;
use crate::temporary;
use crate::world::World;

fn push<T>(all: &mut Vec<T>, one: T) -> ControlFlow<()> {
    all.push(one);
    ControlFlow::Continue(())
}

/// All that a reader can tell, put together as a store gives it back, without what sessions follow.
fn everything(reader: &SqliteReader) -> Recovered {
    let mut all = Recovered::default();
    reader.sessions(|session| push(&mut all.sessions, session)).unwrap();
    reader.jobs(|job| push(&mut all.jobs, job)).unwrap();
    for session in &mut all.sessions {
        let mut shown = Vec::new();
        let there = reader.view(&session.record.session_id, 0, |viewed| {
            assert_eq!(viewed.event_seq, session.first_seq + shown.len() as u64);
            let (index, gap) = match viewed.shown {
                ViewedMessage::Entry(entry) => {
                    assert_eq!(entry.job.job_id, viewed.job.job_id);
                    (entry.index, None)
                }
                ViewedMessage::Missed { next_index, ts } => (next_index, Some(ts)),
                _ => unreachable!(),
            };
            push(&mut shown, Shown { job: viewed.job, index, count: 1, gap })
        });
        assert!(there.unwrap());
        session.view = shown;
    }
    for job in &mut all.jobs {
        let id = job.head.job_id.clone();
        assert!(reader.entries(&id, 0, |logged| push(&mut job.entries, logged)).unwrap());
    }
    all
}

/// What a reader can tell of what a store gives back.
fn told(image: &Image) -> String {
    let mut recovered = image.recover();
    recovered.sessions.iter_mut().for_each(|session| session.following.clear());
    // What only views need is shown by the views.
    for job in recovered.jobs.iter_mut().filter(|job| !job.gone) {
        job.entries.retain(|logged| logged.entry.index >= job.kept_from);
    }
    text(&recovered)
}

#[tokio::test]
async fn a_reader_beside_a_writer_sees_one_moment_and_then_the_next() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let (mut world, mut image) = (World::new(51), Image::new());
    let mut reader = SqliteReader::open(&path).unwrap();
    assert_eq!(reader.epoch().unwrap(), 1);
    for _ in 0..12 {
        let before = told(&image);
        for _ in 0..25 {
            let batch = world.batch();
            image.apply(&batch);
            store.commit(epoch, batch).await.unwrap();
        }
        store.settle().await.unwrap();
        assert_eq!(text(&everything(&reader)), before, "it stands still");
        reader.refresh().unwrap();
        assert_eq!(text(&everything(&reader)), told(&image));
    }
    store.close().await;
    assert_eq!(text(&everything(&reader)), told(&image), "the writer has closed");
    drop(reader);
    assert_eq!(text(&everything(&SqliteReader::open(&path).unwrap())), told(&image));
    SqliteStore::new(&path).open().await.unwrap();
}

#[tokio::test]
async fn places_and_numbers_can_be_chosen_and_reading_be_stopped() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let mut stream = Stream::new(2);
    store.commit(epoch, stream.begin()).await.unwrap();
    for _ in 0..10 {
        store.commit(epoch, stream.say(10, 50)).await.unwrap();
    }
    let reader = SqliteReader::open(&path).unwrap();
    let (job, session) = ("job_1".parse().unwrap(), "sess_1".parse().unwrap());
    let mut places = Vec::new();
    let take = |places: &mut Vec<u64>, place, last| {
        places.push(place);
        if place == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    reader.entries(&job, 75, |logged| take(&mut places, logged.entry.index, 79)).unwrap();
    assert_eq!(places, [75, 76, 77, 78, 79]);
    places.clear();
    reader.entries(&job, 0, |logged| take(&mut places, logged.entry.index, 50)).unwrap();
    assert_eq!(places, [50], "the log begins there");
    places.clear();
    reader.view(&session, 119, |viewed| take(&mut places, viewed.event_seq, 122)).unwrap();
    assert_eq!(places, [119, 120, 121, 122]);
    places.clear();
    reader.view(&session, 500, |viewed| take(&mut places, viewed.event_seq, 0)).unwrap();
    reader.view(&session, u64::MAX, |viewed| take(&mut places, viewed.event_seq, 0)).unwrap();
    reader.entries(&job, u64::MAX, |logged| take(&mut places, logged.entry.index, 0)).unwrap();
    assert!(places.is_empty());
    let nobody = "nobody".parse().unwrap();
    assert!(!reader.entries(&"nobody".parse().unwrap(), 0, |_| ControlFlow::Continue(())).unwrap());
    assert!(!reader.view(&nobody, 0, |_| ControlFlow::Continue(())).unwrap());
}

/// A writer that has died leaves its log, which a reader reads, and leaves to the next writer.
#[tokio::test]
async fn what_a_writer_that_has_died_left_is_read() {
    const BATCHES: usize = 60;
    let (_directory, path) = temporary();
    let durability = Durability::Normal;
    let mut child = Task { path: &path, durability, seed: 52, from: 0, until: BATCHES, asks: false }.start();
    while child.next().is_some() {}
    let (mut world, mut image) = (World::new(52), Image::new());
    (0..BATCHES).for_each(|_| image.apply(&world.batch()));
    let shm = format!("{}-shm", path.display());
    for again in [false, true] {
        if again {
            fs::remove_file(&shm).unwrap(); // as after a power cut
        }
        let reader = SqliteReader::open(&path).unwrap();
        assert_eq!(text(&everything(&reader)), told(&image));
    }
    let opened = SqliteStore::new(&path).open().await.unwrap();
    assert_eq!(text(&opened.recovered), text(&image.recover()));
}

fn refused(path: &Path) -> SqliteError {
    let error = SqliteReader::open(path).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[tokio::test]
async fn what_is_no_store_is_refused_and_nothing_is_made() {
    let (directory, path) = temporary();
    assert!(matches!(refused(&path), SqliteError::NoFile(_)));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    fs::write(&path, "").unwrap();
    assert!(matches!(refused(&path), SqliteError::NoFile(_)));
    fs::write(&path, "text").unwrap();
    assert!(matches!(refused(&path), SqliteError::NotADatabase(_)));
    fs::remove_file(&path).unwrap();
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE notes (text TEXT)").unwrap();
    assert!(matches!(refused(&path), SqliteError::OtherApplication(_)));
}

#[tokio::test]
async fn damage_is_told_by_whoever_comes_upon_it() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    for batch in crate::retention::stream(2, 5) {
        store.commit(epoch, batch).await.unwrap();
    }
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("UPDATE blocks SET body = x'01' WHERE id = 3").unwrap();
    let reader = SqliteReader::open(&path).unwrap();
    let (job, session) = (Arc::new("job_0".parse().unwrap()), "sess_1".parse().unwrap());
    let entries = reader.entries(&job, 0, |_| ControlFlow::Continue(()));
    let view = reader.view(&session, 0, |_| ControlFlow::Continue(()));
    for error in [entries.unwrap_err(), view.unwrap_err()] {
        assert!(matches!(error, SqliteError::Damaged { .. }), "{error}");
    }
    reader.entries(&job, 8, |_| ControlFlow::Continue(())).unwrap();
}

/// Makes what is beneath it read-only, and gives it back. For root nothing is.
#[cfg(unix)]
struct ReadOnly<'a>(&'a Path);

#[cfg(unix)]
impl<'a> ReadOnly<'a> {
    fn new(directory: &'a Path) -> Option<Self> {
        mode(directory, 0o555);
        let this = Self(directory);
        fs::write(directory.join("probe"), "").is_err().then_some(this)
    }
}

#[cfg(unix)]
impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        mode(self.0, 0o755);
    }
}

#[cfg(unix)]
fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_cannot_be_written_can_be_read_once_its_runtime_is_closed() {
    let (directory, path) = temporary();
    // A name that would mean something in a URI.
    let path = path.with_file_name("a?b#c%20.db");
    let (mut world, mut image) = (World::new(53), Image::new());
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    for _ in 0..20 {
        let batch = world.batch();
        image.apply(&batch);
        store.commit(epoch, batch).await.unwrap();
    }
    store.close().await;
    {
        let Some(_read_only) = ReadOnly::new(directory.path()) else { return };
        let mut reader = SqliteReader::open(&path).unwrap();
        reader.refresh().unwrap();
        assert_eq!(text(&everything(&reader)), told(&image));
        let error = SqliteStore::new(&path).open().await.unwrap_err();
        assert!(matches!(crate::problem(&error), SqliteError::ReadOnly(_)), "{error:?}");
    }
    // With a log that nobody has copied, and without the memory to read it by.
    let durability = Durability::Normal;
    let mut child = Task { path: &path, durability, seed: 54, from: 0, until: 9, asks: false }.start();
    while child.next().is_some() {}
    fs::remove_file(format!("{}-shm", path.display())).unwrap();
    let Some(_read_only) = ReadOnly::new(directory.path()) else { return };
    assert!(matches!(refused(&path), SqliteError::LogUnreadable(_)));
}
