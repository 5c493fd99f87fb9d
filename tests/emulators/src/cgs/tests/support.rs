//! Members with keys, a clean room with evidence, and calls as clients make them.
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded as _};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PSS_SHA256, RsaKeyPair,
};
use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ciborium::Value as Cbor;
use coset::{CoseSign1Builder, HeaderBuilder, TaggedCborSerializable as _, iana};
use http::{HeaderMap, Request};
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ECDSA_P384_SHA384};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tower::ServiceExt as _;

use crate::amd;
use crate::cgs::{Cgs, CgsConfig, ClientCertificate, amd_verifier};

pub(super) const ACCEPT: &str = "export function vote (proposal, proposerId) { return true }";
pub(super) const REJECT: &str = "export function vote (proposal, proposerId) { return false }";
pub(super) const HOST_DATA: [u8; 32] = [7; 32];

/// A member's certificate and key.
pub(super) struct Party {
    pub(super) id: String,
    pub(super) pem: String,
    pub(super) der: Vec<u8>,
    key: EcdsaKeyPair,
}

impl Party {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let cert = params.self_signed(&key).unwrap();
        let der = cert.der().to_vec();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &key.serialize_der())
            .unwrap();
        Self {
            id: hex::encode(Sha256::digest(&der)),
            pem: cert.pem(),
            der,
            key,
        }
    }

    pub(super) fn sign(&self, message: &Message<'_>) -> Vec<u8> {
        let mut header = HeaderBuilder::new()
            .algorithm(message.algorithm)
            .key_id(self.id.clone().into_bytes())
            .text_value("ccf.gov.msg.type".to_owned(), Cbor::from(message.kind))
            .text_value(
                "ccf.gov.msg.created_at".to_owned(),
                Cbor::from(message.created_at),
            );
        if let Some(id) = message.proposal {
            header = header.text_value("ccf.gov.msg.proposal_id".to_owned(), Cbor::from(id));
        }
        CoseSign1Builder::new()
            .protected(header.build())
            .payload(message.payload.clone())
            .create_signature(b"", |signed| {
                self.key
                    .sign(&SystemRandom::new(), signed)
                    .unwrap()
                    .as_ref()
                    .to_vec()
            })
            .build()
            .to_tagged_vec()
            .unwrap()
    }
}

pub(super) struct Message<'a> {
    pub(super) kind: &'a str,
    pub(super) algorithm: iana::Algorithm,
    pub(super) created_at: u64,
    pub(super) proposal: Option<&'a str>,
    pub(super) payload: Vec<u8>,
}

