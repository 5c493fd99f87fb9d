//! What a voter may be told by an operator, and must not believe.

use std::path::{Path, PathBuf};

use clap::{Args as _, FromArgMatches as _};
use image_builder::{FileDigest, ImageList, ImageSpec, PublishedImages, build, sign};
use policy::emit::cce::{CceOptions, cce};
use policy::{ContainerGroup, Deployment};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sidecar_http::Coded as _;
use tempfile::TempDir;

use super::proposed::{Offer, Proposed};
use super::report::Report;
use super::{VerifyArgs, judge};
use crate::CliError;
use crate::policy::generate::FormArgs;

const HELLO: &str = include_str!("../../../../tests/vectors/spec/hello-job.yaml");
const IMAGES: [&str; 9] = [
    "init",
    "skr-agent",
    "skr-agent-virtual",
    "secrets",
    "identity",
    "governance",
    "otel-collector",
    "blobfuse-shim",
    "code-launcher",
];

/// The images of a room in a layout, their `images.json`, and the same signed by their publisher.
struct Images {
    folder: TempDir,
}

impl Images {
    fn built() -> Self {
        let folder = TempDir::new().unwrap();
        let at = |name: &str| folder.path().join(name);
        let images = IMAGES.iter().zip(1_u8..).map(|(name, byte)| {
            let mut program = vec![byte; 5000];
            program[..6].copy_from_slice(b"\x7fELF\x02\x01");
            program[6..64].fill(0);
            program[18] = 62;
            std::fs::write(at(name), program).unwrap();
            ImageSpec {
                name: (*name).to_owned(),
                binary: at(name),
                entrypoint: Vec::new(),
                user: None,
                files: Vec::new(),
                directories: Vec::new(),
            }
        });
        let list = ImageList {
            images: images.collect(),
        };
        build(&list, &at("layout"), false).unwrap();
        let file = || FileDigest::of("x", b"x");
        let sboms = IMAGES.iter().map(|_| file()).collect();
        let manifest = PublishedImages::of_layout(&at("layout"), sboms, file()).unwrap();
        let manifest = serde_json::to_vec(&manifest).unwrap();
        for publisher in ["publisher", "other"] {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
            let signed = sign(&manifest, key.serialize_pem().as_bytes()).unwrap();
            std::fs::write(at(&format!("{publisher}.signed")), signed).unwrap();
            std::fs::write(at(&format!("{publisher}.pem")), key.public_key_pem()).unwrap();
        }
        let images = std::fs::read(at("layout/images.json")).unwrap();
        std::fs::write(at("images.json"), images).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the operator says instead: another root hash for the image that releases keys.
    fn lie(&self) {
        let mut images: Value =
            serde_json::from_slice(&std::fs::read(self.path("images.json")).unwrap()).unwrap();
        for index in [1, 2] {
            images[index]["layers"][0]["root_hash"] = "ab".repeat(32).into();
        }
        std::fs::write(self.path("lie.json"), images.to_string()).unwrap();
    }

    fn args(&self, images: &str, key: Option<&str>, layout: Option<&str>) -> VerifyArgs {
        self.args_with(images, key, layout, &[])
    }

    fn args_with(
        &self,
        images: &str,
        key: Option<&str>,
        layout: Option<&str>,
        more: &[&str],
    ) -> VerifyArgs {
        let at = |name: &str| self.path(name).to_str().unwrap().to_owned();
        let mut line: Vec<String> = [
            "--contract-id",
            "collab1",
            "--governance-client",
            "litware",
            "--images",
            &at(images),
        ]
        .iter()
        .chain(more)
        .map(|word| (*word).to_owned())
        .collect();
        for (flag, value) in [("--images-key", key), ("--layout", layout)] {
            line.extend(
                value
                    .into_iter()
                    .flat_map(|name| [flag.to_owned(), at(name)]),
            );
        }
        let command = VerifyArgs::augment_args(clap::Command::new("verify")).no_binary_name(true);
        VerifyArgs::from_arg_matches(&command.get_matches_from(line)).unwrap()
    }
}

fn deployment(insecure_virtual: bool) -> Deployment {
    Deployment {
        contract_id: "collab1".to_owned(),
        ccf_endpoint: "https://cgs.operator.example".to_owned(),
        service_cert_pem: "certificate".to_owned(),
        extra_roots_pem: None,
        insecure_virtual,
    }
}

fn group(images: &Path, insecure_virtual: bool) -> ContainerGroup {
    let spec = cleanroom_spec::Specification::from_yaml(HELLO).unwrap();
    let manifest = policy::ImageManifest::read(images).unwrap();
    policy::build(&spec, &deployment(insecure_virtual), &manifest).unwrap()
}

/// The group and the claims that the operator makes with a manifest, as it deploys them.
fn proposed(images: &Path, insecure_virtual: bool) -> Proposed {
    let group = group(images, insecure_virtual);
    let manifest = policy::ImageManifest::read(images).unwrap();
    let text = cce(&group, &manifest, &CceOptions::default()).unwrap();
    let host_data = text.host_data().unwrap().to_string();
    let offer = |subject: &str, value| Offer {
        subject: subject.to_owned(),
        value,
    };
    let claims = json!({"x-ms-sevsnpvm-hostdata": host_data, "x-ms-sevsnpvm-is-debuggable": false});
    Proposed {
        templates: vec![offer("template", group.to_json().unwrap())],
        claims: vec![offer("policy", claims)],
        ..Proposed::default()
    }
}

fn judged(args: &VerifyArgs, proposed: &Proposed) -> Result<Report, CliError> {
    let contract = json!({"state": "Accepted", "data": HELLO});
    judge(
        args,
        &contract,
        &deployment(args.insecure_virtual),
        proposed,
    )
}

/// The word of the report about every image: all have the same.
fn said(report: &Report) -> (String, bool) {
    let report = serde_json::to_value(report).unwrap();
    let images = report["images"].as_array().unwrap().clone();
    assert_eq!(images.len(), 8, "{report}");
    let word = |image: &Value| {
        let word = image["rootHashes"].as_str().unwrap().to_owned();
        (word, image["nameSigned"].as_bool().unwrap())
    };
    assert!(images.iter().all(|image| word(image) == word(&images[0])));
    word(&images[0])
}

fn refusal(outcome: Result<Report, CliError>) -> String {
    outcome.unwrap_err().code().to_owned()
}

#[test]
fn root_hashes_are_hashed_or_signed_and_what_is_only_believed_is_no_yes() {
    let images = Images::built();
    let offers = proposed(&images.path("images.json"), false);
    for (file, key, layout, word, yes) in [
        ("images.json", None, None, ("believed", false), false),
        ("images.json", None, Some("layout"), ("hashed", false), true),
        (
            "publisher.signed",
            Some("publisher.pem"),
            None,
            ("signed", true),
            true,
        ),
        (
            "publisher.signed",
            Some("publisher.pem"),
            Some("layout"),
            ("hashed", true),
            true,
        ),
    ] {
        let report = judged(&images.args(file, key, layout), &offers).unwrap();
        assert_eq!(report.yes(), yes, "{report}");
        assert_eq!(said(&report), (word.0.to_owned(), word.1));
        let file = Sha256::digest(std::fs::read(images.path(file)).unwrap());
        assert!(
            report
                .to_string()
                .contains(&format!("images sha256: {}", hex::encode(file)))
        );
        let told = format!(
            "root hashes {}, name {}",
            word.0,
            if word.1 { "signed" } else { "listed" }
        );
        assert_eq!(report.to_string().matches(&told).count(), 8, "{report}");
        let failures: Vec<_> = report
            .failures()
            .iter()
            .map(|check| check.what.as_str())
            .collect();
        assert_eq!(failures, vec!["root hashes"; if yes { 0 } else { 8 }]);
    }
}

#[test]
fn the_root_hash_that_an_operator_lists_is_never_taken_where_the_image_is_there() {
    let images = Images::built();
    images.lie();
    // The policy pins what the operator wants to run, under the digest of what everybody knows.
    let offers = proposed(&images.path("lie.json"), false);
    let believed = judged(&images.args("lie.json", None, None), &offers).unwrap();
    assert!(!believed.yes(), "{believed}");
    let hashed = judged(&images.args("lie.json", None, Some("layout")), &offers);
    assert_eq!(refusal(hashed), "CR-POLICY-0015");
    let signed = images.args("publisher.signed", Some("publisher.pem"), None);
    let signed = judged(&signed, &offers).unwrap();
    assert!(!signed.yes(), "{signed}");
    // A manifest that lists none is filled from the layout.
    let mut listed: Value =
        serde_json::from_slice(&std::fs::read(images.path("images.json")).unwrap()).unwrap();
    for image in listed.as_array_mut().unwrap() {
        image["layers"] = json!([]);
    }
    std::fs::write(images.path("none.json"), listed.to_string()).unwrap();
    let honest = proposed(&images.path("images.json"), false);
    assert!(
        judged(&images.args("none.json", None, Some("layout")), &honest)
            .unwrap()
            .yes()
    );
}

#[test]
fn a_name_counts_as_signed_only_for_the_digest_that_was_signed() {
    let images = Images::built();
    let mut group = group(&images.path("images.json"), false);
    // Another image of the same publisher, under the name of the one that releases keys.
    let secrets = group
        .containers
        .iter()
        .find(|one| one.image.name == "secrets");
    let digest = secrets.unwrap().image.digest.clone();
    let agent = group.containers.iter_mut();
    let agent = agent
        .map(|one| &mut one.image)
        .find(|image| image.name == "skr-agent");
    agent.unwrap().digest = digest;
    let args = images.args("publisher.signed", Some("publisher.pem"), None);
    let known = args.layers.known(&group).unwrap();
    let unsigned = known.iter().filter(|one| !one.name_signed);
    let unsigned: Vec<_> = unsigned.map(|one| one.image.as_str()).collect();
    assert_eq!(unsigned, ["skr-agent"]);
}

#[test]
fn a_signature_of_another_or_none_is_refused() {
    let images = Images::built();
    let offers = proposed(&images.path("images.json"), false);
    for file in ["other.signed", "images.json"] {
        let outcome = judged(&images.args(file, Some("publisher.pem"), None), &offers);
        assert_eq!(refusal(outcome), "CR-IMAGE-0015", "{file}");
    }
    let mut bytes = std::fs::read(images.path("publisher.signed")).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(images.path("publisher.signed"), bytes).unwrap();
    let outcome = judged(
        &images.args("publisher.signed", Some("publisher.pem"), None),
        &offers,
    );
    assert_eq!(refusal(outcome), "CR-IMAGE-0015");
}

#[test]
fn a_virtual_room_may_believe_and_its_report_says_so() {
    let images = Images::built();
    images.lie();
    let offers = proposed(&images.path("lie.json"), true);
    let args = images.args_with("lie.json", None, None, &["--insecure-virtual"]);
    let report = judged(&args, &offers).unwrap();
    assert!(report.yes(), "{report}");
    assert_eq!(said(&report), ("believed".to_owned(), false));
    assert!(report.to_string().contains("root hashes believed"));
}

#[test]
fn a_layout_without_the_image_is_no_reason_to_believe_the_manifest() {
    let images = Images::built();
    let offers = proposed(&images.path("images.json"), false);
    std::fs::create_dir_all(images.path("empty/blobs/sha256")).unwrap();
    for (name, text) in [
        ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", r#"{"schemaVersion":2,"manifests":[]}"#),
    ] {
        std::fs::write(images.path("empty").join(name), text).unwrap();
    }
    let outcome = judged(&images.args("images.json", None, Some("empty")), &offers);
    assert_eq!(refusal(outcome), "CR-LAYER-0042");
}

#[test]
fn a_container_group_has_no_policy_of_another_form_than_its_start_makes() {
    let images = Images::built();
    let offers = proposed(&images.path("images.json"), false);
    let in_lines = CceOptions {
        pretty: true,
        ..CceOptions::default()
    };
    let named = CceOptions {
        registry: Some("litware.azurecr.io".to_owned()),
        ..CceOptions::default()
    };
    for (flags, options) in [
        (&["--pretty"][..], in_lines),
        (&["--registry", "litware.azurecr.io"], named),
    ] {
        let args = images.args_with("images.json", None, Some("layout"), flags);
        // The claims are those of the other form, which would be a yes if it were asked for.
        let group = group(&images.path("images.json"), false);
        let text = cce(&group, &args.layers.of(&group).unwrap(), &options).unwrap();
        let mut offers = Proposed {
            templates: vec![Offer {
                subject: "template".to_owned(),
                value: offers.templates[0].value.clone(),
            }],
            ..Proposed::default()
        };
        offers.claims.push(Offer {
            subject: "policy".to_owned(),
            value: json!({
                "x-ms-sevsnpvm-hostdata": text.host_data().unwrap().to_string(),
                "x-ms-sevsnpvm-is-debuggable": false,
            }),
        });
        let report = judged(&args, &offers).unwrap();
        let failures = report.failures();
        assert_eq!(failures.len(), 1, "{report}");
        assert_eq!(
            (failures[0].what.as_str(), failures[0].actual.as_str()),
            ("form of the policy", flags[0])
        );
        assert_eq!(
            args.form.reproduced_by_deploy().unwrap_err().code(),
            "CR-CLI-0003"
        );
    }
    FormArgs::default().reproduced_by_deploy().unwrap();
}

#[test]
fn nothing_that_was_proposed_writes_a_line_of_the_report() {
    let images = Images::built();
    let mut offers = proposed(&images.path("images.json"), false);
    let forged = "\u{1b}[2J\nyes: what was proposed is what the contract makes\u{202e}";
    offers.templates[0].value[forged] = forged.into();
    offers.templates[0].subject.push_str(forged);
    offers.claims[0].value[forged] = forged.into();
    offers.proposals.push(forged.to_owned());
    let report = judged(&images.args("images.json", None, Some("layout")), &offers).unwrap();
    assert!(!report.yes());
    let text = report.to_string();
    assert!(text.lines().all(|line| !line.starts_with("yes")), "{text}");
    assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
    assert!(text.ends_with("NO: do not accept"));
}
