//! What is read back is what `Image` makes of the same batches, however the writes are parted into batches.

use std::path::Path;
use std::sync::Arc;

use arcp_runtime::StoreError;
use arcp_runtime::store::{Batch, Image, Recovered, Store, Write};
use arcp_store_sqlite::{Durability, SqliteStore};
use rusqlite::Connection;

use crate::normal::assert_same;
use crate::retention::Stream;
use crate::temporary;
use crate::world::World;

/// One life of a store: batches, reopenings of every sort, and steps of removal in between.
async fn live(seed: u64, batches: usize) {
    let (_directory, path) = temporary();
    let mut world = World::new(seed);
    let mut image = Image::new();
    let mut store = SqliteStore::new(&path).durability(Durability::Normal);
    let mut epoch = store.open().await.unwrap().epoch;
    for number in 0..batches {
        let batch = world.batch();
        image.apply(&batch);
        store.commit(epoch, Arc::clone(&batch)).await.unwrap();
        if world.random.once_in(7) {
            store.settle().await.unwrap();
        }
        if world.random.once_in(9) {
            let again = world.random.once_in(2);
            if !again {
                store.close().await;
                store = SqliteStore::new(&path).durability(Durability::Normal);
            }
            let opened = store.open().await.unwrap();
            assert!(opened.epoch > epoch);
            epoch = opened.epoch;
            let what = format!("seed {seed}, batch {number}, open again {again}");
            assert_same(&opened.recovered, &image.recover(), &what);
        }
    }
    store.close().await;
    assert_refers_to_what_is_there(&path);
    let opened = SqliteStore::new(&path).open().await.unwrap();
    assert_same(&opened.recovered, &image.recover(), &format!("seed {seed} at its end"));
}

/// The store does not have SQLite look at this for every row.
fn assert_refers_to_what_is_there(path: &Path) {
    let conn = Connection::open(path).unwrap();
    let wrong = conn.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0));
    assert_eq!(wrong, Ok(0_i64), "rows refer to what is not there");
    let checked = conn.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(checked.as_deref(), Ok("ok"));
}

/// Writes in batches of so many each, and reads them back: as the store has them, and after all that can go has gone.
async fn parted(writes: &[Write], each: usize) -> [Recovered; 2] {
    let (_directory, path) = temporary();
    let store = SqliteStore::new(&path).durability(Durability::Normal);
    let mut epoch = store.open().await.unwrap().epoch;
    for (position, writes) in (1..).zip(writes.chunks(each)) {
        let batch = Batch { position, writes: writes.to_vec() };
        store.commit(epoch, Arc::new(batch)).await.unwrap();
    }
    let mut read = Vec::new();
    for _ in 0..2 {
        store.close().await;
        assert_refers_to_what_is_there(&path);
        let opened = store.open().await.unwrap();
        epoch = opened.epoch;
        read.push(opened.recovered);
        store.settle().await.unwrap();
    }
    // What it knows by heart is what it has read: it goes on from there.
    store.commit(epoch, Arc::new(Batch { position: 0, writes: Vec::new() })).await.unwrap();
    read.try_into().unwrap()
}

/// A row that is written once for all that a batch says of it is as one that was written for each.
#[tokio::test]
async fn however_writes_are_parted_into_batches_the_same_is_read_back() {
    for seed in 2_000..2_030 {
        let mut world = World::new(seed);
        let batches: Vec<_> = (0..40).map(|_| world.batch()).collect();
        let writes: Vec<Write> = batches.iter().flat_map(|batch| batch.writes.clone()).collect();
        let mut image = Image::new();
        batches.iter().for_each(|batch| image.apply(batch));
        let image = image.recover();
        for each in [1, 3, 1 + seed as usize % 50, writes.len()] {
            for read in parted(&writes, each).await {
                assert_same(&read, &image, &format!("seed {seed}, {each} writes a batch"));
            }
        }
    }
}

/// A large batch that is refused at its end, for a log that does not end there, leaves nothing behind: not in the file, and not in what
/// the store knows by heart and the next batches are written with.
#[tokio::test]
async fn a_large_batch_that_is_refused_can_be_taken_in_parts() {
    for seed in 3_000..3_020 {
        let (_directory, path) = temporary();
        let store = SqliteStore::new(&path).durability(Durability::Normal);
        let epoch = store.open().await.unwrap().epoch;
        let (mut world, mut image, mut stream) = (World::new(seed), Image::new(), Stream::new(1));
        let begin = stream.begin();
        image.apply(&begin);
        store.commit(epoch, begin).await.unwrap();
        let too_far = (stream.say(1, 9), stream.say(1, 9)).1.writes[0].clone();
        for _ in 0..5 {
            let batches: Vec<_> = (0..20).map(|_| world.batch()).collect();
            let mut writes: Vec<Write> = batches.iter().flat_map(|batch| batch.writes.clone()).collect();
            writes.push(too_far.clone());
            let refused = store.commit(epoch, Arc::new(Batch { position: 1, writes })).await.unwrap_err();
            assert!(matches!(refused, StoreError::Head { expected: 1, actual: 0, .. }), "{refused}");
            for batch in batches {
                image.apply(&batch);
                store.commit(epoch, batch).await.unwrap();
            }
            store.settle().await.unwrap();
        }
        store.close().await;
        assert_refers_to_what_is_there(&path);
        let opened = store.open().await.unwrap();
        assert_same(&opened.recovered, &image.recover(), &format!("seed {seed}"));
    }
}

#[tokio::test]
async fn what_is_read_back_is_what_the_model_has() {
    for seed in 0..40 {
        live(seed, 60).await;
    }
}

#[tokio::test]
async fn a_long_life_is_read_back() {
    live(1_000, 500).await;
}
