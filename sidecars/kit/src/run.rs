use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::FutureExt;
use sidecar_http::services::Service;
use tokio::signal::unix::{SignalKind, signal};

use crate::boot::BootSpan;
use crate::log_file::LogFile;
use crate::process::report;
use crate::telemetry::Telemetry;
use crate::{CommonArgs, KitError, Privileges, Process, harden};

/// Exit code of a sidecar that failed.
pub const EXIT_FAILED: u8 = 1;
/// Exit code of an unusable configuration; nothing was bound.
pub const EXIT_CONFIG: u8 = 64;

/// Container stop gives 30 s before SIGKILL; telemetry needs the rest.
const GRACE: Duration = Duration::from_secs(20);
const PROBE: Duration = Duration::from_secs(2);

/// Runs a sidecar: answers `--probe`, hardens the process, installs telemetry, runs `main` until it returns or a signal
/// asks to stop, drains, flushes, and gives the exit code (0, what `main` says, 1 failed, 64 unusable configuration).
///
/// Must be called before any thread is started.
pub fn run_process<F, Fut>(
    service: Service,
    common: CommonArgs,
    privileges: Privileges,
    main: F,
) -> ExitCode
where
    F: FnOnce(Process) -> Fut,
    Fut: Future<Output = anyhow::Result<ExitCode>>,
{
    let started = SystemTime::now();
    let probing = common.probe;
    let log_path = common.log_file.clone().filter(|_| !probing);
    // A probe talks to nobody but our own socket; it is hardened all the same.
    let hardened = common.check().and_then(|()| harden(&privileges));
    sidecar_http::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return refuse(EXIT_FAILED, &error),
    };
    if let Err(error) = hardened {
        let code = match error {
            KitError::Harden { .. } => EXIT_FAILED,
            _ => EXIT_CONFIG,
        };
        return refuse(code, &error);
    }
    if probing {
        let ready = runtime.block_on(common.client(&service).wait_ready(PROBE));
        return match ready {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(EXIT_FAILED, &error),
        };
    }
    let log_file = match log_path.as_deref().map(LogFile::open).transpose() {
        Ok(log_file) => log_file,
        Err(error) => return refuse(EXIT_CONFIG, &error),
    };
    let code = runtime.block_on(async {
        let telemetry = Telemetry::install(&service, &common, log_file);
        let boot = BootSpan::start(&service.name, &common.boot_dir, started);
        let process = Process::new(service, common, telemetry.clone(), Some(boot));
        let code = supervise(&process, main).await;
        process.drain(GRACE).await;
        let _ = tokio::task::spawn_blocking(move || telemetry.shutdown()).await;
        code
    });
    // A blocking thread that never returns (a FUSE read) must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    code
}

async fn supervise<F, Fut>(process: &Process, main: F) -> ExitCode
where
    F: FnOnce(Process) -> Fut,
    Fut: Future<Output = anyhow::Result<ExitCode>>,
{
    let signals = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = signals else {
        tracing::error!("signal handlers cannot be installed");
        return ExitCode::from(EXIT_FAILED);
    };
    let stopper = process.clone();
    let watcher = tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
            _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
        }
        stopper.stop();
    });
    let running = main(process.clone());
    let outcome = match process.boot() {
        Some(boot) => running.with_context(boot.context()).await,
        None => running.await,
    };
    watcher.abort();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            let config = error.chain().any(|cause| {
                matches!(
                    cause.downcast_ref::<KitError>(),
                    Some(KitError::ExtraRoots { .. } | KitError::WrongUser { .. })
                )
            });
            ExitCode::from(if config { EXIT_CONFIG } else { EXIT_FAILED })
        }
    }
}

/// The exit code of a process that ends before it has a subscriber, after the reason was written to stderr.
#[expect(clippy::print_stderr, reason = "there is no subscriber yet")]
pub fn refuse(code: u8, error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("{}", sidecar_http::chain(error));
    ExitCode::from(code)
}
