use std::path::PathBuf;

use blob_format::Format;
use blob_format::manifest::ManifestHmac;
use blob_fs::Mode;
use clap::{Args as ClapArgs, ValueEnum};
use url::Url;

use crate::ShimError;
use crate::allocator::limit_for;

/// Who encrypts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum EncryptionMode {
    /// The storage service, with our key in each request: it sees clear text while it does.
    #[value(name = "CPK")]
    Cpk,
    /// This process: the storage service sees cipher text only.
    #[value(name = "CSE")]
    Cse,
    /// The storage service, with a key of its own: it can read everything at any time.
    #[value(name = "SSE")]
    Sse,
}

/// Kind of storage service.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub enum Store {
    /// Azure Blob Storage, with flat or hierarchical names.
    #[default]
    Azure,
    /// An S3-compatible service.
    S3,
}

/// The measured command line and environment of a shim.
#[derive(ClapArgs, Clone, Debug)]
pub struct Args {
    /// Where to mount.
    #[arg(long, default_value = "/mnt/blob")]
    pub mount_path: PathBuf,
    /// Refuse every change; the default.
    #[arg(long, overrides_with = "no_read_only")]
    pub read_only: bool,
    /// Allow the application to write.
    #[arg(long, overrides_with = "read_only")]
    pub no_read_only: bool,
    /// Who encrypts.
    #[arg(long, value_enum, default_value = "CPK", ignore_case = true)]
    pub encryption_mode: EncryptionMode,
    /// Layout of files under CSE, as contracts call it; `v2` by default.
    #[arg(long, value_parser = Format::from_contract)]
    pub format: Option<Format>,
    /// Keyed tree head of the manifest that a source must have: 64 lower case hexadecimal digits. Only its files are shown.
    #[arg(long)]
    pub manifest_hmac: Option<ManifestHmac>,
    /// Name of the access point; also of the socket.
    #[arg(long, env = "ACCESS_NAME")]
    pub access_name: String,
    /// User to become after mounting.
    #[arg(long)]
    pub uid: u32,
    /// Prefix inside the container.
    #[arg(long, default_value = "")]
    pub sub_directory: String,
    /// Kind of storage service.
    #[arg(long, value_enum, default_value = "azure")]
    pub store: Store,
    /// URL of an S3-compatible service.
    #[arg(long)]
    pub s3_endpoint: Option<Url>,
    /// Its region, as signatures name it.
    #[arg(long)]
    pub s3_region: Option<String>,
    /// The access key for the bucket, sealed under the dataset's key (docs/mount-stores.md).
    #[arg(long)]
    pub s3_credentials: Option<String>,
    /// Storage account.
    #[arg(long, env = "AZURE_STORAGE_ACCOUNT", default_value = "")]
    pub account: String,
    /// Container, or bucket.
    #[arg(long, env = "AZURE_STORAGE_ACCOUNT_CONTAINER")]
    pub container: String,
    /// Blob endpoint of the account, with or without `https://`.
    #[arg(long, env = "AZURE_STORAGE_BLOB_ENDPOINT")]
    pub blob_endpoint: Option<String>,
    /// The account's names are hierarchical (ADLS Gen2); anything else is refused.
    #[arg(long, overrides_with = "no_use_adls")]
    pub use_adls: bool,
    /// The account's names are flat; anything else is refused. By default the account is asked.
    #[arg(long, overrides_with = "use_adls")]
    pub no_use_adls: bool,
    /// Where the key is; nowhere under SSE.
    #[command(flatten)]
    pub key: KeyArgs,
    /// Identity for storage and vault.
    #[arg(long, env = "CLIENT_ID")]
    pub client_id: String,
    /// Its tenant.
    #[arg(long, env = "TENANT_ID")]
    pub tenant_id: String,
    /// Memory in MiB for the process: file content in cache, read-ahead and what is written, and 24 MiB for the rest.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(64..=65_536))]
    pub memory_limit_mb: u32,
    /// Where marker files for people and upstream's launcher go.
    #[arg(
        long,
        env = "VOLUMESTATUS_MOUNT_PATH",
        default_value = "/mnt/volumestatus"
    )]
    pub volume_status: PathBuf,
}

