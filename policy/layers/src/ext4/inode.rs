//! Files and directories, and the 256 bytes on the device that describe each.

use std::collections::BTreeMap;

use super::extent::{ROOT, Run};
use super::xattr::{self, put};

/// Bytes of an inode on the device.
pub(super) const SIZE: usize = 256;

pub(super) const REGULAR: u16 = 0x8000;
pub(super) const DIRECTORY: u16 = 0x4000;
pub(super) const SYMLINK: u16 = 0xa000;
pub(super) const CHARACTER: u16 = 0x2000;
pub(super) const BLOCK_DEVICE: u16 = 0x6000;
pub(super) const FIFO: u16 = 0x1000;
const TYPE: u16 = 0xf000;

const HUGE_FILE: u32 = 0x4_0000;
const EXTENTS: u32 = 0x8_0000;

/// The four times of an inode, as the device has them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub(super) access: u64,
    pub(super) change: u64,
    pub(super) modification: u64,
    pub(super) creation: u64,
}

/// What is at an inode's end of a path.
#[derive(Debug)]
pub(super) enum Content {
    /// An empty file, or a fifo.
    Nothing,
    /// A device's number.
    Device(u32),
    /// A link's target of at most 59 bytes.
    Target(Box<[u8]>),
    /// A file's content, or a longer target.
    Data(Run),
    Directory(Box<Directory>),
}

#[derive(Debug, Default)]
pub(super) struct Directory {
    pub(super) children: BTreeMap<Box<[u8]>, u32>,
    /// The attributes in the directory's attribute block: an opaque marker keeps them.
    pub(super) block_xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Set when the directory has been written.
    pub(super) run: Option<Run>,
}

#[derive(Debug)]
pub(super) struct Inode {
    pub(super) mode: u16,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) links: u32,
    pub(super) size: u64,
    pub(super) times: Times,
    /// Blocks of content, of its description, and of attributes.
    pub(super) blocks: u32,
    /// The attribute block; 0 is none.
    pub(super) xattr_block: u32,
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) content: Content,
}

impl Inode {
    pub(super) fn kind(&self) -> u16 {
        self.mode & TYPE
    }

    /// The type's number in a directory entry.
    pub(super) fn entry_kind(&self) -> u8 {
        match self.kind() {
            DIRECTORY => 2,
            CHARACTER => 3,
            BLOCK_DEVICE => 4,
            FIFO => 5,
            SYMLINK => 7,
            _ => 1,
        }
    }

    pub(super) fn directory(&self) -> Option<&Directory> {
        match &self.content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    pub(super) fn directory_mut(&mut self) -> Option<&mut Directory> {
        match &mut self.content {
            Content::Directory(directory) => Some(directory),
            _ => None,
        }
    }

    fn run(&self) -> Option<&Run> {
        match &self.content {
            Content::Data(run) => Some(run),
            Content::Directory(directory) => directory.run.as_ref(),
            _ => None,
        }
    }

    /// The inode on the device (`docs/layer-hashes.md`, "Inodes").
    pub(super) fn to_bytes(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let half = |value: u32| (value.to_le_bytes(), value >> 16);
        let (uid, uid_high) = half(self.uid);
        let (gid, gid_high) = half(self.gid);
        let size = self.size.to_le_bytes();
        let run = self.run();
        let flags = if run.is_some() {
            HUGE_FILE | EXTENTS
        } else {
            HUGE_FILE
        };
        let mut at = |offset: usize, field: &[u8]| put(&mut bytes, offset, field);
        at(0, &self.mode.to_le_bytes());
        at(2, low(&uid));
        at(4, size.first_chunk::<4>().unwrap_or(&[0; 4]));
        at(24, low(&gid));
        at(26, low(&self.links.to_le_bytes()));
        at(28, &self.blocks.to_le_bytes());
        at(32, &flags.to_le_bytes());
        at(40, &self.block_field(run));
        at(104, &self.xattr_block.to_le_bytes());
        at(108, size.last_chunk::<4>().unwrap_or(&[0; 4]));
        at(120, low(&uid_high.to_le_bytes()));
        at(122, low(&gid_high.to_le_bytes()));
        at(128, &24_u16.to_le_bytes());
        let times = [
            (self.times.access, 8, 140),
            (self.times.change, 12, 132),
            (self.times.modification, 16, 136),
            (self.times.creation, 144, 148),
        ];
        for (time, field, extra) in times {
            let time = time.to_le_bytes();
            at(field, time.first_chunk::<4>().unwrap_or(&[0; 4]));
            at(extra, time.last_chunk::<4>().unwrap_or(&[0; 4]));
        }
        at(152, &xattr::inline_area(&self.xattrs));
        bytes
    }

    fn block_field(&self, run: Option<&Run>) -> [u8; ROOT] {
        if let Some(run) = run {
            return run.root();
        }
        let mut field = [0; ROOT];
        match &self.content {
            Content::Device(number) => put(&mut field, 4, &number.to_le_bytes()),
            Content::Target(target) => put(&mut field, 0, target),
            _ => {}
        }
        field
    }
}

fn low(value: &[u8; 4]) -> &[u8] {
    value.first_chunk::<2>().unwrap_or(&[0; 2])
}

/// A device's number in an inode: the minor number's upper bits wrap.
pub(super) fn device_number((major, minor): (u32, u32)) -> u32 {
    (minor & 0xff) | (major << 8) | ((minor & 0xffff_ff00) << 12)
}
