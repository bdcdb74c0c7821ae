//! A ledger in a file: lines of JSON that are only ever appended, and on the disk before anybody relies on them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::store::{FileLock, owner_only};

use super::ledger::{CredentialLedger, LedgerError, Outstanding};

/// Lines that say nothing any more, from which on the file is written anew.
const DEAD_LINES: usize = 10_000;

/// Knows what is outstanding across restarts and crashes. Clones are the same ledger.
///
/// The file is readable by its owner only, and holds no secret. `<path>.lock` beside it keeps a second process out. A line that
/// was not finished when the machine stopped is no line: nobody was told that it was written.
#[derive(Clone, Debug)]
pub struct FileLedger(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    path: PathBuf,
    file: File,
    /// Where the last whole line ends.
    len: u64,
    dead: usize,
    outstanding: BTreeMap<String, Outstanding>,
    /// Whether what was written half could not be taken back: nothing may follow it.
    broken: bool,
    /// Held as long as the ledger lives.
    _lock: FileLock,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Line {
    /// The first one.
    Ledger {
        version: u32,
    },
    Intend(Outstanding),
    Settle {
        handle: String,
    },
    GiveUp {
        handle: String,
        reason: String,
    },
}

const VERSION: u32 = 1;

impl FileLedger {
    /// Opens the ledger at `path`, or begins one. Blocks.
    ///
    /// # Errors
    /// When another process has it, it is damaged, or the file cannot be used; each names the file.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, LedgerError> {
        let path = path.into();
        let lock = lock(&path)?;
        let outstanding = match fs::read(&path) {
            Ok(bytes) => parse(&path, &bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(LedgerError::File { path, source }),
        };
        let written = rewrite(&path, &outstanding);
        let (file, len) = written.map_err(|source| LedgerError::File { path: path.clone(), source })?;
        let state = State { path, file, len, dead: 0, outstanding, broken: false, _lock: lock };
        Ok(Self(Arc::new(Mutex::new(state))))
    }

    /// What a ledger holds, read beside the process that has it. Blocks.
    ///
    /// # Errors
    /// When there is none, it is damaged, or cannot be read.
    pub fn read(path: impl Into<PathBuf>) -> Result<Vec<Outstanding>, LedgerError> {
        let path = path.into();
        match fs::read(&path) {
            Ok(bytes) => Ok(parse(&path, &bytes)?.into_values().collect()),
            Err(source) => Err(LedgerError::File { path, source }),
        }
    }

    fn write(&self, line: Line, durable: bool) -> BoxFuture<'static, Result<(), LedgerError>> {
        let state = Arc::clone(&self.0);
        let write = tokio::task::spawn_blocking(move || {
            let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
            state
                .write(line, durable)
                .map_err(|source| LedgerError::File { path: state.path.clone(), source })
        });
        async move { write.await.unwrap_or_else(|panic| Err(LedgerError::Failed(Box::new(panic)))) }.boxed()
    }
}

impl CredentialLedger for FileLedger {
    fn survives(&self) -> bool {
        true
    }

    fn intend(&self, credential: Outstanding) -> BoxFuture<'static, Result<(), LedgerError>> {
        self.write(Line::Intend(credential), true)
    }

    fn settle(&self, handle: &str) -> BoxFuture<'static, Result<(), LedgerError>> {
        // One that is lost is one revocation too many at the next start.
        self.write(Line::Settle { handle: handle.to_owned() }, false)
    }

    fn give_up(&self, handle: &str, reason: &str) -> BoxFuture<'static, Result<(), LedgerError>> {
        self.write(Line::GiveUp { handle: handle.to_owned(), reason: reason.to_owned() }, true)
    }

    fn outstanding(&self) -> BoxFuture<'static, Result<Vec<Outstanding>, LedgerError>> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outstanding = state.outstanding.values().cloned().collect();
        futures_util::future::ready(Ok(outstanding)).boxed()
    }
}

