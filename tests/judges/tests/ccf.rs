//! The `ccf` package against ours: it reads what our members sign, and the emulated CGS reads what it signs.
//!
//! A message of ours is right if the package would have made the same bytes of the same inputs: then whoever reads the
//! package's messages reads ours. Requests to `/app` are not signed at all, their members are known by the connection.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Parser;
use cleanroom::governance::{ClientStore, GovernanceCommand, run_with};
use emulators::world::{World, WorldConfig};
use judges::{folder, python, run};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// The proposal that the recorder knows.
const PROPOSAL: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const ACCEPT: &str = "export function vote (proposal, proposerId) { return true }";
const REJECT: &str = "export function vote (proposal, proposerId) { return false }";

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: GovernanceCommand,
}

/// `cleanroom governance …`, with its clients in `dir`.
async fn governance(dir: &Path, words: &[&str]) -> String {
    let cli = Cli::try_parse_from(std::iter::once(&"governance").chain(words)).unwrap();
    let mut out = Vec::new();
    let done = run_with(&ClientStore::at(dir), cli.command, &mut out).await;
    done.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    String::from_utf8(out).unwrap()
}

/// One of the judge's programs, spoken to by lines of JSON.
struct Program {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Program {
    fn start(script: &str, words: &[&str]) -> Self {
        let mut child = Command::new(python("ccf"))
            .arg(folder("ccf").join(script))
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take().unwrap(),
            stdout: BufReader::new(child.stdout.take().unwrap()).lines(),
            _child: child,
        }
    }

    async fn says(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(120), self.stdout.next_line()).await;
        let line = line.expect("an answer in time").unwrap();
        serde_json::from_str(&line.expect("the program still runs")).unwrap()
    }

    async fn asked(&mut self, question: &Value) -> Value {
        self.stdin
            .write_all(format!("{question}\n").as_bytes())
            .await
            .unwrap();
        self.says().await
    }
}

/// Certificate and key of a member.
struct Pair {
    id: String,
    cert: PathBuf,
    key: PathBuf,
}

impl Pair {
    /// Made by the script that the package brings, with OpenSSL.
    fn by_ccf(dir: &Path, name: &str) -> Self {
        let script = python("ccf").with_file_name("keygenerator.sh");
        run(std::process::Command::new(script)
            .args(["--name", name])
            .current_dir(dir));
        Self::read(dir, name)
    }

    /// Made by our command.
    async fn by_us(dir: &Path, name: &str) -> Self {
        let out = dir.to_str().unwrap();
        let words = [
            "member",
            "keygenerator",
            "--name",
            name,
            "--output-dir",
            out,
        ];
        let made = governance(dir, &words).await;
        let pair = Self::read(dir, name);
        let made: Value = serde_json::from_str(&made).unwrap();
        assert_eq!(made["memberId"], pair.id.as_str());
        pair
    }

