use attestation::{
    AttestError, ContextPlace, Evidence, MaaClient, MaaToken, Report, RuntimeData, SecurityContext,
    Verified, Verifier, is_allow_all, parse_endpoint,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::Dek;
use cleanroom_crypto::digest::sha256;
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use keyvault::{KeyClient, ReleaseClient, ReleasedKey, SecretClient, VaultKind, evaluate};
use url::Url;
use zeroize::Zeroizing;

use super::DoctorArgs;
use super::evidence::Source;
use super::walk::Walk;
use crate::CliError;
use crate::attest::files;
use crate::credential::{Access, AccessToken, Azure};

const TRANSFER_KEY_BITS: usize = 2048;
const TOKEN_CAP: u64 = 64 << 10;

const DEVICE: &str = "device";
const CONTEXT: &str = "context files";
const POLICY: &str = "policy hash";
const ENDORSEMENTS: &str = "endorsements";
const VERIFICATION: &str = "verification";
const MAA: &str = "MAA";
const TOKEN: &str = "token";
const VAULT: &str = "vault";
const WRAP: &str = "wrap";

/// One examination: what to look at, and with what.
pub(super) struct Examination<'a> {
    args: &'a DoctorArgs,
    azure: Azure,
    verifier: Verifier,
    source: Source,
    maa: Option<Url>,
    key: Option<(Url, &'a str)>,
    secret: Option<(Url, &'a str)>,
}

impl<'a> Examination<'a> {
    pub(super) fn new(args: &'a DoctorArgs, access: &Access) -> Result<Self, CliError> {
        let endpoint = |text: &Option<String>| text.as_deref().map(parse_endpoint).transpose();
        let vault = endpoint(&args.vault)?;
        let secret_vault = endpoint(&args.secret_vault)?.or_else(|| vault.clone());
        let (roots, uvm_roots) = args.trust.roots()?;
        Ok(Self {
            verifier: Verifier::with_roots(roots, uvm_roots),
            azure: access.azure()?,
            source: Source::of(args.agent)?,
            maa: endpoint(&args.maa)?,
            key: vault.zip(args.key.as_deref()),
            secret: secret_vault.zip(args.secret.as_deref()),
            args,
        })
    }

    pub(super) async fn walk(&self) -> Result<Walk, CliError> {
        let mut walk = Walk::default();
        let transfer_key =
            tokio::task::spawn_blocking(|| PrivateKey::generate(TRANSFER_KEY_BITS)).await;
        let transfer_key = transfer_key.map_err(|_| AttestError::Stopping)??;
        let runtime = RuntimeData::of_transfer_key(&transfer_key.public_key());

        let report = self.device(&mut walk, &runtime).await;
        let context = SecurityContext::find(&ContextPlace {
            directory: self.args.context_dir.clone(),
            ..ContextPlace::default()
        })
        .await;
        self.context(&mut walk, &context);
        policy_hash(&mut walk, &context, report.as_ref());
        let evidence = match &report {
            Some(report) => {
                self.endorsements(&mut walk, report, &context, &runtime)
                    .await
            }
            None => {
                walk.not_checked(ENDORSEMENTS, "there is no report", "mend the device first");
                None
            }
        };
        let evidence = self.verification(&mut walk, evidence, &context, &runtime);
        let token = self.maa(&mut walk, evidence.as_ref(), &runtime).await;
        let key = self.vault(&mut walk, token.as_ref(), &transfer_key).await;
        self.wrap(&mut walk, key.as_ref()).await;
        Ok(walk)
    }

    async fn device(&self, walk: &mut Walk, runtime: &RuntimeData) -> Option<Report> {
        let todo = if self.source.is_agent() {
            "start skr-agent with --tcp at this address, and look into its log"
        } else {
            "run this in a confidential container group, or name a running skr-agent with --agent"
        };
        let report = self.source.report(runtime).await;
        let report = walk.step(DEVICE, report, describe, todo)?;
        if report.report_data() != &runtime.report_data() {
            walk.wrong(
                DEVICE,
                "the report carries other report_data than was asked for",
                "ask the agent itself, not a recording of its answers",
            );
            return None;
        }
        Some(report)
    }

    fn context(&self, walk: &mut Walk, context: &SecurityContext) {
        let missing: Vec<AttestError> = [
            context.policy().err(),
            context.uvm_endorsements().err(),
            context.host_amd_cert().err(),
        ]
        .into_iter()
        .flatten()
        .collect();
        match missing.first() {
            None => walk.passed(CONTEXT, "policy, utility VM endorsement, host certificates"),
            Some(first) if self.source.is_agent() && self.args.context_dir.is_none() => {
                let why = format!("not visible from here ({first}); the agent has its own");
                walk.not_checked(CONTEXT, &why, "name the directory with --context-dir");
            }
            Some(first) => {
                let todo = "mount the group's security context here (UVM_SECURITY_CONTEXT_DIR); without it, \
                            the group is not confidential";
                walk.failed(CONTEXT, first, todo);
            }
        }
    }

    async fn endorsements(
        &self,
        walk: &mut Walk,
        report: &Report,
        context: &SecurityContext,
        runtime: &RuntimeData,
    ) -> Option<Evidence> {
        let client = self.azure.client();
        let evidence = self
            .source
            .evidence(report, context, &client, runtime)
            .await;
        let describe = |evidence: &Evidence| format!("for TCB {}", evidence.endorsed_tcb);
        let todo = "let the host's certificates be fetched again: allow THIM (169.254.169.254), or restart the group";
        walk.step(ENDORSEMENTS, evidence, describe, todo)
    }

    /// The evidence, if whoever relies on it would accept it.
    fn verification(
        &self,
        walk: &mut Walk,
        evidence: Option<Evidence>,
        context: &SecurityContext,
        runtime: &RuntimeData,
    ) -> Option<Evidence> {
        let Some(evidence) = evidence else {
            walk.not_checked(
                VERIFICATION,
                "there is no evidence",
                "mend what failed above",
            );
            return None;
        };
        // Where the policy is not visible from here, whose it is has a step of its own.
        let host_data = context
            .policy()
            .map_or_else(|_| *evidence.report.host_data(), sha256);
        let bound = runtime.report_data();
        let verification = self.verifier.verify(evidence.material(), host_data, bound);
        let todo = "look up the code of each failed check: it says who must act; until then no vault releases a key";
        walk.verification(VERIFICATION, &verification, todo);
        verification.accepted().then_some(evidence)
    }

    async fn maa(
        &self,
        walk: &mut Walk,
        evidence: Option<&Evidence>,
        runtime: &RuntimeData,
    ) -> Option<Verified<MaaToken>> {
        let Some(maa) = &self.maa else {
            walk.not_checked(MAA, "none is named", "name it with --maa");
            walk.not_checked(TOKEN, "no MAA instance is named", "name it with --maa");
            return None;
        };
        let Some(evidence) = evidence else {
            walk.not_checked(
                MAA,
                "there is no evidence that verifies",
                "mend what failed above",
            );
            walk.not_checked(TOKEN, "there is no evidence", "mend what failed above");
            return None;
        };
        let answer = MaaClient::new(self.azure.client())
            .attest(maa, evidence, runtime)
            .await;
        if let Err(error @ AttestError::Https(_)) = &answer {
            let todo = "check the name and the way to it; the room must be allowed to reach MAA";
            walk.failed(MAA, error, todo);
            walk.not_checked(TOKEN, "MAA was not reached", "mend MAA first");
            return None;
        }
        walk.passed(MAA, format!("{maa} answers"));
        let token = match answer {
            Ok(token) => token,
            Err(error) => {
                let todo = "read MAA's reason: evidence that it refuses is not the one this host should give";
                walk.failed(TOKEN, &error, todo);
                return None;
            }
        };
        match token.compliance() {
            Some(status) => walk.passed(TOKEN, format!("{status}, lifetime and claims are right")),
            None => {
                walk.wrong(
                    TOKEN,
                    "x-ms-compliance-status: expected azure-compliant-uvm, actual nothing",
                    "run under a utility VM that Microsoft endorses: release policies ask for it",
                );
            }
        }
        Some(token)
    }

    async fn vault(
        &self,
        walk: &mut Walk,
        token: Option<&Verified<MaaToken>>,
        transfer_key: &PrivateKey,
    ) -> Option<ReleasedKey> {
        let Some((vault, key)) = &self.key else {
            walk.not_checked(VAULT, "no key is named", "name it with --vault and --key");
            return None;
        };
        let Some(token) = token else {
            walk.not_checked(VAULT, "there is no token", "mend what failed above");
            return None;
        };
        let access = match self.access(self.args.vault_kind).await {
            Ok(access) => access,
            Err(error) => {
                walk.failed(VAULT, &error, "log in as who may release the key");
                return None;
            }
        };
        // The vault does not say which clause fails. Whoever may read the key is told so before the vault is asked.
        let keys = KeyClient::new(self.azure.client());
        if let Ok(Some(info)) = keys.get(vault, key, &access).await
            && let Some(policy) = &info.release_policy
            && let Ok(explanation) = evaluate(policy, token.claims())
            && !explanation.released
        {
            let failing = explanation.clauses.iter().filter(|clause| !clause.holds);
            let failing: Vec<String> = failing
                .map(|clause| {
                    let nothing = || "nothing".to_owned();
                    let actual = clause
                        .actual
                        .as_ref()
                        .map_or_else(nothing, ToString::to_string);
                    format!(
                        "{}: expected {} {}, actual {actual}",
                        clause.claim, clause.operator, clause.expected
                    )
                })
                .collect();
            let found = format!("the release policy is not met: {}", failing.join("; "));
            let todo = "bind the key to this deployment again (config wrap-deks), or run the one it is bound to";
            walk.wrong(VAULT, found, todo);
            return None;
        }
        let client = ReleaseClient::new(self.azure.client(), self.azure.trust());
        let released = client
            .release(vault, key, &access, token.jwt(), transfer_key)
            .await;
        let describe = |key: &ReleasedKey| format!("released {}", key.kid());
        let todo = "give this identity the role of a release user, and check the key's name and release policy";
        walk.step(VAULT, released, describe, todo)
    }

    /// The token that was given, where it is for this kind of vault, else one of whoever is logged in.
    async fn access(&self, kind: VaultKind) -> Result<AccessToken, CliError> {
        match &self.args.access_token_file {
            Some(path) if kind == self.args.vault_kind => {
                Ok(Zeroizing::new(files::text(path, TOKEN_CAP)?))
            }
            _ => self.azure.token(kind.audience()).await,
        }
    }

    async fn wrap(&self, walk: &mut Walk, key: Option<&ReleasedKey>) {
        let Some((vault, name)) = &self.secret else {
            walk.not_checked(WRAP, "no secret is named", "name it with --secret");
            return;
        };
        let Some(key) = key else {
            walk.not_checked(WRAP, "no key was released", "mend what failed above");
            return;
        };
        let Some(key) = key.rsa() else {
            let todo = "wrap data encryption keys with an RSA key";
            walk.wrong(WRAP, "the released key is no RSA key", todo);
            return;
        };
        let outcome = self.open(vault, name, key).await;
        let describe = |(): &()| format!("{name} opens with the released key");
        let todo = "wrap the data encryption key again (config wrap-deks)";
        walk.step(WRAP, outcome, describe, todo);
    }

    async fn open(&self, vault: &Url, name: &str, key: &PrivateKey) -> Result<(), CliError> {
        // Only Key Vault keeps secrets, wherever the key encryption key is.
        let access = self.access(VaultKind::KeyVault).await?;
        let secret = SecretClient::new(self.azure.client())
            .get(vault, name, &access)
            .await?;
        let wrapped = BASE64_STANDARD
            .decode(secret.expose())
            .map_err(|_| CliError::Wrapped {
                name: name.to_owned(),
            })?;
        Dek::from_slice(&key.decrypt_oaep(OaepHash::Sha256, &wrapped)?)?;
        Ok(())
    }
}

fn describe(report: &Report) -> String {
    format!(
        "a report of version {} at VMPL {}, TCB {:016X}",
        report.version(),
        report.vmpl(),
        report.reported_tcb()
    )
}

fn policy_hash(walk: &mut Walk, context: &SecurityContext, report: Option<&Report>) {
    let (Ok(policy), Some(report)) = (context.policy(), report) else {
        let why = "a report and the policy are needed";
        walk.not_checked(POLICY, why, "mend what failed above");
        return;
    };
    let (policy, host_data) = (sha256(policy), report.host_data());
    if is_allow_all(host_data) {
        let found = format!(
            "host_data {} belongs to a policy that allows everything",
            hex::encode(host_data)
        );
        walk.wrong(
            POLICY,
            found,
            "deploy the policy that was generated for this contract",
        );
    } else if &policy != host_data {
        let found = format!(
            "SHA-256 of the policy here is {}, the report's host_data is {}",
            hex::encode(policy),
            hex::encode(host_data)
        );
        walk.wrong(
            POLICY,
            found,
            "use the context directory of this very group",
        );
    } else {
        walk.passed(POLICY, format!("host_data {}", hex::encode(host_data)));
    }
}
