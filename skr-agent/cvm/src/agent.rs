use attestation::{AttestError, Report};
use cleanroom_crypto::random;
use cvm_evidence::{
    AkCertificate, Attestation, Bound, Evidence, HclReport, PcrSelection, Quote, self_check,
};
use serde_json::value::RawValue;

use crate::tpm::{Collected, Job};
use crate::{Asked, CvmError, Metadata, Tpm};

/// Collects evidence and hands it out if it holds together.
#[derive(Debug)]
pub struct Agent {
    tpm: Tpm,
    metadata: Metadata,
}

/// Evidence that holds together.
pub(crate) struct Sound {
    evidence: Evidence,
    report: Report,
}

impl Agent {
    /// An agent over a TPM and a metadata service.
    pub const fn new(tpm: Tpm, metadata: Metadata) -> Self {
        Self { tpm, metadata }
    }

    /// Evidence that binds what was asked for, with the certificates for it.
    ///
    /// What a new report may cure is tried once more: see `CvmError::passes`.
    ///
    /// # Errors
    /// The TPM gives nothing, what it gives does not hold together, or there are no certificates for it.
    #[tracing::instrument(name = "evidence.collect", skip_all)]
    pub async fn attest(&self, asked: &Asked) -> Result<Attestation, CvmError> {
        let certified = async {
            match self.certified(asked, false).await {
                Err(error) if error.passes() => {
                    tracing::info!(%error, "having the report made anew");
                    self.certified(asked, true).await
                }
                outcome => outcome,
            }
        };
        let (certified, image_reference) = tokio::join!(certified, self.metadata.image());
        let (evidence, platform_certificates) = certified?;
        Ok(Attestation {
            evidence,
            nonce: asked.nonce.clone(),
            platform_certificates,
            image_reference,
        })
    }

    /// Evidence with whatever `user-data` the report binds now, for a nonce of our own; `renew` has the report made anew.
    pub(crate) async fn own(&self, renew: bool) -> Result<Sound, CvmError> {
        let nonce = random::bytes::<32>().map_err(AttestError::from)?;
        self.sound(None, &nonce, PcrSelection::ALL, renew).await
    }

    /// Whether there are certificates for the evidence.
    pub(crate) async fn certify(&self, sound: &Sound) -> Result<(), CvmError> {
        self.metadata.certificates(&sound.report).await.map(drop)
    }

    async fn certified(&self, asked: &Asked, renew: bool) -> Result<(Evidence, String), CvmError> {
        let user_data = Some(&asked.user_data);
        let sound = self
            .sound(user_data, &asked.nonce, asked.pcrs, renew)
            .await?;
        let certificates = self.metadata.certificates(&sound.report).await?;
        Ok((sound.evidence, certificates))
    }

    async fn sound(
        &self,
        user_data: Option<&[u8; 64]>,
        nonce: &[u8],
        pcrs: PcrSelection,
        renew: bool,
    ) -> Result<Sound, CvmError> {
        let job = Job {
            user_data: user_data.map(|bytes| bytes.to_vec()),
            renew,
            nonce: nonce.to_vec(),
            pcrs: pcrs.indices().collect(),
        };
        let collected = self.tpm.collect(job).await?;
        check(collected, user_data, nonce, pcrs)
    }
}

/// The evidence in what the TPM gave, if it holds together.
fn check(
    collected: Collected,
    user_data: Option<&[u8; 64]>,
    nonce: &[u8],
    pcrs: PcrSelection,
) -> Result<Sound, CvmError> {
    let hcl = HclReport::parse(&collected.hcl_report)?;
    let claims = hcl.claims()?;
    let (modulus, exponent) = &collected.ak;
    let bound = (claims.ak().n_be(), claims.ak().e_be());
    if (number(modulus), number(exponent)) != (number(bound.0), number(bound.1)) {
        return Err(CvmError::ForeignAk);
    }
    let quote = Quote::of_parts(&collected.statement, &collected.signature)?;
    let ak_certificate = AkCertificate::trim(&collected.ak_certificate)?;
    let present = claims.user_data().copied().unwrap_or([0; 64]);
    let bound = Bound {
        nonce,
        user_data: user_data.unwrap_or(&present),
        pcrs,
    };
    self_check(&hcl, &quote, &collected.pcrs, &ak_certificate, bound)?;
    let report = Report::parse(hcl.snp_report()).map_err(AttestError::from)?;
    report.refuse_open_guests().map_err(AttestError::from)?;
    Ok(Sound {
        evidence: Evidence {
            tpm_quote: quote.to_bytes(),
            snp_report: hcl.snp_report().to_vec(),
            aik_cert: ak_certificate.der().to_vec(),
            pcrs: collected.pcrs,
            runtime_claims: readable(hcl.claims_json()),
            hcl_report: collected.hcl_report,
        },
        report,
    })
}

/// Without leading zeros.
fn number(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// The claims were read before, so they are JSON.
fn readable(claims: &[u8]) -> Option<Box<RawValue>> {
    let text = String::from_utf8(claims.to_vec()).ok()?;
    RawValue::from_string(text).ok()
}
