//! A container as the framework of a policy's version takes it.

use serde_json::Value;

use crate::document::{Container, EnvRule, Identity, UserRule};
use crate::input::{Named, Person};
use crate::{Capabilities, Version, pattern};

pub(crate) const UNPRIVILEGED: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];
pub(crate) const PRIVILEGED: [&str; 41] = [
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

/// One container that may run, with everything that its version leaves out filled in.
#[derive(Debug)]
pub(crate) struct Candidate {
    /// `containers[2] "governance"`.
    pub(crate) label: String,
    pub(crate) container: Container,
    pub(crate) environment: Vec<EnvMatcher>,
    pub(crate) no_new_privileges: bool,
    pub(crate) seccomp: String,
    pub(crate) signals: Vec<i64>,
    pub(crate) user: UserRule,
}

/// A rule for variables.
#[derive(Debug)]
pub(crate) struct EnvMatcher {
    pub(crate) rule: EnvRule,
}

impl Candidate {
    pub(crate) fn new(label: String, container: &Container, framework: Version) -> Self {
        let mut signals = numbers(&container.signals);
        if framework < Version(0, 4, 1) {
            signals.extend([9, 15]);
        }
        let since = |version, value: Option<String>| {
            value.filter(|_| framework >= version).unwrap_or_default()
        };
        let any = || Identity {
            pattern: String::new(),
            strategy: "any".to_owned(),
        };
        let anybody = || UserRule {
            group_idnames: vec![any()],
            umask: "0022".to_owned(),
            user_idname: any(),
        };
        let newer = |version| framework >= version;
        Self {
            label,
            environment: container.env_rules.iter().map(EnvMatcher::new).collect(),
            no_new_privileges: newer(Version(0, 2, 0)) && container.no_new_privileges == Some(true),
            seccomp: since(Version(0, 2, 3), container.seccomp_profile_sha256.clone()),
            signals,
            user: container
                .user
                .clone()
                .filter(|_| newer(Version(0, 2, 1)))
                .unwrap_or_else(anybody),
            container: Container {
                capabilities: container
                    .capabilities
                    .clone()
                    .filter(|_| newer(Version(0, 2, 2))),
                ..container.clone()
            },
        }
    }

    /// Its capabilities; the platform's own where it names none.
    pub(crate) fn capabilities(&self, privileged: bool) -> Capabilities {
        if let Some(capabilities) = &self.container.capabilities {
            return capabilities.clone();
        }
        let named = |names: &[&str]| names.iter().map(|name| format!("CAP_{name}")).collect();
        let set: Vec<String> = named(if privileged {
            &PRIVILEGED
        } else {
            &UNPRIVILEGED
        });
        Capabilities {
            ambient: Vec::new(),
            bounding: set.clone(),
            effective: set.clone(),
            inheritable: if privileged { set.clone() } else { Vec::new() },
            permitted: set,
        }
    }

    /// Whether a person and all its groups may run it.
    pub(crate) fn admits(&self, person: &Person) -> bool {
        let user = &self.user;
        user.umask == person.umask
            && is(&user.user_idname, &person.user)
            && person.groups.iter().all(|group| {
                user.group_idnames
                    .iter()
                    .any(|identity| is(identity, group))
            })
    }
}

/// The numbers among signals; the platform compares numbers, so nothing else matches, and `9.0` is 9.
pub(crate) fn numbers(signals: &[Value]) -> Vec<i64> {
    let whole = |signal: &Value| {
        let written = || {
            let number = signal.as_f64().filter(|number| number.fract() == 0.0)?;
            format!("{number:.0}").parse().ok()
        };
        signal.as_i64().or_else(written)
    };
    signals.iter().filter_map(whole).collect()
}

fn is(identity: &Identity, named: &Named) -> bool {
    match identity.strategy.as_str() {
        "any" => true,
        "id" => identity.pattern == named.id,
        "name" => identity.pattern == named.name,
        "re2" => pattern::matches(&identity.pattern, &named.name),
        _ => false,
    }
}

impl EnvMatcher {
    pub(crate) fn new(rule: &EnvRule) -> Self {
        Self { rule: rule.clone() }
    }

    pub(crate) fn matches(&self, variable: &str) -> bool {
        match self.rule.strategy.as_str() {
            "string" => self.rule.pattern == variable,
            "re2" => pattern::matches(&self.rule.pattern, variable),
            _ => false,
        }
    }
}
