//! The process that uses the TPM: reads a job from standard input, writes what came of it to standard output, and ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;

use az_cvm_vtpm::vtpm::{self, AKPubError, ReportError};
use cvm_evidence::{HclReport, PcrValues, Quote};
use sidecar_kit::{EXIT_FAILED, Privileges, harden, refuse};
use tss_esapi::Context;
use tss_esapi::abstraction::{nv, pcr};
use tss_esapi::constants::response_code::Tss2ResponseCodeKind;
use tss_esapi::handles::{NvIndexTpmHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::NvAuth;
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    Data, PcrSelectionList, PcrSelectionListBuilder, PcrSlot, Signature, SignatureScheme,
};
use tss_esapi::tcti_ldr::{DeviceConfig, TctiNameConf};
use tss_esapi::traits::Marshall;

use super::job::{Collected, Job, Part, TpmFailure};

/// Where `az-cvm-vtpm` opens the TPM, which takes no other path.
const DEVICE: &str = "/dev/tpm0";
/// The same TPM behind the kernel's resource manager.
const MANAGED: &str = "/dev/tpmrm0";
const AK: u32 = 0x8100_0003;
const AK_CERTIFICATE: u32 = 0x01C1_01D0;
/// Response codes of the library's device module (TCG TSS 2.0 Overview, response codes).
const DEVICE_LAYER: u32 = 10;
/// A job has less than 1 KiB.
const JOB_CAP: u64 = 64 << 10;

/// Does the one job on standard input; the agent starts it with `--tpm-worker`.
pub fn tpm_worker() -> ExitCode {
    if let Err(error) = harden(&Privileges::none()) {
        return refuse(EXIT_FAILED, &error);
    }
    match exchange() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(EXIT_FAILED, &error),
    }
}

fn exchange() -> io::Result<()> {
    let mut question = Vec::new();
    io::stdin().take(JOB_CAP).read_to_end(&mut question)?;
    let job: Job = serde_json::from_slice(&question)?;
    let answer = serde_json::to_vec(&collect(&job))?;
    let mut stdout = io::stdout();
    stdout.write_all(&answer)?;
    stdout.flush()
}

fn collect(job: &Job) -> Result<Collected, TpmFailure> {
    look(Path::new(DEVICE))?;
    let hcl_report = report(job)?;
    let ak = vtpm::get_ak_pub().map_err(|error| match error {
        AKPubError::Tpm(error) => failed(Part::Ak, error),
        AKPubError::WrongKeyType => other(Part::Ak, "it is no RSA key"),
    })?;
    let (statement, signature, pcrs) = quote(job)?;
    Ok(Collected {
        hcl_report,
        statement,
        signature,
        pcrs,
        ak: (ak.modulus().to_vec(), ak.exponent().to_vec()),
        ak_certificate: ak_certificate()?,
    })
}

/// Says why the TPM cannot be opened, where the library would only say that.
fn look(path: &Path) -> Result<(), TpmFailure> {
    let shown = path.display().to_string();
    let opened = OpenOptions::new().read(true).write(true).open(path);
    match opened.map(drop).map_err(|error| (error.kind(), error)) {
        Ok(()) => Ok(()),
        Err((io::ErrorKind::PermissionDenied, _)) => Err(TpmFailure::Denied {
            path: shown,
            gid: path.metadata().map_or(0, |device| device.gid()),
        }),
        Err((io::ErrorKind::ResourceBusy, _)) => Err(TpmFailure::Busy { path: shown }),
        Err((_, error)) => {
            let managed = match File::open(MANAGED) {
                Ok(_) => format!("it is there: pass it on as {DEVICE}"),
                Err(error) => error.to_string(),
            };
            Err(TpmFailure::NoDevice {
                tried: format!("{shown}: {error}; {MANAGED}: {managed}"),
            })
        }
    }
}

/// The report that binds what the job asks for. To have it made anew takes the paravisor some seconds.
fn report(job: &Job) -> Result<Vec<u8>, TpmFailure> {
    let report = vtpm::get_report().map_err(|error| report_failed(Part::Report, error))?;
    let bound = bound(&report);
    let asked = match &job.user_data {
        Some(asked) => asked.as_slice(),
        // Whatever it binds, it goes on binding.
        None => bound.as_ref().unwrap_or(&[0; 64]).as_slice(),
    };
    let binds = bound.is_some_and(|bound| bound == *asked);
    if !job.renew && (binds || job.user_data.is_none()) {
        return Ok(report);
    }
    vtpm::get_report_with_report_data(asked).map_err(|error| report_failed(Part::UserData, error))
}

fn bound(report: &[u8]) -> Option<[u8; 64]> {
    let claims = HclReport::parse(report).and_then(|report| report.claims());
    claims.ok()?.user_data().copied()
}

