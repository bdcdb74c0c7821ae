//! What a store says of a file that it cannot use, and that it leaves such a file, and everything else, as it was.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arcp_runtime::StoreError;
use arcp_runtime::store::{Image, Opened, Store};
use arcp_store_sqlite::{SqliteError, SqliteStore};
use rusqlite::Connection;

use crate::normal::assert_same;
use crate::world::World;
use crate::{problem, temporary};

async fn open(path: &Path) -> Result<Opened, StoreError> {
    let store = SqliteStore::new(path);
    let opened = store.open().await;
    store.close().await;
    opened
}

/// Opens a file that cannot be used. Twice, for the first try keeps no lock.
async fn refused(path: &Path) -> String {
    let mut texts = Vec::new();
    for _ in 0..2 {
        let error = open(path).await.unwrap_err();
        let text = problem(&error).to_string();
        assert!(text.contains(path.to_str().unwrap()), "{text}");
        texts.push(text);
    }
    assert_eq!(texts[0], texts[1]);
    texts.remove(0)
}

/// A store with something in it.
async fn filled(path: &Path, batches: usize) -> Image {
    let (mut world, mut image) = (World::new(5), Image::new());
    let store = SqliteStore::new(path);
    let epoch = store.open().await.unwrap().epoch;
    for _ in 0..batches {
        let batch = world.batch();
        image.apply(&batch);
        store.commit(epoch, batch).await.unwrap();
    }
    store.close().await;
    image
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_named() {
    let (directory, _) = temporary();
    let path = directory.path().join("no/such/arcp.db");
    let text = refused(&path).await;
    assert!(text.contains("there is no directory") && text.contains("create it"), "{text}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn a_path_that_is_a_directory_is_refused() {
    let (directory, _) = temporary();
    let path = directory.path().join("arcp.db");
    fs::create_dir(&path).unwrap();
    refused(&path).await;
    assert!(path.is_dir());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_is_read_only_is_named() {
    let error = open(Path::new("/sys/arcp.db")).await.unwrap_err(); // for root too
    assert!(matches!(problem(&error), SqliteError::ReadOnly(_) | SqliteError::File { .. }), "{error:?}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let (_directory, path) = temporary();
    for text in ["x", "{\"op\":\"ledger\",\"version\":1}\n", "SQLite format 2\0 and more"] {
        fs::write(&path, text).unwrap();
        let why = refused(&path).await;
        assert!(why.contains("no SQLite database") && !why.contains("ledger"), "{why}");
        assert_eq!(fs::read(&path).unwrap(), text.as_bytes());
    }
    // The magic alone is no database either.
    fs::write(&path, "SQLite format 3\0 and nothing that SQLite would write").unwrap();
    refused(&path).await;
}

#[tokio::test]
async fn the_database_of_another_application_is_left_alone() {
    let (_directory, path) = temporary();
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch("CREATE TABLE notes (text TEXT); INSERT INTO notes VALUES ('x')").unwrap();
    conn.close().unwrap();
    let before = fs::read(&path).unwrap();
    let text = refused(&path).await;
    assert!(text.contains("another application"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let (_directory, path) = temporary();
    filled(&path, 3).await;
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "user_version", 7).unwrap();
    conn.close().unwrap();
    let before = fs::read(&path).unwrap();
    let text = refused(&path).await;
    assert!(text.contains("version 7") && text.contains("up to 3"), "{text}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn an_empty_file_becomes_a_store() {
    let (_directory, path) = temporary();
    fs::write(&path, "").unwrap();
    let opened = open(&path).await.unwrap();
    assert_eq!((opened.epoch.0, opened.recovered.jobs.len()), (1, 0));
    assert_eq!(open(&path).await.unwrap().epoch.0, 2);
}

#[tokio::test]
async fn a_store_is_one_file_once_it_is_closed_and_its_owners_alone() {
    let (directory, path) = temporary();
    filled(&path, 20).await;
    let mut names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["arcp.db", "arcp.db.lock"]);
    #[cfg(unix)]
    for name in names {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::metadata(directory.path().join(&name)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name:?}");
    }
    let store = SqliteStore::new(&path);
    let epoch = store.open().await.unwrap().epoch;
    store.commit(epoch, World::new(1).batch()).await.unwrap();
    #[cfg(unix)]
    for suffix in ["-wal", "-shm"] {
        use std::os::unix::fs::PermissionsExt;
        let metadata = fs::metadata(format!("{}{suffix}", path.display())).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
}

#[tokio::test]
async fn a_second_store_is_kept_out_until_the_first_is_closed() {
    let (_directory, path) = temporary();
    let first = SqliteStore::new(&path);
    first.open().await.unwrap();
    let error = SqliteStore::new(&path).open().await.unwrap_err();
    assert!(matches!(problem(&error), SqliteError::InUse(_)), "{error}");
    assert!(problem(&error).to_string().contains("stop it first"));
    first.close().await;
    assert_eq!(open(&path).await.unwrap().epoch.0, 2);
    assert_eq!(first.open().await.unwrap().epoch.0, 3, "and it can be opened again");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_is_one_store_by_whatever_name() {
    use std::os::unix::fs::symlink;
    let (directory, path) = temporary();
    let first = SqliteStore::new(&path);
    first.open().await.unwrap();
    let link = directory.path().join("link.db");
    symlink(&path, &link).unwrap();
    let error = SqliteStore::new(&link).open().await.unwrap_err();
    assert!(matches!(problem(&error), SqliteError::InUse(_)), "{error}");
    first.close().await;
    assert_eq!(open(&link).await.unwrap().epoch.0, 2, "it is the same store");
    let other = directory.path().join("other.db");
    fs::hard_link(&path, &other).unwrap();
    for name in [&path, &other] {
        let error = SqliteStore::new(name).open().await.unwrap_err();
        assert!(matches!(problem(&error), SqliteError::ManyNames(_)), "{error}");
    }
    fs::remove_file(&other).unwrap();
    assert_eq!(open(&path).await.unwrap().epoch.0, 3);
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_file_is_refused_at_once_and_nothing_is_left_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("directory")).unwrap();
    std::os::unix::fs::symlink(at("nowhere"), at("dangling")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(at("pipe")).status().unwrap();
    assert!(pipe.success());
    fs::write(at("notes"), "not a database".repeat(100)).unwrap();
    let names = || {
        let mut names: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    for name in ["directory", "dangling", "pipe"] {
        assert!(refused(&at(name)).await.contains("no regular file"), "{name}");
    }
    assert!(refused(&at("notes")).await.contains("no SQLite database"));
    assert_eq!(names(), before);
}

#[tokio::test]
async fn a_full_disk_leaves_no_half_made_file() {
    let (directory, path) = temporary();
    let store = SqliteStore::new(&path).max_pages(3);
    let error = store.open().await.unwrap_err();
    assert!(matches!(error, StoreError::Full(_)), "{error:?}");
    assert!(problem(&error).to_string().contains("free some space"), "{}", problem(&error));
    store.close().await;
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["arcp.db.lock"]);
    open(&path).await.unwrap();
}

#[tokio::test]
async fn what_is_whose_is_not_believed_when_a_byte_of_it_has_changed() {
    for change in [
        "UPDATE sessions SET principal = principal || 'x' WHERE id = (SELECT min(id) FROM sessions WHERE gone = 0)",
        "UPDATE sessions SET resume_token = zeroblob(32) WHERE id = (SELECT min(id) FROM sessions WHERE gone = 0)",
        "UPDATE jobs SET principal = principal || 'x' WHERE id = (SELECT min(id) FROM jobs WHERE gone = 0)",
        "UPDATE jobs SET accepted = replace(accepted, '}', ' }') WHERE id = (SELECT min(id) FROM jobs WHERE gone = 0)",
    ] {
        let (_directory, path) = temporary();
        filled(&path, 60).await;
        let changed = rusqlite::Connection::open(&path).unwrap().execute(change, []).unwrap();
        assert_eq!(changed, 1, "{change}");
        assert!(refused(&path).await.contains("another sum"), "{change}");
    }
}

#[tokio::test]
async fn damaged_pages_are_an_error_or_were_not_needed() {
    let (directory, path) = temporary();
    filled(&path, 150).await;
    let good = fs::read(&path).unwrap();
    let (mut refused, pages) = (0, good.len() / 4096);
    assert!(pages > 50);
    for page in 0..pages {
        for (at, with) in [(0, 0xff_u8), (100, 0x00), (2000, 0x5a)] {
            let damaged = directory.path().join("damaged.db");
            let mut bytes = good.clone();
            let from = page * 4096 + at;
            bytes[from..from + 64].fill(with);
            fs::write(&damaged, &bytes).unwrap();
            let Err(error) = open(&damaged).await else { continue };
            let problem = problem(&error);
            assert!(!matches!(problem, SqliteError::Stopped { .. }), "page {page} at {at}: it panicked");
            assert!(problem.to_string().contains("damaged.db"), "{problem}");
            refused += 1;
        }
    }
    assert!(refused > pages, "{refused} of {} were noticed", 3 * pages);
}

#[tokio::test]
async fn a_damaged_block_or_view_is_found_by_its_sum() {
    for (table, column) in [("blocks", "body"), ("views", "runs")] {
        let (_directory, path) = temporary();
        filled(&path, 100).await;
        let conn = Connection::open(&path).unwrap();
        let sql = format!("SELECT id, {column} FROM {table} ORDER BY id DESC LIMIT 1");
        let read = conn.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let (id, mut body): (i64, Vec<u8>) = read.unwrap();
        let last = body.len() - 1;
        body[last] ^= 1;
        let sql = format!("UPDATE {table} SET {column} = ?2 WHERE id = ?1");
        conn.execute(&sql, rusqlite::params![id, body]).unwrap();
        conn.close().unwrap();
        let text = refused(&path).await;
        assert!(text.contains("checksum") && text.contains("restore it from a copy"), "{text}");
    }
}

#[tokio::test]
async fn rows_that_are_missing_are_a_gap() {
    for (sql, what) in [
        ("DELETE FROM views WHERE id = (SELECT max(id) - 1 FROM views)", "lacks message"),
        (
            "DELETE FROM blocks WHERE id = (SELECT min(id) FROM blocks WHERE job = (SELECT job FROM blocks GROUP BY job \
          HAVING count(*) > 2 AND min(first) = 0 LIMIT 1))",
            "begins",
        ),
        ("UPDATE jobs SET accepted = '{}'", "sum"),
        ("UPDATE sessions SET resume_token = x'00'", "sum"),
        ("UPDATE jobs SET kept_from = -1", "count"),
        ("DELETE FROM store", "damaged"),
    ] {
        let (_directory, path) = temporary();
        let store = SqliteStore::new(&path);
        let epoch = store.open().await.unwrap().epoch;
        for batch in crate::retention::stream(3, 20) {
            store.commit(epoch, batch).await.unwrap();
        }
        store.close().await;
        let conn = Connection::open(&path).unwrap();
        assert!(conn.execute(sql, []).unwrap() > 0, "{sql}");
        conn.close().unwrap();
        let text = refused(&path).await;
        assert!(text.contains(what), "{sql}: {text}");
    }
}

#[tokio::test]
async fn what_was_removed_in_part_is_read_back() {
    let (_directory, path) = temporary();
    let image = filled(&path, 300).await;
    let opened = open(&path).await.unwrap();
    assert_same(&opened.recovered, &image.recover(), "after a while");
    drop(Arc::new(opened));
}
