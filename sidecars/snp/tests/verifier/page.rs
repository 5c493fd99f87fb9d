//! `docs/attestation-verifier.md` says what the code does.

use snp::{CheckId, MinimumTcb, PlatformInfo, Product, Requirements, UvmRoots};

use crate::vectors;

fn section(title: &str) -> String {
    let page = vectors::page();
    let mut parts = page.split("\n## ");
    let found = parts.find(|part| part.starts_with(title));
    found
        .unwrap_or_else(|| panic!("no section {title:?}"))
        .to_owned()
}

/// The lines of a section's table, without its head.
fn rows(title: &str) -> Vec<String> {
    section(title)
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_table_of_checks_is_the_code_s() {
    let expected: Vec<String> = CheckId::ALL
        .into_iter()
        .map(|id| {
            format!(
                "| `{}` | {} | {} | {} | {} |",
                id.name(),
                id.code(),
                id.what(),
                id.source(),
                id.specification()
            )
        })
        .collect();
    assert_eq!(
        rows("Every check"),
        expected,
        "the table should be:\n{}",
        expected.join("\n")
    );
}

#[test]
fn the_defaults_are_the_code_s() {
    let defaults = section("What is required by default");
    let minimum = MinimumTcb::shipped();
    for product in Product::ALL {
        let line = match minimum.of(product) {
            Some(tcb) => format!("| Minimum firmware of {product} | `{tcb}` |"),
            None => format!("| Minimum firmware of {product} | none, so it is refused |"),
        };
        assert!(defaults.contains(&line), "{line}");
    }
    let now = std::time::UNIX_EPOCH;
    let Requirements {
        measurement,
        vmpl,
        guest_abi,
        platform,
        author_key,
        vlek,
        masked_chip,
        chips,
        crls,
        ..
    } = Requirements::new(now, [0; 64], Vec::new(), minimum);
    let microsoft = UvmRoots::microsoft().unwrap();
    let (major, minor) = guest_abi;
    for line in [
        format!("| Privilege level | {vmpl} |"),
        format!("| Firmware interface | at least {major}.{minor} |"),
        format!(
            "| Platform | bits `{:#x}` set, `{:#x}` clear |",
            platform.required, platform.forbidden
        ),
        format!("| Issuer of utility VMs | `{}` |", microsoft.issuer()),
        format!("| Feed of utility VMs | `{}` |", microsoft.feed()),
        format!(
            "| Minimum version of utility VMs | {} |",
            microsoft.minimum_svn()
        ),
    ] {
        assert!(defaults.contains(&line), "{line}");
    }
    // What the page says in words.
    assert_eq!(platform.required, PlatformInfo::ALIAS_CHECK);
    assert_eq!(measurement, snp::Measurement::Endorsed);
    assert_eq!(author_key, snp::AuthorKey::Absent);
    assert!(!vlek && !masked_chip && crls.is_empty());
    assert!(chips.allowed.is_none() && chips.denied.is_empty());
}

#[test]
fn the_pinned_roots_are_the_published_ones() {
    use sha2::{Digest, Sha256};
    use x509_cert::der::{DecodePem, Encode};

    let defaults = section("What is required by default");
    for product in Product::ALL {
        let name = product.name().to_lowercase();
        let pem = vectors::real_text(&format!("sev-crate/ark-{name}.pem"));
        let ark = x509_cert::Certificate::from_pem(pem).unwrap();
        let key = ark
            .tbs_certificate()
            .subject_public_key_info()
            .to_der()
            .unwrap();
        let line = format!("| ARK-{product} | `{}` |", hex::encode(Sha256::digest(key)));
        assert!(defaults.contains(&line), "{line}");
    }
}

#[test]
fn the_example_is_what_the_verifier_says() {
    let mut world = crate::forge::World::milan();
    world.flip(0x0a, 0x08);
    let verification = world.verify();
    let table = verification.to_string();
    let at = table.find("FAILED").unwrap();
    let paragraph: Vec<&str> = table[at..].lines().take(4).collect();
    let page = section("How to read the table");
    for line in paragraph.iter().chain([&table.lines().last().unwrap()]) {
        assert!(page.contains(line.trim_end()), "{line}");
    }
}

#[test]
fn a_crate_for_tests_stays_out_of_the_product() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = std::process::Command::new(cargo)
        .args(["tree", "--workspace", "--locked", "--offline"])
        .args(["--edges", "normal,build", "--prefix", "none"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let text = String::from_utf8(tree.stdout).unwrap();
    assert!(
        tree.status.success(),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    assert!(text.lines().any(|line| line.starts_with("snp v")));
    for dragged in [
        "sev v",
        "rsa v0.9",
        "p384 v",
        "x509-cert v0.2",
        "num-bigint-dig v",
    ] {
        let found = text.lines().find(|line| line.starts_with(dragged));
        assert_eq!(found, None);
    }
}
