//! Texts called `configuration`: JSON, base64 of JSON, Python literals.
#![no_main]

use cleanroom_spec::{EncryptionSecret, KeyRelease, PrivacyProxySettings, ProtectionConfiguration};
use fuzz::bounded;
use libfuzzer_sys::fuzz_target;
use serde_json::{from_str, from_value, json, to_string};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let settings: PrivacyProxySettings = from_value(json!({
        "proxyType": "SecureVolume__ReadOnly__Azure__BlobStorage", "proxyMode": "Secure",
        "configuration": text,
    }))
    .unwrap();
    if let Ok(read) = bounded(input, 128, || settings.configuration()) {
        let again: ProtectionConfiguration = from_str(&read.to_text().unwrap()).unwrap();
        assert_eq!(again, read);
        assert_eq!(read.key_type, "KEK");
    }
    let secret: EncryptionSecret = from_value(json!({"name": "kek", "secret": {
        "secretType": "Key",
        "backingResource": {"name": "kek", "id": "kek", "type": "AzureKeyVault", "provider": {
            "protocol": "AzureKeyVault_Secret", "url": "https://v.example", "configuration": text,
        }},
    }}))
    .unwrap();
    if let Ok(read) = bounded(input, 128, || secret.key_release()) {
        let again: KeyRelease = from_str(&to_string(&read).unwrap()).unwrap();
        assert_eq!(again, read);
    }
});
