//! A process that is killed, and a log that is cut off: what is there after is what some first batches have written.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use arcp_runtime::store::{Image, Recovered, Store};
use arcp_store_sqlite::{Durability, SqliteStore};

use crate::child::Task;
use crate::normal::text;
use crate::temporary;
use crate::world::{Random, World};

/// A world, and what it has written after each batch.
struct History {
    world: World,
    image: Image,
    written: usize,
}

impl History {
    fn new(seed: u64) -> Self {
        Self { world: World::new(seed), image: Image::new(), written: 0 }
    }

    fn reach(&mut self, batches: usize) -> String {
        while self.written < batches {
            self.image.apply(&self.world.batch());
            self.written += 1;
        }
        text(&self.image.recover())
    }
}

async fn recovered(path: &Path) -> Recovered {
    let store = SqliteStore::new(path);
    let recovered = store.open().await.unwrap().recovered;
    store.close().await;
    recovered
}

/// Kills a writer at any moment, thirty times, and looks after each what there is.
async fn kill(durability: Durability, seed: u64) {
    let (_directory, path) = temporary();
    let mut random = Random(seed);
    let mut history = History::new(seed);
    let mut from = 0;
    for cycle in 0..15 {
        let mut child = Task { path: &path, durability, seed, from, until: usize::MAX, asks: false }.start();
        assert_eq!(child.next().as_deref(), Some("open"));
        let mut told = from;
        for _ in 0..random.below(25) {
            told = child.next().unwrap().parse().unwrap();
        }
        if let Some(last) = child.kill().last() {
            told = last.parse().unwrap();
        }
        let found = text(&recovered(&path).await);
        // The last batch may have been written without anybody having been told.
        let exact = history.reach(told) == found;
        from = if exact { told } else { told + 1 };
        assert!(exact || history.reach(from) == found, "cycle {cycle}: {told} batches were committed");
    }
    assert!(from > 15, "{from} batches in all");
}

#[tokio::test]
async fn a_writer_that_is_killed_has_written_what_it_said() {
    kill(Durability::Full, 11).await;
}

#[tokio::test]
async fn a_writer_that_is_killed_has_written_what_it_said_in_normal_too() {
    kill(Durability::Normal, 12).await;
}

#[tokio::test]
async fn another_process_is_kept_out_until_the_first_has_ended() {
    let (_directory, path) = temporary();
    let task =
        Task { path: &path, durability: Durability::Full, seed: 13, from: 0, until: usize::MAX, asks: false };
    let mut first = task.start();
    assert_eq!(first.next().as_deref(), Some("open"));
    let said = task.start().next().unwrap();
    assert!(said.starts_with("failed: ") && said.contains("another runtime has this store open"), "{said}");
    first.kill();
    assert_eq!(task.start().next().as_deref(), Some("open"));
}

/// A store whose writer has died with its log as it was, and what it had after each batch.
fn died(path: &Path, seed: u64, batches: usize) -> HashMap<String, usize> {
    let durability = Durability::Normal;
    let mut child = Task { path, durability, seed, from: 0, until: batches, asks: false }.start();
    while child.next().is_some() {}
    let mut history = History::new(seed);
    (0..=batches).map(|number| (history.reach(number), number)).collect()
}

fn copy(path: &Path, to: &Path, wal: &[u8]) {
    fs::copy(path, to).unwrap();
    fs::write(format!("{}-wal", to.display()), wal).unwrap();
    _ = fs::remove_file(format!("{}-shm", to.display()));
}

#[tokio::test]
async fn a_log_that_is_cut_off_anywhere_holds_its_first_batches() {
    const BATCHES: usize = 60;
    let (directory, path) = temporary();
    let states = died(&path, 21, BATCHES);
    let wal = fs::read(format!("{}-wal", path.display())).unwrap();
    assert!(!wal.is_empty());
    let (mut last, cut) = (0, directory.path().join("cut.db"));
    for part in 0..=50 {
        copy(&path, &cut, &wal[..wal.len() * part / 50]);
        let found = text(&recovered(&cut).await);
        let number =
            *states.get(&found).unwrap_or_else(|| panic!("no batch leaves what part {part} of the log does"));
        assert!(number >= last, "part {part} has {number} batches, and the one before {last}");
        last = number;
    }
    assert_eq!(last, BATCHES);
}

#[tokio::test]
async fn a_log_that_is_damaged_holds_what_was_before_the_damage() {
    const BATCHES: usize = 40;
    let (directory, path) = temporary();
    let states = died(&path, 22, BATCHES);
    let wal = fs::read(format!("{}-wal", path.display())).unwrap();
    let (mut last, cut) = (0, directory.path().join("damaged.db"));
    for part in 0..20 {
        let mut damaged = wal.clone();
        damaged[wal.len() * part / 20] ^= 0x10;
        copy(&path, &cut, &damaged);
        let found = text(&recovered(&cut).await);
        let number = states[&found];
        assert!(number >= last, "part {part} has {number} batches, and the one before {last}");
        last = number;
    }
}
