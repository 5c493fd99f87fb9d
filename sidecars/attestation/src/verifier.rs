use std::time::SystemTime;

use snp::{
    Check, Material, Measurement, MinimumTcb, Requirements, Roots, UvmRoots, Verdict, Verification,
};

use crate::AttestError;

/// The judge of a group's own evidence, as strict as whoever relies on it: chain to a pinned root, signature, firmware,
/// endorsed utility VM, the group's policy and the bound data.
///
/// Whom it believes is part of the program: no argument, file or variable changes it.
#[derive(Clone, Debug)]
pub struct Verifier {
    roots: Roots,
    uvm_roots: UvmRoots,
    minimum_tcb: MinimumTcb,
}

impl Verifier {
    /// AMD's roots, Microsoft's utility VMs and the shipped minimum of firmware.
    ///
    /// # Errors
    /// None: what is compiled in is well formed.
    pub fn production() -> Result<Self, AttestError> {
        Ok(Self::with_roots(Roots::amd(), UvmRoots::microsoft()?))
    }

    /// Other roots under the same requirements. Whoever calls this trusts whoever holds their keys: for tests alone.
    pub const fn with_roots(roots: Roots, uvm_roots: UvmRoots) -> Self {
        Self {
            roots,
            uvm_roots,
            minimum_tcb: MinimumTcb::shipped(),
        }
    }

    /// Holds evidence against what a group under the policy with hash `host_data` must give now as an answer that binds
    /// `report_data`. About a millisecond of computing.
    pub fn verify(
        &self,
        material: Material<'_>,
        host_data: [u8; 32],
        report_data: [u8; 64],
    ) -> Verification {
        self.judge(material, &self.requirements(host_data, report_data))
    }

    /// The same where nothing endorses the utility VM: its measurement is not judged.
    pub(crate) fn verify_without_uvm(
        &self,
        material: Material<'_>,
        host_data: [u8; 32],
        report_data: [u8; 64],
    ) -> Verification {
        let requirements = Requirements {
            measurement: Measurement::Unjudged,
            ..self.requirements(host_data, report_data)
        };
        self.judge(material, &requirements)
    }

    fn requirements(&self, host_data: [u8; 32], report_data: [u8; 64]) -> Requirements {
        let now = SystemTime::now();
        Requirements::new(now, report_data, vec![host_data], self.minimum_tcb)
    }

    fn judge(&self, material: Material<'_>, requirements: &Requirements) -> Verification {
        snp::verify(material, requirements, &self.roots, &self.uvm_roots)
    }
}

/// Refuses unless every check passed.
pub(crate) fn accepted(verification: &Verification) -> Result<(), AttestError> {
    if verification.accepted() {
        return Ok(());
    }
    let of = |verdict| -> Vec<Check> {
        let checks = verification.checks().iter();
        checks
            .filter(|one| one.verdict == verdict)
            .cloned()
            .collect()
    };
    let failed = of(Verdict::Failed);
    Err(AttestError::Unverified {
        // What was not evaluated follows from what failed, and tells nothing new.
        failed: match failed.is_empty() {
            true => of(Verdict::NotEvaluated),
            false => failed,
        },
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use snp::CheckId;

    use super::*;

    /// Evidence under the test root, judged at a time by a verifier of that root.
    fn failing_at(verifier: &Verifier, seconds: u64) -> Vec<CheckId> {
        let report = emulators::amd::issue_report(&[1; 32], &[2; 64]).unwrap();
        let (chain, uvm) = (
            emulators::amd::chain_pem(),
            emulators::amd::uvm_endorsement(),
        );
        let material = Material {
            report: &report,
            chain_pem: &chain,
            uvm_endorsement: Some(&uvm),
        };
        let requirements = Requirements {
            now: UNIX_EPOCH + Duration::from_secs(seconds),
            ..verifier.requirements([1; 32], [2; 64])
        };
        match accepted(&verifier.judge(material, &requirements)) {
            Ok(()) => Vec::new(),
            Err(AttestError::Unverified { failed }) => failed.iter().map(|one| one.id).collect(),
            Err(other) => panic!("{other}"),
        }
    }

    fn of_the_test_root() -> Verifier {
        let issuer = include_str!("../../../tests/vectors/attestation-mock/uvm-did.txt");
        let feed = UvmRoots::microsoft().unwrap().feed().to_owned();
        Verifier::with_roots(
            Roots::from_pem(&emulators::amd::ark_pem()).unwrap(),
            UvmRoots::custom(issuer.trim(), &feed, 100).unwrap(),
        )
    }

    #[test]
    fn a_clock_outside_the_certificates_validity_is_told_as_such() {
        let verifier = of_the_test_root();
        const IN_2026: u64 = 1_780_000_000;
        assert_eq!(failing_at(&verifier, IN_2026), []);
        // A guest that boots without a clock, and one that is set ten years ahead.
        let all = [
            CheckId::RootValidity,
            CheckId::IntermediateValidity,
            CheckId::LeafValidity,
        ];
        assert_eq!(failing_at(&verifier, 0), all);
        assert_eq!(
            failing_at(&verifier, 2_100_000_000),
            [CheckId::LeafValidity]
        );
    }

    #[test]
    fn production_does_not_believe_the_test_root() {
        let failed = failing_at(&Verifier::production().unwrap(), 1_780_000_000);
        assert!(failed.contains(&CheckId::RootPinned), "{failed:?}");
        assert!(failed.contains(&CheckId::UvmIssuer), "{failed:?}");
    }

    #[test]
    fn the_text_of_a_refusal_is_short_and_names_expected_and_actual() {
        let check = Check {
            id: CheckId::Vmpl,
            expected: "0".to_owned(),
            actual: "1".to_owned(),
            verdict: Verdict::Failed,
        };
        let text = |count| {
            let failed = vec![check.clone(); count];
            AttestError::Unverified { failed }.to_string()
        };
        let one = text(1);
        assert!(
            one.ends_with("CR-SNP-0043 vmpl: expected 0, actual 1"),
            "{one}"
        );
        assert!(text(7).ends_with("; and 3 more"));
    }
}
