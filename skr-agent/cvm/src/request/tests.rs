use sidecar_http::Coded;

use super::*;

fn body(report_data: usize, nonce: usize, pcrs: &str) -> String {
    let text = |length| BASE64_STANDARD.encode(vec![7; length]);
    format!(
        r#"{{"reportData":"{}","nonce":"{}","pcrSelection":{pcrs},"more":1}}"#,
        text(report_data),
        text(nonce)
    )
}

#[test]
fn a_request_is_read_as_clients_write_it() {
    let asked = Asked::read(body(64, 32, "[7,0]").as_bytes()).unwrap();
    assert_eq!(asked.user_data, [7; 64]);
    assert_eq!(asked.nonce, [7; 32]);
    assert_eq!(asked.pcrs, PcrSelection::of(&[0, 7]).unwrap());
    for all in ["[]", "null"] {
        let asked = Asked::read(body(64, 1, all).as_bytes()).unwrap();
        assert_eq!(asked.pcrs, PcrSelection::ALL);
    }
}

#[test]
fn each_fault_of_a_request_has_its_code_in_both_languages() {
    let some = BASE64_STANDARD.encode([7; 64]);
    for (body, code, upstream) in [
        ("{", "CR-CVM-0020", "InvalidRequestBody"),
        ("7", "CR-CVM-0020", "InvalidRequestBody"),
        (r#"{"nonce":7}"#, "CR-CVM-0020", "InvalidRequestBody"),
        (
            r#"{"nonce":"AA==","nonce":"AA=="}"#,
            "CR-CVM-0020",
            "InvalidRequestBody",
        ),
        (r#"{"nonce":"AA=="}"#, "CR-CVM-0021", "MissingReportData"),
        (r#"{"reportData":"?"}"#, "CR-CVM-0022", "InvalidReportData"),
        (&body(63, 1, "[]"), "CR-CVM-0023", "InvalidReportDataSize"),
        (&body(65, 1, "[]"), "CR-CVM-0023", "InvalidReportDataSize"),
        (
            &format!(r#"{{"reportData":"{some}"}}"#),
            "CR-CVM-0021",
            "MissingNonce",
        ),
        (
            &format!(r#"{{"reportData":"{some}","nonce":"A"}}"#),
            "CR-CVM-0022",
            "InvalidNonce",
        ),
        (&body(64, 0, "[]"), "CR-CVM-0021", "MissingNonce"),
        (&body(64, 33, "[]"), "CR-CVM-0023", "InvalidNonceSize"),
        (&body(64, 32, "[24]"), "CR-CVM-0010", "InvalidPCRSelection"),
        (&body(64, 32, "[-1]"), "CR-CVM-0010", "InvalidPCRSelection"),
        (&body(64, 32, "[0.5]"), "CR-CVM-0020", "InvalidRequestBody"),
    ] {
        let error = Asked::read(body.as_bytes()).unwrap_err();
        assert_eq!(
            (error.code(), error.upstream_code()),
            (code, upstream),
            "{body}"
        );
        assert_eq!(error.status(), 400, "{body}");
    }
}
