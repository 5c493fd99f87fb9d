use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use x509_cert::der::asn1::ObjectIdentifier;

use crate::SnpError;

const MICROSOFT: &str =
    "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.2";
const CONTAINER_GROUPS: &str = "ContainerPlat-AMD-UVM";
/// What Microsoft names as the oldest utility VM that its hosts still run. Below 100 are those never meant for production.
const MINIMUM_SVN: u64 = 104;

/// Whose endorsement of which utility VM is believed, and from which version on.
#[derive(Clone, Debug)]
pub struct UvmRoots {
    issuer: String,
    authority: [u8; 32],
    usage: ObjectIdentifier,
    feed: String,
    minimum_svn: u64,
}

impl UvmRoots {
    /// Microsoft's endorsement of the utility VM of confidential container groups.
    ///
    /// # Errors
    /// None: what is compiled in is well formed.
    pub fn microsoft() -> Result<Self, SnpError> {
        Self::custom(MICROSOFT, CONTAINER_GROUPS, MINIMUM_SVN)
    }

    /// Another issuer, feed or version.
    ///
    /// # Errors
    /// [`SnpError::Unusable`]: the issuer is not `did:x509:0:sha256:<fingerprint>::eku:<identifier>`.
    pub fn custom(issuer: &str, feed: &str, minimum_svn: u64) -> Result<Self, SnpError> {
        let unusable = |reason: &str| SnpError::Unusable {
            what: "issuer of utility VMs",
            reason: format!("{issuer:?}: {reason}"),
        };
        let (fingerprint, usage) = issuer
            .strip_prefix("did:x509:0:sha256:")
            .and_then(|rest| rest.split_once("::eku:"))
            .ok_or_else(|| {
                unusable("expected did:x509:0:sha256:<fingerprint>::eku:<identifier>")
            })?;
        let authority = URL_SAFE_NO_PAD
            .decode(fingerprint)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| unusable("the fingerprint is not 32 bytes of base64url"))?;
        let usage = ObjectIdentifier::new(usage)
            .map_err(|_| unusable("the extended key usage is no object identifier"))?;
        Ok(Self {
            issuer: issuer.to_owned(),
            authority,
            usage,
            feed: feed.to_owned(),
            minimum_svn,
        })
    }

    /// The same under another minimum.
    #[must_use]
    pub fn with_minimum_svn(mut self, minimum_svn: u64) -> Self {
        self.minimum_svn = minimum_svn;
        self
    }

    /// The issuer: a did:x509.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// SHA-256 of the authority's certificate.
    pub(crate) const fn authority(&self) -> &[u8; 32] {
        &self.authority
    }

    /// The extended key usage that the leaf must have.
    pub(crate) const fn usage(&self) -> ObjectIdentifier {
        self.usage
    }

    /// What must be endorsed.
    pub fn feed(&self) -> &str {
        &self.feed
    }

    /// The oldest version accepted.
    pub const fn minimum_svn(&self) -> u64 {
        self.minimum_svn
    }
}
