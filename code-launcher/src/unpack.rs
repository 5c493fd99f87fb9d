//! Layers to a directory, with a hostile image in mind.
//!
//! Every path is resolved below the root by the kernel (`openat2`, `RESOLVE_IN_ROOT`), so neither `..` nor a symbolic link
//! of an earlier entry leads out. Device nodes are refused, special mode bits dropped, sizes and counts bounded.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

use flate2::read::MultiGzDecoder;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat, mkdirat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};
use sha2::{Digest, Sha256};
use sidecar_http::services::APPLICATION_UID;
use tar::{Archive, Entry, EntryType};

use crate::LaunchError;

/// What an image may hold.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// Entries of one layer.
    pub entries: usize,
    /// Bytes of one layer, unpacked.
    pub bytes: u64,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            entries: 500_000,
            bytes: 16 << 30,
        }
    }
}

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Compression {
    None,
    Gzip,
}

impl Compression {
    pub(crate) fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar" => Some(Self::None),
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip" => Some(Self::Gzip),
            _ => None,
        }
    }
}

/// Unpacks a layer whose content must have this digest. After an error the directory is not to be used.
pub(crate) fn unpack_verified(
    layer: Box<dyn Read>,
    compression: Compression,
    diff_id: &str,
    root: &Path,
    caps: Caps,
) -> Result<(), LaunchError> {
    let clear: Box<dyn Read> = match compression {
        Compression::None => layer,
        Compression::Gzip => Box::new(MultiGzDecoder::new(layer)),
    };
    let mut hashed = Hashed {
        inner: clear.take(caps.bytes + 1),
        hasher: Sha256::new(),
        read: 0,
    };
    unpack(&mut hashed, root, caps)?;
    // What follows the archive's end is part of the digest.
    io::copy(&mut hashed, &mut io::sink()).map_err(|error| LaunchError::io("layer", error))?;
    if hashed.read > caps.bytes {
        return Err(refused("", "the layer is larger than this room accepts"));
    }
    let actual = format!("sha256:{}", hex::encode(hashed.hasher.finalize()));
    if actual == diff_id {
        Ok(())
    } else {
        Err(refused(
            "",
            &format!("the layer's content has digest {actual}, not {diff_id}"),
        ))
    }
}

struct Hashed<R> {
    inner: R,
    hasher: Sha256,
    read: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        self.read += count as u64;
        Ok(count)
    }
}

