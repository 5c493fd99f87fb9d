//! The judge's programs.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use judges::{folder, python, run};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// One of the judge's programs, spoken to by lines of JSON.
pub(crate) struct Program {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub(crate) fn start(script: &str, words: &[&str]) -> Self {
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

    pub(crate) async fn says(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(120), self.stdout.next_line()).await;
        let line = line.expect("an answer in time").unwrap();
        serde_json::from_str(&line.expect("the program still runs")).unwrap()
    }

    pub(crate) async fn asked(&mut self, question: &Value) -> Value {
        self.stdin
            .write_all(format!("{question}\n").as_bytes())
            .await
            .unwrap();
        self.says().await
    }
}
/// What the package thinks of messages that are said to be those of a certificate.
pub(crate) fn verdicts(cert: &Path, messages: &[PathBuf]) -> Vec<Value> {
    let mut judge = std::process::Command::new(python("ccf"));
    judge
        .arg(folder("ccf").join("messages.py"))
        .arg(cert)
        .args(messages);
    let verdicts: Vec<Value> = serde_json::from_slice(&run(&mut judge).stdout).unwrap();
    assert_eq!(verdicts.len(), messages.len());
    verdicts
}
pub(crate) fn error(answer: &Value) -> String {
    format!("{} {}", answer["status"], answer["body"]["error"]["code"])
}
pub(crate) async fn read(member: &mut Program, path: &str) -> Value {
    let answer = member.asked(&json!({"get": path})).await;
    assert_eq!(answer["status"], 200, "{answer}");
    answer["body"].clone()
}