    /// The id as OpenSSL sees the certificate.
    fn read(dir: &Path, name: &str) -> Self {
        let cert = dir.join(format!("{name}_cert.pem"));
        let mut openssl = std::process::Command::new("openssl");
        openssl
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(&cert);
        let printed = String::from_utf8(run(&mut openssl).stdout).unwrap();
        let (_, colons) = printed.trim().split_once('=').unwrap();
        Self {
            id: colons.replace(':', "").to_lowercase(),
            key: dir.join(format!("{name}_privk.pem")),
            cert,
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// What the package thinks of messages that are said to be those of a certificate.
fn verdicts(cert: &Path, messages: &[PathBuf]) -> Vec<Value> {
    let mut judge = std::process::Command::new(python("ccf"));
    judge
        .arg(folder("ccf").join("messages.py"))
        .arg(cert)
        .args(messages);
    let verdicts: Vec<Value> = serde_json::from_slice(&run(&mut judge).stdout).unwrap();
    assert_eq!(verdicts.len(), messages.len());
    verdicts
}

/// Every kind of message that a member of ours signs, as it went over the wire.
struct Recorded {
    dir: tempfile::TempDir,
    since: u64,
}

/// Kind, proposal, payload and path of what `record` makes a member sign, in its order.
fn expected(id: &str) -> [(&'static str, Option<&'static str>, String, String); 6] {
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
    async fn of(pair: &Pair) -> Self {
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

    fn message(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("{number}.cose"))
    }

    fn came_with(&self, number: usize) -> Value {
        let file = self.dir.path().join(format!("{number}.json"));
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }

    /// A copy of a message, one byte of it flipped.
    fn flipped(&self, number: usize, at: usize) -> PathBuf {
        let mut bytes = std::fs::read(self.message(number)).unwrap();
        bytes[at] ^= 1;
        self.changed(number, &format!("flipped-{at}"), &bytes)
    }

    fn changed(&self, number: usize, how: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join(format!("{number}-{how}"));
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_makes_the_same_bytes_of_everything_that_a_member_signs() {
    sidecar_http::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let ours = Pair::by_us(dir.path(), "litware").await;
    let theirs = Pair::by_ccf(dir.path(), "fabrikam");
    for pair in [&ours, &theirs] {
        let recorded = Recorded::of(pair).await;
        let expected = expected(&pair.id);
        let messages: Vec<PathBuf> = (0..expected.len()).map(|n| recorded.message(n)).collect();
        assert!(
            !recorded.message(expected.len()).exists(),
            "more was signed"
        );
        let verdicts = verdicts(&pair.cert, &messages);
        for (number, (kind, proposal, payload, path)) in expected.into_iter().enumerate() {
            let mut verdict = verdicts[number].clone();
            let verdict = verdict.as_object_mut().unwrap();
            let at = verdict.remove("created_at").and_then(|at| at.as_u64());
            let at = at.unwrap_or_else(|| panic!("{kind}: {verdict:?}"));
            assert!((recorded.since..=now()).contains(&at), "{kind}: {at}");
            let said = verdict.remove("payload").unwrap();
            if kind == "proposal" {
                let mut wanted: Value = serde_json::from_str(&payload).unwrap();
                wanted["actions"][0]["args"]["cert"] =
                    json!(std::fs::read_to_string(&pair.cert).unwrap());
                let said: Value = serde_json::from_str(said.as_str().unwrap()).unwrap();
                assert_eq!(said, wanted);
            } else {
                assert_eq!(said, payload.as_str());
            }
            let wanted = json!({
                "type": kind,
                "proposal_id": proposal,
                "kid": pair.id,
                "alg": -35,
                "prepared_alg": "ES384",
                "signature_bytes": 96,
                "decoded_by_pycose": "Sign1Message",
                // Ours is the order of deterministic CBOR. The command line tool writes the proposal before the time,
                // the library writes what it is given; CCF reads a map.
                "canonical": true,
                "library_makes_the_same_bytes": true,
                "tool_makes_the_same_bytes": proposal.is_none(),
                "tool_says_the_same": true,
            });
            assert_eq!(Value::from(verdict.clone()), wanted, "{kind}");
            let came = json!({
                "path": format!("{path}?api-version=2024-07-01"),
                "content_type": "application/cose",
            });
            assert_eq!(recorded.came_with(number), came);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_package_refuses_our_messages_once_a_byte_differs() {
    sidecar_http::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let pair = Pair::by_us(dir.path(), "litware").await;
    let other = Pair::by_us(dir.path(), "fabrikam").await;
    let recorded = Recorded::of(&pair).await;
    let (mut changed, mut reasons) = (Vec::new(), Vec::new());
    for (number, (kind, proposal, payload, _)) in expected(&pair.id).into_iter().enumerate() {
        let bytes = std::fs::read(recorded.message(number)).unwrap();
        let find = |what: &[u8]| {
            let at = bytes.windows(what.len()).position(|w| w == what);
            at.unwrap_or_else(|| panic!("{kind} has no {what:?}"))
        };
        // 96 bytes of signature, before them their length (58 60).
        let signature = bytes.len() - 96;
        let mut flip = |at, reason: &str| {
            changed.push(recorded.flipped(number, at));
            reasons.push(format!("{kind}: {reason}"));
        };
        let forged = "ccf: signature is invalid";
        if !payload.is_empty() {
            flip(signature - 3, forged);
        }
        flip(signature, forged);
        flip(bytes.len() - 1, forged);
        // The lowest bit of the time: the name, one byte of type, four of value.
        let name = "ccf.gov.msg.created_at";
        flip(find(name.as_bytes()) + name.len() + 4, forged);
        if let Some(id) = proposal {
            flip(find(id.as_bytes()), forged);
        }
        flip(
            find(pair.id.as_bytes()),
            "kid is not that of the certificate",
        );
        // d2 is tag 18, d3 another one.
        flip(0, "not tagged as COSE_Sign1");
        changed.push(recorded.changed(number, "longer", &[bytes.as_slice(), b"\0"].concat()));
        changed.push(recorded.changed(number, "cut", &bytes[..bytes.len() - 1]));
    }
    let verdicts = verdicts(&pair.cert, &changed);
    let mut reasons = reasons.into_iter();
    for (path, verdict) in changed.iter().zip(&verdicts) {
        let name = text(path);
        let refused = verdict["refused"]
            .as_str()
            .unwrap_or_else(|| panic!("{name} was accepted: {verdict}"));
        if name.ends_with("longer") || name.ends_with("cut") {
            let encoding =
                refused == "not in the shortest encoding" || refused.starts_with("no CBOR: ");
            assert!(encoding, "{name}: {refused}");
        } else {
            let reason = reasons.next().unwrap();
            let (kind, reason) = reason.split_once(": ").unwrap();
            assert_eq!(refused, reason, "{kind}, {name}");
        }
    }
    assert_eq!(reasons.next(), None);

    // Nobody else's certificate goes with them.
    let all: Vec<PathBuf> = (0..6).map(|number| recorded.message(number)).collect();
    for verdict in self::verdicts(&other.cert, &all) {
        assert_eq!(verdict["refused"], "kid is not that of the certificate");
    }
}

/// What a message of `kind` is, said by `pair`.
fn message(pair: &Pair, kind: &str, path: &str, content: &Value) -> Value {
    let content = match content {
        Value::Null => String::new(),
        content => content.to_string(),
    };
    json!({"cert": pair.cert, "key": pair.key, "type": kind, "path": path, "content": content})
}

fn with(message: &Value, name: &str, value: Value) -> Value {
    let mut message = message.clone();
    message[name] = value;
    message
}

fn error(answer: &Value) -> String {
    format!("{} {}", answer["status"], answer["body"]["error"]["code"])
}

/// Refused with one bit changed, wherever that is; then taken as it was signed.
async fn only_unchanged(member: &mut Program, message: &Value) -> Value {
    let mut places = vec!["signature", "header"];
    if message["content"] != "" {
        places.push("payload");
    }
    for place in places {
        let refused = member.asked(&with(message, "change", json!(place))).await;
        let inner = json!({
            "auth_policy": "member_cose_sign1",
            "code": "InvalidAuthenticationInfo",
            "message": "Failed to validate the signature",
        });
        let error = json!({
            "code": "InvalidAuthenticationInfo",
            "message": "Invalid info",
            "details": [inner],
        });
        assert_eq!(refused["body"], json!({"error": error}), "{place}");
        assert_eq!(refused["status"], 401);
        assert_eq!(
            refused["www_authenticate"],
            "COSE-SIGN1 realm=\"Signed request access\""
        );
    }
    let taken = member.asked(message).await;
    assert!(
        taken["transaction"]
            .as_str()
            .is_some_and(|id| id.starts_with("2.")),
        "{taken}"
    );
    taken
}

async fn read(member: &mut Program, path: &str) -> Value {
    let answer = member.asked(&json!({"get": path})).await;
    assert_eq!(answer["status"], 200, "{answer}");
    answer["body"].clone()
}

async fn status_of(member: &mut Program, id: &str) -> Option<Value> {
    let members = read(member, "/gov/service/members").await;
    let members = members["value"].as_array().unwrap();
    let found = members.iter().find(|member| member["memberId"] == id);
    found.map(|member| member["status"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulated_service_takes_what_the_package_signs_and_nothing_else() {
    sidecar_http::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let [operator, litware] = ["operator", "litware"].map(|name| Pair::by_ccf(dir.path(), name));
    let config = WorldConfig {
        operator_cert_pem: Some(std::fs::read_to_string(&operator.cert).unwrap()),
        commit_delay_ms: 0,
        ..WorldConfig::two_parties()
    };
    let world = World::start(config).await.unwrap();
    let pin = dir.path().join("service.pem");
    std::fs::write(&pin, world.service_cert_pem()).unwrap();
    let endpoint = format!("https://{}", world.cgs_addr());
    let mut member = Program::start("member.py", &[&endpoint, text(&pin)]);
    let create = "/gov/members/proposals:create";

    // The operator adds a member; nobody's vote counts yet.
    assert_eq!(status_of(&mut member, &litware.id).await, None);
    let cert = std::fs::read_to_string(&litware.cert).unwrap();
    let args = json!({"cert": cert, "member_data": {"identifier": "litwaré"}});
    let actions = json!({"actions": [{"name": "set_member", "args": args}]});
    let add = message(&operator, "proposal", create, &actions);
    let added = only_unchanged(&mut member, &add).await;
    assert_eq!(
        (&added["status"], &added["body"]["proposalState"]),
        (&json!(200), &json!("Accepted"))
    );
    assert_eq!(added["body"]["proposerId"], operator.id.as_str());
    assert_eq!(
        status_of(&mut member, &litware.id).await,
        Some(json!("Accepted"))
    );

    // The member may not speak before it acknowledged the state.
    let enable = |kid: &str| {
        let args = json!({"kid": kid});
        json!({"actions": [{"name": "enable_oidc_issuer", "args": args}]})
    };
    let early = message(&litware, "proposal", create, &enable("k0"));
    let refused = member.asked(&early).await;
    assert_eq!(
        (
            refused["status"].as_u64(),
            refused["body"]["error"]["details"][0]["message"].as_str()
        ),
        (Some(401), Some("Signer is not an ACTIVE member"))
    );
    let digests = format!("/gov/members/state-digests/{}", litware.id);
    let update = message(
        &litware,
        "state_digest",
        &format!("{digests}:update"),
        &Value::Null,
    );
    let digest = only_unchanged(&mut member, &update).await;
    assert_eq!(
        (&digest["status"], &digest["body"]["memberId"]),
        (&json!(200), &json!(litware.id))
    );
    let state = digest["body"]["stateDigest"].as_str().unwrap();
    assert_eq!(state.len(), 64);
    let path = format!("{digests}:ack");
    let stale = json!({"stateDigest": "00".repeat(32)});
    let stale = member.asked(&message(&litware, "ack", &path, &stale)).await;
    assert_eq!(error(&stale), "400 \"StateDigestMismatch\"");
    assert_eq!(
        status_of(&mut member, &litware.id).await,
        Some(json!("Accepted"))
    );
    let ack = message(&litware, "ack", &path, &json!({"stateDigest": state}));
    let acked = only_unchanged(&mut member, &ack).await;
    assert_eq!(
        (&acked["status"], &acked["body"]),
        (&json!(204), &json!(null))
    );
    assert_eq!(
        status_of(&mut member, &litware.id).await,
        Some(json!("Active"))
    );

    // A proposal, signed as a key vault signs, is open until its only voter accepts.
    let propose = message(&litware, "proposal", create, &enable("k0"));
    let propose = with(&propose, "offline", json!(true));
    let proposed = only_unchanged(&mut member, &propose).await;
    assert_eq!(
        (&proposed["status"], &proposed["body"]["proposalState"]),
        (&json!(200), &json!("Open"))
    );
    let again = member.asked(&json!({"again": true})).await;
    assert_eq!(error(&again), "400 \"ProposalReplay\"");
    let id = proposed["body"]["proposalId"].as_str().unwrap().to_owned();
    let submit = format!("/gov/members/proposals/{id}/ballots/{}:submit", litware.id);
    let ballot = message(&litware, "ballot", &submit, &json!({"ballot": ACCEPT}));
    let elsewhere = with(&ballot, "proposal_id", json!(PROPOSAL));
    let elsewhere = member.asked(&elsewhere).await;
    assert_eq!(error(&elsewhere), "400 \"InvalidResourceName\"");
    let mistyped = with(&ballot, "type", json!("ack"));
    let mistyped = member.asked(&mistyped).await;
    assert_eq!(
        mistyped["body"]["error"]["details"][0]["message"],
        "Found ccf.gov.msg.type set to ack, expected ballot"
    );
    let shown = read(&mut member, &format!("/gov/members/proposals/{id}")).await;
    assert_eq!(
        (&shown["proposalState"], &shown["ballotCount"]),
        (&json!("Open"), &json!(0))
    );
    let ballot = with(&ballot, "proposal_id", json!(id));
    let voted = only_unchanged(&mut member, &ballot).await;
    assert_eq!(
        voted["body"],
        json!({
            "proposalId": id,
            "proposerId": litware.id,
            "proposalState": "Accepted",
            "ballotCount": 1,
            "finalVotes": {(litware.id.as_str()): true},
        })
    );

    // Another one is withdrawn.
    let propose = message(&litware, "proposal", create, &enable("k1"));
    let proposed = only_unchanged(&mut member, &propose).await;
    assert_eq!(proposed["body"]["proposalState"], "Open");
    let id = proposed["body"]["proposalId"].as_str().unwrap().to_owned();
    let path = format!("/gov/members/proposals/{id}:withdraw");
    let withdraw = |pair| {
        let message = message(pair, "withdrawal", &path, &Value::Null);
        with(&message, "proposal_id", json!(id))
    };
    let refused = member.asked(&withdraw(&operator)).await;
    assert_eq!(error(&refused), "403 \"AuthorizationFailed\"");
    let withdrawn = only_unchanged(&mut member, &withdraw(&litware)).await;
    assert_eq!(
        (&withdrawn["status"], &withdrawn["body"]["proposalState"]),
        (&json!(200), &json!("Withdrawn"))
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_and_the_emulated_service_refuse_the_same_headers() {
    sidecar_http::install_crypto_provider();
    let dir = tempfile::tempdir().unwrap();
    let litware = Pair::by_ccf(dir.path(), "litware");
    let world = World::start(WorldConfig::two_parties()).await.unwrap();
    let cert = std::fs::read_to_string(&litware.cert).unwrap();
    let cgs = &world.services().cgs;
    cgs.add_member(&cert, json!({"identifier": "litware"}))
        .unwrap();
    let content = dir.path().join("content");
    let actions = json!({"actions": [{"name": "enable_oidc_issuer", "args": {"kid": "k0"}}]});
    std::fs::write(&content, actions.to_string()).unwrap();
    run(std::process::Command::new(python("ccf"))
        .arg(folder("ccf").join("twisted.py"))
        .args([&litware.cert, &litware.key, &content])
        .arg(dir.path()));
    let pin = dir.path().join("service.pem");
    std::fs::write(&pin, world.service_cert_pem()).unwrap();
    let endpoint = format!("https://{}", world.cgs_addr());
    let mut member = Program::start("member.py", &[&endpoint, text(&pin)]);

    // What is wrong, what the judge says of it, and how the service's reason starts.
    let cases = [
        (
            "kid_binary",
            "kid is not that of the certificate",
            "kid is not text",
        ),
        (
            "kid_upper_case",
            "kid is not that of the certificate",
            "Signer is not a known member",
        ),
        (
            "type_missing",
            "ccf.gov.msg.type is None",
            "Missing ccf.gov.msg.type",
        ),
        (
            "type_unknown",
            "ccf.gov.msg.type is 'propose'",
            "Found ccf.gov.msg.type set to propose",
        ),
        (
            "created_at_missing",
            "headers ['1', '4', 'ccf.gov.msg.type']",
            "Missing ccf.gov.msg.created_at",
        ),
        (
            "created_at_text",
            "ccf.gov.msg.created_at is no unsigned integer",
            "ccf.gov.msg.created_at is no integer",
        ),
        (
            "created_at_negative",
            "ccf.gov.msg.created_at is no unsigned integer",
            "ccf.gov.msg.created_at is negative",
        ),
    ];
    let file = |name: &str| dir.path().join(format!("{name}.cose"));
    let names = cases.iter().map(|(name, _, _)| *name);
    let files: Vec<PathBuf> = names.chain(["nothing"]).map(file).collect();
    let verdicts = verdicts(&litware.cert, &files);
    for ((name, reason, start), verdict) in cases.into_iter().zip(&verdicts) {
        assert_eq!(*verdict, json!({"refused": reason}), "{name}");
        let said = member
            .asked(&json!({"path": "/gov/members/proposals:create", "file": file(name)}))
            .await;
        assert_eq!(error(&said), "401 \"InvalidAuthenticationInfo\"", "{name}");
        let message = said["body"]["error"]["details"][0]["message"].as_str();
        assert!(
            message.is_some_and(|message| message.starts_with(start)),
            "{name}: {message:?}"
        );
    }
    let listed = read(&mut member, "/gov/members/proposals").await;
    assert_eq!(listed, json!({"value": []}));
    assert_eq!(verdicts[cases.len()]["tool_makes_the_same_bytes"], true);
    let said = member
        .asked(&json!({"path": "/gov/members/proposals:create", "file": file("nothing")}))
        .await;
    assert_eq!(
        (&said["status"], &said["body"]["proposalState"]),
        (&json!(200), &json!("Open"))
    );
    world.stop().await;
}
