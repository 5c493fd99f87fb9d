//! The environment of upstream's container, as far as it says something here (`docs/skr-agent.md`). Arguments win.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;

use attestation::CertCache;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use serde::Deserialize;
use sidecar_http::Coded;
use sidecar_kit::{CommonArgs, EXIT_CONFIG};
use tracing::Level;

use crate::{Args, SkrError};

const ARGS: &str = "SkrSideCarArgs";
const PORT: &str = "Port";
const LOG_LEVEL: &str = "LogLevel";
const LOG_FILE: &str = "LogFile";
const SERVER_TYPE: &str = "ServerType";
const CLIENT: &str = "AZURE_CLIENT_ID";
const TENANT: &str = "AZURE_TENANT_ID";
const NAME_CAP: usize = 256;
/// Larger than any honest value.
const CAP: usize = 64 << 10;

/// The command line of a program `C`, completed from the environment; `parts` finds the two groups of arguments in it.
///
/// # Errors
/// The exit code, after the reason was written to stderr: the command line or a variable is not usable, or help was asked
/// for.
pub fn command_line<C: CommandFactory + FromArgMatches>(
    parts: impl FnOnce(&mut C) -> (&mut CommonArgs, &mut Args),
) -> Result<C, ExitCode> {
    let matches = C::command().get_matches();
    let completed = || {
        let mut cli = C::from_arg_matches(&matches)?;
        let environment = Environment::of_process().map_err(|error| {
            C::command().error(
                ErrorKind::InvalidValue,
                format!("{}: {error}", error.code()),
            )
        })?;
        let (common, args) = parts(&mut cli);
        environment.complete(&matches, common, args);
        Ok(cli)
    };
    completed().map_err(|error: clap::Error| {
        // Nothing is left to be done if the reason cannot be shown.
        let _ = error.print();
        ExitCode::from(EXIT_CONFIG)
    })
}

/// What the environment sets, checked.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    side_car: SideCarArgs,
    tcp: Option<SocketAddr>,
    log_level: Option<Level>,
    log_file: Option<PathBuf>,
    client_id: Option<String>,
    tenant_id: Option<String>,
}

/// `SkrSideCarArgs`: base64 of this JSON; other members are ignored, as upstream does.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SideCarArgs {
    certcache: CertCache,
    identity: IdentityArgs,
    maaconfig: MaaConfig,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct IdentityArgs {
    client_id: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct MaaConfig {
    user_agent: String,
}

impl Environment {
    /// The variables of this process.
    ///
    /// # Errors
    /// [`SkrError::Environment`] naming the variable that is not usable.
    pub fn of_process() -> Result<Self, SkrError> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, SkrError> {
        let get = |name: &'static str| match variable(name) {
            Some(value) if value.len() > CAP => Err(bad(name, format!("more than {CAP} bytes"))),
            value => Ok(value.filter(|value| !value.is_empty())),
        };
        if let Some(kind) = get(SERVER_TYPE)?
            && !["http", "grpc"].contains(&kind.as_str())
        {
            return Err(bad(SERVER_TYPE, "neither http nor grpc; both are served"));
        }
        Ok(Self {
            side_car: get(ARGS)?.map(side_car).transpose()?.unwrap_or_default(),
            tcp: get(PORT)?.map(port).transpose()?,
            log_level: get(LOG_LEVEL)?.map(level).transpose()?,
            log_file: get(LOG_FILE)?.map(PathBuf::from),
            client_id: get(CLIENT)?,
            tenant_id: get(TENANT)?,
        })
    }

    /// Puts what the environment sets where the command line, as `matches` tells, sets nothing.
    pub fn complete(self, matches: &ArgMatches, common: &mut CommonArgs, args: &mut Args) {
        common.tcp = common.tcp.or(self.tcp);
        common.log_file = self.log_file;
        if let Some(level) = self.log_level
            && matches.value_source("log_level") != Some(ValueSource::CommandLine)
        {
            common.log_level = level;
        }
        args.certcache = self.side_car.certcache;
        let name = self.side_car.maaconfig.user_agent;
        args.maa_user_agent = Some(name).filter(|name| !name.is_empty());
        let named = Some(self.side_car.identity.client_id).filter(|client| !client.is_empty());
        let client = named.or(self.client_id);
        args.identity_client_id = args.identity_client_id.take().or(client);
        args.identity_tenant_id = args.identity_tenant_id.take().or(self.tenant_id);
    }
}

