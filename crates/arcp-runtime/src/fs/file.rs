//! What is done at the end of a walk: every call is relative to the directory that the walk holds, and follows no link.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use super::walk::Place;
use super::{DirEntry, Fault, FileKind, Metadata, NOT_A_DIRECTORY, NOT_A_FILE, TOO_LARGE};

/// What an entry of a directory takes in memory beside its name, counted towards the limit.
const ENTRY_BYTES: u64 = size_of::<DirEntry>() as u64;

pub(super) fn read(place: &Place, max: u64) -> Result<Vec<u8>, Fault> {
    let (file, len) = open_file(place, OFlags::RDONLY)?;
    if len > max {
        return Err(too_large(max));
    }
    let mut contents = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    // It may grow meanwhile, and some files of the kernel's do not know their size.
    file.take(max.saturating_add(1)).read_to_end(&mut contents)?;
    if contents.len() as u64 > max {
        return Err(too_large(max));
    }
    Ok(contents)
}

pub(super) fn write(place: &Place, contents: &[u8]) -> Result<(), Fault> {
    let (mut file, len) = open_file(place, OFlags::WRONLY | OFlags::CREATE)?;
    if len > 0 {
        file.set_len(0)?; // not before it is known to be a file
    }
    Ok(file.write_all(contents)?)
}

pub(super) fn append(place: &Place, contents: &[u8]) -> Result<(), Fault> {
    let (mut file, _) = open_file(place, OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND)?;
    Ok(file.write_all(contents)?)
}

pub(super) fn create_dir(place: &Place) -> Result<(), Fault> {
    Ok(rustix::fs::mkdirat(place.dir(), place.name(), Mode::from_bits_truncate(0o777))?)
}

pub(super) fn remove(place: &Place) -> Result<(), Fault> {
    match rustix::fs::unlinkat(place.dir(), place.name(), AtFlags::empty()) {
        // What POSIX has systems say of directories, and what Linux says.
        Err(Errno::PERM | Errno::ISDIR) if stat(place)?.0 == FileKind::Dir => {
            Err(Fault::new(NOT_A_FILE, "a directory"))
        }
        removed => Ok(removed?),
    }
}

pub(super) fn list(place: &Place, max: u64) -> Result<Vec<DirEntry>, Fault> {
    if stat(place)?.0 != FileKind::Dir {
        return Err(Fault::new(NOT_A_DIRECTORY, "not a directory"));
    }
    let mut dir = Dir::new(open(place, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    while let Some(entry) = dir.read() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if matches!(name, b"." | b"..") {
            continue;
        }
        bytes += name.len() as u64 + ENTRY_BYTES;
        if bytes > max {
            return Err(too_large(max));
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                match rustix::fs::statat(dir.fd()?, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => kind_of(&stat),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
            known => kind(known),
        };
        entries.push(DirEntry { name: OsStr::from_bytes(name).to_owned(), kind });
    }
    entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

pub(super) fn metadata(place: &Place) -> Result<Metadata, Fault> {
    let (kind, stat) = stat(place)?;
    let modified = Duration::new(
        u64::try_from(stat.st_mtime).unwrap_or(0), // what is older than 1970 was not written by anybody
        u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    );
    Ok(Metadata { kind, len: length(&stat), modified: SystemTime::UNIX_EPOCH.checked_add(modified) })
}

/// Opens what must be a regular file, and tells its length. What is none is not opened: to open a device is to do something with
/// it, and a pipe may keep whoever opens it waiting. Should it become one in between, it is opened without waiting, and closed.
fn open_file(place: &Place, flags: OFlags) -> Result<(File, u64), Fault> {
    match stat(place) {
        Ok((FileKind::File, _)) => {}
        Ok((found, _)) => return Err(not_a_file(found)),
        Err(Fault::Failed(super::NOT_FOUND, _)) if flags.contains(OFlags::CREATE) => {}
        Err(fault) => return Err(fault),
    }
    let file = open(place, flags | OFlags::NONBLOCK | OFlags::NOCTTY)?;
    let stat = rustix::fs::fstat(&file)?;
    match kind_of(&stat) {
        FileKind::File => Ok((File::from(file), length(&stat))),
        found => Err(not_a_file(found)),
    }
}

fn open(place: &Place, flags: OFlags) -> Result<OwnedFd, Fault> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(place.dir(), place.name(), flags, Mode::from_bits_truncate(0o666)) {
        Ok(file) => Ok(file),
        Err(Errno::LOOP) => Err(Fault::Changed),
        Err(Errno::NOTDIR) if flags.contains(OFlags::DIRECTORY) => Err(Fault::Changed), // it was one just now
        Err(error) => Err(error.into()),
    }
}

fn stat(place: &Place) -> Result<(FileKind, Stat), Fault> {
    let stat = rustix::fs::statat(place.dir(), place.name(), AtFlags::SYMLINK_NOFOLLOW)?;
    match kind_of(&stat) {
        FileKind::Link => Err(Fault::Changed),
        kind => Ok((kind, stat)),
    }
}

fn length(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn kind_of(stat: &Stat) -> FileKind {
    kind(FileType::from_raw_mode(stat.st_mode))
}

fn kind(kind: FileType) -> FileKind {
    match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Dir,
        FileType::Symlink => FileKind::Link,
        _ => FileKind::Other,
    }
}

fn not_a_file(found: FileKind) -> Fault {
    match found {
        FileKind::Dir => Fault::new(NOT_A_FILE, "a directory"),
        _ => Fault::new(NOT_A_FILE, "a device, a pipe or a socket"),
    }
}

fn too_large(max: u64) -> Fault {
    Fault::new(TOO_LARGE, format!("more than {max} bytes"))
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        std::io::Error::from(errno).into()
    }
}
