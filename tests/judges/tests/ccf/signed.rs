//! The package reads what our members sign, and nothing that differs from it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::member::{Pair, text};
use crate::program::verdicts;
use crate::recorded::{Recorded, expected, now};

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
