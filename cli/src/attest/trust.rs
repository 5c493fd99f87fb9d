use std::path::PathBuf;

use clap::Args;
use snp::{Roots, UvmRoots};

use super::files;
use crate::CliError;

const ROOT_CAP: u64 = 1 << 20;

/// Whose evidence is believed: AMD's and Microsoft's, unless a test root is named.
#[derive(Args, Debug)]
pub(crate) struct TrustArgs {
    /// Oldest utility VM, by the security version of its endorsement.
    #[arg(long, value_name = "SVN")]
    minimum_svn: Option<u64>,
    /// PEM of a test root instead of AMD's: for emulators.
    #[arg(long, value_name = "FILE", requires = "insecure_virtual")]
    amd_root: Option<PathBuf>,
    /// did:x509 of a test issuer of utility VM endorsements instead of Microsoft's.
    #[arg(long, value_name = "DID", requires = "insecure_virtual")]
    uvm_issuer: Option<String>,
    /// Allow test roots.
    #[arg(long)]
    insecure_virtual: bool,
}

impl TrustArgs {
    pub(crate) fn roots(&self) -> Result<(Roots, UvmRoots), CliError> {
        let unusable = |argument| {
            move |error: snp::SnpError| CliError::Argument {
                argument,
                reason: error.to_string(),
            }
        };
        let roots = match &self.amd_root {
            Some(path) => {
                let pem = files::text(path, ROOT_CAP)?;
                Roots::from_pem(&pem).map_err(unusable("--amd-root"))?
            }
            None => Roots::amd(),
        };
        let microsoft = UvmRoots::microsoft().map_err(unusable("the compiled-in UVM roots"))?;
        let minimum = self.minimum_svn.unwrap_or_else(|| microsoft.minimum_svn());
        let uvm_roots = match &self.uvm_issuer {
            Some(issuer) => UvmRoots::custom(issuer, microsoft.feed(), minimum)
                .map_err(unusable("--uvm-issuer"))?,
            None => microsoft.with_minimum_svn(minimum),
        };
        Ok((roots, uvm_roots))
    }
}
