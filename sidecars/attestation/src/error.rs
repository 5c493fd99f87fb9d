use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cleanroom_crypto::CryptoError;
use http::StatusCode;
use sidecar_http::{Coded, Fault, HttpsError};
use snp::{Check, CheckId, SnpError};
use thiserror::Error;

use crate::TokenFlaw;

/// Why there is no evidence, or no token over it.
#[derive(Debug, Error)]
pub enum AttestError {
    /// The bytes are not a report that this crate understands.
    #[error("attestation report: {reason}")]
    BadReport {
        /// What is wrong.
        reason: String,
    },
    /// No SNP guest device can be opened.
    #[error(
        "no SEV-SNP guest device can be opened, so this is no confidential guest, or its devices are not for this user: \
         tried {tried}"
    )]
    NoDevice {
        /// Every path tried and what became of it.
        tried: String,
    },
    /// The device cannot be opened or refuses the request.
    #[error("{}: {step}", path.display())]
    Device {
        /// The device.
        path: PathBuf,
        /// What was being done.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The secure processor answered with an error.
    #[error("{}: the secure processor refused: {detail}", path.display())]
    Firmware {
        /// The device.
        path: PathBuf,
        /// The processor's own words.
        detail: String,
    },
    /// configfs-tsm answers for other hardware.
    #[error("{}: the provider is {actual:?}, expected {expected:?}", path.display())]
    TsmProvider {
        /// The attribute file.
        path: PathBuf,
        /// The provider of SEV-SNP reports.
        expected: &'static str,
        /// What the kernel says.
        actual: String,
    },
    /// Somebody else wrote into our request.
    #[error(
        "{}: generation {actual}, expected {expected}: another process writes into our requests", path.display()
    )]
    TsmRaced {
        /// The attribute file.
        path: PathBuf,
        /// What our own writes count.
        expected: u64,
        /// What the kernel counted.
        actual: String,
    },
    /// There is no security context directory.
    #[error("no security context directory: {reason}")]
    NoContext {
        /// What was looked for.
        reason: String,
    },
    /// One file of the security context is missing or unusable.
    #[error("{}: {reason}", path.display())]
    Artefact {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The policy in the context is not the one that the hardware measured.
    #[error("SHA-256 of the policy is {policy}, but the report's host_data is {host_data}")]
    PolicyMismatch {
        /// Hash of the policy file, hex.
        policy: String,
        /// The report's host_data, hex.
        host_data: String,
    },
    /// The group runs under a policy that allows everything.
    #[error("the group's host_data is {host_data}")]
    AllowAll {
        /// The report's host_data, hex, and whose it is.
        host_data: String,
    },
    /// The guest may be debugged from outside.
    #[error("the guest's {policy} allows debugging")]
    Debuggable {
        /// The guest policy, hex.
        policy: String,
    },
    /// The certificates vouch for another firmware than the report's.
    #[error(
        "the certificates of this chip vouch for TCB {endorsed}, the report says {reported}; tried {tried}"
    )]
    TcbMismatch {
        /// TCBs of the certificates, hex.
        endorsed: String,
        /// TCB of the report, hex.
        reported: String,
        /// Every source tried and what it had.
        tried: String,
    },
    /// Nobody has certificates for the report.
    #[error("no certificates for chip {chip}… with TCB {reported}; tried {tried}")]
    NoEndorsements {
        /// Begin of the chip id, hex.
        chip: String,
        /// TCB of the report, hex.
        reported: String,
        /// Every source tried and why it had none.
        tried: String,
        /// A source may have some later.
        retry: bool,
    },
    /// There is no list of revoked keys.
    #[error("no list of revoked keys of {product}; tried {tried}")]
    NoRevocationList {
        /// The product.
        product: &'static str,
        /// Every source tried and why it had none.
        tried: String,
        /// A source may have one later.
        retry: bool,
    },
    /// The `certcache` configuration is not usable.
    #[error("certcache: {member}: {reason}")]
    CertCache {
        /// The member.
        member: &'static str,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// The report does not carry what was asked to be bound.
    #[error("the report carries other report_data than was asked for")]
    Unbound,
    /// An endpoint is not a host name with an optional port.
    #[error("endpoint {text:?}: {reason}")]
    Endpoint {
        /// What was given, shortened.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// MAA was not reached.
    #[error(transparent)]
    Https(#[from] HttpsError),
    /// MAA refused the evidence, or could not judge it.
    #[error("MAA at {endpoint} answered {status}: {code}: {message}")]
    MaaRefused {
        /// The endpoint.
        endpoint: String,
        /// Its status.
        status: StatusCode,
        /// Its error code.
        code: String,
        /// Its message, which names the claim where MAA tells.
        message: String,
        /// How long MAA asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// The token is no JWT that could be judged.
    #[error("MAA token: {0}")]
    BadToken(TokenFlaw),
    /// The token is signed in another way than the one accepted; `none` is no signature, as over a draft policy.
    #[error("MAA token: signed with {actual:?}, expected \"RS256\"")]
    Algorithm {
        /// `alg` in the header, shortened.
        actual: String,
    },
    /// The token names keys elsewhere than at the configured endpoint.
    #[error("MAA token: its keys are at {actual}, expected {expected}")]
    ForeignKeys {
        /// `/certs` of the configured endpoint.
        expected: String,
        /// `jku` in the header, shortened.
        actual: String,
    },
    /// The endpoint publishes keys that cannot be used.
    #[error("MAA's signing keys: {reason}")]
    SigningKeys {
        /// What is wrong.
        reason: String,
    },
    /// The endpoint publishes no key of this name.
    #[error("MAA token: key {kid:?} is not published at the configured endpoint")]
    UnknownKey {
        /// Key id in the token's header, shortened.
        kid: String,
    },
    /// The signature is not the endpoint's.
    #[error("MAA token: the signature does not verify")]
    TokenSignature,
    /// A claim is not what was sent.
    #[error("MAA token: claim {claim}: expected {expected}, actual {actual}")]
    Claim {
        /// Name of the claim.
        claim: &'static str,
        /// Value that the evidence demands.
        expected: String,
        /// Value in the token, shortened.
        actual: String,
    },
    /// The token is outside its lifetime.
    #[error("MAA token: {claim} is {at}, the time here is {now} (seconds since 1970)")]
    Lifetime {
        /// `exp` or `nbf`.
        claim: &'static str,
        /// The claim.
        at: i64,
        /// The time here.
        now: i64,
    },
    /// The clock that the host gives differs from the one that MAA signed.
    #[error(
        "the clock here is {now}, MAA signed iat {iat} (seconds since 1970): more than {allowed} s apart"
    )]
    Clock {
        /// The time here.
        now: i64,
        /// MAA's time.
        iat: i64,
        /// The difference allowed, in seconds.
        allowed: i64,
    },
    /// A kept token was dropped while it was asked for.
    #[error("the kept MAA token was dropped just now; ask again")]
    Forgotten,
    /// One answer to several askers.
    #[error(transparent)]
    Shared(Arc<Self>),
    /// This group's own evidence fails checks of the verifier: who relies on it would refuse it too.
    #[error("this group's own evidence does not verify: {}", named(failed))]
    Unverified {
        /// The checks that failed.
        failed: Vec<Check>,
    },
    /// The evidence fails a check of the verifier.
    #[error(transparent)]
    Snp(SnpError),
    /// A key could not be made or used.
    #[error("cryptography")]
    Crypto(#[from] CryptoError),
    /// A background task ended early.
    #[error("the process is stopping")]
    Stopping,
}

/// What this group's own report fails by has codes of its own, which tell who must act on this machine.
impl From<SnpError> for AttestError {
    fn from(error: SnpError) -> Self {
        match error {
            SnpError::Refused {
                check:
                    CheckId::ReportLength
                    | CheckId::ReportVersion
                    | CheckId::SignatureAlgorithm
                    | CheckId::SignaturePadding,
                ..
            } => Self::BadReport {
                reason: error.to_string(),
            },
            SnpError::Refused {
                check: CheckId::AllowAll,
                actual,
                ..
            } => Self::AllowAll { host_data: actual },
            SnpError::Refused {
                check: CheckId::Debug,
                actual,
                ..
            } => Self::Debuggable { policy: actual },
            other => Self::Snp(other),
        }
    }
}

impl Coded for AttestError {
    fn code(&self) -> &str {
        match self {
            Self::BadReport { .. } => "CR-SKR-0001",
            Self::NoDevice { .. } => "CR-SKR-0002",
            Self::Device { .. } => "CR-SKR-0003",
            Self::Firmware { .. } => "CR-SKR-0004",
            Self::NoContext { .. } => "CR-SKR-0005",
            Self::Artefact { .. } => "CR-SKR-0006",
            Self::PolicyMismatch { .. } => "CR-SKR-0007",
            Self::AllowAll { .. } => "CR-SKR-0008",
            Self::Debuggable { .. } => "CR-SKR-0009",
            Self::TcbMismatch { .. } => "CR-SKR-0010",
            Self::Unbound => "CR-SKR-0011",
            Self::Endpoint { .. } => "CR-SKR-0012",
            Self::Https(error) => error.code(),
            Self::MaaRefused { .. } => "CR-SKR-0013",
            Self::BadToken(_) => "CR-SKR-0014",
            Self::UnknownKey { .. } => "CR-SKR-0015",
            Self::TokenSignature => "CR-SKR-0016",
            Self::Claim { .. } => "CR-SKR-0017",
            Self::Lifetime { .. } => "CR-SKR-0018",
            Self::Clock { .. } => "CR-SKR-0019",
            Self::ForeignKeys { .. } => "CR-SKR-0070",
            Self::SigningKeys { .. } => "CR-SKR-0071",
            Self::Algorithm { .. } => "CR-SKR-0072",
            Self::Forgotten => "CR-SKR-0073",
            Self::Shared(error) => error.code(),
            Self::Snp(error) => error.code(),
            Self::Crypto(_) => "CR-SKR-0020",
            Self::Stopping => "CR-SKR-0021",
            Self::TsmProvider { .. } => "CR-SKR-0040",
            Self::TsmRaced { .. } => "CR-SKR-0041",
            Self::CertCache { .. } => "CR-SKR-0042",
            Self::NoEndorsements { .. } => "CR-SKR-0043",
            Self::NoRevocationList { .. } => "CR-SKR-0044",
            Self::Unverified { .. } => "CR-SKR-0045",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::BadReport { .. }
            | Self::NoDevice { .. }
            | Self::Device { .. }
            | Self::Firmware { .. }
            | Self::TsmProvider { .. }
            | Self::TsmRaced { .. }
            | Self::NoContext { .. }
            | Self::Artefact { .. }
            | Self::PolicyMismatch { .. }
            | Self::TcbMismatch { .. }
            | Self::Unbound
            | Self::Unverified { .. }
            | Self::Clock { .. }
            | Self::Crypto(_) => Fault::Platform,
            Self::AllowAll { .. } | Self::Debuggable { .. } => Fault::Denied,
            Self::Endpoint { .. } | Self::CertCache { .. } => Fault::Caller,
            Self::NoEndorsements { retry, .. } | Self::NoRevocationList { retry, .. } => {
                Fault::Upstream { retry: *retry }
            }
            Self::Snp(error) => error.fault(),
            Self::Https(error) => error.fault(),
            Self::MaaRefused { status, .. } => match status.as_u16() {
                408 | 429 | 500..=599 => Fault::Upstream { retry: true },
                _ => Fault::Denied,
            },
            Self::BadToken(_)
            | Self::Algorithm { .. }
            | Self::ForeignKeys { .. }
            | Self::SigningKeys { .. }
            | Self::UnknownKey { .. }
            | Self::TokenSignature
            | Self::Claim { .. }
            | Self::Lifetime { .. } => Fault::Upstream { retry: false },
            Self::Shared(error) => error.fault(),
            Self::Forgotten | Self::Stopping => Fault::Upstream { retry: true },
        }
    }
}

impl AttestError {
    /// The error itself, where one answer served several askers.
    pub fn cause(&self) -> &Self {
        match self {
            Self::Shared(error) => error.cause(),
            other => other,
        }
    }
}

impl From<Arc<Self>> for AttestError {
    fn from(shared: Arc<Self>) -> Self {
        Arc::try_unwrap(shared).unwrap_or_else(Self::Shared)
    }
}

/// The first failed checks in words. A text goes into one header or log line; the checks themselves are all in the error.
fn named(failed: &[Check]) -> String {
    const SHOWN: usize = 4;
    let named = failed.iter().take(SHOWN).map(|check| {
        let (id, expected, actual) = (check.id, &check.expected, &check.actual);
        format!("{} {id}: expected {expected}, actual {actual}", id.code())
    });
    let mut text = named.collect::<Vec<_>>().join("; ");
    if let more @ 1.. = failed.len().saturating_sub(SHOWN) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// Foreign text as an error may show it: printable and short.
pub(crate) fn shown(text: &str) -> String {
    const LIMIT: usize = 400;
    let mut out: String = text
        .chars()
        .take(LIMIT)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if text.chars().nth(LIMIT).is_some() {
        out.push('…');
    }
    out
}
