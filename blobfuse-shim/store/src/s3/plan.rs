//! How a commit becomes the parts of a multipart upload: every part but the last has a least size.

use std::ops::Range;

/// The least size of every part but the last, bytes.
pub(super) const LEAST: u64 = 5 << 20;
/// Most parts of one upload.
pub(super) const MOST: usize = 10_000;
/// Up to this size a piece is read and sent again rather than cut, bytes.
const SMALL: u64 = 2 * LEAST;
/// The service copies up to 5 GiB at once; smaller copies go side by side, bytes.
const LARGEST_COPY: u64 = 512 << 20;

/// Bytes that the service has already.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Piece {
    pub(super) key: String,
    /// The version, where another may have taken its place.
    pub(super) version: Option<crate::Etag>,
    pub(super) range: Range<u64>,
}

impl Piece {
    pub(super) const fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    fn cut(&mut self, length: u64) -> Self {
        let at = self.range.start + length.min(self.len());
        let head = Self {
            range: self.range.start..at,
            ..self.clone()
        };
        self.range.start = at;
        head
    }
}

/// One part.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// The service copies it.
    Copy(Piece),
    /// It is read and sent again: its pieces are too small to be parts.
    Gather(Vec<Piece>),
}

/// The parts of a blob made of `pieces`, in order; none is empty.
pub(super) fn parts(pieces: impl IntoIterator<Item = Piece>) -> Vec<Part> {
    let mut joined: Vec<Piece> = Vec::new();
    for piece in pieces.into_iter().filter(|piece| piece.len() > 0) {
        match joined.last_mut() {
            Some(last)
                if last.key == piece.key
                    && last.version == piece.version
                    && last.range.end == piece.range.start =>
            {
                last.range.end = piece.range.end;
            }
            _ => joined.push(piece),
        }
    }
    let mut parts = Vec::new();
    let mut small: Vec<Piece> = Vec::new();
    let mut gathered = 0;
    for mut piece in joined {
        if gathered > 0 || piece.len() < LEAST {
            let wanted = LEAST.saturating_sub(gathered);
            let head = match piece.len() <= SMALL {
                true => piece.cut(SMALL),
                false => piece.cut(wanted),
            };
            gathered += head.len();
            small.push(head);
            if gathered < LEAST {
                continue;
            }
            parts.push(Part::Gather(std::mem::take(&mut small)));
            gathered = 0;
        }
        while piece.len() > 0 {
            // What is left behind a copy must itself be a part.
            let length = match piece.len() <= LARGEST_COPY + LEAST {
                true => piece.len(),
                false => LARGEST_COPY,
            };
            parts.push(Part::Copy(piece.cut(length)));
        }
    }
    if !small.is_empty() {
        parts.push(Part::Gather(small));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(key: &str, range: Range<u64>) -> Piece {
        Piece {
            key: key.to_owned(),
            version: None,
            range,
        }
    }

    /// Every so many bytes of a piece is one that is looked for.
    const MARK: u64 = 1 << 18;

    fn bytes(parts: &[Part]) -> Vec<(String, u64)> {
        let pieces = parts.iter().flat_map(|part| match part {
            Part::Copy(piece) => std::slice::from_ref(piece),
            Part::Gather(pieces) => pieces.as_slice(),
        });
        pieces
            .flat_map(|piece| {
                let marks = piece.range.start.div_ceil(MARK)..piece.range.end.div_ceil(MARK);
                marks.map(|at| (piece.key.clone(), at))
            })
            .collect()
    }

    const MIB: u64 = 1 << 20;

    #[test]
    fn large_pieces_are_copied_and_neighbours_are_one() {
        let eight = |n: u64| piece("a", 8 * MIB * n..8 * MIB * (n + 1));
        let made = parts([eight(0), eight(1), piece("b", 0..8 * MIB), piece("c", 0..3)]);
        assert_eq!(
            made,
            [
                Part::Copy(piece("a", 0..16 * MIB)),
                Part::Copy(piece("b", 0..8 * MIB)),
                Part::Gather(vec![piece("c", 0..3)])
            ]
        );
    }

    #[test]
    fn every_part_but_the_last_is_large_enough_and_no_byte_is_lost() {
        let sizes = [1, 3, 4, 5, 6, 9, 11, 40, 600, 1200];
        let mut state = 7_u64;
        for _ in 0..300 {
            let mut pieces = Vec::new();
            for key in 0..8 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let size = sizes[usize::try_from(state >> 33).unwrap() % sizes.len()] * MIB / 2;
                pieces.push(piece(&format!("k{key}"), 0..size));
            }
            let whole: Vec<Part> = pieces.iter().cloned().map(Part::Copy).collect();
            let made = parts(pieces);
            assert_eq!(bytes(&made), bytes(&whole));
            let (last, rest) = made.split_last().unwrap();
            for part in rest {
                let length: u64 = match part {
                    Part::Copy(piece) => piece.len(),
                    Part::Gather(pieces) => pieces.iter().map(Piece::len).sum(),
                };
                assert!(length >= LEAST, "{made:?}");
            }
            if let Part::Gather(pieces) = last {
                assert!(pieces.iter().map(Piece::len).sum::<u64>() <= LEAST + SMALL);
            }
        }
    }
}