/// Where the data encryption key is, and who must vouch for the room before it is released.
#[derive(ClapArgs, Clone, Debug)]
pub struct KeyArgs {
    /// Attestation service for the key release.
    #[arg(long, env = "MAA_ENDPOINT")]
    pub maa_endpoint: Option<String>,
    /// Vault of the key encryption key.
    #[arg(long, env = "AKV_ENDPOINT")]
    pub akv_endpoint: Option<String>,
    /// Name of the key encryption key.
    #[arg(long, env = "KID")]
    pub kid: Option<String>,
    /// Name of the secret that holds the wrapped key.
    #[arg(long, env = "WRAPPED_DEK_SECRET")]
    pub wrapped_dek_secret: Option<String>,
    /// Vault of that secret.
    #[arg(long, env = "WRAPPED_DEK_AKV_ENDPOINT")]
    pub wrapped_dek_akv_endpoint: Option<String>,
}

impl KeyArgs {
    fn all(&self) -> [(&'static str, &Option<String>); 5] {
        [
            ("--maa-endpoint", &self.maa_endpoint),
            ("--akv-endpoint", &self.akv_endpoint),
            ("--kid", &self.kid),
            ("--wrapped-dek-secret", &self.wrapped_dek_secret),
            ("--wrapped-dek-akv-endpoint", &self.wrapped_dek_akv_endpoint),
        ]
    }

    /// All of it or, without a key, nothing of it.
    fn check(&self, is_keyed: bool) -> Result<(), ShimError> {
        let wrong = |(_, value): &(_, &Option<String>)| value.is_some() != is_keyed;
        match self.all().into_iter().find(wrong) {
            None => Ok(()),
            Some((name, _)) if is_keyed => Err(ShimError::Config(format!("{name} is missing"))),
            Some((name, _)) => Err(ShimError::Config(format!(
                "{name} names a key, and under SSE there is none"
            ))),
        }
    }
}

impl Args {
    /// Whether changes are refused: unless they are allowed explicitly.
    pub const fn is_read_only(&self) -> bool {
        !self.no_read_only
    }

    /// How content lies in storage.
    pub fn mode(&self) -> Mode {
        match self.encryption_mode {
            EncryptionMode::Cpk => Mode::Cpk,
            EncryptionMode::Sse => Mode::Sse,
            EncryptionMode::Cse => self.format.unwrap_or_default().into(),
        }
    }

    /// Whether the dataset has a key of its owner.
    pub(crate) fn is_keyed(&self) -> bool {
        self.encryption_mode != EncryptionMode::Sse
    }

    /// The memory limit in bytes.
    pub(crate) fn memory(&self) -> u64 {
        u64::from(self.memory_limit_mb) << 20
    }

    pub(crate) fn check(&self) -> Result<(), ShimError> {
        let bad = |text: &str| Err(ShimError::Config(text.to_owned()));
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let name = self.access_name.as_str();
        if name.is_empty() || name.len() > 63 || !name.chars().all(named) {
            return bad("the access name must be 1 to 63 of a-z, 0-9 and -");
        }
        if !sidecar_http::services::is_shim(self.uid) {
            return bad("the uid is none that is set aside for shims");
        }
        if self.format.is_some() && self.encryption_mode != EncryptionMode::Cse {
            return bad("a format is for encryption mode CSE only");
        }
        let least = limit_for(blob_fs::least_memory(self.mode())).div_ceil(1 << 20);
        if u64::from(self.memory_limit_mb) < least {
            return Err(ShimError::Config(format!(
                "this format needs --memory-limit-mb {least} or more"
            )));
        }
        self.key.check(self.is_keyed())?;
        if !self.mount_path.is_absolute() || self.mount_path.parent().is_none() {
            return bad("the mount path must be absolute and not /");
        }
        if self.manifest_hmac.is_some() && !self.is_read_only() {
            return bad("a manifest pins what a source holds; this mount may be written");
        }
        if self.manifest_hmac.is_some() && !self.is_keyed() {
            return bad(
                "a manifest is checked with the dataset's key, and under SSE there is none",
            );
        }
        match self.store {
            Store::Azure if self.account.is_empty() && self.blob_endpoint.is_none() => {
                bad("no storage account")
            }
            Store::Azure => self.endpoint().map(|_| ()),
            Store::S3 => self.s3().map(|_| ()),
        }
    }

