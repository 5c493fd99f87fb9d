//! Whole commands, from their words to the bytes on the wire, against a CCF that the test scripts.

mod ccf;
mod emulator;

use clap::Parser;
use coset::{CoseSign1, TaggedCborSerializable};
use serde_json::{Value, json};
use sidecar_http::Coded;

use self::ccf::{Ccf, Seen};
use super::{ClientStore, GovCliError, GovernanceCommand, run_with};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: GovernanceCommand,
}

struct Member {
    ccf: Ccf,
    store: ClientStore,
    dir: tempfile::TempDir,
}

impl Member {
    /// A member called litware whose governance client points to `ccf`.
    async fn of(ccf: Ccf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let member = Self {
            store: ClientStore::at(&dir.path().join("config")),
            dir,
            ccf,
        };
        let keys = member.dir.path().to_str().unwrap();
        member
            .local(&[
                "member",
                "keygenerator",
                "--name",
                "litware",
                "--output-dir",
                keys,
            ])
            .await
            .unwrap();
        let (cert, key) = (
            format!("{keys}/litware_cert.pem"),
            format!("{keys}/litware_privk.pem"),
        );
        let service_cert = format!("{keys}/service_cert.pem");
        std::fs::write(&service_cert, &member.ccf.service_cert).unwrap();
        let endpoint = member.ccf.endpoint.clone();
        member
            .local(&[
                "client",
                "deploy",
                "--name",
                "litware",
                "--ccf-endpoint",
                &endpoint,
                "--signing-cert",
                &cert,
                "--signing-key",
                &key,
                "--service-cert",
                &service_cert,
            ])
            .await
            .unwrap();
        member
    }

    async fn local(&self, words: &[&str]) -> Result<String, GovCliError> {
        let words = std::iter::once("governance").chain(words.iter().copied());
        let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
        let mut out = Vec::new();
        let outcome = run_with(&self.store, cli.command, &mut out).await;
        outcome.map(|()| String::from_utf8(out).unwrap())
    }

    async fn run(&self, words: &[&str]) -> Result<String, GovCliError> {
        let words: Vec<&str> = words
            .iter()
            .copied()
            .chain(["--governance-client", "litware"])
            .collect();
        self.local(&words).await
    }

    async fn id(&self) -> String {
        let shown = self
            .local(&["client", "show", "--name", "litware", "--query", "memberId"])
            .await;
        shown.unwrap().trim().to_owned()
    }
}

/// Type, proposal id and payload of a signed message.
fn message(seen: &Seen) -> (String, Option<String>, Vec<u8>) {
    let read = CoseSign1::from_tagged_slice(&seen.body).unwrap();
    let text = |name: &str| {
        let label = coset::Label::Text(name.to_owned());
        let found = read
            .protected
            .header
            .rest
            .iter()
            .find(|(key, _)| *key == label);
        found.and_then(|(_, value)| value.as_text().map(str::to_owned))
    };
    (
        text("ccf.gov.msg.type").unwrap(),
        text("ccf.gov.msg.proposal_id"),
        read.payload.clone().unwrap(),
    )
}

const PROPOSAL: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn proposed_contract(seen: &Seen) -> Option<Value> {
    let path = seen.uri.path();
    if path == "/app/contracts/c1" {
        return Some(
            json!({"id": "c1", "state": "Proposed", "version": "2.5", "data": "x: 1", "proposalId": PROPOSAL}),
        );
    }
    (path.ends_with("/actions")).then(|| json!({"actions": []}))
}

#[tokio::test]
async fn every_request_shows_the_member_certificate_and_writes_wait_for_the_commit() {
    let member = Member::of(Ccf::start(|_| json!({})).await).await;
    member
        .run(&["contract", "create", "--id", "c1", "--data", "name: x"])
        .await
        .unwrap();
    let seen = member.ccf.seen();
    assert_eq!(
        (seen[0].method.as_str(), seen[0].uri.path()),
        ("PUT", "/app/contracts/c1")
    );
    assert_eq!(
        serde_json::from_slice::<Value>(&seen[0].body).unwrap(),
        json!({"data": "name: x"})
    );
    let polls: Vec<&str> = seen[1..]
        .iter()
        .map(|seen| seen.uri.query().unwrap())
        .collect();
    assert_eq!(polls, ["transaction_id=2.9", "transaction_id=2.9"]);
    let id = member.id().await;
    assert!(seen.iter().all(|seen| seen.member == id));
}

