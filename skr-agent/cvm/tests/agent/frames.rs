//! TPM 2.0 commands by hand (TPM 2.0 Part 3), so that what prepares the TPM is not the library under test.

/// A command or response is its header (10 bytes) and no more than this.
pub(crate) const LONGEST: usize = 4096;

const SESSIONS: u16 = 0x8002;
const NO_SESSIONS: u16 = 0x8001;
pub(crate) const OWNER: u32 = 0x4000_0001;
const ENDORSEMENT: u32 = 0x4000_000b;
/// TPM_RS_PW with neither nonce nor password.
const EMPTY_PASSWORD: [u8; 13] = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 1, 0, 0];
const NV_WRITE: u32 = 0x137;
/// OWNERWRITE, AUTHWRITE, OWNERREAD, AUTHREAD.
const NV_ATTRIBUTES: u32 = 0x0006_0006;
/// fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign.
const AK_ATTRIBUTES: u32 = 0x0005_0072;

fn frame(code: u32, handles: &[u32], authorised: bool, parameters: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for handle in handles {
        body.extend(handle.to_be_bytes());
    }
    if authorised {
        body.extend(EMPTY_PASSWORD);
    }
    body.extend(parameters);
    let tag = if authorised { SESSIONS } else { NO_SESSIONS };
    let length = u32::try_from(10 + body.len()).unwrap();
    [
        &tag.to_be_bytes()[..],
        &length.to_be_bytes(),
        &code.to_be_bytes(),
        &body,
    ]
    .concat()
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    [&length.to_be_bytes()[..], bytes].concat()
}

pub(crate) fn nv_define(index: u32, size: usize) -> Vec<u8> {
    let public = [
        &index.to_be_bytes()[..],
        &[0, 0x0b],
        &NV_ATTRIBUTES.to_be_bytes(),
        &[0, 0],
        &u16::try_from(size).unwrap().to_be_bytes(),
    ]
    .concat();
    frame(
        0x12a,
        &[OWNER],
        true,
        &[sized(&[]), sized(&public)].concat(),
    )
}

pub(crate) fn nv_undefine(index: u32) -> Vec<u8> {
    frame(0x122, &[OWNER, index], true, &[])
}

pub(crate) fn nv_write(index: u32, offset: usize, bytes: &[u8]) -> Vec<u8> {
    let offset = u16::try_from(offset).unwrap().to_be_bytes();
    frame(
        NV_WRITE,
        &[OWNER, index],
        true,
        &[sized(bytes), offset.to_vec()].concat(),
    )
}

/// A restricted RSASSA key with SHA-256, as Azure's firmware makes one.
pub(crate) fn create_ak() -> Vec<u8> {
    let public = [
        &[0, 1, 0, 0x0b][..],
        &AK_ATTRIBUTES.to_be_bytes(),
        &[0, 0],
        // Symmetric NULL, RSASSA with SHA-256, 2048 bits, exponent 65537, no modulus yet.
        &[0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0, 0, 0],
    ]
    .concat();
    let parameters = [
        sized(&[0, 0, 0, 0]),
        sized(&public),
        sized(&[]),
        vec![0, 0, 0, 0],
    ];
    frame(0x131, &[ENDORSEMENT], true, &parameters.concat())
}

/// Handle and modulus in the answer to [`create_ak`].
pub(crate) fn created_ak(answer: &[u8]) -> (u32, Vec<u8>) {
    let handle = u32::from_be_bytes(answer[10..14].try_into().unwrap());
    let length = usize::from(u16::from_be_bytes([answer[18], answer[19]]));
    let public = &answer[20..20 + length];
    (handle, public[length - 256..].to_vec())
}

pub(crate) fn make_persistent(handle: u32, persistent: u32) -> Vec<u8> {
    frame(0x120, &[OWNER, handle], true, &persistent.to_be_bytes())
}

pub(crate) fn evict(persistent: u32) -> Vec<u8> {
    make_persistent(persistent, persistent)
}

pub(crate) fn flush(handle: u32) -> Vec<u8> {
    frame(0x165, &[handle], false, &[])
}

pub(crate) fn pcr_extend(pcr: u32, digest: &[u8; 32]) -> Vec<u8> {
    frame(
        0x182,
        &[pcr],
        true,
        &[&[0, 0, 0, 1, 0, 0x0b][..], digest].concat(),
    )
}

/// The bytes that a command writes to `index` from its start, if it does that.
pub(crate) fn written_to(command: &[u8], index: u32) -> Option<&[u8]> {
    let number = |at: usize| {
        Some(u32::from_be_bytes(
            command.get(at..at + 4)?.try_into().ok()?,
        ))
    };
    if number(6)? != NV_WRITE || number(14)? != index {
        return None;
    }
    let authorisation = usize::try_from(number(18)?).ok()?;
    let at = 22 + authorisation;
    let length = usize::from(u16::from_be_bytes(
        command.get(at..at + 2)?.try_into().ok()?,
    ));
    command.get(at + 2..at + 2 + length)
}

pub(crate) fn succeeded(answer: &[u8]) -> bool {
    answer.get(6..10) == Some(&[0, 0, 0, 0])
}
