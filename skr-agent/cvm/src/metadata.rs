use std::path::Path;
use std::time::Duration;

use attestation::{
    EndorsementConfig, EndorsementSource, EndorsementStore, EndorsementTiming, Report,
    SecurityContext,
};
use cvm_evidence::ImageReference;
use http::HeaderName;
use sidecar_http::{HttpsClient, HttpsError, PlainClient, PlainEndpoint, Request};
use tokio::sync::OnceCell;

use crate::CvmError;

const HOP: &str = "instance metadata service";
const CERTIFICATES: &str = "/metadata/THIM/amd/certification";
const IMAGE: &str = "/metadata/instance/compute/storageProfile/imageReference";
const IMAGE_VERSION: &str = "api-version=2025-04-07";
/// Shorter than a report takes, because nothing depends on it.
const IMAGE_DEADLINE: Duration = Duration::from_secs(2);
const IMAGE_CAP: usize = 64 << 10;

/// What Azure tells about this machine over its metadata service. The host may tell anything: the certificates are
/// judged by their signatures, the image by nobody.
#[derive(Debug)]
pub struct Metadata {
    certificates: EndorsementStore,
    service: PlainClient,
    image: OnceCell<ImageReference>,
}

impl Metadata {
    /// The metadata service at 169.254.169.254, or at `host[:port]`.
    ///
    /// # Errors
    /// `service` is no such address, or a client cannot be made.
    pub fn new(service: Option<&str>, https: HttpsClient) -> Result<Self, CvmError> {
        let endpoint = |path: &str| match service {
            None => PlainEndpoint::metadata_service(path),
            Some(service) => PlainEndpoint::explicit(&format!("{service}{path}")),
        };
        let client = |path| endpoint(path).and_then(PlainClient::new);
        let sources = EndorsementConfig {
            sources: vec![EndorsementSource::Thim(
                endpoint(CERTIFICATES).map_err(unusable)?,
            )],
            timing: EndorsementTiming::default(),
        };
        Ok(Self {
            certificates: EndorsementStore::new(sources, https)?,
            service: client(IMAGE).map_err(unusable)?,
            image: OnceCell::new(),
        })
    }

    /// PEM of leaf, intermediate and root for the report's chip and firmware. Their signatures are the verifier's
    /// business.
    pub(crate) async fn certificates(&self, report: &Report) -> Result<String, CvmError> {
        // A virtual machine has no security context, which only a container group's host writes.
        let none = SecurityContext::read(Path::new("/nonexistent")).await;
        let found = self.certificates.find(report, &none).await?;
        Ok(found.pem().to_owned())
    }

    /// What the machine was made from; `None` if the service does not say.
    pub(crate) async fn image(&self) -> Option<ImageReference> {
        // Callers ask one after another: the deadline is for the wait as well.
        let asked = self.image.get_or_try_init(|| self.ask_image());
        let image = tokio::time::timeout(IMAGE_DEADLINE, asked).await;
        match image.unwrap_or_else(|_| Err("no answer in time".to_owned())) {
            Ok(image) => Some(image.clone()),
            Err(error) => {
                tracing::warn!(error, "no image reference");
                None
            }
        }
    }

    async fn ask_image(&self) -> Result<ImageReference, String> {
        let mut url = self.service.endpoint().url().clone();
        url.set_query(Some(IMAGE_VERSION));
        let request = Request::get(HOP, url)
            .header(HeaderName::from_static("metadata"), "true")
            .deadline(IMAGE_DEADLINE)
            .budget(IMAGE_DEADLINE)
            .body_cap(IMAGE_CAP);
        let shown = |error: HttpsError| sidecar_http::chain(&error);
        let answer = self.service.send_retrying(&request).await.map_err(shown)?;
        if !answer.status.is_success() {
            return Err(format!("{HOP}: status {}", answer.status));
        }
        answer.json(HOP).map_err(shown)
    }
}

/// Reads `host[:port]`.
///
/// # Errors
/// [`HttpsError::Invalid`]; also for a path.
pub(crate) fn service(text: &str) -> Result<String, HttpsError> {
    let endpoint = PlainEndpoint::explicit(text)?;
    if endpoint.url().path() != "/" || text.ends_with('/') {
        return Err(HttpsError::Invalid {
            hop: HOP,
            reason: format!("{text:?} has a path, expected host[:port]"),
        });
    }
    Ok(text.to_owned())
}

fn unusable(error: HttpsError) -> CvmError {
    CvmError::Attest(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_metadata_service_is_a_host_and_a_port() {
        for text in ["127.0.0.1:8080", "metadata.example", "[::1]:80"] {
            assert_eq!(service(text).unwrap(), text);
        }
        for text in ["", "http://h", "h/metadata", "h/", "u@h", "h?q"] {
            assert!(service(text).is_err(), "{text}");
        }
    }
}
