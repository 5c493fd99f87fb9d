//! Paths below `/v2/`: a repository name may itself contain slashes.
use std::ops::Range;

use super::fault::Fault;

/// What a request is about.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Target<'a> {
    Ping,
    Tags(&'a str),
    /// Repository, tag or digest.
    Manifest(&'a str, &'a str),
    /// Repository, digest.
    Blob(&'a str, &'a str),
    NewUpload(&'a str),
    /// Repository, session.
    Upload(&'a str, &'a str),
}

impl<'a> Target<'a> {
    pub(super) fn parse(path: &'a str) -> Result<Self, Fault> {
        let unknown = || Fault::new(404, "NAME_INVALID", "no such resource");
        let rest = path.strip_prefix("/v2").ok_or_else(unknown)?;
        if matches!(rest, "" | "/") {
            return Ok(Self::Ping);
        }
        let rest = rest.strip_prefix('/').ok_or_else(unknown)?;
        let split = |marker: &str| rest.rsplit_once(marker).filter(|(name, _)| is_name(name));
        if let Some((name, id)) = split("/blobs/uploads/") {
            return Ok(if id.is_empty() {
                Self::NewUpload(name)
            } else {
                Self::Upload(name, id)
            });
        }
        if let Some(name) = rest
            .strip_suffix("/blobs/uploads")
            .filter(|name| is_name(name))
        {
            return Ok(Self::NewUpload(name));
        }
        if let Some(name) = rest.strip_suffix("/tags/list").filter(|name| is_name(name)) {
            return Ok(Self::Tags(name));
        }
        if let Some((name, reference)) = split("/manifests/").filter(|(_, r)| is_reference(r)) {
            return Ok(Self::Manifest(name, reference));
        }
        split("/blobs/")
            .filter(|(_, d)| is_digest(d))
            .map(|(name, digest)| Self::Blob(name, digest))
            .ok_or_else(unknown)
    }
}

fn is_name(name: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    name.len() <= 255 && name.split('/').all(part)
}

fn is_digest(text: &str) -> bool {
    let is_hex = |h: &str| {
        h.len() == 64
            && h.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    text.strip_prefix("sha256:").is_some_and(is_hex)
}

fn is_reference(text: &str) -> bool {
    let tag = !text.is_empty()
        && text.len() <= 128
        && !text.starts_with(['.', '-'])
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    tag || is_digest(text)
}

/// `bytes=a-b` or `bytes=a-` within `length`.
pub(super) fn range(text: &str, length: usize) -> Option<Range<usize>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let start: usize = first.parse().ok()?;
    let end = if last.is_empty() {
        length
    } else {
        last.parse::<usize>().ok()?.checked_add(1)?.min(length)
    };
    (start < end).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_told_apart_also_for_names_with_slashes() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let path = |path: &str| {
            Target::parse(path)
                .map(|t| format!("{t:?}"))
                .map_err(|e| e.to_string())
        };
        assert_eq!(path("/v2/").unwrap(), "Ping");
        assert_eq!(
            path("/v2/a/b/manifests/v1.0").unwrap(),
            r#"Manifest("a/b", "v1.0")"#
        );
        assert_eq!(
            path(&format!("/v2/a/blobs/{digest}")).unwrap(),
            format!("Blob(\"a\", {digest:?})")
        );
        assert_eq!(path("/v2/a/blobs/uploads/").unwrap(), r#"NewUpload("a")"#);
        assert_eq!(
            path("/v2/a/blobs/uploads/77").unwrap(),
            r#"Upload("a", "77")"#
        );
        assert_eq!(path("/v2/a/b/tags/list").unwrap(), r#"Tags("a/b")"#);
        for refused in [
            "/v1/",
            "/v2/A/manifests/x",
            "/v2/../manifests/x",
            "/v2/a/blobs/sha256:00",
            "/v2/a/manifests/.x",
        ] {
            assert!(path(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn ranges_are_clamped_and_never_empty() {
        assert_eq!(range("bytes=0-3", 10), Some(0..4));
        assert_eq!(range("bytes=8-99", 10), Some(8..10));
        assert_eq!(range("bytes=10-", 10), None);
        assert_eq!(range("bytes=-1", 10), None);
    }
}
