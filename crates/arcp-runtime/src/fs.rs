//! Files under the lease of a job (§9.2): `fs.read` and `fs.write`.
//!
//! A path is granted twice: as it is written, and as what it is once every symbolic link in it has been followed. A link to
//! another granted place works, one that leads anywhere else is denied, and the refusal is the same whether there is
//! something at its end or not. Where a grant is to name a place that is reached by a link, such as `/tmp` on systems where
//! that leads to `/private/tmp`, the lease must grant both.
//!
//! The file that was checked is the file that is opened: the way to it is walked from the root, one name after the other, each
//! relative to a directory that is held open, and the kernel is never asked to follow a link. Whoever swaps a directory for a
//! link meanwhile changes what is found, and never what is allowed.
//!
//! What no path can tell is not told: a hard link inside of a grant to a file outside is that file, and what is mounted inside
//! of a grant is inside.

mod file;
mod walk;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::SystemTime;

use arcp_core::lease::Denied;
use arcp_proto::{CallId, Json, namespace};
use serde_json::json;

use crate::agent_error::AgentError;
use crate::context::JobContext;
use crate::operation::{OperationError, ok};
use walk::{Last, Lost, Place};

/// The code in which an operation fails that is about something that is not there.
pub const NOT_FOUND: &str = "NOT_FOUND";
/// The code in which an operation fails that would create what is there already.
pub const ALREADY_EXISTS: &str = "ALREADY_EXISTS";
/// The code in which an operation on a file fails that finds something else: a directory, a device, a pipe, a socket.
pub const NOT_A_FILE: &str = "NOT_A_FILE";
/// The code in which an operation fails that finds something else where a directory should be.
pub const NOT_A_DIRECTORY: &str = "NOT_A_DIRECTORY";
/// The code in which an operation fails that would take more memory than it may.
pub const TOO_LARGE: &str = "TOO_LARGE";
/// The code in which an operation fails for any other reason of the operating system's.
pub const IO_ERROR: &str = "IO_ERROR";

/// What is read at most, if nothing is said.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// How often a path is walked anew when what was found is not there any more.
const ATTEMPTS: u32 = 64;

/// The files that a job may use; see [`JobContext::fs`].
///
/// Every operation emits `tool_call` with the path and `tool_result` with sizes, never with contents, and a refusal is told
/// likewise. An operation that the lease does not allow is [`OperationError::Denied`]; one that fails is
/// [`OperationError::Failed`] with one of the codes of [this module](self).
///
/// Paths are absolute and have no `..`. Files are read and written on threads that may block. Dropping the future of an
/// operation gives up waiting for it: it may still be done, a write included, and there is no `tool_result` then.
#[derive(Clone, Copy, Debug)]
pub struct Fs<'a> {
    ctx: &'a JobContext,
    max_bytes: u64,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Dir,
    /// A symbolic link. Only directories have these; any other operation follows them.
    Link,
    /// A device, a pipe or a socket, which cannot be read or written here.
    Other,
}

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    name: OsString,
    kind: FileKind,
}

impl DirEntry {
    /// Its name, which need not be UTF-8. What is under one that is not cannot be granted and so not be opened.
    pub fn name(&self) -> &OsStr {
        &self.name
    }

    /// What it is; a link is not followed.
    pub fn kind(&self) -> FileKind {
        self.kind
    }
}

/// What is known of a file without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    kind: FileKind,
    len: u64,
    modified: Option<SystemTime>,
}

impl Metadata {
    /// What it is; never [`FileKind::Link`].
    pub fn kind(&self) -> FileKind {
        self.kind
    }

    /// Its size in bytes; of no use for anything but a file.
    #[allow(clippy::len_without_is_empty, reason = "the length of a file, not of this")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// When its contents were last changed, if the system can say so.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }
}

impl JobContext {
    /// The files that the job's lease grants (§9.2).
    pub fn fs(&self) -> Fs<'_> {
        Fs { ctx: self, max_bytes: MAX_BYTES }
    }
}

