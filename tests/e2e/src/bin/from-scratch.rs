//! What a static binary finds out in a container FROM scratch.
//!
//! `verify HEADER HOST TIME`: whether the certificates in `x5c` of a JWS header (base64url) are those of a TLS server
//! that our clients believe to be HOST at TIME. `resolve NAME`: its addresses. `wait`: nothing, until it is killed.

use std::error::Error;
use std::io::Write;
use std::net::ToSocketAddrs;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use rustls_pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use serde::Deserialize;
use serde_json::{Value, json};
use sidecar_http::Trust;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

type Outcome = Result<Value, Box<dyn Error>>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["verify", header, host, time] => verify(header, host, time),
        ["resolve", name] => resolve(name),
        ["wait"] => loop {
            std::thread::park();
        },
        _ => Err("usage: verify HEADER HOST TIME | resolve NAME | wait".into()),
    };
    match outcome {
        Ok(answer) => {
            let _ = writeln!(std::io::stdout(), "{answer}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn verify(header: &str, host: &str, time: &str) -> Outcome {
    #[derive(Deserialize)]
    struct Header {
        x5c: Vec<String>,
    }
    let text = std::fs::read_to_string(header)?;
    let header: Header = serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(text.trim())?)?;
    let chain = header.x5c.iter().map(|der| BASE64_STANDARD.decode(der));
    let chain: Vec<CertificateDer<'_>> = chain
        .map(|der| der.map(CertificateDer::from))
        .collect::<Result<_, _>>()?;
    // As a server sends it: without the root.
    let [leaf, intermediates @ .., _root] = chain.as_slice() else {
        return Err("a chain of leaf, intermediates and root".into());
    };
    let at = OffsetDateTime::parse(time, &Rfc3339)?.unix_timestamp();
    let at = UnixTime::since_unix_epoch(Duration::from_secs(at.try_into()?));
    let registry = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
    let registry: Vec<TrustAnchor<'_>> = registry
        .map(anchor_from_trusted_cert)
        .collect::<Result<_, _>>()?;
    for (whose, roots) in [("sidecars", Trust::web().anchors()), ("registry", registry)] {
        let failed = |error| format!("{whose}: {error:?}");
        let leaf = EndEntityCert::try_from(leaf).map_err(failed)?;
        let usage = KeyUsage::server_auth();
        leaf.verify_for_usage(
            ALL_VERIFICATION_ALGS,
            &roots,
            intermediates,
            at,
            usage,
            None,
            None,
        )
        .map_err(failed)?;
        leaf.verify_is_valid_for_subject_name(&ServerName::try_from(host)?)
            .map_err(failed)?;
    }
    Ok(json!({"sidecars": "good", "registry": "good", "files": names("/etc")?}))
}

fn resolve(name: &str) -> Outcome {
    let addresses = (name, 443).to_socket_addrs()?;
    let addresses: Vec<String> = addresses.map(|address| address.ip().to_string()).collect();
    let hosts = std::fs::read_to_string("/etc/hosts")?;
    Ok(json!({"addresses": addresses, "in_hosts_file": hosts.contains(name)}))
}

fn names(folder: &str) -> Result<Vec<String>, std::io::Error> {
    let entries = std::fs::read_dir(folder)?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
