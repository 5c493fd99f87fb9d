//! The instance metadata service.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::hcl::mock;

/// What it answers, by path without query; 404 for the rest.
type Answers = Arc<Mutex<Vec<(&'static str, Value)>>>;

/// Lives as long as the test's process.
pub(crate) struct Metadata {
    address: SocketAddr,
    answers: Answers,
}

const CERTIFICATES: &str = "/metadata/THIM/amd/certification";
const IMAGE: &str = "/metadata/instance/compute/storageProfile/imageReference";

impl Metadata {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::new(Mutex::new(vec![(
                IMAGE,
                json!({"id": null, "offer": "cvm", "publisher": "test", "sku": "1", "version": "2"}),
            )])),
        };
        service.vouch(mock!("vcek-milan.pem"));
        let answers = Arc::clone(&service.answers);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                // A client may leave while it is answered.
                let _ = answer(connection.unwrap(), &answers);
            }
        });
        service
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the chip's certificate.
    pub(crate) fn vouch(&self, leaf: &str) {
        let chain = [mock!("ask-milan.pem"), mock!("ark-milan.pem")].concat();
        let body = json!({
            "vcekCert": leaf, "tcbm": "DB18000000000004", "certificateChain": chain, "cacheControl": "86400",
        });
        self.set(CERTIFICATES, Some(body));
    }

    pub(crate) fn forget_certificates(&self) {
        self.set(CERTIFICATES, None);
    }

    pub(crate) fn forget_image(&self) {
        self.set(IMAGE, None);
    }

    fn set(&self, path: &'static str, body: Option<Value>) {
        let mut answers = self.answers.lock().unwrap();
        answers.retain(|(known, _)| *known != path);
        answers.extend(body.map(|body| (path, body)));
    }
}

fn answer(mut connection: TcpStream, answers: &Answers) -> std::io::Result<()> {
    let mut lines = BufReader::new(connection.try_clone()?).lines();
    let request = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    let mut flagged = false;
    for line in lines.by_ref() {
        let line = line?;
        flagged |= line.eq_ignore_ascii_case("metadata: true");
        if line.is_empty() {
            break;
        }
    }
    let target = request.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let versioned = path != IMAGE || query == "api-version=2025-04-07";
    let found = answers
        .lock()
        .unwrap()
        .iter()
        .find(|(known, _)| *known == path)
        .cloned();
    let (status, body) = match found {
        Some((_, body)) if flagged && versioned => ("200 OK", body.to_string()),
        Some(_) => ("400 Bad Request", String::new()),
        None => ("404 Not Found", json!({"error": "not found"}).to_string()),
    };
    write!(
        connection,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
