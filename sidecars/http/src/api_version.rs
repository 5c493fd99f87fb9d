use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The `api-version` that an Azure service is asked under: configuration, because clouds and vaults differ in what they
/// have rolled out.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ApiVersion(Cow<'static, str>);

/// A text that is no `api-version`.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "an api-version has 1 to 32 letters, digits, dots and hyphens, such as \"7.4\" or \"2022-08-01\""
)]
pub struct BadApiVersion;

impl ApiVersion {
    /// A version of the program's own; must be one that [`ApiVersion::from_str`] takes.
    pub const fn preset(version: &'static str) -> Self {
        Self(Cow::Borrowed(version))
    }

    /// The version as the query carries it; needs no escaping there.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApiVersion {
    type Err = BadApiVersion;

    fn from_str(text: &str) -> Result<Self, BadApiVersion> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-');
        if (1..=32).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(BadApiVersion)
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_use_are_taken_and_nothing_that_would_change_a_url() {
        for text in ["7.4", "7.3-preview", "2022-08-01", "2025-06-01"] {
            assert_eq!(text.parse::<ApiVersion>().unwrap().as_str(), text);
        }
        let long = "1".repeat(33);
        for text in ["", "7.4&x=1", "7.4#", "7 4", "7.4\n", "７.4", "../7", &long] {
            assert_eq!(text.parse::<ApiVersion>(), Err(BadApiVersion), "{text:?}");
        }
    }
}
