//! `cleanroom doctor`: walks the way of a key and says at each step what was found and the one thing to do.

mod evidence;
mod examine;
mod walk;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use keyvault::VaultKind;

use crate::CliError;
use crate::attest::trust::TrustArgs;
use crate::attest::{Output, show};
use crate::credential::Access;
pub(crate) use walk::Walk;
#[cfg(test)]
pub(crate) use walk::{Step, Verdict};

/// What to examine. What is not named is not checked.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Loopback address of skr-agent, to get evidence from; without it, the SNP device of this machine.
    #[arg(long, value_name = "IP:PORT")]
    agent: Option<SocketAddr>,
    /// Security context directory; without it, the only /security-context-* directory.
    #[arg(long, env = "UVM_SECURITY_CONTEXT_DIR", value_name = "DIRECTORY")]
    context_dir: Option<PathBuf>,
    /// MAA instance.
    #[arg(long, value_name = "HOST[:PORT]")]
    maa: Option<String>,
    /// Vault of the key encryption key.
    #[arg(long, value_name = "HOST[:PORT]", requires = "key")]
    vault: Option<String>,
    /// Which service the vault is.
    #[arg(long, value_name = "KeyVault|ManagedHsm", default_value_t = VaultKind::KeyVault)]
    vault_kind: VaultKind,
    /// Key encryption key, NAME or NAME/VERSION.
    #[arg(long, value_name = "NAME", requires = "vault")]
    key: Option<String>,
    /// Vault of the wrapped data encryption key, if not the same.
    #[arg(long, value_name = "HOST[:PORT]", requires = "secret")]
    secret_vault: Option<String>,
    /// Secret with the wrapped data encryption key.
    #[arg(long, value_name = "NAME", requires = "key")]
    secret: Option<String>,
    /// File with an access token for the vault, as a room's own identity has it; without it, whoever is logged in.
    #[arg(long, value_name = "FILE", requires = "vault")]
    access_token_file: Option<PathBuf>,
    #[command(flatten)]
    trust: TrustArgs,
    /// How to show the steps.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

/// Examines and shows. The exit code is 1 if a step failed.
pub(crate) async fn run(args: DoctorArgs, access: &Access) -> Result<ExitCode, CliError> {
    let walk = examine(&args, access).await?;
    show(&walk, args.output, walk.healthy())
}

/// Examines.
///
/// # Errors
/// An argument is unusable; whatever else goes wrong is a step of the walk.
pub(crate) async fn examine(args: &DoctorArgs, access: &Access) -> Result<Walk, CliError> {
    examine::Examination::new(args, access)?.walk().await
}
