//! The collaborators' command.
