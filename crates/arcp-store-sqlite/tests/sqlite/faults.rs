//! Disks that are full, quotas, limits and disks that fail, of the system itself: a library in between says what they would.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use arcp_runtime::store::{Image, Store};
use arcp_store_sqlite::{Durability, SqliteStore};
use tempfile::TempDir;

use crate::child::{Running, Task};
use crate::normal::text;
use crate::temporary;
use crate::world::World;

const BATCHES: usize = 40;

/// Fails calls while a file with the name of the error is there.
const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int told(const char *name) {
    char path[4096];
    const char *directory = getenv("ARCP_FAULTS");
    if (!directory) return 0;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return access(path, F_OK) == 0;
}

static void count(const char *name) {
    char path[4096];
    const char *directory = getenv("ARCP_FAULTS");
    if (!directory) return;
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "a");
    if (file) { fputc('x', file); fclose(file); }
}

static int refused(void) {
    if (told("ENOSPC")) { errno = ENOSPC; return 1; }
    if (told("EDQUOT")) { errno = EDQUOT; return 1; }
    if (told("EIO")) { errno = EIO; return 1; }
    return 0;
}

/* Pipes and events of the process are on no disk. */
static int on_disk(int fd) {
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISREG(found.st_mode);
}

static int failed;

static int synced(void) {
    count(failed ? "syncs after" : "syncs");
    if (!told("fsync")) return 0;
    failed = 1;
    errno = EIO;
    return -1;
}

int fsync(int fd) { (void)fd; return synced(); }
int fdatasync(int fd) { (void)fd; return synced(); }

typedef ssize_t (*pwrite_fn)(int, const void *, size_t, off_t);
typedef ssize_t (*write_fn)(int, const void *, size_t);

