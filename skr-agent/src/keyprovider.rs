//! The gRPC key provider that image encryption tools speak: `WrapKey`, `UnWrapKey` and their companions
//! (`docs/skr-agent.md`), under the package name that upstream has and the one it had.

mod directory;
mod messages;
mod packet;

use std::sync::Arc;

use attestation::{AttestError, Attester, RuntimeData};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, post};
use cleanroom_crypto::rsa::{OaepHash, PrivateKey};
use prost::Message;
use sidecar_http::{Callers, Coded, Fault, Peer, Routes, chain};
use tonic::metadata::MetadataValue;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use zeroize::Zeroizing;

use crate::error::SharedError;
use crate::failure::{retryable, upstream_status};
use crate::wire::{CombinedAnswer, Release, runtime_data};
use crate::{Agent, SkrError};

pub use directory::KeyDirectory;

use messages::{
    AttestationDataInput, AttestationDataOutput, HelloReply, HelloRequest, ProtocolInput,
    ProtocolOutput, ReportInput, ReportOutput,
};
use packet::{Annotation, Unwrapping, Wrapping};

const PACKAGES: [&str; 2] = ["keyprovider", "key_provider"];
/// Larger than any key and its annotation.
const MESSAGE_CAP: usize = 256 << 10;

/// The service for clients of `--tcp`; in a group nobody is granted it.
pub(crate) fn routes<A: Attester>(agent: Arc<Agent<A>>) -> Routes {
    let mut routes = Routes::new();
    for package in PACKAGES {
        for (method, handler) in [
            ("WrapKey", unary(&agent, wrap_key)),
            ("UnWrapKey", unary(&agent, unwrap_key)),
            ("GetReport", unary(&agent, get_report)),
            ("GetAttestationData", unary(&agent, get_attestation_data)),
            ("SayHello", unary(&agent, say_hello)),
        ] {
            let path = format!("/{package}.KeyProviderService/{method}");
            routes = routes.route(&path, handler, Callers::Only(Vec::new()));
        }
    }
    routes
}

/// One method as a route.
fn unary<A, M, Q, R, F>(agent: &Arc<Agent<A>>, method: M) -> MethodRouter
where
    A: Attester,
    M: Fn(Arc<Agent<A>>, Peer, Q) -> F + Clone + Send + Sync + 'static,
    Q: Message + Default + 'static,
    R: Message + 'static,
    F: Future<Output = Result<R, Status>> + Send + 'static,
{
    let agent = Arc::clone(agent);
    post(move |peer: Peer, request: Request| {
        let (agent, method) = (Arc::clone(&agent), method.clone());
        async move {
            let content = request.headers().get(CONTENT_TYPE);
            if !content.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc")) {
                return StatusCode::UNSUPPORTED_MEDIA_TYPE.into_response();
            }
            let service = tower::service_fn(move |question: tonic::Request<Q>| {
                let answer = method(Arc::clone(&agent), peer, question.into_inner());
                async move { answer.await.map(tonic::Response::new) }
            });
            let answer: Response = Grpc::new(ProstCodec::<R, Q>::default())
                .apply_max_message_size_config(Some(MESSAGE_CAP), None)
                .unary(service, request)
                .await
                .map(axum::body::Body::new);
            answer
        }
    })
}

async fn wrap_key<A: Attester>(
    agent: Arc<Agent<A>>,
    _: Peer,
    question: ProtocolInput,
) -> Result<ProtocolOutput, Status> {
    let question = Zeroizing::new(question.input);
    let wrapping = Wrapping::read(&question).map_err(|error| status(&error, Code::Internal))?;
    let directory = agent.key_directory().map(Arc::clone);
    let wrapped = tokio::task::spawn_blocking(move || {
        let Some(directory) = directory else {
            return Err(SkrError::WrappingKey {
                path: wrapping.key_path,
                reason: "there is no --keyprovider-dir".to_owned(),
            });
        };
        directory.wrap(&wrapping.key_path, &wrapping.clear)
    });
    let wrapped = wrapped.await.map_err(|_| stopping())?;
    let annotation = wrapped.map_err(|error| match error.fault() {
        // Upstream's code for a wrapping key that cannot be used.
        Fault::Caller => Status::internal(text(&error)),
        _ => status(&error, Code::Internal),
    })?;
    Ok(ProtocolOutput {
        output: packet::wrapped(&annotation),
    })
}

