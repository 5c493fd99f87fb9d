//! Reports with their chains and endorsements: virtual machines and container groups, on Milan and Genoa, of 2022 to 2026.

use serde_json::Value;
use snp::{
    CheckId, EndorsementChain, Material, Report, Requirements, Roots, Tcb, UvmRoots, Verification,
    verify,
};
use x509_cert::der::DateTime;

use super::failed;
use crate::forge::certificate::{date, pem};
use crate::vectors;
use CheckId::*;

/// Evidence of one host at one time.
#[derive(Clone)]
pub(crate) struct Real {
    pub(crate) name: &'static str,
    pub(crate) report: Vec<u8>,
    pub(crate) chain_pem: String,
    pub(crate) uvm_endorsement: Option<Vec<u8>>,
    at: DateTime,
    /// What fails of it under the requirements of a container group that are shipped.
    shipped: &'static [CheckId],
    /// What fails under requirements that ask for no more than the host had.
    always: &'static [CheckId],
}

pub(crate) fn all() -> Vec<Real> {
    let mut all = groups();
    all.extend(machines());
    all
}

/// Container groups.
fn groups() -> Vec<Real> {
    let old_sample = &[MinimumTcb, LaunchTcb, PlatformInfo, AllowAll, UvmSvn];
    let sample = &[AllowAll, UvmSvn];
    let json = |path: &str| vectors::json(&format!("attestation/{path}"));
    let clean_room = |path: &str| json(path)["report"]["snpCACI"].clone();
    vec![
        Real {
            name: "a group of 2023",
            report: vectors::real("snp_report.bin"),
            chain_pem: vectors::real_text("skr-sidecar/uvm_host_amd_certificate.pem"),
            uvm_endorsement: Some(vectors::real("skr-sidecar/body.uvm_reference_info.bin")),
            at: date(2023, 6, 1),
            shipped: &[MinimumTcb, LaunchTcb, PlatformInfo, UvmSvn],
            always: &[],
        },
        Real {
            name: "a group of 2025 without its endorsement",
            report: vectors::real("platform-cert-fetcher-report.bin"),
            chain_pem: vectors::real_text("skr-sidecar/platform-cert-fetcher-chain.pem"),
            uvm_endorsement: None,
            at: date(2026, 1, 1),
            shipped: &[UvmFormat],
            always: &[],
        },
        Real::of_json(
            "a governance service's sample",
            &json("cleanroom-4/governance/attestation-report.json"),
            date(2024, 9, 1),
            old_sample,
        ),
        Real::of_json(
            "another governance service's sample",
            &json("cleanroom-4/governance/verifySnpAttestationInput.json"),
            date(2024, 9, 1),
            old_sample,
        ),
        Real::of_json(
            "an encryption key of clean room 4",
            &json("cleanroom-4/ccf/encryption_key_attestation.json")["report"],
            date(2025, 6, 1),
            old_sample,
        ),
        Real::of_json(
            "a signing key of clean room 4",
            &json("cleanroom-4/ccf/signing_key_attestation.json")["report"],
            date(2025, 6, 1),
            old_sample,
        ),
        Real::of_request(
            "a token request of clean room 4",
            "cleanroom-4/local-skr",
            old_sample,
        ),
        Real::of_json(
            "a key management service's sample",
            &json("privacy-sandbox-kms/snp.json"),
            date(2024, 9, 1),
            old_sample,
        ),
        Real::of_json(
            "an encryption key of clean room 8",
            &clean_room("cleanroom-8/insecure-virtual/encryption/attestation.json"),
            date(2026, 1, 1),
            sample,
        ),
        Real::of_json(
            "a signing key of clean room 8",
            &clean_room("cleanroom-8/insecure-virtual/signing/attestation.json"),
            date(2026, 1, 1),
            sample,
        ),
        Real::of_json(
            "an encryption key of clean room 8 under the other policy",
            &clean_room("cleanroom-8/insecure-virtual-2/encryption/attestation.json"),
            date(2026, 1, 1),
            sample,
        ),
        Real::of_request(
            "a token request of clean room 8",
            "cleanroom-8/insecure-virtual/encryption",
            sample,
        ),
    ]
}

