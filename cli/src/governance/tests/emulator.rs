//! A collaboration from the first key to the audit log, with every command, against the emulated CGS.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use emulators::amd::{chain_pem, issue_report, uvm_endorsement};
use emulators::world::{World, WorldConfig};
use governance::{Args, Attestation, Cgs, Config, Governance, Room, RoomKey};
use serde_json::{Value, json};
use sidecar_http::Coded;

use super::super::{ClientStore, GovCliError, run_with};
use super::Cli;

const HOST_DATA: [u8; 32] = [0x5a; 32];
const TENANT: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaa00";

struct Parties {
    world: World,
    dir: tempfile::TempDir,
}

impl Parties {
    /// litware is a member from the beginning, fabrikam joins by litware's vote.
    async fn meet() -> Self {
        sidecar_http::install_crypto_provider();
        let world = World::start(WorldConfig::two_parties()).await.unwrap();
        let parties = Self {
            world,
            dir: tempfile::tempdir().unwrap(),
        };
        std::fs::write(
            parties.path("service_cert.pem"),
            parties.world.service_cert_pem(),
        )
        .unwrap();
        for name in ["litware", "fabrikam"] {
            let dir = parties.path("");
            parties
                .run(&[
                    "member",
                    "keygenerator",
                    "--name",
                    name,
                    "--output-dir",
                    &dir,
                ])
                .await
                .unwrap();
        }
        let cert = std::fs::read_to_string(parties.path("litware_cert.pem")).unwrap();
        let data = json!({"identifier": "litware", "tenantId": TENANT});
        parties
            .world
            .services()
            .cgs
            .add_member(&cert, data)
            .unwrap();
        let endpoint = format!("https://{}", parties.world.cgs_addr());
        for name in ["litware", "fabrikam"] {
            let (cert, key) = (
                parties.path(&format!("{name}_cert.pem")),
                parties.path(&format!("{name}_privk.pem")),
            );
            let pin = parties.path("service_cert.pem");
            let words = [
                "client",
                "deploy",
                "--name",
                name,
                "-e",
                &endpoint,
                "--signing-cert",
                &cert,
                "--signing-key",
                &key,
                "-s",
                &pin,
            ];
            parties.run(&words).await.unwrap();
        }
        let cert = parties.path("fabrikam_cert.pem");
        let id = parties
            .asks(
                "litware",
                &[
                    "member",
                    "add",
                    "--certificate",
                    &cert,
                    "--identifier",
                    "fabrikam",
                    "--query",
                    "proposalId",
                ],
            )
            .await;
        parties
            .asks(
                "litware",
                &[
                    "proposal",
                    "vote",
                    "--action",
                    "accept",
                    "--proposal-id",
                    &id,
                ],
            )
            .await;
        parties.asks("fabrikam", &["member", "activate"]).await;
        parties
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    async fn run(&self, words: &[&str]) -> Result<String, GovCliError> {
        let store = ClientStore::at(&self.dir.path().join("config"));
        let words = std::iter::once("governance").chain(words.iter().copied());
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let mut out = Vec::new();
        let outcome = run_with(&store, cli.command, &mut out).await;
        outcome.map(|()| String::from_utf8(out).unwrap().trim_end().to_owned())
    }

    async fn tries(&self, who: &str, words: &[&str]) -> Result<String, GovCliError> {
        let words: Vec<&str> = words
            .iter()
            .copied()
            .chain(["--governance-client", who])
            .collect();
        self.run(&words).await
    }

    async fn asks(&self, who: &str, words: &[&str]) -> String {
        self.tries(who, words)
            .await
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Everybody's vote on a proposal that was made by a command; what the last vote answered.
    async fn agree(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words
            .iter()
            .copied()
            .chain(["--query", "proposalId"])
            .collect();
        let id = self.asks("litware", &words).await;
        let vote = [
            "proposal",
            "vote",
            "--action",
            "accept",
            "--proposal-id",
            &id,
        ];
        self.asks("litware", &vote).await;
        serde_json::from_str(&self.asks("fabrikam", &vote).await).unwrap()
    }

    async fn accept_contract(&self) {
        self.asks(
            "litware",
            &["contract", "create", "--id", "c1", "--data", "name: x"],
        )
        .await;
        let version = self
            .asks(
                "litware",
                &["contract", "show", "--id", "c1", "--query", "version"],
            )
            .await;
        let id = self
            .asks(
                "litware",
                &[
                    "contract",
                    "propose",
                    "--id",
                    "c1",
                    "--version",
                    &version,
                    "--query",
                    "proposalId",
                ],
            )
            .await;
        for who in ["litware", "fabrikam"] {
            self.asks(
                who,
                &[
                    "contract",
                    "vote",
                    "--id",
                    "c1",
                    "--action",
                    "accept",
                    "--proposal-id",
                    &id,
                ],
            )
            .await;
        }
    }

    /// A clean room of the contract, as the sidecar is.
    fn room(&self) -> Governance {
        let config = Config::of(&Args {
            cgs_endpoint: format!("https://{}", self.world.cgs_addr()),
            cgs_path_prefix: "app/contracts/c1".to_owned(),
            service_cert: BASE64_STANDARD.encode(self.world.service_cert_pem()),
            commit_deadline: 10,
        });
        let room = Governance::new(Cgs::new(&config.unwrap()).unwrap()).unwrap();
        let key = RoomKey::generate().unwrap();
        let mut report_data = [0; 64];
        report_data[..32].copy_from_slice(&key.binding());
        let attestation = Attestation {
            evidence: BASE64_STANDARD.encode(issue_report(&HOST_DATA, &report_data).unwrap()),
            endorsements: BASE64_STANDARD.encode(chain_pem()),
            uvm_endorsements: BASE64_STANDARD.encode(uvm_endorsement()),
        };
        room.admit(Room::new(key, attestation));
        room
    }
}

#[tokio::test]
async fn a_contract_is_accepted_by_everybody_and_only_as_it_was_looked_at() {
    let parties = Parties::meet().await;
    parties
        .asks(
            "litware",
            &["contract", "create", "--id", "c1", "--data", "name: x"],
        )
        .await;
    let first = parties
        .asks(
            "litware",
            &["contract", "show", "--id", "c1", "--query", "version"],
        )
        .await;
    parties
        .asks(
            "litware",
            &[
                "contract",
                "create",
                "--id",
                "c1",
                "--data",
                "name: y",
                "--version",
                &first,
            ],
        )
        .await;
    let stale = parties
        .tries(
            "litware",
            &["contract", "propose", "--id", "c1", "--version", &first],
        )
        .await;
    assert_eq!(stale.unwrap_err().code(), "CR-GOVCLI-0020");
    let replaced = parties
        .tries(
            "litware",
            &["contract", "create", "--id", "c1", "--data", "name: z"],
        )
        .await;
    assert!(
        replaced
            .unwrap_err()
            .to_string()
            .contains("ContractAlreadyExists")
    );
    let version = parties
        .asks(
            "litware",
            &["contract", "show", "--id", "c1", "--query", "version"],
        )
        .await;
    let id = parties
        .asks(
            "litware",
            &[
                "contract",
                "propose",
                "--id",
                "c1",
                "--version",
                &version,
                "--query",
                "proposalId",
            ],
        )
        .await;
    let vote = [
        "contract",
        "vote",
        "--id",
        "c1",
        "--action",
        "accept",
        "--proposal-id",
    ];
    let other = "0".repeat(64);
    let mismatch = parties
        .tries("fabrikam", &[vote.as_slice(), &[other.as_str()]].concat())
        .await;
    assert_eq!(mismatch.unwrap_err().code(), "CR-GOVCLI-0022");
    for who in ["litware", "fabrikam"] {
        parties
            .asks(who, &[vote.as_slice(), &[id.as_str()]].concat())
            .await;
    }
    let contract: Value = serde_json::from_str(
        &parties
            .asks("fabrikam", &["contract", "show", "--id", "c1"])
            .await,
    )
    .unwrap();
    assert_eq!(
        (&contract["state"], &contract["data"]),
        (&json!("Accepted"), &json!("name: y"))
    );
    assert_eq!(contract["finalVotes"].as_array().unwrap().len(), 2);
    let late = parties
        .tries("fabrikam", &[vote.as_slice(), &[id.as_str()]].concat())
        .await;
    assert_eq!(late.unwrap_err().code(), "CR-GOVCLI-0021");
}

#[tokio::test]
async fn template_and_policy_are_proposed_inspected_and_shown() {
    let parties = Parties::meet().await;
    parties.accept_contract().await;
    let template = parties.path("template.json");
    std::fs::write(&template, r#"{"containers":["a"]}"#).unwrap();
    let id = parties
        .asks(
            "litware",
            &[
                "deployment",
                "template",
                "propose",
                "--contract-id",
                "c1",
                "--template-file",
                &template,
                "--query",
                "proposalId",
            ],
        )
        .await;
    let show = [
        "deployment",
        "template",
        "show",
        "--contract-id",
        "c1",
        "--query",
    ];
    assert_eq!(
        parties
            .asks("fabrikam", &[show.as_slice(), &["proposalIds[0]"]].concat())
            .await,
        id
    );
    let inspect = [
        "proposal",
        "show-actions",
        "--proposal-id",
        &id,
        "--query",
        "actions[0].args.spec.data.containers[0]",
    ];
    assert_eq!(parties.asks("fabrikam", &inspect).await, "a");
    for who in ["litware", "fabrikam"] {
        parties
            .asks(
                who,
                &[
                    "proposal",
                    "vote",
                    "--action",
                    "accept",
                    "--proposal-id",
                    &id,
                ],
            )
            .await;
    }
    let accepted = parties
        .asks("fabrikam", &[show.as_slice(), &["data"]].concat())
        .await;
    assert_eq!(
        serde_json::from_str::<Value>(&accepted).unwrap(),
        json!({"containers": ["a"]})
    );

    let policy = parties.path("policy.json");
    let hash = hex::encode(HOST_DATA);
    let claims = json!({"x-ms-sevsnpvm-is-debuggable": false, "x-ms-sevsnpvm-hostdata": hash});
    std::fs::write(
        &policy,
        json!({"type": "add", "claims": claims}).to_string(),
    )
    .unwrap();
    let state = parties
        .agree(&[
            "deployment",
            "policy",
            "propose",
            "--contract-id",
            "c1",
            "--policy-file",
            &policy,
        ])
        .await;
    assert_eq!(state["proposalState"], "Accepted");
    let shown = parties
        .asks(
            "fabrikam",
            &[
                "deployment",
                "policy",
                "show",
                "--contract-id",
                "c1",
                "--query",
                "policy",
            ],
        )
        .await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["x-ms-sevsnpvm-hostdata"], json!([hash]));
}

#[tokio::test]
async fn consent_is_given_and_withdrawn() {
    let parties = Parties::meet().await;
    parties.accept_contract().await;
    let get = |option: &'static str| {
        [
            "contract",
            "runtime-option",
            "get",
            "--contract-id",
            "c1",
            "--query",
            "status",
            "--option",
            option,
        ]
    };
    assert_eq!(parties.asks("fabrikam", &get("execution")).await, "enabled");
    assert_eq!(parties.asks("fabrikam", &get("logging")).await, "disabled");
    let set = [
        "contract",
        "runtime-option",
        "set",
        "--contract-id",
        "c1",
        "--option",
        "execution",
        "--action",
    ];
    parties
        .asks("litware", &[set.as_slice(), &["disable"]].concat())
        .await;
    assert_eq!(
        parties.asks("fabrikam", &get("execution")).await,
        "disabled"
    );
    parties
        .asks("litware", &[set.as_slice(), &["enable"]].concat())
        .await;
    assert_eq!(parties.asks("fabrikam", &get("execution")).await, "enabled");
    parties
        .agree(&[
            "contract",
            "runtime-option",
            "propose",
            "--contract-id",
            "c1",
            "--option",
            "logging",
            "--action",
            "enable",
        ])
        .await;
    assert_eq!(parties.asks("fabrikam", &get("logging")).await, "enabled");
}

#[tokio::test]
async fn the_issuer_is_enabled_and_its_documents_are_written_for_publication() {
    let parties = Parties::meet().await;
    parties.agree(&["oidc-issuer", "propose-enable"]).await;
    let key = parties
        .asks(
            "litware",
            &["oidc-issuer", "generate-signing-key", "--query", "kid"],
        )
        .await;
    let url = "https://litwarestore.z1.web.core.windows.net/c1";
    parties
        .asks("litware", &["oidc-issuer", "set-issuer-url", "--url", url])
        .await;
    let dir = parties.path("documents");
    parties
        .asks(
            "litware",
            &["oidc-issuer", "show-documents", "--output-dir", &dir],
        )
        .await;
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(parties.path(&format!("documents/{name}"))).unwrap())
            .unwrap()
    };
    assert_eq!(read("openid-configuration.json")["issuer"], url);
    assert_eq!(read("jwks.json")["keys"][0]["kid"], key.as_str());
}