impl State {
    fn write(&mut self, line: Line, durable: bool) -> io::Result<()> {
        if self.broken {
            return Err(io::Error::other("an earlier failure has left it half-written"));
        }
        let text = encode(&line)?;
        let written = self.file.write_all(&text).and_then(|()| match durable {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        if let Err(error) = written {
            self.broken = self.file.set_len(self.len).is_err();
            return Err(error);
        }
        self.len += text.len() as u64;
        self.dead += match line {
            Line::Settle { .. } => 2,
            _ => 0,
        };
        apply(&mut self.outstanding, line);
        if self.dead > DEAD_LINES.max(self.outstanding.len()) {
            // A failure may leave a file behind that is not the one at the path any more.
            self.broken = true;
            (self.file, self.len) = rewrite(&self.path, &self.outstanding)?;
            (self.dead, self.broken) = (0, false);
        }
        Ok(())
    }
}

fn apply(outstanding: &mut BTreeMap<String, Outstanding>, line: Line) {
    match line {
        Line::Ledger { .. } => {}
        Line::Intend(credential) => {
            outstanding.insert(credential.handle.clone(), credential);
        }
        Line::Settle { handle } => {
            outstanding.remove(&handle);
        }
        Line::GiveUp { handle, reason } => {
            if let Some(credential) = outstanding.get_mut(&handle) {
                credential.unrevocable = Some(reason);
            }
        }
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Outstanding>, LedgerError> {
    let mut outstanding = BTreeMap::new();
    let header = encode(&Line::Ledger { version: VERSION }).unwrap_or_default();
    if !bytes.starts_with(&header) && !header.starts_with(bytes) {
        // Some other file, be it without a whole line, is not overwritten.
        return Err(LedgerError::Corrupt { path: path.to_owned(), line: 1 });
    }
    for (index, text) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let Some(text) = text.strip_suffix(b"\n") else { break }; // it was never finished
        let line = serde_json::from_slice(text).ok();
        let good = |line: &Line| matches!(line, Line::Ledger { .. }) == (index == 0);
        let corrupt = || LedgerError::Corrupt { path: path.to_owned(), line: index + 1 };
        apply(&mut outstanding, line.filter(good).ok_or_else(corrupt)?);
    }
    Ok(outstanding)
}

fn encode(line: &Line) -> io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}

/// Writes the file anew with what counts, in one step. Gives it open at its end.
fn rewrite(path: &Path, outstanding: &BTreeMap<String, Outstanding>) -> io::Result<(File, u64)> {
    let mut text = encode(&Line::Ledger { version: VERSION })?;
    for credential in outstanding.values() {
        text.extend(encode(&Line::Intend(credential.clone()))?);
    }
    let new = beside(path, "new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = owner_only().create_new(true).append(true).open(&new)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    #[cfg(unix)]
    File::open(path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")))?
        .sync_all()?;
    Ok((file, text.len() as u64))
}

fn lock(path: &Path) -> Result<FileLock, LedgerError> {
    let lock = FileLock::acquire(&beside(path, "lock"));
    let lock = lock.map_err(|source| LedgerError::File { path: path.to_owned(), source })?;
    lock.ok_or_else(|| LedgerError::InUse(path.to_owned()))
}

fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(handle: &str) -> Outstanding {
        Outstanding {
            handle: handle.to_owned(),
            credential_id: "cred_1".parse().unwrap(),
            job_id: "job_1".parse().unwrap(),
            principal: "alice".to_owned(),
            since: arcp_proto::Timestamp::UNIX_EPOCH,
            unrevocable: None,
        }
    }

    async fn handles(ledger: &FileLedger) -> Vec<String> {
        ledger.outstanding().await.unwrap().into_iter().map(|credential| credential.handle).collect()
    }

    fn temporary() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials");
        (dir, path)
    }

    #[tokio::test]
    async fn what_is_not_settled_is_there_after_a_restart() {
        let (_dir, path) = temporary();
        let ledger = FileLedger::open(&path).unwrap();
        for handle in ["a", "b", "c"] {
            ledger.intend(credential(handle)).await.unwrap();
        }
        ledger.settle("b").await.unwrap();
        ledger.settle("never").await.unwrap();
        ledger.give_up("c", "upstream refuses").await.unwrap();
        assert_eq!(FileLedger::read(&path).unwrap(), ledger.outstanding().await.unwrap());
        drop(ledger);
        let ledger = FileLedger::open(&path).unwrap();
        assert_eq!(handles(&ledger).await, ["a", "c"]);
        let left = ledger.outstanding().await.unwrap();
        assert_eq!(left[1].unrevocable.as_deref(), Some("upstream refuses"));
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3, "it was compacted");
    }

    #[tokio::test]
    async fn a_line_that_was_not_finished_is_no_line() {
        let (_dir, path) = temporary();
        let ledger = FileLedger::open(&path).unwrap();
        ledger.intend(credential("a")).await.unwrap();
        drop(ledger);
        let whole = fs::read(&path).unwrap();
        for torn in [&b"{"[..], b"{\"op\":\"settle\",\"handle\":\"a\"}", b"\xff"] {
            fs::write(&path, [&whole, torn].concat()).unwrap();
            assert_eq!(FileLedger::read(&path).unwrap().len(), 1);
            let ledger = FileLedger::open(&path).unwrap();
            assert_eq!(handles(&ledger).await, ["a"]);
            ledger.intend(credential("b")).await.unwrap();
            assert_eq!(FileLedger::read(&path).unwrap().len(), 2, "what follows is whole");
        }
    }

    #[test]
    fn a_file_that_is_no_ledger_is_named_and_left_alone() {
        let (_dir, path) = temporary();
        let ledger = "{\"op\":\"ledger\",\"version\":1}\n";
        for (text, line) in [
            ("canary\n".to_owned(), 1),
            ("canary".to_owned(), 1),
            ("{\"op\":\"ledger\",\"version\":2}\n".to_owned(), 1),
            (format!("{ledger}{{\"op\":\"sing\"}}\n"), 2),
            (format!("{ledger}{ledger}"), 2),
            (format!("{ledger}{{\"op\":\"settle\",\"handle\":\"a\"}}\n\n"), 3),
        ] {
            fs::write(&path, &text).unwrap();
            let error = FileLedger::open(&path).unwrap_err().to_string();
            assert!(
                error.contains(path.to_str().unwrap()) && error.contains(&format!("line {line} ")),
                "{error}"
            );
            assert!(!error.contains("canary"));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn one_process_has_it_and_only_its_owner_reads_it() {
        let (_dir, path) = temporary();
        fs::write(&path, "").unwrap();
        let ledger = FileLedger::open(&path).unwrap();
        assert!(matches!(FileLedger::open(&path), Err(LedgerError::InUse(_))));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        drop(ledger);
        FileLedger::open(&path).unwrap();
        assert!(matches!(FileLedger::read(path.with_extension("not")), Err(LedgerError::File { .. })));
    }

    #[tokio::test]
    async fn a_ledger_that_lives_long_does_not_grow() {
        let (_dir, path) = temporary();
        let ledger = FileLedger::open(&path).unwrap();
        ledger.intend(credential("stays")).await.unwrap();
        {
            let mut state = ledger.0.lock().unwrap();
            state.dead = DEAD_LINES;
        }
        ledger.settle("a").await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2);
        ledger.intend(credential("b")).await.unwrap();
        drop(ledger);
        assert_eq!(FileLedger::read(&path).unwrap().len(), 2);
    }
}
