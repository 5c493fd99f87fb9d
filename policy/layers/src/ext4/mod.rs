//! The reference's ext4 image, written front to back.
//!
//! Content goes to the device as it comes. What describes it is kept and written after the last entry: directories, inodes,
//! bitmaps. Only blocks at the start and attribute blocks change after they have been passed; the device replaces those.

mod directory;
mod extent;
mod finish;
mod groups;
mod inode;
mod order;
mod path;
mod time;
mod tree;
mod xattr;

use self::extent::Run;
use self::inode::{Content, Directory, Inode, Times, device_number};
pub(crate) use self::path::components;
use self::tree::{Place, check_name, impossible, not_a_directory, replaces};
use self::xattr::Xattrs;
use crate::device::{Device, Sink};
use crate::error::shown;
use crate::tar::Time;
use crate::{LayerError, Limits};

const ROOT: u32 = 2;
const LINKS: u32 = 65_000;
/// Longest target of a symbolic link that is kept in the inode.
const SHORT_TARGET: usize = 59;

/// What kind of inode an entry makes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Regular,
    Directory,
    Symlink,
    Character,
    Block,
    Fifo,
}

/// What an entry says of its inode.
#[derive(Debug)]
pub(crate) struct Attributes {
    pub(crate) kind: Kind,
    /// Permissions; type bits are replaced by the kind's.
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) atime: Option<Time>,
    pub(crate) mtime: Option<Time>,
    pub(crate) ctime: Option<Time>,
    /// Target of a symbolic link.
    pub(crate) target: Vec<u8>,
    pub(crate) device: (u32, u32),
    pub(crate) xattrs: Xattrs,
}

/// Builds an image.
#[derive(Debug)]
pub(crate) struct Ext4<S> {
    device: Device<S>,
    limits: Limits,
    /// By number, from the root (2) on; 3 to 10 are not used and not here.
    inodes: Vec<Inode>,
    /// Bytes of directories' attributes in memory.
    attributes: u64,
}

impl<S: Sink> Ext4<S> {
    pub(crate) fn new(sink: S, limits: Limits) -> Result<Self, LayerError> {
        let mut device = Device::new(sink, limits);
        device.zeros(1 + groups::DESCRIPTOR_BLOCKS)?;
        let directory = |mode: u16| Inode {
            mode: inode::DIRECTORY | mode,
            uid: 0,
            gid: 0,
            links: 2,
            size: 0,
            times: Times::default(),
            blocks: 0,
            xattr_block: 0,
            xattrs: Vec::new(),
            content: Content::Directory(Box::default()),
        };
        let mut root = directory(0o755);
        root.links = 3;
        if let Some(root) = root.directory_mut() {
            root.children
                .insert(b"lost+found".as_slice().into(), groups::FIRST_INODE);
        }
        Ok(Self {
            device,
            limits,
            inodes: vec![root, directory(0o700)],
            attributes: 0,
        })
    }

    /// Makes the missing directories above a path; each is as its parent is now.
    pub(crate) fn make_parents(&mut self, path: &[u8]) -> Result<(), LayerError> {
        let components = components(path);
        let Some((_, parents)) = components.split_last() else {
            return Ok(());
        };
        let mut at = ROOT;
        for name in parents {
            at = match self.child(at, name, path)? {
                Some(child) => child,
                None => {
                    let parent = self.inode(at)?;
                    let times = parent.times;
                    let child = Inode {
                        mode: parent.mode,
                        uid: parent.uid,
                        gid: parent.gid,
                        links: 2,
                        size: 0,
                        times: inherited(times),
                        blocks: 0,
                        xattr_block: 0,
                        xattrs: Vec::new(),
                        content: Content::Directory(Box::default()),
                    };
                    self.insert(
                        &Place {
                            directory: at,
                            name,
                        },
                        child,
                        path,
                    )?
                }
            };
        }
        Ok(())
    }

