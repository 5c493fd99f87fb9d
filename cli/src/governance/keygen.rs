use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::rsa::PrivateKey;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use super::{GovCliError, files};

const VALID: Duration = Duration::days(365);

/// A member's identity: certificate and key as PEM.
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: Zeroizing<String>,
}

/// Makes a self-signed P-384 certificate with `CN=<name>`, valid for a year.
pub(crate) fn identity(name: &str) -> Result<Identity, GovCliError> {
    let failed = |error: rcgen::Error| GovCliError::Key {
        reason: error.to_string(),
    };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(failed)?;
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::now_utc();
    params.not_before = now;
    params.not_after = now + VALID;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let cert = params.self_signed(&key).map_err(failed)?;
    Ok(Identity {
        cert: cert.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

/// The files that key generation writes, and what each holds.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) encryption_public: PathBuf,
    pub(crate) encryption_private: PathBuf,
}

/// Writes `<name>_cert.pem`, `<name>_privk.pem`, `<name>_enc_pubk.pem` and `<name>_enc_privk.pem`; private ones readable
/// by their owner only, none ever overwritten.
pub(crate) fn write(name: &str, dir: &Path) -> Result<Written, GovCliError> {
    let path = |suffix: &str| dir.join(format!("{name}_{suffix}.pem"));
    let written = Written {
        cert: path("cert"),
        key: path("privk"),
        encryption_public: path("enc_pubk"),
        encryption_private: path("enc_privk"),
    };
    let all = [
        &written.cert,
        &written.key,
        &written.encryption_public,
        &written.encryption_private,
    ];
    // Half a set is worse than none.
    if let Some(path) = all.into_iter().find(|path| path.exists()) {
        return Err(GovCliError::Exists { path: path.clone() });
    }
    files::private_folder(dir)?;
    let identity = identity(name)?;
    let encryption = PrivateKey::generate(2048)?;
    let encryption_key = pem("PRIVATE KEY", &encryption.to_pkcs8_der());
    let mut public = encryption.public_key().to_spki_pem();
    if !public.ends_with('\n') {
        public.push('\n');
    }
    files::create(&written.key, identity.key.as_bytes(), true)?;
    files::create(&written.cert, identity.cert.as_bytes(), false)?;
    files::create(&written.encryption_private, encryption_key.as_bytes(), true)?;
    files::create(&written.encryption_public, public.as_bytes(), false)?;
    Ok(written)
}

fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(BASE64_STANDARD.encode(der));
    let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(64) {
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_four_files_are_written_once_and_the_private_ones_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let written = write("litware", dir.path()).unwrap();
        for (path, mode) in [
            (&written.key, 0o600),
            (&written.encryption_private, 0o600),
            (&written.cert, 0o644),
            (&written.encryption_public, 0o644),
        ] {
            assert_eq!(
                path.metadata().unwrap().permissions().mode() & 0o777 & !0o022,
                mode & !0o022
            );
        }
        let before = files::read(&written.key).unwrap();
        assert!(matches!(
            write("litware", dir.path()),
            Err(GovCliError::Exists { .. })
        ));
        assert_eq!(files::read(&written.key).unwrap(), before);
    }

    #[test]
    fn the_encryption_pair_belongs_together() {
        let dir = tempfile::tempdir().unwrap();
        let written = write("litware", dir.path()).unwrap();
        let private =
            PrivateKey::from_pem(&files::read_text(&written.encryption_private).unwrap()).unwrap();
        let public = files::read_text(&written.encryption_public).unwrap();
        assert_eq!(
            private.public_key().to_spki_pem().trim_end(),
            public.trim_end()
        );
    }
}