/// Virtual machines, which have no endorsement of a utility VM.
fn machines() -> Vec<Real> {
    let machine = |name, report: Vec<u8>, chain_pem: String, shipped, always| Real {
        name,
        report,
        chain_pem,
        uvm_endorsement: None,
        at: date(2025, 6, 1),
        shipped,
        always,
    };
    let clean_room = |path: &str| {
        let json = vectors::json(path);
        let report = vectors::base64(json["evidence"]["snpReport"].as_str().unwrap());
        (
            report,
            json["platformCertificates"].as_str().unwrap().to_owned(),
        )
    };
    let (encryption, encryption_chain) = clean_room("cvm/cleanroom-encryption.json");
    let (signing, signing_chain) = clean_room("cvm/cleanroom-signing.json");
    let milan = authorities("trustee/milan_ask_ark_asvk.pem", [0, 1]);
    let genoa = vectors::text("cvm/genoa_ask_ark_asvk.pem");
    let v2 = vectors::json("cvm/evidence-v2.json");
    vec![
        machine(
            "a machine of the sev crate",
            hex::decode(vectors::real_text("sev-crate/report_milan.hex").trim()).unwrap(),
            pem(&vectors::real("sev-crate/vcek_milan.der"))
                + &vectors::real_text("sev-crate/cert_chain_milan"),
            &[GuestAbi, MinimumTcb, LaunchTcb, PlatformInfo, UvmFormat],
            &[],
        ),
        machine(
            "a machine of 2023",
            vectors::real("trustee/test-report.bin"),
            pem(&vectors::real("trustee/test-vcek.der")) + &milan,
            &[MinimumTcb, LaunchTcb, PlatformInfo, UvmFormat],
            &[],
        ),
        machine(
            "a machine under a VLEK",
            vectors::real("vlek-report.bin"),
            pem(&vectors::real("trustee/test-vlek.der"))
                + &authorities("trustee/milan_ask_ark_asvk.pem", [2, 1]),
            &[SigningKey, Vmpl, GuestAbi, MinimumTcb, UvmFormat],
            &[],
        ),
        machine(
            "a machine that may be debugged",
            vectors::real("go-sev-guest/attestation.bin"),
            pem(&vectors::real("go-sev-guest/vcek.testcer"))
                + &vectors::real_text("go-sev-guest/milan.testcer"),
            &[
                Debug,
                GuestAbi,
                MinimumTcb,
                LaunchTcb,
                PlatformInfo,
                UvmFormat,
            ],
            &[Debug],
        ),
        machine(
            "a machine with the chain of another",
            vectors::hcl_report(&vectors::bytes("cvm/hcl-2048.bin")),
            vectors::text("cvm/other-chip.pem"),
            &[
                LeafChip,
                ReportSignature,
                MinimumTcb,
                LaunchTcb,
                PlatformInfo,
                UvmFormat,
            ],
            &[LeafChip, ReportSignature],
        ),
        machine(
            "a machine of 2024",
            vectors::hcl_report(&vectors::bytes("cvm/hcl-2600.bin")),
            vectors::text("cvm/hcl-2600-chain.pem"),
            &[MinimumTcb, LaunchTcb, PlatformInfo, UvmFormat],
            &[],
        ),
        machine(
            "a machine of 2025",
            vectors::hcl_report(&vectors::base64(v2["hcl_report"].as_str().unwrap())),
            pem(&vectors::base64(v2["vcek"].as_str().unwrap())) + &milan,
            &[UvmFormat],
            &[],
        ),
        machine(
            "a machine on Genoa",
            vectors::hcl_report(&vectors::json_bytes("cvm/evidence-genoa.json", "report")),
            vectors::text("cvm/vcek-genoa.pem") + &certificates(&genoa, [0, 1]),
            &[UvmFormat],
            &[],
        ),
        machine(
            "a machine's encryption key",
            encryption,
            encryption_chain,
            &[UvmFormat],
            &[],
        ),
        machine(
            "a machine's signing key",
            signing,
            signing_chain,
            &[UvmFormat],
            &[],
        ),
    ]
}

/// Two of the certificates of a real file.
pub(super) fn authorities(file: &str, which: [usize; 2]) -> String {
    certificates(&vectors::real_text(file), which)
}

fn certificates(text: &str, which: [usize; 2]) -> String {
    const BEGIN: &str = "-----BEGIN";
    let all: Vec<&str> = text.split(BEGIN).skip(1).collect();
    which.map(|at| format!("{BEGIN}{}", all[at])).concat()
}

impl Real {
    /// In one of the shapes of `cleanroom attest verify --evidence`.
    fn of_json(
        name: &'static str,
        json: &Value,
        at: DateTime,
        shipped: &'static [CheckId],
    ) -> Self {
        let member = |names: [&str; 2]| {
            let text = names.iter().find_map(|name| json[*name].as_str());
            vectors::base64(text.unwrap_or_else(|| panic!("{name}: {names:?}")))
        };
        Self {
            name,
            report: member(["attestation", "evidence"]),
            chain_pem: String::from_utf8(member(["platformCertificates", "endorsements"])).unwrap(),
            uvm_endorsement: Some(member(["uvmEndorsements", "uvm_endorsements"])),
            at,
            shipped,
            always: &[AllowAll],
        }
    }

