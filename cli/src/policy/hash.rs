//! Root hashes of an image's layers (`docs/layer-hashes.md`).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use image_layers::source::{
    Image, ImageSource, Input, OciImages, Platform, Wanted, open_path, read_stream,
};
use image_layers::{
    Cache, Expected, HashedLayer, ImageError, LayerHash, Limits, Published, Settings, hash_image,
    hash_layer,
};
use image_remote::{BlockingReader, RegistryImage, names_registry, saved_image};
use serde_json::{Value, json};

use super::remote::RemoteArgs;
use crate::CliError;
use crate::credential::Access;

/// What is hashed, and how.
#[derive(Args, Debug)]
pub struct HashArgs {
    /// A layer's tar (plain, gzip, zstd), a Docker archive, an OCI layout or an archive of one; `-` for an archive on standard
    /// input; `docker-daemon:NAME` for an image of a Docker engine; or a reference with its registry,
    /// `registry/repository@sha256:…`. A tag is resolved, and the digest printed.
    #[arg(value_name = "FILE|REFERENCE")]
    source: String,
    /// What the image must run on.
    #[arg(long, default_value = "linux/amd64", value_name = "OS/ARCHITECTURE")]
    platform: String,
    /// Name or digest of the image, where the source has more than one.
    #[arg(long, value_name = "NAME")]
    image: Option<String>,
    /// Prints JSON: `{"layers":[{"diff_id","root_hash"}]}`, from the bottom up.
    #[arg(long)]
    json: bool,
    /// Signed manifest of images, whose layers are not read: its publisher says their root hashes.
    #[arg(long, value_name = "FILE", requires = "published_key")]
    published: Option<PathBuf>,
    /// The publisher's public key on P-384, PEM.
    #[arg(long, value_name = "PEM", requires = "published")]
    published_key: Option<PathBuf>,
    #[command(flatten)]
    cache: CacheArgs,
    #[command(flatten)]
    remote: RemoteArgs,
}

/// Where root hashes are kept.
#[derive(Args, Debug)]
struct CacheArgs {
    /// Folder of root hashes computed before [default: cleanroom/layers in the user's cache folder].
    #[arg(long, env = "CLEANROOM_LAYER_CACHE", value_name = "FOLDER")]
    layer_cache: Option<PathBuf>,
    /// Computes every hash anew, and keeps none.
    #[arg(long, conflicts_with = "layer_cache")]
    no_layer_cache: bool,
    #[arg(long, env = "XDG_CACHE_HOME", hide = true)]
    user_cache: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    cache_home: Option<PathBuf>,
}

/// The layers, and which image it was where a name was resolved.
struct Hashed {
    reference: Option<String>,
    layers: Vec<Value>,
}

/// What the source is, as far as it has to be asked for.
enum Source {
    Path(PathBuf),
    Stdin,
    Engine(BlockingReader, String),
    Registry(Box<RegistryImage>),
}

pub(crate) async fn run(args: HashArgs, access: &Access) -> Result<ExitCode, CliError> {
    let platform: Platform =
        args.platform
            .parse()
            .map_err(
                |error: image_layers::source::NotAPlatform| CliError::Argument {
                    argument: "--platform",
                    reason: error.to_string(),
                },
            )?;
    let wanted = Wanted {
        platform,
        name: args.image.clone(),
    };
    let published = match (&args.published, &args.published_key) {
        (Some(path), Some(key)) => super::read_manifest(path, Some(key))?.root_hashes(),
        _ => Vec::new(),
    };
    let published: Published = published.into_iter().collect();
    let cache = args.cache.open()?;
    let source = find(&args, access).await?;
    // Sources are read on threads of their own.
    let hashed =
        tokio::task::spawn_blocking(move || hash(source, &wanted, cache.as_ref(), &published))
            .await
            .map_err(|error| CliError::io("the hashing thread", std::io::Error::other(error)))??;
    print(&hashed, args.json)?;
    Ok(ExitCode::SUCCESS)
}

