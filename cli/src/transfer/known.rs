use std::fmt;

use blob_format::manifest::ManifestHmac;

/// The manifests that a dataset may have; with none of them, any.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Known {
    /// The one that was written last: it is there, or storage hides it.
    pub(crate) written: Option<ManifestHmac>,
    /// Others of the owner that may have reached storage since.
    pub(crate) perhaps: Vec<ManifestHmac>,
}

impl Known {
    /// One and no other.
    pub(crate) const fn only(root: ManifestHmac) -> Self {
        Self {
            written: Some(root),
            perhaps: Vec::new(),
        }
    }

    pub(crate) fn is_any(&self) -> bool {
        self.written.is_none() && self.perhaps.is_empty()
    }

    pub(super) fn has(&self, root: ManifestHmac) -> bool {
        self.written == Some(root) || self.perhaps.contains(&root)
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, root) in self.written.iter().chain(&self.perhaps).enumerate() {
            let or = if at == 0 { "" } else { " or " };
            write!(f, "{or}{root}")?;
        }
        Ok(())
    }
}

/// A manifest that is about to be written.
pub(crate) struct Coming {
    /// The known one that it takes the place of.
    pub(crate) over: Option<ManifestHmac>,
    pub(crate) root: ManifestHmac,
}

/// Notes what is about to be written, so that it is known whatever happens meanwhile.
pub(crate) type Expect<'a> = dyn Fn(&Coming) -> Result<(), crate::CliError> + Send + Sync + 'a;
