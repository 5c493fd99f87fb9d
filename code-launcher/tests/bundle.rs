//! What the root half makes of the measured arguments.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, its helpers too"
)]

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use code_launcher::runner::{ImageSettings, spec};
use code_launcher::{Args, Config, LaunchError};
use serde_json::{Value, json};

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn application() -> Value {
    let reference = format!("operator.azurecr.io/app@sha256:{}", "0".repeat(64));
    let resource = json!({"type": "AzureContainerRegistry", "name": "app", "id": reference,
        "provider": {"protocol": "AzureContainerRegistry", "url": "https://operator.azurecr.io"}});
    json!({
        "name": "demo-app",
        "image": {"executable": {"documentType": "OCI", "backingResource": resource}, "enforcementPolicy": {}},
        "environmentVariables": {"MODE": "measured"},
        "datasources": {"input": "/data/in"},
        "datasinks": {"output": "/data/out"},
        "runtimeSettings": {"resource": {"requests": {"cpu": 0.5, "memoryInGB": 2.0}}},
    })
}

fn config(application: &Value, further: &[&str]) -> Result<Config, LaunchError> {
    let encoded = BASE64_STANDARD.encode(application.to_string());
    let mut words = vec![
        "launcher",
        "--application-name",
        "demo-app",
        "--contract-id",
        "c1",
    ];
    words.extend(["--application-base-64", &encoded]);
    words.extend(["--shim", "input=10020", "--shim", "output=10021"]);
    words.extend(further);
    Config::try_from(Cli::parse_from(words).args)
}

fn image() -> ImageSettings {
    ImageSettings {
        command: vec!["/app".to_owned()],
        environment: vec!["MODE=image".to_owned(), "LANG=C".to_owned()],
        working_dir: None,
    }
}

fn bundle(limited: bool) -> Value {
    let config = config(&application(), &[]).unwrap();
    let spec = spec(&config, Path::new("/root-only/rootfs"), &image(), limited).unwrap();
    serde_json::to_value(spec).unwrap()
}

#[test]
fn the_application_has_no_right_that_it_was_not_given() {
    let bundle = bundle(false);
    let process = &bundle["process"];
    assert_eq!(process["user"], json!({"uid": 1000, "gid": 1000}));
    assert_eq!(process["noNewPrivileges"], json!(true));
    let capabilities = process["capabilities"].as_object().unwrap();
    assert_eq!(capabilities.len(), 5);
    assert!(capabilities.values().all(|set| *set == json!([])));
    assert_eq!(
        bundle["root"],
        json!({"path": "/root-only/rootfs", "readonly": true})
    );
    let namespaces: Vec<&str> = bundle["linux"]["namespaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|namespace| namespace["type"].as_str().unwrap())
        .collect();
    assert_eq!(namespaces, ["pid", "ipc", "uts", "mount", "network"]);
    // New ones, not somebody's.
    assert!(!bundle["linux"]["namespaces"].to_string().contains("path"));
    assert_eq!(
        bundle["linux"]["seccomp"]["defaultAction"],
        json!("SCMP_ACT_ERRNO")
    );
    assert!(bundle["linux"].get("devices").is_none());
    assert!(bundle.get("hooks").is_none());
}

#[test]
fn sockets_are_allowed_by_family_and_type_only() {
    let bundle = bundle(false);
    let rules = bundle["linux"]["seccomp"]["syscalls"].as_array().unwrap();
    let sockets: Vec<(u64, u64)> = rules
        .iter()
        .filter(|rule| rule["names"] == json!(["socket"]))
        .map(|rule| {
            let args = rule["args"].as_array().unwrap();
            assert_eq!(args[1]["value"], json!(0xf));
            (
                args[0]["value"].as_u64().unwrap(),
                args[1]["valueTwo"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(sockets.len(), 9);
    assert!(
        sockets
            .iter()
            .all(|(family, kind)| [1, 2, 10].contains(family) && *kind != 3)
    );
}

#[test]
fn exactly_the_applications_datasets_are_mounted() {
    let bundle = bundle(false);
    let binds: Vec<&Value> = bundle["mounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|mount| mount["type"] == json!("bind"))
        .collect();
    assert_eq!(binds.len(), 2);
    let options = |access: &str| json!(["rbind", "rslave", "nosuid", "nodev", access]);
    let input = json!({"destination": "/data/in", "type": "bind", "source": "/mnt/remote/input", "options": options("ro")});
    let output = json!({"destination": "/data/out", "type": "bind", "source": "/mnt/remote/output", "options": options("rw")});
    assert_eq!(binds, [&input, &output]);
    let sources = bundle["mounts"].to_string();
    assert!(!sources.contains("cgroup") && !sources.contains("sysfs"));
}

#[test]
fn the_measured_application_goes_before_its_image() {
    let environment = bundle(false)["process"]["env"].to_string();
    assert!(environment.contains("MODE=measured") && environment.contains("LANG=C"));
    assert!(!environment.contains("MODE=image"));
    let mut own = application();
    own["command"] = json!(["/agreed", "on"]);
    let config = config(&own, &[]).unwrap();
    let spec = spec(&config, Path::new("/r"), &image(), false).unwrap();
    let process = serde_json::to_value(spec).unwrap()["process"].clone();
    assert_eq!(process["args"], json!(["/agreed", "on"]));
}

#[test]
fn limits_are_those_of_the_contract_where_a_cgroup_enforces_them() {
    let limited = bundle(true);
    let resources = &limited["linux"]["resources"];
    assert_eq!(resources["memory"]["limit"], json!(2_u64 << 30));
    assert_eq!(
        resources["cpu"],
        json!({"quota": 50_000, "period": 100_000})
    );
    assert_eq!(resources["pids"]["limit"], json!(4096));
    let best_effort = bundle(false);
    assert!(best_effort["linux"].get("resources").is_none());
    let data = json!({"type": "RLIMIT_DATA", "soft": 2_u64 << 30, "hard": 2_u64 << 30});
    assert!(
        best_effort["process"]["rlimits"]
            .as_array()
            .unwrap()
            .contains(&data)
    );
}

#[test]
fn a_configuration_that_cannot_be_kept_is_refused_before_anything_happens() {
    let changed = |change: fn(&mut Value)| {
        let mut application = application();
        change(&mut application);
        config(&application, &[])
    };
    let refused: [fn(&mut Value); 9] = [
        |app| {
            app["image"]["executable"]["backingResource"]["id"] =
                json!("operator.azurecr.io/app:v1")
        },
        |app| app["name"] = json!("another"),
        |app| app["datasources"] = json!({"foreign": "/data/in"}),
        |app| app["datasources"] = json!({"input": "/proc/self"}),
        |app| app["datasources"] = json!({"input": "/"}),
        |app| app["datasources"] = json!({"input": "/data/../etc"}),
        |app| app["datasinks"] = json!({"output": "relative"}),
        |app| app["runtimeSettings"]["resource"]["requests"]["memoryInGB"] = json!(0.0),
        |app| app["unknown"] = json!(1),
    ];
    for change in refused {
        assert!(matches!(changed(change), Err(LaunchError::Config { .. })));
    }
    assert!(config(&application(), &["--shim", "other=1000"]).is_err());
    assert!(config(&application(), &["--logs-sink", "nowhere"]).is_err());
    assert!(config(&application(), &[]).is_ok());
}
