//! Files that hold secrets, and who else may read them.

use std::path::Path;

/// What to say of such a file if others may read it. Nothing of one that is not there: whoever reads it says so.
#[cfg(unix)]
pub(crate) fn warning(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    /// Reading, by whoever is neither the owner nor of the group.
    const BY_OTHERS: u32 = 0o004;
    let about = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    let path = path.display();
    (about.permissions().mode() & BY_OTHERS != 0)
        .then(|| format!("everybody on this machine may read {path}, which holds a secret: chmod 600 {path}"))
}

/// Who may read a file is told in other ways here.
#[cfg(not(unix))]
pub(crate) fn warning(_: &Path) -> Option<String> {
    None
}
