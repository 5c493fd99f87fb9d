//! A confidential virtual machine: TPM, metadata service, and the agent in a mount namespace with its own `/dev`.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cleanroom_crypto::rsa::PublicKey;
use rcgen::{CertificateParams, Issuer, KeyPair, SubjectPublicKeyInfo};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::device::{DEVICE_GROUP, Device, Driver};
use crate::frames;
use crate::metadata::Metadata;

pub(crate) const HCL_REPORT: u32 = 0x0140_0001;
pub(crate) const AK_CERTIFICATE: u32 = 0x01c1_01d0;
pub(crate) const AK: u32 = 0x8100_0003;
const NV_SIZE: usize = 2048;
const UID: &str = "10089";
const GOVERNANCE: &str = "10030";
/// For what takes milliseconds where nothing else runs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Gives the namespace a `/dev` of its own, with the TPM if there is one, and becomes the agent.
const START: &str = r#"
set -eu
stage=$1 tpm=$2 managed=$3 groups=$4 uid=$5
shift 5
mount -t tmpfs -o mode=755 tmpfs "$stage"
for node in null urandom; do : >"$stage/$node"; mount --bind "/dev/$node" "$stage/$node"; done
if [ -n "$tpm" ]; then : >"$stage/tpm0"; mount --bind "$tpm" "$stage/tpm0"; fi
if [ -n "$managed" ]; then : >"$stage/tpmrm0"; fi
mount --move "$stage" /dev
exec setpriv --reuid="$uid" --regid="$uid" $groups --inh-caps=-all -- "$@"
"#;

/// How the agent is started.
pub(crate) struct Start {
    pub(crate) tpm: bool,
    pub(crate) managed: bool,
    pub(crate) group: bool,
    pub(crate) deadline: u64,
}

impl Default for Start {
    fn default() -> Self {
        Self {
            tpm: true,
            managed: false,
            group: true,
            deadline: 60,
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Our code of a refusal.
    pub(crate) fn code(&self) -> String {
        let body = self.json();
        body["code"]
            .as_str()
            .unwrap_or_else(|| panic!("{body}"))
            .to_owned()
    }

    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }
}

pub(crate) struct Machine {
    agent: Option<Child>,
    tcp: u16,
    pub(crate) metadata: Metadata,
    work: TempDir,
    // Unmounted last: the agent's namespace holds it.
    device: Device,
}

impl Machine {
    /// A machine as Azure sets it up.
    pub(crate) fn new() -> Self {
        let machine = Self::blank();
        let driver = machine.driver();
        let (transient, modulus) = frames::created_ak(&driver.command(&frames::create_ak()));
        driver.command(&frames::make_persistent(transient, AK));
        driver.command(&frames::flush(transient));
        driver.command(&frames::nv_define(HCL_REPORT, NV_SIZE));
        driver.firmware(|firmware| firmware.ak = modulus.clone());
        driver.command(&frames::nv_define(AK_CERTIFICATE, NV_SIZE));
        machine.certify(&modulus);
        machine
    }

    /// A machine with a TPM that nobody set up.
    pub(crate) fn blank() -> Self {
        Self {
            agent: None,
            tcp: 0,
            metadata: Metadata::start(),
            work: tempfile::tempdir().unwrap(),
            device: Device::new(),
        }
    }

    pub(crate) fn driver(&self) -> &Driver {
        &self.device.driver
    }

    /// Writes a certificate of the key with this modulus where the TPM's has its own.
    pub(crate) fn certify(&self, modulus: &[u8]) {
        let key = PublicKey::from_n_e(modulus, &[1, 0, 1]).unwrap();
        let key = SubjectPublicKeyInfo::from_der(&key.to_spki_der()).unwrap();
        let issuer = Issuer::new(CertificateParams::default(), KeyPair::generate().unwrap());
        let certificate = CertificateParams::default()
            .signed_by(&key, &issuer)
            .unwrap();
        let mut index = certificate.der().to_vec();
        index.resize(NV_SIZE, 0);
        for (at, part) in (0..).step_by(1024).zip(index.chunks(1024)) {
            self.driver()
                .command(&frames::nv_write(AK_CERTIFICATE, at, part));
        }
    }

    pub(crate) fn started(mut self) -> Self {
        self.start(&Start::default());
        self
    }

