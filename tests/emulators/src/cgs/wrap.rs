//! CCF's `RSA-OAEP-AES-KWP`: a fresh AES-256 key under RSA-OAEP-SHA256, then the value under that key (RFC 5649).
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use zeroize::Zeroizing;

use super::reply::{Answer, Refusal, Reply};

/// `{"value": base64 of both parts}` for the holder of `spki`'s private key.
pub(super) fn wrapped(spki: &[u8], value: &[u8]) -> Answer {
    let wrapped = wrap(spki, value)
        .map_err(|step| Refusal::exception(format!("the value was not wrapped: {step}")))?;
    Reply::json(&json!({"value": STANDARD.encode(wrapped)}))
}

fn wrap(spki: &[u8], value: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut key = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(key.as_mut_slice()).map_err(|_| "no random bytes")?;
    let public = PublicEncryptingKey::from_der(spki).map_err(|_| "not an RSA key")?;
    let public = OaepPublicEncryptingKey::new(public).map_err(|_| "not an RSA key")?;
    let mut head = vec![0; public.ciphertext_size()];
    let head = public
        .encrypt(&OAEP_SHA256_MGF1SHA256, key.as_slice(), &mut head, None)
        .map_err(|_| "RSA-OAEP")?;
    let mut tail = vec![0; value.len() + 15];
    let kek = AesKek::new(&AES_256, key.as_slice()).map_err(|_| "AES")?;
    let tail = kek
        .wrap_with_padding(value, &mut tail)
        .map_err(|_| "AES-KWP")?;
    Ok([&*head, &*tail].concat())
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer as _;
    use aws_lc_rs::rsa::{KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};

    use super::*;

    #[test]
    fn what_is_wrapped_unwraps_to_the_value_of_any_length() {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048).unwrap();
        let spki = private.public_key().as_der().unwrap();
        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        for length in [1, 7, 8, 9, 1000] {
            let value = vec![7; length];
            let blob = wrap(spki.as_ref(), &value).unwrap();
            let (head, tail) = blob.split_at(256);
            let mut key = [0; 256];
            let key = private
                .decrypt(&OAEP_SHA256_MGF1SHA256, head, &mut key, None)
                .unwrap();
            let mut out = vec![0; tail.len() + 15];
            let kek = AesKek::new(&AES_256, key).unwrap();
            assert_eq!(kek.unwrap_with_padding(tail, &mut out).unwrap(), value);
        }
    }
}
