//! The image of an application: by digest, or by a tag that is resolved here and recorded with its digest.

use clap::Args;
use image_layers::ImageError;
use image_layers::source::{ImageSource as _, NotAPlatform, OciImages, Platform, Wanted};
use image_remote::RegistryImage;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::CliError;
use crate::credential::Access;
use crate::policy::RegistryArgs;

/// What is done with a tag. By itself it is an error: whoever owns the registry could put another image behind it.
#[derive(Args, Debug)]
pub(super) struct TagArgs {
    /// Asks the registry which digest the image's tag has now, and records both.
    #[arg(long)]
    resolve_tag: bool,
    /// What the image behind a tag must run on.
    #[arg(
        long,
        default_value = "linux/amd64",
        value_name = "OS/ARCHITECTURE",
        requires = "resolve_tag"
    )]
    platform: String,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// An image that is pinned.
#[derive(Debug)]
pub(super) struct Pinned {
    /// `<registry>/<repository>@sha256:…`, or `<registry>/<repository>:<tag>@sha256:…` where a tag was resolved.
    pub(super) reference: String,
    /// When and for which platform it was, as JSON; empty where nothing was resolved.
    pub(super) resolved: String,
}

impl TagArgs {
    /// The image by digest.
    ///
    /// # Errors
    /// It has no digest and none is to be found; it has one already; the registry cannot be reached, denies access, or has no
    /// such tag or no image for the platform.
    pub(super) async fn pinned(&self, image: &str, access: &Access) -> Result<Pinned, CliError> {
        let refused = |reason: String| CliError::Argument {
            argument: "--image",
            reason,
        };
        if image.contains('@') {
            if self.resolve_tag {
                return Err(refused(format!(
                    "{image:?} has a digest: there is nothing to resolve"
                )));
            }
            return Ok(Pinned {
                reference: image.to_owned(),
                resolved: String::new(),
            });
        }
        if !self.resolve_tag {
            return Err(refused(format!(
                "{image:?} has no digest: use <registry>/<repository>@sha256:<64 hex>, or --resolve-tag to have its tag resolved and recorded"
            )));
        }
        let tagged = image
            .rsplit_once(':')
            .is_some_and(|(_, tag)| !tag.contains('/'));
        if !tagged {
            return Err(refused(format!("{image:?} names no tag")));
        }
        let platform: Platform =
            self.platform
                .parse()
                .map_err(|error: NotAPlatform| CliError::Argument {
                    argument: "--platform",
                    reason: error.to_string(),
                })?;
        let found = RegistryImage::open(image, &self.registry.access(access)?).await?;
        let wanted = Wanted {
            platform,
            name: None,
        };
        // Sources are read on threads of their own.
        let read = tokio::task::spawn_blocking(move || OciImages(found).image(&wanted)).await;
        let read =
            read.map_err(|error| CliError::io("the registry", std::io::Error::other(error)))??;
        // A registry's image always has one.
        let manifest = read.manifest.ok_or_else(|| ImageError::Missing {
            what: format!("a manifest of {image}"),
        })?;
        let now = OffsetDateTime::now_utc().replace_nanosecond(0).ok();
        let now = now
            .and_then(|now| now.format(&Rfc3339).ok())
            .unwrap_or_default();
        let reference = format!("{image}@{manifest}");
        crate::print(&json!({"image": reference, "platform": self.platform, "resolvedAt": now}))?;
        Ok(Pinned {
            reference,
            resolved: json!({"platform": self.platform, "resolvedAt": now}).to_string(),
        })
    }
}