#[tokio::test]
async fn activation_signs_the_digest_that_the_service_shows() {
    let digest = json!({"memberId": "m", "stateDigest": "d"});
    let shown = digest.clone();
    let member = Member::of(Ccf::start(move |_| shown.clone()).await).await;
    member.run(&["member", "activate"]).await.unwrap();
    let seen: Vec<Seen> = member
        .ccf
        .seen()
        .into_iter()
        .filter(|seen| seen.method == "POST")
        .collect();
    let id = member.id().await;
    assert_eq!(
        seen[0].uri.path(),
        format!("/gov/members/state-digests/{id}:update")
    );
    assert_eq!(seen[0].uri.query(), Some("api-version=2024-07-01"));
    assert_eq!(
        message(&seen[0]),
        ("state_digest".to_owned(), None, Vec::new())
    );
    assert_eq!(
        seen[1].uri.path(),
        format!("/gov/members/state-digests/{id}:ack")
    );
    let (kind, _, payload) = message(&seen[1]);
    assert_eq!(kind, "ack");
    assert_eq!(serde_json::from_slice::<Value>(&payload).unwrap(), digest);
}

#[tokio::test]
async fn a_proposal_carries_the_contract_that_was_read() {
    let contract =
        json!({"id": "c1", "state": "Draft", "version": "2.5", "data": "x: 1", "proposalId": ""});
    let shown = contract.clone();
    let answer = move |seen: &Seen| match seen.method.as_str() {
        "GET" => shown.clone(),
        _ => json!({"proposalId": PROPOSAL, "proposalState": "Open"}),
    };
    let member = Member::of(Ccf::start(answer).await).await;
    let id = member
        .run(&[
            "contract",
            "propose",
            "--id",
            "c1",
            "--version",
            "2.5",
            "--query",
            "proposalId",
        ])
        .await;
    assert_eq!(id.unwrap().trim(), PROPOSAL);
    let seen = member.ccf.seen();
    let write = seen.iter().find(|seen| seen.method == "POST").unwrap();
    assert_eq!(write.uri.path(), "/gov/members/proposals:create");
    let (kind, _, payload) = message(write);
    assert_eq!(kind, "proposal");
    let args = json!({"contractId": "c1", "contract": contract});
    assert_eq!(
        serde_json::from_slice::<Value>(&payload).unwrap(),
        json!({"actions": [{"name": "set_contract", "args": args}]})
    );
    let error = member
        .run(&["contract", "propose", "--id", "c1", "--version", "2.4"])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-GOVCLI-0020");
}

