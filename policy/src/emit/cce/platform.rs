//! What the platform brings with it, the same for every policy.

use super::model::{Capabilities, Container, EnvRule, Fragment, Identity, Mount, Strategy, User};

/// Root hash of the platform's pause image.
const PAUSE_LAYER: &str = "16b514057a06ad665f92c02863aca074fd5976c755d26bff16365299169e8415";
/// The path that a container runtime gives a container whose image names none.
pub(super) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What a container has that is not privileged and names none, the pause container among them. In the order of the platform's
/// own tool: the text is measured.
pub(crate) const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];

/// The container that holds a group's namespaces. The platform starts it, and no group does without it.
pub fn pause(stdio: bool) -> Container {
    Container {
        allow_elevated: false,
        allow_stdio_access: stdio,
        capabilities: Capabilities::of(DEFAULT_CAPABILITIES),
        command: Some(vec!["/pause".to_owned()]),
        env_rules: vec![
            EnvRule::exact("PATH", DEFAULT_PATH),
            EnvRule::optional("TERM", "xterm"),
        ],
        exec_processes: Vec::new(),
        id: None,
        layers: vec![PAUSE_LAYER.to_owned()],
        mounts: Vec::new(),
        name: "pause-container".to_owned(),
        no_new_privileges: false,
        seccomp_profile_sha256: String::new(),
        signals: Vec::new(),
        user: User::of(Identity::any(), None),
        working_dir: "/".to_owned(),
    }
}

/// The rules of the platform's own sidecars, signed by their maker.
pub fn fragment_of_the_platform() -> Fragment {
    Fragment {
        feed: "mcr.microsoft.com/aci/aci-cc-infra-fragment".to_owned(),
        includes: vec!["containers".to_owned(), "fragments".to_owned()],
        issuer: "did:x509:0:sha256:I__iuL25oXEVFdTP_aBLx_eT1RPHbCQ_ECBQfYZpt9s::eku:1.3.6.1.4.1.311.76.59.1.3"
            .to_owned(),
        minimum_svn: "4".to_owned(),
    }
}

/// A variable that the platform sets to a value of its own choice.
#[derive(Clone, Copy, Debug)]
pub struct OpenVariable {
    /// Pattern of its name.
    pub name: &'static str,
    /// Why its value cannot be known before the deployment.
    pub reason: &'static str,
}

/// The variables that the platform adds to every container. They are dropped, unless a policy is made with
/// `platform_environment`.
pub const fn open_variables() -> [OpenVariable; 9] {
    const fn open(name: &'static str, reason: &'static str) -> OpenVariable {
        OpenVariable { name, reason }
    }
    [
        open(
            "(?i)(FABRIC)_.+",
            "addresses and names of the cluster's node",
        ),
        open(
            "HOSTNAME",
            "the platform names the group's machine when it starts it",
        ),
        open("T(E)?MP", "the node's own folder for temporary files"),
        open(
            "FabricPackageFileName",
            "name of a file on the cluster's node",
        ),
        open(
            "HostedServiceName",
            "name of the service that the node belongs to",
        ),
        open(
            "IDENTITY_API_VERSION",
            "version of the node's token service",
        ),
        open(
            "IDENTITY_HEADER",
            "a secret of the node's token service, new at each start",
        ),
        open(
            "IDENTITY_SERVER_THUMBPRINT",
            "certificate of the node's token service",
        ),
        open(
            "azurecontainerinstance_restarted_by",
            "who asked for a restart",
        ),
    ]
}

/// The variables that Kubernetes adds for every service of a pod's namespace, on top of [`open_variables`].
pub const fn cluster_variables() -> [OpenVariable; 8] {
    const REASON: &str = "addresses of the cluster's services, chosen by the cluster";
    const fn open(name: &'static str) -> OpenVariable {
        OpenVariable {
            name,
            reason: REASON,
        }
    }
    [
        open("[A-Z0-9_]+_SERVICE_HOST"),
        open("[A-Z0-9_]+_SERVICE_PORT"),
        open("[A-Z0-9_]+_SERVICE_PORT_[A-Z0-9_]+"),
        open("[A-Z0-9_]+_PORT"),
        open("[A-Z0-9_]+_PORT_[0-9]+_TCP"),
        open("[A-Z0-9_]+_PORT_[0-9]+_TCP_PROTO"),
        open("[A-Z0-9_]+_PORT_[0-9]+_TCP_PORT"),
        open("[A-Z0-9_]+_PORT_[0-9]+_TCP_ADDR"),
    ]
}

impl OpenVariable {
    /// Its rule: any value that is not empty.
    pub fn rule(&self) -> EnvRule {
        EnvRule {
            pattern: format!("{}=.+", self.name),
            required: false,
            strategy: Strategy::Re2,
        }
    }
}

/// The mount of a volume of a kind: `emptydir`, `secretsVolume`, `azureFileVolume`, `gitRepoVolume`.
pub fn volume(kind: &str, destination: &str, read_only: bool) -> Mount {
    let access = if read_only { "ro" } else { "rw" };
    Mount {
        destination: destination.to_owned(),
        options: ["rbind", "rshared", access].map(ToOwned::to_owned).to_vec(),
        source: format!("sandbox:///tmp/atlas/{kind}/.+"),
        kind: "bind".to_owned(),
    }
}

/// What a virtual node mounts into every container beside the pod's volumes, all of it from folders like an `emptyDir`'s
/// (reference of the policy, §4.8). A rule allows a mount and asks for none, so a pod without a token loses nothing.
pub fn pod_mounts(privileged: bool) -> Vec<Mount> {
    let of_privileged = [("/sys/fs/cgroup", false), ("/sys", false)];
    let of_all = [
        ("/etc/resolv.conf", false),
        ("/var/run/secrets/kubernetes.io/serviceaccount", true),
        ("/etc/hosts", false),
        ("/dev/termination-log", false),
        ("/etc/hostname", false),
    ];
    let of_privileged = of_privileged.into_iter().filter(|_| privileged);
    of_privileged
        .chain(of_all)
        .map(|(destination, read_only)| volume("emptydir", destination, read_only))
        .collect()
}

/// Name resolution of the group; every container has it, whether or not its template says so.
pub fn resolv_conf() -> Mount {
    volume("resolvconf", "/etc/resolv.conf", false)
}
