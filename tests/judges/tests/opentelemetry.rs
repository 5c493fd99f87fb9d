//! The stock OpenTelemetry SDK sends to our collector; the official messages read what it wrote.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const JUDGE: &str = "opentelemetry";
/// The collector refuses to run as anybody else.
const UID: u32 = 10001;

fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let binary = own.ancestors().nth(2).unwrap().join("otel-collector");
    assert!(
        binary.exists(),
        "otel-collector is not built: run `cargo build --workspace --bins` first"
    );
    binary
}

fn script(name: &str) -> Command {
    let mut command = Command::new(judges::python(JUDGE));
    command
        .arg(judges::folder(JUDGE).join(name))
        // Settings of whoever runs the tests are not part of them.
        .env_clear();
    command
}

fn output_of(command: &mut Command) -> Value {
    serde_json::from_slice(&judges::run(command).stdout).unwrap()
}

/// Our collector as its own user, on a port of its own.
struct Collector {
    home: tempfile::TempDir,
    address: String,
    id: String,
    ended: Receiver<ExitStatus>,
    running: bool,
}

impl Collector {
    fn start() -> Self {
        assert_eq!(
            std::fs::metadata("/proc/self").unwrap().uid(),
            0,
            "this test starts the collector as uid {UID}: run it as root"
        );
        let home = tempfile::tempdir().unwrap();
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for folder in ["telemetry", "sockets/otel-collector", "boot"] {
            let folder = home.path().join(folder);
            std::fs::create_dir_all(&folder).unwrap();
            chown(&folder, Some(UID), Some(UID)).unwrap();
        }
        // The home of a root user is often closed to others; a copy is not. Another process makes it: a file that we hold
        // open for writing while another test forks cannot be executed.
        let program = home.path().join("otel-collector");
        judges::run(Command::new("cp").arg(binary()).arg(&program));
        // A loopback address of its own: no other test can be given the same port between here and the collector's bind.
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let own = format!("127.7.0.{}:0", NEXT.fetch_add(1, Ordering::Relaxed));
        let port = TcpListener::bind(own).unwrap().local_addr();
        let address = port.unwrap().to_string();
        let mut command = Command::new("setpriv");
        let id = UID.to_string();
        command
            .args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"])
            .arg(&program)
            .arg("--telemetry-path")
            .arg(home.path().join("telemetry"))
            .arg("--socket-dir")
            .arg(home.path().join("sockets"))
            .arg("--boot-dir")
            .arg(home.path().join("boot"))
            .args(["--tcp", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let id = child.id().to_string();
        let (end, ended) = channel();
        std::thread::spawn(move || end.send(child.wait().unwrap()));
        let collector = Self {
            home,
            address,
            id,
            ended,
            running: true,
        };
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&collector.address).is_err() {
            let ended = collector.ended.recv_timeout(Duration::from_millis(20));
            assert!(ended.is_err(), "the collector ended: {ended:?}");
            assert!(Instant::now() < deadline, "the collector does not listen");
        }
        collector
    }

    fn telemetry(&self) -> PathBuf {
        self.home.path().join("telemetry")
    }

    /// Starts a sender with the stock SDK.
    fn sdk(&self, protocol: &str, service: &str, more: &[&str]) -> Sender {
        let mut command = script("send.py");
        command
            .args(["sdk", protocol, &self.address, service])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        Sender(command.spawn().unwrap())
    }

    fn send(&self, what: &str) -> Value {
        output_of(script("send.py").args([what, &self.address]))
    }

    /// SIGTERM, and the end it leads to.
    fn stop(&mut self) -> ExitStatus {
        judges::run(Command::new("kill").args(["-TERM", &self.id]));
        let ended = self.ended.recv_timeout(Duration::from_secs(30));
        let status = ended.expect("the collector does not stop");
        self.running = false;
        status
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        // Only if the test failed before it stopped.
        if self.running && self.ended.try_recv().is_err() {
            let _ = Command::new("kill").args(["-KILL", &self.id]).status();
        }
    }
}

struct Sender(Child);

impl Sender {
    /// What it sent: printed when every flush is acknowledged.
    fn sent(&mut self) -> Value {
        let mut line = String::new();
        let output = self.0.stdout.as_mut().unwrap();
        BufReader::new(output).read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("the sender failed; its message is above")
    }

