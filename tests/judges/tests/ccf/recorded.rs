//! What members of ours sign, as it went over the wire.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::member::{Pair, governance, text};
use crate::program::Program;
use crate::{ACCEPT, PROPOSAL, REJECT};

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
/// Every kind of message that a member of ours signs, as it went over the wire.
pub(crate) struct Recorded {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) since: u64,
}

/// Kind, proposal, payload and path of what `record` makes a member sign, in its order.
pub(crate) fn expected(id: &str) -> [(&'static str, Option<&'static str>, String, String); 6] {
    let members = "/gov/members";
    let digests = format!("{members}/state-digests/{id}");
    let proposals = format!("{members}/proposals");
    let ballot = |script: &str| json!({"ballot": script}).to_string();
    let submit = format!("{proposals}/{PROPOSAL}/ballots/{id}:submit");
    // The letters outside ASCII must survive.
    let data = json!({"tenantId": "t-é€", "identifier": "litware"});
    [
        (
            "state_digest",
            None,
            String::new(),
            format!("{digests}:update"),
        ),
        (
            "ack",
            None,
            json!({"memberId": id, "stateDigest": "ab".repeat(32)}).to_string(),
            format!("{digests}:ack"),
        ),
        (
            "proposal",
            None,
            json!({"actions": [{"name": "set_member", "args": {"member_data": data}}]}).to_string(),
            format!("{proposals}:create"),
        ),
        ("ballot", Some(PROPOSAL), ballot(ACCEPT), submit.clone()),
        ("ballot", Some(PROPOSAL), ballot(REJECT), submit),
        (
            "withdrawal",
            Some(PROPOSAL),
            String::new(),
            format!("{proposals}/{PROPOSAL}:withdraw"),
        ),
    ]
}

impl Recorded {
    pub(crate) async fn of(pair: &Pair) -> Self {
        let recorded = Self {
            dir: tempfile::tempdir().unwrap(),
            since: now(),
        };
        let dir = recorded.dir.path();
        let mut ccf = Program::start("recorder.py", &[text(dir)]);
        let ready = ccf.says().await;
        let (endpoint, pin) = (&ready["endpoint"], &ready["service_cert"]);
        let deploy = [
            "client",
            "deploy",
            "--name",
            "me",
            "--ccf-endpoint",
            endpoint.as_str().unwrap(),
            "--service-cert",
            pin.as_str().unwrap(),
            "--signing-cert",
            text(&pair.cert),
            "--signing-key",
            text(&pair.key),
        ];
        governance(dir, &deploy).await;
        let data = r#"{"tenantId":"t-é€","identifier":"litware"}"#;
        let add = [
            "member",
            "add",
            "--certificate",
            text(&pair.cert),
            "--member-data",
            data,
        ];
        let vote = |action| {
            [
                "proposal",
                "vote",
                "--proposal-id",
                PROPOSAL,
                "--action",
                action,
            ]
        };
        let said: [&[&str]; 5] = [
            &["member", "activate"],
            &add,
            &vote("accept"),
            &vote("reject"),
            &["proposal", "withdraw", "--proposal-id", PROPOSAL],
        ];
        for words in said {
            let words: Vec<&str> = words
                .iter()
                .copied()
                .chain(["--governance-client", "me"])
                .collect();
            governance(dir, &words).await;
        }
        recorded
    }

    pub(crate) fn message(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("{number}.cose"))
    }

    pub(crate) fn came_with(&self, number: usize) -> Value {
        let file = self.dir.path().join(format!("{number}.json"));
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    /// A copy of a message, one byte of it flipped.
    pub(crate) fn flipped(&self, number: usize, at: usize) -> PathBuf {
        let mut bytes = std::fs::read(self.message(number)).unwrap();
        bytes[at] ^= 1;
        self.changed(number, &format!("flipped-{at}"), &bytes)
    }

    pub(crate) fn changed(&self, number: usize, how: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(format!("{number}-{how}"));
        std::fs::write(&path, bytes).unwrap();
        path
    }
}