#[tokio::test]
async fn a_vote_is_signed_for_the_open_proposal_and_for_no_other() {
    let answer = |seen: &Seen| {
        proposed_contract(seen).unwrap_or_else(|| json!({"proposalState": "Accepted"}))
    };
    let member = Member::of(Ccf::start(answer).await).await;
    let other = PROPOSAL.replace('0', "1");
    let words = [
        "contract",
        "vote",
        "--id",
        "c1",
        "--action",
        "accept",
        "--proposal-id",
    ];
    let vote = |id: &str| {
        [words.as_slice(), &[id]]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let refused = vote(&other);
    let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
    let error = member.run(&refused).await.unwrap_err();
    assert_eq!(error.code(), "CR-GOVCLI-0022");
    assert!(member.ccf.seen().iter().all(|seen| seen.method == "GET"));
    let accepted = vote(PROPOSAL);
    let accepted: Vec<&str> = accepted.iter().map(String::as_str).collect();
    member.run(&accepted).await.unwrap();
    let seen = member.ccf.seen();
    let write = seen.iter().find(|seen| seen.method == "POST").unwrap();
    let id = member.id().await;
    assert_eq!(
        write.uri.path(),
        format!("/gov/members/proposals/{PROPOSAL}/ballots/{id}:submit")
    );
    let (kind, named, payload) = message(write);
    assert_eq!(
        (kind.as_str(), named.as_deref()),
        ("ballot", Some(PROPOSAL))
    );
    let ballot = "export function vote (proposal, proposerId) { return true }";
    assert_eq!(
        serde_json::from_slice::<Value>(&payload).unwrap(),
        json!({"ballot": ballot})
    );
}

#[tokio::test]
async fn a_proposal_that_admits_any_container_cannot_be_accepted_but_rejected() {
    let hash = "73973b78d70cc68353426de188db5dfc57e5b766e399935fb73a61127ea26d20";
    let args =
        json!({"contractId": "c1", "type": "add", "claims": {"x-ms-sevsnpvm-hostdata": hash}});
    let actions = json!({"actions": [{"name": "set_clean_room_policy", "args": args}]});
    let member = Member::of(Ccf::start(move |_| actions.clone()).await).await;
    let vote = ["proposal", "vote", "--proposal-id", PROPOSAL, "--action"];
    let error = member
        .run(&[vote.as_slice(), &["accept"]].concat())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-GOVCLI-0023");
    assert!(member.ccf.seen().iter().all(|seen| seen.method == "GET"));
    member
        .run(&[vote.as_slice(), &["reject"]].concat())
        .await
        .unwrap();
}

#[tokio::test]
async fn events_are_read_through_loading_and_pages_and_shown_in_ledger_order() {
    let event = |seqno: u64, message: &str| json!({"seqno": seqno, "scope": "", "id": "c1", "data": {"message": message, "chain": {"seq": seqno}}});
    let mut loading = true;
    let answer = move |seen: &Seen| {
        let query = seen.uri.query().unwrap_or_default();
        if query.contains("from_seqno=2002") {
            return json!({"value": [event(2500, "second")]});
        }
        if std::mem::take(&mut loading) {
            return json!("202");
        }
        json!({"value": [event(90, "first")], "nextLink": "/app/contracts/c1/events?from_seqno=2002&to_seqno=2600&id=c1&scope="})
    };
    let member = Member::of(Ccf::start(answer).await).await;
    let shown = member
        .run(&["contract", "event", "list", "--contract-id", "c1", "--all"])
        .await
        .unwrap();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let messages: Vec<&Value> = shown["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| &event["data"])
        .collect();
    assert_eq!(
        messages,
        [&json!({"message": "first"}), &json!({"message": "second"})]
    );
    let error = member
        .run(&[
            "contract",
            "event",
            "list",
            "--contract-id",
            "c1",
            "--verify",
        ])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-GOVCLI-0030");
}

#[tokio::test]
async fn a_secret_on_the_command_line_is_refused_and_one_in_a_file_is_sent() {
    let member = Member::of(Ccf::start(|_| json!({"secretId": "m:s"})).await).await;
    let words = [
        "contract",
        "secret",
        "set",
        "--contract-id",
        "c1",
        "--secret-name",
        "s",
        "--value",
    ];
    let error = member
        .run(&[words.as_slice(), &["hunter2"]].concat())
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-GOVCLI-0005");
    assert!(!error.to_string().contains("hunter2") && member.ccf.seen().is_empty());
    let file = member.dir.path().join("secret");
    std::fs::write(&file, "hunter2").unwrap();
    let value = format!("@{}", file.display());
    member
        .run(&[words.as_slice(), &[value.as_str()]].concat())
        .await
        .unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&member.ccf.seen()[0].body).unwrap(),
        json!({"value": "hunter2"})
    );
}

#[tokio::test]
async fn a_refusal_of_the_service_names_its_code() {
    let answer = |_: &Seen| json!({"error": {"code": "ContractNotFound", "message": "none"}});
    let member = Member::of(Ccf::start(answer).await).await;
    let error = member
        .run(&["contract", "show", "--id", "c1"])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-GOVCLI-0010");
    assert!(
        error.to_string().contains("404: ContractNotFound: none"),
        "{error}"
    );
}

#[tokio::test]
async fn a_service_outside_the_pin_is_not_talked_to() {
    let member = Member::of(Ccf::start(|_| json!({})).await).await;
    let other = Ccf::start(|_| json!({})).await;
    std::fs::write(
        member.dir.path().join("service_cert.pem"),
        &other.service_cert,
    )
    .unwrap();
    let error = member
        .run(&["contract", "create", "--id", "c1", "--data", "a: b"])
        .await
        .unwrap_err();
    assert_eq!(error.code(), "CR-HTTP-0023");
    assert!(member.ccf.seen().is_empty());
}
