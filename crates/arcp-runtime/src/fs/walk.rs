//! The way from the root to a file, without the kernel following a link. Nothing here knows of grants: the walk says where it
//! has come to, and its caller whether that is allowed.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

/// How many links are followed, as in Linux.
const MAX_LINKS: u32 = 40;

/// How deep a directory may be, since every one on the way is held open.
const MAX_DEPTH: usize = 256;

/// What becomes of a link that the whole path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Last {
    /// It is followed, as those before it are.
    Followed,
    /// It is what the operation is about.
    Itself,
}

/// Where a walk has ended: a directory, held open, and a name in it. There need not be anything of this name.
#[derive(Debug)]
pub(super) struct Place {
    dir: OwnedFd,
    name: String,
    real: String,
}

impl Place {
    /// The directory.
    pub(super) fn dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// The name in it, or `.` for the directory itself.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The path from the root, without a link.
    pub(super) fn real(&self) -> &str {
        &self.real
    }
}

/// Why a walk has not come to an end.
#[derive(Debug)]
pub(super) enum Lost {
    /// The path is relative, or has a part that is none.
    NotCanonical,
    /// A link goes where no grant could follow: its text is not UTF-8, or goes down and up again, which would tell whether there
    /// is something on the way.
    Outside,
    /// The operating system says so.
    Failed {
        /// Whether a link was followed. If not, the walk has not left the path that was asked for.
        links: bool,
        /// Where the way would have ended.
        to: String,
        /// What it says.
        error: io::Error,
    },
}

/// Walks to what an absolute path leads to.
pub(super) fn walk(path: &str, last: Last) -> Result<Place, Lost> {
    let mut walk = Walk::start(path)?;
    loop {
        if let Step::End(name) = walk.step(last)? {
            return Ok(walk.arrive(name));
        }
    }
}

enum Step {
    /// There is more to walk.
    On,
    /// At this name in the directory that was reached, or at the directory itself.
    End(Option<String>),
}

struct Walk {
    root: OwnedFd,
    /// Below the root, each opened in the one before it.
    held: Vec<(String, OwnedFd)>,
    /// The names that are still to come, the last one first.
    rest: Vec<String>,
    links: u32,
}

impl Walk {
    fn start(path: &str) -> Result<Self, Lost> {
        let names = path.strip_prefix('/').ok_or(Lost::NotCanonical)?;
        let mut rest: Vec<String> = Vec::new();
        if !names.is_empty() {
            rest.extend(names.split('/').rev().map(str::to_owned));
        }
        let odd = |name: &String| matches!(name.as_str(), "" | "." | "..") || name.contains('\0');
        if rest.iter().any(odd) {
            return Err(Lost::NotCanonical);
        }
        match rustix::fs::open("/", directory(), Mode::empty()) {
            Ok(root) => Ok(Self { root, held: Vec::new(), rest, links: 0 }),
            Err(error) => Err(Lost::Failed { links: false, to: path.to_owned(), error: error.into() }),
        }
    }

    /// One name further.
    fn step(&mut self, last: Last) -> Result<Step, Lost> {
        let Some(name) = self.rest.pop() else { return Ok(Step::End(None)) };
        if name == ".." {
            self.held.pop();
            return Ok(Step::On);
        }
        let is_last = self.rest.is_empty();
        if is_last && last == Last::Itself {
            return Ok(Step::End(Some(name)));
        }
        match rustix::fs::readlinkat(self.dir(), &name, Vec::new()) {
            Ok(target) => {
                let target = target.into_string().map_err(|_| Lost::Outside)?;
                return self.follow(name, &target).map(|()| Step::On);
            }
            Err(Errno::INVAL) if is_last => return Ok(Step::End(Some(name))), // there, and no link
            Err(Errno::NOENT) if is_last => return Ok(Step::End(Some(name))),
            Err(Errno::INVAL) => {}
            Err(error) => return Err(self.lost(&name, error)),
        }
        if self.held.len() == MAX_DEPTH {
            return Err(self.lost(&name, Errno::NAMETOOLONG));
        }
        match rustix::fs::openat(self.dir(), &name, directory() | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => self.held.push((name, fd)),
            Err(Errno::LOOP | Errno::NOTDIR) if self.is_link(&name) => self.again(name)?,
            Err(error) => return Err(self.lost(&name, error)),
        }
        Ok(Step::On)
    }

    fn follow(&mut self, name: String, target: &str) -> Result<(), Lost> {
        self.count(&name)?;
        let names = || target.split('/').filter(|name| !matches!(*name, "" | "."));
        if names().skip_while(|name| *name == "..").any(|name| name == "..") {
            return Err(Lost::Outside);
        }
        if target.starts_with('/') {
            self.held.clear();
        }
        self.rest.extend(names().rev().map(str::to_owned));
        Ok(())
    }

    /// What was no link has become one.
    fn again(&mut self, name: String) -> Result<(), Lost> {
        self.count(&name)?;
        self.rest.push(name);
        Ok(())
    }

    fn count(&mut self, name: &str) -> Result<(), Lost> {
        self.links += 1;
        if self.links > MAX_LINKS { Err(self.lost(name, Errno::LOOP)) } else { Ok(()) }
    }

    fn is_link(&self, name: &str) -> bool {
        rustix::fs::statat(self.dir(), name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    fn dir(&self) -> &OwnedFd {
        self.held.last().map_or(&self.root, |(_, dir)| dir)
    }

    /// The path to a name in the directory that was reached.
    fn path(&self, name: &str) -> String {
        let names = self.held.iter().map(|(name, _)| name.as_str()).chain([name]);
        names.filter(|name| !name.is_empty()).fold(String::new(), |path, name| path + "/" + name)
    }

    fn arrive(mut self, name: Option<String>) -> Place {
        let mut real = self.path(name.as_deref().unwrap_or_default());
        if real.is_empty() {
            real.push('/');
        }
        let dir = self.held.pop().map_or(self.root, |(_, dir)| dir);
        Place { dir, name: name.unwrap_or_else(|| ".".to_owned()), real }
    }

    fn lost(&self, name: &str, error: Errno) -> Lost {
        let rest = self.rest.iter().rev(); // without a `..`, since those are first in a link
        let to = rest.fold(self.path(name), |to, name| to + "/" + name);
        Lost::Failed { links: self.links > 0, to, error: error.into() }
    }
}

/// How directories on the way are opened: where the system can, without the permission to read them.
fn directory() -> OFlags {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let access = OFlags::PATH;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let access = OFlags::RDONLY;
    access | OFlags::DIRECTORY | OFlags::CLOEXEC
}
