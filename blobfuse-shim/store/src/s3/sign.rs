//! AWS Signature Version 4.

use std::fmt;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4::SigningParams;
use cleanroom_crypto::digest;
use http::HeaderName;
use sidecar_http::Request;
use zeroize::Zeroizing;

use crate::StoreError;

/// An access key and its secret; wiped on drop, never printed.
#[derive(Clone)]
pub struct S3Credentials(Credentials);

impl S3Credentials {
    /// Takes a key, its secret, and a session token where the key is a temporary one.
    pub fn new(id: &str, secret: &Zeroizing<String>, session: Option<&Zeroizing<String>>) -> Self {
        let session = session.map(|token| token.as_str().to_owned());
        Self(Credentials::new(
            id,
            secret.as_str(),
            session,
            None,
            "cleanroom",
        ))
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Credentials(..)")
    }
}

/// Signs a request, its body included.
pub(super) fn signed(
    mut request: Request,
    credentials: &S3Credentials,
    region: &str,
) -> Result<Request, StoreError> {
    let bad = |what: &dyn fmt::Display| StoreError::Config(format!("signing: {what}"));
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let identity = credentials.0.clone().into();
    let params = SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(|error| bad(&error))?;
    let hash = digest::sha256(&request.body);
    let hash = hash
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            use fmt::Write as _;
            let _ = write!(text, "{byte:02x}");
            text
        });
    let instructions = {
        let headers = request
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(
            request.method.as_str(),
            request.url.as_str(),
            headers,
            SignableBody::Precomputed(hash),
        )
        .map_err(|error| bad(&error))?;
        let output = sign(signable, &params.into()).map_err(|error| bad(&error))?;
        output.into_parts().0
    };
    for (name, value) in instructions.headers() {
        let name = HeaderName::try_from(name).map_err(|error| bad(&error))?;
        request = request.secret_header(name, value);
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn a_request_is_signed_and_shows_no_secret() {
        let secret = Zeroizing::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned());
        let credentials = S3Credentials::new("AKIDEXAMPLE", &secret, None);
        assert_eq!(format!("{credentials:?}"), "S3Credentials(..)");
        let url = Url::parse("https://storage.example/bucket/a%20b?list-type=2").unwrap();
        let request = signed(Request::get("S3", url), &credentials, "eu-north-1").unwrap();
        let text = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        let authorization = text("authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"));
        assert!(authorization.contains("/eu-north-1/s3/aws4_request"));
        assert_eq!(
            text("x-amz-content-sha256"),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert!(!format!("{request:?}").contains("Signature="));
    }
}
