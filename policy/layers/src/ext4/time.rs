//! Times as inodes hold them: 64 bits, of which the lower half is in the time's field and the upper in its `extra` one.

use crate::tar::Time;

/// The zero value of the reference's time type, which it takes for "unset".
const YEAR_ONE: i64 = -62_135_596_800;
const LAST: i64 = 0x3_7fff_ffff;
const FIRST: i64 = -0x8000_0000;

/// Not the kernel's encoding: the sign of a time before 1970 fills the upper half.
pub(super) fn encode(time: Option<Time>) -> u64 {
    match time {
        None
        | Some(Time {
            seconds: YEAR_ONE,
            nanoseconds: 0,
        }) => 0,
        Some(time) if time.seconds < FIRST => 0x8000_0000,
        Some(time) if time.seconds > LAST => LAST.cast_unsigned(),
        Some(time) => time.seconds.cast_unsigned() | u64::from(time.nanoseconds) << 34,
    }
}

/// What the reference makes of an inode's time when it gives it to another one: not always the same.
pub(super) fn inherited(time: u64) -> u64 {
    if time == 0 {
        return 0;
    }
    let mut seconds = (time & 0x3_ffff_ffff).cast_signed();
    if (0x8000_0000..0x1_0000_0000).contains(&seconds) {
        seconds -= 0x1_0000_0000;
    }
    let nanoseconds = time >> 34;
    let carry = nanoseconds / 1_000_000_000;
    encode(Some(Time {
        seconds: seconds + carry.cast_signed(),
        nanoseconds: u32::try_from(nanoseconds % 1_000_000_000).unwrap_or_default(),
    }))
}