#[expect(clippy::print_stdout, reason = "the command's result")]
fn print(hashed: &Hashed, as_json: bool) -> Result<(), CliError> {
    if as_json {
        let mut document = json!({ "layers": hashed.layers });
        if let (Some(reference), Some(members)) = (&hashed.reference, document.as_object_mut()) {
            members.insert("reference".into(), json!(reference));
        }
        return crate::print(&document);
    }
    if let Some(reference) = &hashed.reference {
        println!("{reference}");
    }
    for layer in &hashed.layers {
        let part = |name: &str| layer.get(name).and_then(Value::as_str).unwrap_or_default();
        println!("{} {}", part("diff_id"), part("root_hash"));
    }
    Ok(())
}

impl CacheArgs {
    /// The cache, made if it is not there. `None`: not wanted, or nobody says where.
    fn open(&self) -> Result<Option<Cache>, ImageError> {
        if self.no_layer_cache {
            return Ok(None);
        }
        let filled = |path: &Option<PathBuf>| path.clone().filter(|p| !p.as_os_str().is_empty());
        let of_user = || {
            let of_home = || filled(&self.cache_home).map(|home| home.join(".cache"));
            let folder = filled(&self.user_cache).or_else(of_home)?;
            Some(folder.join("cleanroom/layers"))
        };
        filled(&self.layer_cache)
            .or_else(of_user)
            .map(|folder| Cache::open(&folder))
            .transpose()
    }
}

async fn find(args: &HashArgs, access: &Access) -> Result<Source, CliError> {
    let text = args.source.as_str();
    if text == "-" {
        return Ok(Source::Stdin);
    }
    if let Some(name) = text.strip_prefix("docker-daemon:") {
        let reader = saved_image(args.remote.engine()?, name).await?;
        return Ok(Source::Engine(reader, name.to_owned()));
    }
    let path = Path::new(text);
    if path.exists() || !names_registry(text) {
        return Ok(Source::Path(path.to_owned()));
    }
    let remote = args.remote.registry(access)?;
    let image = RegistryImage::open(text, &remote).await?;
    Ok(Source::Registry(Box::new(image)))
}

fn hash(
    source: Source,
    wanted: &Wanted,
    cache: Option<&Cache>,
    published: &Published,
) -> Result<Hashed, ImageError> {
    let limits = Limits::default();
    let settings = Settings {
        limits,
        published: Some(published),
        cache,
        parallel: None,
    };
    let images = |source: &dyn ImageSource, reference: Option<String>| {
        let image: Image = source.image(wanted)?;
        let layers = hash_image(source, &image, &settings)?;
        let shown = |layer: &HashedLayer| shown(layer.diff_id, layer.root_hash);
        Ok(Hashed {
            reference,
            layers: layers.iter().map(shown).collect(),
        })
    };
    match source {
        Source::Path(path) => match open_path(&path)? {
            Input::Images(source) => images(source.as_ref(), None),
            Input::Layer(file) => {
                let what = path.display().to_string();
                let hash: LayerHash = hash_layer(file, &Expected::default(), &limits)
                    .map_err(|source| ImageError::Alone { what, source })?;
                if let Some(cache) = cache {
                    cache.put(&hash.diff_id, &hash.root_hash)?;
                }
                Ok(Hashed {
                    reference: None,
                    layers: vec![shown(hash.diff_id, hash.root_hash)],
                })
            }
        },
        Source::Stdin => {
            let source = read_stream(std::io::stdin().lock(), "standard input", &limits)?;
            images(source.as_ref(), None)
        }
        Source::Engine(reader, name) => {
            let source = read_stream(reader, &format!("image {name} of the engine"), &limits)?;
            images(source.as_ref(), None)
        }
        Source::Registry(image) => {
            let reference = image.reference();
            images(&OciImages(*image), Some(reference))
        }
    }
}

fn shown(diff_id: image_layers::Digest, root_hash: image_layers::RootHash) -> Value {
    json!({ "diff_id": diff_id.to_string(), "root_hash": root_hash.to_string() })
}
