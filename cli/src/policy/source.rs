//! Where a policy is: a file of its text, its base64, or a template that carries it.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use policy_simulate::Document;
use policy_simulate::syntax::MAX_TEXT;
use serde_json::Value;

use crate::CliError;

/// The longest file that may hold a policy: base64 and a template around it take more than the text.
const MAX_FILE: u64 = 4 * MAX_TEXT as u64;
/// Where an AKS virtual node finds the policy of a pod.
const ANNOTATION: &str = "microsoft.containerinstance.virtualnode.ccepolicy";

/// The policy in a file.
pub(super) fn policy(path: &Path) -> Result<Document, CliError> {
    Ok(Document::policy(&text(path)?)?)
}

/// The text of a policy, from its file, its base64 or a template.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    let file = read(path)?;
    if file.trim_start().starts_with('{') {
        let template: Value =
            serde_json::from_str(&file).map_err(|error| CliError::file(path, error))?;
        let encoded = embedded(&template)
            .ok_or_else(|| CliError::file(path, "the template carries no policy, or several"))?;
        return decode(&encoded).map_err(|reason| CliError::file(path, reason));
    }
    if file.split_whitespace().count() == 1 {
        return decode(file.trim()).map_err(|reason| CliError::file(path, reason));
    }
    Ok(file)
}

/// A file as text, bounded.
pub(super) fn read(path: &Path) -> Result<String, CliError> {
    String::from_utf8(read_bytes(path)?).map_err(|_| {
        CliError::io(
            path.display().to_string(),
            std::io::Error::new(std::io::ErrorKind::InvalidData, "it is no UTF-8"),
        )
    })
}

/// A file, or standard input for `-`, bounded.
pub(super) fn read_bytes(path: &Path) -> Result<Vec<u8>, CliError> {
    let failed = |error| CliError::io(path.display().to_string(), error);
    let file: Box<dyn std::io::Read> = match path.to_str() {
        Some("-") => Box::new(std::io::stdin().lock()),
        _ => Box::new(std::fs::File::open(path).map_err(failed)?),
    };
    let mut bytes = Vec::new();
    let mut limited = std::io::Read::take(file, MAX_FILE.saturating_add(1));
    std::io::Read::read_to_end(&mut limited, &mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(CliError::file(
            path,
            format!("longer than {MAX_FILE} bytes"),
        ));
    }
    Ok(bytes)
}

/// The base64 of a policy.
pub(super) fn decode(encoded: &str) -> Result<String, String> {
    let bytes = BASE64_STANDARD
        .decode(encoded)
        .map_err(|error| format!("neither a policy nor base64 of one: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "the policy is no UTF-8".to_owned())
}

/// The one policy that a deployment template or a pod carries, still encoded.
pub(super) fn embedded(template: &Value) -> Option<String> {
    let groups = template.get("resources").and_then(Value::as_array);
    let of_groups = groups.into_iter().flatten().filter_map(|resource| {
        resource.pointer("/properties/confidentialComputeProperties/ccePolicy")
    });
    let pods = [
        "/metadata/annotations",
        "/spec/template/metadata/annotations",
    ];
    let of_pods = pods
        .iter()
        .filter_map(|place| template.pointer(place)?.get(ANNOTATION));
    let mut found = of_groups.chain(of_pods).filter_map(Value::as_str);
    let first = found.next()?;
    found.next().is_none().then(|| first.to_owned())
}
