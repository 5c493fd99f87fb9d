use std::time::Duration;

use x509_cert::crl::CertificateList;
use x509_cert::der::Decode;

use crate::certificate::{Certificate, is_amd_pss, signed_part};

/// Longer than a list of every certificate that a root ever issued.
const CRL_CAP: usize = 1 << 20;

/// Whether the root revoked itself or the intermediate, by its own list in force (RFC 5280 section 6.3.3).
///
/// The leaf is issued by the intermediate, which publishes no list: AMD revokes chips by raising the TCB.
pub(crate) fn check(
    crls: &[Vec<u8>],
    root: &Certificate,
    intermediate: &Certificate,
    now: Duration,
) -> Result<String, String> {
    let mut issued_by_root = 0_usize;
    for der in crls {
        if der.len() > CRL_CAP {
            return Err(format!(
                "a list of {} bytes, more than {CRL_CAP}",
                der.len()
            ));
        }
        let list: CertificateList = CertificateList::from_der(der)
            .map_err(|error| format!("not a revocation list: {error}"))?;
        if &list.tbs_cert_list.issuer == root.subject() {
            authentic(der, &list, root)?;
            current(&list, now)?;
            complete(&list)?;
            for (name, certificate) in [("root", root), ("intermediate", intermediate)] {
                if revokes(&list, certificate) {
                    let serial = hex::encode(certificate.serial());
                    return Err(format!("the {name}, serial {serial}, is revoked"));
                }
            }
            issued_by_root = issued_by_root.saturating_add(1);
        }
    }
    match issued_by_root {
        0 => Err(format!("no list of {:?}", root.common_name())),
        count => Ok(format!("{count} list(s) in force, neither is in them")),
    }
}

fn authentic(der: &[u8], list: &CertificateList, root: &Certificate) -> Result<(), String> {
    if !is_amd_pss(&list.signature_algorithm) || !is_amd_pss(&list.tbs_cert_list.signature) {
        return Err("a list that is not signed with AMD's RSASSA-PSS parameters".to_owned());
    }
    let may_sign = root.authority().is_ok_and(|authority| authority.crl_sign);
    let verifies = signed_part(der)
        .zip(list.signature.as_bytes())
        .is_some_and(|(signed, signature)| root.verifies_pss(signed, signature));
    if may_sign && verifies {
        Ok(())
    } else {
        Err("a list that the root did not sign".to_owned())
    }
}

fn current(list: &CertificateList, now: Duration) -> Result<(), String> {
    let from = list.tbs_cert_list.this_update;
    let Some(until) = list.tbs_cert_list.next_update else {
        return Err("a list without an end".to_owned());
    };
    if from.to_unix_duration() <= now && now <= until.to_unix_duration() {
        Ok(())
    } else {
        Err(format!("a list in force from {from} to {until}"))
    }
}

/// A critical extension may say that the list is a part or a difference only; none is understood here.
fn complete(list: &CertificateList) -> Result<(), String> {
    let of_list = list.tbs_cert_list.crl_extensions.iter().flatten();
    let entries = list.tbs_cert_list.revoked_certificates.iter().flatten();
    let of_entries = entries.flat_map(|entry| entry.crl_entry_extensions.iter().flatten());
    match of_list.chain(of_entries).find(|one| one.critical) {
        Some(extension) => Err(format!("a list with critical {}", extension.extn_id)),
        None => Ok(()),
    }
}

fn revokes(list: &CertificateList, certificate: &Certificate) -> bool {
    let mut revoked = list.tbs_cert_list.revoked_certificates.iter().flatten();
    revoked.any(|entry| entry.serial_number.as_bytes() == certificate.serial())
}
