use crate::FormatError;
use crate::azure::{Integrity, RegionSize};
use crate::v1::BlockSize;
use crate::v2::Params;

/// Layout of a client-side encrypted dataset, as the contract pins it.
///
/// There is no way from stored bytes to a `Format`: each reader is built from the value in the contract and refuses what is
/// not in that layout, so that whoever holds the storage cannot choose a weaker reader.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Ours ([`crate::v2`]); the sizes are those of new files, existing ones carry theirs under the commit's MAC.
    V2(Params),
    /// Upstream's ([`crate::v1`]).
    V1(BlockSize),
    /// The Azure SDKs' ([`crate::azure`]); the size is that of new files.
    Azure(RegionSize, Integrity),
}

impl Default for Format {
    /// What a new dataset gets: v2.
    fn default() -> Self {
        Self::V2(Params::default())
    }
}

impl Format {
    /// Reads the member `format` of `protection.configuration`: `v2`, `cse-v1` (16 MiB blocks), `cse-v1-4m`,
    /// `azure-cse-2.1`, `azure-cse-2.1-sealed`.
    ///
    /// # Errors
    /// [`FormatError::Contract`] for any other text.
    pub fn from_contract(name: &str) -> Result<Self, FormatError> {
        Ok(match name {
            "v2" => Self::V2(Params::default()),
            "cse-v1" => Self::V1(BlockSize::MIB_16),
            "cse-v1-4m" => Self::V1(BlockSize::MIB_4),
            "azure-cse-2.1" => Self::Azure(RegionSize::default(), Integrity::Foreign),
            "azure-cse-2.1-sealed" => Self::Azure(RegionSize::default(), Integrity::Sealed),
            _ => return Err(FormatError::Contract("the format is not known")),
        })
    }

    /// Clear length of a blob as a listing may show it: what its length says, without authentication. `None` if the
    /// length alone does not tell (v1), or if no file has it.
    pub fn listed_len(self, blob_len: u64) -> Option<u64> {
        match self {
            Self::V2(params) => params.clear_len(blob_len).ok(),
            Self::V1(_) => None,
            Self::Azure(region, _) => region.clear_len(blob_len).ok(),
        }
    }

    /// Clear bytes of the unit that writers seal as one.
    pub const fn unit(self) -> u64 {
        match self {
            Self::V2(params) => params.extent(),
            Self::V1(size) => size.bytes(),
            Self::Azure(region, _) => region.bytes(),
        }
    }

    /// Whether a part of a file can be replaced while the rest stays as it is stored.
    pub const fn can_rewrite(self) -> bool {
        !matches!(self, Self::Azure(..))
    }
}

#[cfg(test)]
mod tests {
    use super::{BlockSize, Format, FormatError, Integrity, Params, RegionSize};

    #[test]
    fn the_contract_names_each_format() {
        for (name, format) in [
            ("v2", Format::V2(Params::default())),
            ("cse-v1", Format::V1(BlockSize::MIB_16)),
            ("cse-v1-4m", Format::V1(BlockSize::MIB_4)),
            (
                "azure-cse-2.1",
                Format::Azure(RegionSize::default(), Integrity::Foreign),
            ),
            (
                "azure-cse-2.1-sealed",
                Format::Azure(RegionSize::default(), Integrity::Sealed),
            ),
        ] {
            assert_eq!(Format::from_contract(name), Ok(format));
        }
        for name in ["", "V2", "v1", "auto", "azure-cse-1.0", "v2 "] {
            let refused = Format::from_contract(name);
            assert!(matches!(refused, Err(FormatError::Contract(_))), "{name}");
        }
    }

    #[test]
    fn a_listing_tells_the_length_where_it_can() {
        let listed = |name, blob| Format::from_contract(name).unwrap().listed_len(blob);
        assert_eq!(listed("v2", 209), Some(1));
        assert_eq!(listed("v2", 208), None);
        assert_eq!(listed("cse-v1", 8), None);
        assert_eq!(listed("azure-cse-2.1", 29), Some(1));
        assert_eq!(listed("azure-cse-2.1", 28), None);
    }
}