impl Fs<'_> {
    /// How many bytes a file that is read may have, and the names in a directory that is listed; 64 MiB if nothing is said.
    /// Of what is longer nothing is given.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: u64) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Reads a file (`fs.read`).
    ///
    /// # Errors
    /// See [`Fs`]. [`TOO_LARGE`] before memory is taken for what is above [`max_bytes`](Self::max_bytes).
    pub async fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, OperationError> {
        let max = self.max_bytes;
        let read = move |place: &Place| file::read(place, max);
        let shown = |bytes: &Vec<u8>| size(bytes.len());
        self.act(namespace::FS_READ, "read", path.as_ref(), Last::Followed, read, shown).await
    }

    /// Reads a file that is text (`fs.read`).
    ///
    /// # Errors
    /// Those of [`read`](Self::read); [`IO_ERROR`] when it is not UTF-8.
    pub async fn read_to_string(&self, path: impl AsRef<Path>) -> Result<String, OperationError> {
        let max = self.max_bytes;
        let read = move |place: &Place| {
            String::from_utf8(file::read(place, max)?).map_err(|_| Fault::new(IO_ERROR, "not UTF-8"))
        };
        let shown = |text: &String| size(text.len());
        self.act(namespace::FS_READ, "read", path.as_ref(), Last::Followed, read, shown).await
    }

    /// Writes a file (`fs.write`), which is created if it is not there, in a directory that must be; what was in it is gone.
    ///
    /// # Errors
    /// See [`Fs`]. A write that fails on its way leaves what it has written.
    pub async fn write(
        &self,
        path: impl AsRef<Path>,
        contents: impl Into<Vec<u8>>,
    ) -> Result<(), OperationError> {
        self.put("write", path.as_ref(), contents.into(), file::write).await
    }

    /// Writes to the end of a file (`fs.write`), which is created if it is not there, in a directory that must be.
    ///
    /// # Errors
    /// See [`Fs`]. A write that fails on its way leaves what it has written.
    pub async fn append(
        &self,
        path: impl AsRef<Path>,
        contents: impl Into<Vec<u8>>,
    ) -> Result<(), OperationError> {
        self.put("append", path.as_ref(), contents.into(), file::append).await
    }

    /// Creates a directory (`fs.write`) in one that must be there.
    ///
    /// # Errors
    /// See [`Fs`]. [`ALREADY_EXISTS`] when there is anything of this name, be it a link that leads nowhere.
    pub async fn create_dir(&self, path: impl AsRef<Path>) -> Result<(), OperationError> {
        let (capability, path) = (namespace::FS_WRITE, path.as_ref());
        self.act(capability, "create_dir", path, Last::Itself, file::create_dir, |()| ok()).await
    }

    /// Removes a file (`fs.write`) or whatever else has this name and is no directory; of a link, the link.
    ///
    /// # Errors
    /// See [`Fs`]. [`NOT_A_FILE`] for a directory.
    pub async fn remove_file(&self, path: impl AsRef<Path>) -> Result<(), OperationError> {
        let (capability, path) = (namespace::FS_WRITE, path.as_ref());
        self.act(capability, "remove_file", path, Last::Itself, file::remove, |()| ok()).await
    }

    /// Lists a directory (`fs.read` of the directory itself), ordered by name. Who may list a directory sees the names of all
    /// that is in it, granted or not.
    ///
    /// # Errors
    /// See [`Fs`]. [`TOO_LARGE`] when the names come to more than [`max_bytes`](Self::max_bytes).
    pub async fn list(&self, path: impl AsRef<Path>) -> Result<Vec<DirEntry>, OperationError> {
        let max = self.max_bytes;
        let list = move |place: &Place| file::list(place, max);
        let shown = |entries: &Vec<DirEntry>| Json::from(json!({ "ok": true, "entries": entries.len() }));
        self.act(namespace::FS_READ, "list", path.as_ref(), Last::Followed, list, shown).await
    }

    /// What is known of a file or a directory without reading it (`fs.read`).
    ///
    /// # Errors
    /// See [`Fs`].
    pub async fn metadata(&self, path: impl AsRef<Path>) -> Result<Metadata, OperationError> {
        let (capability, path) = (namespace::FS_READ, path.as_ref());
        self.act(capability, "metadata", path, Last::Followed, file::metadata, |_| ok()).await
    }

    /// Puts all of `contents` into a file.
    async fn put(
        &self,
        operation: &str,
        path: &Path,
        contents: Vec<u8>,
        put: fn(&Place, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), OperationError> {
        let bytes = contents.len();
        let put = move |place: &Place| put(place, &contents);
        self.act(namespace::FS_WRITE, operation, path, Last::Followed, put, |()| size(bytes)).await
    }

    /// Tells, checks, walks, checks where the walk has ended, acts there, tells.
    async fn act<T: Send + 'static>(
        &self,
        capability: &'static str,
        operation: &str,
        path: &Path,
        last: Last,
        act: impl Fn(&Place) -> Result<T, Fault> + Send + 'static,
        shown: impl FnOnce(&T) -> Json,
    ) -> Result<T, OperationError> {
        let text = path.to_string_lossy();
        let args = Json::from(json!({ "operation": operation, "target": text }));
        let written = path.to_str().is_some();
        let run = async |target: String, _: &CallId| {
            if !written {
                return Err(bad_target(capability, "not UTF-8").into());
            }
            let ctx = self.ctx.clone();
            let work = move || attempt(&ctx, capability, &target, last, act);
            self.ctx.driver().executor().spawn_blocking(work).await.unwrap_or_else(|_| {
                Err(OperationError::Failed(AgentError::new(IO_ERROR, "operation was not brought to its end")))
            })
        };
        self.ctx.operate(capability, &text, capability, args, run, shown).await
    }
}

