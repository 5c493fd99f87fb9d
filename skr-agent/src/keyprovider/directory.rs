use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use cleanroom_crypto::rsa::{OaepHash, PublicKey};
use serde::Deserialize;

use super::packet::Annotation;
use crate::SkrError;

const FILE_CAP: u64 = 64 << 10;

/// The directory of the public wrapping keys, `<path>-info.json` each. Nothing outside it is read, whatever a request or an
/// info file names.
#[derive(Clone, Debug)]
pub struct KeyDirectory {
    root: PathBuf,
}

#[derive(Deserialize)]
struct Info {
    public_key_path: PathBuf,
    #[serde(default)]
    kms_endpoint: String,
    #[serde(default)]
    attester_endpoint: String,
}

impl KeyDirectory {
    /// The keys below `root`.
    pub const fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Wraps `clear` with the key at `key_path`; the JSON of the annotation. Reads files: call it from a blocking thread.
    pub(super) fn wrap(&self, key_path: &str, clear: &[u8]) -> Result<Vec<u8>, SkrError> {
        let refuse = |reason: String| SkrError::WrappingKey {
            path: key_path.chars().take(200).collect(),
            reason,
        };
        let info = self.read(Path::new(&format!("{key_path}-info.json")));
        let info: Info = serde_json::from_slice(&info.map_err(refuse)?)
            .map_err(|error| refuse(format!("its info file: {error}")))?;
        let pem = self.read(&info.public_key_path).map_err(refuse)?;
        let key = String::from_utf8(pem)
            .ok()
            .and_then(|pem| PublicKey::from_spki_pem(&pem).ok());
        let key = key.ok_or_else(|| refuse("its public key is no PEM of an RSA key".to_owned()))?;
        let wrapped = key.encrypt_oaep(OaepHash::Sha256, clear);
        let annotation = Annotation {
            kid: key_path.rsplit('/').next().unwrap_or_default().to_owned(),
            wrapped_data: wrapped.map_err(|error| refuse(error.to_string()))?,
            kms_endpoint: info.kms_endpoint,
            attester_endpoint: info.attester_endpoint,
        };
        Ok(annotation.write(&format!("rsa_{}", key.n_be().len() * 8)))
    }

    /// A file below the root; an absolute path must say so itself.
    fn read(&self, path: &Path) -> Result<Vec<u8>, String> {
        let outside = || format!("{} is not below --keyprovider-dir", path.display());
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let plain = |part| matches!(part, Component::Normal(_));
        if relative.as_os_str().is_empty() || !relative.components().all(plain) {
            return Err(outside());
        }
        // Links inside the directory are how volumes of secrets are built; links out of it are not followed.
        let found = |path: &Path| {
            let shown = |error| format!("{}: {error}", path.display());
            path.canonicalize().map_err(shown)
        };
        let (root, file) = (found(&self.root)?, found(&self.root.join(relative))?);
        if !file.starts_with(&root) {
            return Err(outside());
        }
        let shown = |error: std::io::Error| format!("{}: {error}", file.display());
        let mut bytes = Vec::new();
        File::open(&file)
            .and_then(|file| file.take(FILE_CAP + 1).read_to_end(&mut bytes))
            .map_err(shown)?;
        if bytes.len() as u64 > FILE_CAP {
            return Err(format!("{}: more than {FILE_CAP} bytes", file.display()));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use cleanroom_crypto::rsa::PrivateKey;
    use serde_json::{Value, json};
    use sidecar_http::Coded;

    use super::*;

    fn info(public_key: &str) -> String {
        json!({"public_key_path": public_key, "kms_endpoint": "v.example", "attester_endpoint": "maa.example"})
            .to_string()
    }

    #[test]
    fn a_key_wraps_what_only_its_private_half_opens() {
        let dir = tempfile::tempdir().unwrap();
        let key = PrivateKey::generate(3072).unwrap();
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        std::fs::write(
            dir.path().join("keys/app.pem"),
            key.public_key().to_spki_pem(),
        )
        .unwrap();
        let absolute = dir.path().join("keys/app.pem");
        for named in ["keys/app.pem", absolute.to_str().unwrap()] {
            std::fs::write(dir.path().join("keys/app-info.json"), info(named)).unwrap();
            let keys = KeyDirectory::new(dir.path().to_owned());
            let annotation = keys.wrap("keys/app", b"layer key").unwrap();
            let annotation: Value = serde_json::from_slice(&annotation).unwrap();
            assert_eq!(
                (&annotation["kid"], &annotation["wrap_type"]),
                (&json!("app"), &json!("rsa_3072"))
            );
            assert_eq!(annotation["kms_endpoint"], "v.example");
            let wrapped = STANDARD
                .decode(annotation["wrapped_data"].as_str().unwrap())
                .unwrap();
            let clear = key.decrypt_oaep(OaepHash::Sha256, &wrapped).unwrap();
            assert_eq!(*clear, b"layer key");
        }
    }

    #[test]
    fn nothing_outside_the_directory_is_read() {
        let outside = tempfile::tempdir().unwrap();
        let dir = tempfile::tempdir_in(outside.path()).unwrap();
        let pem = PrivateKey::generate(2048)
            .unwrap()
            .public_key()
            .to_spki_pem();
        std::fs::write(outside.path().join("app.pem"), pem).unwrap();
        std::fs::write(outside.path().join("app-info.json"), info("app.pem")).unwrap();
        let absolute = outside.path().join("app");
        symlink(
            outside.path().join("app-info.json"),
            dir.path().join("link-info.json"),
        )
        .unwrap();
        let keys = KeyDirectory::new(dir.path().to_owned());
        for path in ["../app", absolute.to_str().unwrap(), "link", "./../app", ""] {
            let error = keys.wrap(path, b"x").unwrap_err();
            assert_eq!(error.code(), "CR-SKR-0084", "{path}");
        }
        for named in [
            "../app.pem",
            outside.path().join("app.pem").to_str().unwrap(),
        ] {
            std::fs::write(dir.path().join("app-info.json"), info(named)).unwrap();
            let text = keys.wrap("app", b"x").unwrap_err().to_string();
            assert!(text.contains("--keyprovider-dir"), "{text}");
        }
        symlink(outside.path(), dir.path().join("up")).unwrap();
        std::fs::write(dir.path().join("app-info.json"), info("up/app.pem")).unwrap();
        let text = keys.wrap("app", b"x").unwrap_err().to_string();
        assert!(text.contains("--keyprovider-dir"), "{text}");
    }

    #[test]
    fn a_file_that_never_ends_is_not_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let info = dir.path().join("app-info.json");
        let file = File::create(info).unwrap();
        file.set_len(FILE_CAP + 1).unwrap();
        let keys = KeyDirectory::new(dir.path().to_owned());
        let text = keys.wrap("app", b"x").unwrap_err().to_string();
        assert!(text.contains("65536"), "{text}");
    }
}
