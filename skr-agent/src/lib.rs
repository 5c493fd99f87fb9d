//! `skr-agent`: the only process of a group that talks to the SNP device, and the one that has keys released.
//!
//! Evidence goes out, keys come in: a key is wrapped by the vault for a transfer key that was made for this one release
//! and bound into the report, so nothing between the vault and this process can read it.

mod agent;
mod allowed;
mod environment;
mod error;
mod failure;
mod identity;
mod keyprovider;
mod readiness;
mod routes;
mod transfer;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use attestation::{
    AttestError, Attester, CertCache, ContextPlace, ContextVariables, EndorsementConfig,
    EndorsementStore, Verifier,
};
use clap::Args as ClapArgs;
use sidecar_http::{ApiVersion, HttpsClient, services};
use sidecar_kit::Process;

pub use agent::{Agent, Config};
pub use allowed::{Allowed, AllowedMaa, AllowedVault};
pub use environment::{Environment, command_line};
pub use error::SkrError;
pub use identity::Identity;
pub use keyprovider::KeyDirectory;
pub use readiness::SelfCheck;
pub use routes::routes;

use readiness::{Latches, watch};

/// What skr-agent accepts beside the common arguments.
#[derive(ClapArgs, Clone, Debug, Default)]
pub struct Args {
    /// Security context directory; without it, the only /security-context-* directory.
    #[arg(long, env = "UVM_SECURITY_CONTEXT_DIR", value_name = "DIRECTORY")]
    pub security_context_dir: Option<PathBuf>,
    /// The policy, before there was a directory.
    #[arg(long, env = "UVM_SECURITY_POLICY", hide = true)]
    pub uvm_security_policy: Option<String>,
    /// The utility VM's endorsement, before there was a directory.
    #[arg(long, env = "UVM_REFERENCE_INFO", hide = true)]
    pub uvm_reference_info: Option<String>,
    /// The host's certificates, before there was a directory.
    #[arg(long, env = "UVM_HOST_AMD_CERTIFICATE", hide = true)]
    pub uvm_host_amd_certificate: Option<String>,
    /// Upstream's `certcache`: which service has certificates that the security context lacks.
    #[arg(skip)]
    pub certcache: CertCache,
    /// A MAA instance that callers may name; repeatable. Without it, any.
    #[arg(long, value_name = "HOST[:PORT]")]
    pub allow_maa: Vec<AllowedMaa>,
    /// A vault that callers may name, and which service it is; repeatable. Without it, any.
    #[arg(long, value_name = "[KeyVault=|ManagedHsm=]HOST[:PORT]")]
    pub allow_vault: Vec<AllowedVault>,
    /// No MAA instance and no vault: nothing leaves the group through this agent.
    #[arg(long, conflicts_with_all = ["allow_maa", "allow_vault"])]
    pub allow_none: bool,
    /// Under which api-version MAA is asked; without it, 2022-08-01.
    #[arg(long, value_name = "VERSION")]
    pub maa_api_version: Option<ApiVersion>,
    /// As whom MAA is asked: `maaconfig.user_agent` of upstream's configuration.
    #[arg(skip)]
    pub maa_user_agent: Option<String>,
    /// Client id to get access tokens with when a caller brings none; they go to vaults of --allow-vault only.
    #[arg(long, value_name = "UUID", requires = "identity_tenant_id")]
    pub identity_client_id: Option<String>,
    /// Its tenant.
    #[arg(long, value_name = "UUID", requires = "identity_client_id")]
    pub identity_tenant_id: Option<String>,
    /// Directory of the public keys that the key provider wraps with; without it, it wraps nothing.
    #[arg(long, value_name = "DIRECTORY")]
    pub keyprovider_dir: Option<PathBuf>,
    /// Make every transfer key only when it is needed.
    #[arg(long, hide = true)]
    pub no_transfer_key_pool: bool,
}

impl Args {
    fn config(self, process: &Process, https: &HttpsClient) -> Result<Config, AttestError> {
        let sources = EndorsementConfig::of_certcache(&self.certcache)?;
        let identity = self.identity_client_id.zip(self.identity_tenant_id);
        Ok(Config {
            context: ContextPlace {
                directory: self.security_context_dir,
                variables: ContextVariables {
                    security_policy: self.uvm_security_policy,
                    reference_info: self.uvm_reference_info,
                    host_amd_certificate: self.uvm_host_amd_certificate,
                },
                ..ContextPlace::default()
            },
            endorsements: EndorsementStore::new(sources, https.clone())?,
            maa_api_version: self.maa_api_version,
            maa_user_agent: self.maa_user_agent,
            allowed: if self.allow_none {
                Allowed::none()
            } else {
                Allowed::new(self.allow_vault, self.allow_maa)
            },
            identity: identity.map(|(client, tenant)| {
                Identity::new(process.client(&services::IDENTITY), client, tenant)
            }),
            key_directory: self.keyprovider_dir.map(KeyDirectory::new),
        })
    }
}

/// Serves until the process stops. `/ready` opens once the device, the security context, the processor's certificates and
/// the verification of all of them by `verifier` are good.
///
/// # Errors
/// The trusted roots are unusable, or the socket cannot be bound.
pub async fn run<A: Attester>(
    args: Args,
    attester: A,
    verifier: Verifier,
    process: Process,
) -> anyhow::Result<ExitCode> {
    let trust = process.common().trust()?;
    let pool = !args.no_transfer_key_pool;
    let https = HttpsClient::new(&trust)?;
    let config = args.config(&process, &https)?;
    let agent = Arc::new(Agent::new(
        attester,
        verifier,
        https,
        trust,
        config,
        process.stopping(),
    ));
    if pool {
        let (agent, stopping) = (Arc::clone(&agent), process.stopping());
        process.spawn(async move { agent.keep_transfer_key_ready(&stopping).await });
    }
    let latches = Latches::new(&process);
    let (checked, stopping) = (Arc::clone(&agent), process.stopping());
    process.spawn(async move {
        tokio::select! {
            () = watch(checked, latches) => {}
            () = stopping.cancelled() => {}
        }
    });
    process.serve(routes(agent)).await?;
    Ok(ExitCode::SUCCESS)
}
