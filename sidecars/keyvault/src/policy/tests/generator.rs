//! What the generator writes, and for whom it does not.
use super::*;

#[test]
fn the_default_policy_is_typed_like_the_tokens_claims_and_survives_the_wire() {
    let policy = ReleasePolicy::strict(&terms()).unwrap();
    assert_eq!(
        policy.as_json(),
        &json!({"version": "1.0.0", "anyOf": [{
            "authority": "https://sharedneu.neu.attest.azure.net:8443",
            "allOf": [
                {"claim": "x-ms-sevsnpvm-hostdata", "equals": "ab".repeat(32)},
                {"claim": "x-ms-compliance-status", "equals": "azure-compliant-uvm"},
                {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
                {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": false},
                {"claim": "x-ms-sevsnpvm-vmpl", "equals": 0},
                {"claim": "x-ms-sevsnpvm-guestsvn-int", "greaterOrEquals": 104},
            ],
        }]})
    );
    let wire = policy.to_wire();
    let data = wire["data"].as_str().unwrap();
    assert_eq!(ReleasePolicy::from_wire(data).unwrap(), policy);
    let short = ReleasePolicy::for_host_data(&terms().authorities[0], &OURS).unwrap();
    assert_eq!(short, policy);
}

#[test]
fn without_a_minimum_the_clause_is_left_out_and_nothing_else() {
    let open = ReleaseTerms {
        minimum_svn: None,
        ..terms()
    };
    let policy = ReleasePolicy::strict(&open).unwrap();
    let conditions = policy.as_json()["anyOf"][0]["allOf"].as_array().unwrap();
    assert_eq!(conditions.len(), 5);
    assert!(!policy.as_json().to_string().contains("svn"));
}

#[test]
fn several_groups_and_authorities_are_one_element_for_each_pair() {
    let many = ReleaseTerms {
        authorities: vec![authority("a.example"), authority("b.example/")],
        host_data: vec![OURS, [0xCD; 32], [0xEF; 32]],
        minimum_svn: Some(110),
    };
    let policy = ReleasePolicy::strict(&many).unwrap();
    let elements = policy.as_json()["anyOf"].as_array().unwrap();
    let pairs: Vec<_> = elements
        .iter()
        .map(|e| {
            (
                e["authority"].as_str().unwrap(),
                e["allOf"][0]["equals"].as_str().unwrap().get(..2).unwrap(),
            )
        })
        .collect();
    let (a, b) = ("https://a.example", "https://b.example");
    assert_eq!(
        pairs,
        [
            (a, "ab"),
            (a, "cd"),
            (a, "ef"),
            (b, "ab"),
            (b, "cd"),
            (b, "ef")
        ]
    );
}

#[test]
fn nobody_and_too_many_are_refused() {
    let nobody = ReleaseTerms {
        authorities: Vec::new(),
        ..terms()
    };
    let nothing = ReleaseTerms {
        host_data: Vec::new(),
        ..terms()
    };
    for (terms, named) in [(nobody, "authority"), (nothing, "host data")] {
        let refused = ReleasePolicy::strict(&terms);
        assert!(matches!(refused, Err(KeyVaultError::Terms { what }) if what == named));
    }
    let crowd = ReleaseTerms {
        host_data: (0..100).map(|n| [n; 32]).collect(),
        ..terms()
    };
    let refused = ReleasePolicy::strict(&crowd);
    assert!(matches!(
        refused,
        Err(KeyVaultError::Policy {
            flaw: PolicyFlaw::TooLarge,
            ..
        })
    ));
}

#[test]
fn the_policies_that_allow_everything_get_no_key() {
    for at in 0..2 {
        let open = ReleaseTerms {
            host_data: vec![OURS, allow_all_bytes(at)],
            ..terms()
        };
        let refused = ReleasePolicy::strict(&open).unwrap_err();
        assert!(
            matches!(&refused, KeyVaultError::AllowAll { host_data } if host_data == attestation::ALLOW_ALL_HOST_DATA[at])
        );
    }
}
