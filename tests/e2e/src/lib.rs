//! The collaboration, end to end, with the real binaries.
