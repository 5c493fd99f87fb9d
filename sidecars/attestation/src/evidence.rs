use cleanroom_crypto::digest::sha256;
use subtle::ConstantTimeEq;

use crate::{AttestError, EndorsementStore, Report, RuntimeData, SecurityContext};

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
    /// Gets a report bound to `runtime` with what vouches for it, and checks that they fit: the binding, the measured
    /// policy, the certificates' chip and TCB; guests that allow everything or debugging are refused.
    ///
    /// The group may be moved to another host between the report and the search for its certificates, so where nobody has
    /// certificates a second report is tried, once.
    ///
    /// # Errors
    /// No report, an unusable context, one of the checks, or no certificates.
    pub async fn collect<A: Attester>(
        attester: &A,
        context: &SecurityContext,
        store: &EndorsementStore,
        runtime: &RuntimeData,
    ) -> Result<Self, AttestError> {
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
        Ok(Self {
            endorsements_pem: endorsements.pem().to_owned(),
            endorsed_tcb: endorsements.tcbm(),
            uvm_endorsements: context.uvm_endorsements()?.to_vec(),
            report,
        })
    }

    async fn report<A: Attester>(
        attester: &A,
        context: &SecurityContext,
        runtime: &RuntimeData,
    ) -> Result<Report, AttestError> {
        let report_data = runtime.report_data();
        let report = attester.report(report_data).await?;
        if !bool::from(report.report_data().ct_eq(&report_data)) {
            return Err(AttestError::Unbound);
        }
        report.refuse_open_guests()?;
        let policy = sha256(context.policy()?);
        if &policy != report.host_data() {
            return Err(AttestError::PolicyMismatch {
                policy: hex::encode(policy),
                host_data: hex::encode(report.host_data()),
            });
        }
        // Before anybody is asked for certificates: without it there is no evidence.
        context.uvm_endorsements()?;
        Ok(report)
    }
}

fn same_platform(one: &Report, other: &Report) -> bool {
    one.chip_id() == other.chip_id() && one.reported_tcb() == other.reported_tcb()
}
