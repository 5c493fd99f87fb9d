//! The application of the launcher's tests: a static program whose first argument says what it does.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let outcome = match args.next().as_deref() {
        Some("copy") => copy().map(|()| 0),
        Some("exit") => Ok(args.next().and_then(|code| code.parse().ok()).unwrap_or(1)),
        Some("wait") => wait(),
        Some("serve") => serve(),
        Some("flood") => flood(args.next().and_then(|mib| mib.parse().ok()).unwrap_or(1)),
        _ => Ok(64),
    };
    match outcome {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::from(2)
        }
    }
}

/// Writes the input in capitals, and one line to each stream.
fn copy() -> io::Result<()> {
    let folder = |name: &str| {
        let value = std::env::var_os(name).ok_or(io::ErrorKind::NotFound)?;
        io::Result::Ok(PathBuf::from(value))
    };
    let input = std::fs::read_to_string(folder("INPUT_LOCATION")?.join("input.txt"))?;
    writeln!(io::stdout(), "read {} bytes", input.len())?;
    let mut output = std::fs::File::create(folder("OUTPUT_LOCATION")?.join("output.txt"))?;
    output.write_all(input.to_uppercase().as_bytes())?;
    output.sync_all()?;
    writeln!(io::stderr(), "written")
}

/// Tells which signals arrive blocked and then does nothing until it is ended.
fn wait() -> io::Result<u8> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let blocked = status.lines().find(|line| line.starts_with("SigBlk"));
    writeln!(io::stdout(), "{}", blocked.unwrap_or("unknown"))?;
    loop {
        std::thread::park();
    }
}

/// Serves until it is asked to end, and then writes what it has to.
fn serve() -> io::Result<u8> {
    let mut asked = SigSet::empty();
    asked.add(Signal::SIGTERM);
    // Blocked first: the first process of a container is sent no signal that it does nothing about.
    asked.thread_block()?;
    writeln!(io::stdout(), "serving")?;
    asked.wait()?;
    copy()?;
    Ok(0)
}

/// Fills standard output and error with as many MiB each, without a single line end, and ends with 3.
fn flood(mib: usize) -> io::Result<u8> {
    let block = vec![b'x'; 1 << 20];
    for _ in 0..mib {
        io::stdout().write_all(&block)?;
        io::stderr().write_all(&block)?;
    }
    io::stdout().flush()?;
    Ok(3)
}
