use crate::GovernanceError;

/// Longest value that goes into a query, in bytes.
pub const MAX_QUERY_VALUE: usize = 256;

/// Checks a value before it is put, as it is, into a query of CGS.
///
/// CCF up to 7.0.9 percent-decodes the whole query before CGS splits it, and later versions never decode it: an escaped
/// `&` is a separator on the one and literal text on the other. Only characters that need no escape mean the same on
/// both: `A-Z a-z 0-9 - . _ ~ : /`.
///
/// # Errors
/// [`GovernanceError::UnsafeValue`] for an empty value, one over [`MAX_QUERY_VALUE`] bytes, or any other character.
pub fn check_query_value(name: &'static str, value: &str) -> Result<(), GovernanceError> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    let reason = if value.is_empty() {
        "is empty".to_owned()
    } else if value.len() > MAX_QUERY_VALUE {
        format!(
            "has {} bytes, at most {MAX_QUERY_VALUE} are allowed",
            value.len()
        )
    } else if let Some(at) = value.bytes().position(|byte| !safe(byte)) {
        format!("has a character outside A-Z a-z 0-9 - . _ ~ : / at byte {at}")
    } else {
        return Ok(());
    };
    Err(GovernanceError::UnsafeValue { name, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_escapes_and_spaces_are_refused() {
        for value in [
            "",
            "a&sub=b",
            "a%26sub=b",
            "a=b",
            "a+b",
            "a b",
            "a#b",
            "a?b",
            "é",
            "a\nb",
        ] {
            let error = check_query_value("sub", value).unwrap_err();
            assert!(
                matches!(error, GovernanceError::UnsafeValue { name: "sub", .. }),
                "{value:?}"
            );
        }
        assert!(check_query_value("sub", &"a".repeat(MAX_QUERY_VALUE + 1)).is_err());
    }

    #[test]
    fn the_token_exchange_audience_passes_unescaped() {
        check_query_value("aud", "api://AzureADTokenExchange").unwrap();
    }
}
