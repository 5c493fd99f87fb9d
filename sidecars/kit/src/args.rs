use std::net::SocketAddr;
use std::path::PathBuf;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use sidecar_http::services::{BOOT_DIR, SOCKET_DIR, Service};
use sidecar_http::{Trust, UnixClient};

use crate::KitError;

/// What every sidecar accepts. All of it is part of the measured command.
#[derive(Args, Clone, Debug)]
pub struct CommonArgs {
    /// Directory of the socket directories.
    #[arg(long, default_value = SOCKET_DIR)]
    pub socket_dir: PathBuf,
    /// Directory of the boot trace.
    #[arg(long, default_value = BOOT_DIR)]
    pub boot_dir: PathBuf,
    /// Also serve on this loopback address, without peer checks: for standing alone.
    #[arg(long, value_name = "ADDRESS")]
    pub tcp: Option<SocketAddr>,
    /// Ask the running process whether it is ready and exit with 0 or 1.
    #[arg(long)]
    pub probe: bool,
    /// Base64 of PEM: further trusted roots; only with --insecure-virtual.
    #[arg(long, value_name = "BASE64")]
    pub extra_roots: Option<String>,
    /// This is a virtual environment without confidentiality.
    #[arg(long)]
    pub insecure_virtual: bool,
    /// Least severe level to log: error, warn, info, debug or trace.
    #[arg(long, default_value = "info")]
    pub log_level: tracing::Level,
    /// Where log lines go instead of stderr. No argument: only a sidecar that stands in for an older one sets it.
    #[arg(skip)]
    pub log_file: Option<PathBuf>,
}

impl CommonArgs {
    /// Whom the HTTPS clients of this process believe.
    ///
    /// # Errors
    /// The extra roots are unreadable, or given outside a virtual environment.
    pub fn trust(&self) -> Result<Trust, KitError> {
        let Some(roots) = &self.extra_roots else {
            return Ok(Trust::web());
        };
        if !self.insecure_virtual {
            return Err(KitError::ExtraRootsInProduction);
        }
        let pem = BASE64_STANDARD
            .decode(roots)
            .map_err(|error| KitError::ExtraRoots {
                reason: error.to_string(),
            })?;
        Trust::web().with_extra_pem(&pem).map_err(KitError::Trust)
    }

    /// A client of another service of the group.
    pub fn client(&self, service: &Service) -> UnixClient {
        UnixClient::new(service.socket(&self.socket_dir), service.uid)
    }

    pub(crate) fn check(&self) -> Result<(), KitError> {
        if let Some(address) = self.tcp
            && !address.ip().is_loopback()
        {
            return Err(KitError::NotLoopback { address });
        }
        self.trust().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        common: CommonArgs,
    }

    fn args(words: &[&str]) -> CommonArgs {
        let mut all = vec!["sidecar"];
        all.extend(words);
        Cli::try_parse_from(all).unwrap().common
    }

    #[test]
    fn extra_roots_are_refused_outside_a_virtual_environment() {
        let error = args(&["--extra-roots", "AAAA"]).check().unwrap_err();
        assert!(matches!(error, KitError::ExtraRootsInProduction));
    }

    #[test]
    fn extra_roots_that_hold_no_certificate_are_refused() {
        let error = args(&["--extra-roots", "AAAA", "--insecure-virtual"])
            .check()
            .unwrap_err();
        assert!(matches!(error, KitError::Trust(_)));
    }

    #[test]
    fn only_loopback_is_served_over_tcp() {
        let error = args(&["--tcp", "0.0.0.0:8284"]).check().unwrap_err();
        assert!(matches!(error, KitError::NotLoopback { .. }));
        assert!(args(&["--tcp", "127.0.0.1:8284"]).check().is_ok());
    }
}