/// Why nothing was done at a place.
enum Fault {
    /// What was found is not there any more, or has become a link.
    Changed,
    /// The code, and a sentence for people.
    Failed(&'static str, String),
}

impl Fault {
    fn new(code: &'static str, message: impl ToString) -> Self {
        Self::Failed(code, message.to_string())
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let code = match error.kind() {
            ErrorKind::NotFound => NOT_FOUND,
            ErrorKind::AlreadyExists => ALREADY_EXISTS,
            ErrorKind::NotADirectory => NOT_A_DIRECTORY,
            ErrorKind::IsADirectory => NOT_A_FILE,
            _ => IO_ERROR,
        };
        Self::new(code, error.kind())
    }
}

fn attempt<T>(
    ctx: &JobContext,
    capability: &str,
    path: &str,
    last: Last,
    act: impl Fn(&Place) -> Result<T, Fault>,
) -> Result<T, OperationError> {
    let failed =
        |code: &str, text: &str| OperationError::Failed(AgentError::new(code, format!("{path}: {text}")));
    let led_out = || bad_target(capability, "a symbolic link leads out of what is granted");
    // What is granted by its name alone need not be what is there: the answer must not tell what lies outside.
    let allow = |real: &str| match ctx.authorize(capability, real) {
        Ok(canonical) if canonical == real => Ok(()),
        Ok(_) | Err(Denied::NotGranted { .. } | Denied::BadTarget { .. }) => Err(led_out()),
        Err(denied) => Err(denied),
    };
    for _ in 0..ATTEMPTS {
        match walk::walk(path, last) {
            Ok(place) => {
                allow(place.real())?;
                match act(&place) {
                    Ok(output) => return Ok(output),
                    Err(Fault::Changed) => {}
                    Err(Fault::Failed(code, text)) => return Err(failed(code, &text)),
                }
            }
            Err(Lost::NotCanonical) => return Err(bad_target(capability, "not a canonical path").into()),
            Err(Lost::Outside) => return Err(led_out().into()),
            Err(Lost::Failed { links, to, error }) => {
                if links {
                    allow(&to)?;
                }
                let Fault::Failed(code, text) = Fault::from(error) else { continue };
                return Err(failed(code, &text));
            }
        }
    }
    Err(failed(IO_ERROR, "changed all the time"))
}

fn bad_target(capability: &str, problem: &str) -> Denied {
    Denied::BadTarget { capability: capability.to_owned(), problem: problem.to_owned() }
}

fn size(bytes: usize) -> Json {
    Json::from(json!({ "ok": true, "bytes": bytes }))
}
