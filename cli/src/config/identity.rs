use std::path::PathBuf;

use clap::Subcommand;
use cleanroom_spec::{Identity, ProtocolType, ServiceEndpoint, TokenIssuer};

use super::{ATTESTED, change, identity_of};
use crate::CliError;

/// Kinds of identities.
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// A managed identity of Entra ID, reached by a federated credential.
    AzFederated {
        /// The fragment.
        #[arg(long)]
        cleanroom_config: PathBuf,
        /// Unique name.
        #[arg(long)]
        name: String,
        /// Client id of the managed identity.
        #[arg(long)]
        client_id: String,
        /// Its tenant.
        #[arg(long)]
        tenant_id: String,
        /// The identity behind it.
        #[arg(long, default_value = ATTESTED)]
        backing_identity: String,
        /// The authority; the public cloud's by default.
        #[arg(long, default_value = "https://AzureAD")]
        issuer_url: String,
    },
    /// The room's own identity, which CGS vouches for.
    OidcAttested {
        /// The fragment.
        #[arg(long)]
        cleanroom_config: PathBuf,
        /// Unique name.
        #[arg(long)]
        name: String,
        /// Client id.
        #[arg(long, default_value = "")]
        client_id: String,
        /// Tenant.
        #[arg(long, default_value = "")]
        tenant_id: String,
        /// The issuer.
        #[arg(long, default_value = "https://cgs/oidc")]
        issuer_url: String,
    },
}

pub(super) fn run(command: IdentityCommand) -> Result<(), CliError> {
    match command {
        IdentityCommand::AzFederated {
            cleanroom_config,
            name,
            client_id,
            tenant_id,
            backing_identity,
            issuer_url,
        } => change(&cleanroom_config, |spec| {
            let federated_identity = Box::new(identity_of(spec, &backing_identity)?);
            let issuer = ServiceEndpoint {
                protocol: ProtocolType::AzureAdFederated,
                url: issuer_url.trim_end_matches('/').to_owned(),
                configuration: String::new(),
            };
            let token_issuer = TokenIssuer::FederatedIdentityBasedTokenIssuer {
                issuer,
                federated_identity,
            };
            spec.put_identity(Identity {
                name,
                client_id,
                tenant_id,
                token_issuer,
            });
            Ok(())
        }),
        IdentityCommand::OidcAttested {
            cleanroom_config,
            name,
            client_id,
            tenant_id,
            issuer_url,
        } => change(&cleanroom_config, |spec| {
            let attested = Identity::attested(&name, &issuer_url);
            spec.put_identity(Identity {
                client_id,
                tenant_id,
                ..attested
            });
            Ok(())
        }),
    }
}
