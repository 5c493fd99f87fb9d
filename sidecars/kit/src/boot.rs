//! The boot span: from the start of the process to the moment it is ready, below the trace that `init` began.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use opentelemetry::trace::{Span as _, SpanKind, TraceContextExt, Tracer};
use opentelemetry::{Context, global};

/// A span that ends once, whoever ends it.
#[derive(Clone, Debug)]
pub(crate) struct BootSpan {
    context: Context,
    ended: Arc<Mutex<bool>>,
}

impl BootSpan {
    /// Starts the span. Without a boot trace (standing alone) it is a root.
    pub(crate) fn start(service: &str, boot_dir: &Path, started: SystemTime) -> Self {
        let mut carrier = HashMap::new();
        if let Ok(traceparent) = std::fs::read_to_string(boot_dir.join("traceparent"))
            // Host-provided volume: anything longer than a traceparent is none.
            && traceparent.len() <= 64
        {
            carrier.insert("traceparent".to_owned(), traceparent.trim().to_owned());
        }
        let parent = global::get_text_map_propagator(|p| p.extract(&carrier));
        let tracer = global::tracer("sidecar-kit");
        let mut span = tracer
            .span_builder(format!("{service} boot"))
            .with_kind(SpanKind::Internal)
            .with_start_time(started)
            .start_with_context(&tracer, &parent);
        span.add_event("process started", Vec::new());
        Self {
            context: parent.with_span(span),
            ended: Arc::default(),
        }
    }

    /// What the process' own spans have as their parent.
    pub(crate) fn context(&self) -> Context {
        self.context.clone()
    }

    pub(crate) fn end(&self) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *ended, true) {
            self.context.span().end();
        }
    }
}
