use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use sidecar_http::{Coded, chain};

use crate::{CollectorError, Signal};

/// What the files may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Services with files of their own.
    pub services: usize,
    /// Bytes of one file; then it becomes `<file>.1` and a new one begins.
    pub file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            services: 100,
            file_bytes: 32 << 20,
        }
    }
}

/// Appends OTLP/JSON, one request per line, to `<directory>/<service>.{traces,metrics,log}`.
#[derive(Debug)]
pub struct FileExporter {
    directory: PathBuf,
    limits: Limits,
    services: Mutex<BTreeSet<String>>,
    lost: AtomicU64,
}

impl FileExporter {
    /// Checks that the directory can be written.
    ///
    /// # Errors
    /// It is missing or belongs to another user.
    pub fn open(directory: PathBuf, limits: Limits) -> Result<Self, CollectorError> {
        let usable = std::fs::metadata(&directory).and_then(|metadata| {
            let access = nix::unistd::AccessFlags::W_OK | nix::unistd::AccessFlags::X_OK;
            if !metadata.is_dir() {
                return Err(io::ErrorKind::NotADirectory.into());
            }
            nix::unistd::access(&directory, access).map_err(io::Error::from)
        });
        usable.map_err(|source| CollectorError::Directory {
            path: directory.display().to_string(),
            source,
        })?;
        Ok(Self {
            directory,
            limits,
            services: Mutex::default(),
            lost: AtomicU64::new(0),
        })
    }

    /// Writes a batch; a resource without a service name goes to `unknown_service`.
    ///
    /// # Errors
    /// A file cannot be written, or there are more services than the limit.
    pub fn export<S: Signal>(&self, batch: S) -> Result<(), CollectorError> {
        for received in batch.split() {
            self.append(&file_stem(&received.service), &received.part)
                .inspect_err(|error| {
                    tracing::error!(
                        code = error.code(),
                        error = chain(error),
                        "telemetry was not written"
                    );
                })?;
        }
        Ok(())
    }

    /// A batch that has come in: lost, unless it is said to be written.
    pub(crate) fn expect(self: Arc<Self>) -> Expected {
        Expected {
            exporter: self,
            written: false,
        }
    }

    /// Whether every batch that came was written. A sender that repeats a batch cannot be told from one that sends another,
    /// so a failure is never taken back.
    ///
    /// # Errors
    /// [`CollectorError::Incomplete`].
    pub fn complete(&self) -> Result<(), CollectorError> {
        match self.lost.load(Ordering::Relaxed) {
            0 => Ok(()),
            batches => Err(CollectorError::Incomplete { batches }),
        }
    }

    fn append<S: Signal>(&self, stem: &str, part: &S) -> Result<(), CollectorError> {
        // One writer at a time: a line is never torn by another.
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        if !services.contains(stem) && services.len() >= self.limits.services {
            return Err(CollectorError::TooManyServices {
                limit: self.limits.services,
                service: stem.to_owned(),
            });
        }
        let written = crate::json::line(part)
            .and_then(|line| append_whole(&mut self.open_file(stem, S::ENDING)?, &line));
        written.map_err(|source| CollectorError::Write {
            service: stem.to_owned(),
            source,
        })?;
        services.insert(stem.to_owned());
        Ok(())
    }

    fn open_file(&self, stem: &str, ending: &str) -> io::Result<File> {
        let path = self.directory.join(format!("{stem}.{ending}"));
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.len() >= self.limits.file_bytes => {
                // No service's file is called so: `~` is in no stem.
                std::fs::rename(&path, self.directory.join(format!("{stem}~1.{ending}")))?;
            }
            _ => {}
        }
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(libc_nofollow())
            .open(&path)
    }
}

/// A batch on its way into the files.
pub(crate) struct Expected {
    exporter: Arc<FileExporter>,
    written: bool,
}

