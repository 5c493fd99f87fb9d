use http::StatusCode;

/// Who has to act for an operation to succeed next time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The request or the configuration is wrong; repeating it cannot help.
    Caller,
    /// Policy said no: consent, evidence or rights are missing.
    Denied,
    /// A service we depend on failed; `retry` tells whether the same call may work later.
    Upstream {
        /// Repeating the call may help.
        retry: bool,
    },
    /// This machine cannot do it: no device, no space, no right.
    Platform,
}

impl Fault {
    /// The HTTP status that tells a caller who must act.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Caller => StatusCode::BAD_REQUEST,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::Upstream { retry: false } => StatusCode::BAD_GATEWAY,
            Self::Upstream { retry: true } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Platform => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The verdict that a peer's status carries; the inverse of [`Fault::status`], and total.
    pub const fn of_status(status: StatusCode) -> Self {
        match status.as_u16() {
            401 | 403 => Self::Denied,
            408 | 429 | 503 | 504 => Self::Upstream { retry: true },
            502 => Self::Upstream { retry: false },
            500..=599 => Self::Platform,
            _ => Self::Caller,
        }
    }
}

/// An error that a user can meet: it has a stable code (`docs/errors.md`) and says who must act.
pub trait Coded: std::error::Error + Send + Sync + 'static {
    /// The stable code, such as `CR-SKR-0012`. Codes never change their meaning.
    fn code(&self) -> &str;

    /// Who has to act.
    fn fault(&self) -> Fault;

    /// The HTTP status of the answer that reports this error.
    fn status(&self) -> StatusCode {
        self.fault().status()
    }
}
