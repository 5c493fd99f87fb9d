//! What the parties do and get beside the deployment: audit events, consent, downloads.

use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;

use crate::Stage;

impl Stage {
    /// The audit events of the default listing.
    pub fn events(&self) -> Vec<Value> {
        self.events_of("")
    }

    /// The audit events of a scope.
    pub fn events_of(&self, scope: &str) -> Vec<Value> {
        let listing = self.run(
            "contosso",
            &[
                "cleanroom",
                "governance",
                "contract",
                "event",
                "list",
                "--contract-id",
                "collab1",
                "--all",
                "--scope",
                scope,
            ],
        );
        let listing: Value = serde_json::from_str(&listing).expect("a listing");
        listing["value"].as_array().cloned().unwrap_or_default()
    }

    /// The messages of the audit events.
    pub fn messages(&self) -> Vec<String> {
        self.messages_of("")
    }

    /// The messages of the audit events of a scope.
    pub fn messages_of(&self, scope: &str) -> Vec<String> {
        let events = self.events_of(scope);
        events
            .iter()
            .filter_map(|event| event["data"]["message"].as_str().map(str::to_owned))
            .collect()
    }

    /// Downloads the output and gives its folder.
    pub fn output(&self) -> PathBuf {
        self.run(
            "fabrikam",
            &[
                "cleanroom",
                "datasink",
                "download",
                "--cleanroom-config",
                "fabrikam.yaml",
                "--name",
                "fabrikam-output",
                "--datastore-config",
                "datastores.yaml",
                "--target-folder",
                "results",
            ],
        );
        self.work()
            .join("fabrikam/results/fabrikam-output/fabrikam-output")
    }

    /// Downloads the output and gives what the sample application compressed.
    pub fn clear_output(&self) -> Vec<u8> {
        let output = std::fs::read(self.output().join("output.gz")).expect("the output");
        let mut clear = Vec::new();
        flate2::read::GzDecoder::new(&output[..])
            .read_to_end(&mut clear)
            .expect("compressed output");
        clear
    }

    /// contosso's word on the execution: `enable` or `disable`.
    pub fn consent(&self, action: &str) {
        self.run(
            "contosso",
            &[
                "cleanroom",
                "governance",
                "contract",
                "runtime-option",
                "set",
                "--contract-id",
                "collab1",
                "--option",
                "execution",
                "--action",
                action,
            ],
        );
    }

    /// Downloads logs or telemetry and gives the folder of the files.
    pub fn telemetry(&self, verb: &str, sink: &str) -> PathBuf {
        self.run(
            "litware",
            &[
                "cleanroom",
                verb,
                "download",
                "--cleanroom-config",
                "litware.yaml",
                "--datastore-config",
                "datastores.yaml",
                "--target-folder",
                "results",
            ],
        );
        let name = format!("{sink}-litware");
        self.work().join("litware/results").join(&name).join(&name)
    }
}
