//! The messages of `key_provider.proto`. Written by hand: they are eight. The first two carry secrets and are
//! never printed.

/// `KeyProviderKeyWrapProtocolInput`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct ProtocolInput {
    /// JSON.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) input: Vec<u8>,
}

/// `KeyProviderKeyWrapProtocolOutput`.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct ProtocolOutput {
    /// JSON.
    #[prost(bytes = "vec", tag = "1")]
    pub(super) output: Vec<u8>,
}

/// `KeyProviderGetReportInput`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReportInput {
    #[prost(string, tag = "1")]
    pub(super) report_data_hex_string: String,
}

/// `KeyProviderGetReportOutput`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReportOutput {
    #[prost(string, tag = "1")]
    pub(super) report_hex_string: String,
}

/// `KeyProviderGetAttestationDataInput`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AttestationDataInput {
    #[prost(string, tag = "1")]
    pub(super) b64_runtime_data_string: String,
}

/// `KeyProviderGetAttestationDataOutput`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AttestationDataOutput {
    #[prost(string, tag = "1")]
    pub(super) endorsed_tcb: String,
    #[prost(string, tag = "2")]
    pub(super) certs: String,
    #[prost(string, tag = "3")]
    pub(super) attestation_report: String,
    #[prost(string, tag = "4")]
    pub(super) uvm_reference_info: String,
}

/// `HelloRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HelloRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// `HelloReply`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HelloReply {
    #[prost(string, tag = "1")]
    pub(super) message: String,
}