impl<'a> Message<'a> {
    /// A message that is well formed and later than all before it.
    pub(super) fn new(
        kind: &'a str,
        proposal: Option<&'a str>,
        payload: impl Into<Vec<u8>>,
    ) -> Self {
        static CLOCK: AtomicU64 = AtomicU64::new(1_800_000_000);
        Self {
            kind,
            algorithm: iana::Algorithm::ES384,
            created_at: CLOCK.fetch_add(1, Ordering::Relaxed),
            proposal,
            payload: payload.into(),
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Got {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// `<status> <error code>`.
    pub(super) fn error(&self) -> String {
        format!(
            "{} {}",
            self.status,
            self.json()["error"]["code"].as_str().unwrap_or("-")
        )
    }

    /// The error's message and those of its details.
    pub(super) fn message(&self) -> String {
        let error = &self.json()["error"];
        let detail = &error["details"][0]["message"];
        format!(
            "{}|{}",
            error["message"].as_str().unwrap_or_default(),
            detail.as_str().unwrap_or_default()
        )
    }

    pub(super) fn transaction(&self) -> String {
        self.headers["x-ms-ccf-transaction-id"]
            .to_str()
            .unwrap()
            .to_owned()
    }

    pub(super) fn ok(self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "{} {}",
            self.status,
            String::from_utf8_lossy(&self.body)
        );
        self.json()
    }
}

/// A service with an operator and the members litware and fabrikam, all active.
pub(super) struct Service {
    pub(super) cgs: Cgs,
    router: Router,
    pub(super) operator: Party,
    pub(super) litware: Party,
    pub(super) fabrikam: Party,
}

pub(super) fn service() -> Service {
    service_with(|_| {})
}

pub(super) fn service_with(adjust: impl FnOnce(&mut CgsConfig)) -> Service {
    let mut config = CgsConfig::new(amd_verifier());
    config.commit_delay = Some(Duration::ZERO);
    adjust(&mut config);
    let cgs = Cgs::new(config).unwrap();
    let [operator, litware, fabrikam] = ["operator", "litware", "fabrikam"].map(Party::new);
    cgs.add_member(
        &operator.pem,
        json!({"identifier": "operator", "isOperator": true}),
    )
    .unwrap();
    for (party, name) in [(&litware, "litware"), (&fabrikam, "fabrikam")] {
        let tenant = format!("tenant-{name}");
        cgs.add_member(&party.pem, json!({"identifier": name, "tenantId": tenant}))
            .unwrap();
    }
    Service {
        router: cgs.router(),
        cgs,
        operator,
        litware,
        fabrikam,
    }
}

impl Service {
    pub(super) fn use_instead(&mut self, cgs: Cgs) {
        self.router = cgs.router();
        self.cgs = cgs;
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Got {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX)
            .await
            .unwrap()
            .to_vec();
        Got {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        party: Option<&Party>,
        body: Value,
    ) -> Got {
        let body = if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        };
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .unwrap();
        if let Some(party) = party {
            request
                .extensions_mut()
                .insert(ClientCertificate(party.der.clone()));
        }
        self.send(request).await
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.call("GET", path, Some(&self.litware), Value::Null)
            .await
    }

    /// Reads below `/gov`, without a certificate.
    pub(super) async fn gov(&self, path: &str) -> Got {
        self.call(
            "GET",
            &format!("/gov/{path}?api-version=2024-07-01"),
            None,
            Value::Null,
        )
        .await
    }

    /// Sends a signed message as it is.
    pub(super) async fn post_cose(&self, path: &str, cose: Vec<u8>) -> Got {
        let uri = format!("/gov/members/{path}?api-version=2024-07-01");
        let request = Request::post(uri).header("content-type", "application/cose");
        self.send(request.body(Body::from(cose)).unwrap()).await
    }

    pub(super) async fn propose_all(&self, party: &Party, actions: Value) -> Got {
        let payload = json!({"actions": actions}).to_string();
        self.post_cose(
            "proposals:create",
            party.sign(&Message::new("proposal", None, payload)),
        )
        .await
    }

    pub(super) async fn propose(&self, party: &Party, name: &str, args: Value) -> Got {
        self.propose_all(party, json!([{"name": name, "args": args}]))
            .await
    }

    pub(super) async fn vote(&self, party: &Party, proposal: &str, ballot: &str) -> Got {
        let message = Message::new(
            "ballot",
            Some(proposal),
            json!({"ballot": ballot}).to_string(),
        );
        let path = format!("proposals/{proposal}/ballots/{}:submit", party.id);
        self.post_cose(&path, party.sign(&message)).await
    }

    /// A proposal that both members accept.
    pub(super) async fn pass(&self, name: &str, args: Value) -> Value {
        let id = id(&self.propose(&self.litware, name, args).await.ok());
        self.vote(&self.litware, &id, ACCEPT).await.ok();
        self.vote(&self.fabrikam, &id, ACCEPT).await.ok()
    }

    /// Drafts a contract; gives the arguments that propose it.
    pub(super) async fn draft(&self, id: &str) -> Value {
        let path = format!("/app/contracts/{id}");
        let body = json!({"data": format!("yaml of {id}")});
        self.call("PUT", &path, Some(&self.litware), body)
            .await
            .ok();
        json!({"contractId": id, "contract": self.get(&path).await.ok()})
    }

    /// A contract `c1` with a policy for the clean room.
    pub(super) fn accepted(self) -> Self {
        self.cgs.accept_contract("c1", json!("yaml: 1"));
        self.cgs.set_policy("c1", &hex::encode(HOST_DATA));
        self
    }

    pub(super) async fn room_call(&self, method: &str, path: &str, body: Value) -> Got {
        self.call(method, &format!("/app/contracts/{path}"), None, body)
            .await
    }
}

pub(super) fn id(proposal: &Value) -> String {
    proposal["proposalId"].as_str().unwrap().to_owned()
}

/// A clean room: an RSA key and evidence that binds it by v4's rule.
pub(super) struct Room {
    key: RsaKeyPair,
    pub(super) public: String,
    pub(super) attestation: Value,
}

impl Room {
    pub(super) fn new(host_data: [u8; 32]) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let spki = key.public_key().as_der().unwrap();
        let text = STANDARD.encode(spki.as_ref());
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----",
            lines.join("\n")
        );
        let public = STANDARD.encode(pem);
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(&Sha256::digest(&public));
        let attestation = json!({
            "evidence": STANDARD.encode(amd::issue_report(&host_data, &report_data).unwrap()),
            "endorsements": STANDARD.encode(amd::chain_pem()),
            "uvm_endorsements": STANDARD.encode(amd::uvm_endorsement()),
        });
        Self {
            key,
            public,
            attestation,
        }
    }

    pub(super) fn attested(&self) -> Value {
        json!({"attestation": self.attestation})
    }

    pub(super) fn encrypted(&self) -> Value {
        json!({"attestation": self.attestation, "encrypt": {"publicKey": self.public}})
    }

    pub(super) fn event(&self, data: &Value) -> Value {
        let data = data.to_string();
        let mut signature = vec![0; 256];
        self.key
            .sign(
                &RSA_PSS_SHA256,
                &SystemRandom::new(),
                data.as_bytes(),
                &mut signature,
            )
            .unwrap();
        json!({
            "attestation": self.attestation,
            "encrypt": {"publicKey": self.public},
            "sign": {"publicKey": self.public, "signature": STANDARD.encode(signature)},
            "data": STANDARD.encode(data),
            "timestamp": "1717591984758",
        })
    }

    /// The value inside `{"value"}`.
    pub(super) fn unwrap(&self, answer: &Value) -> String {
        let blob = STANDARD.decode(answer["value"].as_str().unwrap()).unwrap();
        let pkcs8 = self.key.as_der().unwrap();
        let private = PrivateDecryptingKey::from_pkcs8(pkcs8.as_ref()).unwrap();
        let private = OaepPrivateDecryptingKey::new(private).unwrap();
        let (head, tail) = blob.split_at(256);
        let mut key = [0; 256];
        let key = private
            .decrypt(&OAEP_SHA256_MGF1SHA256, head, &mut key, None)
            .unwrap();
        let mut out = vec![0; tail.len() + 15];
        let value = AesKek::new(&AES_256, key)
            .unwrap()
            .unwrap_with_padding(tail, &mut out)
            .unwrap();
        String::from_utf8(value.to_vec()).unwrap()
    }
}

/// The clean room that the policy of `c1` admits.
pub(super) fn room() -> &'static Room {
    static ROOM: OnceLock<Room> = OnceLock::new();
    ROOM.get_or_init(|| Room::new(HOST_DATA))
}
