use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::SystemTime;

use clap::Args;
use snp::{Material, MinimumTcb, Product, Requirements, Tcb, report_data};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::evidence_file::{self, EvidenceFile};
use super::release_policy::host_data;
use super::trust::TrustArgs;
use super::{Output, files, show};
use crate::CliError;

const RUNTIME_DATA_CAP: u64 = 1 << 20;
const CRL_CAP: u64 = 1 << 20;

/// Evidence, and what it is held against.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// JSON with report, certificates and endorsement: an answer of /attest/combined, or a key generator's file.
    #[arg(long, value_name = "FILE", required_unless_present = "report")]
    evidence: Option<PathBuf>,
    /// Report: 1184 bytes, or hex or base64 of them.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// VCEK, ASK and ARK: PEM or THIM's JSON, or base64 of either.
    #[arg(long, value_name = "FILE")]
    endorsements: Option<PathBuf>,
    /// The utility VM's endorsement: COSE_Sign1, or base64 of it.
    #[arg(long, value_name = "FILE")]
    uvm_endorsement: Option<PathBuf>,
    /// What the report must bind: SHA-256 of this file, every byte of it.
    #[arg(long, value_name = "FILE", required_unless_present = "report_data")]
    runtime_data: Option<PathBuf>,
    /// What the report must bind: 64 bytes, or 32 and zeros.
    #[arg(long, value_name = "HEX", conflicts_with = "runtime_data")]
    report_data: Option<String>,
    /// Container group that is accepted: SHA-256 of its CCE policy; repeatable.
    #[arg(long, value_name = "HEX", required_unless_present = "cce_policy")]
    host_data: Vec<String>,
    /// Container group that is accepted: its CCE policy, as base64 or as text; repeatable.
    #[arg(long, value_name = "FILE")]
    cce_policy: Vec<PathBuf>,
    /// Oldest firmware of a product as THIM writes it, such as Milan=DB18000000000004; repeatable. It replaces the shipped
    /// minimum of that product.
    #[arg(long, value_name = "PRODUCT=TCB")]
    minimum_tcb: Vec<Minimum>,
    /// Accept keys that AMD gave to the cloud provider, which vouch for no single chip.
    #[arg(long)]
    vlek: bool,
    /// Revocation list in DER; repeatable.
    #[arg(long, value_name = "FILE")]
    crl: Vec<PathBuf>,
    /// Judge validity at this time (RFC 3339) instead of now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    trust: TrustArgs,
    /// How to show the checks.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// `<product>=<16 hex digits>`.
#[derive(Clone, Copy, Debug)]
struct Minimum(Tcb);

impl FromStr for Minimum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (product, tcb) = text.split_once('=').ok_or("expected PRODUCT=TCB")?;
        let product = Product::ALL
            .into_iter()
            .find(|one| one.name().eq_ignore_ascii_case(product))
            .ok_or("the product is Milan, Genoa or Turin")?;
        let raw = Some(tcb).filter(|tcb| tcb.len() == 16);
        let raw = raw.and_then(|tcb| u64::from_str_radix(tcb, 16).ok());
        Ok(Self(Tcb::from_raw(
            raw.ok_or("the TCB is not 16 hex digits")?,
            product,
        )))
    }
}

pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let evidence = args.material()?;
    let requirements = args.requirements()?;
    let (roots, uvm_roots) = args.trust.roots()?;
    let material = Material {
        report: evidence.report.as_deref().unwrap_or_default(),
        chain_pem: evidence.chain_pem.as_deref().unwrap_or_default(),
        uvm_endorsement: evidence.uvm_endorsement.as_deref(),
    };
    let verification = snp::verify(material, &requirements, &roots, &uvm_roots);
    show(&verification, args.output, verification.accepted())
}

impl VerifyArgs {
    fn material(&self) -> Result<EvidenceFile, CliError> {
        let mut evidence = match &self.evidence {
            Some(path) => EvidenceFile::read(path)?,
            None => EvidenceFile::default(),
        };
        if let Some(path) = &self.report {
            evidence.report = Some(evidence_file::report(path)?);
        }
        if let Some(path) = &self.endorsements {
            evidence.chain_pem = Some(evidence_file::chain(path)?);
        }
        if let Some(path) = &self.uvm_endorsement {
            evidence.uvm_endorsement = Some(evidence_file::endorsement(path)?);
        }
        Ok(evidence)
    }

    fn requirements(&self) -> Result<Requirements, CliError> {
        let minimum = self
            .minimum_tcb
            .iter()
            .fold(MinimumTcb::shipped(), |all, one| all.with(one.0));
        let mut requirements = Requirements::new(
            self.time()?,
            self.bound()?,
            host_data(&self.host_data, &self.cce_policy)?,
            minimum,
        );
        requirements.vlek = self.vlek;
        for path in &self.crl {
            requirements.crls.push(files::read(path, CRL_CAP)?);
        }
        Ok(requirements)
    }

    fn time(&self) -> Result<SystemTime, CliError> {
        let Some(text) = &self.at else {
            return Ok(SystemTime::now());
        };
        match OffsetDateTime::parse(text, &Rfc3339) {
            Ok(time) => Ok(time.into()),
            Err(error) => Err(CliError::Argument {
                argument: "--at",
                reason: error.to_string(),
            }),
        }
    }

    fn bound(&self) -> Result<[u8; 64], CliError> {
        if let Some(path) = &self.runtime_data {
            return Ok(report_data(&files::read(path, RUNTIME_DATA_CAP)?));
        }
        let text = self.report_data.as_deref().unwrap_or_default();
        let mut bound = [0; 64];
        let decoded = match text.len() {
            64 => bound
                .first_chunk_mut::<32>()
                .map_or(Ok(()), |head| hex::decode_to_slice(text, head)),
            _ => hex::decode_to_slice(text, &mut bound),
        };
        decoded.map_err(|_| CliError::Argument {
            argument: "--report-data",
            reason: "neither 64 nor 128 hex digits".to_owned(),
        })?;
        Ok(bound)
    }
}

#[cfg(test)]
mod tests;