    /// Makes or updates what a path names and returns its inode's number; content is written next.
    pub(crate) fn create(
        &mut self,
        path: &[u8],
        attributes: Attributes,
    ) -> Result<u32, LayerError> {
        let components = components(path);
        let place = self.place(&components, path)?;
        let existing = match &place {
            None => Some(ROOT),
            Some(place) => self.child(place.directory, place.name, path)?,
        };
        let mut new = Inode::of(&attributes);
        let Some(existing) = existing else {
            let place = place.ok_or_else(|| impossible(path))?;
            let number = self.insert(&place, new, path)?;
            self.write_xattrs(number, attributes.xattrs, path)?;
            self.write_target(number, &attributes.target)?;
            return Ok(number);
        };
        let old = self.inode_mut(existing)?;
        match (
            old.directory().is_some(),
            attributes.kind == Kind::Directory,
        ) {
            (true, false) => {
                return Err(replaces(path, "a directory cannot be replaced by a file"));
            }
            (false, true) => {
                return Err(replaces(path, "a file cannot be replaced by a directory"));
            }
            (false, false) if old.links > 1 => {
                old.links -= 1;
                let place = place.ok_or_else(|| impossible(path))?;
                let number = self.insert(&place, new, path)?;
                self.write_xattrs(number, attributes.xattrs, path)?;
                self.write_target(number, &attributes.target)?;
                return Ok(number);
            }
            _ if matches!(old.content, Content::Data(_)) => {
                return Err(replaces(path, "a file that has content cannot be replaced"));
            }
            _ => {}
        }
        // Number, links, children and blocks stay; so do attributes in the inode that the new entry does not name.
        new.links = old.links;
        new.blocks = old.blocks;
        new.xattr_block = old.xattr_block;
        if let Content::Directory(directory) = &mut old.content {
            new.content = Content::Directory(std::mem::take(directory));
        }
        let mut xattrs = attributes.xattrs;
        for (name, value) in std::mem::take(&mut old.xattrs) {
            xattrs.entry(name).or_insert(value);
        }
        *old = new;
        self.write_xattrs(existing, xattrs, path)?;
        self.write_target(existing, &attributes.target)?;
        Ok(existing)
    }