fn quote(job: &Job) -> Result<(Vec<u8>, Vec<u8>, PcrValues), TpmFailure> {
    let bad = |error| failed(Part::Quote, error);
    let slots = job.pcrs.iter().map(|index| {
        let bit = 1_u32.checked_shl(u32::from(*index)).unwrap_or_default();
        PcrSlot::try_from(bit).map_err(bad)
    });
    let slots = slots.collect::<Result<Vec<_>, _>>()?;
    let selection = PcrSelectionListBuilder::new()
        .with_selection(HashingAlgorithm::Sha256, &slots)
        .build()
        .map_err(bad)?;
    let mut context = session().map_err(bad)?;
    let ak = TpmHandle::try_from(AK)
        .and_then(|ak| context.execute_without_session(|one| one.tr_from_tpm_public(ak)))
        .map_err(bad)?;
    let nonce = Data::try_from(job.nonce.clone()).map_err(bad)?;
    let (statement, signature) = context
        .quote(ak.into(), nonce, SignatureScheme::Null, selection.clone())
        .map_err(bad)?;
    let Signature::RsaSsa(signature) = signature else {
        return Err(other(Part::Quote, "its signature is not RSASSA"));
    };
    let signature = signature.signature().to_vec();
    let statement = statement.marshall().map_err(bad)?;
    // A TPM without a SHA-256 bank quotes no PCR, and reading them would not end. The agent says what is wrong.
    let quoted = Quote::of_parts(&statement, &signature).map(|quote| quote.selection());
    let pcrs = match quoted {
        Ok(quoted) if quoted.indices().eq(job.pcrs.iter().copied()) => {
            read_pcrs(&mut context, selection)?
        }
        _ => PcrValues::new(),
    };
    Ok((statement, signature, pcrs))
}

fn read_pcrs(context: &mut Context, selection: PcrSelectionList) -> Result<PcrValues, TpmFailure> {
    context.clear_sessions();
    let data = pcr::read_all(context, selection).map_err(|error| failed(Part::Pcrs, error))?;
    let bank = data
        .pcr_bank(HashingAlgorithm::Sha256)
        .ok_or_else(|| other(Part::Pcrs, "no bank of SHA-256"))?;
    let value = |(slot, digest): (&PcrSlot, &tss_esapi::structures::Digest)| {
        let index = u32::from(*slot).trailing_zeros();
        let value = <[u8; 32]>::try_from(digest.value());
        Some((u8::try_from(index).ok()?, value.ok()?))
    };
    bank.into_iter()
        .map(|one| value(one).ok_or_else(|| other(Part::Pcrs, "a value is not of SHA-256")))
        .collect()
}

fn ak_certificate() -> Result<Vec<u8>, TpmFailure> {
    let read = || {
        let index = NvIndexTpmHandle::new(AK_CERTIFICATE)?;
        nv::read_full(&mut session()?, NvAuth::Owner, index)
    };
    read().map_err(|error| failed(Part::AkCertificate, error))
}

fn session() -> tss_esapi::Result<Context> {
    let mut context = Context::new(TctiNameConf::Device(DeviceConfig::default()))?;
    context.set_sessions((Some(AuthSession::Password), None, None));
    Ok(context)
}

fn report_failed(part: Part, error: ReportError) -> TpmFailure {
    match error {
        ReportError::Tpm(error) => failed(part, error),
        error => other(part, error),
    }
}

fn failed(part: Part, error: tss_esapi::Error) -> TpmFailure {
    use tss_esapi::Error::Tss2Error;
    match error {
        Tss2Error(code)
            if matches!(
                code.kind(),
                Some(Tss2ResponseCodeKind::Handle | Tss2ResponseCodeKind::NvUninitialized)
            ) =>
        {
            TpmFailure::Absent { part }
        }
        Tss2Error(code) => {
            // The number is nowhere but in this text.
            let shown = std::error::Error::source(&code).map(ToString::to_string);
            let shown = shown.unwrap_or_default();
            let number = shown.rsplit_once("0x");
            let number = number.and_then(|(_, hex)| u32::from_str_radix(hex, 16).ok());
            match number.map(|number| number >> 16) {
                // What the code means in words holds for the TPM's own layer.
                Some(DEVICE_LAYER) => other(
                    part,
                    format!("the device does not answer as a TPM ({shown})"),
                ),
                _ => other(part, format!("{code} ({shown})")),
            }
        }
        error => other(part, error),
    }
}

fn other(part: Part, reason: impl ToString) -> TpmFailure {
    TpmFailure::Failed {
        part,
        reason: reason.to_string(),
    }
}
