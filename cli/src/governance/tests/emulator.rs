//! A collaboration from the first key to the audit log, with every command, against the emulated CGS.

mod contract;
mod room;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Parser;
use emulators::amd::{chain_pem, issue_report, uvm_endorsement};
use emulators::world::{World, WorldConfig};
use governance::{Args, Attestation, Cgs, Config, Governance, Room, RoomKey};
use serde_json::{Value, json};

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
