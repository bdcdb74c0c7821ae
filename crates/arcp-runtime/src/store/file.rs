//! What stores and ledgers in files have in common: files that are their owner's alone, and locks that keep others out.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// How a file is opened that is to be readable by its owner only, if it is made.
pub fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Keeps everybody else out, in this process and in others, until it is dropped.
///
/// The file stays: whoever removed it could remove another one's.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Takes the lock in the file at `path`, which is made if there is none. `None` if somebody has it. Does not wait.
    ///
    /// # Errors
    /// When the file cannot be made, or its system knows no locks.
    pub fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let file = owner_only().create(true).append(true).open(path)?;
        match fs4::FileExt::try_lock(&file) {
            Ok(()) => Ok(Some(Self(file))),
            Err(fs4::TryLockError::WouldBlock) => Ok(None),
            Err(fs4::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for FileLock {
    /// To close the file is not enough: a process that is just being started has it too.
    fn drop(&mut self) {
        _ = fs4::FileExt::unlock(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let first = FileLock::acquire(&path).unwrap().unwrap();
        assert!(FileLock::acquire(&path).unwrap().is_none());
        drop(first);
        assert!(FileLock::acquire(&path).unwrap().is_some());
        assert!(FileLock::acquire(directory.path()).is_err());
    }
}
