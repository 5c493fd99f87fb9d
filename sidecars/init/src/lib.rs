//! The init container: directories, owners and the boot trace of a group.
