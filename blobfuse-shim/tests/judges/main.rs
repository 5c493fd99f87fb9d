//! Programs that others wrote judge the mount of the real process: TLS, format v2, the application's user. What they
//! are and how a longer run is started is in `docs/mount-judges.md`; `tests/setup judges` installs them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)] // helpers of tests

mod fio;
mod fsx;
mod posix;
#[path = "../process/room.rs"]
mod room;
mod tools;
