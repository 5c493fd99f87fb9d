//! What a room's exit code says.

use sidecar_kit::EXIT_FAILED;

/// Exit code of a run whose output is not durable.
pub const EXIT_SINK: u8 = 74;
/// Exit code of a run whose exit event was not committed.
pub const EXIT_EVENT: u8 = 75;
/// Exit code of a service whose application ended with 0 though nobody had asked it to.
pub const EXIT_ENDED: u8 = 76;
/// Exit code of a room that was asked to stop before its application was started.
pub const EXIT_STOPPED: u8 = 143;

/// How a room ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The application was not started.
    NotStarted {
        /// Somebody asked to stop.
        asked: bool,
    },
    /// The application has ended.
    Ended {
        /// Its exit code; 128 + signal for a killed one.
        code: u8,
        /// Its output is durable.
        sealed: bool,
        /// The exit event is committed.
        committed: bool,
        /// Everything that the parties agreed to export is durable.
        exported: bool,
    },
}

/// What the end of a service's application means: 0 only where it was asked to end and did.
pub(crate) const fn of_service(code: u8, asked: bool) -> u8 {
    match (code, asked) {
        (0 | EXIT_STOPPED, true) => 0,
        (0, false) => EXIT_ENDED,
        (code, _) => code,
    }
}

impl Outcome {
    /// The exit code. Lost output outranks a lost event, and both outrank what the application said: whoever sees its code
    /// may rely on its output.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::NotStarted { asked: true } => EXIT_STOPPED,
            Self::NotStarted { asked: false } => EXIT_FAILED,
            Self::Ended { sealed: false, .. }
            | Self::Ended {
                exported: false, ..
            } => EXIT_SINK,
            Self::Ended {
                committed: false, ..
            } => EXIT_EVENT,
            Self::Ended { code, .. } => code,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_speaks_only_where_nothing_was_lost() {
        let lost = [false, true];
        for code in [0, 3, 137] {
            for sealed in lost {
                for committed in lost {
                    for exported in lost {
                        let outcome = Outcome::Ended {
                            code,
                            sealed,
                            committed,
                            exported,
                        };
                        let expected = match (sealed && exported, committed) {
                            (true, true) => code,
                            (false, _) => EXIT_SINK,
                            (true, false) => EXIT_EVENT,
                        };
                        assert_eq!(outcome.exit_code(), expected, "{outcome:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_service_succeeds_only_where_it_was_asked_to_end_and_did() {
        // SIGTERM without a handler of the application's own is 143.
        for (code, asked, expected) in [
            (0, true, 0),
            (EXIT_STOPPED, true, 0),
            (137, true, 137),
            (3, true, 3),
            (0, false, EXIT_ENDED),
            (3, false, 3),
            (EXIT_STOPPED, false, EXIT_STOPPED),
        ] {
            assert_eq!(of_service(code, asked), expected, "{code} {asked}");
        }
    }

    #[test]
    fn a_room_without_a_run_never_ends_with_success() {
        for asked in [false, true] {
            assert_ne!(Outcome::NotStarted { asked }.exit_code(), 0);
        }
    }
}
