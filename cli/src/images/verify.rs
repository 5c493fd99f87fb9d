//! Published images against their manifest (`docs/images.md`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use image_builder::{Difference, PublishedImage};
use image_layers::source::{ImageSource, Input, OciImages, Platform, Wanted, open_path};
use image_layers::{ImageError, Settings, hash_image};
use image_remote::{RegistryImage, names_registry};
use serde::Serialize;

use crate::CliError;
use crate::attest::{Output, show};
use crate::credential::Access;
use crate::policy::{RemoteArgs, read_manifest};

/// What is compared with what.
#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// An OCI layout, or `registry/repository` below which each image is by its name.
    #[arg(value_name = "LAYOUT|REGISTRY")]
    source: String,
    /// `image-manifest.json`, or the signed one.
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,
    /// The publisher's public key on P-384, PEM: the manifest must be signed with it. Without it the report says UNSIGNED.
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    /// Also compares the bills of materials and the provenance beside the manifest.
    #[arg(long)]
    files: bool,
    /// How the result is shown.
    #[arg(long, value_enum, default_value_t)]
    output: Output,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// What was found, image by image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Everything is as the manifest lists it.
    as_listed: bool,
    /// The manifest is signed with the publisher's key; without `--key` nobody vouches for it.
    signed: bool,
    images: Vec<Verdict>,
    files: Vec<Difference>,
}

#[derive(Debug, Serialize)]
struct Verdict {
    name: String,
    digest: String,
    differences: Vec<Difference>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.signed {
            writeln!(
                f,
                "UNSIGNED: no --key was given, so that anybody may have written this manifest"
            )?;
        }
        for image in &self.images {
            let word = if image.differences.is_empty() {
                "as listed"
            } else {
                "DIFFERS"
            };
            writeln!(f, "{word:<9}  {}  {}", image.digest, image.name)?;
            for difference in &image.differences {
                writeln!(f, "    {}", said(difference))?;
            }
        }
        for difference in &self.files {
            writeln!(f, "{:<9}  {}", "DIFFERS", said(difference))?;
        }
        f.write_str(match (self.as_listed, self.signed) {
            (true, true) => "verified: all is as the signed manifest lists it",
            (true, false) => "all is as the UNSIGNED manifest lists it",
            (false, true) => "NOT verified: not all is as the signed manifest lists it",
            (false, false) => {
                "NOT verified: not all is as the manifest lists it, and it is UNSIGNED"
            }
        })
    }
}

fn said(difference: &Difference) -> String {
    let Difference {
        what,
        expected,
        actual,
    } = difference;
    format!("{what}: {actual}, listed is {expected}")
}

pub(crate) async fn run(args: VerifyArgs, access: &Access) -> Result<ExitCode, CliError> {
    let manifest = read_manifest(&args.manifest, args.key.as_deref())?;
    let platform: Platform = manifest.platform.parse().map_err(|_| {
        let refused = format!("{:?} is no platform", manifest.platform);
        CliError::file(&args.manifest, refused)
    })?;
    let layout = Path::new(&args.source);
    let in_registry = !layout.exists() && names_registry(&args.source);
    let mut images = Vec::new();
    for image in &manifest.images {
        let source: Box<dyn ImageSource> = if in_registry {
            let reference = format!("{}/{}@{}", args.source, image.name, image.digest);
            let remote = args.remote.registry(access)?;
            Box::new(OciImages(RegistryImage::open(&reference, &remote).await?))
        } else {
            match open_path(layout)? {
                Input::Images(source) => source,
                Input::Layer(_) => {
                    return Err(CliError::file(layout, "it is a layer, not a layout"));
                }
            }
        };
        let (expected, platform) = (image.clone(), platform.clone());
        let verdict =
            tokio::task::spawn_blocking(move || judge(source.as_ref(), &expected, platform));
        let verdict = verdict.await;
        images.push(
            verdict.map_err(|error| CliError::io("a thread", std::io::Error::other(error)))??,
        );
    }
    let folder = args.manifest.parent().unwrap_or_else(|| Path::new("."));
    let files = match args.files {
        true => manifest.check_files(folder),
        false => Vec::new(),
    };
    let same = images.iter().all(|image| image.differences.is_empty());
    let report = Report {
        as_listed: same && files.is_empty() && !images.is_empty(),
        signed: args.key.is_some(),
        images,
        files,
    };
    show(&report, args.output, report.as_listed)
}

/// Hashes an image anew and compares it. An image that is not whole is an error; one that is another is a difference.
fn judge(
    source: &dyn ImageSource,
    expected: &PublishedImage,
    platform: Platform,
) -> Result<Verdict, CliError> {
    let wanted = Wanted {
        platform,
        name: Some(expected.digest.clone()),
    };
    let found = source.image(&wanted).and_then(|image| {
        let hashed = hash_image(source, &image, &Settings::default())?;
        Ok((image, hashed))
    });
    let differences = match found {
        Ok((image, hashed)) => expected.check(&image, &hashed),
        Err(ImageError::NoSuchImage { .. }) => vec![Difference {
            what: "image".into(),
            expected: expected.digest.clone(),
            actual: "not there".into(),
        }],
        Err(error) => return Err(error.into()),
    };
    Ok(Verdict {
        name: expected.name.clone(),
        digest: expected.digest.clone(),
        differences,
    })
}
