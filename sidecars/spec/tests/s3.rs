//! Datasets in S3-compatible storage: what is valid, and each way not to be.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // helpers of tests

use cleanroom_spec::{
    AccessPoint, ProtocolType, ProxyMode, ProxyType, ResourceType, S3Access, Specification,
};

const HELLO: &str = include_str!("../../../tests/vectors/spec/hello-job.yaml");
const SEALED: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn access() -> S3Access {
    S3Access {
        region: "eu-north-1".to_owned(),
        prefix: String::new(),
        sealed_access_key: SEALED.to_owned(),
    }
}

/// Both datasets in buckets.
fn spec() -> Specification {
    let mut spec = Specification::from_yaml(HELLO).unwrap();
    for (point, proxy) in [
        (&mut spec.datasources[0], ProxyType::ReadOnlyS3),
        (&mut spec.datasinks[0], ProxyType::ReadWriteS3),
    ] {
        point.store.kind = ResourceType::AwsS3;
        point.store.provider.protocol = ProtocolType::AwsS3;
        point.store.provider.url = "https://s3.eu-north-1.amazonaws.com".to_owned();
        point.store.provider.configuration = access().to_text().unwrap();
        point.protection.proxy_type = proxy;
        point.protection.configuration =
            r#"{"KeyType":"KEK","EncryptionMode":"CSE","format":"v2"}"#.to_owned();
    }
    spec
}

/// The problems after a change of the source: code and member.
fn problems(change: impl FnOnce(&mut AccessPoint)) -> Vec<(&'static str, String)> {
    let mut spec = spec();
    change(&mut spec.datasources[0]);
    let error = spec.validate().unwrap_err();
    let start = format!("datasources[{}].", spec.datasources[0].name);
    let problems = error.problems().iter();
    problems
        .map(|one| (one.code, one.path.replacen(&start, "", 1)))
        .collect()
}

#[test]
fn a_bucket_is_a_place_for_a_dataset_and_survives_writing() {
    let mut spec = spec();
    spec.validate().unwrap();
    let written = spec.to_yaml().unwrap();
    for expected in [
        "type: Aws_S3",
        "protocol: Aws_S3",
        "proxyType: SecureVolume__ReadOnly__Aws__S3",
        "proxyType: SecureVolume__ReadWrite__Aws__S3",
        r#"{\"region\":\"eu-north-1\",\"sealedAccessKey\":\"AAAA"#,
    ] {
        assert!(written.contains(expected), "{expected} not in {written}");
    }
    assert_eq!(Specification::from_yaml(&written).unwrap(), spec);
    let point = &mut spec.datasources[0];
    point.store.name = "a.bucket-1".to_owned();
    let with_prefix = S3Access {
        prefix: "one/two.3".to_owned(),
        ..access()
    };
    point.store.provider.configuration = with_prefix.to_text().unwrap();
    for format in ["cse-v1", "cse-v1-4m"] {
        spec.datasources[0].protection.configuration =
            format!(r#"{{"KeyType":"KEK","EncryptionMode":"CSE","format":"{format}"}}"#);
        spec.validate().unwrap();
    }
    assert_eq!(spec.datasources[0].store.s3_access().unwrap(), with_prefix);
}

#[test]
fn an_endpoint_is_https_and_a_bucket_has_a_possible_name() {
    for url in [
        "http://s3.eu-north-1.amazonaws.com",
        "s3.eu-north-1.amazonaws.com",
        "https://key:secret@s3.example",
        "https://s3.example/?x",
    ] {
        let found = problems(|point| point.store.provider.url = url.to_owned());
        assert_eq!(found, [("CR-SPEC-0022", "store.provider.url".to_owned())]);
    }
    for name in ["ab", "Upper", "a..b", "-ab", "ab.", "a/b", &"a".repeat(64)] {
        let found = problems(|point| point.store.name = name.to_owned());
        assert_eq!(found, [("CR-SPEC-0040", "store.name".to_owned())], "{name}");
    }
}

#[test]
fn an_access_is_whole_and_has_no_key_in_clear() {
    let text = |change: fn(&mut S3Access)| {
        let mut access = access();
        change(&mut access);
        access.to_text().unwrap()
    };
    for configuration in [
        String::new(),
        "{}".to_owned(),
        text(|a| a.region = String::new()),
        text(|a| a.region = "EU".to_owned()),
        text(|a| a.region = "--tcp".to_owned()),
        text(|a| a.prefix = "--no-read-only".to_owned()),
        text(|a| a.prefix = "/a".to_owned()),
        text(|a| a.prefix = "a/../b".to_owned()),
        text(|a| a.prefix = ".cleanroom".to_owned()),
        text(|a| a.prefix = "a\nb".to_owned()),
        text(|a| a.sealed_access_key = String::new()),
        text(|a| a.sealed_access_key = "AAAA".to_owned()),
        text(|a| a.sealed_access_key = "no base64".to_owned()),
        text(|a| a.sealed_access_key = "A".repeat((16 << 10) + 4)),
        r#"{"region":"eu-north-1"}"#.to_owned(),
        format!(r#"{{"region":"r","sealedAccessKey":"{SEALED}","secretAccessKey":"x"}}"#),
        r#"{"secretId":"upstream"}"#.to_owned(),
    ] {
        let place = "store.provider.configuration".to_owned();
        let found = problems(|point| point.store.provider.configuration = configuration.clone());
        assert_eq!(found, [("CR-SPEC-0044", place)], "{configuration}");
    }
}

#[test]
fn what_is_in_a_bucket_is_encrypted_by_the_room_in_a_format_that_needs_no_metadata() {
    for configuration in [
        r#"{"KeyType":"KEK","EncryptionMode":"CPK"}"#,
        r#"{"KeyType":"KEK","EncryptionMode":"CSE","format":"azure-cse-2.1"}"#,
        r#"{"KeyType":"KEK","EncryptionMode":"CSE","format":"azure-cse-2.1-sealed"}"#,
    ] {
        let place = "protection.configuration".to_owned();
        let found = problems(|point| point.protection.configuration = configuration.to_owned());
        assert_eq!(found, [("CR-SPEC-0045", place)], "{configuration}");
    }
}

#[test]
fn kind_protocol_and_proxy_are_one() {
    let changes: [fn(&mut AccessPoint); 5] = [
        |point| point.store.kind = ResourceType::AzureOneLake,
        |point| point.store.provider.protocol = ProtocolType::AzureBlobStorage,
        |point| point.protection.proxy_type = ProxyType::ReadOnlyBlobStorage,
        |point| point.protection.proxy_type = ProxyType::ReadWriteS3,
        |point| point.protection.proxy_mode = ProxyMode::Open,
    ];
    for change in changes {
        let found = problems(change);
        assert!(
            found.contains(&("CR-SPEC-0041", "store".to_owned())),
            "{found:?}"
        );
    }
    // A kind that nobody knows is not read at all.
    let text = spec()
        .to_yaml()
        .unwrap()
        .replace("type: Aws_S3", "type: Gcp_Storage");
    assert!(Specification::from_yaml(&text).is_err());
}
