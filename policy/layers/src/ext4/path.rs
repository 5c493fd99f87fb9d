//! Paths of entries.

/// The components of a path from the root: `.` and empty ones dropped, `..` resolved and never above the root.
pub(crate) fn components(path: &[u8]) -> Vec<&[u8]> {
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    components
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_never_leave_the_root() {
        let clean = |path: &[u8]| components(path).join(&b'/');
        assert_eq!(clean(b"./a//b/../c/"), b"a/c");
        assert_eq!(clean(b"../../etc"), b"etc");
        assert_eq!(clean(b"/"), b"");
        assert_eq!(clean(b"a/../.."), b"");
    }
}
