use url::Url;

/// Whether `url` is what was asked for: `name`, or `name/version`, of a collection (`keys`, `secrets`) of `vault`.
///
/// A vault names itself without the port under which it is reached, and compares names without regard to case.
pub(crate) fn is_asked(url: &str, vault: &Url, collection: &str, asked: &str) -> bool {
    let Ok(url) = Url::parse(url) else {
        return false;
    };
    let here = url.scheme() == "https"
        && url.host() == vault.host()
        && url.port().is_none_or(|port| vault.port() == Some(port));
    let mut path = url.path().trim_start_matches('/').splitn(3, '/');
    let found = (path.next(), path.next(), path.next());
    let (name, version) = match asked.split_once('/') {
        Some((name, version)) => (name, Some(version)),
        None => (asked, None),
    };
    here && found.0 == Some(collection)
        && found
            .1
            .is_some_and(|found| found.eq_ignore_ascii_case(name))
        && (version.is_none() || found.2 == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vault_collection_name_and_version_must_be_the_asked_ones() {
        let vault = Url::parse("https://litware.vault.azure.net:8443").unwrap();
        let is = |url: &str, asked| is_asked(url, &vault, "secrets", asked);
        for url in [
            "https://litware.vault.azure.net/secrets/dek/01",
            "https://litware.vault.azure.net:8443/secrets/DEK/01",
        ] {
            assert!(is(url, "dek") && is(url, "dek/01"), "{url}");
            assert!(!is(url, "dek/02") && !is(url, "dek2"), "{url}");
        }
        for url in [
            "https://fabrikam.vault.azure.net/secrets/dek/01",
            "https://litware.vault.azure.net:1/secrets/dek/01",
            "http://litware.vault.azure.net/secrets/dek/01",
            "https://litware.vault.azure.net/keys/dek/01",
            "https://litware.vault.azure.net/secrets",
            "dek",
        ] {
            assert!(!is(url, "dek"), "{url}");
        }
    }
}
