//! Which service answers to which name, and how each is made from the configuration.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use rustls_pki_types::CertificateDer;

use super::dispatch::Dispatch;
use super::{
    ARM_HOST, AZURE_CACHE_HOST, ENTRA_HOST, KDS_HOST, MAA_HOST, Surroundings, WorldConfig,
    WorldError,
};
use crate::blob::{Blob, Caller, STORAGE_AUDIENCE};
use crate::cgs::{Cgs, CgsConfig, CgsError, ClientCertificate, amd_verifier};
use crate::entra::Entra;
use crate::maa::Maa;
use crate::registry::Registry;
use crate::thim::Thim;
use crate::vault::{Vault, VaultConfig, VaultSigner};

/// The services of one world.
#[derive(Clone, Debug)]
pub struct Services {
    /// Blob storage, every account.
    pub blob: Blob,
    /// The registry, every repository; all registry hosts show the same one.
    pub registry: Registry,
    /// Attestation.
    pub maa: Maa,
    /// Governance.
    pub cgs: Cgs,
    /// Tokens.
    pub entra: Entra,
    /// Certificates of processors: THIM, the Azure cache and AMD.
    pub thim: Thim,
    /// Vaults and managed HSMs by host name.
    pub vaults: BTreeMap<String, Vault>,
}

impl Services {
    pub(super) async fn start(around: &Surroundings<'_>) -> Result<Self, WorldError> {
        let entra = tokens(around).map_err(|e| refused("entra", &e))?;
        let judge = entra.clone();
        let blob = Blob::new(Arc::new(move |token| {
            let principal = judge.verify(token, STORAGE_AUDIENCE)?;
            Ok(Caller {
                tenant_id: principal.tenant_id,
                client_id: principal.client_id,
            })
        }));
        for party in &around.config.parties {
            for account in &party.storage_accounts {
                blob.add_account(&account.name, &party.tenant_id, &account.grants);
                if account.hierarchical {
                    blob.make_hierarchical(&account.name);
                }
            }
        }
        let maa = Maa::new(around.origin(MAA_HOST)).map_err(|e| refused("maa", &e))?;
        let cgs = governance(around.config).map_err(|e| refused("cgs", &e))?;
        let vaults = vaults(around, &entra, &maa).map_err(|e| refused("vault", &e))?;
        Ok(Self {
            blob,
            registry: Registry::new(),
            maa,
            cgs,
            entra,
            thim: Thim::default(),
            vaults,
        })
    }

    pub(super) fn mount(&self, config: &WorldConfig, dispatch: &mut Dispatch) -> Vec<String> {
        let mut hosts = Vec::new();
        let mut site = |host: &str, service, router| {
            dispatch.add(host, service, router);
            hosts.push(host.to_owned());
        };
        site(MAA_HOST, "maa", self.maa.router());
        site(ENTRA_HOST, "entra", self.entra.router());
        site(ARM_HOST, "arm", self.entra.arm_router());
        site(AZURE_CACHE_HOST, "acccache", self.thim.azure_router());
        site(KDS_HOST, "kds", self.thim.kds_router());
        for (host, vault) in &self.vaults {
            site(host, "vault", vault.router());
        }
        for party in &config.parties {
            for account in &party.storage_accounts {
                for suffix in ["blob.core.windows.net", "z1.web.core.windows.net"] {
                    site(
                        &format!("{}.{suffix}", account.name),
                        "blob",
                        self.blob.router(),
                    );
                }
                // Its own service: faults and request logs tell the two endpoints of an account apart.
                let dfs = format!("{}.dfs.core.windows.net", account.name);
                site(&dfs, "dfs", self.blob.router());
            }
        }
        for registry in &config.registries {
            site(
                &format!("{registry}.azurecr.io"),
                "registry",
                self.registry.router(),
            );
        }
        // In-process clients that cannot be told where a name is reach the registry without one.
        for host in ["localhost", "127.0.0.1"] {
            dispatch.add(host, "registry", self.registry.router());
        }
        hosts.sort();
        hosts.dedup();
        hosts
    }

    pub(super) fn thim_router(&self) -> Router {
        self.thim.thim_router()
    }

    pub(super) fn cgs_router(&self) -> Router {
        self.cgs.router()
    }

    pub(super) fn cgs_tls(&self) -> (Vec<CertificateDer<'static>>, Vec<u8>) {
        self.cgs.node_tls()
    }

    pub(super) fn hold_commits(&self, hold: bool) {
        self.cgs.hold_commits(hold);
    }

    pub(super) fn service_cert_pem(&self) -> String {
        self.cgs.service_cert_pem()
    }
}

fn governance(config: &WorldConfig) -> Result<Cgs, CgsError> {
    let commit_delay = Some(Duration::from_millis(config.commit_delay_ms));
    let cgs = Cgs::new(CgsConfig {
        commit_delay,
        ..CgsConfig::new(amd_verifier())
    })?;
    if let Some(pem) = &config.operator_cert_pem {
        cgs.add_member(
            pem,
            serde_json::json!({ "identifier": "operator", "isOperator": true }),
        )?;
    }
    Ok(cgs)
}

fn tokens(around: &Surroundings<'_>) -> anyhow::Result<Entra> {
    let entra = Entra::new(&around.origin(ENTRA_HOST), Arc::new(around.fetcher()))?;
    for party in &around.config.parties {
        entra.add_tenant(&party.tenant_id);
        if let Some(principal) = &party.service_principal {
            entra.add_service_principal(&party.tenant_id, &principal.client_id, &principal.secret);
        }
        if let Some(identity) = &party.managed_identity {
            entra.add_managed_identity(&party.tenant_id, &identity.client_id, &identity.name);
        }
    }
    Ok(entra)
}

/// Every party's vaults; the party's managed identity may read secrets and have keys released.
fn vaults(
    around: &Surroundings<'_>,
    entra: &Entra,
    maa: &Maa,
) -> anyhow::Result<BTreeMap<String, Vault>> {
    let issuer = maa.issuer().trim_end_matches('/').to_owned();
    let mut vaults = BTreeMap::new();
    for party in &around.config.parties {
        for spec in &party.vaults {
            let host = spec.host();
            let vault = Vault::new(VaultConfig {
                origin: around.origin(&host),
                kind: spec.kind,
                owner_tenant: party.tenant_id.clone(),
                entra: entra.clone(),
                issuers: BTreeMap::from([(issuer.clone(), maa.signing_certificates())]),
                signer: VaultSigner::issue(around.authority, &host)?,
            });
            if let Some(identity) = &party.managed_identity {
                vault.allow(&identity.client_id);
            }
            vaults.insert(host, vault);
        }
    }
    Ok(vaults)
}

/// Hands the certificate of a client that proved its key to the service.
pub(super) fn present(request: &mut Request<Body>, der: Vec<u8>) {
    request.extensions_mut().insert(ClientCertificate(der));
}

fn refused(service: &'static str, reason: &impl std::fmt::Display) -> WorldError {
    WorldError::Service {
        service,
        reason: format!("{reason:#}"),
    }
}
