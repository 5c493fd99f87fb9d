//! An application that tries to get out of its container, and reports what stopped it.
//!
//! The report is one JSON object, `{"<attempt>": {"ok", "stopped_by"}}`, on standard output and in
//! `$OUTPUT_LOCATION/report.json`. `ok` means that the attack worked. Exit code 0 if none did, 1 if one did, 2 if the report
//! could not be written.

mod files;
mod network;
mod processes;
mod report;
mod system;

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use report::Report;

const SOCKETS: &str = "/run/cleanroom/sockets";
const DATASETS: &str = "/mnt/remote";

fn main() -> ExitCode {
    let mut report = Report::default();
    network::sidecars(&mut report, Path::new(SOCKETS));
    network::loopback(&mut report);
    network::outside(&mut report);
    network::families(&mut report);
    files::devices(&mut report);
    files::writes(&mut report, std::env::var_os("INPUT_LOCATION").as_deref());
    files::datasets(&mut report, Path::new(DATASETS));
    processes::others(&mut report);
    system::calls(&mut report);
    match publish(&report) {
        Ok(()) if report.all_stopped() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(1),
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

fn publish(report: &Report) -> io::Result<()> {
    let text = report.to_json()?;
    writeln!(io::stdout(), "{text}")?;
    let Some(output) = std::env::var_os("OUTPUT_LOCATION") else {
        return Ok(());
    };
    let mut file = std::fs::File::create(Path::new(&output).join("report.json"))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
