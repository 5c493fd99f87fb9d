//! The file system over a blob store: inodes, handles, read-ahead, write-back; no FUSE.
