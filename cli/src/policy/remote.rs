use std::path::{Path, PathBuf};

use clap::Args;
use image_remote::{DEFAULT_SOCKET, RegistryAccess, docker_config};

use crate::CliError;
use crate::credential::Access;

/// How registries and engines are reached.
#[derive(Args, Debug)]
pub(crate) struct RemoteArgs {
    #[command(flatten)]
    registry: RegistryArgs,
    /// Socket of the Docker engine.
    #[arg(long, env = "DOCKER_HOST", default_value = DEFAULT_SOCKET, value_name = "SOCKET")]
    docker_socket: String,
}

/// How registries are reached.
#[derive(Args, Debug)]
pub(crate) struct RegistryArgs {
    /// Reaches the registry without TLS. On this machine's own addresses that needs no flag.
    #[arg(long)]
    plain_http: bool,
    /// Folder of Docker's config.json with the credentials for registries [default: .docker in the home folder].
    #[arg(long, env = "DOCKER_CONFIG", value_name = "FOLDER")]
    docker_config: Option<PathBuf>,
    #[arg(long, env = "HOME", hide = true)]
    home: Option<PathBuf>,
}

impl RegistryArgs {
    /// How a registry is reached.
    pub(crate) fn access(&self, access: &Access) -> Result<RegistryAccess, CliError> {
        Ok(RegistryAccess {
            extra_roots: access.extra_roots()?,
            docker_config: docker_config(self.docker_config.as_deref(), self.home.as_deref()),
            plain_http: self.plain_http,
        })
    }
}

impl RemoteArgs {
    /// How a registry is reached.
    pub(crate) fn registry(&self, access: &Access) -> Result<RegistryAccess, CliError> {
        self.registry.access(access)
    }

    /// The engine's socket.
    pub(crate) fn engine(&self) -> Result<&Path, CliError> {
        let text = self.docker_socket.as_str();
        match text.split_once("://") {
            None | Some(("unix", _)) => Ok(Path::new(text.strip_prefix("unix://").unwrap_or(text))),
            Some(_) => Err(CliError::Argument {
                argument: "--docker-socket",
                reason: format!("{text:?} is no socket of this machine"),
            }),
        }
    }
}
