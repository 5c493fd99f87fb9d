use cleanroom_crypto::digest::sha256;
use snp::Material;
use subtle::ConstantTimeEq;

use crate::verifier::accepted;
use crate::{
    AttestError, EndorsementStore, Endorsements, Report, RuntimeData, SecurityContext, Verified,
    Verifier,
};

/// Where reports come from.
///
/// Production has one implementation, [`crate::SnpDevice`]; nothing in this crate makes a report without hardware.
pub trait Attester: Send + Sync + 'static {
    /// A report that carries `report_data`.
    fn report(
        &self,
        report_data: [u8; 64],
    ) -> impl Future<Output = Result<Report, AttestError>> + Send;
}

/// A report with everything that vouches for it.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The report.
    pub report: Report,
    /// PEM: VCEK, ASK, ARK.
    pub endorsements_pem: String,
    /// COSE_Sign1 over the utility VM's measurement.
    pub uvm_endorsements: Vec<u8>,
    /// The TCB that the certificates vouch for, as THIM writes it: 16 upper-case hex digits.
    pub endorsed_tcb: String,
}

impl Evidence {
    /// Gets a report bound to `runtime` with what vouches for it, and has `verifier` judge the whole: nothing leaves the
    /// group that would not convince whoever relies on it.
    ///
    /// The group may be moved to another host between the report and the search for its certificates, so where nobody has
    /// certificates a second report is tried, once.
    ///
    /// # Errors
    /// No report, an unusable context, no certificates, or [`AttestError::Unverified`] with the checks that failed.
    pub async fn collect<A: Attester>(
        attester: &A,
        context: &SecurityContext,
        store: &EndorsementStore,
        verifier: &Verifier,
        runtime: &RuntimeData,
    ) -> Result<Verified<Self>, AttestError> {
        let report = Self::report(attester, context, runtime).await?;
        let (report, endorsements) = match store.find(&report, context).await {
            Ok(endorsements) => (report, endorsements),
            Err(first) => {
                let again = Self::report(attester, context, runtime).await?;
                if same_platform(&report, &again) {
                    return Err(first);
                }
                tracing::info!("the platform changed under the group: taking the new report");
                let endorsements = store.find(&again, context).await?;
                (again, endorsements)
            }
        };
        Self::of(report, &endorsements, context)?.verified(verifier, context, runtime)
    }

    /// The parts put together, nothing judged.
    ///
    /// # Errors
    /// The context has no endorsement of the utility VM.
    pub fn of(
        report: Report,
        endorsements: &Endorsements,
        context: &SecurityContext,
    ) -> Result<Self, AttestError> {
        Ok(Self {
            endorsements_pem: endorsements.pem().to_owned(),
            endorsed_tcb: endorsements.tcbm(),
            uvm_endorsements: context.uvm_endorsements()?.to_vec(),
            report,
        })
    }

    /// The evidence as proof that a group under the context's policy gave it for `runtime`.
    ///
    /// # Errors
    /// No policy or another than the measured one, or [`AttestError::Unverified`].
    pub fn verified(
        self,
        verifier: &Verifier,
        context: &SecurityContext,
        runtime: &RuntimeData,
    ) -> Result<Verified<Self>, AttestError> {
        let policy = measured(context.policy()?, &self.report)?;
        let verification = verifier.verify(self.material(), policy, runtime.report_data());
        accepted(&verification)?;
        Ok(Verified::new(self))
    }

    /// The evidence as the verifier takes it.
    pub fn material(&self) -> Material<'_> {
        Material {
            report: self.report.as_bytes(),
            chain_pem: &self.endorsements_pem,
            uvm_endorsement: Some(&self.uvm_endorsements),
        }
    }

    /// A report that carries what was asked for, of a guest that restricts what runs in it and cannot be debugged. One
    /// request to the secure processor; nothing vouches for the report yet.
    ///
    /// # Errors
    /// No report, or one that is not so.
    pub async fn bound_report<A: Attester>(
        attester: &A,
        runtime: &RuntimeData,
    ) -> Result<Report, AttestError> {
        let report_data = runtime.report_data();
        let report = attester.report(report_data).await?;
        if !bool::from(report.report_data().ct_eq(&report_data)) {
            return Err(AttestError::Unbound);
        }
        report.refuse_open_guests()?;
        Ok(report)
    }

    /// A report alone, judged as far as something vouches for it: where the context has no policy or no endorsement of the
    /// utility VM, or nobody has certificates, the checks of these are left out.
    ///
    /// # Errors
    /// No report, one that does not carry what was asked for or is of a guest that allows everything, or
    /// [`AttestError::Unverified`].
    pub async fn report_alone<A: Attester>(
        attester: &A,
        context: &SecurityContext,
        store: &EndorsementStore,
        verifier: &Verifier,
        runtime: &RuntimeData,
    ) -> Result<Report, AttestError> {
        let report = Self::bound_report(attester, runtime).await?;
        let policy = match context.policy() {
            Ok(policy) => measured(policy, &report)?,
            Err(_) => *report.host_data(),
        };
        let endorsements = match store.find(&report, context).await {
            Ok(endorsements) => endorsements,
            Err(error) => {
                tracing::warn!(%error, "a report is given out that nothing here vouches for");
                return Ok(report);
            }
        };
        let uvm_endorsement = context.uvm_endorsements().ok();
        let material = Material {
            report: report.as_bytes(),
            chain_pem: endorsements.pem(),
            uvm_endorsement,
        };
        let bound = runtime.report_data();
        accepted(&match uvm_endorsement {
            Some(_) => verifier.verify(material, policy, bound),
            None => verifier.verify_without_uvm(material, policy, bound),
        })?;
        Ok(report)
    }

    async fn report<A: Attester>(
        attester: &A,
        context: &SecurityContext,
        runtime: &RuntimeData,
    ) -> Result<Report, AttestError> {
        let report = Self::bound_report(attester, runtime).await?;
        measured(context.policy()?, &report)?;
        // Before anybody is asked for certificates: without it there is no evidence.
        context.uvm_endorsements()?;
        Ok(report)
    }
}

/// The hash of the policy, if it is the one that the hardware measured.
fn measured(policy: &[u8], report: &Report) -> Result<[u8; 32], AttestError> {
    let policy = sha256(policy);
    if &policy != report.host_data() {
        return Err(AttestError::PolicyMismatch {
            policy: hex::encode(policy),
            host_data: hex::encode(report.host_data()),
        });
    }
    Ok(policy)
}

fn same_platform(one: &Report, other: &Report) -> bool {
    one.chip_id() == other.chip_id() && one.reported_tcb() == other.reported_tcb()
}