ssize_t pwrite64(int fd, const void *bytes, size_t len, off_t at) {
    if (refused()) return -1;
    return ((pwrite_fn)dlsym(RTLD_NEXT, "pwrite64"))(fd, bytes, len, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at) { return pwrite64(fd, bytes, len, at); }
ssize_t write(int fd, const void *bytes, size_t len) {
    if (on_disk(fd) && !told("EIO") && refused()) return -1;
    return ((write_fn)dlsym(RTLD_NEXT, "write"))(fd, bytes, len);
}
"#;

/// A writer under the library.
struct Faults {
    directory: TempDir,
    path: PathBuf,
}

impl Faults {
    /// Needs the C compiler with which SQLite itself was compiled.
    fn new() -> Self {
        let (directory, path) = temporary();
        let source = directory.path().join("faults.c");
        fs::write(&source, LIBRARY).unwrap();
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([directory.path().join("faults.so"), source])
            .arg("-ldl")
            .status();
        assert!(compiled.unwrap().success());
        Self { directory, path }
    }

    fn start(&self, durability: Durability) -> Running {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .env("LD_PRELOAD", self.directory.path().join("faults.so"))
            .env("ARCP_FAULTS", self.directory.path());
        Task { path: &self.path, durability, seed: 31, from: 0, until: BATCHES, asks: true }
            .start_with(command)
    }

    fn begin(&self, name: &str) {
        File::create(self.directory.path().join(name)).unwrap();
    }

    fn end(&self, name: &str) {
        fs::remove_file(self.directory.path().join(name)).unwrap();
    }

    /// Calls to sync anything, until one has failed or after.
    fn syncs(&self, name: &str) -> usize {
        fs::read(self.directory.path().join(name)).map_or(0, |syncs| syncs.len())
    }
}

/// What there is after so many batches.
async fn assert_written(path: &Path, batches: &[usize]) {
    let mut world = World::new(31);
    let mut image = Image::new();
    let mut possible = Vec::new();
    for number in 0..=batches.iter().copied().max().unwrap_or(0) {
        if batches.contains(&number) {
            possible.push(text(&image.recover()));
        }
        image.apply(&world.batch());
    }
    let store = SqliteStore::new(path);
    let found = text(&store.open().await.unwrap().recovered);
    store.close().await;
    assert!(possible.contains(&found), "it is not what is there after {batches:?} batches");
}

fn reach(child: &mut Running, batches: usize) {
    assert_eq!(child.next().as_deref(), Some("open"));
    for number in 1..=batches {
        assert_eq!(child.go_on().unwrap(), number.to_string());
    }
}

/// Goes on until the store refuses a batch. Returns what it says, and how many it has taken.
fn refused(child: &mut Running, mut taken: usize) -> (String, usize) {
    loop {
        let said = child.go_on().unwrap();
        match said.parse::<usize>() {
            Ok(number) => taken = number,
            Err(_) => return (said, taken),
        }
    }
}

#[tokio::test]
async fn a_full_disk_and_a_spent_quota_can_be_waited_for() {
    for fault in ["ENOSPC", "EDQUOT"] {
        let faults = Faults::new();
        let mut child = faults.start(Durability::Full);
        reach(&mut child, 5);
        faults.begin(fault);
        let (said, _) = refused(&mut child, 5);
        assert!(said.starts_with("full: ") && said.contains("arcp.db: there is no room"), "{fault}: {said}");
        let said = child.go_on().unwrap();
        assert!(said.starts_with("full: "), "{fault}, again: {said}");
        faults.end(fault);
        while child.go_on().is_some() {}
        assert_written(&faults.path, &[BATCHES]).await;
    }
}

#[tokio::test]
async fn a_disk_that_fails_stops_the_store() {
    let faults = Faults::new();
    let mut child = faults.start(Durability::Full);
    reach(&mut child, 5);
    faults.begin("EIO");
    let (said, taken) = refused(&mut child, 5);
    assert!(said.starts_with("failed: ") && said.contains("arcp.db: the store has failed"), "{said}");
    faults.end("EIO");
    let said = child.go_on().unwrap();
    assert!(said.starts_with("failed: ") && said.contains("stopped after a failure"), "{said}");
    drop(child);
    assert_written(&faults.path, &[taken]).await;
}

/// After a failed fsync nobody knows what is on the disk, and a second one that succeeds says nothing of what the first was to write.
#[tokio::test]
async fn a_failed_fsync_is_never_tried_again() {
    let faults = Faults::new();
    let mut child = faults.start(Durability::Full);
    reach(&mut child, 5);
    faults.begin("fsync");
    let (said, taken) = refused(&mut child, 5);
    assert!(said.starts_with("failed: ") && said.contains("check its disk"), "{said}");
    faults.end("fsync");
    let said = child.go_on().unwrap();
    assert!(said.contains("stopped after a failure"), "{said}");
    drop(child.child.stdin.take()); // it ends in good order, and drops its store
    assert_eq!(child.next(), None);
    child.child.wait().unwrap();
    assert!(faults.syncs("syncs") > 5);
    assert_eq!(faults.syncs("syncs after"), 0, "nothing is synced after a failure");
    assert_written(&faults.path, &[taken, taken + 1]).await;
}

/// Without the library, by the system: a limit on the size of files.
#[tokio::test]
async fn a_limit_on_the_size_of_files_can_be_waited_for() {
    let (_directory, path) = temporary();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec prlimit --fsize=300000:unlimited \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap());
    let task = Task { path: &path, durability: Durability::Full, seed: 31, from: 0, until: 400, asks: true };
    let mut child = task.start_with(command);
    assert_eq!(child.next().as_deref(), Some("open"));
    let (said, taken) = refused(&mut child, 0);
    assert!(said.starts_with("full: "), "after {taken}: {said}");
    let pid = child.child.id().to_string();
    let raised = Command::new("prlimit").args(["--fsize=unlimited:unlimited", "--pid", &pid]).status();
    assert!(raised.unwrap().success());
    while child.go_on().is_some() {}
    assert_written(&path, &[400]).await;
}

/// The same, before there is any store.
#[tokio::test]
async fn a_limit_that_leaves_no_room_for_a_store_leaves_no_file() {
    let (directory, path) = temporary();
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; exec prlimit --fsize=9000:unlimited \"$@\"", "sh"]);
    command.arg(std::env::current_exe().unwrap());
    let task = Task { path: &path, durability: Durability::Full, seed: 31, from: 0, until: 9, asks: true };
    let said = task.start_with(command).next().unwrap();
    assert!(said.starts_with("full: "), "{said}");
    let names: Vec<_> =
        fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["arcp.db.lock"]);
}
