//! What is read back is what `Image` makes of the same batches.

use std::sync::Arc;

use arcp_runtime::store::{Image, Store};
use arcp_store_sqlite::{Durability, SqliteStore};

use crate::normal::assert_same;
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
    let opened = SqliteStore::new(&path).open().await.unwrap();
    assert_same(&opened.recovered, &image.recover(), &format!("seed {seed} at its end"));
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
