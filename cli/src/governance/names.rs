use super::GovCliError;

/// A value that becomes one segment of a path: CCF never decodes a path, so only unreserved characters work.
pub(crate) fn segment<'a>(argument: &'static str, value: &'a str) -> Result<&'a str, GovCliError> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let plain = !value.is_empty() && value.len() <= 128 && value.bytes().all(safe);
    if plain && value != "." && value != ".." {
        return Ok(value);
    }
    Err(GovCliError::Argument {
        argument,
        reason: "has characters outside A-Z a-z 0-9 - . _ ~, or a length outside 1 to 128"
            .to_owned(),
    })
}

/// A value that goes into a query as it is: CCF versions disagree on who decodes it.
pub(crate) fn query_value<'a>(
    argument: &'static str,
    value: &'a str,
) -> Result<&'a str, GovCliError> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte);
    if !value.is_empty() && value.len() <= 256 && value.bytes().all(safe) {
        return Ok(value);
    }
    Err(GovCliError::Argument {
        argument,
        reason: "has characters outside A-Z a-z 0-9 - . _ ~ : /, or a length outside 1 to 256"
            .to_owned(),
    })
}

/// A proposal id: 64 hex digits.
pub(crate) fn proposal_id(value: &str) -> Result<&str, GovCliError> {
    if value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(value);
    }
    Err(GovCliError::Argument {
        argument: "--proposal-id",
        reason: "is not 64 hex digits".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_take_only_what_needs_no_escape() {
        for value in ["", ".", "..", "a/b", "a?b", "a%2fb", "a b", "é"] {
            assert!(segment("--id", value).is_err(), "{value}");
        }
        for value in ["", "a&scope=b", "a=b", "a%26b", "a+b"] {
            assert!(query_value("--scope", value).is_err(), "{value}");
        }
        assert!(proposal_id("12/../..").is_err());
        assert!(segment("--id", "collab-1.0_x~").is_ok());
    }
}
