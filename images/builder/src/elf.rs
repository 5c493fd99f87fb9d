//! A look at a program: 64-bit ELF for a known machine, and no loader asked for that the image, which has no base, lacks.
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use oci_spec::image::Arch;

use crate::{ExtraFile, ImageError};

const LOADER_SEGMENT: u32 = 3;
const MOST_SEGMENTS: usize = 128;
/// Longer than any path of a loader.
const LOADER_CAP: u64 = 256;

/// The architecture of a program that is static, or whose loader is one of `files`.
pub(crate) fn architecture(path: &Path, files: &[ExtraFile]) -> Result<Arch, ImageError> {
    let unreadable = |source| ImageError::Read {
        path: path.to_owned(),
        source,
    };
    let unfit = |reason| ImageError::Program {
        path: path.to_owned(),
        reason,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let mut head = [0_u8; 64];
    file.read_exact(&mut head)
        .map_err(|_| unfit("it is no ELF file"))?;
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return Err(unfit("it is no 64-bit little-endian ELF file"));
    }
    let arch = match field::<2>(&head, 18).map(u16::from_le_bytes) {
        Some(62) => Arch::Amd64,
        Some(183) => Arch::ARM64,
        _ => return Err(unfit("it is for no machine that this suite runs on")),
    };
    let table = field::<8>(&head, 32)
        .map(u64::from_le_bytes)
        .unwrap_or_default();
    let size = usize::from(
        field::<2>(&head, 54)
            .map(u16::from_le_bytes)
            .unwrap_or_default(),
    );
    let count = usize::from(
        field::<2>(&head, 56)
            .map(u16::from_le_bytes)
            .unwrap_or_default(),
    );
    if count > MOST_SEGMENTS || (count > 0 && size < 4) || size > 256 {
        return Err(unfit("its program headers are malformed"));
    }
    let mut segments = vec![0_u8; size * count];
    file.seek(SeekFrom::Start(table)).map_err(unreadable)?;
    file.read_exact(&mut segments)
        .map_err(|_| unfit("its program headers are cut off"))?;
    let loaders = segments
        .chunks(size.max(1))
        .filter(|segment| field::<4>(segment, 0).map(u32::from_le_bytes) == Some(LOADER_SEGMENT));
    for segment in loaders {
        let loader = loader(&mut file, segment)
            .ok_or_else(|| unfit("it is dynamically linked, and its loader's name is malformed"))?;
        if !files.iter().any(|file| file.target == loader) {
            return Err(unfit(
                "it is dynamically linked, and its loader is not among the image's files",
            ));
        }
    }
    Ok(arch)
}

/// The path in a loader segment, without the zero byte at its end.
fn loader(file: &mut File, segment: &[u8]) -> Option<String> {
    let offset = u64::from_le_bytes(field::<8>(segment, 8)?);
    let length = u64::from_le_bytes(field::<8>(segment, 32)?);
    if length > LOADER_CAP {
        return None;
    }
    let mut path = vec![0; usize::try_from(length).ok()?];
    file.seek(SeekFrom::Start(offset)).ok()?;
    file.read_exact(&mut path).ok()?;
    String::from_utf8(path)
        .ok()?
        .strip_suffix('\0')
        .map(str::to_owned)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A file of ELF form with one program header of `kind`.
    fn elf(machine: u16, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0_u8; 64 + 56];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    fn judge(bytes: &[u8]) -> Result<Arch, String> {
        judge_with(bytes, &[])
    }

    fn judge_with(bytes: &[u8], targets: &[&str]) -> Result<Arch, String> {
        let files = targets.iter().map(|target| ExtraFile {
            source: "/nowhere".into(),
            target: (*target).to_owned(),
            mode: 0o755,
            sha256: None,
        });
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        architecture(file.path(), &files.collect::<Vec<_>>()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_static_program_passes_and_names_its_machine() {
        assert_eq!(judge(&elf(62, 1)), Ok(Arch::Amd64));
        assert_eq!(judge(&elf(183, 1)), Ok(Arch::ARM64));
    }

    #[test]
    fn a_program_that_needs_a_loader_passes_only_beside_it() {
        let mut dynamic = elf(62, LOADER_SEGMENT);
        dynamic[64 + 8..64 + 16].copy_from_slice(&120_u64.to_le_bytes());
        dynamic[64 + 32..64 + 40].copy_from_slice(&8_u64.to_le_bytes());
        dynamic.extend(b"/lib/ld\0");
        assert_eq!(judge_with(&dynamic, &["/x", "/lib/ld"]), Ok(Arch::Amd64));
        for targets in [&[][..], &["/lib/ld2"]] {
            let refusal = judge_with(&dynamic, targets).unwrap_err();
            assert!(
                refusal.ends_with("not among the image's files"),
                "{refusal}"
            );
        }
        for at in [64 + 9, 64 + 32, 64 + 39] {
            let mut malformed = dynamic.clone();
            malformed[at] = 7;
            let refusal = judge_with(&malformed, &["/lib/ld"]).unwrap_err();
            assert!(refusal.ends_with("malformed"), "{refusal}");
        }
    }

    #[test]
    fn scripts_other_machines_and_cut_off_files_are_refused() {
        assert!(
            judge(b"#!/bin/sh\n")
                .unwrap_err()
                .ends_with("it is no ELF file")
        );
        assert!(judge(&elf(8, 1)).unwrap_err().contains("no machine"));
        assert!(judge(&elf(62, 1)[..80]).unwrap_err().ends_with("cut off"));
        let mut many = elf(62, 1);
        many[56..58].copy_from_slice(&60_000_u16.to_le_bytes());
        assert!(judge(&many).unwrap_err().ends_with("malformed"));
    }
}