    /// Endpoint, region and sealed access key of an S3-compatible service.
    pub(crate) fn s3(&self) -> Result<(&Url, &str, &str), ShimError> {
        let bad = |text: &str| Err(ShimError::Config(text.to_owned()));
        if self.encryption_mode != EncryptionMode::Cse {
            return bad("S3-compatible storage takes client-side encryption only");
        }
        if self.hierarchical().is_some() {
            return bad("hierarchical names are Azure's");
        }
        match (&self.s3_endpoint, &self.s3_region, &self.s3_credentials) {
            (Some(endpoint), Some(region), Some(credentials)) => {
                Ok((endpoint, region, credentials))
            }
            _ => bad("S3 needs an endpoint, a region and a sealed access key"),
        }
    }

    /// Whether names are hierarchical, if the command line says so.
    pub const fn hierarchical(&self) -> Option<bool> {
        match (self.use_adls, self.no_use_adls) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// The same account's endpoint for hierarchical names; none can be told of a private name.
    pub(crate) fn dfs_endpoint(&self) -> Result<Option<Url>, ShimError> {
        let mut url = self.endpoint()?;
        let host = url.host_str().unwrap_or_default();
        let Some((account, rest)) = host.split_once(".blob.") else {
            return Ok(None);
        };
        let host = format!("{account}.dfs.{rest}");
        let named = url.set_host(Some(&host));
        named.map_err(|error| ShimError::Config(format!("blob endpoint: {error}")))?;
        Ok(Some(url))
    }

    pub(crate) fn endpoint(&self) -> Result<Url, ShimError> {
        let text = match &self.blob_endpoint {
            Some(text) if text.contains("://") => text.clone(),
            Some(text) => format!("https://{text}"),
            None => format!("https://{}.blob.core.windows.net", self.account),
        };
        Url::parse(&text).map_err(|error| ShimError::Config(format!("blob endpoint: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use blob_format::Params;
    use blob_format::azure::{Integrity, RegionSize};
    use blob_format::v1::BlockSize;
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    const REST: &str = "--access-name input --uid 10020 --account litwarestore --container data \
        --maa-endpoint m --akv-endpoint v --kid k --client-id c --tenant-id t \
        --wrapped-dek-secret s --wrapped-dek-akv-endpoint v";

    fn parse(words: &str) -> Result<Args, clap::Error> {
        let words = format!("blobfuse-shim {words} {REST}");
        Cli::try_parse_from(words.split_whitespace()).map(|cli| cli.args)
    }

    #[test]
    fn a_mount_is_read_only_unless_told_otherwise() {
        assert!(parse("").unwrap().is_read_only());
        assert!(parse("--read-only").unwrap().is_read_only());
        assert!(!parse("--no-read-only").unwrap().is_read_only());
    }

    #[test]
    fn a_budget_that_cannot_hold_what_is_under_way_is_refused() {
        assert_eq!(parse("").unwrap().memory_limit_mb, 256);
        assert_eq!(parse("--memory-limit-mb 64").unwrap().memory_limit_mb, 64);
        assert!(parse("--memory-limit-mb 63").is_err());
        for (format, least) in [("cse-v1", 79), ("cse-v1-4m", 64), ("azure-cse-2.1", 64)] {
            let checked = |limit: u32| {
                let words =
                    format!("--encryption-mode CSE --format {format} --memory-limit-mb {limit}");
                parse(&words).unwrap().check()
            };
            checked(least).unwrap();
            if least > 64 {
                let refused = checked(least - 1).unwrap_err().to_string();
                assert!(
                    refused.ends_with("needs --memory-limit-mb 79 or more"),
                    "{refused}"
                );
            }
        }
    }

    #[test]
    fn unknown_modes_and_formats_are_refused() {
        assert_eq!(parse("--encryption-mode CPK").unwrap().mode(), Mode::Cpk);
        let v2 = Mode::CseV2(Params::default());
        assert_eq!(parse("--encryption-mode CSE").unwrap().mode(), v2);
        for (name, mode) in [
            ("v2", v2),
            ("cse-v1", Mode::CseV1(BlockSize::MIB_16)),
            ("cse-v1-4m", Mode::CseV1(BlockSize::MIB_4)),
            (
                "azure-cse-2.1",
                Mode::CseAzure(RegionSize::default(), Integrity::Foreign),
            ),
            (
                "azure-cse-2.1-sealed",
                Mode::CseAzure(RegionSize::default(), Integrity::Sealed),
            ),
        ] {
            let args = parse(&format!("--encryption-mode CSE --format {name}")).unwrap();
            args.check().unwrap();
            assert_eq!(args.mode(), mode);
            let args = parse(&format!("--encryption-mode CPK --format {name}")).unwrap();
            assert!(matches!(args.check(), Err(ShimError::Config(_))));
        }
        for name in ["auto", "V2", "azure-cse-1.0"] {
            assert!(parse(&format!("--encryption-mode CSE --format {name}")).is_err());
        }
        assert!(parse("--encryption-mode None").is_err());
    }

    #[test]
    fn a_key_is_named_whole_where_there_is_one_and_not_at_all_where_there_is_none() {
        let mut sse = parse("--encryption-mode SSE").unwrap();
        assert_eq!(sse.mode(), Mode::Sse);
        assert!(matches!(sse.check(), Err(ShimError::Config(_))));
        sse.key = KeyArgs {
            maa_endpoint: None,
            akv_endpoint: None,
            kid: None,
            wrapped_dek_secret: None,
            wrapped_dek_akv_endpoint: None,
        };
        sse.check().unwrap();
        for mode in [EncryptionMode::Cpk, EncryptionMode::Cse] {
            let mut args = parse("").unwrap();
            args.encryption_mode = mode;
            args.check().unwrap();
            args.key.kid = None;
            assert!(matches!(args.check(), Err(ShimError::Config(_))));
        }
    }

    #[test]
    fn a_manifest_pins_sources_only() {
        let root = "0123456789abcdef".repeat(4);
        let pinned = parse(&format!("--manifest-hmac {root}")).unwrap();
        pinned.check().unwrap();
        assert_eq!(pinned.manifest_hmac.unwrap().to_string(), root);
        let sink = parse(&format!("--no-read-only --manifest-hmac {root}")).unwrap();
        assert!(matches!(sink.check(), Err(ShimError::Config(_))));
        for wrong in ["", "00", &root.to_uppercase(), &format!("{root}0")] {
            assert!(parse(&format!("--manifest-hmac={wrong}")).is_err());
        }
    }

    #[test]
    fn the_kind_of_names_is_said_or_asked() {
        assert_eq!(parse("").unwrap().hierarchical(), None);
        let adls = parse("--use-adls --blob-endpoint l.blob.storage.azure.net").unwrap();
        assert_eq!(adls.hierarchical(), Some(true));
        let dfs = adls.dfs_endpoint().unwrap().unwrap();
        assert_eq!(dfs.as_str(), "https://l.dfs.storage.azure.net/");
        let flat = parse("--use-adls --no-use-adls --blob-endpoint l.example").unwrap();
        assert_eq!(flat.hierarchical(), Some(false));
        assert_eq!(flat.dfs_endpoint().unwrap(), None);
    }

    #[test]
    fn values_that_cannot_work_are_refused_before_anything_is_mounted() {
        parse("").unwrap().check().unwrap();
        for change in [
            |args: &mut Args| args.uid = 0,
            |args: &mut Args| args.uid = 1000,
            |args: &mut Args| args.access_name = "../x".to_owned(),
            |args: &mut Args| args.mount_path = "/".into(),
            |args: &mut Args| args.mount_path = "relative".into(),
            |args: &mut Args| args.blob_endpoint = Some("https://".to_owned()),
            |args: &mut Args| args.account.clear(),
            |args: &mut Args| args.store = Store::S3,
        ] {
            let mut args = parse("").unwrap();
            change(&mut args);
            assert!(matches!(args.check(), Err(ShimError::Config(_))));
        }
    }
}
