//! What a commit promises, and what it says when it cannot keep that.

use std::sync::Arc;

use arcp_proto::Json;
use arcp_runtime::StoreError;
use arcp_runtime::store::{Batch, Epoch, Image, Store, Write};
use arcp_store_sqlite::{SqliteError, SqliteStore};

use crate::normal::assert_same;
use crate::retention::Stream;
use crate::world::World;
use crate::{problem, temporary};

#[tokio::test]
async fn a_later_owner_fences_the_earlier_one_off() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let mut world = World::new(1);
    let first = store.open().await.unwrap().epoch;
    store.commit(first, world.batch()).await.unwrap();
    let second = store.clone().open().await.unwrap().epoch;
    let error = store.commit(first, world.batch()).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { held: 1, current: 2 }), "{error}");
    let error = store.commit(Epoch(9), World::new(1).batch()).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { held: 9, .. }), "{error}");
    store.commit(second, World::new(2).batch()).await.unwrap();
}

/// The lock keeps a second runtime away, and where somebody has removed it the epoch does.
#[tokio::test]
async fn a_runtime_that_has_lost_its_lock_is_fenced_off() {
    let (_directory, path) = temporary();
    let (first, second) = (SqliteStore::new(&path), SqliteStore::new(&path));
    let mut world = World::new(1);
    let epoch = first.open().await.unwrap().epoch;
    first.commit(epoch, world.batch()).await.unwrap();
    std::fs::remove_file(format!("{}.lock", path.display())).unwrap();
    let later = second.open().await.unwrap().epoch;
    let error = first.commit(epoch, world.batch()).await.unwrap_err();
    assert!(matches!(error, StoreError::Fenced { held: 1, current: 2 }), "{error}");
    second.commit(later, World::new(2).batch()).await.unwrap();
}

#[tokio::test]
async fn a_log_grows_only_at_its_end_and_a_batch_is_taken_whole_or_not_at_all() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let mut image = Image::new();
    let mut stream = Stream::new(2);
    for batch in [stream.begin(), stream.say(2, 9)] {
        image.apply(&batch);
        store.commit(epoch, batch).await.unwrap();
    }
    let again = Stream::new(2).say(1, 9);
    let mut later = Stream::new(2);
    let later = (later.say(3, 9), later.say(1, 9)).1;
    // What stands before a wrong write is not taken either.
    let session = World::new(3).batch().writes[0].clone();
    assert!(matches!(session, Write::Session(_)));
    for (wrong, at) in [(again, 0), (later, 3)] {
        let writes = [vec![session.clone()], wrong.writes.clone()].concat();
        let error = store.commit(epoch, Arc::new(Batch { position: 9, writes })).await.unwrap_err();
        let StoreError::Head { expected, actual, .. } = error else { panic!("{error}") };
        assert_eq!((expected, actual), (at, 2));
    }
    for batch in [stream.say(5, 9), stream.batch(vec![session])] {
        image.apply(&batch);
        store.commit(epoch, batch).await.unwrap();
    }
    store.close().await;
    assert_same(&store.open().await.unwrap().recovered, &image.recover(), "after refusals");
}

#[tokio::test]
async fn a_log_goes_on_where_it_was_after_a_restart_and_nowhere_else() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let mut stream = Stream::new(1);
    for batch in [stream.begin(), stream.say(8, 2)] {
        store.commit(epoch, batch).await.unwrap();
    }
    store.settle().await.unwrap();
    store.close().await;
    let epoch = store.open().await.unwrap().epoch;
    let error = store.commit(epoch, Stream::new(1).say(1, 9)).await.unwrap_err();
    assert!(matches!(error, StoreError::Head { expected: 0, actual: 8, .. }), "{error}");
    store.commit(epoch, stream.say(1, 2)).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_no_runtime_writes_stops_the_store() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let mut stream = Stream::new(1);
    let error = store.commit(epoch, stream.say(1, 9)).await.unwrap_err();
    assert!(matches!(problem(&error), SqliteError::Failed { .. }), "{error:?}");
    let error = store.commit(epoch, stream.begin()).await.unwrap_err();
    assert!(matches!(problem(&error), SqliteError::Stopped { .. }), "{error:?}");
    let error = store.open().await.unwrap_err();
    assert!(problem(&error).to_string().contains("stopped after a failure"));
}

