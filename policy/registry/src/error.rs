use http::StatusCode;
use thiserror::Error;

/// Why a registry gave nothing. Texts of the registry are cut to 300 characters without control characters.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The registry's name is no address.
    #[error("{registry:?} is no address: {reason}")]
    Address {
        /// The name.
        registry: String,
        /// What is wrong.
        reason: String,
    },
    /// The roots cannot be used.
    #[error("trusted roots: {reason}")]
    Roots {
        /// What is wrong.
        reason: String,
    },
    /// No answer, or one that broke off.
    #[error("{}", chain(.source))]
    Broken {
        /// Why.
        source: reqwest::Error,
    },
    /// No whole answer in time.
    #[error("no answer within {seconds} s")]
    Late {
        /// The time given.
        seconds: u64,
    },
    /// An answer is larger than any honest one.
    #[error("{what} is larger than {cap} bytes, more than any honest one")]
    TooLarge {
        /// Which answer.
        what: &'static str,
        /// The most that is read.
        cap: usize,
    },
    /// The registry sends its callers elsewhere for a token, to where nobody may be sent. Nothing was sent there.
    #[error("it sends its callers to {realm:?} for a token: {reason}")]
    Realm {
        /// Where.
        realm: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// What gives out tokens gave none.
    #[error("no token: {reason}")]
    Token {
        /// What it gave.
        reason: String,
    },
    /// Nobody is logged in, or not who may read this.
    #[error("{status}{}", said(.reason))]
    Denied {
        /// 401 or 403.
        status: StatusCode,
        /// What the registry says.
        reason: String,
    },
    /// There is no such manifest or blob.
    #[error("not found{}", said(.reason))]
    Absent {
        /// What the registry says.
        reason: String,
    },
    /// Any other answer.
    #[error("{status}{}", said(.reason))]
    Status {
        /// The status.
        status: StatusCode,
        /// What the registry says.
        reason: String,
    },
}

impl From<reqwest::Error> for RegistryError {
    fn from(error: reqwest::Error) -> Self {
        // A redirect's address may hold a signature.
        let source = error.without_url();
        Self::Broken { source }
    }
}

fn said(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    shown(&text)
}

/// A text that somebody else chose, for a message.
pub(crate) fn shown(text: &str) -> String {
    let letters = text.trim().chars().filter(|letter| !letter.is_control());
    letters.take(300).collect()
}
