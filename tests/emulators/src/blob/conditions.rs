//! Conditional headers.
use std::time::SystemTime;

use super::fault::{BlobFault, bad_header, no_blob};
use super::request::Call;
use super::store::Committed;

fn not_met() -> BlobFault {
    BlobFault::new(
        412,
        "ConditionNotMet",
        "The condition specified using HTTP conditional header(s) is not met.",
    )
}

/// Conditions of a read; an unchanged blob answers 304.
pub(super) fn for_read(call: &Call, blob: &Committed) -> Result<(), BlobFault> {
    if call
        .header("if-match")
        .is_some_and(|list| !lists(list, &blob.etag))
    {
        return Err(not_met());
    }
    if date(call, "if-unmodified-since")?.is_some_and(|at| blob.modified_seconds() > at) {
        return Err(not_met());
    }
    let unchanged = || {
        BlobFault::new(304, "ConditionNotMet", "The blob is unchanged.").with("etag", &blob.etag)
    };
    if call
        .header("if-none-match")
        .is_some_and(|list| lists(list, &blob.etag))
    {
        return Err(unchanged());
    }
    if date(call, "if-modified-since")?.is_some_and(|at| blob.modified_seconds() <= at) {
        return Err(unchanged());
    }
    Ok(())
}

/// Conditions of a write that may create; `creating_refusal` is what `If-None-Match: *` over an existing blob says.
pub(super) fn for_write(call: &Call, blob: Option<&Committed>) -> Result<(), BlobFault> {
    match (call.header("if-match"), blob) {
        (Some(_), None) => return Err(not_met()),
        (Some(list), Some(blob)) if !lists(list, &blob.etag) => return Err(not_met()),
        _ => {}
    }
    match (call.header("if-none-match"), blob) {
        (Some("*"), Some(_)) => {
            return Err(BlobFault::new(
                409,
                "BlobAlreadyExists",
                "The specified blob already exists.",
            ));
        }
        (Some(list), Some(blob)) if lists(list, &blob.etag) => return Err(not_met()),
        _ => {}
    }
    if let (Some(at), Some(blob)) = (date(call, "if-unmodified-since")?, blob)
        && blob.modified_seconds() > at
    {
        return Err(not_met());
    }
    if let (Some(at), Some(blob)) = (date(call, "if-modified-since")?, blob)
        && blob.modified_seconds() <= at
    {
        return Err(not_met());
    }
    Ok(())
}

/// Conditions of a write that needs the blob.
pub(super) fn for_change<'a>(
    call: &Call,
    blob: Option<&'a mut Committed>,
) -> Result<&'a mut Committed, BlobFault> {
    let blob = blob.ok_or_else(no_blob)?;
    if call
        .header("if-match")
        .is_some_and(|list| !lists(list, &blob.etag))
        || call
            .header("if-none-match")
            .is_some_and(|list| lists(list, &blob.etag))
        || date(call, "if-unmodified-since")?.is_some_and(|at| blob.modified_seconds() > at)
    {
        return Err(not_met());
    }
    Ok(blob)
}

fn lists(list: &str, etag: &str) -> bool {
    list.split(',')
        .map(str::trim)
        .any(|one| one == "*" || one.trim_matches('"') == etag.trim_matches('"'))
}

fn date(call: &Call, name: &'static str) -> Result<Option<u64>, BlobFault> {
    let Some(text) = call.header(name) else {
        return Ok(None);
    };
    let at = httpdate::parse_http_date(text).map_err(|_| bad_header(name))?;
    Ok(at
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .map(|d| d.as_secs()))
}
