use std::path::{Path, PathBuf};
use std::process::ExitCode;

use attestation::read_claims;
use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use clap::Args;
use keyvault::{ReleasePolicy, evaluate};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{Output, files, show};
use crate::CliError;

const TOKEN_CAP: u64 = 256 << 10;
const POLICY_CAP: u64 = 256 << 10;
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What to explain.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// MAA token (a JWT), `-` for standard input. Its signature is not judged: the vault does that.
    #[arg(long, value_name = "FILE")]
    token: PathBuf,
    /// Release policy: its JSON, the `release_policy` of a key, or the whole key as a vault shows it.
    #[arg(long, value_name = "FILE")]
    policy: PathBuf,
    /// How to show the clauses.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &ExplainArgs) -> Result<ExitCode, CliError> {
    let policy = read_policy(&args.policy)?;
    let token = Zeroizing::new(files::text(&args.token, TOKEN_CAP)?);
    let explanation = evaluate(&policy, &read_claims(&token)?)?;
    show(&explanation, args.output, explanation.released)
}

fn read_policy(path: &Path) -> Result<ReleasePolicy, CliError> {
    let bytes = files::read(path, POLICY_CAP)?;
    let mut json = parse(path, &bytes)?;
    // A key as a vault shows it, or the part of it that is the policy.
    if let Some(part) = json.get_mut("release_policy") {
        json = part.take();
    }
    if let Some(data) = json.get("data").and_then(Value::as_str) {
        let data = LENIENT
            .decode(data)
            .map_err(|_| files::bad(path, "data is not base64url".to_owned()))?;
        json = parse(path, &data)?;
    }
    Ok(ReleasePolicy::from_json(json)?)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Value, CliError> {
    serde_json::from_slice(bytes).map_err(|error| files::bad(path, format!("not JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;
    use sidecar_http::Coded;

    use super::*;

    fn policy() -> Value {
        json!({"version": "1.0.0", "anyOf": [{
            "authority": "https://sharedneu.neu.attest.azure.net",
            "allOf": [{"claim": "x-ms-sevsnpvm-hostdata", "equals": "5a".repeat(32)}],
        }]})
    }

    fn file(content: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        file
    }

    fn token(host_data: &str) -> tempfile::NamedTempFile {
        let claims = json!({
            "iss": "https://sharedneu.neu.attest.azure.net", "x-ms-sevsnpvm-hostdata": host_data,
        });
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        file(&format!(
            "{}.{}.AA\n",
            part(&json!({"alg": "RS256", "kid": "k"})),
            part(&claims)
        ))
    }

    fn explain(token: &Path, policy: &Path) -> Result<ExitCode, CliError> {
        run(&ExplainArgs {
            token: token.to_owned(),
            policy: policy.to_owned(),
            output: Output::Json,
        })
    }

    #[test]
    fn a_policy_is_read_in_every_form_in_which_a_vault_shows_it() {
        let data = BASE64_URL_SAFE_NO_PAD.encode(policy().to_string());
        let part = json!({"contentType": "application/json; charset=utf-8", "data": data});
        let key = json!({"key": {"kid": "k"}, "release_policy": part});
        let (met, unmet) = (token(&"5a".repeat(32)), token(&"5b".repeat(32)));
        for form in [policy(), part, key] {
            let form = file(&form.to_string());
            let outcome = |token: &Path| format!("{:?}", explain(token, form.path()).unwrap());
            assert_eq!(outcome(met.path()), format!("{:?}", ExitCode::SUCCESS));
            assert_eq!(outcome(unmet.path()), format!("{:?}", ExitCode::FAILURE));
        }
    }

    #[test]
    fn what_cannot_be_judged_is_an_error_and_no_verdict() {
        let good = file(&policy().to_string());
        let token = token(&"5a".repeat(32));
        let open = policy().to_string().replace(
            &"5a".repeat(32),
            "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20",
        );
        let cases = [
            (file("one.part"), policy().to_string()),
            (file("a.b.c"), policy().to_string()),
            (file(""), policy().to_string()),
        ];
        for (token, policy) in cases {
            assert!(explain(token.path(), file(&policy).path()).is_err());
        }
        for policy in ["", "{}", "[]", r#"{"data":"%"}"#, &open] {
            let refused = explain(token.path(), file(policy).path()).unwrap_err();
            assert!(refused.code().starts_with("CR-"), "{policy}");
        }
        assert!(explain(token.path(), Path::new("/nowhere")).is_err());
        assert!(explain(token.path(), good.path()).is_ok());
    }
}
