use cleanroom_crypto::digest::sha256;
use subtle::ConstantTimeEq;

use crate::{AttestError, Report, RuntimeData, SecurityContext};

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
    /// Gets a report bound to `runtime` and checks that it fits its surroundings: the binding, the measured policy, the
    /// certificates' TCB; guests that allow everything or debugging are refused.
    ///
    /// # Errors
    /// No report, an unusable context, or one of the checks.
    pub async fn collect<A: Attester>(
        attester: &A,
        context: &SecurityContext,
        runtime: &RuntimeData,
    ) -> Result<Self, AttestError> {
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
        let host = context.host_amd_cert()?;
        host.check_tcb(report.reported_tcb())?;
        Ok(Self {
            endorsements_pem: host.chain_pem(),
            endorsed_tcb: host.tcbm.clone(),
            uvm_endorsements: context.uvm_endorsements()?.to_vec(),
            report,
        })
    }
}
