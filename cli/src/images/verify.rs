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
    /// The publisher's public key on P-384, PEM: the manifest must be signed with it.
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
struct Report {
    verified: bool,
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
        for image in &self.images {
            let word = if image.differences.is_empty() {
                "as published"
            } else {
                "DIFFERS"
            };
            writeln!(f, "{word:<12}  {}  {}", image.digest, image.name)?;
            for difference in &image.differences {
                writeln!(f, "    {}", said(difference))?;
            }
        }
        for difference in &self.files {
            writeln!(f, "{:<12}  {}", "DIFFERS", said(difference))?;
        }
        f.write_str(if self.verified {
            "verified"
        } else {
            "NOT verified"
        })
    }
}

fn said(difference: &Difference) -> String {
    let Difference {
        what,
        expected,
        actual,
    } = difference;
    format!("{what}: {actual}, published is {expected}")
}

pub(crate) async fn run(args: VerifyArgs, access: &Access) -> Result<ExitCode, CliError> {
    let manifest = read_manifest(&args.manifest, args.key.as_deref())?;
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
        let (expected, platform) = (image.clone(), manifest.platform.clone());
        let verdict =
            tokio::task::spawn_blocking(move || judge(source.as_ref(), &expected, &platform));
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
        verified: same && files.is_empty() && !images.is_empty(),
        images,
        files,
    };
    show(&report, args.output, report.verified)
}

/// Hashes an image anew and compares it. An image that is not whole is an error; one that is another is a difference.
fn judge(
    source: &dyn ImageSource,
    expected: &PublishedImage,
    platform: &str,
) -> Result<Verdict, CliError> {
    let platform: Platform = platform.parse().unwrap_or_else(|_| Platform::linux_amd64());
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