#[tokio::test]
async fn the_events_of_a_clean_room_are_listed_and_their_chain_verifies() {
    let parties = Parties::meet().await;
    parties.accept_contract().await;
    parties
        .world
        .services()
        .cgs
        .set_policy("c1", &hex::encode(HOST_DATA));
    let room = parties.room();
    for message in [
        "starting execution of app container",
        "app container terminated with exit code 0",
    ] {
        room.put_event(
            None,
            "",
            json!({"source": "code-launcher", "message": message}),
        )
        .await
        .unwrap();
    }
    room.put_event(None, "dataset", json!({"message": "mounted"}))
        .await
        .unwrap();
    let list = ["contract", "event", "list", "--contract-id", "c1"];
    let latest: Value = serde_json::from_str(&parties.asks("fabrikam", &list).await).unwrap();
    assert_eq!(latest["value"].as_array().unwrap().len(), 1);
    let all: Value = serde_json::from_str(
        &parties
            .asks("fabrikam", &[list.as_slice(), &["--all"]].concat())
            .await,
    )
    .unwrap();
    let data: Vec<&Value> = all["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["data"])
        .collect();
    assert_eq!(
        data[0],
        &json!({"source": "code-launcher", "message": "starting execution of app container"})
    );
    assert_eq!(
        data[1]["message"],
        "app container terminated with exit code 0"
    );
    assert_eq!(data.len(), 2);
    parties
        .asks("fabrikam", &[list.as_slice(), &["--verify"]].concat())
        .await;
    parties
        .asks(
            "fabrikam",
            &[list.as_slice(), &["--verify", "--scope", "dataset"]].concat(),
        )
        .await;
}

#[tokio::test]
async fn a_withdrawn_proposal_takes_no_votes_and_a_secret_is_stored() {
    let parties = Parties::meet().await;
    parties.accept_contract().await;
    let id = parties
        .asks(
            "litware",
            &[
                "member",
                "set-tenant-id",
                "--identifier",
                "fabrikam",
                "--tenant-id",
                "t1",
                "--query",
                "proposalId",
            ],
        )
        .await;
    parties
        .asks("litware", &["proposal", "withdraw", "--proposal-id", &id])
        .await;
    let vote = parties
        .tries(
            "fabrikam",
            &[
                "proposal",
                "vote",
                "--action",
                "accept",
                "--proposal-id",
                &id,
            ],
        )
        .await;
    assert_eq!(vote.unwrap_err().code(), "CR-GOVCLI-0010");
    std::fs::write(parties.path("secret"), "hunter2").unwrap();
    let value = format!("@{}", parties.path("secret"));
    let stored = parties
        .asks(
            "litware",
            &[
                "contract",
                "secret",
                "set",
                "--contract-id",
                "c1",
                "--secret-name",
                "s",
                "--value",
                &value,
                "--query",
                "secretId",
            ],
        )
        .await;
    assert!(stored.ends_with(":s"), "{stored}");
    for words in [
        ["network", "show"],
        ["service", "show"],
        ["member", "show"],
        ["proposal", "list"],
        ["contract", "show"],
    ] {
        assert!(
            parties
                .asks("fabrikam", &words)
                .await
                .starts_with(['{', '[']),
            "{words:?}"
        );
    }
}
