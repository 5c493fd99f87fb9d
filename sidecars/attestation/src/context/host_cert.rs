use serde::Deserialize;

/// THIM's certificates of the host's processor: from the security context, or from the metadata service.
#[derive(Clone, Debug, Deserialize)]
pub struct HostAmdCert {
    /// PEM of the VCEK.
    #[serde(rename = "vcekCert")]
    pub vcek_cert: String,
    /// TCB of the VCEK as the host states it, in hex. Some hosts write the bytes in the other order, so nothing relies on
    /// it: the certificate says what it vouches for.
    pub tcbm: String,
    /// PEM of ASK and ARK.
    #[serde(rename = "certificateChain")]
    pub certificate_chain: String,
}

impl HostAmdCert {
    /// Reads THIM's JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map_err(|error| format!("not THIM's JSON: {error}"))
    }

    /// VCEK, ASK, ARK in one PEM text.
    pub fn chain_pem(&self) -> String {
        let separator = if self.vcek_cert.ends_with('\n') {
            ""
        } else {
            "\n"
        };
        format!("{}{separator}{}", self.vcek_cert, self.certificate_chain)
    }
}