    fn end(mut self) {
        drop(self.0.stdin.take());
        assert!(self.0.wait().unwrap().success());
    }
}

fn read(folder: &Path, more: &[&str]) -> Value {
    output_of(script("read.py").arg(folder).args(more))
}

fn refused(folder: &Path) -> String {
    let output = script("read.py").arg(folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

fn files(folder: &Path) -> BTreeSet<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The same items in any order: requests of one sender may overtake each other.
fn sorted(items: &Value) -> Vec<String> {
    let mut items: Vec<_> = items
        .as_array()
        .unwrap()
        .iter()
        .map(Value::to_string)
        .collect();
    items.sort();
    items
}

/// Every item of a sender is in the files of its service once, and nothing else is.
fn assert_arrived(read: &Value, sent: &Value) {
    let service = sent["service"].as_str().unwrap();
    for (items, ending) in [("spans", "traces"), ("points", "metrics"), ("logs", "log")] {
        let (sent, found) = (
            sorted(&sent[items]),
            sorted(&read[format!("{service}.{ending}")]),
        );
        assert_eq!(sent.len(), found.len(), "{items} of {service}");
        for (sent, found) in sent.iter().zip(&found) {
            assert_eq!(sent, found, "{items} of {service}");
        }
    }
}

#[test]
fn what_the_sdk_sends_at_once_is_in_the_file_of_its_service() {
    let mut collector = Collector::start();
    let mut senders = [
        collector.sdk("grpc", "over-grpc", &[]),
        collector.sdk("grpc", "over-grpc-gzip", &["--gzip"]),
        collector.sdk("http", "over-http", &[]),
        collector.sdk("http", "over-http-gzip", &["--gzip"]),
    ];
    let sent: Vec<_> = senders.iter_mut().map(Sender::sent).collect();
    senders.into_iter().for_each(Sender::end);
    assert!(collector.stop().success());

    let items = read(&collector.telemetry(), &["--items"]);
    let mut summary = json!({});
    for sent in &sent {
        assert_arrived(&items, sent);
        // 30 rounds of three nested spans and one around a log record, and one of a remote parent.
        assert_eq!(sent["spans"].as_array().unwrap().len(), 121);
        assert_eq!(sent["logs"].as_array().unwrap().len(), 33);
        assert_eq!(sent["points"].as_array().unwrap().len(), 10);
        // In batches of eight: 16 requests of spans, 5 of log records, 1 of metrics.
        assert_eq!(
            sent["requests"],
            json!({"traces": 16, "logs": 5, "metrics": 1})
        );
        summary[sent["service"].as_str().unwrap()] =
            json!({"spans": 121, "points": 10, "logs": 33, "lines": 22});
        // What was sent is what was meant to be sent.
        let outer = &items[format!("{}.traces", sent["service"].as_str().unwrap())]
            .as_array()
            .unwrap()
            .iter()
            .find(|span| span["name"] == "outer")
            .unwrap()
            .clone();
        assert_eq!(outer["start"], "1700000000123456789");
        assert_eq!(
            outer["attributes"]["past-double"],
            json!({"int": "9007199254740993"})
        );
        assert_eq!(
            outer["attributes"]["not-a-number"],
            json!({"double": "nan"})
        );
        assert_eq!(
            outer["attributes"]["raw"],
            json!({"bytes": "00fffe20726177"})
        );
        assert_eq!(outer["attributes"]["none"], json!({"array": []}));
        assert_eq!(
            outer["resource"]["service.name"],
            json!({"string": sent["service"]})
        );
    }
    let read = read(&collector.telemetry(), &[]);
    assert_eq!(read["services"], summary);
    assert_eq!(
        read["span_names"],
        json!([
            "inner",
            "innermost",
            "logging",
            "of a remote parent",
            "outer"
        ])
    );
    // Per sender: each round and each log record begins a trace; the remote parent's is shared.
    assert_eq!(read["trace_ids"].as_array().unwrap().len(), 4 * 60 + 1);
    assert_eq!(read["output"], json!({}));
}

#[test]
fn every_field_of_the_protocol_survives() {
    let mut collector = Collector::start();
    let sent = collector.send("every-field");
    assert!(collector.stop().success());
    assert_eq!(sent.as_array().unwrap().len(), 3 * (400 + 40));
    let sent = sent.to_string().replace(".logs\"", ".log\"");
    let sent: Value = serde_json::from_str(&sent).unwrap();
    let read = read(&collector.telemetry(), &["--messages"]);
    assert!(sorted(&sent) == sorted(&read), "a field was changed");
}

#[test]
fn a_service_name_chooses_a_file_of_the_folder_and_no_other() {
    let mut collector = Collector::start();
    let before = files(collector.home.path());
    let sent = collector.send("names");
    assert_eq!(sent.as_array().unwrap().len(), 11);
    assert!(collector.stop().success());
    let stems = [
        "_.._.._outside",
        "_etc_passwd",
        "_..",
        "_.",
        "a_b_c",
        "nul_",
        "gr__e",
        &"n".repeat(100),
        "unknown_service",
        "plain.name-1_2",
    ];
    let endings = ["traces", "metrics", "log"];
    let expected: BTreeSet<String> = stems
        .iter()
        .flat_map(|stem| endings.map(|ending| format!("{stem}.{ending}")))
        .collect();
    assert_eq!(files(&collector.telemetry()), expected);
    assert_eq!(files(collector.home.path()), before);

    // The reader finds each under the name that was sent, not under the file's.
    let read = read(&collector.telemetry(), &[]);
    let services = read["services"].as_object().unwrap();
    for name in sent.as_array().unwrap() {
        let name = name.as_str().filter(|name| !name.is_empty());
        let lines = services[name.unwrap_or("unknown_service")]["lines"].as_u64();
        // In a common request and in one alone, for three signals; no name, an empty one and a number are nameless.
        let expected = if name.is_none() { 15 } else { 6 };
        assert_eq!(lines, Some(expected), "{name:?}");
    }
    assert_eq!(services.len(), 10);
}

#[test]
fn what_cannot_be_read_or_is_too_large_is_refused_for_good() {
    let mut collector = Collector::start();
    let statuses = collector.send("refusals");
    let message = "CR-OTEL-0003: traces request: failed to decode Protobuf message: ";
    assert_eq!(statuses["http error"][0], "application/x-protobuf");
    let error = statuses["http error"][1].as_str().unwrap();
    assert!(error.starts_with(message), "{error}");
    let mut statuses = statuses;
    statuses.as_object_mut().unwrap().remove("http error");
    assert_eq!(
        statuses,
        json!({
            "http": 200,
            "http torn": 400,
            "http wrong": 400,
            "http torn metrics": 400,
            "http torn logs": 400,
            "http text": 400,
            "http unknown path": 404,
            "http fits": 200,
            "http too large": 413,
            "http gzip": 200,
            "http gzip fits": 200,
            "http gzip too large": 413,
            "http gzip bomb": 413,
            "http gzip torn": 400,
            "http gzip is none": 400,
            "http unknown coding": 400,
            "grpc": "OK",
            "grpc torn": "INTERNAL",
            "grpc fits": "OK",
            "grpc too large": "RESOURCE_EXHAUSTED",
            "grpc gzip": "OK",
            "grpc gzip fits": "OK",
            "grpc gzip too large": "RESOURCE_EXHAUSTED",
            "grpc unknown service": "UNIMPLEMENTED",
            "grpc still": "OK",
        })
    );
    assert!(collector.stop().success());
    // Exactly those that passed.
    let read = read(&collector.telemetry(), &[]);
    let services = read["services"].as_object().unwrap();
    assert_eq!(services["small"]["lines"], 5);
    assert_eq!(services["sized"]["lines"], 4);
    assert_eq!(services.len(), 2);
}

#[test]
fn what_a_flush_acknowledged_is_there_after_sigterm() {
    for protocol in ["grpc", "http"] {
        let mut collector = Collector::start();
        let service = format!("last-{protocol}");
        let mut sender = collector.sdk(protocol, &service, &["--hold", "--rounds", "50"]);
        let sent = sender.sent();
        // The sender lives and holds its connections.
        let began = Instant::now();
        assert!(collector.stop().success());
        assert!(began.elapsed() < Duration::from_secs(10));
        sender.end();
        let items = read(&collector.telemetry(), &["--items"]);
        assert_eq!(
            items[format!("{service}.traces")].as_array().unwrap().len(),
            201
        );
        assert_arrived(&items, &sent);
    }
}

#[test]
fn a_full_disk_leaves_whole_lines_and_is_told_to_the_sender() {
    let mut collector = Collector::start();
    let folder = collector.telemetry();
    let owner = format!("size=64k,uid={UID},gid={UID},mode=755");
    judges::run(
        Command::new("mount")
            .args(["-t", "tmpfs", "-o", &owner, "tmpfs"])
            .arg(&folder),
    );
    let copied = tempfile::tempdir().unwrap();
    // The disk is taken away whatever happens.
    let filled = std::panic::catch_unwind(AssertUnwindSafe(|| {
        let filled = collector.send("until-full");
        for name in files(&folder) {
            std::fs::copy(folder.join(&name), copied.path().join(&name)).unwrap();
        }
        assert!(collector.stop().success());
        filled
    }));
    judges::run(Command::new("umount").arg("--lazy").arg(&folder));
    let filled = filled.unwrap();
    let statuses = filled["http"].as_array().unwrap();
    let taken = statuses
        .iter()
        .filter(|status| **status == json!(200))
        .count();
    // Three of 20 000 bytes, and a quarter of a fourth.
    assert_eq!(taken, 3);
    assert_eq!(statuses[3..], [json!(503), json!(503)]);
    assert_eq!(filled["grpc"], "UNAVAILABLE");
    // A line that did not fit is gone; a smaller one after it is whole.
    assert_eq!(filled["small"], 200);
    let read = read(copied.path(), &[]);
    assert_eq!(read["services"]["filling"]["lines"], taken + 1);
}

#[test]
fn the_reader_refuses_what_is_not_otlp_json() {
    let id = "0123456789abcdef0123456789abcdef";
    let line = |span: Value| {
        json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]},
            "scopeSpans": [{"spans": [span]}],
        }]})
        .to_string()
    };
    let good = line(
        json!({"traceId": id, "spanId": "0123456789abcdef", "kind": 2, "startTimeUnixNano": "5"}),
    );
    let check = |name: &str, text: &str| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        refused(folder.path())
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s.traces"), format!("{good}\n")).unwrap();
    let output = "2026-01-02T03:04:05.6Z stdout F a line\n";
    std::fs::write(folder.path().join("app.log"), output).unwrap();
    let read = read(folder.path(), &[]);
    assert_eq!(
        read["services"],
        json!({"s": {"spans": 1, "points": 0, "logs": 0, "lines": 1}})
    );
    assert_eq!(read["trace_ids"], json!([id]));
    assert_eq!(read["output"], json!({"app.log": 1}));

    for (span, reason) in [
        (json!({"traceId": "ASNFZ4mrze8BI0VniavN7w=="}), "is not hex"),
        (json!({"traceId": "0123"}), "has a wrong length"),
        (json!({"trace_id": id}), "has no 'trace_id'"),
        (json!({"kind": "SPAN_KIND_SERVER"}), "is not a number"),
        (json!({"startTimeUnixNano": 5}), "is not a decimal string"),
        (json!({"startTimeUnixNano": "-5"}), "startTimeUnixNano"),
        (
            json!({"attributes": [{"key": "k", "value": {"bytesValue": [1]}}]}),
            "bytesValue",
        ),
        (json!({"attributes": {"key": "k"}}), "attributes"),
        (json!({"name": 7}), "name"),
    ] {
        let errors = check("s.traces", &format!("{good}\n{}\n", line(span)));
        assert!(errors.starts_with("s.traces:2: "), "{errors}");
        assert!(errors.contains(reason), "{errors}");
    }
    assert!(check("s.traces", &good).contains("torn"));
    assert!(check("s.traces", &format!("{good}\n\n")).starts_with("s.traces:2: "));
    assert!(check("other.traces", &format!("{good}\n")).contains("telemetry of 's'"));
    assert!(check("s.metrics", &format!("{good}\n")).contains("has no 'resourceSpans'"));
    assert!(check("s.json", &format!("{good}\n")).contains("not a file of telemetry"));
    assert!(check("s.log", &format!("{output}{good}\n")).starts_with("s.log:1: "));
    assert!(refused(tempfile::tempdir().unwrap().path()).contains("no file at all"));
}
