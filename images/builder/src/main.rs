//! `image build` and `image push`.
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use image_builder::{ImageError, ImageList, Login, PushTarget};

#[derive(Parser)]
#[command(
    name = "image",
    version,
    about = "Builds reproducible OCI images and pushes them"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds every image of a list into an OCI layout with an `images.json`.
    Build {
        /// JSON: `{"images":[{"name","binary","entrypoint","user","files","directories"}]}`.
        #[arg(long)]
        list: PathBuf,
        /// The layout directory.
        #[arg(long)]
        out: PathBuf,
        /// Compresses layers.
        #[arg(long)]
        gzip: bool,
    },
    /// Writes what other parties check: `image-manifest.json`, `provenance.json`, and `sbom/<name>.cdx.json` for each image.
    Describe {
        /// The list that the layout was built from.
        #[arg(long)]
        list: PathBuf,
        /// The layout directory.
        #[arg(long)]
        layout: PathBuf,
        /// What `cargo metadata --format-version 1` printed.
        #[arg(long)]
        metadata: PathBuf,
        /// The `Cargo.lock` of the build.
        #[arg(long)]
        lock: PathBuf,
        /// Commit of the source.
        #[arg(long)]
        commit: String,
        /// What `rustc --version` printed.
        #[arg(long)]
        toolchain: String,
        /// Whether layers are compressed.
        #[arg(long)]
        gzip: bool,
    },
    /// Signs a manifest of images.
    Sign {
        /// `image-manifest.json`.
        #[arg(long)]
        manifest: PathBuf,
        /// The publisher's private key on P-384, PEM.
        #[arg(long)]
        key: PathBuf,
        /// The signed manifest: COSE_Sign1.
        #[arg(long)]
        out: PathBuf,
    },
    /// Writes every image of a layout as one archive for `docker load` to standard output.
    Archive {
        /// The layout directory.
        #[arg(long)]
        layout: PathBuf,
        /// First part of the tags, `<prefix>/<name>:latest`.
        #[arg(long, default_value = "cleanroom")]
        prefix: String,
    },
    /// Pushes one image and prints its reference by digest.
    Push {
        /// The layout directory.
        #[arg(long)]
        layout: PathBuf,
        /// Name of the image in the layout.
        #[arg(long)]
        name: String,
        /// `<host>[:port]/<repository>`.
        #[arg(long)]
        registry: String,
        /// PEM file of the only roots to trust; the system's when absent.
        #[arg(long)]
        ca_file: Option<PathBuf>,
        /// Account that may push.
        #[arg(long, requires = "password_file")]
        user: Option<String>,
        /// File that holds its password.
        #[arg(long, requires = "user")]
        password_file: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(line) => {
            let printed = match line {
                Some(line) => writeln!(std::io::stdout(), "{line}"),
                None => Ok(()),
            };
            if printed.is_ok() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message = format!("{message}: {cause}");
                source = cause.source();
            }
            let body = serde_json::json!({ "error": { "code": error.code(), "message": message } });
            // Nowhere is left to report that stderr is closed.
            let _ = writeln!(std::io::stderr(), "{body}");
            ExitCode::FAILURE
        }
    }
}

/// What to print at the end, if anything.
fn run(command: Command) -> Result<Option<String>, ImageError> {
    match command {
        Command::Build { list, out, gzip } => {
            let text = read(&list)?;
            let list: ImageList = serde_json::from_slice(&text)
                .map_err(|source| ImageError::List { path: list, source })?;
            image_builder::build(&list, &out, gzip)?;
            Ok(Some(out.join("images.json").display().to_string()))
        }
        Command::Describe {
            list,
            layout,
            metadata,
            lock,
            commit,
            toolchain,
            gzip,
        } => {
            let described = image_builder::describe(&image_builder::Described {
                list: &list,
                layout: &layout,
                metadata: &metadata,
                lock: &lock,
                commit,
                toolchain,
                gzip,
            })?;
            let report = described
                .images
                .iter()
                .map(|image| format!("{:>10} {}", image.size, image.name));
            let total: u64 = described.images.iter().map(|image| image.size).sum();
            let lines: Vec<String> = report.chain([format!("{total:>10} together")]).collect();
            Ok(Some(lines.join("\n")))
        }
        Command::Sign { manifest, key, out } => {
            image_builder::PublishedImages::read(&manifest)?;
            let signed = image_builder::sign(&read(&manifest)?, &read(&key)?)?;
            std::fs::write(&out, signed).map_err(|source| ImageError::Write {
                path: out.clone(),
                source,
            })?;
            Ok(Some(out.display().to_string()))
        }
        Command::Archive { layout, prefix } => {
            let out = std::io::BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
            let written = image_builder::archive(&layout, &prefix, out)?.flush();
            written.map_err(|source| ImageError::Write {
                path: layout,
                source,
            })?;
            Ok(None)
        }
        Command::Push {
            layout,
            name,
            registry,
            ca_file,
            user,
            password_file,
        } => {
            // A second call finds the first one's provider, which is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let ca_pem = ca_file.map(|path| read(&path)).transpose()?;
            let password = password_file.map(|path| read(&path)).transpose()?;
            let login = user.zip(password).map(|(user, password)| Login {
                user,
                password: String::from_utf8_lossy(&password)
                    .trim_end_matches(['\r', '\n'])
                    .to_owned(),
            });
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            let runtime = runtime.map_err(|source| ImageError::Read {
                path: layout.clone(),
                source,
            })?;
            let pushed = runtime.block_on(image_builder::push(
                &layout,
                &name,
                PushTarget {
                    registry,
                    ca_pem,
                    login,
                },
            ));
            pushed.map(Some)
        }
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, ImageError> {
    std::fs::read(path).map_err(|source| ImageError::Read {
        path: path.clone(),
        source,
    })
}
