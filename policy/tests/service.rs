//! What the service profile changes in a group, and what a tag beside a digest does not.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

mod contract;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use contract::{deployment, host_data, images, spec};
use policy::{ContainerGroup, Lifecycle, build, build_for};
use serde_json::Value;
use sidecar_http::Coded;

fn launcher(group: &ContainerGroup) -> &[String] {
    let mut containers = group.containers.iter();
    &containers
        .find(|one| one.name == "code-launcher")
        .unwrap()
        .command
}

#[test]
fn a_service_is_measured_and_differs_from_the_job_in_the_launchers_profile_alone() {
    let job = build(&spec(), &deployment(), &images()).unwrap();
    let service = build_for(Lifecycle::Service, &spec(), &deployment(), &images()).unwrap();
    assert_eq!(launcher(&job)[1..3], ["--profile", "job"]);
    assert_eq!(launcher(&service)[1..3], ["--profile", "service"]);
    assert_ne!(host_data(&job), host_data(&service));
    let mut renamed = service;
    for container in &mut renamed.containers {
        let probe = container
            .probe
            .iter_mut()
            .flat_map(|probe| &mut probe.command);
        for argument in container.command.iter_mut().chain(probe) {
            if argument == "service" {
                "job".clone_into(argument);
            }
        }
    }
    assert_eq!(renamed, job);
}

#[test]
fn ports_that_no_caller_reaches_are_no_service() {
    let mut spec = spec();
    spec.applications[0].runtime_settings.ports = vec![8080];
    let refused = build_for(Lifecycle::Service, &spec, &deployment(), &images()).unwrap_err();
    assert_eq!(refused.code(), "CR-POLICY-0002");
    assert!(refused.to_string().contains("ports"), "{refused}");
    assert!(build(&spec, &deployment(), &images()).is_ok());
}

#[test]
fn the_launcher_is_told_the_digest_of_an_image_and_not_the_tag_that_it_was_resolved_from() {
    let pinned = spec();
    let mut tagged = spec();
    let id = &mut tagged.applications[0].image.executable.backing_resource.id;
    *id = id.replace('@', ":v1@");
    let image = |spec| {
        let group = build(&spec, &deployment(), &images()).unwrap();
        let command = launcher(&group);
        let at = command
            .iter()
            .position(|one| one == "--application-base-64")
            .unwrap();
        let settings = BASE64_STANDARD.decode(&command[at + 1]).unwrap();
        let settings: Value = serde_json::from_slice(&settings).unwrap();
        let id = &settings["image"]["executable"]["backingResource"]["id"];
        (id.as_str().unwrap().to_owned(), group.specification_sha256)
    };
    let ((pinned, without), (told, with)) = (image(pinned), image(tagged));
    assert_eq!(told, pinned);
    assert!(told.contains("@sha256:"), "{told}");
    // The record is the contract's, all the same.
    assert_ne!(without, with);
}
