//! DER as nobody's encoder would write it: every element by its tag and its content.

use x509_cert::der::{Any, Encode, Tag, TagNumber};

pub(crate) fn element(tag: Tag, content: &[u8]) -> Vec<u8> {
    Any::new(tag, content).unwrap().to_der().unwrap()
}

pub(crate) fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    element(Tag::Sequence, &elements.concat())
}

/// A constructed `[number]`.
pub(crate) fn context(number: u32, content: &[u8]) -> Vec<u8> {
    let tag = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    };
    element(tag, content)
}

pub(crate) fn bits(bytes: &[u8]) -> Vec<u8> {
    element(Tag::BitString, &[&[0], bytes].concat())
}
