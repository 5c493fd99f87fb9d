//! Everything around one shim.

#![allow(dead_code)] // each test program uses its part

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use blob_store::{AzureConfig, AzureStore, BlobStore, Condition, CustomerKey, FixedToken, Token};
use bytes::Bytes;
use cleanroom_crypto::Dek;
use emulators::world::{World, WorldConfig};
use http::{Method, StatusCode};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sidecar_http::{CallError, UnixClient};

pub(crate) const APPLICATION: u32 = 1000;
pub(crate) const LAUNCHER: u32 = 10031;
pub(crate) const DEK: [u8; 32] = [5; 32];
const SECRETS: u32 = 10093;
const IDENTITY: u32 = 10029;
const COLLECTOR: u32 = 10001;
const ACCOUNT: &str = "litwarestore";

pub(crate) struct Room {
    pub(crate) world: World,
    runtime: tokio::runtime::Runtime,
    dir: tempfile::TempDir,
    token: String,
    refuse: Arc<AtomicBool>,
    /// Roots beside the world's own, PEM.
    pub(crate) roots: String,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self::of(WorldConfig::two_parties())
    }

    pub(crate) fn of(config: WorldConfig) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let world = runtime.block_on(World::start(config)).unwrap();
        let token = runtime
            .block_on(test_support::storage_token(&world, "litware"))
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(dir.path(), open).unwrap();
        for name in ["sockets", "mnt"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        fs::create_dir(dir.path().join("status")).unwrap();
        fs::set_permissions(dir.path().join("status"), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(dir.path().join("hosts"), world.hosts_file()).unwrap();
        let room = Self {
            world,
            runtime,
            dir,
            token,
            refuse: Arc::default(),
            roots: String::new(),
        };
        for container in ["input", "output"] {
            let store = room.store(container, None);
            room.runtime.block_on(store.create_container()).unwrap();
        }
        room.serve("secrets", SECRETS, room.secrets());
        room.serve("identity", IDENTITY, room.identity());
        // A collector that takes nothing, so that nobody waits for it.
        let unimplemented = async || [("content-type", "application/grpc"), ("grpc-status", "12")];
        let collector = Router::new().fallback(unimplemented);
        room.serve("otel-collector", COLLECTOR, collector);
        room
    }

    pub(crate) fn mount_path(&self, access: &str) -> PathBuf {
        self.dir.path().join("mnt").join(access)
    }

    pub(crate) fn refuse_keys(&self) {
        self.refuse.store(true, Ordering::SeqCst);
    }

    pub(crate) fn names(&self, container: &str) -> Vec<String> {
        self.world.services().blob.names(ACCOUNT, container)
    }

    pub(crate) fn wire_contains(&self, needle: &[u8]) -> bool {
        self.world.blob_wire_contains(needle)
    }

    pub(crate) fn marker(&self, name: &str) -> Value {
        let text = fs::read(self.dir.path().join("status").join(name)).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    pub(crate) fn put(&self, container: &str, name: &str, body: &[u8], key: Option<[u8; 32]>) {
        let store = self.store(container, key);
        let body = Bytes::copy_from_slice(body);
        let put = store.put_blob(name, body, &Condition::Always);
        self.runtime.block_on(put).unwrap();
    }

    fn store(&self, container: &str, key: Option<[u8; 32]>) -> AzureStore {
        let tokens = Arc::new(FixedToken(Token::new(self.token.clone())));
        let endpoint = self.world.url(&format!("{ACCOUNT}.blob.core.windows.net"));
        let mut config = AzureConfig::new(endpoint, container, tokens);
        config.key = key.map(|key| Arc::new(CustomerKey::new(&Dek::from_slice(&key).unwrap())));
        AzureStore::new(config, test_support::https(&self.world).unwrap()).unwrap()
    }

    fn secrets(&self) -> Router {
        let refuse = Arc::clone(&self.refuse);
        let answer = async move |Json(request): Json<Value>| {
            let expected = json!({
                "clientId": "client", "tenantId": "tenant", "kid": "wrapped-dek",
                "akvEndpoint": "https://litwarekv.vault.azure.net",
                "kek": {
                    "kid": "kek", "akvEndpoint": "https://litwarekv.vault.azure.net",
                    "maaEndpoint": "https://sharedneu.neu.attest.azure.net",
                },
            });
            assert_eq!(request, expected);
            if refuse.load(Ordering::SeqCst) {
                let body = json!({"error": {"code": "CR-SECRETS-0099", "message": "not granted"}});
                return (StatusCode::FORBIDDEN, Json(body));
            }
            (StatusCode::OK, Json(json!({"value": STANDARD.encode(DEK)})))
        };
        Router::new().route("/secrets/unwrap", post(answer))
    }

    fn identity(&self) -> Router {
        let body = json!({"token": self.token, "expiresOn": "2099-01-01T00:00:00+00:00", "tokenType": "Bearer"});
        let answer = async move || Json(body);
        Router::new().route("/metadata/identity/oauth2/token", get(answer))
    }

    /// Serves a socket whose peer credentials are `uid`.
    fn serve(&self, name: &str, uid: u32, routes: Router) {
        let path = self.socket(name, uid);
        let bound = as_user(uid, {
            let path = path.clone();
            move || std::os::unix::net::UnixListener::bind(path).unwrap()
        });
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        bound.set_nonblocking(true).unwrap();
        let routes = routes.route("/ready", get(async || Json(json!({"ready": true}))));
        self.runtime.spawn(async move {
            let listener = tokio::net::UnixListener::from_std(bound).unwrap();
            axum::serve(listener, routes).await.unwrap();
        });
    }

    fn socket(&self, name: &str, uid: u32) -> PathBuf {
        let directory = self.dir.path().join("sockets").join(name);
        fs::create_dir_all(&directory).unwrap();
        chown(&directory, Some(uid), Some(uid)).unwrap();
        directory.join(format!("{name}.sock"))
    }

    /// Starts the binary in a mount namespace where the world's names resolve.
    pub(crate) fn start(&self, access: &str, uid: u32, args: &[&str]) -> Shim {
        self.start_where(None, access, uid, args)
    }

    /// Starts it again where another one was, with the mounts that are left there.
    #[allow(dead_code)] // not in every test program
    pub(crate) fn start_after(&self, shim: &Shim, access: &str, args: &[&str]) -> Shim {
        self.start_where(shim.namespace.as_ref(), access, shim.uid, args)
    }

    #[allow(unsafe_code)]
    fn start_where(
        &self,
        namespace: Option<&fs::File>,
        access: &str,
        uid: u32,
        args: &[&str],
    ) -> Shim {
        let socket = self.socket(access, uid);
        let hosts = self.dir.path().join("hosts");
        let path = |name: &str| self.dir.path().join(name);
        let vault = "https://litwarekv.vault.azure.net";
        let log = fs::File::create(path("log")).unwrap();
        let roots = format!("{}{}", self.world.ca_pem(), self.roots);
        let mut command = Command::new(env!("CARGO_BIN_EXE_blobfuse-shim"));
        command
            .arg("--mount-path")
            .arg(self.mount_path(access))
            .args(args)
            .args(["--access-name", access, "--uid", &uid.to_string()])
            .arg("--socket-dir")
            .arg(path("sockets"))
            .arg("--boot-dir")
            .arg(path("boot"))
            .args(["--extra-roots", &STANDARD.encode(roots)])
            .arg("--insecure-virtual")
            .env_clear()
            .env("AZURE_STORAGE_ACCOUNT", ACCOUNT)
            .env("AZURE_STORAGE_ACCOUNT_CONTAINER", access)
            .env(
                "AZURE_STORAGE_BLOB_ENDPOINT",
                self.world
                    .url(&format!("{ACCOUNT}.blob.core.windows.net"))
                    .as_str(),
            )
            .env("CLIENT_ID", "client")
            .env("TENANT_ID", "tenant")
            .env("VOLUMESTATUS_MOUNT_PATH", path("status"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        if !args.contains(&"SSE") {
            command
                .env("MAA_ENDPOINT", "https://sharedneu.neu.attest.azure.net")
                .env("AKV_ENDPOINT", vault)
                .env("KID", "kek")
                .env("WRAPPED_DEK_SECRET", "wrapped-dek")
                .env("WRAPPED_DEK_AKV_ENDPOINT", vault);
        }
        let namespace = namespace.map(|namespace| namespace.try_clone().unwrap());
        // SAFETY: only system calls between fork and exec.
        unsafe {
            command.pre_exec(move || {
                if let Some(namespace) = &namespace {
                    setns(namespace, CloneFlags::CLONE_NEWNS)?;
                    return Ok(());
                }
                unshare(CloneFlags::CLONE_NEWNS)?;
                let none = None::<&str>;
                mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
                mount(Some(&hosts), "/etc/hosts", none, MsFlags::MS_BIND, none)?;
                Ok(())
            });
        }
        let child = command.spawn().unwrap();
        // Spawning returns after exec, so the namespace is the child's own; one that has ended already has none.
        let namespace = fs::File::open(format!("/proc/{}/ns/mnt", child.id())).ok();
        Shim {
            child,
            namespace,
            socket,
            uid,
            log: path("log"),
        }
    }
}

pub(crate) struct Shim {
    child: Child,
    namespace: Option<fs::File>,
    socket: PathBuf,
    uid: u32,
    log: PathBuf,
}

impl Shim {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn client(&self) -> UnixClient {
        UnixClient::new(&self.socket, self.uid).with_deadline(Duration::from_secs(20))
    }

    pub(crate) fn wait_ready(&self) {
        let client = self.client();
        let ready = as_user(LAUNCHER, move || {
            block_on(client.wait_ready(Duration::from_secs(20)))
        });
        assert!(ready.is_ok(), "{ready:?}: {}", self.log());
    }

    /// What somebody hears who would wait for an hour.
    pub(crate) fn never_ready(&self) -> CallError {
        let client = self.client();
        let hour = Duration::from_secs(3600);
        let ready = as_user(LAUNCHER, move || block_on(client.wait_ready(hour)));
        ready.unwrap_err()
    }

    pub(crate) fn post(&self, uid: u32, path: &str, body: &Value) -> (u16, Value) {
        let (client, body) = (self.client(), Bytes::from(body.to_string()));
        let path = path.to_owned();
        as_user(uid, move || {
            let reply = block_on(client.call(Method::POST, &path, Some(body))).unwrap();
            let status = reply.status.as_u16();
            (
                status,
                serde_json::from_slice(&reply.body).unwrap_or_default(),
            )
        })
    }

    /// Does something where the mount is visible, as a user.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        uid: u32,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let namespace = self.namespace.as_ref().unwrap().try_clone().unwrap();
        on_thread(move || {
            // A thread shares its root and directory with the process until it says otherwise.
            unshare(CloneFlags::CLONE_FS).unwrap();
            setns(namespace, CloneFlags::CLONE_NEWNS).unwrap();
            become_user(uid);
            work()
        })
    }

    pub(crate) fn terminate(&mut self) -> i32 {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        self.wait()
    }

    /// Most resident memory so far, in bytes, less what of it is the program's own file: that of a build for tests is large.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let figure = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.unwrap().trim().trim_end_matches(" kB");
            kib.parse::<u64>().unwrap() << 10
        };
        figure("VmHWM:") - figure("RssFile:")
    }

    /// Ends the process without a chance to do anything.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As [`Shim::kill`], while it is used by others. With its helper gone, which would unmount, a dead mount is left.
    #[allow(dead_code)] // not in every test program
    pub(crate) fn signal_kill(&self, with_helper: bool) {
        let pid = self.pid();
        if with_helper {
            let children = format!("/proc/{pid}/task/{pid}/children");
            let helper = fs::read_to_string(children).unwrap();
            let helper = helper.trim().parse().unwrap();
            kill(Pid::from_raw(helper), Signal::SIGKILL).unwrap();
        }
        let pid = Pid::from_raw(i32::try_from(pid).unwrap());
        kill(pid, Signal::SIGKILL).unwrap();
    }

    pub(crate) fn wait(&mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        let mut log = fs::File::open(Path::new(&self.log)).unwrap();
        log.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        // Only after a failed assertion is it still running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match std::thread::spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn as_user<T: Send + 'static>(uid: u32, work: impl FnOnce() -> T + Send + 'static) -> T {
    on_thread(move || {
        become_user(uid);
        work()
    })
}

/// Changes the user of this thread alone: the kernel keeps credentials per thread, only the C library does not.
#[allow(unsafe_code)]
fn become_user(uid: u32) {
    // SAFETY: plain system calls without pointers.
    let changed = unsafe {
        libc::syscall(libc::SYS_setresgid, uid, uid, uid)
            | libc::syscall(libc::SYS_setresuid, uid, uid, uid)
    };
    assert_eq!(changed, 0);
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}