fn side_car(text: String) -> Result<SideCarArgs, SkrError> {
    let json = STANDARD
        .decode(text.trim())
        .map_err(|_| bad(ARGS, "not base64"))?;
    let read: SideCarArgs = serde_json::from_slice(&json)
        .map_err(|error| bad(ARGS, format!("not the JSON: {error}")))?;
    let name = &read.maaconfig.user_agent;
    if name.len() > NAME_CAP || !name.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        let expected = format!("at most {NAME_CAP} printable ASCII characters");
        return Err(bad(ARGS, format!("maaconfig.user_agent: {expected}")));
    }
    Ok(read)
}

/// Loopback only, as upstream does it.
fn port(text: String) -> Result<SocketAddr, SkrError> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok((Ipv4Addr::LOCALHOST, port).into()),
        _ => Err(bad(PORT, "no port from 1 to 65535")),
    }
}

fn level(text: String) -> Result<Level, SkrError> {
    Ok(match text.to_ascii_lowercase().as_str() {
        "trace" => Level::TRACE,
        "debug" => Level::DEBUG,
        "info" => Level::INFO,
        "warn" | "warning" => Level::WARN,
        "error" | "fatal" | "panic" => Level::ERROR,
        _ => {
            return Err(bad(
                LOG_LEVEL,
                "none of trace, debug, info, warning, error, fatal and panic",
            ));
        }
    })
}

fn bad(name: &'static str, reason: impl Into<String>) -> SkrError {
    SkrError::Environment {
        name,
        reason: reason.into(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        common: CommonArgs,
        #[command(flatten)]
        args: Args,
    }

    fn environment(set: &[(&str, &str)]) -> Result<Environment, SkrError> {
        Environment::read(|name| {
            let found = set.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn completed(set: &[(&str, &str)], words: &[&str]) -> Cli {
        let all = ["skr-agent"].iter().chain(words);
        let matches = Cli::command().try_get_matches_from(all).unwrap();
        let mut cli = Cli::from_arg_matches(&matches).unwrap();
        let Cli { common, args } = &mut cli;
        environment(set).unwrap().complete(&matches, common, args);
        cli
    }

    #[test]
    fn upstreams_variables_say_what_they_say_there() {
        let side_car = STANDARD.encode(
            r#"{"certcache":{"endpoint_type":"LocalTHIM"},"identity":{"client_id":"c1"},"maaconfig":{"user_agent":"litware"},"new":1}"#,
        );
        let set = [
            (ARGS, side_car.as_str()),
            (PORT, "8284"),
            (LOG_LEVEL, "Warning"),
            (LOG_FILE, "/log/skr.log"),
            (SERVER_TYPE, "grpc"),
            (CLIENT, "c2"),
            (TENANT, "t"),
        ];
        let cli = completed(&set, &[]);
        assert_eq!(cli.common.tcp, Some("127.0.0.1:8284".parse().unwrap()));
        assert_eq!(cli.common.log_level, Level::WARN);
        assert_eq!(cli.common.log_file, Some("/log/skr.log".into()));
        assert_eq!(cli.args.maa_user_agent.as_deref(), Some("litware"));
        assert_eq!(cli.args.certcache.endpoint_type, "LocalTHIM");
        assert_eq!(cli.args.identity_client_id.as_deref(), Some("c1"));
        assert_eq!(cli.args.identity_tenant_id.as_deref(), Some("t"));
    }

    #[test]
    fn measured_arguments_win_and_nothing_is_served_unasked() {
        let set = [(PORT, "8284"), (LOG_LEVEL, "trace"), (CLIENT, "c2")];
        let words = [
            "--tcp=127.0.0.1:1",
            "--log-level=info",
            "--identity-client-id=c",
            "--identity-tenant-id=t",
        ];
        let cli = completed(&set, &words);
        assert_eq!(cli.common.tcp, Some("127.0.0.1:1".parse().unwrap()));
        assert_eq!(cli.common.log_level, Level::INFO);
        assert_eq!(cli.args.identity_client_id.as_deref(), Some("c"));
        let cli = completed(&[(PORT, "")], &[]);
        assert_eq!((cli.common.tcp, cli.common.log_file), (None, None));
    }

    #[test]
    fn a_variable_that_cannot_be_used_is_named() {
        let name = STANDARD.encode("{\"maaconfig\":{\"user_agent\":\"a\\nb\"}}");
        let long = "A".repeat(CAP + 1);
        for (name, value) in [
            (ARGS, "%"),
            (ARGS, "AAAA"),
            (ARGS, &long),
            (ARGS, &name),
            (PORT, "0"),
            (PORT, "65536"),
            (PORT, "0.0.0.0:80"),
            (LOG_LEVEL, "loud"),
            (SERVER_TYPE, "both"),
        ] {
            let error = environment(&[(name, value)]).unwrap_err();
            assert_eq!(error.code(), "CR-SKR-0086", "{name}={value:.10}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}