    pub(crate) fn start(&mut self, how: &Start) {
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let (sockets, stage) = (
            self.work.path().join("sockets"),
            self.work.path().join("dev"),
        );
        let own = sockets.join("cvm-attestation-agent");
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(&stage).unwrap();
        std::os::unix::fs::chown(&own, Some(10089), Some(10089)).unwrap();
        let passable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(self.work.path(), passable).unwrap();
        let groups = if how.group {
            format!("--groups={DEVICE_GROUP}")
        } else {
            "--clear-groups".to_owned()
        };
        let tpm = if how.tpm {
            self.device.path()
        } else {
            PathBuf::new()
        };
        let agent = Command::new("unshare")
            .args([
                "--mount",
                "--propagation",
                "private",
                "sh",
                "-c",
                START,
                "start",
            ])
            .arg(&stage)
            .arg(tpm)
            .arg(if how.managed { "yes" } else { "" })
            .args([&groups, UID])
            .arg(env!("CARGO_BIN_EXE_cvm-attestation-agent"))
            .arg("--socket-dir")
            .arg(&sockets)
            .arg(format!("--tcp=127.0.0.1:{port}"))
            .arg(format!("--metadata-service={}", self.metadata.address()))
            .arg(format!("--tpm-deadline={}", how.deadline))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.agent = Some(agent);
        self.tcp = port;
        let end = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.agent.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none(), "the agent ended: {ended:?}");
            assert!(Instant::now() < end, "the agent does not listen");
            std::thread::yield_now();
        }
    }

    /// Whether any thread of the agent has a child, dead or alive.
    pub(crate) fn has_children(&self) -> bool {
        let pid = self.agent.as_ref().unwrap().id();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        threads.map(Result::unwrap).any(|thread| {
            // A thread may end meanwhile.
            let children = std::fs::read_to_string(thread.path().join("children"));
            children.is_ok_and(|children| !children.is_empty())
        })
    }

    pub(crate) fn request(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut connection = TcpStream::connect(("127.0.0.1", self.tcp)).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(120)))
            .unwrap();
        write!(
            connection,
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        parsed(&answer)
    }

    pub(crate) fn attest(&self, asked: &Value) -> Answer {
        self.request("POST", "/snp/attest", &asked.to_string())
    }

    /// As `uid`, over the Unix socket.
    pub(crate) fn attest_as(&self, uid: &str, asked: &Value) -> Answer {
        let socket = self
            .work
            .path()
            .join("sockets/cvm-attestation-agent/cvm-attestation-agent.sock");
        let output = Command::new("setpriv")
            .args([
                &format!("--reuid={uid}"),
                &format!("--regid={uid}"),
                "--clear-groups",
                "curl",
            ])
            .args([
                "--silent",
                "--include",
                "--max-time",
                "60",
                "--data",
                &asked.to_string(),
            ])
            .arg("--unix-socket")
            .arg(socket)
            .arg("http://localhost/snp/attest")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        parsed(&output.stdout)
    }

    pub(crate) fn attest_as_governance(&self, asked: &Value) -> Answer {
        self.attest_as(GOVERNANCE, asked)
    }

    /// Waits until the agent is ready.
    pub(crate) fn until_ready(&self) {
        self.until_ready_says("\"ready\":true");
    }

    /// Waits until the answer of `/ready` contains `words`.
    pub(crate) fn until_ready_says(&self, words: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.request("GET", "/ready?wait_ms=1000", "");
            let text = String::from_utf8_lossy(&answer.body);
            assert_eq!(answer.status == 200, text.contains("true"));
            if text.contains(words) {
                return;
            }
            assert!(Instant::now() < end, "{text}");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.driver().hang(false);
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            agent.wait().unwrap();
        }
    }
}

/// The body of a request.
pub(crate) fn asked(report_data: u8, nonce: &[u8]) -> Value {
    json!({
        "reportData": BASE64_STANDARD.encode([report_data; 64]),
        "nonce": BASE64_STANDARD.encode(nonce),
    })
}

fn parsed(answer: &[u8]) -> Answer {
    let at = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(answer)));
    let head = String::from_utf8(answer[..at].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body = answer[at + 4..].to_vec();
    Answer { status, head, body }
}
