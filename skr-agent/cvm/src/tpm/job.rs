//! What the agent and the process that uses the TPM say to each other: one JSON document each way.

use std::fmt;

use cvm_evidence::PcrValues;
use serde::{Deserialize, Serialize};
use sidecar_http::{Coded, Fault};
use thiserror::Error;

/// What is to be collected.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Job {
    /// 64 bytes for the report to bind; without them, whatever it binds.
    pub(crate) user_data: Option<Vec<u8>>,
    /// Have the report made anew even if it binds them already.
    pub(crate) renew: bool,
    pub(crate) nonce: Vec<u8>,
    pub(crate) pcrs: Vec<u8>,
}

/// What the TPM gave. Nothing of it has been looked at.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Collected {
    pub(crate) hcl_report: Vec<u8>,
    /// TPMS_ATTEST.
    pub(crate) statement: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) pcrs: PcrValues,
    /// Modulus and exponent, big endian.
    pub(crate) ak: (Vec<u8>, Vec<u8>),
    /// The whole NV index.
    pub(crate) ak_certificate: Vec<u8>,
}

/// What is asked of the TPM.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Part {
    /// The HCL report as it is.
    Report,
    /// `user-data`, and the report over it.
    UserData,
    /// The attestation key.
    Ak,
    /// Its certificate.
    AkCertificate,
    /// The quote.
    Quote,
    /// The PCR values.
    Pcrs,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Report => "HCL report (NV index 0x01400001)",
            Self::UserData => "HCL report over new user data (NV indices 0x01400002, 0x01400001)",
            Self::Ak => "attestation key (0x81000003)",
            Self::AkCertificate => "certificate of the attestation key (NV index 0x01C101D0)",
            Self::Quote => "quote by the attestation key (0x81000003)",
            Self::Pcrs => "SHA-256 values of the PCRs",
        })
    }
}

/// Why the TPM gave nothing.
#[derive(Clone, Debug, Deserialize, Eq, Error, PartialEq, Serialize)]
pub enum TpmFailure {
    /// There is no TPM.
    #[error(
        "no TPM, so this is no confidential virtual machine, or its device is not passed on: tried {tried}"
    )]
    NoDevice {
        /// Every path tried and what became of it.
        tried: String,
    },
    /// The device is there, for other users.
    #[error("{path}: permission denied: run the agent with the device's group {gid}")]
    Denied {
        /// The device.
        path: String,
        /// Group of the device.
        gid: u32,
    },
    /// Another process has the device open.
    #[error(
        "{path}: another process has it open; pass /dev/tpmrm0 on as {path}, which any number of processes may open"
    )]
    Busy {
        /// The device.
        path: String,
    },
    /// The TPM works and has not what Azure's firmware puts there.
    #[error(
        "the TPM has no {part}: it is not the TPM of an Azure confidential virtual machine, or it was cleared"
    )]
    Absent {
        /// What is missing.
        part: Part,
    },
    /// The TPM, or the way to it, failed.
    #[error("TPM: {part}: {reason}")]
    Failed {
        /// What was asked for.
        part: Part,
        /// The response code in words.
        reason: String,
    },
}

impl Coded for TpmFailure {
    fn code(&self) -> &str {
        match self {
            Self::NoDevice { .. } => "CR-CVM-0030",
            Self::Denied { .. } => "CR-CVM-0031",
            Self::Busy { .. } => "CR-CVM-0032",
            Self::Absent { .. } => "CR-CVM-0033",
            Self::Failed { .. } => "CR-CVM-0034",
        }
    }

    fn fault(&self) -> Fault {
        match self {
            Self::Busy { .. } => Fault::Upstream { retry: true },
            _ => Fault::Platform,
        }
    }
}