impl Expected {
    pub(crate) fn written(mut self) {
        self.written = true;
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        if !self.written {
            self.exporter.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A full disk must not leave half a line: the next one would be appended to it, and both be unreadable.
fn append_whole(file: &mut File, line: &[u8]) -> io::Result<()> {
    let before = file.metadata()?.len();
    file.write_all(line).inspect_err(|_| {
        if let Err(error) = file.set_len(before) {
            tracing::warn!(%error, "half a line is left in a telemetry file");
        }
    })
}

/// A link in the directory would lead a write elsewhere.
fn libc_nofollow() -> i32 {
    nix::fcntl::OFlag::O_NOFOLLOW.bits()
}

/// A service name as a file name: a caller chooses it.
fn file_stem(service: &str) -> String {
    let mut stem: String = service
        .chars()
        .take(100)
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' | '.' => c,
            _ => '_',
        })
        .collect();
    if stem.starts_with('.') {
        stem.insert(0, '_');
    }
    stem
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};

    use super::*;

    fn batch(service: Option<&str>) -> ExportTraceServiceRequest {
        let attribute = |name: &str| KeyValue {
            key: "service.name".to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(name.to_owned())),
            }),
            ..KeyValue::default()
        };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes: service.map(attribute).into_iter().collect(),
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    spans: vec![Span {
                        trace_id: vec![0xab; 16],
                        span_id: vec![0xcd; 8],
                        name: "release".to_owned(),
                        start_time_unix_nano: 1 << 60,
                        ..Span::default()
                    }],
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        }
    }

    fn exporter(limits: Limits) -> (tempfile::TempDir, FileExporter) {
        let directory = tempfile::tempdir().unwrap();
        let exporter = FileExporter::open(directory.path().to_owned(), limits).unwrap();
        (directory, exporter)
    }

    #[test]
    fn a_line_is_otlp_json_with_hex_ids_and_64_bit_numbers_as_strings() {
        let (directory, exporter) = exporter(Limits::default());
        exporter.export(batch(Some("identity"))).unwrap();
        exporter.export(batch(Some("identity"))).unwrap();
        let text = std::fs::read_to_string(directory.path().join("identity.traces")).unwrap();
        assert_eq!(text.lines().count(), 2);
        for line in text.lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            let span = &value["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
            assert_eq!(span["traceId"], "ab".repeat(16));
            assert_eq!(span["spanId"], "cd".repeat(8));
            assert_eq!(span["startTimeUnixNano"], (1_u64 << 60).to_string());
        }
    }

    #[test]
    fn a_service_name_cannot_leave_the_directory() {
        let (directory, exporter) = exporter(Limits::default());
        exporter.export(batch(Some("../../etc/passwd"))).unwrap();
        exporter.export(batch(Some(".."))).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, ["_...traces", "_.._.._etc_passwd.traces"]);
    }

    #[test]
    fn a_resource_without_a_service_name_has_a_file_of_its_own() {
        let (directory, exporter) = exporter(Limits::default());
        exporter.export(batch(None)).unwrap();
        exporter.export(batch(Some(""))).unwrap();
        let text = std::fs::read_to_string(directory.path().join("unknown_service.traces"));
        assert_eq!(text.unwrap().lines().count(), 2);
    }

    #[test]
    fn one_service_more_than_the_limit_is_refused() {
        let limits = Limits {
            services: 1,
            ..Limits::default()
        };
        let (_directory, exporter) = exporter(limits);
        exporter.export(batch(Some("identity"))).unwrap();
        let error = exporter.export(batch(Some("secrets"))).unwrap_err();
        assert!(matches!(error, CollectorError::TooManyServices { .. }));
        exporter.export(batch(Some("identity"))).unwrap();
    }

    #[test]
    fn a_full_file_is_kept_beside_the_new_one() {
        let limits = Limits {
            file_bytes: 10,
            ..Limits::default()
        };
        let (directory, exporter) = exporter(limits);
        exporter.export(batch(Some("identity"))).unwrap();
        exporter.export(batch(Some("identity"))).unwrap();
        assert!(directory.path().join("identity~1.traces").exists());
        assert!(directory.path().join("identity.traces").exists());
    }

    #[test]
    fn a_link_in_the_directory_is_not_followed() {
        let (directory, exporter) = exporter(Limits::default());
        let outside = tempfile::NamedTempFile::new().unwrap();
        std::os::unix::fs::symlink(outside.path(), directory.path().join("identity.traces"))
            .unwrap();
        exporter.export(batch(Some("identity"))).unwrap_err();
        assert_eq!(std::fs::read(outside.path()).unwrap(), b"");
    }
}