#[tokio::test]
async fn a_commit_that_nobody_waits_for_is_written_all_the_same() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let (mut world, mut image) = (World::new(8), Image::new());
    for _ in 0..40 {
        let batch = world.batch();
        image.apply(&batch);
        drop(store.commit(epoch, batch));
    }
    store.close().await;
    assert_same(&store.open().await.unwrap().recovered, &image.recover(), "dropped");
}

#[tokio::test]
async fn more_batches_than_the_queue_holds_are_written_in_order() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let mut stream = Stream::new(1);
    let mut commits = vec![store.commit(epoch, stream.begin())];
    commits.extend((0..300).map(|_| store.commit(epoch, stream.say(1, 9))));
    for outcome in futures_util::future::join_all(commits).await {
        outcome.unwrap();
    }
}

#[tokio::test]
async fn a_store_that_is_closed_takes_nothing() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let batch = || Arc::new(Batch { position: 1, writes: Vec::new() });
    let error = store.commit(Epoch(1), batch()).await.unwrap_err();
    assert!(problem(&error).to_string().contains("not open"), "{error:?}");
    store.close().await; // it never was
    let epoch = store.open().await.unwrap().epoch;
    store.close().await;
    store.close().await;
    let error = store.commit(epoch, batch()).await.unwrap_err();
    assert!(problem(&error).to_string().contains("closed"), "{error:?}");
    let epoch = store.open().await.unwrap().epoch;
    store.commit(epoch, batch()).await.unwrap();
}

#[tokio::test]
async fn a_batch_for_which_there_is_no_room_can_be_committed_later() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path).max_pages(120);
    let epoch = store.open().await.unwrap().epoch;
    let (mut stream, mut image) = (Stream::new(3), Image::new());
    let mut batch = stream.begin();
    let mut taken = 0;
    for pages in [200, 400, u32::MAX] {
        let error = loop {
            match store.commit(epoch, Arc::clone(&batch)).await {
                Ok(()) => {
                    image.apply(&batch);
                    taken += 1;
                    batch = stream.say(20, u64::MAX);
                }
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StoreError::Full(_)), "{error:?}");
        assert!(matches!(problem(&error), SqliteError::NoRoom { .. }));
        let again = store.commit(epoch, Arc::clone(&batch)).await.unwrap_err();
        assert!(matches!(again, StoreError::Full(_)), "{again:?}");
        store.limit_pages(pages).await.unwrap();
    }
    assert!(taken > 10);
    store.commit(epoch, Arc::clone(&batch)).await.unwrap();
    image.apply(&batch);
    store.close().await;
    assert_same(&store.open().await.unwrap().recovered, &image.recover(), "after there was room again");
}

#[tokio::test]
async fn writes_about_what_is_not_there_change_nothing() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let (session, job) = ("sess_9", "job_9");
    let writes = vec![
        Write::SessionGone(session.parse().unwrap()),
        Write::Unfollow(session.parse().unwrap(), job.parse().unwrap()),
        Write::JobGone(job.parse().unwrap()),
        Write::KeyGone(arcp_runtime::Principal::new("alice"), "k".into()),
        Write::Appended(Vec::new()),
    ];
    store.commit(epoch, Arc::new(Batch { position: 1, writes })).await.unwrap();
    let recovered = store.open().await.unwrap().recovered;
    assert!(recovered.sessions.is_empty() && recovered.jobs.is_empty());
}

/// No secret is ever in the file, not even where a runtime forgets to take it out.
#[tokio::test]
async fn credentials_are_not_written() {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    let begin = Stream::new(1).begin();
    let mut writes = begin.writes.clone();
    for write in &mut writes {
        let Write::Job(record) = write else { continue };
        let text =
            r#"[{"id":"cred_1","scheme":"bearer","value":"sk-canary","endpoint":"https://g.example/v1"}]"#;
        Arc::make_mut(&mut record.accepted).credentials = Json::parse(text).unwrap().decode().unwrap();
    }
    store.commit(epoch, Arc::new(Batch { position: 1, writes })).await.unwrap();
    store.close().await;
    let file = std::fs::read(&path).unwrap();
    assert!(!file.windows(9).any(|bytes| bytes == b"sk-canary"));
    assert_eq!(store.open().await.unwrap().recovered.jobs.len(), 1);
}
