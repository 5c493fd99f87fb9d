//! configfs-tsm: the whole exchange, its failures, and other writers.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use attestation::{AttestError, Attester, DeviceKind, SnpDevice};
use sidecar_http::Coded;

use crate::configfs::{Configfs, Faults};
use crate::mounted::Mounted;

struct World {
    double: Configfs,
    mounted: Mounted,
}

impl World {
    fn new(faults: Faults) -> Self {
        let double = Configfs::with(faults);
        Self {
            mounted: Mounted::new(double.clone()),
            double,
        }
    }

    fn root(&self) -> PathBuf {
        self.mounted.path().to_owned()
    }

    fn device(&self) -> SnpDevice {
        SnpDevice::at(vec![(self.root(), DeviceKind::ConfigfsTsm)])
    }

    async fn refusal(&self) -> AttestError {
        self.device().report([1; 64]).await.unwrap_err()
    }
}

#[tokio::test]
async fn each_request_has_a_directory_of_its_own_and_leaves_none() {
    let world = World::new(Faults::default());
    let device = world.device();
    for n in 0..3 {
        let report = device.report([n; 64]).await.unwrap();
        assert_eq!(report.report_data(), &[n; 64]);
    }
    assert_eq!(world.double.entries(), (3, 0));
}

#[tokio::test]
async fn processes_side_by_side_get_their_own_answers() {
    let world = World::new(Faults::default());
    let mut tasks = Vec::new();
    for n in 0..8 {
        // A device each: nothing but the names keeps them apart.
        let device = world.device();
        tasks.push(tokio::spawn(async move { device.report([n; 64]).await }));
    }
    for (n, task) in (0..).zip(tasks) {
        let report = task.await.unwrap().unwrap();
        assert_eq!(report.report_data(), &[n; 64]);
    }
    assert_eq!(world.double.entries(), (8, 0));
}

#[tokio::test]
async fn a_write_of_somebody_else_is_noticed_and_the_request_made_anew() {
    let world = World::new(Faults {
        races: 2,
        ..Faults::default()
    });
    let report = world.device().report([1; 64]).await.unwrap();
    assert_eq!(report.report_data(), &[1; 64]);
    assert_eq!(world.double.entries(), (3, 0));
}

#[tokio::test]
async fn somebody_who_never_stops_writing_is_told_of() {
    let world = World::new(Faults {
        races: u32::MAX,
        ..Faults::default()
    });
    let error = world.refusal().await;
    assert_eq!(error.code(), "CR-SKR-0041", "{error}");
    assert!(
        error.to_string().contains("generation 2, expected 1"),
        "{error}"
    );
    let (made, left) = world.double.entries();
    assert!(made > 5);
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_racing_writer_never_gets_its_question_answered_in_our_name() {
    let world = World::new(Faults::default());
    let (stop, written) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let racer = {
        let (root, stop, written) = (world.root(), Arc::clone(&stop), Arc::clone(&written));
        std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            while !stop.load(Ordering::Relaxed) {
                for entry in std::fs::read_dir(&root).unwrap().flatten() {
                    // Every other request is left alone, so that the device gets somewhere.
                    if !seen.insert(entry.file_name()) || seen.len() % 2 == 0 {
                        continue;
                    }
                    let inblob = entry.path().join("inblob");
                    let opened = std::fs::OpenOptions::new().write(true).open(inblob);
                    // The directory may be gone by now.
                    if opened.is_ok_and(|mut file| file.write_all(&[0xee; 64]).is_ok()) {
                        written.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        })
    };
    let device = world.device();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut answered = 0_u32;
    while (answered < 20 || written.load(Ordering::Relaxed) == 0) && std::time::Instant::now() < end
    {
        match device.report([3; 64]).await {
            Ok(report) => {
                assert_eq!(report.report_data(), &[3; 64]);
                answered += 1;
            }
            Err(error) => assert_eq!(error.code(), "CR-SKR-0041", "{error}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    racer.join().unwrap();
    assert!(written.load(Ordering::Relaxed) > 0 && answered >= 20);
    assert_eq!(world.double.entries().1, 0);
}

#[tokio::test]
async fn a_busy_device_is_asked_again() {
    let world = World::new(Faults {
        busy: 2,
        ..Faults::default()
    });
    world.device().report([1; 64]).await.unwrap();
    assert_eq!(world.double.entries(), (3, 0));
}

#[tokio::test]
async fn every_failure_names_its_file_and_leaves_no_directory() {
    let broken = Faults {
        broken: true,
        ..Faults::default()
    };
    let endless = Faults {
        endless: true,
        ..Faults::default()
    };
    let tdx = Faults {
        tdx: true,
        ..Faults::default()
    };
    let unloaded = Faults {
        unloaded: true,
        ..Faults::default()
    };
    for (faults, code, text, made) in [
        (broken, "CR-SKR-0003", "outblob: cannot be read", 1),
        (
            endless,
            "CR-SKR-0004",
            "outblob: the secure processor refused: more than 32768",
            1,
        ),
        (
            tdx,
            "CR-SKR-0040",
            r#"provider: the provider is "tdx_guest", expected "sev_guest""#,
            1,
        ),
        (unloaded, "CR-SKR-0003", "cannot be made", 0),
    ] {
        let world = World::new(faults);
        let error = world.refusal().await;
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(world.double.entries(), (made, 0), "{faults:?}");
    }
}