/// Applies one layer (a tar stream with OCI whiteouts) to a directory.
///
/// # Errors
/// The first entry that is hostile or not supported, by name.
pub fn unpack(layer: &mut dyn Read, root: &Path, caps: Caps) -> Result<(), LaunchError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = openat(AT_FDCWD, root, flags, Mode::empty())
        .map_err(|errno| LaunchError::io("the application's root", errno))?;
    let mut layer_paths = Made::default();
    let mut archive = Archive::new(layer);
    let entries = archive
        .entries()
        .map_err(|error| LaunchError::io("layer", error))?;
    for (count, entry) in entries.enumerate() {
        let mut entry = entry.map_err(|error| LaunchError::io("layer", error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if count >= caps.entries {
            return Err(refused(&name, "more entries than this room accepts"));
        }
        apply(&root, &mut entry, &name, &mut layer_paths)?;
    }
    Ok(())
}

fn refused(entry: &str, reason: &str) -> LaunchError {
    LaunchError::Layer {
        entry: entry.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The paths that the layer itself brought, and the directories above them. Its whiteouts hide lower layers only.
#[derive(Default)]
struct Made(HashSet<String>);

impl Made {
    fn insert(&mut self, parts: &[String]) {
        for end in 1..=parts.len() {
            self.0
                .insert(parts.get(..end).unwrap_or_default().join("/"));
        }
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains(path)
    }
}

/// What the application's user may do with a file of the image, whatever the file's owner was there: files belong to the
/// launcher here, so the application's rights are those of "others".
fn mode_for_application(header: &tar::Header) -> Mode {
    let mode = header.mode().unwrap_or(0o644);
    let is_application = |id: io::Result<u64>| id.is_ok_and(|id| id == u64::from(APPLICATION_UID));
    let effective = if is_application(header.uid()) {
        mode >> 6
    } else if is_application(header.gid()) {
        mode >> 3
    } else {
        mode
    };
    // Special bits would mean nothing under no_new_privs; they are dropped all the same.
    Mode::from_bits_truncate((mode & 0o770) | (effective & 0o7))
}

fn apply<R: Read>(
    root: &OwnedFd,
    entry: &mut Entry<'_, R>,
    name: &str,
    made: &mut Made,
) -> Result<(), LaunchError> {
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(());
    }
    let path = entry
        .path()
        .map_err(|error| refused(name, &error.to_string()))?
        .into_owned();
    let parts = normal(&path).ok_or_else(|| refused(name, "the path leaves the image"))?;
    let Some((last, parents)) = parts.split_last() else {
        // The root itself.
        return Ok(());
    };
    let failed = |errno: Errno| refused(name, &errno.to_string());
    let parent = make_parents(root, parents).map_err(failed)?;
    let prefix = parents.join("/");
    if *last == ".wh..wh..opq" {
        return empty(&parent, &prefix, made).map_err(|error| refused(name, &error.to_string()));
    }
    if let Some(gone) = last.strip_prefix(".wh.") {
        return whiteout(&parent, gone, &below(&prefix, gone), made)
            .map_err(|error| refused(name, &error.to_string()));
    }
    made.insert(&parts);
    let mode = mode_for_application(entry.header());
    match kind {
        EntryType::Directory => {
            match mkdirat(parent.as_fd(), last.as_str(), Mode::S_IRWXU) {
                Ok(()) => {}
                Err(Errno::EEXIST) => {
                    if open_directory(&parent, last).is_err() {
                        remove(&parent, last).map_err(|error| refused(name, &error.to_string()))?;
                        mkdirat(parent.as_fd(), last.as_str(), Mode::S_IRWXU).map_err(failed)?;
                    }
                }
                Err(errno) => return Err(failed(errno)),
            }
            // The owner is this process, which still has to write into it.
            fchmodat(
                parent.as_fd(),
                last.as_str(),
                mode | Mode::S_IRWXU,
                FchmodatFlags::FollowSymlink,
            )
            .map_err(failed)
        }
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            remove(&parent, last).map_err(|error| refused(name, &error.to_string()))?;
            let flags = OFlag::O_WRONLY
                | OFlag::O_CREAT
                | OFlag::O_EXCL
                | OFlag::O_NOFOLLOW
                | OFlag::O_CLOEXEC;
            let file = openat(
                parent.as_fd(),
                last.as_str(),
                flags,
                Mode::S_IRUSR | Mode::S_IWUSR,
            )
            .map_err(failed)?;
            let mut file = File::from(file);
            io::copy(entry, &mut file)
                .and_then(|_| file.flush())
                .map_err(|error| refused(name, &error.to_string()))?;
            fchmod(file.as_fd(), mode | Mode::S_IRUSR).map_err(failed)
        }
        EntryType::Symlink => {
            let target = link_target(entry, name)?;
            remove(&parent, last).map_err(|error| refused(name, &error.to_string()))?;
            symlinkat(target.as_str(), parent.as_fd(), last.as_str()).map_err(failed)
        }
        EntryType::Link => {
            let target = link_target(entry, name)?;
            let parts = normal(Path::new(&target))
                .ok_or_else(|| refused(name, "the link leaves the image"))?;
            let (source, folders) = parts
                .split_last()
                .ok_or_else(|| refused(name, "a link to the root"))?;
            let folder = resolve(root, folders).map_err(failed)?;
            remove(&parent, last).map_err(|error| refused(name, &error.to_string()))?;
            linkat(
                folder.as_fd(),
                source.as_str(),
                parent.as_fd(),
                last.as_str(),
                AtFlags::empty(),
            )
            .map_err(failed)
        }
        EntryType::Char | EntryType::Block | EntryType::Fifo => {
            Err(refused(name, "device nodes and pipes are refused"))
        }
        _ => Err(refused(name, "this kind of entry is not supported")),
    }
}

fn link_target<R: Read>(entry: &Entry<'_, R>, name: &str) -> Result<String, LaunchError> {
    let target = entry
        .link_name_bytes()
        .ok_or_else(|| refused(name, "a link without a target"))?;
    match std::str::from_utf8(&target) {
        Ok(text) if !text.is_empty() && !text.contains('\0') => Ok(text.to_owned()),
        _ => Err(refused(name, "the link's target is no text")),
    }
}

/// The names of a path, or `None` if it has `..` or is no text. A leading `/` means the image's root.
fn normal(path: &Path) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => names.push(name.to_str()?.to_owned()),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(names)
}

/// A directory below the root, whatever links say.
fn resolve(root: &OwnedFd, names: &[String]) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    let path = if names.is_empty() {
        ".".to_owned()
    } else {
        names.join("/")
    };
    openat2(root.as_fd(), path.as_str(), how)
}

fn make_parents(root: &OwnedFd, names: &[String]) -> Result<OwnedFd, Errno> {
    match resolve(root, names) {
        Ok(found) => Ok(found),
        Err(Errno::ENOENT) => {
            let Some((last, before)) = names.split_last() else {
                return Err(Errno::ENOENT);
            };
            let parent = make_parents(root, before)?;
            mkdirat(
                parent.as_fd(),
                last.as_str(),
                Mode::from_bits_truncate(0o755),
            )?;
            resolve(root, names)
        }
        Err(errno) => Err(errno),
    }
}

fn open_directory(parent: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(parent.as_fd(), name, flags, Mode::empty())
}

/// Removes what a name stands for, if anything.
fn remove(parent: &OwnedFd, name: &str) -> io::Result<()> {
    if name.is_empty() || name == "." || name == ".." || name.contains('/') {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    match unlinkat(parent.as_fd(), name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(Errno::EISDIR | Errno::EPERM) => {
            // The standard library's removal does not follow links that are swapped in.
            std::fs::remove_dir_all(format!("/proc/self/fd/{}/{name}", parent.as_raw_fd()))
        }
        Err(errno) => Err(errno.into()),
    }
}

fn below(prefix: &str, name: &str) -> String {
    if prefix.is_empty() {
        name.to_owned()
    } else {
        format!("{prefix}/{name}")
    }
}

/// Removes what lower layers brought under a name.
fn whiteout(parent: &OwnedFd, name: &str, path: &str, made: &Made) -> io::Result<()> {
    if !made.has(path) {
        return remove(parent, name);
    }
    match open_directory(parent, name) {
        Ok(directory) => empty(&directory, path, made),
        Err(_) => Ok(()),
    }
}

/// Removes what lower layers brought into a directory.
fn empty(directory: &OwnedFd, prefix: &str, made: &Made) -> io::Result<()> {
    for entry in std::fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
        if let Some(name) = entry?.file_name().to_str() {
            whiteout(directory, name, &below(prefix, name), made)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