    /// As the inner document of a request to the attestation service.
    fn of_request(name: &'static str, folder: &str, shipped: &'static [CheckId]) -> Self {
        let request = vectors::json(&format!("attestation/{folder}/maa-request.json"));
        let report = vectors::base64(request["report"].as_str().unwrap());
        let report: Value = serde_json::from_slice(&report).unwrap();
        let member = |name: &str| vectors::base64(report[name].as_str().unwrap());
        let endorsements: Value = serde_json::from_slice(&member("Endorsements")).unwrap();
        Self {
            name,
            report: member("SnpReport"),
            chain_pem: String::from_utf8(member("VcekCertChain")).unwrap(),
            uvm_endorsement: Some(vectors::base64(endorsements["Uvm"][0].as_str().unwrap())),
            at: date(2026, 1, 1),
            shipped,
            always: &[AllowAll],
        }
    }

    pub(crate) fn fails_always(&self, id: CheckId) -> bool {
        self.always.contains(&id)
    }

    /// The shipped requirements for what the report itself binds and runs under.
    pub(crate) fn shipped(&self) -> Requirements {
        let report = Report::parse(&self.report).unwrap();
        Requirements::new(
            self.at.to_system_time(),
            *report.report_data(),
            vec![*report.host_data()],
            snp::MinimumTcb::shipped(),
        )
    }

    /// Requirements that ask for no more than the host had.
    pub(crate) fn of_its_time(&self) -> Requirements {
        let report = Report::parse(&self.report).unwrap();
        let chain = EndorsementChain::from_pem(&self.chain_pem).unwrap();
        let mut requirements = self.shipped();
        requirements.minimum_tcb = snp::MinimumTcb::none()
            .with(Tcb::from_raw(report.reported_tcb(), chain.leaf().product()));
        requirements.platform.required = 0;
        requirements.vmpl = report.vmpl();
        requirements.guest_abi = report.guest_abi();
        requirements.vlek = report.signing_key() == snp::SigningKey::Vlek;
        if self.uvm_endorsement.is_none() {
            requirements.measurement = snp::Measurement::Unjudged;
        }
        requirements
    }

    pub(crate) fn verify(&self, requirements: &Requirements, uvm_roots: &UvmRoots) -> Verification {
        let material = Material {
            report: &self.report,
            chain_pem: &self.chain_pem,
            uvm_endorsement: self.uvm_endorsement.as_deref(),
        };
        verify(material, requirements, &Roots::amd(), uvm_roots)
    }
}

#[test]
fn real_evidence_fails_what_is_wrong_with_it_and_nothing_else() {
    let microsoft = UvmRoots::microsoft().unwrap();
    let any_svn = microsoft.clone().with_minimum_svn(0);
    for real in all() {
        let shipped = real.verify(&real.shipped(), &microsoft);
        assert_eq!(failed(&shipped), real.shipped, "{}:\n{shipped}", real.name);
        let lenient = real.verify(&real.of_its_time(), &any_svn);
        assert_eq!(failed(&lenient), real.always, "{}:\n{lenient}", real.name);
        assert_eq!(lenient.accepted(), real.always.is_empty(), "{}", real.name);
        if real.always.is_empty() {
            let verified = lenient.into_verified().unwrap();
            assert_eq!(verified.report().as_bytes().as_slice(), real.report);
            assert_eq!(
                verified.uvm_endorsement().is_some(),
                real.uvm_endorsement.is_some()
            );
        }
    }
}

/// Nothing of the signed part of any real report can be changed, nor of its signature.
#[test]
fn no_flipped_bit_of_real_evidence_goes_unseen() {
    let any_svn = UvmRoots::microsoft().unwrap().with_minimum_svn(0);
    for mut real in all() {
        let requirements = real.of_its_time();
        for offset in (0..0x330).step_by(29) {
            real.report[offset] ^= 0x10;
            let changed = real.verify(&requirements, &any_svn);
            assert!(!changed.accepted(), "{}, {offset:#x}", real.name);
            let signature = changed.check(ReportSignature).unwrap();
            assert!(!signature.verdict.accepts(), "{}, {offset:#x}", real.name);
            real.report[offset] ^= 0x10;
        }
    }
}