    /// Marks a directory opaque; everything else about it stays.
    pub(crate) fn make_opaque(&mut self, path: &[u8]) -> Result<(), LayerError> {
        let components = components(path);
        let number = match self.place(&components, path)? {
            None => Some(ROOT),
            Some(place) => self.child(place.directory, place.name, path)?,
        };
        let number = number.ok_or_else(|| impossible(path))?;
        let inode = self.inode_mut(number)?;
        inode.times = inherited(inode.times);
        let mut xattrs: Xattrs = std::mem::take(&mut inode.xattrs).into_iter().collect();
        let directory = inode.directory_mut().ok_or_else(|| not_a_directory(path))?;
        xattrs.extend(std::mem::take(&mut directory.block_xattrs));
        xattrs.insert(b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
        self.write_xattrs(number, xattrs, path)
    }

    /// Makes a hard link to what `target` names now.
    pub(crate) fn link(&mut self, target: &[u8], path: &[u8]) -> Result<(), LayerError> {
        let refused = |reason| LayerError::HardLink {
            entry: shown(path),
            target: shown(target),
            reason,
        };
        let new = components(path);
        let place = self
            .place(&new, path)?
            .ok_or_else(|| refused("the root is a directory"))?;
        let replaced = self.child(place.directory, place.name, path)?;
        if let Some(replaced) = replaced {
            let inode = self.inode(replaced)?;
            if inode.directory().is_some() || inode.links < 2 {
                return Err(refused(
                    "it would replace the only name of a file or directory",
                ));
            }
        }
        let missing = || refused("there is no such file before it");
        let old = components(target);
        let old = self
            .place(&old, target)?
            .ok_or_else(|| refused("the target is a directory"))?;
        let number = self
            .child(old.directory, old.name, target)?
            .ok_or_else(missing)?;
        let inode = self.inode_mut(number)?;
        if inode.directory().is_some() {
            return Err(refused("the target is a directory"));
        }
        if inode.links >= LINKS && replaced != Some(number) {
            return Err(LayerError::Links { entry: shown(path) });
        }
        inode.links += 1;
        if let Some(replaced) = replaced {
            self.inode_mut(replaced)?.links -= 1;
        }
        let Place { directory, name } = place;
        check_name(name, path)?;
        let directory = self
            .inode_mut(directory)?
            .directory_mut()
            .ok_or_else(|| not_a_directory(path))?;
        directory.children.insert(name.into(), number);
        Ok(())
    }

    /// Writes a file's content through `write`; the file was created just before.
    pub(crate) fn write_content(
        &mut self,
        number: u32,
        size: u64,
        path: &[u8],
        write: impl FnOnce(&mut Device<S>) -> Result<(), LayerError>,
    ) -> Result<(), LayerError> {
        if size == 0 {
            return Ok(());
        }
        if size > extent::LARGEST {
            return Err(LayerError::TooLarge {
                entry: shown(path),
                what: "the file",
            });
        }
        let first = self.device.next();
        write(&mut self.device)?;
        let run = Run::end(&mut self.device, first)?;
        let inode = self.inode_mut(number)?;
        inode.size = size;
        inode.blocks = inode.blocks.saturating_add(run.allocated());
        inode.content = Content::Data(run);
        Ok(())
    }

    fn write_target(&mut self, number: u32, target: &[u8]) -> Result<(), LayerError> {
        if target.len() <= SHORT_TARGET {
            return Ok(());
        }
        let size = target.len() as u64;
        self.write_content(number, size, target, |device| device.append(target))
    }

    /// Puts attributes into the inode and, as far as they do not fit, into its attribute block.
    fn write_xattrs(&mut self, number: u32, xattrs: Xattrs, path: &[u8]) -> Result<(), LayerError> {
        let placed = xattr::place(xattrs).map_err(|name| LayerError::Xattr {
            entry: shown(path),
            name: shown(&name),
        })?;
        let next = self.device.next();
        let inode = self.inode_mut(number)?;
        inode.xattrs = placed.inline;
        let has_block = inode.xattr_block != 0;
        if placed.block.is_empty() && !has_block {
            return Ok(());
        }
        if !has_block {
            inode.xattr_block = next;
            inode.blocks = inode.blocks.saturating_add(1);
        }
        let index = inode.xattr_block;
        let block = xattr::block(&placed.block);
        if let Some(directory) = inode.directory_mut() {
            directory.block_xattrs = placed.block;
            if !has_block {
                self.attributes = self.attributes.saturating_add(crate::device::BLOCK as u64);
                self.limits.attributes(self.attributes)?;
            }
        }
        if has_block {
            return self.device.replace(index, &block);
        }
        self.device.append(&block)
    }
}

impl Inode {
    fn of(attributes: &Attributes) -> Self {
        let kind = match attributes.kind {
            Kind::Regular => inode::REGULAR,
            Kind::Directory => inode::DIRECTORY,
            Kind::Symlink => inode::SYMLINK | 0o777,
            Kind::Character => inode::CHARACTER,
            Kind::Block => inode::BLOCK_DEVICE,
            Kind::Fifo => inode::FIFO,
        };
        let target = &attributes.target;
        let (size, content) = match attributes.kind {
            Kind::Regular | Kind::Fifo => (0, Content::Nothing),
            Kind::Directory => (0, Content::Directory(Box::<Directory>::default())),
            Kind::Character | Kind::Block => (0, Content::Device(device_number(attributes.device))),
            Kind::Symlink if target.len() > SHORT_TARGET => (0, Content::Nothing),
            Kind::Symlink => (
                target.len() as u64,
                Content::Target(target.as_slice().into()),
            ),
        };
        Self {
            mode: attributes.mode & 0xfff | kind,
            uid: attributes.uid,
            gid: attributes.gid,
            links: if attributes.kind == Kind::Directory {
                2
            } else {
                1
            },
            size,
            times: Times {
                access: time::encode(attributes.atime),
                change: time::encode(attributes.ctime),
                modification: time::encode(attributes.mtime),
                creation: time::encode(attributes.mtime),
            },
            blocks: 0,
            xattr_block: 0,
            xattrs: Vec::new(),
            content,
        }
    }
}

fn inherited(times: Times) -> Times {
    Times {
        access: time::inherited(times.access),
        change: time::inherited(times.change),
        modification: time::inherited(times.modification),
        creation: time::inherited(times.creation),
    }
}
