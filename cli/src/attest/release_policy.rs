use std::path::{Path, PathBuf};
use std::process::ExitCode;

use attestation::parse_endpoint;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use cleanroom_crypto::digest::sha256;
use keyvault::{ReleasePolicy, ReleaseTerms};

use super::files;
use crate::CliError;

const POLICY_CAP: u64 = 16 << 20;

/// To whom a key shall be released.
#[derive(Args, Debug)]
pub struct PolicyArgs {
    /// MAA instance whose word counts; repeatable.
    #[arg(long, value_name = "HOST[:PORT]", required = true)]
    authority: Vec<String>,
    /// Container group: SHA-256 of its CCE policy; repeatable.
    #[arg(long, value_name = "HEX", required_unless_present = "cce_policy")]
    host_data: Vec<String>,
    /// Container group: its CCE policy, as base64 or as text; repeatable.
    #[arg(long, value_name = "FILE")]
    cce_policy: Vec<PathBuf>,
    /// Oldest utility VM.
    #[arg(long, value_name = "SVN", default_value_t = ReleaseTerms::MINIMUM_SVN)]
    minimum_svn: u32,
    /// For vaults that do not know `greaterOrEquals`: any utility VM that Microsoft calls compliant.
    #[arg(long, conflicts_with = "minimum_svn")]
    any_svn: bool,
}

pub(super) fn run(args: &PolicyArgs) -> Result<ExitCode, CliError> {
    let mut host_data = Vec::new();
    for text in &args.host_data {
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).map_err(|_| CliError::Argument {
            argument: "--host-data",
            reason: "not 64 hex digits".to_owned(),
        })?;
        host_data.push(digest);
    }
    for path in &args.cce_policy {
        host_data.push(digest_of(path)?);
    }
    let authorities = args.authority.iter().map(|text| parse_endpoint(text));
    let policy = ReleasePolicy::strict(&ReleaseTerms {
        authorities: authorities.collect::<Result<_, _>>()?,
        host_data,
        minimum_svn: (!args.any_svn).then_some(args.minimum_svn),
    })?;
    crate::print(policy.as_json())?;
    Ok(ExitCode::SUCCESS)
}

/// host_data of a policy: what is base64 is hashed decoded, as the host does it.
fn digest_of(path: &Path) -> Result<[u8; 32], CliError> {
    let bytes = files::read(path, POLICY_CAP)?;
    let text = bytes.trim_ascii();
    if text.is_empty() {
        return Err(files::bad(path, "empty".to_owned()));
    }
    Ok(match BASE64_STANDARD.decode(text) {
        Ok(policy) => sha256(&policy),
        Err(_) => sha256(&bytes),
    })
}
