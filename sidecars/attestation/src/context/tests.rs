use super::*;
use sidecar_http::Coded;

const THIM: &str =
    r#"{"vcekCert":"V","tcbm":"DB18000000000004","certificateChain":"C","cacheControl":"86400"}"#;

fn b64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn place(directory: &Path) -> ContextPlace {
    ContextPlace {
        directory: Some(directory.to_owned()),
        ..ContextPlace::default()
    }
}

#[tokio::test]
async fn a_missing_file_spoils_only_itself() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(POLICY.file), "  cG9s\r\naWN5\n").unwrap();
    std::fs::write(dir.path().join(UVM.file), "not base64!").unwrap();
    let context = SecurityContext::read(dir.path()).await;
    assert_eq!(context.policy().unwrap(), b"policy");
    let uvm = context.uvm_endorsements().unwrap_err();
    assert_eq!(uvm.code(), "CR-SKR-0006");
    let uvm = uvm.to_string();
    assert!(
        uvm.contains(UVM.file) && uvm.contains("not base64"),
        "{uvm}"
    );
    let host = context.host_amd_cert().unwrap_err().to_string();
    assert!(host.contains(HOST_CERT.file), "{host}");
    assert!(host.contains("no such file"), "{host}");
    assert!(
        host.contains("UVM_HOST_AMD_CERTIFICATE is not set"),
        "{host}"
    );
}

#[tokio::test]
async fn each_artefact_is_read_from_the_directory_first_and_then_from_its_variable() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join(POLICY.file), b64("of the file")).unwrap();
    // Base64 of something else than certificates.
    std::fs::write(dir.path().join(HOST_CERT.file), b64("{}")).unwrap();
    let mut place = place(dir.path());
    place.variables = ContextVariables {
        security_policy: Some(b64("of the variable")),
        reference_info: Some(b64("endorsement")),
        host_amd_certificate: Some(b64(THIM)),
    };
    let context = SecurityContext::find(&place).await;
    assert_eq!(context.policy().unwrap(), b"of the file");
    assert_eq!(context.uvm_endorsements().unwrap(), b"endorsement");
    assert_eq!(context.host_amd_cert().unwrap().chain_pem(), "V\nC");
}

#[tokio::test]
async fn variables_alone_are_enough_and_an_unusable_one_is_named() {
    let root = tempfile::tempdir().unwrap();
    let place = ContextPlace {
        directory: None,
        root: root.path().to_owned(),
        variables: ContextVariables {
            security_policy: Some(b64("policy")),
            reference_info: Some("%".to_owned()),
            host_amd_certificate: Some(b64("{")),
        },
    };
    let context = SecurityContext::find(&place).await;
    assert_eq!(context.policy().unwrap(), b"policy");
    for (error, variable) in [
        (context.uvm_endorsements().unwrap_err(), UVM.variable),
        (context.host_amd_cert().unwrap_err(), HOST_CERT.variable),
    ] {
        let text = error.to_string();
        assert!(text.contains(variable), "{text}");
        assert!(text.contains("security-context-"), "{text}");
    }
    assert_eq!(
        context
            .unauthenticated_supplement(Supplement::TcbReferenceInfo)
            .unwrap(),
        None
    );
}

#[tokio::test]
async fn supplements_are_optional_and_a_broken_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let write = |which: Supplement, text: &str| {
        std::fs::write(dir.path().join(which.file()), text).unwrap();
    };
    write(Supplement::TcbReferenceInfo, &b64("cose"));
    write(Supplement::PlatformReferenceInfo, "%");
    let context = SecurityContext::read(dir.path()).await;
    let supplement = |which| context.unauthenticated_supplement(which);
    assert_eq!(
        supplement(Supplement::TransparentReferenceInfo).unwrap(),
        None
    );
    assert_eq!(
        supplement(Supplement::TcbReferenceInfo).unwrap(),
        Some(b"cose".as_slice())
    );
    let error = supplement(Supplement::PlatformReferenceInfo).unwrap_err();
    assert!(
        error.to_string().contains("platform-reference-info-base64"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_no_file_of_a_sane_size_is_refused_without_waiting() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), b64("secret")).unwrap();
    let hostile = |make: &dyn Fn(&Path)| {
        let dir = tempfile::tempdir().unwrap();
        make(&dir.path().join(UVM.file));
        dir
    };
    let cases: [(tempfile::TempDir, &str); 6] = [
        (
            hostile(&|path| {
                let huge = std::fs::File::create(path).unwrap();
                huge.set_len(1 << 40).unwrap();
            }),
            "more than 1048576 bytes",
        ),
        (
            hostile(&|path| std::os::unix::fs::symlink(secret.path(), path).unwrap()),
            "symbolic link",
        ),
        (
            hostile(&|path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap()),
            "not a regular file",
        ),
        (
            hostile(&|path| std::fs::create_dir(path).unwrap()),
            "not a regular file",
        ),
        (
            hostile(&|path| std::fs::write(path, [0xff, 0xfe, 0x00]).unwrap()),
            "not base64",
        ),
        (
            hostile(&|path| std::fs::write(path, " \n").unwrap()),
            "empty",
        ),
    ];
    for (dir, reason) in cases {
        let read = SecurityContext::read(dir.path());
        let deadline = std::time::Duration::from_secs(20);
        let context = tokio::time::timeout(deadline, read).await.unwrap();
        let error = context.uvm_endorsements().unwrap_err();
        assert_eq!(error.code(), "CR-SKR-0006");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[tokio::test]
async fn certificates_that_are_not_utf_8_are_refused() {
    use base64::Engine as _;
    let dir = tempfile::tempdir().unwrap();
    let bytes = [b"{\"vcekCert\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(bytes);
    std::fs::write(dir.path().join(HOST_CERT.file), text).unwrap();
    let context = SecurityContext::read(dir.path()).await;
    let error = context.host_amd_cert().unwrap_err().to_string();
    assert!(error.contains("THIM"), "{error}");
}