async fn unwrap_key<A: Attester>(
    agent: Arc<Agent<A>>,
    peer: Peer,
    question: ProtocolInput,
) -> Result<ProtocolOutput, Status> {
    let refuse = |error: &SkrError| status(error, Code::Unknown);
    let annotation = Unwrapping::read(&question.input).map_err(|error| refuse(&error))?;
    let clear = unwrap(&agent, peer, annotation.annotation)
        .await
        .map_err(|error| refuse(&error))?;
    Ok(ProtocolOutput {
        output: packet::unwrapped(&clear),
    })
}

async fn unwrap<A: Attester>(
    agent: &Arc<Agent<A>>,
    peer: Peer,
    annotation: Annotation,
) -> Result<Zeroizing<Vec<u8>>, SharedError> {
    let release = Release::of_annotation(
        &annotation.attester_endpoint,
        &annotation.kms_endpoint,
        &annotation.kid,
    )?;
    let released = agent.release(release, peer.uid()).await?;
    let kid = annotation.kid;
    let opened = tokio::task::spawn_blocking(move || {
        PrivateKey::from_jwk(&released.jwk)?
            .decrypt_oaep(OaepHash::Sha256, &annotation.wrapped_data)
    });
    let opened = opened
        .await
        .map_err(|_| SkrError::from(AttestError::Stopping))?;
    opened.map_err(|source| SkrError::Unwrap { kid, source }.into())
}

/// Upstream binds the text of the request as it is, although it is named a hex string; who checks the report expects that.
async fn get_report<A: Attester>(
    agent: Arc<Agent<A>>,
    _: Peer,
    question: ReportInput,
) -> Result<ReportOutput, Status> {
    let runtime = RuntimeData::new(question.report_data_hex_string.into_bytes());
    let report = agent
        .report(&runtime)
        .await
        .map_err(|error| status(&error, Code::Internal))?;
    Ok(ReportOutput {
        report_hex_string: report.to_hex(),
    })
}

async fn get_attestation_data<A: Attester>(
    agent: Arc<Agent<A>>,
    _: Peer,
    question: AttestationDataInput,
) -> Result<AttestationDataOutput, Status> {
    let refuse = |error: SkrError| status(&error, Code::Internal);
    let runtime = runtime_data(&question.b64_runtime_data_string).map_err(refuse)?;
    let evidence = agent
        .evidence(&runtime)
        .await
        .map_err(|error| refuse(error.into()))?;
    let answer = CombinedAnswer::of(&evidence);
    Ok(AttestationDataOutput {
        endorsed_tcb: answer.endorsed_tcb,
        certs: answer.endorsements,
        attestation_report: answer.evidence,
        uvm_reference_info: answer.uvm_endorsements,
    })
}

async fn say_hello<A: Attester>(
    _: Arc<Agent<A>>,
    _: Peer,
    question: HelloRequest,
) -> Result<HelloReply, Status> {
    Ok(HelloReply {
        message: format!("Hello {}", question.name),
    })
}

/// Upstream's status codes: what the caller got wrong, a machine without evidence, and `otherwise` for the rest; only what
/// may succeed later is told apart from them, as `UNAVAILABLE`. The stable code goes along in the metadata.
fn status(error: &SkrError, otherwise: Code) -> Status {
    let without_evidence = match error {
        SkrError::Attest(error) => matches!(
            error.cause(),
            AttestError::NoDevice { .. } | AttestError::NoContext { .. }
        ),
        _ => false,
    };
    let code = match error.fault() {
        _ if without_evidence => Code::FailedPrecondition,
        Fault::Upstream { retry: true } => Code::Unavailable,
        Fault::Caller => Code::InvalidArgument,
        _ => otherwise,
    };
    tracing::info!(code = error.code(), error = chain(error), "call refused");
    let mut status = Status::new(code, text(error));
    let metadata = status.metadata_mut();
    if let Ok(code) = MetadataValue::try_from(error.code()) {
        metadata.insert("code", code);
    }
    metadata.insert(
        "retryable",
        MetadataValue::from_static(if retryable(error) { "true" } else { "false" }),
    );
    if let Some(upstream) = upstream_status(error) {
        metadata.insert("upstream-status", MetadataValue::from(upstream.as_u16()));
    }
    status
}

fn text(error: &SkrError) -> String {
    format!("{}: {}", error.code(), chain(error))
}

fn stopping() -> Status {
    status(&AttestError::Stopping.into(), Code::Unavailable)
}

#[cfg(test)]
mod tests;
